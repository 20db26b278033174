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
	"testing/fstest"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

// The content-hash in the lock is the one that composer 2.5 writes for this composer.json.
const composerJSON = `{
    "name": "acme/shop",
    "require": {
        "magento/product-community-edition": "2.4.7-p3"
    },
    "config": {
        "allow-plugins": {"magento/*": true},
        "sort-packages": true
    }
}
`

const composerLock = `{
    "content-hash": "bbdbda4d70ef6193735d8195437a0bd3",
    "packages": [
        {
            "name": "magento/framework",
            "version": "103.0.7-p3",
            "dist": {"type": "zip", "url": "https://mirror.mage-os.org/packages/magento/framework-103.0.7-p3.zip"},
            "require": {"ext-intl": "*", "ext-mbstring": "*", "lib-libxml": "*", "php": "~8.1.0||~8.2.0||~8.3.0"},
            "type": "magento2-library",
            "autoload": {"files": ["registration.php"]}
        },
        {
            "name": "magento/magento-composer-installer",
            "version": "0.4.0",
            "dist": {"type": "zip", "url": "https://mirror.mage-os.org/packages/magento/magento-composer-installer-0.4.0.zip"},
            "require": {"composer-plugin-api": "^1.0 || ^2.0", "php": "~7.4.0||~8.1.0||~8.2.0||~8.3.0"},
            "type": "composer-plugin",
            "extra": {"class": "MagentoHackathon\\Composer\\Magento\\Plugin"}
        },
        {
            "name": "magento/module-store",
            "version": "101.1.7",
            "dist": {"type": "zip", "url": "https://mirror.mage-os.org/packages/magento/module-store-101.1.7.zip"},
            "require": {"php": "~8.1.0||~8.2.0||~8.3.0"},
            "type": "magento2-module",
            "autoload": {"files": ["registration.php"], "psr-4": {"Magento\\Store\\": ""}}
        },
        {
            "name": "magento/product-community-edition",
            "version": "2.4.7-p3",
            "dist": {"type": "zip", "url": "https://mirror.mage-os.org/packages/magento/product-community-edition-2.4.7-p3.zip"},
            "require": {"ext-bcmath": "*", "ext-intl": "*", "php": "~8.1.0||~8.2.0||~8.3.0"},
            "type": "metapackage"
        },
        {
            "name": "magento/theme-adminhtml-backend",
            "version": "100.4.7",
            "type": "magento2-theme",
            "autoload": {"files": ["registration.php"]}
        },
        {
            "name": "magento/theme-frontend-blank",
            "version": "100.4.7",
            "type": "magento2-theme",
            "autoload": {"files": ["registration.php"]}
        },
        {
            "name": "magento/theme-frontend-luma",
            "version": "100.4.7",
            "type": "magento2-theme",
            "autoload": {"files": ["registration.php"]}
        },
        {
            "name": "symfony/polyfill-mbstring",
            "version": "v1.31.0",
            "dist": {"type": "zip", "url": "https://api.github.com/repos/symfony/polyfill-mbstring/zipball/85181ba"},
            "require": {"php": ">=7.2"},
            "provide": {"ext-mbstring": "*"},
            "type": "library",
            "extra": []
        }
    ],
    "packages-dev": [
        {"name": "phpunit/phpunit", "version": "9.6.0", "require": {"ext-xdebug": "*", "php": ">=9.0"}, "type": "library"}
    ],
    "platform": [],
    "platform-dev": {}
}
`

const configPHP = `<?php
return [
    'modules' => [
        'Magento_Store' => 1,
        'Magento_AdminAdobeIms' => 0,
        'Acme_Base' => 1
    ],
    'scopes' => [
        'websites' => [
            'admin' => ['website_id' => '0', 'code' => 'admin'],
            'base' => ['website_id' => '1', 'code' => 'base'],
            'ch' => ['website_id' => '2', 'code' => 'ch']
        ],
        'groups' => [],
        'stores' => [
            'admin' => ['store_id' => '0', 'website_id' => '0', 'is_active' => '1'],
            'default' => ['store_id' => '1', 'website_id' => '1', 'is_active' => '1'],
            'ch_de' => ['store_id' => '2', 'website_id' => '2', 'is_active' => '1'],
            'ch_fr' => ['store_id' => '3', 'website_id' => '2', 'is_active' => '1'],
            'old' => ['store_id' => '4', 'website_id' => '1', 'is_active' => '0']
        ]
    ],
    'themes' => [
        'frontend/Magento/blank' => ['parent_id' => null, 'area' => 'frontend', 'code' => 'Magento/blank'],
        'frontend/Magento/luma' => ['parent_id' => 'Magento/blank', 'area' => 'frontend', 'code' => 'Magento/luma'],
        'frontend/Acme/default' => ['parent_id' => 'Magento/luma', 'area' => 'frontend', 'code' => 'Acme/default'],
        'adminhtml/Magento/backend' => ['parent_id' => null, 'area' => 'adminhtml', 'code' => 'Magento/backend']
    ],
    'system' => [
        'default' => [
            'general' => ['locale' => ['code' => 'de_DE']],
            'design' => ['theme' => ['theme_id' => 'frontend/Acme/default']]
        ],
        'websites' => ['ch' => ['general' => ['locale' => ['code' => 'de_CH']]]],
        'stores' => [
            'ch_fr' => ['general' => ['locale' => ['code' => 'fr_CH']]],
            'old' => ['general' => ['locale' => ['code' => 'it_IT']]]
        ]
    ]
];
`

func registration(kind, name string) string {
	return "<?php\nuse Magento\\Framework\\Component\\ComponentRegistrar;\n\n" +
		"ComponentRegistrar::register(ComponentRegistrar::" + kind + ", '" + name + "', __DIR__);\n"
}

const diXML = `<?xml version="1.0"?>
<config><type name="Magento\Catalog\Model\Product"><plugin name="acme" type="Acme\Base\Plugin\Name"/></type></config>`

// healthy is a store that nothing is wrong with.
func healthy() fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range map[string]string{
		"composer.json":                                      composerJSON,
		"composer.lock":                                      composerLock,
		"app/etc/config.php":                                 configPHP,
		"app/code/Acme/Base/registration.php":                registration("MODULE", "Acme_Base"),
		"app/code/Acme/Base/etc/module.xml":                  `<config><module name="Acme_Base"/></config>`,
		"app/code/Acme/Base/etc/di.xml":                      diXML,
		"app/design/frontend/Acme/default/registration.php":  registration("THEME", "frontend/Acme/default"),
		"app/design/frontend/Acme/default/theme.xml":         `<theme><title>Acme</title><parent>Magento/luma</parent></theme>`,
		"app/design/frontend/Acme/default/web/css/_new.less": "a { }",
	} {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

// edit replaces a part of a file of the store; the part must be there.
func edit(t *testing.T, m fstest.MapFS, file, old, new string) {
	t.Helper()
	src := string(m[file].Data)
	if !strings.Contains(src, old) {
		t.Fatalf("%s does not contain %q", file, old)
	}
	m[file] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(src, old, new))}
}

func write(m fstest.MapFS, file, content string) { m[file] = &fstest.MapFile{Data: []byte(content)} }

func open(t testing.TB, fsys fs.FS) *store.Store {
	t.Helper()
	s, err := store.Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

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

func themeNames(s *store.Store, themes, locales []string) []string {
	var out []string
	for _, st := range s.Static(themes, locales) {
		out = append(out, st.Theme.String()+": "+strings.Join(st.Locales, " "))
	}
	return out
}

func TestStaticContentToDeploy(t *testing.T) {
	const admin = "adminhtml/Magento/backend: "
	for _, test := range []struct {
		name            string
		change          func(*testing.T, fstest.MapFS)
		themes, locales []string
		want            []string
	}{
		{
			name: "the themes and locales of the store views, and the admin's",
			want: []string{admin + "de_DE en_US", "frontend/Acme/default: de_CH de_DE fr_CH"},
		},
		{
			name: "a website's theme is its store views'",
			change: func(t *testing.T, m fstest.MapFS) {
				edit(t, m, "app/etc/config.php", "'websites' => ['ch' => [", "'websites' => ['ch' => ['design' => ['theme' => ['theme_id' => 'frontend/Magento/luma']], ")
			},
			want: []string{admin + "de_DE en_US", "frontend/Acme/default: de_CH de_DE fr_CH", "frontend/Magento/luma: de_CH de_DE fr_CH"},
		},
		{
			name: "a theme that only the database knows: all of them",
			change: func(t *testing.T, m fstest.MapFS) {
				edit(t, m, "app/etc/config.php", "'frontend/Acme/default']]", "4]]")
			},
			want: []string{admin + "de_DE en_US", "frontend/Acme/default: de_CH de_DE fr_CH",
				"frontend/Magento/blank: de_CH de_DE fr_CH", "frontend/Magento/luma: de_CH de_DE fr_CH"},
		},
		{
			name: "no locale in config.php: Magento's default",
			change: func(t *testing.T, m fstest.MapFS) {
				edit(t, m, "app/etc/config.php", "'general' => ['locale'", "'general' => ['other'")
			},
			want: []string{admin + "en_US", "frontend/Acme/default: en_US"},
		},
		{
			name: "no config.php: what the source tells",
			change: func(t *testing.T, m fstest.MapFS) {
				delete(m, "app/etc/config.php")
			},
			want: []string{admin + "en_US", "frontend/Acme/default: en_US", "frontend/Magento/blank: en_US", "frontend/Magento/luma: en_US"},
		},
		{
			name:   "themes asked for replace the store's, and the admin stays",
			themes: []string{"Magento/luma", "frontend/Magento/blank", "Magento/luma"},
			want:   []string{admin + "de_DE en_US", "frontend/Magento/blank: de_CH de_DE fr_CH", "frontend/Magento/luma: de_CH de_DE fr_CH"},
		},
		{
			name:   "an admin theme can be named too",
			themes: []string{"Magento/backend"},
			want:   []string{admin + "de_DE en_US"},
		},
		{
			name:    "locales asked for hold for every theme",
			locales: []string{"nl_NL", "en_GB", "nl_NL"},
			want:    []string{admin + "en_GB nl_NL", "frontend/Acme/default: en_GB nl_NL"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := healthy()
			if test.change != nil {
				test.change(t, m)
			}
			if diff := cmp.Diff(test.want, themeNames(open(t, m), test.themes, test.locales)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfigIsReadWithoutRunningIt(t *testing.T) {
	for name, src := range map[string]string{
		"as Magento writes it":     "<?php\nreturn ['modules' => ['A_On' => 1, 'A_Off' => 0]];",
		"as Magento 2.1 wrote it":  "<?php\nreturn array (\n  'modules' => \n  array (\n    'A_On' => 1,\n    'A_Off' => 0,\n  ),\n);\n",
		"declarations before it":   "<?php\ndeclare(strict_types=1);\nuse A\\B;\n/* ] */ function f() { return ['modules' => []]; }\nif (true) { return 1; }\nreturn ['modules' => ['A_On' => true, 'A_Off' => false]]; ?>",
		"comments and odd strings": "<?php return [ # it's ]\n 'modules' => /* ' */ [\n'A_On' // '\n=> 1, \"A_O\\x66f\" => -0, ], ];",
		"concatenated names":       "<?php return ['mod' . 'ules' => ['A' . '_On' => 1, 'A_' . \"Off\" => '0']];",
		"calls and constants beside it": "<?php return ['x' => \\Magento\\Store\\Model\\Store::class, 'y' => fn($a) => [1, 2], " +
			"'z' => array_map(function ($m) { return [$m => 1]; }, [1]), F::X => 2, 'modules' => ['A_On' => 1, 'A_Off' => 0], 'e' => getenv('X') ?: 'y'];",
		"heredoc":                      "<?php return ['text' => <<<EOT\n  ] modules ' EOTX\n  EOT, 'modules' => ['A_On' => 1, 'A_Off' => 0]];",
		"a later one of the same name": "<?php return ['modules' => [], 'modules' => ['A_On' => 0, 'A_Off' => 0, 'A_On' => 1]];",
	} {
		t.Run(name, func(t *testing.T) {
			m := healthy()
			write(m, "app/etc/config.php", src)
			s := open(t, m)
			if diff := cmp.Diff(map[string]bool{"A_On": true, "A_Off": false}, s.Modules()); diff != "" {
				t.Errorf("modules: %s\n%s", diff, s.Check(store.Options{}))
			}
		})
	}
}

// Values mean what PHP makes of them: the locale below is always de_DE.
func TestConfigValues(t *testing.T) {
	for _, value := range []string{
		`'de_DE'`, `"de_DE"`, `"de\x5fDE"`, `"de\137DE"`, `"de\u{5f}DE"`, `'de' . '_' . "DE"`, `('de_DE')`, `null . 'de_DE'`,
		"<<<'X'\nde_DE\nX", "<<<X\n    de\\x5fDE\n    X", "<<<\"X\"\nde_DE\nX",
	} {
		m := healthy()
		edit(t, m, "app/etc/config.php", "'de_DE'", value)
		if got := open(t, m).Locales()["adminhtml"]; !slices.Equal(got, []string{"de_DE", "en_US"}) {
			t.Errorf("%s: got %q", value, got)
		}
	}
	for _, value := range []string{`"de_$country"`, `"de_{$country}"`, `$locale`, `getenv('LOCALE')`, `true ? 'de_DE' : 'de_AT'`, "`locale`", `new Locale`, `"de\u{110000}"`} {
		m := healthy()
		edit(t, m, "app/etc/config.php", "'de_DE'", value)
		if got := open(t, m).Locales()["adminhtml"]; !slices.Equal(got, []string{"en_US"}) {
			t.Errorf("%s: got %q, and nobody can know that", value, got)
		}
	}
	for key, want := range map[string]bool{`1`: true, `'1'`: true, `"1"`: true, `true`: true, `1.9`: true, `0x1`: true, `01`: true, `0b1`: true, `+1`: true, `-1`: false, `'01'`: false, `null`: false} {
		m := healthy()
		write(m, "app/etc/config.php", "<?php return ['modules' => ["+key+" => 1]];")
		if got := open(t, m).Modules()["1"]; got != want {
			t.Errorf("the key %s is the key 1: %v, want %v", key, got, want)
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

func TestConfigThatOnlyPHPCouldTell(t *testing.T) {
	for _, src := range []string{
		"<?php return array_merge(require 'a.php', ['modules' => []]);",
		"<?php return ['modules' => require 'modules.php', 'scopes' => $scopes];",
		"<?php return [...$a, 'system' => []];",
	} {
		m := healthy()
		write(m, "app/etc/config.php", src)
		s := open(t, m)
		if !s.HasModules() || !s.HasScopes() {
			t.Errorf("%s: modules or scopes count as missing, and nobody can know that", src)
		}
		if err := s.Check(store.Options{}).Err(); err != nil {
			t.Errorf("%s: %v", src, err)
		}
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

func TestStaticContentDependsOnPHP(t *testing.T) {
	for _, test := range []struct {
		name, file, src string
		want            bool
	}{
		{"a plugin for something else", "etc/di.xml", diXML, false},
		{"a plugin for assets", "etc/di.xml", `<config><type name="Magento\Framework\View\Asset\Minification"><plugin name="x" type="Y"/></type></config>`, true},
		{"a preference for the deployment", "etc/adminhtml/di.xml", `<config><preference for="\Magento\Deploy\Service\Bundle" type="Y"/></config>`, true},
		{"a translation", "etc/frontend/di.xml", `<config><type name="Magento\Framework\TranslateInterface"><plugin name="x" type="Y"/></type></config>`, true},
		{"a file that cannot be read", "etc/di.xml", `<config><type name=`, true},
		{"a block", "etc/di.xml", `<config><preference for="Magento\Framework\View\Element\Template" type="Y"/></config>`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := healthy()
			write(m, "app/code/Acme/Base/"+test.file, test.src)
			if got := open(t, m).StaticDependsOnPHP(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
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
