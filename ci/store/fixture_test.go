package store_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

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
