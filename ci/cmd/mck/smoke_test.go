package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/smoke/hostrun"
)

// needShop skips a test where the machine cannot run a shop.
func needShop(t *testing.T) {
	t.Helper()
	needTools(t)
	var unavailable *hostrun.Unavailable
	if errors.As(hostrun.Available(), &unavailable) {
		t.Skipf("%v: `make test` installs what is missing", unavailable)
	}
}

// buildImages builds a store that a change has been made to, and returns where its images are.
func buildImages(t *testing.T, change func(dir string), args ...string) string {
	t.Helper()
	source, out := sample(t), filepath.Join(t.TempDir(), "out")
	if change != nil {
		change(source)
	}
	code, _, errs := mck(t, withTools(t, nil), append([]string{"build", "--source", source, "--out", out, "--cache-dir", filepath.Join(t.TempDir(), "cache"),
		"--php-base", "scratch", "--nginx-base", "scratch", "--build-num", "42"}, args...)...)
	if code != 0 {
		t.Fatalf("build = %d\n%s", code, errs)
	}
	return out
}

// spoil copies two images and changes one of them: files laid over it (nil: deleted), and its config.
func spoil(t *testing.T, out, name string, files map[string][]byte, config func(*v1.Config)) string {
	t.Helper()
	dir := t.TempDir()
	noError(t, os.CopyFS(dir, os.DirFS(out)))
	im, err := image.ReadLayout(filepath.Join(out, name))
	noError(t, err)
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for file, text := range files {
		h := &tar.Header{Name: file, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if text == nil {
			h.Name = filepath.Join(filepath.Dir(file), ".wh."+filepath.Base(file))
		}
		noError(t, w.WriteHeader(h))
		_, err := w.Write(text)
		noError(t, err)
	}
	noError(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	noError(t, err)
	if len(files) > 0 {
		im, err = mutate.AppendLayers(im, l)
		noError(t, err)
	}
	if config != nil {
		c, err := im.ConfigFile()
		noError(t, err)
		changed := *c.Config.DeepCopy()
		config(&changed)
		im, err = mutate.Config(im, changed)
		noError(t, err)
	}
	noError(t, os.RemoveAll(filepath.Join(dir, name)))
	p, err := layout.Write(filepath.Join(dir, name), empty.Index)
	noError(t, err)
	noError(t, p.AppendImage(im))
	return dir
}

// content is a file of an image.
func content(t *testing.T, out, name, file string) string {
	t.Helper()
	root := rootfs(t, filepath.Join(out, name))
	raw, err := os.ReadFile(filepath.Join(root, file))
	noError(t, err)
	return strings.ReplaceAll(string(raw), root, "")
}

func smoked(t *testing.T, out string) smoke.Report {
	t.Helper()
	report, err := runSmoke(t.Context(), &env{now: time.Now, stderr: io.Discard}, out, false)
	noError(t, err)
	return report
}

// Every fault that smoke is there for is found, and what it says names the cause.
func TestSmokeCatches(t *testing.T) {
	needShop(t)
	good := buildImages(t, nil)
	minified := func(dir string) {
		edit(t, filepath.Join(dir, "app/etc/config.php"), "'default' => [\n            'general'", "'default' => [\n            'dev' => ['template' => ['minify_html' => '1']],\n            'general'")
	}
	const facts = "var/www/html/generated/magecloudkit.php"
	const template = "etc/nginx/templates/nginx.conf.template"
	for _, c := range []struct {
		name  string
		out   func() string
		says  []string // the checks' causes and details contain these
		check string   // that failed
	}{
		{"minified HTML without templates", func() string {
			with := buildImages(t, minified)
			if r := smoked(t, with); !r.OK() {
				t.Errorf("minified HTML with templates does not serve:\n%s", r)
			}
			return spoil(t, with, "magento2", map[string][]byte{"usr/local/share/magento/var/view_preprocessed": nil}, nil)
		}, []string{"likely cause: minified HTML", "view_preprocessed"}, "home"},
		{"a missing extension", func() string {
			return spoil(t, good, "magento2", nil, func(c *v1.Config) { c.Env = []string{"PHP_INI_SCAN_DIR=/usr/local/etc/magento/php.d"} })
		}, []string{"likely cause: a missing PHP extension"}, "install"},
		{"a broken entrypoint", func() string {
			return spoil(t, good, "magento2", map[string][]byte{"usr/local/bin/magento-entrypoint": []byte("#!/no/such/shell\n")}, nil)
		}, []string{"likely cause: a broken entrypoint"}, "install"},
		{"a broken entrypoint of nginx", func() string {
			return spoil(t, good, "nginx", map[string][]byte{"usr/local/bin/nginx-entrypoint": []byte("#!/bin/sh\nexec no-such-nginx\n")}, nil)
		}, []string{"likely cause: a broken entrypoint"}, "start"},
		{"a root user", func() string {
			return spoil(t, good, "magento2", nil, func(c *v1.Config) { c.User = "" })
		}, []string{"image magento2 runs as root", "set Config.User"}, "users"},
		{"static files of another build", func() string {
			other := buildImages(t, func(dir string) {
				write(t, filepath.Join(dir, "app/design/frontend/Acme/shop/web/js/new.js"), "// new\n")
			}, "--build-num", "43")
			dir := t.TempDir()
			noError(t, os.CopyFS(filepath.Join(dir, "magento2"), os.DirFS(filepath.Join(good, "magento2"))))
			noError(t, os.CopyFS(filepath.Join(dir, "nginx"), os.DirFS(filepath.Join(other, "nginx"))))
			return dir
		}, []string{"static content of different builds", "image nginx is of another build than image magento2"}, "/REVISION.txt"},
		{"a locale left out", func() string { return buildImages(t, nil, "--locales", "en_US,de_DE") },
			[]string{"frontend/Acme/shop/fr_FR", "left out of the build"}, "locales"},
		{"a media folder that the world reads", func() string {
			open := strings.ReplaceAll(content(t, good, "nginx", template), "customer", "nobody")
			return spoil(t, good, "nginx", map[string][]byte{template: []byte(open)}, nil)
		}, []string{"/media/customer/smoke.txt answers 200", "lets the world read it"}, "locked paths"},
		{"a Redis that is not used", func() string {
			files := strings.Replace(content(t, good, "magento2", facts), `Magento\\Framework\\Cache\\Backend\\Redis`, `NoSuchBackend`, 1)
			return spoil(t, good, "magento2", map[string][]byte{facts: []byte(files)}, nil)
		}, []string{"Redis has no key of the", "does not use it"}, "redis"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := smoked(t, c.out())
			failed := false
			for _, check := range report.Checks {
				failed = failed || check.Name == c.check && check.Status == smoke.Failed
			}
			if !failed || report.OK() {
				t.Errorf("check %q has not failed:\n%s", c.check, report)
			}
			for _, want := range c.says {
				if !strings.Contains(report.String(), want) {
					t.Errorf("the report does not say %q:\n%s", want, report)
				}
			}
		})
	}
}

// The sample store serves, and says so for machines too.
func TestSmoke(t *testing.T) {
	needShop(t)
	out := buildImages(t, nil)
	junit := filepath.Join(t.TempDir(), "smoke.xml")
	code, stdout, errs := mck(t, withTools(t, nil), "smoke", "--images", out, "--json", "--junit", junit)
	if code != 0 {
		t.Fatalf("smoke = %d\n%s%s", code, stdout, errs)
	}
	for _, want := range []string{`"name": "install once"`, `"name": "php-fpm ends its request"`, `"name": "redis"`, `"detail": "build 42`, `"name": "product"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the report lacks %s:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, `"failed"`) || strings.Contains(stdout, `"skipped"`) {
		t.Errorf("not everything was asked and well:\n%s", stdout)
	}
	if raw, err := os.ReadFile(junit); err != nil || !strings.Contains(string(raw), `failures="0" skipped="0"`) {
		t.Errorf("as JUnit: %v\n%s", err, raw)
	}
}

// What does not serve is not pushed, and what has been run is not run again.
func TestSmokeBeforePush(t *testing.T) {
	needShop(t)
	out := buildImages(t, nil)
	variables := withTools(t, simulated(t))
	push := func(images string) (int, string) {
		t.Helper()
		code, _, errs := mck(t, variables, "push", "--build-num", "42", "--images", images, "--smoke=true")
		return code, errs
	}
	pushed := func() bool {
		code, _, _ := mck(t, variables, "inspect", "--build-num", "42", "--images", "/nowhere")
		return code == 0
	}
	broken := spoil(t, out, "magento2", map[string][]byte{"usr/local/bin/magento-entrypoint": []byte("#!/bin/sh\nexit 1\n")}, nil)
	if code, errs := push(broken); code != exitConflict || !strings.Contains(errs, "Nothing was pushed") || pushed() {
		t.Errorf("a push of what does not serve = %d, pushed: %t\n%s", code, pushed(), errs)
	}
	for _, want := range []string{"the images serve as a shop", "these images have been run as a shop"} {
		if code, errs := push(out); code != 0 || !strings.Contains(errs, want) || !pushed() {
			t.Errorf("push = %d, without %q\n%s", code, want, errs)
		}
	}
}
