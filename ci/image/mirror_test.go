package image_test

import (
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
)

func aRegistry(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return s
}

// put puts an image of one layer for a platform into a registry.
func put(t *testing.T, server *httptest.Server, repo, platform string) v1.Image {
	t.Helper()
	im, err := random.Image(500, 1)
	if err != nil {
		t.Fatal(err)
	}
	im = forPlatform(t, im, platform)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/" + repo)
	if err == nil {
		err = remote.Write(ref, im)
	}
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func forPlatform(t *testing.T, im v1.Image, platform string) v1.Image {
	t.Helper()
	config, err := im.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, _ = strings.Cut(platform, "/")
	if im, err = mutate.ConfigFile(im, config); err != nil {
		t.Fatal(err)
	}
	return im
}

// A mirror is asked first, layers included, and the registry itself for what the mirror lacks.
func TestMirror(t *testing.T) {
	mirror, origin := aRegistry(t), aRegistry(t)
	address, err := url.Parse(mirror.URL)
	if err != nil {
		t.Fatal(err)
	}
	same := func(ref string, want v1.Image) {
		t.Helper()
		got, err := image.OpenBase(t.Context(), ref, "linux/amd64", image.WithMirror(address))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := digest(t, got), digest(t, want); a != b {
			t.Errorf("%s is %s, want %s", ref, a, b)
		}
		if err := image.Verify(got); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	same("php:8.3-fpm", put(t, mirror, "library/php:8.3-fpm", "linux/amd64"))
	host := strings.TrimPrefix(origin.URL, "http://")
	put(t, origin, "base/php:1", "linux/amd64")
	same(host+"/base/php:1", put(t, mirror, "base/php:1", "linux/amd64"))
	same(host+"/base/nginx:1", put(t, origin, "base/nginx:1", "linux/amd64"))
	if _, err := image.OpenBase(t.Context(), host+"/base/none:1", "linux/amd64", image.WithMirror(address)); err == nil {
		t.Error("an image that neither has was opened")
	}
}

func TestFullName(t *testing.T) {
	hash := "@sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]string{
		"php:8.3-fpm":                          "docker.io/library/php:8.3-fpm",
		"docker.io/library/php:8.3-fpm":        "docker.io/library/php:8.3-fpm",
		"docker.io/library/php:8.3-fpm" + hash: "docker.io/library/php:8.3-fpm",
		"php":                                  "docker.io/library/php:latest",
		"php" + hash:                           "docker.io/library/php",
		"127.0.0.1:5000/shop/php:8" + hash:     "127.0.0.1:5000/shop/php:8",
		"127.0.0.1:5000/shop/php" + hash:       "127.0.0.1:5000/shop/php",
		"oci:out/php":                          "",
		"scratch":                              "",
	} {
		if got := image.FullName(ref); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

// A layout for several platforms has each layer once, and is read back as it was written.
func TestLayoutOfSeveralPlatforms(t *testing.T) {
	amd, err := random.Image(500, 2)
	if err != nil {
		t.Fatal(err)
	}
	amd = forPlatform(t, amd, "linux/amd64")
	arm := forPlatform(t, amd, "linux/arm64")
	l, err := image.NewLayout(amd, arm)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := l.Write(dir, map[string]string{image.AnnotationRefName: "42"}); err != nil {
		t.Fatal(err)
	}
	back, err := image.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := back.Digest(); err != nil || a != b {
		t.Errorf("read back it is %s (%v), written was %s", b, err, a)
	}
	for platform, want := range map[string]v1.Image{"linux/amd64": amd, "linux/arm64": arm} {
		im, err := back.For(platform)
		if err != nil {
			t.Fatal(err)
		}
		if digest(t, im) != digest(t, want) {
			t.Errorf("for %s it has %s, want %s", platform, digest(t, im), digest(t, want))
		}
		if err := image.Verify(im); err != nil {
			t.Errorf("%s: %v", platform, err)
		}
	}
	if _, err := back.For("linux/s390x"); err == nil || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("a platform that it has not: %v", err)
	}
	if _, err := image.ReadLayout(dir); err == nil || !strings.Contains(err.Error(), "several platforms: linux/amd64, linux/arm64") {
		t.Errorf("as one image: %v", err)
	}
}
