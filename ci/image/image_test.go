package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

var created = time.Date(2026, 3, 4, 5, 6, 7, 891011, time.FixedZone("", 3600))

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// value returns v, or fails the test.
func value[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		must(tb, err)
		return v
	}
}

// baseImage is what a registry would have: with Docker's media types, an environment, labels and a history.
func baseImage(tb testing.TB, platform string) v1.Image {
	tb.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	content := "ID=base " + platform
	must(tb, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "etc/os-release", Size: int64(len(content)), Mode: 0o644}))
	_, err := tw.Write([]byte(content))
	must(tb, errors.Join(err, tw.Close()))
	l := value(tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }))(tb)
	p := value(v1.ParsePlatform(platform))(tb)
	im := value(mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, Author: "somebody", Container: "c0ffee",
		Config: v1.Config{
			Env:        []string{"PATH=/usr/bin", "PHP_VERSION=8.3", "LANG=C"},
			Entrypoint: []string{"docker-entrypoint"}, Cmd: []string{"php-fpm"}, User: "root", WorkingDir: "/srv", StopSignal: "SIGQUIT",
			ExposedPorts: map[string]struct{}{"9000/tcp": {}},
			Labels:       map[string]string{"org.opencontainers.image.version": "base's", "org.opencontainers.image.title": "base", "vendor": "kept"},
			Image:        "sha256:parent", Hostname: "builder",
		},
	}))(tb)
	return value(mutate.Append(im,
		mutate.Addendum{Layer: l, History: v1.History{CreatedBy: "ADD rootfs"}},
		mutate.Addendum{History: v1.History{CreatedBy: "ENV LANG=C", EmptyLayer: true}},
	))(tb)
}

// packs packs layers of one file each into a directory.
func packs(tb testing.TB, dir string, comp layer.Compression, names ...string) []layer.Descriptor {
	tb.Helper()
	var out []layer.Descriptor
	for _, n := range names {
		spec := layer.Spec{Name: n, Prefix: "srv", Files: []layer.File{{Path: n, Content: []byte(strings.Repeat("content of "+n, 100))}}}
		out = append(out, value(layer.PackFile(tb.Context(), "", spec, comp, dir))(tb))
	}
	return out
}

// sample is an image over baseImage and the directory that has its layers.
func sample(tb testing.TB) (image.Image, string) {
	tb.Helper()
	dir := tb.TempDir()
	layers := append(packs(tb, dir, layer.Zstd, "vendor", "app"), packs(tb, dir, layer.Gzip, "revision")...)
	return image.Image{
		Name: "magento2", Platform: "linux/amd64", Base: "php:8.3-fpm", Layers: layers, Created: created,
		Config: image.Config{
			User: "33:33", Env: map[string]string{"PHP_VERSION": "9", "B": "2", "A": "1=1"}, Entrypoint: []string{"/entrypoint"},
			ExposedPorts: []string{"9001/tcp"}, Volumes: []string{"/srv/var"}, Labels: map[string]string{image.LabelVersion: "42"},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "fpm-ping"}},
		},
	}, dir
}

func assembled(tb testing.TB) v1.Image {
	tb.Helper()
	im, dir := sample(tb)
	return value(image.Assemble(baseImage(tb, "linux/amd64"), im, layer.Blobs(dir)))(tb)
}

func digest(tb testing.TB, im v1.Image) string {
	tb.Helper()
	return value(im.Digest())(tb).String()
}

func TestAssemble(t *testing.T) {
	base := baseImage(t, "linux/amd64")
	spec, dir := sample(t)
	im := value(image.Assemble(base, spec, layer.Blobs(dir)))(t)

	must(t, image.Verify(im))

	baseConfig := value(base.ConfigFile())(t)
	at := v1.Time{Time: time.Date(2026, 3, 4, 4, 6, 7, 0, time.UTC)}
	want := &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", Created: at,
		Config: v1.Config{
			User: "33:33", Env: []string{"PATH=/usr/bin", "PHP_VERSION=9", "LANG=C", "A=1=1", "B=2"},
			Entrypoint: []string{"/entrypoint"}, WorkingDir: "/srv", StopSignal: "SIGQUIT",
			ExposedPorts: map[string]struct{}{"9001/tcp": {}}, Volumes: map[string]struct{}{"/srv/var": {}},
			Labels: map[string]string{
				"vendor": "kept", image.LabelVersion: "42",
				image.LabelBaseName: "php:8.3-fpm", image.LabelBaseDigest: digest(t, base),
			},
			Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "fpm-ping"}},
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: baseConfig.RootFS.DiffIDs},
		History: append(baseConfig.History,
			v1.History{Created: at, CreatedBy: "vendor"}, v1.History{Created: at, CreatedBy: "app"}, v1.History{Created: at, CreatedBy: "revision"}),
	}
	for _, d := range spec.Layers {
		want.RootFS.DiffIDs = append(want.RootFS.DiffIDs, value(v1.NewHash(d.DiffID))(t))
	}
	if diff := cmp.Diff(want, value(im.ConfigFile())(t)); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}

	manifest := value(im.Manifest())(t)
	baseManifest := value(base.Manifest())(t)
	wantManifest := &v1.Manifest{
		SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json",
		Config: v1.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: manifest.Config.Digest, Size: manifest.Config.Size},
		Layers: []v1.Descriptor{
			{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: baseManifest.Layers[0].Digest, Size: baseManifest.Layers[0].Size},
		},
	}
	for _, d := range spec.Layers {
		wantManifest.Layers = append(wantManifest.Layers, v1.Descriptor{MediaType: types.MediaType(d.MediaType), Digest: value(v1.NewHash(d.Digest))(t), Size: d.Size})
	}
	if diff := cmp.Diff(wantManifest, manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	layers := value(im.Layers())(t)
	if got := value(layers[0].MediaType())(t); got != types.OCILayer {
		t.Errorf("the base's layer is of media type %s", got)
	}
	for i, h := range want.RootFS.DiffIDs {
		for _, find := range []func() (v1.Layer, error){
			func() (v1.Layer, error) { return im.LayerByDiffID(h) },
			func() (v1.Layer, error) { return im.LayerByDigest(manifest.Layers[i].Digest) },
		} {
			if got := value(value(find())(t).DiffID())(t); got != h {
				t.Errorf("layer %d: found one with diff ID %s, want %s", i, got, h)
			}
		}
	}
	if _, err := im.LayerByDiffID(v1.Hash{Algorithm: "sha256", Hex: "none"}); err == nil {
		t.Error("no error for a layer that the image does not have")
	}
}

// TestLibraryFindsNoFault has the library's own validation look at an image. It reads no zstd.
func TestLibraryFindsNoFault(t *testing.T) {
	spec, dir := sample(t)
	spec.Layers = packs(t, dir, layer.Gzip, "vendor", "app")
	im := value(image.Assemble(baseImage(t, "linux/amd64"), spec, layer.Blobs(dir)))(t)
	must(t, validate.Image(im))
	out := filepath.Join(t.TempDir(), "out")
	must(t, image.WriteLayout(im, out, nil))
	must(t, validate.Image(value(image.ReadLayout(out))(t)))
}

func TestAssembleInherits(t *testing.T) {
	base := baseImage(t, "linux/amd64")
	im := value(image.Assemble(base, image.Image{Base: "php", Created: created}, nil))(t)
	want := value(base.ConfigFile())(t).Config
	want.Labels = map[string]string{"vendor": "kept", image.LabelBaseName: "php", image.LabelBaseDigest: digest(t, base)}
	want.Image, want.Hostname = "", ""
	if diff := cmp.Diff(want, value(im.ConfigFile())(t).Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	im = value(image.Assemble(base, image.Image{Created: created, Config: image.Config{Cmd: []string{"sh"}}}, nil))(t)
	if got := value(im.ConfigFile())(t).Config; cmp.Diff([]string{"docker-entrypoint"}, got.Entrypoint) != "" || cmp.Diff([]string{"sh"}, got.Cmd) != "" {
		t.Errorf("Cmd alone: entrypoint %q, cmd %q", got.Entrypoint, got.Cmd)
	}
}

func TestAssembleIsDeterministicAndReadsNoBlob(t *testing.T) {
	spec, _ := sample(t)
	unread := func(d layer.Descriptor) (io.ReadCloser, error) {
		t.Errorf("layer %s was opened", d.Name)
		return nil, errors.New("unread")
	}
	build := func(spec image.Image) string {
		return digest(t, value(image.Assemble(baseImage(t, "linux/amd64"), spec, unread))(t))
	}
	want := build(spec)
	for range 5 {
		if got := build(spec); got != want {
			t.Fatalf("the same again has the digest %s, at first %s", got, want)
		}
	}
	later := spec
	later.Created = created.Add(time.Second)
	fewer := spec
	fewer.Layers = spec.Layers[1:]
	user := spec
	user.Config.User = "101"
	for what, other := range map[string]image.Image{"time": later, "layers": fewer, "user": user} {
		if build(other) == want {
			t.Errorf("another %s, and the same digest", what)
		}
	}
	// A value can be kept as JSON.
	var again image.Image
	must(t, json.Unmarshal(value(json.Marshal(spec))(t), &again))
	if build(again) != want {
		t.Error("the image kept as JSON has another digest")
	}
}

func TestAssembleOnScratch(t *testing.T) {
	base := value(image.OpenBase(t.Context(), "scratch", "linux/arm64/v8"))(t)
	spec, dir := sample(t)
	spec.Base, spec.Platform = "scratch", "linux/arm64"
	im := value(image.Assemble(base, spec, layer.Blobs(dir)))(t)
	must(t, image.Verify(im))
	config := value(im.ConfigFile())(t)
	if config.Platform().String() != "linux/arm64/v8" || len(config.History) != 3 || len(config.RootFS.DiffIDs) != 3 {
		t.Errorf("config: %+v", config)
	}
	if _, ok := config.Config.Labels[image.LabelBaseName]; ok {
		t.Errorf("labels: %v", config.Config.Labels)
	}
}

func TestAssembleCompletesHistory(t *testing.T) {
	for _, history := range [][]v1.History{nil, {{CreatedBy: "a"}, {CreatedBy: "b"}}} {
		base := baseImage(t, "linux/amd64")
		config := value(base.ConfigFile())(t).DeepCopy()
		config.History = history
		base = value(mutate.ConfigFile(base, config))(t)
		spec, dir := sample(t)
		im := value(image.Assemble(base, spec, layer.Blobs(dir)))(t)
		if n := len(value(im.ConfigFile())(t).History); n != 4 {
			t.Errorf("%d entries for 4 layers", n)
		}
	}
}

func TestAssembleRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*image.Image)
		want   string
	}{
		"no time":                  {func(i *image.Image) { i.Created = time.Time{} }, "time of creation"},
		"another platform":         {func(i *image.Image) { i.Platform = "linux/arm64" }, "php:8.3-fpm: it is for linux/amd64, not for linux/arm64"},
		"a variable with an =":     {func(i *image.Image) { i.Config.Env = map[string]string{"A=B": "c"} }, `"A=B"`},
		"a layer without a digest": {func(i *image.Image) { i.Layers[0].Digest = "" }, "layer vendor"},
		"a layer without a diffID": {func(i *image.Image) { i.Layers[1].DiffID = "sha256:x" }, "layer app"},
		"an unknown media type":    {func(i *image.Image) { i.Layers[0].MediaType = "text/plain" }, "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			spec, dir := sample(t)
			test.change(&spec)
			_, err := image.Assemble(baseImage(t, "linux/amd64"), spec, layer.Blobs(dir))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "magento2") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestVerifyFindsLies(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*layer.Descriptor)
		want   string
	}{
		"size":    {func(d *layer.Descriptor) { d.Size++ }, "do not have the digest"},
		"diff ID": {func(d *layer.Descriptor) { d.DiffID = d.Digest }, "diff ID"},
	} {
		t.Run(name, func(t *testing.T) {
			spec, dir := sample(t)
			blobs := layer.Blobs(dir)
			test.change(&spec.Layers[1])
			im := value(image.Assemble(baseImage(t, "linux/amd64"), spec, blobs))(t)
			if err := image.Verify(im); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), spec.Layers[1].Digest) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("content", func(t *testing.T) {
		spec, dir := sample(t)
		must(t, os.WriteFile(layer.BlobPath(dir, spec.Layers[2].Digest), []byte("other"), 0o644))
		im := value(image.Assemble(baseImage(t, "linux/amd64"), spec, layer.Blobs(dir)))(t)
		if err := image.Verify(im); err == nil || !strings.Contains(err.Error(), spec.Layers[2].Digest) {
			t.Errorf("error %v", err)
		}
	})
}

func TestDescribe(t *testing.T) {
	im := assembled(t)
	spec, _ := sample(t)
	got := value(image.Describe(im))(t)
	manifest := value(im.Manifest())(t)
	want := image.Summary{
		Digest: digest(t, im), Platform: "linux/amd64", Size: manifest.Config.Size + manifest.Layers[0].Size,
		Layers: []image.LayerSummary{{Name: "ADD rootfs", Digest: manifest.Layers[0].Digest.String(), MediaType: string(types.OCILayer), Size: manifest.Layers[0].Size}},
	}
	for _, d := range spec.Layers {
		want.Size += d.Size
		want.Layers = append(want.Layers, image.LayerSummary{Name: d.Name, Digest: d.Digest, MediaType: d.MediaType, Size: d.Size})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

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

func TestLayout(t *testing.T) {
	spec, blobs := sample(t)
	im := value(image.Assemble(baseImage(t, "linux/amd64"), spec, layer.Blobs(blobs)))(t)
	dir := filepath.Join(t.TempDir(), "out", "magento2")
	must(t, image.WriteLayout(im, dir, map[string]string{image.AnnotationRefName: "42", "com.example": "x"}))

	path := value(layout.FromPath(dir))(t)
	index := value(value(path.ImageIndex())(t).IndexManifest())(t)
	if len(index.Manifests) != 1 {
		t.Fatalf("index: %+v", index)
	}
	want := v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Digest: value(im.Digest())(t), Size: value(im.Size())(t),
		Platform:    &v1.Platform{OS: "linux", Architecture: "amd64"},
		Annotations: map[string]string{image.AnnotationRefName: "42", "com.example": "x"},
	}
	if diff := cmp.Diff(want, index.Manifests[0]); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	must(t, image.Verify(value(path.Image(want.Digest))(t)))

	for _, ref := range []string{"oci:" + dir, "oci:" + dir + ":42", "oci:" + dir + "@" + digest(t, im), "oci:" + dir + ":42@" + digest(t, im)} {
		if got := digest(t, value(image.OpenBase(t.Context(), ref, "linux/amd64"))(t)); got != digest(t, im) {
			t.Errorf("%s: %s", ref, got)
		}
	}
	read := value(image.ReadLayout(dir))(t)
	must(t, image.Verify(read))
	if digest(t, read) != digest(t, im) {
		t.Errorf("wrote %s, read %s", digest(t, im), digest(t, read))
	}
	for _, ref := range []string{"oci:" + dir + ":43", "oci:" + dir + "@sha256:" + strings.Repeat("0", 64)} {
		if _, err := image.OpenBase(t.Context(), ref, ""); err == nil || !strings.Contains(err.Error(), "42@"+digest(t, im)) {
			t.Errorf("%s: error %v does not say what there is", ref, err)
		}
	}
	// Packed blobs are linked.
	for _, d := range spec.Layers {
		packed := value(os.Stat(layer.BlobPath(blobs, d.Digest)))(t)
		if !os.SameFile(packed, value(os.Stat(layer.BlobPath(dir, d.Digest)))(t)) {
			t.Errorf("layer %s was copied", d.Name)
		}
	}
}

func TestLayoutIsReplacedWhole(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "magento2")
	spec, blobs := sample(t)
	base := baseImage(t, "linux/amd64")
	first := value(image.Assemble(base, spec, layer.Blobs(blobs)))(t)
	must(t, image.WriteLayout(first, dir, nil))

	// An error leaves the old one.
	next := spec
	next.Layers = append(spec.Layers[:2:2], packs(t, blobs, layer.Zstd, "other")...)
	second := value(image.Assemble(base, next, layer.Blobs(blobs)))(t)
	lost := errors.New("lost")
	broken := value(image.Assemble(base, next, func(d layer.Descriptor) (io.ReadCloser, error) { return nil, lost }))(t)
	if err := image.WriteLayout(broken, dir, nil); !errors.Is(err, lost) {
		t.Errorf("a blob that is lost: %v", err)
	}
	corrupt := value(image.Assemble(base, next, func(d layer.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, d.Size))), nil
	}))(t)
	if err := image.WriteLayout(corrupt, dir, nil); err == nil || !strings.Contains(err.Error(), next.Layers[2].Digest) {
		t.Errorf("a blob that is corrupt: %v", err)
	}
	if got := digest(t, value(image.ReadLayout(dir))(t)); got != digest(t, first) {
		t.Errorf("after the errors: %s, want %s", got, digest(t, first))
	}

	must(t, image.WriteLayout(second, dir, nil))
	read := value(image.ReadLayout(dir))(t)
	must(t, image.Verify(read))
	if digest(t, read) != digest(t, second) {
		t.Errorf("after the second: %s, want %s", digest(t, read), digest(t, second))
	}
	if _, err := os.Stat(layer.BlobPath(dir, spec.Layers[2].Digest)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob of the first is still there: %v", err)
	}

	// An image on what is being replaced.
	onItself := value(image.OpenBase(t.Context(), "oci:"+dir, ""))(t)
	third := value(image.Assemble(onItself, image.Image{Name: "third", Base: "oci:" + dir, Created: created, Layers: packs(t, blobs, layer.Zstd, "top")}, layer.Blobs(blobs)))(t)
	must(t, image.WriteLayout(third, dir, nil))
	must(t, image.Verify(value(image.ReadLayout(dir))(t)))

	entries := value(os.ReadDir(parent))(t)
	if len(entries) != 1 {
		t.Errorf("left beside the layout: %v", entries)
	}
}

// TestDamagedLayoutIsMended writes over a layout whose blob has rotted.
func TestDamagedLayoutIsMended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "magento2")
	im := assembled(t)
	must(t, image.WriteLayout(im, dir, nil))
	manifest := value(im.Manifest())(t)
	blob := layer.BlobPath(dir, manifest.Layers[0].Digest.String())
	content := value(os.ReadFile(blob))(t)
	content[len(content)-1] ^= 1
	must(t, os.WriteFile(blob, content, 0o644))
	if err := image.Verify(value(image.ReadLayout(dir))(t)); err == nil {
		t.Fatal("the damage does not show")
	}
	must(t, image.WriteLayout(im, dir, nil))
	must(t, image.Verify(value(image.ReadLayout(dir))(t)))
}

func TestLayoutSparesOtherDirectories(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("years of work"), 0o644))
	if err := image.WriteLayout(assembled(t), dir, nil); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("error %v", err)
	}
	if got := string(value(os.ReadFile(filepath.Join(dir, "thesis.txt")))(t)); got != "years of work" {
		t.Errorf("the file: %q", got)
	}
	must(t, image.WriteLayout(assembled(t), t.TempDir(), nil)) // empty
}

func TestLayoutWithSeveralImages(t *testing.T) {
	dir := t.TempDir()
	path := value(layout.Write(dir, empty.Index))(t)
	if _, err := image.ReadLayout(dir); err == nil || !strings.Contains(err.Error(), "holds no image") {
		t.Errorf("an empty layout: %v", err)
	}
	amd, arm := baseImage(t, "linux/amd64"), baseImage(t, "linux/arm64")
	must(t, path.AppendImage(amd, layout.WithAnnotations(map[string]string{image.AnnotationRefName: "amd"})))
	must(t, path.AppendImage(arm, layout.WithAnnotations(map[string]string{image.AnnotationRefName: "arm"})))
	if _, err := image.ReadLayout(dir); err == nil || !strings.Contains(err.Error(), "amd@"+digest(t, amd)+", arm@"+digest(t, arm)) {
		t.Errorf("error %v does not say what there is", err)
	}
	if got := digest(t, value(image.OpenBase(t.Context(), "oci:"+dir+":arm", "linux/arm64"))(t)); got != digest(t, arm) {
		t.Errorf("by tag: %s", got)
	}
	if _, err := image.OpenBase(t.Context(), "oci:"+dir+":arm", "linux/amd64"); err == nil || !strings.Contains(err.Error(), "it is for linux/arm64") {
		t.Errorf("by tag, for another platform: %v", err)
	}
	if _, err := image.ReadLayout(filepath.Join(dir, "blobs")); err == nil {
		t.Error("no error for a directory that is no layout")
	}
}

func TestArchive(t *testing.T) {
	im := assembled(t)
	var first, second bytes.Buffer
	tagged := map[string]string{image.AnnotationRefName: "42"}
	must(t, image.WriteArchive(im, &first, tagged))
	must(t, image.WriteArchive(im, &second, tagged))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same image gives two archives")
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	must(t, os.WriteFile(file, first.Bytes(), 0o644))
	read := value(image.OpenBase(t.Context(), "oci-archive:"+file+":42", "linux/amd64"))(t)
	if digest(t, read) != digest(t, im) {
		t.Errorf("wrote %s, read %s", digest(t, im), digest(t, read))
	}
	must(t, image.Verify(read))

	// As a base, written to a layout and back.
	again := value(image.Assemble(read, image.Image{Name: "again", Base: "oci-archive:" + file, Created: created}, nil))(t)
	dir := filepath.Join(t.TempDir(), "again")
	must(t, image.WriteLayout(again, dir, nil))
	must(t, image.Verify(value(image.ReadLayout(dir))(t)))

	damaged := bytes.Clone(first.Bytes())
	i := bytes.Index(damaged, []byte(`"schemaVersion"`))
	damaged[i+1] = 'S' // in the manifest, which the index names by digest
	must(t, os.WriteFile(file, damaged, 0o644))
	if _, err := image.OpenBase(t.Context(), "oci-archive:"+file, ""); err == nil || !strings.Contains(err.Error(), "is broken") {
		t.Errorf("a damaged archive: %v", err)
	}
	for name, content := range map[string][]byte{"cut": first.Bytes()[:1000], "empty": nil, "text": []byte(strings.Repeat("x", 1024))} {
		must(t, os.WriteFile(file, content, 0o644))
		if _, err := image.OpenBase(t.Context(), "oci-archive:"+file, ""); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("no space left")
	if err := image.WriteArchive(im, failingWriter{full}, nil); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestSkopeo has another implementation read what is written.
func TestSkopeo(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed")
	}
	im := assembled(t)
	dir := filepath.Join(t.TempDir(), "magento2")
	must(t, image.WriteLayout(im, dir, map[string]string{image.AnnotationRefName: "42"}))
	file := filepath.Join(t.TempDir(), "magento2.tar")
	f := value(os.Create(file))(t)
	must(t, errors.Join(image.WriteArchive(im, f, nil), f.Close()))

	for _, ref := range []string{"oci:" + dir, "oci:" + dir + ":42", "oci-archive:" + file} {
		run := func(args ...string) []byte {
			t.Helper()
			out, err := exec.CommandContext(t.Context(), skopeo, args...).Output()
			if exit := new(exec.ExitError); errors.As(err, &exit) {
				t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
			}
			must(t, err)
			return out
		}
		var got struct {
			Digest, Architecture string
			Layers               []string
			Labels               map[string]string
		}
		must(t, json.Unmarshal(run("inspect", ref), &got))
		if got.Digest != digest(t, im) || got.Architecture != "amd64" || len(got.Layers) != 4 || got.Labels[image.LabelVersion] != "42" {
			t.Errorf("%s: %+v", ref, got)
		}
		// Copying reads every blob and checks its digest.
		to := filepath.Join(t.TempDir(), "copy")
		run("copy", "--insecure-policy", ref, "oci:"+to+":x")
		if got := digest(t, value(image.ReadLayout(to))(t)); got != digest(t, im) {
			t.Errorf("%s: the copy has the digest %s, want %s", ref, got, digest(t, im))
		}
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
