package store_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/magecloudkit/pipeline/ci/store"
)

// suits reports whether a PHP satisfies a constraint, as a check of a store that has it tells.
func suits(t testing.TB, constraint, php string) bool {
	c, err := json.Marshal(constraint)
	if err != nil {
		t.Fatal(err)
	}
	m := fstest.MapFS{
		"composer.json": {Data: []byte(`{"require": {"magento/framework": "*"}}`)},
		"composer.lock": {Data: []byte(`{"packages": [{"name": "acme/package", "require": {"php": ` + string(c) + `}}]}`)},
	}
	report := open(t, m).Check(store.Options{PHP: &store.PHP{Version: php}})
	return !slices.ContainsFunc(report.Findings, func(f store.Finding) bool { return f.Code == "php-version" })
}

// The verdicts are those of composer/semver 3.
func TestConstraintsMeanWhatComposerMeans(t *testing.T) {
	for _, test := range []struct {
		constraint string
		yes, no    string // versions
	}{
		{"*", "5.3.0 8.5.0", ""},
		{"8.2.4", "8.2.4", "8.2.5 8.2.3"},
		{"8.2", "8.2.0", "8.2.1"},
		{"~8.1", "8.1.0 8.9.9", "8.0.30 9.0.0"},
		{"~8.1.0", "8.1.0 8.1.33", "8.2.0 8.0.30"},
		{"~8.1.2", "8.1.2 8.1.3", "8.1.1 8.2.0"},
		{"~8", "8.0.0 8.4.1", "7.4.33 9.0.0"},
		{"~8.1.0||~8.2.0", "8.1.5 8.2.36", "8.3.0"},
		{"~8.1.0 | ~8.3.0", "8.1.5 8.3.1", "8.2.0"},
		{"^8.1", "8.1.0 8.1.0RC1 8.5.2", "8.0.30 9.0.0 9.0.0RC1"},
		{"^8", "8.0.0 8.5.0", "7.4.33"},
		{"^0.3", "0.3.9", "0.4.0"},
		{"^7.2.5 || ^8.0", "7.2.5 7.4.33 8.4.0", "7.2.4 9.0.0"},
		{">=7.4 <8.5", "7.4.0 8.4.99", "7.3.0 8.5.0"},
		{">=7.4, <8.5", "7.4.0 8.4.99", "7.3.0 8.5.0"},
		{">= 7", "7.0.0 8.0.0", "5.6.40"},
		{">7.4", "7.4.1", "7.4.0"},
		{"<=8.2", "8.2.0 8.1.9", "8.2.1"},
		{"<8.3", "8.2.9", "8.3.0 8.3.0RC1"},
		{"!=8.2.0", "8.2.1", "8.2.0"},
		{"<>8.2.0", "8.2.1", "8.2.0"},
		{"8.1.*", "8.1.0 8.1.33", "8.2.0 8.0.30"},
		{"8.*", "8.4.1", "9.0.0"},
		{"7.4 - 8.2", "7.4.0 8.2.36", "8.3.0 7.3.9"},
		{"7.4 - 8.2.3", "7.4.0 8.2.3", "8.2.4"},
		{"^8.1 !=8.2.0", "8.2.1", "8.2.0"},
		{">=8.1@dev", "8.1.0", "8.0.0"},
		{">=8.2.0RC2", "8.2.0RC2 8.2.0", "8.2.0RC1 8.2.0beta3"},
		{"v8.2.1", "8.2.1", "8.2.2"},
		{"dev-master", "", "8.2.0"},
	} {
		for _, php := range strings.Fields(test.yes) {
			if !suits(t, test.constraint, php) {
				t.Errorf("%q does not allow %s", test.constraint, php)
			}
		}
		for _, php := range strings.Fields(test.no) {
			if suits(t, test.constraint, php) {
				t.Errorf("%q allows %s", test.constraint, php)
			}
		}
	}
}

func FuzzConstraint(f *testing.F) {
	for _, c := range []string{"~8.1.0||~8.2.0", ">=7.4 <8.5", "8.1.*", "7.4 - 8.2", "^8.1@dev", "*", "|,-~^", "1.2.3.4-RC1+x as 3"} {
		f.Add(c, "8.2.36")
	}
	f.Fuzz(func(t *testing.T, c, php string) {
		if suits(t, c, php) != suits(t, " "+c+" ", php) {
			t.Errorf("%q: surrounding space changes the verdict on %q", c, php)
		}
		if !suits(t, c+" || *", php) {
			t.Errorf("%q || * does not allow %q", c, php)
		}
	})
}
