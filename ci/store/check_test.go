package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

// enough is what a healthy store is built with.
func enough() store.Options {
	return store.Options{
		PHP:    &store.PHP{Version: "8.3.12-1+deb12u1", Extensions: []string{"Core", "bcmath", "intl", "mbstring", "apcu", "pcntl", "redis", "Zend OPcache"}},
		Memory: 2 << 30,
	}
}

func TestNothingIsWrongWithAHealthyStore(t *testing.T) {
	report := open(t, healthy()).Check(enough())
	if len(report.Findings) > 0 || !report.OK() || report.Err() != nil {
		t.Errorf("found in a healthy store:\n%s", report)
	}
}

// finding is what a test expects: the message and what to do contain the texts.
type finding struct {
	severity store.Severity
	code     string
	texts    []string
}

func TestCheck(t *testing.T) {
	set := func(file, old, new string) func(*testing.T, fstest.MapFS) {
		return func(t *testing.T, m fstest.MapFS) { edit(t, m, file, old, new) }
	}
	put := func(file, content string) func(*testing.T, fstest.MapFS) {
		return func(_ *testing.T, m fstest.MapFS) { write(m, file, content) }
	}
	remove := func(files ...string) func(*testing.T, fstest.MapFS) {
		return func(_ *testing.T, m fstest.MapFS) {
			for _, f := range files {
				delete(m, f)
			}
		}
	}
	const themeDir = "app/design/frontend/Acme/default/"
	for _, test := range []struct {
		name   string
		change func(*testing.T, fstest.MapFS)
		with   func(*store.Options)
		want   []finding // exactly these
	}{
		{
			name:   "no composer.json",
			change: remove("composer.json", "composer.lock", "app/etc/config.php"),
			want:   []finding{{store.Error, "not-a-store", []string{"not a Magento store", "--source"}}},
		},
		{
			name: "the store is one directory below",
			change: func(_ *testing.T, m fstest.MapFS) {
				m["magento/composer.json"] = m["composer.json"]
				for f := range healthy() {
					delete(m, f)
				}
			},
			want: []finding{{store.Error, "not-a-store", []string{"there is one in magento"}}},
		},
		{
			name: "some other project",
			change: func(_ *testing.T, m fstest.MapFS) {
				write(m, "composer.json", `{"require": {"laravel/framework": "^11"}}`)
				delete(m, "composer.lock")
				delete(m, "app/etc/config.php")
			},
			want: []finding{
				{store.Error, "not-a-store", []string{"no edition of Magento", "mage-os/product-community-edition"}},
			},
		},
		{
			name:   "composer.json is not JSON",
			change: set("composer.json", `"2.4.7-p3"`, `"2.4.7-p3",`),
			want:   []finding{{store.Error, "manifest-invalid", []string{"line 5, column 5"}}},
		},
		{
			name:   "composer.json has a number for a constraint",
			change: set("composer.json", `"2.4.7-p3"`, `2`),
			want:   []finding{{store.Error, "manifest-invalid", []string{`"magento/product-community-edition" must be a string`}}},
		},
		{
			name:   "composer.json with a byte order mark",
			change: set("composer.json", "{\n    \"name\"", "\xef\xbb\xbf{\n    \"name\""),
			want:   []finding{{store.Error, "manifest-invalid", []string{"byte order mark"}}},
		},
		{
			name:   "no lock",
			change: remove("composer.lock"),
			want:   []finding{{store.Warning, "lock-missing", []string{"cannot be reproduced", "`lock`"}}},
		},
		{
			name:   "a lock that git could not merge",
			change: set("composer.lock", `    "packages": [`, "<<<<<<< HEAD\n    \"packages\": ["),
			want:   []finding{{store.Error, "lock-invalid", []string{"line 3", "merge conflict"}}},
		},
		{
			name:   "a lock without packages",
			change: put("composer.lock", `{"packages": []}`),
			want: []finding{
				{store.Error, "lock-invalid", []string{"no packages"}},
				{store.Error, "lock-incomplete", nil},
				{store.Error, "theme-missing", nil},
				{store.Error, "theme-missing", nil},
				{store.Warning, "module-missing", nil},
			},
		},
		{
			name:   "composer.json is newer than the lock",
			change: set("composer.json", `"require": {`, `"extra": {"x": 1}, "require": {`),
			want:   []finding{{store.Warning, "lock-outdated", []string{"bbdbda4d70ef6193735d8195437a0bd3", "composer update --lock"}}},
		},
		{
			name:   "composer.json requires what is not locked",
			change: set("composer.json", `"require": {`, `"require": {"acme/module-new": "^1",`),
			want: []finding{
				{store.Error, "lock-incomplete", []string{"acme/module-new"}},
				{store.Warning, "lock-outdated", nil},
			},
		},
		{
			name:   "a plugin that composer may not run",
			change: set("composer.json", `"magento/*": true`, `"magento/other*": true`),
			want:   []finding{{store.Error, "plugin-blocked", []string{"magento/magento-composer-installer", "composer config allow-plugins.magento/magento-composer-installer true"}}},
		},
		{
			name:   "the installer is turned off",
			change: set("composer.json", `"magento/*": true`, `"magento/magento-composer-*": false, "magento/*": true`),
			want:   []finding{{store.Error, "plugin-disabled", []string{"bin/magento"}}},
		},
		{
			name:   "no config.php",
			change: remove("app/etc/config.php"),
			want: []finding{
				{store.Info, "scopes-missing", []string{"all installed frontend themes in en_US", "--themes and --locales"}},
				{store.Warning, "modules-missing", []string{"there is none", "every module", "module:enable --all"}},
			},
		},
		{
			name:   "config.php has modules only",
			change: put("app/etc/config.php", "<?php return ['modules' => ['Magento_Store' => 1, 'Acme_Base' => 1]];"),
			want:   []finding{{store.Info, "scopes-missing", []string{"all installed frontend themes in en_US", "--themes and --locales"}}},
		},
		{
			name:   "config.php has scopes only",
			change: set("app/etc/config.php", "'modules'", "'other'"),
			want:   []finding{{store.Warning, "modules-missing", []string{"lists no modules"}}},
		},
		{
			name:   "config.php lacks a comma",
			change: set("app/etc/config.php", "'Magento_Store' => 1,", "'Magento_Store' => 1"),
			want:   []finding{{store.Error, "config-invalid", []string{"line 5", "php -l"}}},
		},
		{
			name:   "config.php lacks a bracket",
			change: set("app/etc/config.php", "        'Acme_Base' => 1\n    ],", "        'Acme_Base' => 1\n    ,"),
			want:   []finding{{store.Error, "config-invalid", []string{"line"}}},
		},
		{
			name:   "config.php has an open string",
			change: set("app/etc/config.php", "'old' => ['general'", "'old => ['general'"),
			want:   []finding{{store.Error, "config-invalid", []string{"line 37"}}},
		},
		{
			name:   "config.php returns a number",
			change: put("app/etc/config.php", "<?php return 1;"),
			want:   []finding{{store.Error, "config-invalid", []string{"must return an array"}}},
		},
		{
			name:   "config.php without locales",
			change: set("app/etc/config.php", "'general' => ['locale'", "'general' => ['other'"),
			want:   []finding{{store.Info, "locale-assumed", []string{"en_US", "--locales"}}},
		},
		{
			name:   "config.php without a store view's theme",
			change: set("app/etc/config.php", "'design' => ['theme'", "'design' => ['other'"),
			want:   []finding{{store.Info, "theme-assumed", []string{"all frontend themes", "--themes"}}},
		},
		{
			name:   "env.php in the store",
			change: put("app/etc/env.php", "<?php return ['crypt' => ['key' => 's3cr3t-value']];"),
			want:   []finding{{store.Warning, "env-present", []string{"left out"}}},
		},
		{
			name:   "auth.json in the store",
			change: put("auth.json", `{"http-basic": {"repo.magento.com": {"username": "u", "password": "s3cr3t-value"}}}`),
			want:   []finding{{store.Warning, "auth-present", []string{"never in an image", "COMPOSER_AUTH"}}},
		},
		{
			name:   "packages from Adobe and no keys",
			change: set("composer.lock", "https://mirror.mage-os.org/packages/magento/framework", "https://repo.magento.com/archives/magento/framework"),
			want: []finding{{store.Error, "credentials-missing", []string{"1 locked package", "MAGENTO_PUBLIC_KEY", "MAGENTO_PRIVATE_KEY",
				"COMPOSER_AUTH", "--magento-public-key", "--magento-private-key", "--composer-auth"}}},
		},
		{
			name:   "packages from Adobe and keys",
			change: set("composer.lock", "https://mirror.mage-os.org/packages/magento/framework", "https://repo.magento.com/archives/magento/framework"),
			with:   func(o *store.Options) { o.Credentials.Hosts = []string{"repo.magento.com"} },
		},
		{
			name: "no lock, Adobe's repository and no keys",
			change: func(_ *testing.T, m fstest.MapFS) {
				delete(m, "composer.lock")
				write(m, "composer.json", `{"require": {"magento/product-community-edition": "2.4.7"}, "repositories": [{"type": "composer", "url": "https://repo.magento.com/"}]}`)
			},
			want: []finding{
				{store.Error, "credentials-missing", []string{"MAGENTO_PUBLIC_KEY"}},
				{store.Warning, "lock-missing", nil},
			},
		},
		{
			name:   "another host that may ask for a password",
			change: set("composer.lock", "https://mirror.mage-os.org/packages/magento/framework", "https://composer.acme.test/framework"),
			want:   []finding{{store.Warning, "credentials-missing", []string{"magento/framework", "composer.acme.test"}}},
		},
		{
			name:   "a package over SSH",
			change: set("composer.lock", `"dist": {"type": "zip", "url": "https://mirror.mage-os.org/packages/magento/framework-103.0.7-p3.zip"}`, `"source": {"type": "git", "url": "git@git.acme.test:magento/framework.git"}`),
			want:   []finding{{store.Warning, "credentials-missing", []string{"SSH"}}},
		},
		{
			name:   "a password in an address",
			change: set("composer.lock", "https://mirror.mage-os.org/packages/magento/framework", "https://user:s3cr3t-value@composer.acme.test/framework"),
			want:   []finding{{store.Warning, "secret-in-address", []string{"composer.acme.test", "COMPOSER_AUTH"}}},
		},
		{
			name: "PHP too new",
			with: func(o *store.Options) { o.PHP.Version = "8.4.1" },
			want: []finding{{store.Error, "php-version", []string{"PHP 8.4.1 does not suit 4 packages", "~8.1.0||~8.2.0||~8.3.0 by magento/framework, magento/module-store",
				"~7.4.0||~8.1.0||~8.2.0||~8.3.0 by magento/magento-composer-installer", "build with PHP 8.3, which all packages take"}}},
		},
		{
			name: "packages of PHP 7",
			change: func(t *testing.T, m fstest.MapFS) {
				lock := strings.ReplaceAll(string(m["composer.lock"].Data), "~8.1.0||~8.2.0||~8.3.0", "~7.3.0||~7.4.0")
				write(m, "composer.lock", strings.ReplaceAll(lock, "~7.4.0||~7.3.0||~7.4.0", "~7.1.3||~7.4.0"))
			},
			want: []finding{{store.Error, "php-version", []string{"does not suit 4 packages", "all packages take PHP 7.4", "update Magento"}}},
		},
		{
			name:   "packages that no PHP suits together",
			change: set("composer.lock", `"php": "~7.4.0||~8.1.0||~8.2.0||~8.3.0"`, `"php": "~7.3.0"`),
			want:   []finding{{store.Error, "php-version", []string{"which needs ~7.3.0", "none suits both", "magento/magento-composer-installer (~7.3.0)"}}},
		},
		{
			name:   "PHP too new, and composer is told to assume another",
			change: set("composer.json", `"sort-packages": true`, `"platform": {"php": "8.3.0"}`),
			with:   func(o *store.Options) { o.PHP.Version = "8.4.1" },
			want:   []finding{{store.Warning, "lock-outdated", nil}, {store.Warning, "php-version", nil}},
		},
		{
			name:   "PHP older than composer is told to assume",
			change: set("composer.json", `"sort-packages": true`, `"platform": {"php": "8.3.0"}`),
			with:   func(o *store.Options) { o.PHP.Version = "8.0.30" },
			want:   []finding{{store.Error, "php-version", nil}, {store.Warning, "lock-outdated", nil}},
		},
		{
			name:   "no PHP suits all packages",
			change: set("composer.lock", ">=7.2", "<7.0"),
			with:   func(o *store.Options) { o.PHP = nil },
			want:   []finding{{store.Error, "php-version", []string{"symfony/polyfill-mbstring", "<7.0"}}},
		},
		{
			name: "an extension is missing",
			with: func(o *store.Options) {
				o.PHP.Extensions = []string{"bcmath", "apcu", "pcntl", "redis", "Zend OPcache", "mbstring"}
			},
			want: []finding{{store.Error, "extension-missing", []string{"magento/framework, magento/product-community-edition need it"}}},
		},
		{
			name: "a polyfill stands in for an extension",
			with: func(o *store.Options) {
				o.PHP.Extensions = []string{"bcmath", "apcu", "intl", "pcntl", "redis", "Zend OPcache"}
			},
			want: []finding{{store.Info, "extension-recommended", []string{"mbstring"}}},
		},
		{
			name:   "composer is told that the extension is there",
			change: set("composer.json", `"sort-packages": true`, `"platform": {"ext-intl": "1.0"}`),
			with: func(o *store.Options) {
				o.PHP.Extensions = []string{"bcmath", "apcu", "pcntl", "redis", "opcache", "mbstring"}
			},
			want: []finding{{store.Warning, "lock-outdated", nil}, {store.Warning, "extension-missing", []string{"config.platform"}}},
		},
		{
			name: "a locale in another spelling",
			with: func(o *store.Options) { o.Locales = []string{"de-de", "zh_CN"} },
			want: []finding{{store.Error, "locale-unknown", []string{"write de_DE"}}, {store.Error, "locale-unknown", []string{"write zh_Hans_CN"}}},
		},
		{
			name: "a locale that does not exist",
			with: func(o *store.Options) { o.Locales = []string{"xx_XX"} },
			want: []finding{{store.Error, "locale-unknown", []string{`"xx_XX"`, "info:language:list"}}},
		},
		{
			name:   "a locale that does not exist, in config.php",
			change: set("app/etc/config.php", "de_CH", "de_XX"),
			want:   []finding{{store.Error, "locale-unknown", []string{`"de_XX"`}}},
		},
		{
			name:   "a locale that the store's own code may add",
			change: put("app/code/Acme/Base/etc/di.xml", `<config><type name="Magento\Framework\Locale\Config"><arguments/></type></config>`),
			with:   func(o *store.Options) { o.Locales = []string{"en_ZA"} },
			want:   []finding{{store.Warning, "locale-unknown", nil}},
		},
		{
			name: "themes that do not exist",
			with: func(o *store.Options) { o.Themes = []string{"Acme/nope", "adminhtml/Magento/luma", "Magento/luma"} },
			want: []finding{{store.Error, "theme-unknown", []string{`"Acme/nope"`, "frontend/Acme/default"}}, {store.Error, "theme-unknown", []string{`"adminhtml/Magento/luma"`}}},
		},
		{
			name:   "a theme of config.php that does not exist",
			change: remove(themeDir+"theme.xml", themeDir+"registration.php"),
			want:   []finding{{store.Error, "theme-missing", []string{"frontend/Acme/default"}}},
		},
		{
			name: "a theme of config.php that a package may bring",
			change: func(t *testing.T, m fstest.MapFS) {
				remove(themeDir+"theme.xml", themeDir+"registration.php")(t, m)
				edit(t, m, "composer.lock", `"packages": [`, `"packages": [{"name": "vendor/shop-theme", "type": "magento2-theme", "autoload": {"files": ["registration.php"]}},`)
			},
		},
		{
			name:   "a theme whose parent does not exist",
			change: set(themeDir+"theme.xml", "Magento/luma", "Magento/lumen"),
			want:   []finding{{store.Error, "theme-missing", []string{"Magento/lumen"}}},
		},
		{
			name:   "a theme that is not registered",
			change: remove(themeDir + "registration.php"),
			want:   []finding{{store.Error, "theme-missing", nil}, {store.Warning, "not-registered", []string{"registration.php"}}},
		},
		{
			name:   "a theme that config.php does not list",
			change: set("app/etc/config.php", "frontend/Acme/default' => ['parent_id' => 'Magento/luma', 'area' => 'frontend', 'code' => 'Acme/default'", "frontend/Magento/luma' => ['area' => 'frontend', 'code' => 'Magento/luma'"),
			want:   []finding{{store.Warning, "theme-unlisted", []string{"app:config:dump themes"}}},
		},
		{
			name:   "a module that config.php does not list",
			change: set("app/etc/config.php", "'Acme_Base' => 1", ""),
			want:   []finding{{store.Warning, "module-unlisted", []string{"bin/magento module:enable Acme_Base"}}},
		},
		{
			name:   "a module of the store's own vendor that is gone",
			change: set("app/etc/config.php", "'Acme_Base' => 1", "'Acme_Base' => 1, 'Acme_Gone' => 1, 'Acme_Off' => 0, 'Other_Package' => 1"),
			want:   []finding{{store.Warning, "module-missing", []string{"Acme_Gone"}}},
		},
		{
			name:   "a module.xml that is not XML",
			change: put("app/code/Acme/Base/etc/module.xml", "<config><module name=></config>"),
			want:   []finding{{store.Error, "xml-invalid", []string{"line 1"}}},
		},
		{
			name: "too little memory",
			with: func(o *store.Options) { o.Memory = 512 << 20 },
			want: []finding{{store.Error, "memory", []string{"536 MB", "1 GB"}}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, o := healthy(), enough()
			if test.change != nil {
				test.change(t, m)
			}
			if test.with != nil {
				test.with(&o)
			}
			report := open(t, m).Check(o)
			expect(t, report, test.want)
		})
	}
}

// expect compares what was found with all that a test wants.
func expect(t *testing.T, report store.Report, wanted []finding) {
	t.Helper()
	var got, want []string
	for _, f := range report.Findings {
		got = append(got, string(f.Severity)+" "+f.Code)
		if f.Subject == "" || f.Message == "" || f.Do == "" {
			t.Errorf("a finding without subject, message or what to do: %+v", f)
		}
	}
	for _, f := range wanted {
		want = append(want, string(f.severity)+" "+f.code)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s\n%s", diff, report)
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(report.Findings, func(f store.Finding) bool {
			return f.Code == w.code && !slices.ContainsFunc(w.texts, func(text string) bool { return !strings.Contains(f.Subject+" "+f.Message+" "+f.Do, text) })
		}) {
			t.Errorf("no %s says all of %q:\n%s", w.code, w.texts, report)
		}
	}
	if wantErr := slices.ContainsFunc(wanted, func(f finding) bool { return f.severity == store.Error }); report.OK() == wantErr || (report.Err() != nil) != wantErr {
		t.Errorf("OK is %v and the error %v", report.OK(), report.Err())
	}
	if out := report.String() + fmt.Sprint(report.Err()); strings.Contains(out, "s3cr3t") {
		t.Errorf("a secret is in the report:\n%s", out)
	}
}

func TestEverythingIsFoundAtOnce(t *testing.T) {
	m := healthy()
	write(m, "app/etc/config.php", "<?php return ['modules' => ['Acme_Base' => 1], 'system' => ['default' => ['dev' => ['js' => ['merge_files' => 1]]]]];")
	write(m, "app/etc/env.php", "<?php return [];")
	edit(t, m, "composer.lock", "https://mirror.mage-os.org/packages/magento/framework", "https://repo.magento.com/archives/magento/framework")
	o := enough()
	o.PHP = &store.PHP{Version: "7.4.33", Extensions: []string{"Core"}}
	o.Memory = 100 << 20
	report := open(t, m).Check(o)
	err := report.Err()
	if err == nil {
		t.Fatal("this store cannot be built")
	}
	for _, text := range []string{"config:set --lock-config dev/js/merge_files 0", "MAGENTO_PUBLIC_KEY", "PHP 7.4.33", "ext-bcmath", "ext-intl", "104 MB"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q:\n%v", text, err)
		}
	}
	if strings.Contains(err.Error(), "env.php") {
		t.Errorf("a warning is in the error: %v", err)
	}
	order := []store.Severity{store.Error, store.Warning, store.Info}
	if !slices.IsSortedFunc(report.Findings, func(a, b store.Finding) int {
		return slices.Index(order, a.Severity) - slices.Index(order, b.Severity)
	}) {
		t.Errorf("errors do not come first:\n%s", report)
	}
}

// What packages register is read where their code is: in a path repository, and in vendor once it is installed.
func TestPackagesWhoseCodeIsThere(t *testing.T) {
	const listed = `"packages": [{"name": "acme/shop-theme", "type": "magento2-theme", "dist": {"type": "path", "url": "packages/theme"},
		"autoload": {"files": ["src/registration.php"]}},`
	m := healthy()
	edit(t, m, "composer.lock", `"packages": [`, listed)
	write(m, "packages/theme/src/registration.php", registration("THEME", "frontend/Acme/winter"))
	write(m, "packages/theme/src/theme.xml", `<theme><parent>Acme/default</parent></theme>`)
	o := enough()
	o.Themes = []string{"Acme/winter"}
	if err := open(t, m).Check(o).Err(); err != nil {
		t.Errorf("the theme is in a path repository: %v", err)
	}

	for _, p := range []string{"magento/framework", "magento/module-store", "magento/theme-adminhtml-backend", "magento/theme-frontend-blank", "magento/theme-frontend-luma"} {
		write(m, "vendor/"+p+"/registration.php", "<?php")
	}
	write(m, "vendor/magento/module-store/registration.php", registration("MODULE", "Magento_Store"))
	write(m, "vendor/acme/shop-theme/src/registration.php", registration("THEME", "frontend/Acme/winter"))
	edit(t, m, "app/etc/config.php", "'Acme_Base' => 1", "'Acme_Base' => 1, 'Foreign_Gone' => 1")
	o.Installed = true
	s := open(t, m)
	report := s.Check(o)
	if !slices.ContainsFunc(report.Findings, func(f store.Finding) bool {
		return f.Code == "module-missing" && strings.Contains(f.Message, "Foreign_Gone") && !strings.Contains(f.Message, "Magento_Store")
	}) {
		t.Errorf("vendor is there and does not have Foreign_Gone:\n%s", report)
	}
	if diff := cmp.Diff(report, s.Check(o)); diff != "" {
		t.Errorf("a second check finds something else: %s", diff)
	}
}

// What is shown of PHP is what builds, and nothing is told of what is no store.
func TestFactsAreOfTheBuild(t *testing.T) {
	o := enough()
	o.PHP.Version, o.Platform = "8.2.36", "linux/arm64"
	if out := open(t, healthy()).Check(o).String(); !strings.Contains(out, "PHP                 8.2.36 on linux/arm64\n") {
		t.Errorf("the report does not show what builds:\n%s", out)
	}
	report := open(t, fstest.MapFS{"README.md": {}}).Check(o)
	if out := report.String(); len(report.Findings) != 1 || !strings.HasPrefix(out, "error  composer.json") || strings.Contains(out, "PHP") {
		t.Errorf("of an empty directory is said:\n%s", out)
	}
}
