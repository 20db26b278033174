package stack_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/build/stack"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// packed are the layers of a build, in the order in which they were made.
func packed(names ...string) []layer.Descriptor {
	var out []layer.Descriptor
	for i, n := range names {
		out = append(out, layer.Descriptor{Name: n, Digest: "sha256:" + strings.Repeat(string(rune('a'+i%6)), 64), Files: 1})
	}
	return out
}

var (
	all = []string{
		"vendor", "magento", "entry", "app", "app-etc", "app-design", "app-code", "generated",
		"static-frontend-Acme-shop", "static-adminhtml-Magento-backend", "static-common",
		"gzip-static-frontend-Acme-shop", "gzip-static-adminhtml-Magento-backend", "gzip-static-common",
		"config-magento2", "config-nginx", "release", "php-extensions",
	}
	release = build.Release{BuildNum: "42", Revision: "abc", Source: "https://github.com/acme/store", Created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
)

func names(im image.Image) []string {
	var out []string
	for _, l := range im.Layers {
		out = append(out, l.Name)
	}
	return out
}

// From rarely to often changed; the release's layer is the last in both.
func TestOrder(t *testing.T) {
	php := []string{
		"php-extensions", "config-magento2", "vendor", "magento", "app", "app-etc", "app-design", "app-code", "generated",
		"static-adminhtml-Magento-backend", "static-common", "static-frontend-Acme-shop", "release",
	}
	nginx := []string{
		"config-nginx", "entry", "static-adminhtml-Magento-backend", "static-common", "static-frontend-Acme-shop",
		"gzip-static-adminhtml-Magento-backend", "gzip-static-common", "gzip-static-frontend-Acme-shop", "release",
	}
	layers := packed(all...)
	for range 2 {
		images, err := stack.Images(release, "linux/amd64", layers)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"magento2", "nginx"}, []string{images[0].Name, images[1].Name}); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(php, names(images[0])); diff != "" {
			t.Errorf("magento2 (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(nginx, names(images[1])); diff != "" {
			t.Errorf("nginx (-want +got):\n%s", diff)
		}
		slices.Reverse(layers) // when a layer was made does not decide where it lies
	}
}

// A layer without a file is left out; only the extensions' may be missing.
func TestMissingAndEmptyLayers(t *testing.T) {
	layers := packed(all...)
	for i := range layers {
		if layers[i].Name == "gzip-static-common" || layers[i].Name == "static-common" {
			layers[i].Files = 0
		}
	}
	images, err := stack.Images(release, "linux/amd64", layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range images {
		if got := names(im); slices.Contains(got, "static-common") || slices.Contains(got, "gzip-static-common") {
			t.Errorf("%s has a layer of nothing: %v", im.Name, got)
		}
	}
	for _, missing := range []string{"vendor", "magento", "app", "app-etc", "app-design", "app-code", "entry", "generated", "config-magento2", "config-nginx", "release", "php-extensions"} {
		rest := slices.DeleteFunc(slices.Clone(packed(all...)), func(l layer.Descriptor) bool { return l.Name == missing })
		_, err := stack.Images(release, "linux/amd64", rest)
		if missing == "php-extensions" {
			if err != nil {
				t.Errorf("on a base that has all extensions: %v", err)
			}
		} else if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without the layer %s: %v", missing, err)
		}
	}
}

func TestConfig(t *testing.T) {
	images, err := stack.Images(release, "linux/arm64", packed(all...))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{
		image.LabelVersion: "42", image.LabelRevision: "abc", image.LabelSource: "https://github.com/acme/store", image.LabelCreated: "2026-05-04T03:02:01Z",
	}
	for _, im := range images {
		if diff := cmp.Diff(labels, im.Config.Labels); diff != "" {
			t.Errorf("%s: labels (-want +got):\n%s", im.Name, diff)
		}
		if im.Platform != "linux/arm64" || !im.Created.Equal(release.Created) {
			t.Errorf("%s: platform %s, created %s", im.Name, im.Platform, im.Created)
		}
		if im.Config.StopSignal != "SIGQUIT" || im.Config.WorkingDir != "/var/www/html" || len(im.Config.Volumes) != 0 {
			t.Errorf("%s does not stop gracefully, starts elsewhere, or has volumes: %+v", im.Name, im.Config)
		}
		uid, _, _ := strings.Cut(im.Config.User, ":")
		if uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s runs as %q", im.Name, im.Config.User)
		}
	}
	php, nginx := images[0].Config, images[1].Config
	if diff := cmp.Diff([][]string{{"9000/tcp"}, {"8080/tcp"}}, [][]string{php.ExposedPorts, nginx.ExposedPorts}); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if got := php.Env["PHP_INI_SCAN_DIR"]; got != ":/usr/local/etc/magento/php.d" {
		t.Errorf("PHP that the entrypoint does not start finds its settings in %q", got)
	}
	if php.Healthcheck == nil || !slices.Equal(php.Healthcheck.Test, []string{"CMD", "fpm-ping"}) {
		t.Errorf("magento2's health check is %+v", php.Healthcheck)
	}

	bare := release
	bare.Revision, bare.Source = "", ""
	images, err = stack.Images(bare, "linux/amd64", packed(all...))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{image.LabelVersion: "42", image.LabelCreated: "2026-05-04T03:02:01Z"}
	if diff := cmp.Diff(want, images[0].Config.Labels); diff != "" {
		t.Errorf("labels of a build that knows no commit (-want +got):\n%s", diff)
	}
	bare.BuildNum = "not a tag"
	if _, err := stack.Images(bare, "linux/amd64", packed(all...)); err == nil || !strings.Contains(err.Error(), "not a tag") {
		t.Errorf("a build number that is no tag: %v", err)
	}
}
