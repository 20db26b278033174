package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/store"
)

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needTools skips a test where there is no PHP or composer to run a step with.
func needTools(t testing.TB) {
	t.Helper()
	for _, name := range []string{"php", "composer"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on the PATH: `make test` installs it", name)
		}
	}
}

// withTools is the environment of a machine that has PHP and composer, and no network.
func withTools(t testing.TB, more map[string]string) map[string]string {
	t.Helper()
	home := t.TempDir()
	out := map[string]string{"PATH": os.Getenv("PATH"), "HOME": home, "COMPOSER_HOME": home, "COMPOSER_DISABLE_NETWORK": "1"}
	for name, value := range more {
		out[name] = value
	}
	return out
}

// sample is a copy of the sample store that a test may change.
func sample(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	noError(t, host.Export("../../../testdata/store", dir))
	for _, made := range []string{"vendor", "generated", "var", "pub"} { // what somebody's own run may have left there
		noError(t, os.RemoveAll(filepath.Join(dir, made)))
	}
	return dir
}

func write(t testing.TB, name, content string) {
	t.Helper()
	noError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	noError(t, os.WriteFile(name, []byte(content), 0o644))
}

// edit replaces a text, which must be there, in a file.
func edit(t testing.TB, name, old, text string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	noError(t, err)
	if !strings.Contains(string(raw), old) {
		t.Fatalf("%s does not say %q", name, old)
	}
	write(t, name, strings.Replace(string(raw), old, text, 1))
}

// Each way in which a store can be broken: what check says of it, in words and
// for machines, and that nothing is built of what cannot be.
func TestBrokenStores(t *testing.T) {
	needTools(t)
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		env     map[string]string
		args    []string
		finding store.Finding // severity and code; the message and what to do contain these
	}{
		{
			name: "not a Magento store",
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "composer.json"), `{"name": "acme/blog", "require": {"php": "^8.2"}}`)
				noError(t, os.Remove(filepath.Join(dir, "composer.lock")))
				noError(t, os.RemoveAll(filepath.Join(dir, "app")))
			},
			finding: store.Finding{Severity: store.Error, Code: "not-a-store", Message: "no edition of Magento", Do: "magento/product-community-edition"},
		},
		{
			name: "no composer.json",
			change: func(t *testing.T, dir string) {
				noError(t, os.Rename(filepath.Join(dir, "composer.json"), filepath.Join(dir, "packages/composer.json")))
			},
			finding: store.Finding{Severity: store.Error, Code: "not-a-store", Message: "there is none", Do: "there is one in packages"},
		},
		{
			name: "composer.json invalid",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.json"), `"type": "project",`, `"type": "project"`)
			},
			finding: store.Finding{Severity: store.Error, Code: "manifest-invalid", Message: "line 5, column 5", Do: "composer validate"},
		},
		{
			name:    "no composer.lock",
			change:  func(t *testing.T, dir string) { noError(t, os.Remove(filepath.Join(dir, "composer.lock"))) },
			finding: store.Finding{Severity: store.Warning, Code: "lock-missing", Message: "cannot be reproduced", Do: "`lock`"},
		},
		{
			name: "config.php without modules",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'modules'", "'no modules'")
			},
			finding: store.Finding{Severity: store.Warning, Code: "modules-missing", Message: "enables every module", Do: "module:enable --all"},
		},
		{
			name: "config.php without scopes",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'scopes'", "'no scopes'")
			},
			finding: store.Finding{Severity: store.Info, Code: "scopes-missing", Message: "all installed frontend themes in en_US", Do: "--themes and --locales"},
		},
		{
			name: "config.php with a locale that PHP has to tell",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'code' => 'de_DE'", "'code' => getenv('SHOP_LOCALE') ?: 'de_DE'")
			},
			finding: store.Finding{Severity: store.Warning, Code: "locale-dynamic", Message: "the locale of store view de is an expression", Do: "--locales"},
		},
		{
			name: "config.php with a setting that no image can honour",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'default' => [\n            'general'", "'default' => [\n            'dev' => ['js' => ['merge_files' => '1']],\n            'general'")
			},
			finding: store.Finding{Severity: store.Error, Code: "setting-unbuildable", Message: "sets dev/js/merge_files", Do: "config:set --lock-config dev/js/merge_files 0"},
		},
		{
			name: "an env.php",
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "app/etc/env.php"), "<?php return ['crypt' => ['key' => 'hunter2']];")
			},
			finding: store.Finding{Severity: store.Warning, Code: "env-present", Message: "left out of the build", Do: ".gitignore"},
		},
		{
			name: "an auth.json",
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "auth.json"), `{"bearer": {"repo.acme.example": "hunter2"}}`)
			},
			finding: store.Finding{Severity: store.Warning, Code: "auth-present", Message: "never in an image", Do: "COMPOSER_AUTH"},
		},
		{
			name: "Adobe's repository and no keys",
			change: func(t *testing.T, dir string) {
				noError(t, os.Remove(filepath.Join(dir, "composer.lock")))
				edit(t, filepath.Join(dir, "composer.json"), `"packagist.org": false`, `"type": "composer", "url": "https://repo.magento.com/"`)
			},
			finding: store.Finding{Severity: store.Error, Code: "credentials-missing", Message: "no credentials", Do: "MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY, or COMPOSER_AUTH"},
		},
		{
			name: "a PHP that the lock does not allow",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.lock"), `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"php": "~7.3.0"`)
			},
			finding: store.Finding{Severity: store.Error, Code: "php-version", Message: "which needs ~7.3.0", Do: "update the packages"},
		},
		{
			name: "an extension that is not here",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.lock"), `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"ext-ioncube": "*", "php": "*"`)
			},
			finding: store.Finding{Severity: store.Error, Code: "extension-missing", Message: "lacks it", Do: "add the extension"},
		},
		{
			name: "a locale that does not exist", change: func(*testing.T, string) {}, args: []string{"--locales", "de_DE,xx_YY"},
			finding: store.Finding{Severity: store.Error, Code: "locale-unknown", Message: "xx_YY", Do: "info:language:list"},
		},
		{
			name: "a theme that does not exist", change: func(*testing.T, string) {}, args: []string{"--themes", "Acme/winter"},
			finding: store.Finding{Severity: store.Error, Code: "theme-unknown", Message: "Acme/winter", Do: "frontend/Acme/shop"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := sample(t)
			c.change(t, dir)
			vars := withTools(t, c.env)
			args := append([]string{"--source", dir}, c.args...)

			code, out, errs := mck(t, vars, append([]string{"check", "--json"}, args...)...)
			var report store.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatalf("check --json printed no report: %v\n%s%s", err, out, errs)
			}
			i := slices.IndexFunc(report.Findings, func(f store.Finding) bool { return f.Code == c.finding.Code && f.Severity == c.finding.Severity })
			if i < 0 {
				t.Fatalf("check found %+v, and no %s %s", report.Findings, c.finding.Severity, c.finding.Code)
			}
			found := report.Findings[i]
			if !strings.Contains(found.Message, c.finding.Message) || !strings.Contains(found.Do, c.finding.Do) {
				t.Errorf("found %+v\nwant %+v", found, c.finding)
			}
			want := 0
			if c.finding.Severity == store.Error {
				want = 1
			}
			if code != want || errs != "" {
				t.Errorf("check --json = %d, want %d; it said %q", code, want, errs)
			}
			code, out, _ = mck(t, vars, append([]string{"check"}, args...)...)
			if code != want || !strings.Contains(out, found.Subject) || !strings.Contains(out, string(found.Severity)) {
				t.Errorf("check = %d, want %d, and the finding:\n%s", code, want, out)
			}
			if want == 0 {
				return
			}
			cache, dst := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "out")
			for _, verb := range []string{"composer", "precompile", "build"} {
				code, out, errs = mck(t, vars, append([]string{verb, "--cache-dir", cache, "--out", dst}, args...)...)
				if code != 1 || out != "" || !strings.Contains(errs, found.Subject) {
					t.Errorf("%s = %d, want 1 and the report:\n%s%s", verb, code, out, errs)
				}
				if strings.Contains(errs, "$ ") {
					t.Errorf("%s ran something:\n%s", verb, errs)
				}
			}
			for _, made := range []string{cache, dst} {
				if _, err := os.Stat(made); err == nil {
					t.Errorf("there is now %s", made)
				}
			}
		})
	}
}

// Everything that is wrong is said at once.
func TestAllFindingsAtOnce(t *testing.T) {
	needTools(t)
	dir := sample(t)
	edit(t, filepath.Join(dir, "app/etc/config.php"), "'scopes'", "'no scopes'")
	edit(t, filepath.Join(dir, "composer.lock"), `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"ext-ioncube": "*", "php": "~7.3.0"`)
	write(t, filepath.Join(dir, "auth.json"), "{}")
	code, out, _ := mck(t, withTools(t, nil), "check", "--source", dir, "--locales", "xx_YY", "--themes", "Acme/winter")
	if code != 1 {
		t.Errorf("check = %d", code)
	}
	for _, want := range []string{"lists no store views", "~7.3.0", "ext-ioncube", "xx_YY", "Acme/winter", "auth.json", "4 errors, 1 warning, 1 note"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
}

func TestSampleStoreIsFine(t *testing.T) {
	needTools(t)
	code, out, errs := mck(t, withTools(t, nil), "check", "--source", "../../../testdata/store")
	if code != 0 || errs != "" || !strings.Contains(out, "0 errors, 0 warnings") || !strings.Contains(out, "Magento Open Source 2.4.7-p3") {
		t.Errorf("check = %d\n%s%s", code, out, errs)
	}
}

func TestCommandLineOfBuilds(t *testing.T) {
	needTools(t)
	source := sample(t)
	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{nil, 0, []string{"check", "composer", "precompile", "build", "completion"}},
		{[]string{"--help"}, 0, []string{"mck build --source magento --out out", "Available Commands"}},
		{[]string{"help", "build"}, 0, []string{"--build-num", "--php-base", "dagger call php-base"}},
		{[]string{"build", "--help"}, 0, []string{"--shards", "auto, none, theme or locale", "--compression", "--content-version", "(default [linux/amd64])"}},
		{[]string{"check", "--help"}, 0, []string{"exit code is 1", "--locales"}},
		{[]string{"completion", "bash"}, 0, []string{"__start_mck"}},
		{[]string{"completion", "zsh"}, 0, []string{"#compdef mck"}},
		{[]string{"__complete", "build", "--shards", ""}, 0, []string{"auto\nnone\ntheme\nlocale\n"}},
		{[]string{"biuld"}, exitUsage, []string{`there is no verb "biuld"`, "did you mean build?"}},
		{[]string{"build", "--bogus"}, exitUsage, []string{"unknown flag: --bogus", "mck build --help"}},
		{[]string{"build", "magento"}, exitUsage, []string{`unknown command "magento"`, "mck build --help"}},
		{[]string{"check", "--source"}, exitUsage, []string{"flag needs an argument"}},
		{[]string{"build", "--cpus", "two"}, exitUsage, []string{"--cpus"}},
		{[]string{"check", "--source", filepath.Join(source, "nowhere")}, exitUsage, []string{"nowhere: there is no such directory"}},
		{[]string{"build", "--source", filepath.Join(source, "nowhere")}, exitUsage, []string{"nowhere: there is no such directory"}},
		{[]string{"build", "--source", filepath.Join(source, "composer.json")}, exitUsage, []string{"there is no such directory"}},
		{[]string{"build", "--source", source, "--shards", "half"}, exitUsage, []string{`shards "half"`, "auto, none, theme or locale"}},
		{[]string{"build", "--source", source, "--compression", "xz"}, exitUsage, []string{`"xz"`, "zstd or gzip"}},
		{[]string{"build", "--source", source, "--build-num", "a/b"}, exitUsage, []string{`build number "a/b"`}},
		{[]string{"build", "--source", source, "--content-version", "a-b"}, exitUsage, []string{`content version "a-b"`}},
		{[]string{"precompile", "--source", source, "--content-version", "a-b"}, exitUsage, []string{`content version "a-b"`}},
		{[]string{"build", "--source", source, "--platform", "amd64", "--php-base", "scratch", "--nginx-base", "scratch"}, 2, []string{`platform "amd64" is not of the form linux/amd64`}},
		{[]string{"simulate", "--listen", "foo"}, 2, []string{"ADDRESS:PORT"}},
		{[]string{"ecs-deploy"}, 2, []string{"no option is given"}},
		{[]string{"build", "--source", source, "--php-base", "oci:" + source, "--nginx-base", "scratch"}, 1, []string{"the base of image magento2", "not an OCI image layout", "--php-base"}},
	} {
		code, out, errs := mck(t, withTools(t, map[string]string{"HOME": t.TempDir()}), c.args...)
		said, quiet := out, errs
		if c.code != 0 {
			said, quiet = errs, out
		}
		if code != c.code {
			t.Errorf("mck %v = %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
		for _, want := range c.says {
			if !strings.Contains(said, want) {
				t.Errorf("mck %v does not say %q:\n%s", c.args, want, said)
			}
		}
		if quiet != "" && c.args != nil && c.args[0] != "__complete" {
			t.Errorf("mck %v also said, on the other stream:\n%s", c.args, quiet)
		}
		if strings.Contains(errs, "$ composer") {
			t.Errorf("mck %v ran something:\n%s", c.args, errs)
		}
	}
}

func TestCredentialsThatCannotBe(t *testing.T) {
	needTools(t)
	for _, vars := range []map[string]string{
		{"COMPOSER_AUTH": "hunter2"}, {"MAGENTO_PUBLIC_KEY": "hunter2"}, {"MAGENTO_PRIVATE_KEY": "hunter2"},
	} {
		if code, _, errs := mck(t, withTools(t, vars), "check", "--source", "../../../testdata/store"); code != exitUsage || errs == "" {
			t.Errorf("%v: check = %d, %s", vars, code, errs) // mck looks for the value in what was printed
		}
	}
}

func TestNoPHP(t *testing.T) {
	code, _, errs := mck(t, map[string]string{"PATH": t.TempDir()}, "build", "--source", "../../../testdata/store")
	if code != 1 || !strings.Contains(errs, "there is no php on the PATH") || !strings.Contains(errs, "dagger call build") {
		t.Errorf("build = %d, %s", code, errs)
	}
}

// A base says in its environment which PHP it has, as the official images do.
func TestBases(t *testing.T) {
	needTools(t)
	source := sample(t)
	base := func(version string) string {
		im, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
			OS: "linux", Architecture: "amd64", Config: v1.Config{Env: []string{"PATH=/usr/bin", "PHP_VERSION=" + version}},
			RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
		})
		noError(t, err)
		dir := filepath.Join(t.TempDir(), "base")
		noError(t, image.WriteLayout(im, dir, nil))
		return "oci:" + dir
	}
	build := func(args ...string) (int, string, string) {
		return mck(t, withTools(t, nil), append([]string{"build", "--source", source, "--cache-dir", filepath.Join(t.TempDir(), "cache"),
			"--out", filepath.Join(t.TempDir(), "out"), "--nginx-base", "scratch"}, args...)...)
	}

	code, _, errs := build("--php-base", base("7.4.33"))
	for _, want := range []string{"error", "PHP 7.4.33 does not suit", "give a --php-base with PHP 8.", "dagger call php-base"} {
		if !strings.Contains(errs, want) {
			t.Errorf("a base with PHP 7.4: it does not say %q:\n%s", want, errs)
		}
	}
	if code != 1 || strings.Contains(errs, "$ ") {
		t.Errorf("a base with PHP 7.4: build = %d, and it ran something:\n%s", code, errs)
	}

	php, err := host.PHP(t.Context(), []string{"PATH=" + os.Getenv("PATH")})
	noError(t, err)
	other := map[bool]string{true: "8.2.1", false: "8.3.1"}[strings.HasPrefix(php.Version, "8.3")]
	code, out, errs := build("--php-base", base(other), "--json")
	if code != 0 || !strings.Contains(errs, "will run on "+other) {
		t.Errorf("a base with another PHP that suits: build = %d\n%s", code, errs)
	}
	var done documents.Built
	noError(t, json.Unmarshal([]byte(out), &done))
	if !strings.HasPrefix(php.Version, done.PHP+".") {
		t.Errorf("built with PHP %s, it says, and this is %s", done.PHP, php.Version)
	}
	if len(done.Images) != 2 || len(done.Steps) != 4 || done.BuildNum != "latest" || done.Version != "2.4.7-p3" {
		t.Errorf("build --json printed %s", out)
	}
	var names []string
	for _, l := range done.Images[0].Summary.Layers {
		names = append(names, l.Name)
	}
	if diff := cmp.Diff([]string{"config-magento2", "vendor", "magento", "app", "app-etc", "app-design", "app-code", "generated"}, names[:8]); diff != "" {
		t.Errorf("layers of magento2 (-want +got):\n%s", diff)
	}
}

// The official images lack extensions; nothing is fetched to know that.
func TestOfficialBase(t *testing.T) {
	for ref, want := range map[string]bool{
		"php:8.3-fpm-bookworm": true, "docker.io/library/php:8.2-fpm": true, "php@sha256:" + strings.Repeat("a", 64): true,
		"registry.example/library/php:8.3": false, "acme/php:8.3": false, "scratch": false, "oci:php": false,
	} {
		if got := (host.Base{Ref: ref}).Official(); got != want {
			t.Errorf("%s: official is %v", ref, got)
		}
	}
}

// A store whose directory holds the results and the cache of its own builds is
// none the different for that.
func TestResultsInsideTheStore(t *testing.T) {
	needTools(t)
	source := sample(t)
	t.Chdir(source)
	build := func(args ...string) map[string]string {
		t.Helper()
		code, out, errs := mck(t, withTools(t, nil), append([]string{"build", "--source", ".", "--cache-dir", "tmp/cache", "--php-base", "scratch", "--nginx-base", "scratch", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("build %v = %d\n%s", args, code, errs)
		}
		var done documents.Built
		noError(t, json.Unmarshal([]byte(out), &done))
		layers := map[string]string{}
		for _, l := range done.Images[0].Summary.Layers {
			if l.Name != "release" {
				layers[l.Name] = l.Digest
			}
		}
		for _, s := range done.Steps {
			if s.Reused {
				layers["reused"] += " " + s.Step
			}
		}
		return layers
	}
	first := build()
	first["reused"] = " composer app compile static"
	for _, args := range [][]string{nil, {"--out", "."}, {"--out", "."}} {
		if args != nil {
			noError(t, os.RemoveAll("out")) // not the results' place anymore, but a part of the store
		}
		if diff := cmp.Diff(first, build(args...)); diff != "" {
			t.Errorf("build %v after a build (-first +this):\n%s", args, diff)
		}
	}
	code, _, errs := mck(t, withTools(t, nil), "build", "--source", ".", "--cache-dir", ".", "--php-base", "scratch", "--nginx-base", "scratch")
	if code != exitUsage || !strings.Contains(errs, "--cache-dir . is the store itself") {
		t.Errorf("the store as the cache: build = %d, %s", code, errs)
	}
}

func TestCacheDirectory(t *testing.T) {
	for want, vars := range map[string]map[string]string{
		"/home/me/.cache/mck": {"HOME": "/home/me"}, "/var/cache/mck": {"HOME": "/home/me", "XDG_CACHE_HOME": "/var/cache"}, "/root/.cache/mck": {"HOME": "/root", "XDG_CACHE_HOME": "relative"}, "": {},
	} {
		e := &env{lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
		if got, err := (&builder{env: e}).cacheDir(); got != want || (err == nil) != (want != "") {
			t.Errorf("%v: %q, %v; want %q", vars, got, err, want)
		}
	}
}
