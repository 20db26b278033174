package image_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

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
	next.Layers = slices.Concat(spec.Layers[:2], packs(t, blobs, layer.Zstd, "other"))
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
