package store_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

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

func FuzzConfig(f *testing.F) {
	f.Add([]byte(configPHP))
	f.Add([]byte("<?php return array('modules' => array(\"A_B\" => 1, -1 => 0x1F, 017 => 1.5e3, ...$x, 'k' . 'l' => <<<'E'\nx\nE\n, fn() => 1));?>x"))
	f.Add([]byte("<?php return [[[[[['\\'"))
	f.Fuzz(func(t *testing.T, src []byte) {
		m := fstest.MapFS{"app/etc/config.php": {Data: src}, "composer.json": {Data: []byte(composerJSON)}}
		s := open(t, m)
		report := s.Check(store.Options{})
		invalid := slices.ContainsFunc(report.Findings, func(f store.Finding) bool { return f.Code == "config-invalid" })
		if invalid && s.HasModules() {
			t.Errorf("a file that cannot be read has modules")
		}
	})
}
