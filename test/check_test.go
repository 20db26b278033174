package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleStore copies the sample and lets edit break it.
func sampleStore(t *testing.T, edit func(t *testing.T, dir string)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "testdata", "store"))); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(t, dir)
	}
	return dir
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// replace changes the first place in a file where old stands.
func replace(name, old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		file := filepath.Join(dir, name)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), old) {
			t.Fatalf("%s does not contain %q", name, old)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(raw), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// cut takes an entry of config.php's array out, which begins with the first of
// the lines and ends before the second.
func cut(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		file := filepath.Join(dir, "app/etc/config.php")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(raw), from)
		_, after, ok2 := strings.Cut(rest, to)
		if !ok || !ok2 {
			t.Fatalf("config.php has no %q … %q", from, to)
		}
		if err := os.WriteFile(file, []byte(before+to+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func all(edits ...func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for _, e := range edits {
			e(t, dir)
		}
	}
}

var (
	withoutModules = cut("    'modules' => [", "    'scopes' => [")
	withoutScopes  = cut("    'scopes' => [", "    'themes' => [")
	// merged asks for what no image can honour.
	merged = replace("app/etc/config.php", "'default' => [\n            'general'", "'default' => [\n            'dev' => ['js' => ['merge_files' => '1']],\n            'general'")
)

func TestCheckOfASoundStore(t *testing.T) {
	var report string
	if err := query(t.Context(), connect(t), storeParams(t, source(t)), "check", &report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(report, "0 errors, 0 warnings") {
		t.Errorf("check of the store:\n%s", report)
	}
}

func TestCheckWarns(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*testing.T, string)
		want []string
	}{
		{"no lock", remove("composer.lock"), []string{"composer.lock", "cannot be reproduced", "lock"}},
		{"no modules", withoutModules, []string{"app/etc/config.php", "it lists no modules: the build enables every module it finds"}},
		{"no store views", all(withoutScopes, remove("composer.lock")), []string{"it lists no store views (scopes), so static content is deployed for all installed frontend themes"}},
		{"env.php", write("app/etc/env.php", "<?php return ['db' => []];"), []string{"app/etc/env.php", "it is left out of the build and of the images"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := sampleStore(t, tt.edit)
			var report string
			if err := query(t.Context(), connect(t), storeParams(t, connect(t).Host().Directory(dir)), "check", &report); err != nil {
				t.Fatalf("a warning must not fail the check: %v", err)
			}
			for _, w := range append(tt.want, "1 warning") {
				if !strings.Contains(squeeze(report), w) {
					t.Errorf("the report does not say %q:\n%s", w, report)
				}
			}
		})
	}
}

// TestBrokenStores has check refuse stores, with all that is wrong and what to do.
func TestBrokenStores(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*testing.T, string)
		args params
		want []string
	}{
		{"no composer.json", remove("composer.json"), nil,
			[]string{"composer.json", "this is not a Magento store", "--source"}},
		{"no edition of Magento", all(remove("composer.lock"), remove("app"), write("composer.json", `{"name": "some/library", "require": {"psr/log": "^3"}}`)), nil,
			[]string{"it requires no edition of Magento: this is not a Magento store", "mage-os/product-community-edition"}},
		{"composer.json", write("composer.json", `{"name": "sample/store",`), nil,
			[]string{"composer.json", "composer validate"}},
		{"composer.lock", write("composer.lock", `{`), nil,
			[]string{"composer.lock", "restore it from git"}},
		{"config.php", write("app/etc/config.php", `<?php return [`), nil,
			[]string{"app/etc/config.php", "php -l app/etc/config.php"}},
		{"credentials", all(remove("composer.lock"), replace("composer.json", `"repositories": [`, `"repositories": [{"type": "composer", "url": "https://repo.magento.com/"},`)), nil,
			[]string{"repo.magento.com", "there are no credentials for it", "MAGENTO_PUBLIC_KEY", "MAGENTO_PRIVATE_KEY", "--composer-auth"}},
		{"PHP", replace("composer.lock", `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"php": "~7.4.0"`), nil,
			[]string{"does not suit magento/framework, which needs ~7.4.0"}},
		{"extension", replace("composer.lock", `"ext-dom": "*"`, `"ext-dom": "*", "ext-nosuch": "*"`), nil,
			[]string{"ext-nosuch", "lacks it, and magento/framework needs it", "add the extension to the PHP that builds and runs the store"}},
		{"locale", nil, params{"locales": []string{"en_US", "xx_YY"}},
			[]string{`"xx_YY" is not a locale of Magento`}},
		{"locale's spelling", nil, params{"locales": []string{"de-de"}},
			[]string{`"de-de" is not a locale of Magento`, "write de_DE"}},
		{"theme", nil, params{"themes": []string{"Acme/nosuch"}},
			[]string{`there is no theme "Acme/nosuch"`, "frontend/Acme/shop"}},
		{"several", all(merged, replace("composer.lock", `"ext-dom": "*"`, `"ext-dom": "*", "ext-nosuch": "*"`)), params{"locales": []string{"xx_YY"}},
			[]string{"ext-nosuch", "--lock-config dev/js/merge_files 0", "xx_YY"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(t)
			store := storeParams(t, c.Host().Directory(sampleStore(t, tt.edit))).with(tt.args)
			var report string
			err := query(t.Context(), c, store, "check", &report)
			if err == nil {
				t.Fatalf("check takes it:\n%s", report)
			}
			for _, w := range tt.want {
				if !strings.Contains(squeeze(err.Error()), w) {
					t.Errorf("check does not say %q:\n%v", w, err)
				}
			}
		})
	}
}

// TestEveryVerbChecksFirst: an exit code that CI understands, the errors on the
// terminal, and nothing of the store has run.
func TestEveryVerbChecksFirst(t *testing.T) {
	dir := sampleStore(t, all(merged, write("app/etc/env.php", "<?php return [];")))
	for _, verb := range [][]string{{"check"}, {"composer", "entries"}, {"precompile", "entries"}, {"build", "--build-num=1", "summary"}} {
		t.Run(verb[0], func(t *testing.T) {
			t.Parallel()
			got := call(t, append(storeFlags(dir), verb...)...)
			if got.code == 0 {
				t.Errorf("exit code 0")
			}
			if !strings.Contains(squeeze(got.log), "--lock-config dev/js/merge_files 0") {
				t.Errorf("the errors do not reach the terminal")
			}
			if strings.Contains(got.log, "step run") || strings.Contains(got.log, "composer install") {
				t.Errorf("a step ran first")
			}
			if t.Failed() {
				t.Log(got.all())
			}
		})
	}
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	for _, tt := range []struct {
		name      string
		store     params
		selection string
		want      string
	}{
		{"shards", params{"shards": "many"}, "check", `shards "many": use auto, none, theme or locale`},
		{"compression", params{"compression": "rar"}, "check", `compression "rar" is not known: use zstd or gzip`},
		{"build number", nil, `build(buildNum: "a/b") { summary }`, `build number "a/b"`},
		{"content version", nil, `precompile(contentVersion: "1-2") { id }`, `content version "1-2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got any
			err := query(t.Context(), connect(t), storeParams(t, source(t)).with(tt.store), tt.selection, &got)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want an error that says %q, have %v", tt.want, err)
			}
		})
	}
	t.Run("one key of two", func(t *testing.T) {
		secret, err := connect(t).SetSecret("public-key", "a public key").ID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = query(t.Context(), connect(t), storeParams(t, source(t)).with(params{"magentoPublicKey": secret}), "check", &got)
		if err == nil || !strings.Contains(err.Error(), "only one is given") {
			t.Errorf("it is taken, or the error is another: %v", err)
		}
	})
}
