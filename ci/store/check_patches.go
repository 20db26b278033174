package store

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// patches judges whether what the store declares as patches can be applied, as far as its source tells; whether they were is
// for the build to find out.
func (c *checker) patches() {
	if c.manifest == nil {
		return
	}
	c.qualityPatches()
	all, err := c.Patches()
	if err != nil {
		c.add(Warning, "patches-unreadable", patchesDir, "make it readable", "%v", err)
		return
	}
	var own []Patch // that the store declares for a plugin
	hotfixes := 0
	for _, p := range all {
		switch {
		case p.Hotfix:
			hotfixes++
		case p.By == "":
			c.add(Warning, "patch-undeclared", p.File, "declare it, delete it, or name it in extra.magecloudkit.unapplied-patches of composer.json",
				"nothing in composer.json names it: the build stops unless its change is in the installed code")
		case c.lock == nil || !(&patchCollector{Store: c.Store}).ofPackage(p.By):
			own = append(own, p)
			c.patchFile(p)
		}
	}
	if hotfixes > 0 {
		c.add(Info, "hotfixes", Hotfixes, "", "the build applies its %s to the installed packages, in the order of their names", counted(hotfixes))
	}
	if len(own) > 0 {
		c.patchPluginRuns(own)
		c.patchLists(own)
	}
}

// cloudBuildFile is where Adobe Commerce Cloud's stores list the patches of magento/quality-patches.
const cloudBuildFile = ".magento.env.yaml"

// qualityList is that list, in either of YAML's forms.
var qualityList = regexp.MustCompile(`(?m)^[ \t]*QUALITY_PATCHES:[ \t]*(\[[^\]]*\]|(?:\n[ \t]*-[^\n]*)+)`)

// qualityPatches judges whether something applies what the store lists of magento/quality-patches.
func (c *checker) qualityPatches() {
	src, ok, err := c.read(cloudBuildFile)
	if err != nil || !ok {
		return
	}
	scripts := string(c.manifest.Scripts)
	if strings.Contains(scripts, "magento-patches") || strings.Contains(scripts, "ece-patches") {
		return // it fails composer when one does not apply
	}
	for _, m := range qualityList.FindAllSubmatch(src, -1) {
		if ids := regexp.MustCompile(`[A-Z][A-Z0-9]+-[\w.-]+`).FindAllString(string(m[1]), -1); len(ids) > 0 {
			c.add(Error, "quality-patches", cloudBuildFile, `have composer apply them: "post-install-cmd": "vendor/bin/magento-patches apply `+strings.Join(ids, " ")+`" in composer.json's scripts`,
				"its QUALITY_PATCHES are %s, and nothing in composer.json applies them: only Adobe's own builds read this file", some(ids))
		}
	}
}

// patchFile judges one patch that the store declares.
func (c *checker) patchFile(p Patch) {
	if p.Package != "" && p.Dir == "" && c.lock != nil {
		c.add(Error, "patch-target-missing", p.String(), "correct the package's name, or take the patch out", "%s declares it for %s, which composer.lock does not install", p.By, p.Package)
	}
	if p.File == "" {
		return
	}
	ignored := slices.ContainsFunc(IgnoredPaths(), func(pattern string) bool {
		return doublestar.MatchUnvalidated(pattern, p.File) || doublestar.MatchUnvalidated(pattern+"/**", p.File)
	})
	switch {
	case !fs.ValidPath(p.File) || ignored:
		c.add(Error, "patch-outside", p.File, "move it into the store, to "+patchesDir, "%s declares this patch, which is not in what a build gets of the store", p.By)
	case !isPatchName(p.File) && !strings.HasPrefix(p.File, patchesDir+"/"): // not among ReadPaths
	default:
		if there, err := c.exists(p.File); err == nil && !there {
			c.add(Error, "patch-missing", p.File, "commit it, or take it out of "+p.By, "%s declares this patch, and there is no such file", p.By)
		}
	}
}

// patchPluginRuns judges whether composer runs what would apply the patches.
func (c *checker) patchPluginRuns(own []Patch) {
	plugin := c.patchPlugin()
	if plugin.name == "" {
		if c.manifest != nil && strings.Contains(string(c.manifest.Scripts), "patch") {
			return // a script may apply them; the build looks
		}
		c.add(Error, "patch-plugin-missing", own[0].By, "run `composer require cweagans/composer-patches` and commit composer.json and composer.lock",
			"it declares %s, and no plugin that applies patches is installed", counted(len(own)))
		return
	}
	if allowed, told := c.manifest.allowsPlugin(plugin.name); told && !allowed {
		c.add(Error, "patch-plugin-disabled", manifestPath, "set config.allow-plugins for "+plugin.name+" to true",
			"its config.allow-plugins turns %s off, so that no patch would be applied", plugin.name)
	}
}

// patchLists judges declarations that the installed plugin does not read.
func (c *checker) patchLists(own []Patch) {
	plugin := c.patchPlugin()
	if plugin.name != patchPlugins[0] {
		return
	}
	var extra object
	if json.Unmarshal(c.manifest.Extra, &extra) != nil {
		extra = nil
	}
	switch {
	case plugin.major == 1 && extra["patches"] != nil && extra["patches-file"] != nil:
		c.add(Error, "patches-ignored", manifestPath, "put all into one of them", "it has both extra.patches and extra.patches-file, and %s 1 leaves the second unread", plugin.name)
	case plugin.major >= 2 && extra["patches-file"] != nil:
		c.add(Error, "patches-ignored", manifestPath, "write it as extra.composer-patches.patches-file, and run `composer patches-relock`",
			"%s %d leaves extra.patches-file unread", plugin.name, plugin.major)
	}
	const lock = "patches.lock.json"
	src, ok, err := c.read(lock)
	if err != nil || !ok || plugin.major < 2 {
		return
	}
	known := texts(src)
	for _, p := range own {
		if !slices.ContainsFunc(known, func(s string) bool { return s == p.URL || path.Clean(s) == p.File }) {
			c.add(Error, "patches-lock-outdated", lock, "run `composer patches-relock` and commit "+lock, "it lacks %s, which %s declares: %s applies what it lists alone", p, p.By, plugin.name)
		}
	}
}

func counted(n int) string {
	if n == 1 {
		return "1 patch"
	}
	return fmt.Sprintf("%d patches", n)
}
