package store

import (
	"maps"
	"slices"
	"strings"
)

// configured judges app/etc/config.php.
func (c *checker) configured() {
	if c.configErr != nil {
		c.add(Error, "config-invalid", configPath, "correct it; `php -l app/etc/config.php` checks it", "%v", c.configErr)
		return
	}
	if c.config != nil && c.config.root.open {
		c.add(Warning, "config-dynamic", configPath, "let it return one array without calls, as Magento writes it",
			"parts of it can only be told by running it, and are not checked")
	}
	if _, _, ok := c.product(); !ok && c.config.modules() == nil {
		return // not a store, as far as can be told: enough has been said
	}
	if !c.HasModules() {
		what := "it lists no modules"
		if !c.hasConfig {
			what = "there is none"
		}
		c.add(Warning, "modules-missing", configPath, "commit the list that `lock` (dagger call lock) or `bin/magento module:enable --all` makes",
			"%s: the build enables every module it finds", what)
	}
	c.builtIn()
	c.scoped()
}

// scoped judges what config.php says, or leaves open, of store views, and of their themes and locales.
func (c *checker) scoped() {
	if untold := c.config.untold(localePath...); len(untold) > 0 && len(c.o.Locales) == 0 {
		c.add(Warning, "locale-dynamic", configPath, "name the locales with --locales, or let config.php hold the value itself",
			"the locale of %s is an expression, which cannot be told without running PHP: static content is not deployed for it", strings.Join(untold, ", "))
	}
	if !c.HasScopes() {
		c.add(Info, "scopes-missing", configPath, "name others with --themes and --locales",
			"it lists no store views (scopes), so %s", c.Assumed(c.o.Themes, c.o.Locales))
		return
	}
	if _, _, told := c.config.locales(); !told && len(c.o.Locales) == 0 {
		c.add(Info, "locale-assumed", configPath, "name the locales with --locales, or run `bin/magento config:set --lock-config general/locale/code <locale>` for each store view that differs",
			"it does not set general/locale/code, so en_US is assumed for the store views that set none")
	}
	if _, told := c.config.namedThemes(); !told && len(c.o.Themes) == 0 {
		c.add(Info, "theme-assumed", configPath, "name those in use with --themes, or run `bin/magento config:set --lock-config design/theme/theme_id frontend/<Vendor>/<name>`",
			"it does not say which theme each store view uses, so all frontend themes are deployed")
	}
}

// runtimeOnly are settings of config.php that no build can honour.
var runtimeOnly = []struct{ path, why string }{
	{"dev/js/merge_files", "merged files are made while pages are served, and an image is not written to"},
	{"dev/css/merge_css_files", "merged files are made while pages are served, and an image is not written to"},
	{"dev/js/enable_js_bundling", "the build makes no bundles, whose content differs from run to run"},
}

// builtIn judges the settings that what is built has to agree with.
func (c *checker) builtIn() {
	for _, r := range runtimeOnly {
		if c.config.asksFor(strings.Split(r.path, "/")...) {
			c.add(Error, "setting-unbuildable", configPath, "run `bin/magento config:set --lock-config "+r.path+" 0`, for each scope that sets it, and commit app/etc/config.php",
				"it sets %s, and pages would name files that are not there: %s", r.path, r.why)
		}
	}
}

// modules judges the modules of app/code, and those that config.php lists.
func (c *checker) modules() {
	for _, f := range c.broken {
		c.add(Error, "xml-invalid", f.path, "correct it", "%s", f.name)
	}
	for _, dir := range c.unregistered {
		c.add(Warning, "not-registered", dir, "add its registration.php", "it has no registration.php, so Magento does not see it")
	}
	listed := c.Modules()
	if listed == nil {
		return
	}
	inCode := map[string]bool{}
	for _, m := range c.codeModules {
		inCode[m.name] = true
		if _, ok := listed[m.name]; !ok && !c.config.hides("modules") {
			c.add(Warning, "module-unlisted", m.path, "run `bin/magento module:enable "+m.name+"` and commit app/etc/config.php",
				"app/etc/config.php does not list %s, so it is not enabled", m.name)
		}
	}
	if c.lock == nil {
		return
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		vendor, _, _ := strings.Cut(name, "_")
		if listed[name] && !inCode[name] && !c.Store.modules[name] && c.tells(vendor, inCode) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		c.add(Warning, "module-missing", configPath, "restore their code, or take them out of the list",
			"it enables %s, which %s neither in app/code nor in a package of composer.lock", some(missing), verb(missing, "is", "are"))
	}
}

// tells reports whether the source tells which modules of a vendor there are: the code of every package is there, or the
// vendor is the store's own and no package is named like it.
func (c *checker) tells(vendor string, inCode map[string]bool) bool {
	if len(c.unread) == 0 {
		return true
	}
	own := false
	for name := range inCode {
		own = own || strings.HasPrefix(name, vendor+"_")
	}
	return own && !slices.ContainsFunc(c.unread, func(p lockedPackage) bool { return resembles(p, vendor) })
}

// resembles reports whether a package whose code is not there may register components of a vendor: module and theme names
// are not in the lock, so whatever has the vendor's name in its own is given the benefit of the doubt.
func resembles(p lockedPackage, vendor string) bool {
	fold := func(s string) string { return nonLetters.ReplaceAllString(strings.ToLower(s), "") }
	return strings.Contains(fold(p.Name), fold(vendor)) || vendor == "Magento" && p.magentos()
}
