package ecs

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
)

// Reference is a container image reference taken apart:
// [registry[:port]/]path[:tag][@algorithm:digest]. Nothing is normalised, so
// that printing what was parsed gives the same text.
type Reference struct {
	Registry string // "registry.local:5000"; empty where none is written
	Path     string // "shop/magento2"
	Tag      string // "300"; empty where none is written
	Digest   string // "sha256:…"; empty where none is written
}

var (
	pathPattern   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	hostPattern   = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?$`)
	tagPattern    = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$`)
)

// ParseReference takes an image reference apart, by the grammar that Docker and
// the OCI distribution specification use.
func ParseReference(s string) (Reference, error) {
	var r Reference
	rest := s
	if i := strings.IndexByte(rest, '@'); i >= 0 {
		r.Digest, rest = rest[i+1:], rest[:i]
		if !digestPattern.MatchString(r.Digest) {
			return Reference{}, fmt.Errorf("image reference %q: %q is not a digest such as sha256:<64 hexadecimal digits>", s, r.Digest)
		}
	}
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		r.Tag, rest = rest[i+1:], rest[:i]
		if !tagPattern.MatchString(r.Tag) {
			return Reference{}, fmt.Errorf("image reference %q: %q is not a tag", s, r.Tag)
		}
	}
	if host, path, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		if !hostPattern.MatchString(host) {
			return Reference{}, fmt.Errorf("image reference %q: %q is not a registry's host", s, host)
		}
		r.Registry, rest = host, path
	}
	if !pathPattern.MatchString(rest) {
		return Reference{}, fmt.Errorf("image reference %q: %q is not a repository's name", s, rest)
	}
	r.Path = rest
	return r, nil
}

// String prints the reference as it was written.
func (r Reference) String() string {
	s := r.Repository()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Repository is the reference without tag and digest.
func (r Reference) Repository() string {
	if r.Registry == "" {
		return r.Path
	}
	return r.Registry + "/" + r.Path
}

// In reports whether the reference is of the named repository. A name without
// a registry ("magento2") is meant in any registry; one with a registry
// ("registry.local:5000/magento2") only in that one.
func (r Reference) In(repository string) bool {
	n, err := ParseReference(repository)
	if err != nil || n.Path != r.Path {
		return false
	}
	return n.Registry == "" || n.Registry == r.Registry
}

// InAny reports whether the reference is of one of the named repositories.
func (r Reference) InAny(repositories []string) bool {
	for _, n := range repositories {
		if r.In(n) {
			return true
		}
	}
	return false
}

// ECR tells whether the registry is a private Amazon ECR registry, and whose.
func (r Reference) ECR() (account, region string, ok bool) {
	return ecrhost.Parse(r.Registry)
}

// Move says which version of a repository's image is wanted. With a digest the
// image is pinned to it; else it is named by the tag.
type Move struct {
	Repository string
	Tag        string
	Digest     string
}

func (m Move) apply(r Reference) Reference {
	if m.Digest != "" {
		return Reference{Registry: r.Registry, Path: r.Path, Digest: m.Digest}
	}
	return Reference{Registry: r.Registry, Path: r.Path, Tag: m.Tag}
}
