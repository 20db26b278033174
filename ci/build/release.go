package build

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// Release is what tells one build from another of the same content. It stands in
// the last layer and in the labels of both images, and nowhere else.
type Release struct {
	// BuildNum is the build's number or name, and the tag that it is pushed as.
	BuildNum string `json:"buildNum"`
	// Revision is the commit of the store's source; empty: unknown.
	Revision string `json:"revision,omitempty"`
	// Source is the URL of the store's repository; empty: unknown.
	Source string `json:"source,omitempty"`
	// Created is the time of the commit, or of the build where that is unknown.
	Created time.Time `json:"created"`
	// ContentVersion is Magento's version of the static content, a part of every
	// static URL. Empty: the time of Created, in seconds.
	ContentVersion string `json:"contentVersion,omitempty"`
}

// Validate says what of a release cannot be used.
func (r Release) Validate() error {
	if !tag.MatchString(r.BuildNum) {
		return fmt.Errorf("build number %q: use up to 128 letters, digits, '.', '_' and '-', not beginning with '.' or '-', since it becomes the images' tag", r.BuildNum)
	}
	if !contentVersion.MatchString(r.contentVersion()) {
		return fmt.Errorf("content version %q: Magento takes letters, digits, '.' and '_'", r.ContentVersion)
	}
	if strings.ContainsAny(r.Revision+r.Source, "\n\r") {
		return fmt.Errorf("revision and source are one line each")
	}
	return nil
}

func (r Release) contentVersion() string {
	if r.ContentVersion != "" {
		return r.ContentVersion
	}
	return strconv.FormatInt(r.Created.Unix(), 10)
}

// Layer is the last layer of both images: the version of the static content, and
// REVISION.txt, which nginx serves.
func (r Release) Layer() layer.Spec {
	var b strings.Builder
	fmt.Fprintf(&b, "build %s\n", r.BuildNum)
	if r.Revision != "" {
		fmt.Fprintf(&b, "revision %s\n", r.Revision)
	}
	fmt.Fprintf(&b, "date %s\n", r.Created.UTC().Format(time.RFC3339))
	return layer.Spec{
		Name:   LayerRelease,
		Prefix: AppRoot,
		Files: []layer.File{
			{Path: "pub/REVISION.txt", Content: []byte(b.String())},
			{Path: deployedVersion, Content: []byte(r.contentVersion())},
		},
	}
}

// RepositoryURL is a repository's address as a browser has it: whoever clones the
// same one over SSH, or with credentials, builds the same images.
func RepositoryURL(address string) string {
	if user, rest, ok := strings.Cut(address, "@"); ok && !strings.ContainsAny(user, "/:") {
		if host, path, ok := strings.Cut(rest, ":"); ok && !strings.Contains(host, "/") {
			address = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	u.User = nil
	if u.Scheme == "ssh" {
		u.Scheme, u.Host = "https", u.Hostname()
	}
	u.Path = strings.TrimSuffix(u.Path, ".git")
	return u.String()
}

var (
	tag            = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	contentVersion = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
)
