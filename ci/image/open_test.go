package image_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// startRegistry runs a registry and returns its address.
func startRegistry(tb testing.TB, wrap func(http.Handler) http.Handler) string {
	tb.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func push(tb testing.TB, ref string, im v1.Image, opts ...remote.Option) {
	tb.Helper()
	must(tb, remote.Write(value(name.ParseReference(ref))(tb), im, opts...))
}

func TestRegistryRoundTrip(t *testing.T) {
	host := startRegistry(t, nil)
	push(t, host+"/php:8.3", baseImage(t, "linux/amd64"))
	base := value(image.OpenBase(t.Context(), host+"/php:8.3", "linux/amd64"))(t)
	spec, dir := sample(t)
	im := value(image.Assemble(base, spec, layer.Blobs(dir)))(t)
	push(t, host+"/magento2:1", im)

	pulled := value(image.OpenBase(t.Context(), host+"/magento2@"+digest(t, im), ""))(t)
	if digest(t, pulled) != digest(t, im) {
		t.Errorf("pushed %s, pulled %s", digest(t, im), digest(t, pulled))
	}
	must(t, image.Verify(pulled))
	var names []string
	for _, l := range value(pulled.Layers())(t)[1:] {
		blob := value(l.Compressed())(t)
		must(t, layer.Walk(blob, string(value(l.MediaType())(t)), func(h *tar.Header, _ io.Reader) error {
			names = append(names, h.Name)
			return nil
		}))
		must(t, blob.Close())
	}
	if diff := cmp.Diff([]string{"srv/", "srv/vendor", "srv/", "srv/app", "srv/", "srv/revision"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSecondPushSendsWhatIsNew counts the blobs that a registry is sent.
func TestSecondPushSendsWhatIsNew(t *testing.T) {
	var uploads atomic.Int64
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") {
				uploads.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/php:8.3", baseImage(t, "linux/amd64"))
	base := value(image.OpenBase(t.Context(), host+"/php:8.3", ""))(t)
	spec, dir := sample(t)
	uploads.Store(0)
	push(t, host+"/magento2:1", value(image.Assemble(base, spec, layer.Blobs(dir)))(t))
	if n := uploads.Load(); n != 4 {
		t.Errorf("the first push sent %d blobs, want 3 layers and a config", n)
	}
	uploads.Store(0)
	spec.Layers = append(spec.Layers[:2:2], packs(t, dir, layer.Zstd, "revision-2")...)
	push(t, host+"/magento2:2", value(image.Assemble(base, spec, layer.Blobs(dir)))(t))
	if n := uploads.Load(); n != 2 {
		t.Errorf("the second push sent %d blobs, want the changed layer and a config", n)
	}
}

// multiPlatform is an index as builders write it, with an attestation.
func multiPlatform(tb testing.TB, platforms ...string) v1.ImageIndex {
	tb.Helper()
	var index v1.ImageIndex = empty.Index
	for _, p := range platforms {
		parsed := value(v1.ParsePlatform(p))(tb)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: baseImage(tb, p), Descriptor: v1.Descriptor{Platform: parsed}})
	}
	return mutate.AppendManifests(index, mutate.IndexAddendum{
		Add: empty.Image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}},
	})
}

func TestOpenBasePlatform(t *testing.T) {
	host := startRegistry(t, nil)
	index := multiPlatform(t, "linux/amd64", "linux/arm64/v8")
	must(t, remote.WriteIndex(value(name.ParseReference(host+"/php:multi"))(t), index))
	push(t, host+"/php:single", baseImage(t, "linux/amd64"))
	dir := t.TempDir()
	path := value(layout.Write(dir, empty.Index))(t)
	must(t, path.AppendIndex(index))

	for _, ref := range []string{host + "/php:multi", "oci:" + dir} {
		for _, platform := range []string{"linux/amd64", "linux/arm64", "linux/arm64/v8", ""} {
			im, err := image.OpenBase(t.Context(), ref, platform)
			if err != nil {
				t.Errorf("%s for %q: %v", ref, platform, err)
				continue
			}
			if got := value(im.ConfigFile())(t).Platform().String(); !strings.HasPrefix(got, platform) || platform == "" && got != image.DefaultPlatform {
				t.Errorf("%s for %q: got one for %s", ref, platform, got)
			}
		}
		for _, platform := range []string{"linux/riscv64", "windows/amd64", "linux/arm64/v7"} {
			_, err := image.OpenBase(t.Context(), ref, platform)
			if want := "it has no image for " + platform + "; it has: linux/amd64, linux/arm64/v8"; err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), ref) {
				t.Errorf("%s for %s: error %v, want one with %q", ref, platform, err, want)
			}
		}
	}
	push(t, host+"/php:arm", baseImage(t, "linux/arm64"))
	if _, err := image.OpenBase(t.Context(), host+"/php:arm", "linux/arm64/v8"); err != nil {
		t.Errorf("an image that does not tell its variant: %v", err)
	}
	if _, err := image.OpenBase(t.Context(), host+"/php:single", "linux/arm64"); err == nil || !strings.Contains(err.Error(), "it is for linux/amd64, not for linux/arm64") {
		t.Errorf("a single image: %v", err)
	}
	for _, bad := range []string{"amd64", "linux/", "a/b/c/d"} {
		if _, err := image.OpenBase(t.Context(), "scratch", bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("platform %q: %v", bad, err)
		}
	}
}

func TestOpenBaseCredentials(t *testing.T) {
	const user, password = "AWS", "s3cr3t-token"
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	ref := host + "/php:8.3"
	push(t, ref, baseImage(t, "linux/amd64"), remote.WithAuth(&authn.Basic{Username: user, Password: password}))

	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	if _, err := image.OpenBase(t.Context(), ref, ""); err == nil || !strings.Contains(err.Error(), "docker login "+host) {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := image.OpenBase(t.Context(), ref, "", image.WithKeychain(keychain{user, "wrong-" + password})); err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("with wrong credentials: %v", err)
	}
	im := value(image.OpenBase(t.Context(), ref, "", image.WithKeychain(keychain{user, password})))(t)
	must(t, image.Verify(im))

	config := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, host, user, password)
	must(t, os.WriteFile(filepath.Join(docker, "config.json"), []byte(config), 0o600))
	must(t, image.Verify(value(image.OpenBase(t.Context(), ref, ""))(t)))

	if _, err := image.OpenBase(t.Context(), host+"/none:1", ""); err == nil || !strings.Contains(err.Error(), "no such image") {
		t.Errorf("an image that is not there: %v", err)
	}
}

type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}

// brokenTransport is a network that is down.
type brokenTransport struct{ err error }

func (b brokenTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

func TestOpenBaseWithoutNetwork(t *testing.T) {
	down := errors.New("network is unreachable")
	if _, err := image.OpenBase(t.Context(), "example.invalid/php:8.3", "", image.WithTransport(brokenTransport{down})); !errors.Is(err, down) || !strings.Contains(err.Error(), "example.invalid/php:8.3") {
		t.Errorf("error %v", err)
	}
}

func TestParseReference(t *testing.T) {
	hex := "sha256:" + strings.Repeat("0a", 32)
	for in, want := range map[string]string{
		"scratch":                                      "scratch|||",
		"oci:out/magento2":                             "oci|out/magento2||",
		"oci:out/magento2:42":                          "oci|out/magento2|42|",
		"oci:/a/b@" + hex:                              "oci|/a/b||" + hex,
		"oci:/a/b:docker.io/php:8.3@" + hex:            "oci|/a/b|docker.io/php:8.3|" + hex,
		"oci-archive:x.tar":                            "oci-archive|x.tar||",
		"oci-archive:x.tar:latest":                     "oci-archive|x.tar|latest|",
		"php:8.3-fpm":                                  "registry|||index.docker.io/library/php:8.3-fpm",
		"127.0.0.1:5000/magento2:1":                    "registry|||127.0.0.1:5000/magento2:1",
		"123.dkr.ecr.eu-west-1.amazonaws.com/x@" + hex: "registry|||123.dkr.ecr.eu-west-1.amazonaws.com/x@" + hex,
	} {
		r, err := image.ParseReference(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		last := r.Digest
		if r.Registry != nil {
			last = r.Registry.Name()
		}
		if got := strings.Join([]string{string(r.Kind), r.Path, r.Tag, last}, "|"); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"", "oci:", "oci::tag", "oci:dir:", "oci:dir@sha256:123", "oci-archive:", "PHP:8.3", "php:8.3:4", "dir/with space"} {
		if r, err := image.ParseReference(bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %+v, %v", bad, r, err)
		}
	}
}

// FuzzParseReference checks that what is parsed is whole: no path is empty, and no part of what was given is lost.
func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"scratch", "oci:a:b@sha256:" + strings.Repeat("0", 64), "oci-archive:a.tar", "php:8.3", "oci::", "127.0.0.1:5000/x@sha256:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := image.ParseReference(s)
		if err != nil {
			return
		}
		switch r.Kind {
		case image.KindScratch:
			if s != "scratch" {
				t.Errorf("%q is scratch", s)
			}
		case image.KindRegistry:
			if r.Registry == nil {
				t.Errorf("%q has no registry reference", s)
			}
		default:
			whole := string(r.Kind) + ":" + r.Path
			if r.Tag != "" {
				whole += ":" + r.Tag
			}
			if r.Digest != "" {
				whole += "@" + r.Digest
			}
			if whole != s || r.Path == "" || strings.Contains(r.Path, ":") {
				t.Errorf("%q became %+v", s, r)
			}
		}
	})
}
