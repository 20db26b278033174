package test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
)

// served puts a copy of an image of the engine's into a registry of this machine.
func served(t *testing.T, address, ref string) v1.Image {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "base.tar")
	if _, err := connect(t).Container().From(ref).AsTarball().Export(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	im, err := image.OpenBase(t.Context(), "oci-archive:"+archive, "")
	if err != nil {
		t.Fatal(err)
	}
	to, err := name.ParseReference(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, im); err != nil {
		t.Fatal(err)
	}
	return im
}

// TestOneCommitOneDigest: one commit and one base give the same two images, again
// and again, after the engine has forgotten all, and by either shell; and the base
// is in them as its registry has it.
func TestOneCommitOneDigest(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	php := os.Getenv("MCK_E2E_PHP_IMAGE")
	if php == "" {
		php = "php:8.2-fpm-bookworm"
	}
	refs := map[string]string{"magento2": address + "/base/php:8.2-fpm-bookworm", "nginx": address + "/base/nginx:stable"}
	bases := map[string]v1.Image{"magento2": served(t, refs["magento2"], php), "nginx": served(t, refs["nginx"], "nginx:stable-bookworm")}
	if _, err := connect(t).Container().From(refs["nginx"]).ImageRef(t.Context()); err != nil {
		t.Skipf("the engine does not reach a registry of this machine: %v", err)
	}
	head, err := exec.Command("git", "-C", sample, "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--source=" + sample, "--smoke=false", "--php-image=" + refs["magento2"], "--nginx-image=" + refs["nginx"], "--base-registry=tcp://" + address,
		"build", "--build-num=7", "--revision=" + strings.TrimSpace(string(head)), "--revision-time=" + strconv.Itoa(commitTime),
	}
	built := func() map[string]v1.Image {
		dir := t.TempDir()
		call(t, append(flags, "export", "-o", dir)...).must(t)
		images := map[string]v1.Image{}
		for _, name := range imageNames {
			im, err := image.ReadLayout(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			images[name] = im
		}
		return images
	}
	first := built()
	for name, im := range first {
		standsOn(t, name, im, bases[name], refs[name])
	}
	prune(t)
	same(t, "after the engine's cache was emptied", first, built())

	out := onHost(t, "build", "--build-num=7", "--smoke=false", "--php-base="+refs["magento2"], "--nginx-base="+refs["nginx"])
	host := map[string]v1.Image{}
	for _, name := range imageNames {
		if host[name], err = image.ReadLayout(filepath.Join(out, name)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "mck, dagger before", first, host)
}

// standsOn checks that an image begins with its base, and says so.
func standsOn(t *testing.T, name string, im, base v1.Image, ref string) {
	t.Helper()
	manifest, config := parts(t, im)
	below, _ := parts(t, base)
	for i, l := range below.Layers {
		if i >= len(manifest.Layers) || manifest.Layers[i].Digest != l.Digest {
			t.Errorf("%s: layer %d is not its base's %s", name, i, l.Digest)
		}
	}
	digest, err := base.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.Labels[image.LabelBaseDigest]; got != digest.String() {
		t.Errorf("%s: base.digest is %s, the registry's manifest has %s", name, got, digest)
	}
	if got := config.Config.Labels[image.LabelBaseName]; got != ref {
		t.Errorf("%s: base.name is %s, want %s", name, got, ref)
	}
}

func parts(t *testing.T, im v1.Image) (*v1.Manifest, *v1.ConfigFile) {
	t.Helper()
	manifest, err := im.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := im.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return manifest, config
}

// same compares two builds, and shows what differs of their images.
func same(t *testing.T, what string, want, got map[string]v1.Image) {
	t.Helper()
	for _, name := range imageNames {
		a, err := want[name].Digest()
		if err != nil {
			t.Fatal(err)
		}
		b, err := got[name].Digest()
		if err != nil {
			t.Fatal(err)
		}
		if a == b {
			continue
		}
		t.Errorf("%s: %s is %s, before %s", what, name, b, a)
		wantManifest, wantConfig := parts(t, want[name])
		gotManifest, gotConfig := parts(t, got[name])
		t.Logf("manifest:\n%s\nconfig:\n%s", cmp.Diff(wantManifest, gotManifest), cmp.Diff(wantConfig, gotConfig))
	}
}
