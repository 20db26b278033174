package test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
)

// servedFor puts an index of a base for the engine's platform into a registry, and
// of the same files as another's: nothing of a base is run that has all extensions.
func servedFor(t *testing.T, address, ref string) {
	t.Helper()
	own := served(t, address, ref)
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"amd64", "arm64"} {
		config, err := own.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.Architecture = arch
		im, err := mutate.ConfigFile(own, config)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	to, err := name.ParseReference(address)
	if err == nil {
		err = remote.WriteIndex(to, index)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSeveralPlatforms: one build makes an index of images for both, whose own
// layers are the same, and its container is the engine's.
func TestSeveralPlatforms(t *testing.T) {
	php := os.Getenv("MCK_E2E_PHP_IMAGE")
	if php == "" {
		t.Skip("MCK_E2E_PHP_IMAGE names no image; an official one lacks extensions, and to add them for another platform wants emulation")
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	servedFor(t, address+"/base/php:8", php)
	servedFor(t, address+"/base/nginx:1", "nginx:stable-bookworm")
	if _, err := connect(t).Container().From(address + "/base/nginx:1").ImageRef(t.Context()); err != nil {
		t.Skipf("the engine does not reach a registry of this machine: %v", err)
	}
	flags := []string{
		"--source=" + sample, "--smoke=false", "--php-image=" + address + "/base/php:8", "--nginx-image=" + address + "/base/nginx:1", "--base-registry=tcp://" + address,
		"build", "--build-num=7", "--revision=0123abc", "--platform=linux/amd64,linux/arm64",
	}
	dir := t.TempDir()
	call(t, append(flags, "export", "-o", dir)...).must(t)
	for _, name := range imageNames {
		layout, err := image.OpenLayout(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if platforms, err := layout.Platforms(); err != nil || !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
			t.Fatalf("%s is for %v (%v)", name, platforms, err)
		}
		a, _ := parts(t, layout.Images[0])
		b, _ := parts(t, layout.Images[1])
		if diff := cmp.Diff(a.Layers, b.Layers); diff != "" { // the bases' files are the same here
			t.Errorf("%s: the layers differ from one platform to the other:\n%s", name, diff)
		}
		if a.Config.Digest == b.Config.Digest {
			t.Errorf("%s: both platforms have one config", name)
		}
	}
	if got := call(t, append(flags, "magento", "with-exec", "--args=uname,-s", "stdout")...).must(t).stdout; !strings.Contains(got, "Linux") {
		t.Errorf("the container says %q", got)
	}
}
