package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// DefaultPlatform is meant where no platform is given.
const DefaultPlatform = "linux/amd64"

type options struct {
	keychain  authn.Keychain
	transport http.RoundTripper
	mirror    *url.URL
}

// Option changes how OpenBase works.
type Option func(*options)

// WithKeychain gives the credentials for registries. The default is Docker's: what docker login and its credential
// helpers left in ~/.docker/config.json.
func WithKeychain(k authn.Keychain) Option { return func(o *options) { o.keychain = k } }

// WithTransport gives the HTTP transport for registries.
func WithTransport(t http.RoundTripper) Option { return func(o *options) { o.transport = t } }

// WithMirror asks this address (http://mirror:5000) first, and the reference's own registry for what is not there.
func WithMirror(address *url.URL) Option { return func(o *options) { o.mirror = address } }

// mirrored sends the requests for one host to another address.
type mirrored struct {
	http.RoundTripper
	host string
	to   *url.URL
}

func (m mirrored) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == m.host {
		req = req.Clone(req.Context())
		req.URL.Scheme, req.URL.Host, req.Host = m.to.Scheme, m.to.Host, ""
	}
	return m.RoundTripper.RoundTrip(req)
}

// Kind says where a reference leads.
type Kind string

// The kinds of references.
const (
	KindScratch  Kind = "scratch"
	KindLayout   Kind = "oci"
	KindArchive  Kind = "oci-archive"
	KindRegistry Kind = "registry"
)

// Reference is a parsed reference to an image.
type Reference struct {
	Kind Kind
	// Path is the directory of a layout or the file of an archive.
	Path string
	// Tag or Digest choose an image within a layout or an archive; both may be empty.
	Tag, Digest string
	// Registry is the reference of an image in a registry.
	Registry name.Reference
}

// ParseReference reads "scratch", "oci:DIR[:TAG][@sha256:…]", "oci-archive:FILE[:TAG][@sha256:…]" or a registry reference
// ("php:8.3-fpm", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/magento2@sha256:…"). As with skopeo, a path ends at its
// first colon.
func ParseReference(s string) (Reference, error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, fmt.Errorf("image reference %q: %s", s, why)
	}
	if s == Scratch {
		return Reference{Kind: KindScratch}, nil
	}
	for _, kind := range []Kind{KindLayout, KindArchive} {
		rest, ok := strings.CutPrefix(s, string(kind)+":")
		if !ok {
			continue
		}
		r := Reference{Kind: kind, Path: rest}
		if i := strings.LastIndex(rest, "@sha256:"); i >= 0 {
			r.Path, r.Digest = rest[:i], rest[i+1:]
			if _, err := v1.NewHash(r.Digest); err != nil {
				return bad("its digest is not valid")
			}
		}
		r.Path, r.Tag, ok = strings.Cut(r.Path, ":")
		if r.Path == "" {
			return bad("it names no path")
		}
		if ok && r.Tag == "" {
			return bad("it ends in a colon; leave the colon out to take the only image")
		}
		return r, nil
	}
	ref, err := name.ParseReference(s)
	if err != nil {
		return bad("it is none of scratch, oci:DIR, oci-archive:FILE and a registry reference: " + err.Error())
	}
	return Reference{Kind: KindRegistry, Registry: ref}, nil
}

// FullName is a registry's image by its full name and tag, without a digest ("docker.io/library/php:8.3-fpm" for
// "php:8.3-fpm@sha256:…"), so that it reads the same however it was written; empty: the reference is not one of a registry.
func FullName(ref string) string {
	r, err := ParseReference(ref)
	if err != nil || r.Kind != KindRegistry {
		return ""
	}
	repo := r.Registry.Context()
	registry := repo.RegistryStr()
	if registry == name.DefaultRegistry {
		registry = "docker.io" // what everybody but this library calls it
	}
	full := registry + "/" + repo.RepositoryStr()
	plain, _, digested := strings.Cut(ref, "@")
	if digested && !strings.Contains(plain[strings.LastIndex(plain, "/")+1:], ":") {
		return full // no tag was given, and latest not meant
	}
	if tag, err := name.NewTag(plain); err == nil {
		full += ":" + tag.TagStr()
	}
	return full
}

// OpenBase opens the image that a reference names (see ParseReference) for a platform ("linux/arm64"; empty:
// DefaultPlatform). Nothing but manifests and the config is read; layers are when they are asked for, under ctx.
func OpenBase(ctx context.Context, ref, platform string, opts ...Option) (v1.Image, error) {
	o := resolved(opts)
	if platform == "" {
		platform = DefaultPlatform
	}
	want, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	im, err := open(ctx, r, *want, o)
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", ref, err)
	}
	config, err := im.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("opening image %s: reading its config: %w", ref, err)
	}
	if err := matchPlatform(config, platform); err != nil {
		return nil, fmt.Errorf("opening image %s: %w", ref, err)
	}
	return im, nil
}

func open(ctx context.Context, r Reference, want v1.Platform, o options) (v1.Image, error) {
	switch r.Kind {
	case KindScratch:
		return mutate.ConfigFile(empty.Image, &v1.ConfigFile{
			OS: want.OS, Architecture: want.Architecture, Variant: want.Variant,
			RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		})
	case KindLayout:
		index, err := layout.ImageIndexFromPath(r.Path)
		if err != nil {
			return nil, fmt.Errorf("it is not an OCI image layout: %w", err)
		}
		return choose(index, r, &want)
	case KindArchive:
		index, err := openArchive(r.Path)
		if err != nil {
			return nil, fmt.Errorf("it is not an OCI archive: %w", err)
		}
		return choose(index, r, &want)
	}
	desc, err := get(ctx, r, o)
	if err != nil {
		return nil, err
	}
	if desc.MediaType.IsIndex() {
		index, err := desc.ImageIndex()
		if err != nil {
			return nil, err
		}
		return pick(index, &want)
	}
	return desc.Image()
}

// get asks a registry what a reference means.
func get(ctx context.Context, r Reference, o options) (*remote.Descriptor, error) {
	ask := func(transport http.RoundTripper) (*remote.Descriptor, error) {
		return remote.Get(r.Registry, remote.WithContext(ctx), remote.WithAuthFromKeychain(o.keychain), remote.WithTransport(transport))
	}
	if o.mirror != nil {
		desc, err := ask(mirrored{o.transport, r.Registry.Context().RegistryStr(), o.mirror})
		if err == nil {
			return desc, nil
		}
		if desc, direct := ask(o.transport); direct == nil {
			return desc, nil
		}
		return nil, explain(err, r.Registry)
	}
	desc, err := ask(o.transport)
	if err != nil {
		return nil, explain(err, r.Registry)
	}
	return desc, nil
}

// Digest asks a registry for the digest of what a reference names there now: of the index, where there is one for several
// platforms.
func Digest(ctx context.Context, ref string, opts ...Option) (string, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return "", err
	}
	if r.Kind != KindRegistry {
		return "", fmt.Errorf("%s is not an image of a registry", ref)
	}
	desc, err := get(ctx, r, resolved(opts))
	if err != nil {
		return "", fmt.Errorf("asking for image %s: %w", ref, err)
	}
	return desc.Digest.String(), nil
}

// resolved are the options with their defaults.
func resolved(opts []Option) options {
	o := options{keychain: authn.DefaultKeychain, transport: remote.DefaultTransport}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// explain adds what to do about a registry's refusal.
func explain(err error, ref name.Reference) error {
	var terr *transport.Error
	if !errors.As(err, &terr) {
		return err
	}
	switch terr.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w (the registry wants credentials that may read it: docker login %s)", err, ref.Context().RegistryStr())
	case http.StatusNotFound:
		return fmt.Errorf("%w (the registry has no such image: look at its name and tag)", err)
	}
	return err
}

// choose takes the image that a reference means out of a layout's index.
func choose(index v1.ImageIndex, r Reference, want *v1.Platform) (v1.Image, error) { //nolint:cyclop // none, one or several, each with what to say
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	var names []string
	for _, d := range manifest.Manifests {
		tag := d.Annotations[AnnotationRefName]
		names = append(names, strings.TrimPrefix(tag+"@"+d.Digest.String(), "@"))
		if (r.Tag == "" || r.Tag == tag) && (r.Digest == "" || r.Digest == d.Digest.String()) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		if r.Tag == "" && r.Digest == "" {
			return nil, errors.New("it holds no image")
		}
		return nil, fmt.Errorf("it holds no such image; it has: %s", strings.Join(names, ", "))
	}
	if len(found) > 1 {
		matching := slices.DeleteFunc(slices.Clone(found), func(d v1.Descriptor) bool {
			return want == nil || d.Platform == nil || !satisfies(*d.Platform, *want)
		})
		if len(matching) != 1 {
			return nil, fmt.Errorf("it holds several images; name one of: %s", strings.Join(names, ", "))
		}
		found = matching
	}
	if found[0].MediaType.IsIndex() {
		inner, err := index.ImageIndex(found[0].Digest)
		if err != nil {
			return nil, err
		}
		return pick(inner, want)
	}
	return index.Image(found[0].Digest)
}

// pick takes the image for a platform out of an index; with none, the only image there is.
func pick(index v1.ImageIndex, want *v1.Platform) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var has []string
	only := variants(manifest)
	for _, d := range only {
		if want != nil && satisfies(*d.Platform, *want) {
			return index.Image(d.Digest)
		}
		has = append(has, d.Platform.String())
	}
	if want == nil && len(only) == 1 {
		return index.Image(only[0].Digest)
	}
	if want == nil {
		return nil, fmt.Errorf("it holds images for several platforms: %s", strings.Join(has, ", "))
	}
	return nil, fmt.Errorf("it has no image for %s; it has: %s", want, strings.Join(has, ", "))
}

// variants are the images of an index. Builders put attestations into it as images for the platform unknown/unknown.
func variants(index *v1.IndexManifest) []v1.Descriptor {
	return slices.DeleteFunc(slices.Clone(index.Manifests), func(d v1.Descriptor) bool {
		return !d.MediaType.IsImage() || d.Platform == nil || d.Platform.OS == "unknown"
	})
}

// satisfies reports whether an image for one platform is meant by another. Many images for arm64 do not say that they are
// for its v8, so only two variants that are both given must be the same.
func satisfies(has, want v1.Platform) bool {
	return has.OS == want.OS && has.Architecture == want.Architecture &&
		(want.Variant == "" || has.Variant == "" || has.Variant == want.Variant)
}

// CheckPlatform reports an error if a platform is not written as linux/amd64 is.
func CheckPlatform(platform string) error {
	_, err := parsePlatform(platform)
	return err
}

func parsePlatform(platform string) (*v1.Platform, error) {
	p, err := v1.ParsePlatform(platform)
	if err != nil || p.OS == "" || p.Architecture == "" {
		return nil, fmt.Errorf("platform %q is not of the form linux/amd64", platform)
	}
	return p, nil
}

// matchPlatform reports an error if an image is for another platform.
func matchPlatform(c *v1.ConfigFile, platform string) error {
	if platform == "" {
		return nil
	}
	want, err := v1.ParsePlatform(platform)
	if err != nil {
		return fmt.Errorf("platform %q is not of the form linux/amd64", platform)
	}
	if has := c.Platform(); has != nil && !satisfies(*has, *want) {
		return fmt.Errorf("it is for %s, not for %s", has, want)
	}
	return nil
}
