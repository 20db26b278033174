package image_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

var created = time.Date(2026, 3, 4, 5, 6, 7, 891011, time.FixedZone("", 3600))

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
