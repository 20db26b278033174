package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

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
