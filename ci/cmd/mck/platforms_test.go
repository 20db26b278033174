package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
)

// basesFor puts a base with an image for each platform into a registry.
func basesFor(t *testing.T, ref string, platforms ...string) map[string]v1.Image {
	t.Helper()
	bases := map[string]v1.Image{}
	var index v1.ImageIndex = empty.Index
	for _, platform := range platforms {
		im, err := random.Image(1000, 2)
		noError(t, err)
		config, err := im.ConfigFile()
		noError(t, err)
		p, err := v1.ParsePlatform(platform)
		noError(t, err)
		config = config.DeepCopy()
		config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
		im, err = mutate.ConfigFile(im, config)
		noError(t, err)
		bases[platform] = im
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: p}})
	}
	to, err := name.ParseReference(ref)
	noError(t, err)
	noError(t, remote.WriteIndex(to, index))
	return bases
}

// An image for several platforms is an index: the base differs, and all that PHP made is the same.
func TestPlatforms(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	platforms := []string{"linux/amd64", "linux/arm64"}
	bases := map[string]map[string]v1.Image{
		"magento2": basesFor(t, address+"/base/php:8", platforms...), "nginx": basesFor(t, address+"/base/nginx:1", platforms...),
	}
	flags := []string{"--php-base", address + "/base/php:8", "--nginx-base", address + "/base/nginx:1", "--revision", "abc", "--platform"}
	out := buildImages(t, nil, append(flags, strings.Join(platforms, ","))...)

	for _, n := range imageNames {
		layout, err := image.OpenLayout(filepath.Join(out, n))
		noError(t, err)
		if got, err := layout.Platforms(); err != nil || !slices.Equal(got, platforms) {
			t.Fatalf("%s is for %v (%v)", n, got, err)
		}
		own := map[string][]string{}
		for _, platform := range platforms {
			im, err := layout.For(platform)
			noError(t, err)
			noError(t, image.Verify(im))
			config, err := im.ConfigFile()
			noError(t, err)
			want, err := bases[n][platform].Digest()
			noError(t, err)
			if got := config.Config.Labels[image.LabelBaseDigest]; got != want.String() {
				t.Errorf("%s for %s: base.digest is %s, and that platform's is %s", n, platform, got, want)
			}
			manifest, err := im.Manifest()
			noError(t, err)
			below, err := bases[n][platform].Manifest()
			noError(t, err)
			for i, l := range manifest.Layers {
				if i >= len(below.Layers) {
					own[platform] = append(own[platform], l.Digest.String())
				} else if l.Digest != below.Layers[i].Digest {
					t.Errorf("%s for %s: layer %d is not that platform's base's", n, platform, i)
				}
			}
		}
		if diff := cmp.Diff(own[platforms[0]], own[platforms[1]]); diff != "" || len(own[platforms[0]]) < 3 {
			t.Errorf("%s: the store's layers are not the same on both platforms (-%s +%s):\n%s", n, platforms[0], platforms[1], diff)
		}
	}
	pushedForBoth(t, out, address, platforms)
}

// pushedForBoth pushes the images, twice, and pulls each platform's.
func pushedForBoth(t *testing.T, out, address string, platforms []string) {
	t.Helper()
	push := []string{"push", "--images", out, "--registry", address, "--prefix", "shop", "--build-num", "42", "--json"}
	for i := range 2 {
		code, stdout, stderr := mck(t, nil, push...)
		if code != 0 {
			t.Fatalf("push = %d: %s", code, stderr)
		}
		var result struct{ BytesSent int64 }
		noError(t, json.Unmarshal([]byte(stdout), &result))
		if (result.BytesSent == 0) != (i == 1) {
			t.Errorf("push %d sent %d bytes", i+1, result.BytesSent)
		}
	}
	for _, n := range imageNames {
		layout, err := image.OpenLayout(filepath.Join(out, n))
		noError(t, err)
		want, err := layout.Digest()
		noError(t, err)
		ref := address + "/shop/" + n + ":42"
		if got, err := image.Digest(t.Context(), ref); err != nil || got != want.String() {
			t.Errorf("%s is %s (%v), want the index %s", ref, got, err, want)
		}
		for _, platform := range platforms {
			im, err := image.OpenBase(t.Context(), ref, platform)
			noError(t, err)
			noError(t, image.Verify(im))
		}
	}
}

func TestPlatformsThatCannotBe(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	base := strings.TrimPrefix(server.URL, "http://") + "/base/php:8"
	basesFor(t, base, "linux/amd64")
	for want, platform := range map[string]string{
		"is named twice":                  "linux/amd64,linux/amd64",
		`platform "arm64" is not`:         "linux/amd64,arm64",
		"it has no image for linux/s390x": "linux/amd64,linux/s390x",
	} {
		code, _, stderr := mck(t, withTools(t, nil), "build", "--source", sample(t), "--out", t.TempDir(), "--cache-dir", t.TempDir(),
			"--php-base", base, "--nginx-base", base, "--platform", platform)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q is not in: %s", platform, code, want, stderr)
		}
	}
}

// Smoke runs what this machine can, and says what it could not.
func TestSmokeOfSeveralPlatforms(t *testing.T) {
	other := "linux/arm64"
	if runtime.GOARCH == "arm64" {
		other = "linux/amd64"
	}
	out := buildImages(t, nil, "--platform", other+",linux/"+runtime.GOARCH)
	code, stdout, stderr := mck(t, nil, "smoke", "--images", out)
	if strings.Contains(stderr, "this machine lacks") {
		t.Skip(stderr)
	}
	if !strings.Contains(stdout, "not run: the images for "+other) {
		t.Errorf("exit code %d: it does not say that %s was not run:\n%s%s", code, other, stdout, stderr)
	}
	alone := buildImages(t, nil, "--platform", other)
	if code, _, stderr := mck(t, nil, "smoke", "--images", alone); code == 0 || !strings.Contains(stderr, "a processor for images of "+other) {
		t.Errorf("images for %s alone: exit code %d: %s", other, code, stderr)
	}
}
