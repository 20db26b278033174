package build

import (
	"fmt"
	"slices"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// Shards says how the static content is split over processes.
type Shards string

// The splits. Without compiled code each process spends about ten seconds on
// generating classes, so a split pays only where cores are idle.
const (
	ShardsAuto   Shards = "auto"   // from the number of CPUs
	ShardsNone   Shards = "none"   // one process
	ShardsTheme  Shards = "theme"  // one process a theme
	ShardsLocale Shards = "locale" // one process a theme and locale
)

// ParseShards reads one of auto, none, theme and locale.
func ParseShards(s string) (Shards, error) {
	switch v := Shards(s); v {
	case "":
		return ShardsAuto, nil
	case ShardsAuto, ShardsNone, ShardsTheme, ShardsLocale:
		return v, nil
	}
	return "", fmt.Errorf("shards %q: use auto, none, theme or locale", s)
}

// autoShards decides from the processors. Compiling keeps one of them busy, and
// on two, one process for all static content was the fastest (56 s, against 67 s
// by theme and 99 s by theme and locale on Magento 2.4.7 with three themes).
func autoShards(cpus int, themes []Theme) Shards {
	locales := 0
	for _, t := range themes {
		locales += len(t.Locales)
	}
	switch {
	case cpus <= 2 || len(themes) == 1 && locales == 1:
		return ShardsNone
	case len(themes) > 1 && cpus < 2*len(themes):
		return ShardsTheme
	case locales > len(themes):
		return ShardsLocale
	case len(themes) > 1:
		return ShardsTheme
	}
	return ShardsNone
}

func staticSteps(s Store, shards Shards, themes []Theme) []Step {
	final := append(staticLayers(themes), templateLayers(s)...)
	var parts []Step
	switch shards {
	case ShardsTheme:
		for _, t := range themes {
			parts = append(parts, deployStep(s, Static+"."+t.name(), []Theme{t}))
		}
	case ShardsLocale:
		for _, t := range themes {
			for _, l := range t.Locales {
				parts = append(parts, deployStep(s, Static+"."+t.name()+"-"+l, []Theme{{t.Area, t.Code, []string{l}}}))
			}
		}
	default:
		st := deployStep(s, Static, themes)
		st.Layers = final
		return []Step{st}
	}
	templates := templateLayers(s)
	// The layers have to be the same on a machine with other processors, so the
	// shards' outputs are put together before they are packed for the images.
	merge := Step{Name: Static, Title: "merge static content", Layers: final, Joined: joined, Reuse: &Reuse{}}
	for i := range parts {
		parts[i].Layers = []layer.Spec{{
			Name:    parts[i].Name,
			Include: []string{"pub/static"},
			Exclude: []string{deployedVersion},
		}}
		if len(templates) > 0 { // each process minifies all of them
			parts[i].Layers[0].Include = append(parts[i].Layers[0].Include, templates[0].Include...)
			parts[i].Layers[0].Exclude = append(parts[i].Layers[0].Exclude, templates[0].Exclude...)
		}
		merge.Merge = append(merge.Merge, parts[i].Name)
		merge.Reuse.Of = append(merge.Reuse.Of, parts[i].Name)
	}
	return append(parts, merge)
}

// joined are the lists of an area's scripts with their hashes, which Magento's
// Content Security Policy module writes from 2.4.7 on: one for all themes.
var joined = []string{"pub/static/*/sri-hashes.json"}

// deployedVersion is written by the release, not by a shard: a version in it
// would change every layer of static content with every commit.
const deployedVersion = "pub/static/deployed_version.txt"

// deployStep deploys themes in one process. Parents that are not named are not
// deployed (--no-parent): the union of shards then equals one run over them all,
// byte for byte, and so it does only with --no-js-bundle.
func deployStep(s Store, name string, themes []Theme) Step {
	// Classes of the store's own modules do not shape static content; what
	// registers a module, its configuration, templates and translations do.
	files := Files{Include: []string{
		"app/code/**/registration.php", "app/code/**/etc/**", "app/code/**/view/**", "app/code/**/i18n/**",
		"app/design/**", "app/i18n/**", "app/etc/*",
	}}
	if s.StaticDependsOnPHP {
		files.Include = append(files.Include, "app/code/**")
	}
	st := Step{
		Name:   name,
		Title:  "deploy static content",
		From:   App,
		Clear:  []string{"generated", "var", "pub/static"},
		Joined: joined,
		Reuse:  &Reuse{Of: []string{Composer}, Files: files},
	}
	for _, g := range byLocales(themes) {
		// -v has it say when it begins a theme's locale, and with which file it is.
		args := []string{"setup:static-content:deploy", "-v", "--force", "--no-js-bundle", "--no-parent", "--content-version", "0"}
		var areas []string
		for _, t := range g {
			if !slices.Contains(areas, t.Area) {
				areas = append(areas, t.Area)
				args = append(args, "--area", t.Area)
			}
		}
		for _, t := range g {
			args = append(args, "--theme", t.Code)
		}
		st.Commands = append(st.Commands, magento(append(args, g[0].Locales...)...))
	}
	if s.SupplyScopes {
		st.supplyScopes()
	}
	return st
}

// byLocales groups themes that share their locales: one process each.
func byLocales(themes []Theme) [][]Theme {
	var groups [][]Theme
next:
	for _, t := range themes {
		for i, g := range groups {
			if slices.Equal(g[0].Locales, t.Locales) {
				groups[i] = append(g, t)
				continue next
			}
		}
		groups = append(groups, []Theme{t})
	}
	return groups
}

// staticLayers are a layer a theme, one for what lies outside of them, and the
// same again of pre-compressed files, which only nginx serves.
func staticLayers(themes []Theme) []layer.Spec {
	var specs []layer.Spec
	rest := []string{deployedVersion}
	for _, t := range themes {
		specs = append(specs, layer.Spec{Name: Static + "-" + t.name(), Include: []string{t.path()}, Prefix: AppRoot})
		rest = append(rest, t.path()+"/**")
	}
	specs = append(specs, layer.Spec{Name: Static + "-common", Include: []string{"pub/static"}, Exclude: rest, Prefix: AppRoot})
	for _, s := range slices.Clone(specs) {
		s.Name = gzipPrefix + s.Name
		s.GzipSiblings = true
		specs = append(specs, s)
	}
	return specs
}

// templateLayers are the minified templates of a store that asks for them. They
// stand beside the image's own copy of app/etc: var, where Magento reads them, may
// be a volume, and the entrypoint puts them there.
func templateLayers(s Store) []layer.Spec {
	if !s.MinifiedTemplates {
		return nil
	}
	return []layer.Spec{{
		Name:    LayerTemplates,
		Include: []string{"var/view_preprocessed"},
		Exclude: []string{"var/view_preprocessed/**/*.{less,css,js,map,json,html,svg,txt}"},
		Prefix:  seedRoot,
	}}
}

// gzipPrefix starts the names of layers of pre-compressed files.
const gzipPrefix = "gzip-"
