package store_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/store"
)

const (
	shopTheme = "app/design/frontend/Acme/default"
	tailwind  = shopTheme + "/web/tailwind"
	// As in Hyvä's default theme 1.3 and 1.4.
	hyva2 = `{"scripts": {"build": "NODE_ENV=production npx tailwindcss --postcss -i tailwind-source.css -o ../css/styles.css --minify",
		"watch": "npx tailwindcss -o ../css/watched.css", "build-prod": "npm run build && npm run output-success"}, "engines": {"node": ">=16.0.0"}}`
	hyva3 = `{"type": "module", "scripts": {"generate": "npx hyva-sources && npx hyva-tokens", "prebuild": "npm run generate",
		"build": "npx tailwindcss -i tailwind-source.css -o ../css/styles.css --minify"}, "engines": {"node": ">=20.0.0"}}`
	// As in its version 1.1, which writes a file of its own on the way.
	hyva1 = `{"scripts": {"build": "npx postcss tailwind-source.css -o tailwind-output.css", "minify": "npx csso tailwind-output.css --output ../css/styles.css",
		"build-prod": "NODE_ENV=production npm run build && npm run minify"}}`
)

func withTailwind(m fstest.MapFS, packageJSON string, files ...string) {
	write(m, tailwind+"/package.json", packageJSON)
	for _, f := range files {
		write(m, f, "")
	}
}

func declare(t *testing.T, m fstest.MapFS, setting string) {
	edit(t, m, "composer.json", `"config": {`, `"extra": {"magecloudkit": {"node": `+setting+`}}, "config": {`)
}

func TestNodeBuilds(t *testing.T) {
	ci := []string{"npm", "ci", "--no-audit", "--no-fund"}
	built := func(script, node, version string, outputs ...string) []store.NodeBuild {
		if len(outputs) == 0 {
			outputs = []string{"web/css/styles.css"}
		}
		for i := range outputs {
			outputs[i] = shopTheme + "/" + outputs[i]
		}
		return []store.NodeBuild{{
			Theme: "frontend/Acme/default", Path: tailwind, Commands: [][]string{ci, {"npm", "run", script}}, Outputs: outputs, Node: node, NodeVersion: version,
		}}
	}
	lock := tailwind + "/package-lock.json"
	for name, c := range map[string]struct {
		change func(*testing.T, fstest.MapFS)
		themes []string
		want   []store.NodeBuild
		line   string
	}{
		"none": {},
		"Hyvä 1": {
			change: func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva1, lock) },
			want:   built("build-prod", "", ""), line: "22",
		},
		"Hyvä 2": {
			change: func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva2, lock) },
			want:   built("build-prod", ">=16.0.0", ""), line: "22",
		},
		"Hyvä 3, with a .nvmrc": {
			change: func(_ *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva3, lock)
				write(m, tailwind+"/.nvmrc", "20\n")
			},
			want: built("build", ">=20.0.0", "20"), line: "20",
		},
		"a .nvmrc of the whole store, by word": {
			change: func(_ *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva3, lock)
				write(m, ".nvmrc", "# ours\nlts/krypton\n")
			},
			want: built("build", ">=20.0.0", "lts/krypton"), line: "24",
		},
		"the parent of the theme that is deployed": {
			change: func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva2, lock)
				write(m, "app/design/frontend/Acme/child/registration.php", registration("THEME", "frontend/Acme/child"))
				write(m, "app/design/frontend/Acme/child/theme.xml", `<theme><parent>Acme/default</parent></theme>`)
			},
			themes: []string{"Acme/child"},
			want:   built("build-prod", ">=16.0.0", ""), line: "22",
		},
		"a theme that is not deployed": {
			change: func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva2, lock) },
			themes: []string{"Magento/luma"},
		},
		"several outputs": {
			change: func(_ *testing.T, m fstest.MapFS) {
				withTailwind(m, `{"scripts": {"build": "npm run a && npm run b", "a": "x -o ../css/a.css", "b": "x --output=../css/b.css"}}`, lock)
			},
			want: built("build", "", "", "web/css/a.css", "web/css/b.css"), line: "22",
		},
		"without a lock npm builds nothing": {
			change: func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva2) },
		},
		"turned off": {
			change: func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva2, lock)
				declare(t, m, "false")
			},
		},
		"declared in place of what would be found": {
			change: func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva2, lock, tailwind+"/.nvmrc")
				write(m, tailwind+"/.nvmrc", "v18.20.1")
				declare(t, m, `[{"path": "`+tailwind+`/", "run": "yarn install --immutable && yarn build", "output": "`+shopTheme+`/web/css/"}]`)
			},
			want: []store.NodeBuild{{
				Path: tailwind, Commands: [][]string{{"sh", "-euc", "yarn install --immutable && yarn build"}}, Outputs: []string{shopTheme + "/web/css"},
				Node: ">=16.0.0", NodeVersion: "v18.20.1",
			}},
			line: "18",
		},
		"declared, beside": {
			change: func(t *testing.T, m fstest.MapFS) {
				write(m, "tools/package.json", `{"engines": {"node": "^20.11 || ~21.1"}}`)
				declare(t, m, `[{"path": "tools", "output": ["app/design/frontend/Acme/default/web/js/app.js"]}]`)
			},
			want: []store.NodeBuild{{
				Path: "tools", Commands: [][]string{ci, {"npm", "run", "build"}}, Outputs: []string{"app/design/frontend/Acme/default/web/js/app.js"}, Node: "^20.11 || ~21.1",
			}},
			line: "20",
		},
		"one theme turned off": {
			change: func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva2, lock)
				declare(t, m, `[{"path": "`+shopTheme+`", "run": false}]`)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := healthy()
			if c.change != nil {
				c.change(t, m)
			}
			got := open(t, m).NodeBuilds(c.themes)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("builds (-want +got):\n%s", diff)
			}
			if line := store.NodeLine(got); c.line != "" && line != c.line {
				t.Errorf("Node %s, want %s", line, c.line)
			}
		})
	}
}

// A theme of a package in the source is built where composer copies the package to.
func TestNodeBuildsInAPackageOfTheStore(t *testing.T) {
	m := healthy()
	edit(t, m, "composer.lock", `"packages": [`, `"packages": [{"name": "acme/theme", "version": "1.0.0", "type": "magento2-theme",
		"dist": {"type": "path", "url": "packages/theme"}, "autoload": {"files": ["src/registration.php"]}},`)
	write(m, "packages/theme/src/registration.php", registration("THEME", "frontend/Acme/package"))
	write(m, "packages/theme/src/theme.xml", `<theme/>`)
	write(m, "packages/theme/src/web/tailwind/package.json", hyva3)
	write(m, "packages/theme/src/web/tailwind/package-lock.json", "")
	got := open(t, m).NodeBuilds([]string{"Acme/package"})
	if len(got) != 1 || got[0].Path != "vendor/acme/theme/src/web/tailwind" || got[0].Outputs[0] != "vendor/acme/theme/src/web/css/styles.css" {
		t.Errorf("%+v", got)
	}
}

// A package's theme is built only where it brings no style sheet.
func TestNodeBuildsOfAnInstalledTheme(t *testing.T) {
	for name, committed := range map[string]bool{"with its style sheet": true, "without": false} {
		m := healthy()
		edit(t, m, "composer.lock", `"packages": [`, `"packages": [{"name": "acme/theme", "version": "1.0.0", "type": "magento2-theme", "autoload": {"files": ["registration.php"]}},`)
		installed := fstest.MapFS{}
		write(installed, "vendor/acme/theme/registration.php", registration("THEME", "frontend/Acme/package"))
		write(installed, "vendor/acme/theme/theme.xml", `<theme/>`)
		write(installed, "vendor/acme/theme/web/tailwind/package.json", hyva3)
		write(installed, "vendor/acme/theme/web/tailwind/package-lock.json", "")
		if committed {
			write(installed, "vendor/acme/theme/web/css/styles.css", "")
		}
		s, err := open(t, m).WithInstalled(installed)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.NodeBuilds([]string{"Acme/package"}); len(got) > 0 == committed {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestNodeScansPHP(t *testing.T) {
	const source = tailwind + "/tailwind-source.css"
	for name, c := range map[string]struct {
		file, content string
		want          []string
	}{
		"nothing":             {source, `@source "../../**/*.phtml";`, nil},
		"templates of code":   {source, `@source "../../../../../../code/**/*.phtml";`, nil},
		"all of code":         {source, `@source "../../../../../../code";`, []string{"app/code/**"}},
		"Tailwind 3":          {tailwind + "/tailwind.config.js", `content: ['../../../../../../../app/code/**/*.phtml']`, nil},
		"Tailwind 3, PHP":     {tailwind + "/tailwind.config.js", `content: ['../../../../../../../app/code/**/*.{php,phtml}']`, []string{"app/code/**"}},
		"hyva.config.json":    {tailwind + "/hyva.config.json", `{"tailwind": {"include": [{"src": "app/code/Acme/Base"}]}}`, []string{"app/code/**"}},
		"a module's observer": {"app/code/Acme/Base/etc/frontend/events.xml", `<config><event name="hyva_config_generate_before"/></config>`, []string{"app/code/Acme/Base/**"}},
		"a module's own":      {"app/code/Acme/Base/etc/frontend/events.xml", `<config><event name="checkout_submit"/></config>`, nil},
	} {
		m := healthy()
		withTailwind(m, hyva3)
		write(m, c.file, c.content)
		if got := open(t, m).NodeScansPHP(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What composer.json declares for Node is nothing that composer reads.
func TestWhatNodeBuildsIsNoInputOfComposer(t *testing.T) {
	m := healthy()
	declare(t, m, `[{"path": "`+tailwind+`", "output": "`+shopTheme+`/web/css"}]`)
	if got := open(t, m).ComposerInputs().Exclude; !slices.Contains(got, "app/design") {
		t.Errorf("composer reads app/design: %v", got)
	}
}

func TestCheckNode(t *testing.T) {
	lock, sheet := tailwind+"/package-lock.json", shopTheme+"/web/css/styles.css"
	at := func(version string) func(*store.Options) {
		return func(o *store.Options) { o.Node = &store.Node{Version: version} }
	}
	history := func(css, theme int64) func(*store.Options) {
		return func(o *store.Options) {
			o.Changed = func(p string) time.Time {
				if p == sheet {
					return time.Unix(css, 0)
				}
				return time.Unix(theme, 0)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, fstest.MapFS)
		with   func(*store.Options)
		want   []finding
	}{
		"built":                {func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, lock) }, at("22.1.0"), nil},
		"built and committed":  {func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, lock, sheet) }, history(5, 5), nil},
		"committed, and older": {func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, lock, sheet) }, history(4, 5), []finding{{store.Info, "node-css-stale", []string{sheet, "anew"}}}},
		"no lock, no style sheet": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3) }, nil,
			[]finding{{store.Error, "node-css-missing", []string{sheet, "package-lock.json", "npm install"}}},
		},
		"no lock, a style sheet": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, sheet) }, nil,
			[]finding{{store.Warning, "node-lock-missing", []string{"as it is:", "commit package-lock.json"}}},
		},
		"no lock, an old style sheet": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, sheet) }, history(4, 5),
			[]finding{{store.Warning, "node-lock-missing", []string{"has changed since it was committed"}}},
		},
		"yarn's lock": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, tailwind+"/yarn.lock") }, nil,
			[]finding{{store.Error, "node-css-missing", []string{"yarn.lock", "extra.magecloudkit.node", `"path": "` + tailwind + `"`}}},
		},
		"no script": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, `{"scripts": {"watch": "x"}}`, lock) }, nil,
			[]finding{{store.Error, "node-css-missing", []string{"no script build-prod or build"}}},
		},
		"a broken package.json": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, `{"scripts": }`, lock) }, nil,
			[]finding{{store.Error, "node-css-missing", []string{"package.json: line 1"}}},
		},
		"turned off, no style sheet": {
			func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva3, lock)
				declare(t, m, "false")
			}, nil,
			[]finding{{store.Error, "node-css-missing", []string{"turns builds with Node off"}}},
		},
		"turned off": {
			func(t *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva3, lock, sheet)
				declare(t, m, "false")
			}, at(""), nil,
		},
		"no Node": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, lock) }, at(""),
			[]finding{{store.Error, "node-missing", []string{"install Node 22", "dagger call build"}}},
		},
		"no Node, and none needed": {nil, at(""), nil},
		"Node too old": {
			func(_ *testing.T, m fstest.MapFS) { withTailwind(m, hyva3, lock) }, at("v18.19.0"),
			[]finding{{store.Error, "node-unsuited", []string{">=20.0.0", "18.19.0", "install Node 22"}}},
		},
		"not the Node of .nvmrc": {
			func(_ *testing.T, m fstest.MapFS) {
				withTailwind(m, hyva3, lock)
				write(m, tailwind+"/.nvmrc", "20")
			}, at("22.1.0"),
			[]finding{{store.Warning, "node-differs", []string{"asks for Node 20", "22.1.0 builds"}}},
		},
		"declared, and not there": {
			func(t *testing.T, m fstest.MapFS) { declare(t, m, `[{"path": "tools", "output": "pub/x.js"}]`) }, nil,
			[]finding{{store.Error, "node-setting", []string{"tools", "not there"}}},
		},
		"declared without what it makes": {
			func(t *testing.T, m fstest.MapFS) { declare(t, m, `[{"path": "app"}]`) }, nil,
			[]finding{{store.Error, "node-setting", []string{"entry 1, app", "output names"}}},
		},
		"declared outside of the store": {
			func(t *testing.T, m fstest.MapFS) { declare(t, m, `[{"path": "../x", "output": "x"}]`) }, nil,
			[]finding{{store.Error, "node-setting", []string{"inside of the store"}}},
		},
		"declared as something else": {
			func(t *testing.T, m fstest.MapFS) { declare(t, m, `"npm run build"`) }, nil,
			[]finding{{store.Error, "node-setting", []string{"neither false nor a list"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := healthy()
			o := enough()
			if c.change != nil {
				c.change(t, m)
			}
			if c.with != nil {
				c.with(&o)
			}
			report := open(t, m).Check(o)
			report.Findings = slices.DeleteFunc(report.Findings, func(f store.Finding) bool { return f.Code == "lock-outdated" }) // composer.json changes with what is declared
			expect(t, report, c.want)
		})
	}
}

func TestNodeIsAFact(t *testing.T) {
	m := healthy()
	withTailwind(m, hyva3, tailwind+"/package-lock.json")
	o := enough()
	if got := open(t, m).Check(o).String(); !strings.Contains(got, "22 in "+tailwind) {
		t.Errorf("%s", got)
	}
	o.Node = &store.Node{Version: "20.11.1"}
	if got := open(t, m).Check(o).String(); !strings.Contains(got, "20.11.1 in "+tailwind) {
		t.Errorf("%s", got)
	}
}
