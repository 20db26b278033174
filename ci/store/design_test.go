package store_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

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
