package store_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/magecloudkit/pipeline/ci/store"
)

// plugin locks a plugin that applies patches, and has composer.json declare what it says and allow the plugin.
func plugin(t *testing.T, m fstest.MapFS, name, version, extra string) {
	t.Helper()
	edit(t, m, "composer.json", `"config": {`, `"extra": {`+extra+`}, "config": {`)
	edit(t, m, "composer.json", `"allow-plugins": {`, `"allow-plugins": {"`+name+`": true, `)
	if version != "" {
		edit(t, m, "composer.lock", `"packages": [`, `"packages": [{"name": "`+name+`", "version": "`+version+`", "type": "composer-plugin"},`)
	}
}

const (
	cweagans  = "cweagans/composer-patches"
	vaimo     = "vaimo/composer-patches"
	framework = `"patches": {"magento/framework": {"a fix": "patches/a.patch"}}`
)

// What is wrong with a store's patches is known before the build.
func TestCheckOfPatches(t *testing.T) {
	for _, c := range []struct {
		name           string
		plugin, of     string
		extra          string
		files          []string
		change         func(*testing.T, fstest.MapFS)
		want           string // the code of what is found; "": nothing about patches
		severity       store.Severity
		subject, texts string
	}{
		{name: "all is well", plugin: cweagans, of: "1.7.3", extra: framework, files: []string{"patches/a.patch"}},
		{name: "a file that is not there", plugin: cweagans, of: "1.7.3", extra: framework, want: "patch-missing", severity: store.Error, subject: "patches/a.patch", texts: "no such file"},
		{name: "in a list that is not there", plugin: vaimo, of: "5.0.0", extra: `"patches-file": ["list.json"]`, change: func(_ *testing.T, m fstest.MapFS) {
			write(m, "list.json", `{"magento/framework": {"a fix": {"source": "fixes/b.diff"}}}`)
		}, want: "patch-missing", severity: store.Error, subject: "fixes/b.diff", texts: "list.json declares"},
		{name: "outside of the store", plugin: cweagans, of: "1.7.3", extra: `"patches": {"magento/framework": {"a fix": "../shared/a.patch"}}`, want: "patch-outside", severity: store.Error, subject: "../shared/a.patch", texts: "a build gets"},
		{name: "where no build looks", plugin: cweagans, of: "1.7.3", extra: `"patches": {"magento/framework": {"a fix": "var/a.patch"}}`, files: []string{"var/a.patch"}, want: "patch-outside", severity: store.Error, subject: "var/a.patch", texts: "a build gets"},
		{name: "no plugin", plugin: cweagans, extra: framework, files: []string{"patches/a.patch"}, want: "patch-plugin-missing", severity: store.Error, subject: "composer.json", texts: "1 patch, and no plugin"},
		{name: "the plugin turned off", plugin: cweagans, of: "1.7.3", extra: framework, files: []string{"patches/a.patch"}, change: func(t *testing.T, m fstest.MapFS) {
			edit(t, m, "composer.json", `"`+cweagans+`": true`, `"`+cweagans+`": false`)
		}, want: "patch-plugin-disabled", severity: store.Error, subject: "composer.json", texts: "turns cweagans/composer-patches off"},
		{name: "two lists of which version 1 reads one", plugin: cweagans, of: "1.7.3", extra: framework + `, "patches-file": "list.json"`, files: []string{"patches/a.patch"}, want: "patches-ignored", severity: store.Error, subject: "composer.json", texts: "extra.patches-file"},
		{name: "version 1's list under version 2", plugin: cweagans, of: "2.0.0", extra: `"patches-file": "list.json"`, files: []string{"patches/a.patch"}, change: func(_ *testing.T, m fstest.MapFS) {
			write(m, "list.json", `{"patches": {"magento/framework": {"a fix": "patches/a.patch"}}}`)
		}, want: "patches-ignored", severity: store.Error, subject: "composer.json", texts: "patches-relock"},
		{name: "version 2's lock is older", plugin: cweagans, of: "2.0.0", extra: framework, files: []string{"patches/a.patch"}, change: func(_ *testing.T, m fstest.MapFS) {
			write(m, "patches.lock.json", `{"patches": {}}`)
		}, want: "patches-lock-outdated", severity: store.Error, subject: "patches.lock.json", texts: "lacks patches/a.patch"},
		{name: "version 2's own list", plugin: cweagans, of: "2.0.0", change: func(_ *testing.T, m fstest.MapFS) {
			write(m, "patches.json", `{"patches": {"magento/framework": [{"description": "x", "url": "patches/c.patch"}]}}`)
		}, want: "patch-missing", severity: store.Error, subject: "patches/c.patch", texts: "patches.json declares"},
		{name: "for a package that is not there", plugin: cweagans, of: "1.7.3", extra: `"patches": {"acme/nosuch": {"a fix": "patches/a.patch"}}`, files: []string{"patches/a.patch"}, want: "patch-target-missing", severity: store.Error, subject: "patches/a.patch", texts: "acme/nosuch"},
		{name: "for another version", plugin: vaimo, of: "5.0.0", extra: `"patches": {"magento/framework": {"a fix": {">=104": "patches/nosuch.patch"}}}`},
		{name: "forgotten", plugin: cweagans, of: "1.7.3", extra: framework, files: []string{"patches/a.patch", "patches/old/b.patch"}, want: "patch-undeclared", severity: store.Warning, subject: "patches/old/b.patch", texts: "unapplied-patches"},
		{name: "found by vaimo's search", plugin: vaimo, of: "5.0.0", extra: `"patches-search": "patches"`, change: func(_ *testing.T, m fstest.MapFS) {
			write(m, "patches/b.patch", "Mends it\n@package magento/framework\n@version >=103\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
			write(m, "patches/c.patch", "@package magento/framework\n@version <103\n\n--- a/x\n")
		}},
		{name: "quality patches", plugin: cweagans, change: func(_ *testing.T, m fstest.MapFS) {
			write(m, ".magento.env.yaml", "stage:\n  build:\n    QUALITY_PATCHES:\n      - MDVA-30106\n      - ACSD-1-V2\n    SCD_THREADS: 1\n")
		}, want: "quality-patches", severity: store.Error, subject: ".magento.env.yaml", texts: "magento-patches apply MDVA-30106 ACSD-1-V2"},
		{name: "quality patches that composer applies", plugin: cweagans, change: func(t *testing.T, m fstest.MapFS) {
			write(m, ".magento.env.yaml", "stage:\n  build:\n    QUALITY_PATCHES: [ MDVA-30106 ]\n")
			edit(t, m, "composer.json", `"extra": {`, `"scripts": {"post-install-cmd": "vendor/bin/magento-patches apply MDVA-30106"}, "extra": {`)
		}},
		{name: "hotfixes", plugin: cweagans, files: []string{"m2-hotfixes/a.patch"}, want: "hotfixes", severity: store.Info, subject: "m2-hotfixes", texts: "1 patch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := healthy()
			plugin(t, m, c.plugin, c.of, c.extra)
			for _, f := range c.files {
				write(m, f, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
			}
			if c.change != nil {
				c.change(t, m)
			}
			var found []store.Finding
			for _, f := range open(t, m).Check(enough()).Findings {
				if strings.Contains(f.Code, "patch") || f.Code == "hotfixes" {
					found = append(found, f)
				}
			}
			if c.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			i := slices.IndexFunc(found, func(f store.Finding) bool { return f.Code == c.want })
			if i < 0 || len(found) != 1 {
				t.Fatalf("found %+v, want %s alone", found, c.want)
			}
			if f := found[i]; f.Severity != c.severity || f.Subject != c.subject || !strings.Contains(f.Message+f.Do, c.texts) {
				t.Errorf("found %+v", f)
			}
		})
	}
}

// Which patches a store has, for whichever plugin it has them.
func TestPatches(t *testing.T) {
	m := healthy()
	plugin(t, m, vaimo, "5.1.0", `"patches-file": "list.json", "patches-search": ["fixes"]`)
	write(m, "list.json", `{"magento/framework": {"one": "patches/1.patch", "two": {"<1": "patches/old.patch", ">=103": "patches/2.patch"},
		"skipped": {"source": "patches/no.patch", "skip": true}, "without": {"source": "patches/no.patch", "depends": {"acme/nosuch": "*"}},
		"instead": {"source": "patches/3.patch", "depends": {"!acme/nosuch": "*"}}}, "*": {"all": {"source": "patches/4.patch"}}}`)
	write(m, "fixes/5.patch", "@package magento/module-store\n--- a/x\n")
	write(m, "patches/6.patch", "")
	write(m, "m2-hotfixes/b.patch", "")
	write(m, "m2-hotfixes/a.patch", "")
	got, err := open(t, m).Patches()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got {
		names = append(names, p.File+" "+p.Dir)
	}
	want := []string{"patches/1.patch vendor/magento/framework", "patches/2.patch vendor/magento/framework", "patches/3.patch vendor/magento/framework", "patches/4.patch ",
		"fixes/5.patch vendor/magento/module-store", "patches/6.patch ", "m2-hotfixes/a.patch ", "m2-hotfixes/b.patch "}
	if !slices.Equal(names, want) {
		t.Errorf("patches:\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
}

// What packages declare counts only as far as the store's plugin and the store let it.
func TestPatchesOfPackages(t *testing.T) {
	const declares = `"extra": {"patches": {"magento/framework": {"theirs": "https://acme.example/theirs.patch"}, "acme/nosuch": {"not here": "https://acme.example/no.patch"}}}, `
	for _, c := range []struct {
		name, plugin, of, extra string
		want                    bool
	}{
		{"without a plugin", cweagans, "", ``, false},
		{"version 1 without patches of the store", cweagans, "1.7.3", ``, false},
		{"version 1 that was told to", cweagans, "1.7.3", `"enable-patching": true`, true},
		{"version 1 with patches of the store", cweagans, "1.7.3", `"patches": {}`, true},
		{"refused by version 1's store", cweagans, "1.7.3", `"patches": {}, "patches-ignore": {"magento/module-store": {"magento/framework": {"theirs": "https://acme.example/theirs.patch"}}}`, false},
		{"version 2", cweagans, "2.0.0", ``, true},
		{"refused by version 2's store", cweagans, "2.0.0", `"composer-patches": {"ignore-dependency-patches": ["magento/module-store"]}`, false},
		{"vaimo", vaimo, "5.0.0", ``, true},
		{"vaimo turned off", vaimo, "5.0.0", `"patcher": false`, false},
		{"vaimo with packages chosen", vaimo, "5.0.0", `"patcher": {"sources": {"packages": ["acme/*"]}}`, false},
	} {
		m := healthy()
		plugin(t, m, c.plugin, c.of, c.extra)
		edit(t, m, "composer.lock", `"name": "magento/module-store",`, `"name": "magento/module-store", `+declares)
		got, err := open(t, m).Patches()
		if err != nil {
			t.Fatal(err)
		}
		if has := len(got) == 1 && got[0].URL == "https://acme.example/theirs.patch" && got[0].By == "magento/module-store"; has != c.want || len(got) > 1 {
			t.Errorf("%s: the patches are %+v", c.name, got)
		}
	}
}
