package store_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

func TestFactsOfAStore(t *testing.T) {
	s := open(t, healthy())
	if s.Edition() != store.OpenSource || s.MagentoVersion() != "2.4.7-p3" {
		t.Errorf("got %s %s", s.Edition(), s.MagentoVersion())
	}
	if got := s.PHPMinor(); got != "8.3" {
		t.Errorf("PHP %s, want the newest that every locked package allows, 8.3", got)
	}
	if diff := cmp.Diff([]string{"bcmath", "intl"}, s.RequiredExtensions()); diff != "" {
		t.Errorf("required extensions: %s", diff)
	}
	if diff := cmp.Diff([]string{"apcu", "mbstring", "opcache", "pcntl", "redis"}, s.RecommendedExtensions()); diff != "" {
		t.Errorf("recommended extensions: %s", diff)
	}
	if diff := cmp.Diff(map[string]bool{"Magento_Store": true, "Magento_AdminAdobeIms": false, "Acme_Base": true}, s.Modules()); diff != "" {
		t.Errorf("modules: %s", diff)
	}
	if !s.HasLock() || !s.HasModules() || !s.HasScopes() {
		t.Error("lock, modules and scopes are there and were not found")
	}
	if s.NeedsMagentoKeys() {
		t.Error("nothing comes from repo.magento.com")
	}
}

func TestPHPToBuildWith(t *testing.T) {
	for _, test := range []struct {
		name, file, old, new, want string
	}{
		{"one package holds it back", "composer.lock", ">=7.2", "~8.1.0 || ~8.2.0", "8.2"},
		{"config.platform decides", "composer.json", `"sort-packages": true`, `"platform": {"php": "8.2.4"}`, "8.2"},
		{"every package allows the newest", "composer.lock", "~8.2.0||~8.3.0", "~8.2.0||~8.3.0||~8.5.0", "8.5"},
		{"composer.json's own requirement is in the lock", "composer.lock", `"platform": []`, `"platform": {"php": "<8.2"}`, "8.1"},
		{"no PHP suits all: the one of that Magento", "composer.lock", ">=7.2", "<7", "8.3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := healthy()
			edit(t, m, test.file, test.old, test.new)
			if got := open(t, m).PHPMinor(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestWithoutALockComposerJSONTells(t *testing.T) {
	for _, test := range []struct {
		require, edition, version, php string
	}{
		{`"magento/product-community-edition": "2.4.6-p8"`, "Magento Open Source", "2.4.6-p8", "8.2"},
		{`"magento/product-enterprise-edition": "~2.4.8"`, "Adobe Commerce", "~2.4.8", "8.4"},
		{`"magento/magento-cloud-metapackage": ">=2.4.7 <2.4.8"`, "Adobe Commerce on cloud", ">=2.4.7 <2.4.8", "8.3"},
		{`"mage-os/product-community-edition": "1.0.5"`, "Mage-OS", "1.0.5", "8.3"},
		{`"mage-os/product-minimal-edition": "^2.0"`, "Mage-OS", "^2.0", "8.4"},
		{`"magento/magento2-base": "2.4.4", "php": "~8.1.0"`, "Magento Open Source", "2.4.4", "8.1"},
		{`"mage-os/product-acme-edition": "2.1.0"`, "Mage-OS", "2.1.0", "8.4"},
		{`"php": "~8.3.0"}, "version": "2.4.8", "replace": {"magento/framework": "*"`, "Magento Open Source", "2.4.8", "8.3"},
		{`"magento/product-community-edition": "2.4.8", "php": "~8.1.0||~8.2.0"`, "Magento Open Source", "2.4.8", "8.2"},
	} {
		m := healthy()
		delete(m, "composer.lock")
		write(m, "composer.json", `{"require": {`+test.require+`}}`)
		s := open(t, m)
		if report := s.Check(store.Options{}); !report.OK() {
			t.Errorf("%s: %v", test.require, report.Err())
		}
		got := []string{string(s.Edition()), s.MagentoVersion(), s.PHPMinor()}
		if diff := cmp.Diff([]string{test.edition, test.version, test.php}, got); diff != "" {
			t.Errorf("%s: %s", test.require, diff)
		}
		if s.HasLock() {
			t.Errorf("%s: there is no lock", test.require)
		}
	}
}

func TestPathRepositories(t *testing.T) {
	m := healthy()
	edit(t, m, "composer.json", `"name"`, `"repositories": {"a": {"type": "path", "url": "./packages/*/*"}, "b": {"type": "path", "url": "../shared"},
		"c": {"type": "path", "url": "app/code/Acme"}, "d": {"type": "composer", "url": "https://repo.mage-os.org/"}, "packagist.org": false}, "name"`)
	if diff := cmp.Diff([]string{"packages/*/*"}, open(t, m).PathRepositories()); diff != "" {
		t.Error(diff)
	}
}

func TestComposerInputs(t *testing.T) {
	usual := []string{"app/code", "app/design", "app/etc/config.php", "app/etc/env.php", "app/i18n", "auth.json", "generated", "pub/static", "var", "vendor"}
	for _, test := range []struct {
		name, field string
		files       map[string]string
		read        []string // of the usual ones, what composer may read after all
	}{
		{name: "a plain store"},
		{name: "a path repository", field: `"repositories": [{"type": "path", "url": "app/code/Acme/*"}]`, read: []string{"app/code"}},
		{name: "a wide path repository", field: `"repositories": {"a": {"type": "path", "url": "./app/*/*/*"}}`, read: []string{"app/code", "app/design", "app/etc/config.php", "app/i18n"}},
		{name: "a path repository elsewhere", field: `"repositories": [{"type": "path", "url": "packages/*/*"}]`},
		{name: "patches", field: `"extra": {"patches": {"magento/framework": {"fix": "app/design/fix.patch"}}}`, read: []string{"app/design"}},
		{
			name: "a list of patches in a file", field: `"extra": {"patches-file": "patches.json"}`,
			files: map[string]string{"patches.json": `{"patches": {"magento/framework": {"fix": "app/code/fix.patch"}}}`},
			read:  []string{"app/code"},
		},
		{name: "a script", field: `"scripts": {"post-install-cmd": ["@php app/code/tool.php"]}`, read: []string{"app/code"}},
		{name: "a class map", field: `"autoload": {"classmap": ["app/code/Legacy"], "psr-0": {"": ["app/code/"]}}`, read: []string{"app/code"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := healthy()
			if test.field != "" {
				edit(t, m, "composer.json", `"name"`, test.field+`, "name"`)
			}
			for name, content := range test.files {
				write(m, name, content)
			}
			excluded := open(t, m).ComposerInputs().Exclude
			for _, p := range usual {
				if want := !slices.Contains(test.read, p); matchesAny(excluded, p) != want {
					t.Errorf("%s: excluded is %v, want %v", p, !want, want)
				}
			}
			for _, p := range []string{"composer.json", "composer.lock", "packages", "patches.json"} {
				if matchesAny(excluded, p) {
					t.Errorf("%s is an input of composer and is excluded", p)
				}
			}
		})
	}
}

// brokenFS fails to read one file, as a disk does.
type brokenFS struct {
	fs.FS
	file string
}

var errDisk = errors.New("input/output error")

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == b.file {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDisk}
	}
	return b.FS.Open(name)
}

func TestOpenTellsWhatItCannotRead(t *testing.T) {
	for _, file := range []string{".", "composer.json", "composer.lock", "app/etc/config.php", "app/code", "app/code/Acme/Base/registration.php",
		"app/code/Acme/Base/etc/di.xml", "app/design/frontend/Acme/default/theme.xml"} {
		_, err := store.Open(brokenFS{healthy(), file})
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v", file, err)
		}
	}
}

func TestAuthTellsHostsOnly(t *testing.T) {
	const secret = "s3cr3t-value"
	c, err := store.ParseAuth([]byte(`{"http-basic": {"repo.magento.com": {"username": "u", "password": "` + secret + `"}},
		"bearer": {"packages.acme.test": "` + secret + `"}, "github-oauth": []}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"packages.acme.test", "repo.magento.com"}, c.Hosts); diff != "" {
		t.Error(diff)
	}
	if !c.For("Repo.Magento.com") || c.For("github.com") {
		t.Error("wrong hosts have credentials")
	}
	if _, err := store.ParseAuth([]byte(`{"http-basic": ` + secret)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}

func TestIgnoredPathsHoldSecretsAndOutputs(t *testing.T) {
	ignored := store.IgnoredPaths()
	for _, p := range []string{
		"app/etc/env.php", "app/etc/env.php.bak", "app/etc/env.local.php", "auth.json", "packages/acme/auth.json",
		"vendor", "generated", "var", "pub/static", ".git", "app/code/Acme/Base/.git",
	} {
		if !matchesAny(ignored, p) {
			t.Errorf("%s is not ignored", p)
		}
	}
	for p := range maps.Keys(healthy()) {
		for dir := p; dir != "."; dir = path.Dir(dir) {
			if matchesAny(ignored, dir) {
				t.Errorf("%s is part of the store, and %s is ignored", p, dir)
			}
		}
	}
}

// matchesAny says whether a path itself matches one of some patterns.
func matchesAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return doublestar.MatchUnvalidated(pattern, p) })
}

func TestAutoloadPaths(t *testing.T) {
	m := healthy()
	if got := open(t, m).AutoloadPaths(); slices.ContainsFunc(got, func(p string) bool { return !strings.HasPrefix(p, "vendor/") }) {
		t.Errorf("paths outside of vendor: %v", got)
	}
	write(m, "composer.lock", `{"packages": [
		{"name": "acme/lists", "version": "1.0.0", "autoload": {"psr-4": {"A\\": ["src/", "./more"], "B\\": ""}, "psr-0": {"C": "old"}, "files": ["tests/boot.php"], "classmap": ["Test/"], "exclude-from-classmap": ["Test/x"]}},
		{"name": "acme/empty", "version": "1.0.0", "autoload": []},
		{"name": "acme/none", "version": "1.0.0"},
		{"name": "acme/meta", "version": "1.0.0", "type": "metapackage", "autoload": {"files": ["x.php"]}}
	], "packages-dev": [{"name": "acme/dev", "version": "1.0.0", "autoload": {"files": ["tests/dev.php"]}}]}`)
	want := []string{"vendor/acme/lists", "vendor/acme/lists/Test", "vendor/acme/lists/more", "vendor/acme/lists/old", "vendor/acme/lists/src", "vendor/acme/lists/tests/boot.php"}
	if diff := cmp.Diff(want, open(t, m).AutoloadPaths()); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	delete(m, "composer.lock")
	if got := open(t, m).AutoloadPaths(); len(got) != 0 {
		t.Errorf("without a lock nothing is known: %v", got)
	}
}

func TestReadPathsAreAllThatIsRead(t *testing.T) {
	m := healthy()
	write(m, "app/etc/env.php", "<?php return [];")
	write(m, "auth.json", "{}")
	write(m, "composer-patches.json", "{}")
	write(m, "tools/patches/patches.json", `{"patches": {"a/b": {"fix": "app/code/fix.patch"}}}`)
	edit(t, m, "composer.json", `"name"`, `"extra": {"patches-file": "tools/patches/patches.json"}, "name"`)
	edit(t, m, "composer.lock", `"packages": [`, `"packages": [{"name": "acme/theme", "type": "magento2-theme", "dist": {"type": "path", "url": "packages/theme"},
		"autoload": {"files": ["src/registration.php"]}},`)
	write(m, "packages/theme/src/registration.php", registration("THEME", "frontend/Acme/winter"))
	write(m, "packages/theme/src/theme.xml", `<theme/>`)
	write(m, "app/code/Acme/Base/etc/adminhtml/di.xml", diXML)
	read := &recordingFS{FS: m}
	s := open(t, read)
	s.Check(enough())
	s.ComposerInputs()
	if len(read.files) < 12 {
		t.Fatalf("only %q were read", read.files)
	}
	for _, file := range read.files {
		if !matchesAny(store.ReadPaths(), file) {
			t.Errorf("%s is read and is in no pattern", file)
		}
	}
}

// recordingFS notes the files that are opened.
type recordingFS struct {
	fs.FS
	files []string
}

func (r *recordingFS) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err == nil {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			r.files = append(r.files, name)
		}
	}
	return f, err
}

// A suite registers modules below it and has no etc of its own.
func TestSuiteInAppCode(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../testdata/store")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"app/code/Acme/Suite/registration.php":        "<?php foreach (['Acme_SuiteA' => '/module-a'] as $n => $d) { \\Magento\\Framework\\Component\\ComponentRegistrar::register('module', $n, __DIR__ . $d); }",
		"app/code/Acme/Suite/module-a/etc/module.xml": `<config><module name="Acme_SuiteA"/></config>`,
		"app/code/Acme/Library/registration.php":      "<?php use Magento\\Framework\\Component\\ComponentRegistrar; ComponentRegistrar::register(ComponentRegistrar::LIBRARY, 'acme/library', __DIR__);",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "app/etc/config.php")
	raw, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	raw = []byte(strings.Replace(string(raw), "'Acme_Greeting' => 1", "'Acme_Greeting' => 1, 'Acme_SuiteA' => 1", 1))
	if err := os.WriteFile(config, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Check(store.Options{}).Findings {
		if strings.Contains(f.Message, "Suite") || strings.Contains(f.Subject, "Suite") || strings.Contains(f.Subject, "Library") {
			t.Errorf("a finding about a suite that is sound: %+v", f)
		}
	}
}
