package build_test

import (
	"os"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/build"
)

func TestParseBases(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	if got, err := build.ParseBases([]byte(`{"php:8.3-fpm-bookworm": "` + digest + `", "nginx:stable-bookworm": ""}`)); err != nil || got["php:8.3-fpm-bookworm"] != digest {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{`{`, `[]`, `{"php": 1}`, `{"php": "latest"}`, `{"php": "sha256:00"}`, `{"php": "` + strings.ToUpper(digest) + `"}`} {
		if got, err := build.ParseBases([]byte(bad)); err == nil || !strings.Contains(err.Error(), build.BasesFile) {
			t.Errorf("%s: %v, %v", bad, got, err)
		}
	}
}

// The file names what a build without settings stands on.
func TestBasesFileNamesTheDefaults(t *testing.T) {
	content, err := os.ReadFile("bases.json")
	if err != nil {
		t.Fatal(err)
	}
	bases, err := build.ParseBases(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{build.NginxImage, build.PHPImage("8.2"), build.PHPImage("8.3"), build.PHPImage("8.4")} {
		digest, ok := bases[ref]
		if !ok {
			t.Errorf("%s is not in %s", ref, build.BasesFile)
		}
		if want := strings.TrimSuffix(ref+"@"+digest, "@"); build.Pinned(ref) != want {
			t.Errorf("%s is taken as %s, want %s", ref, build.Pinned(ref), want)
		}
	}
	if got := build.Pinned("registry.example/php:8.3"); got != "registry.example/php:8.3" {
		t.Errorf("an image that is not in the file: %s", got)
	}
}

func TestUnpinned(t *testing.T) {
	pinned := "php:8.3@sha256:" + strings.Repeat("0", 64)
	if got := build.Unpinned(pinned, "scratch", "oci:out/php", "oci-archive:php.tar"); got != "" {
		t.Errorf("nothing is left to a registry: %s", got)
	}
	if got := build.Unpinned(pinned, "nginx:stable"); !strings.HasPrefix(got, "not pinned: nginx:stable. ") || strings.Contains(got, "\n") {
		t.Errorf("%s", got)
	}
}
