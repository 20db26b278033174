package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// modulesOnly is a config.php as Magento's installer writes it and no tool would write it again.
const modulesOnly = `<?php
// ours: do not touch
return [
    "modules" => [ 'Magento_Store' => 1, 'Magento_Theme' => 1, 'Acme_Greeting' => 1, 'Magento_Backend' => 1, 'Magento_Catalog' => 1,
        'Magento_Checkout' => 1, 'Acme_Delivery' => 1, 'Sample_Loyalty' => 1, 'Magento_Csp' => 0 ],
];
`

// buyTheme adds a theme to a store's packages that nothing in its source tells of: composer takes it from an archive.
func buyTheme(t *testing.T, dir string) {
	t.Helper()
	var content bytes.Buffer
	w := zip.NewWriter(&content)
	for name, text := range map[string]string{
		"composer.json":        `{"name": "bought/shop-theme", "version": "1.0.0", "type": "magento2-theme", "autoload": {"files": ["src/registration.php"]}}`,
		"src/registration.php": `<?php \Magento\Framework\Component\ComponentRegistrar::register(\Magento\Framework\Component\ComponentRegistrar::THEME, 'frontend/Bought/shop', __DIR__);`,
		"src/theme.xml":        `<theme><title>Bought</title><parent>Magento/blank</parent></theme>`,
		"src/web/js/bought.js": "// bought\n",
	} {
		f, err := w.Create(name)
		noError(t, err)
		_, err = f.Write([]byte(text))
		noError(t, err)
	}
	noError(t, w.Close())
	archive := filepath.Join(t.TempDir(), "theme.zip")
	noError(t, os.WriteFile(archive, content.Bytes(), 0o644))
	edit(t, filepath.Join(dir, "composer.json"), `"sample/module-loyalty"`, `"bought/shop-theme": "1.0.0", "sample/module-loyalty"`)
	edit(t, filepath.Join(dir, "composer.lock"), `"packages": [`, `"packages": [{"name": "bought/shop-theme", "version": "1.0.0", "type": "magento2-theme",
		"dist": {"type": "zip", "url": "`+archive+`"}, "autoload": {"files": ["src/registration.php"]}},`)
}

// A store whose config.php lists its modules alone is built for all themes that are installed then, those that packages
// bring included; what static content needs beyond that is in no image, and the images serve.
func TestModulesOnly(t *testing.T) {
	needTools(t)
	var source string
	out := buildImages(t, func(dir string) {
		source = dir
		write(t, filepath.Join(dir, "app/etc/config.php"), modulesOnly)
		buyTheme(t, dir)
	})
	php, nginx := rootfs(t, filepath.Join(out, "magento2")), rootfs(t, filepath.Join(out, "nginx"))
	for _, file := range []string{"var/www/html/app/etc/config.php", "usr/local/share/magento/app/etc/config.php"} {
		raw, err := os.ReadFile(filepath.Join(php, file))
		noError(t, err)
		if string(raw) != modulesOnly {
			t.Errorf("the image's %s is not the store's:\n%s", file, raw)
		}
	}
	for _, file := range []string{"frontend/Bought/shop/en_US/js/bought.js", "frontend/Acme/shop/en_US/css/shop.css", "frontend/Magento/blank/en_US", "adminhtml/Magento/backend/en_US"} {
		if _, err := os.Stat(filepath.Join(nginx, "var/www/html/pub/static", file)); err != nil {
			t.Errorf("image nginx: %v", err)
		}
	}
	facts, err := os.ReadFile(filepath.Join(php, "var/www/html/generated/magecloudkit.php"))
	noError(t, err)
	if !strings.Contains(string(facts), "'minify_html' => '0'") {
		t.Errorf("the image's env.php pins nothing:\n%s", facts)
	}
	code, said, _ := mck(t, withTools(t, nil), "check", "--source", source, "--themes", "Acme/shop")
	if code != 0 || !strings.Contains(said, "static content is deployed for Acme/shop in en_US") {
		t.Errorf("check --themes = %d and does not say what is deployed:\n%s", code, said)
	}
}

// A website's own setting is pinned where config.php names the website nowhere else.
func TestScopedSettingWithoutScopes(t *testing.T) {
	needTools(t)
	out := buildImages(t, func(dir string) {
		write(t, filepath.Join(dir, "app/etc/config.php"), strings.Replace(modulesOnly, "\n];", "\n'system' => ['websites' => ['shop' => ['dev' => ['js' => ['minify_files' => 1]]]]],\n];", 1))
	}, "--themes", "Acme/shop")
	facts, err := os.ReadFile(filepath.Join(rootfs(t, filepath.Join(out, "magento2")), "var/www/html/generated/magecloudkit.php"))
	noError(t, err)
	_, websites, ok := strings.Cut(string(facts), "'websites'")
	if !ok || !strings.Contains(websites, "'shop'") || !strings.Contains(websites, "'minify_files' => '1'") {
		t.Errorf("the website's setting is not pinned:\n%s", facts)
	}
}
