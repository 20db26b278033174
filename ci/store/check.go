package store

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Options are what is known besides the store itself. What is left out is not judged.
type Options struct {
	PHP         *PHP        // of the image or the machine that builds; nil: unknown
	Credentials Credentials // which hosts composer has credentials for
	Memory      int64       // bytes that the build may use; 0: unknown
	Locales     []string    // asked for instead of the store's own
	Themes      []string    // asked for instead of the store's own
	Installed   bool        // vendor is there: what cannot be told from the lock can be told from it
}

// minMemory is the least a build is started with, in bytes: di:compile fails with 256 MB and needs up to 450 MB, and
// composer and static content run beside it.
const minMemory = 1_000_000_000

// Check finds everything that can be said about the store before building it.
func (s *Store) Check(o Options) Report {
	c := &checker{Store: s, o: o}
	if o.Installed {
		c.readVendor()
	}
	c.project()
	c.locked()
	c.plugins()
	c.credentials()
	c.platform()
	c.configured()
	c.secrets()
	c.modules()
	c.staticContent()
	c.memory()
	r := Report{Facts: s.facts(o), Findings: []Finding{}}
	r.Add(c.found...)
	return r
}

type checker struct {
	*Store
	o     Options
	found []Finding
}

func (c *checker) add(severity Severity, code, subject, do, format string, args ...any) {
	c.found = append(c.found, Finding{Severity: severity, Code: code, Subject: subject, Message: fmt.Sprintf(format, args...), Do: do})
}

// readVendor replaces what the lock leaves open about packages by what their code says.
func (c *checker) readVendor() {
	s, err := c.WithInstalled(c.fsys)
	if err != nil {
		c.add(Warning, "vendor-unreadable", "vendor", "make it readable, or install the store again", "%v", err)
		return
	}
	c.Store = s
}

// project judges whether this is a Magento store at all.
func (c *checker) project() {
	switch {
	case !c.hasManifest:
		do := "give the directory that holds the store's composer.json (--source)"
		if found, err := fs.Glob(c.fsys, "*/"+manifestPath); err == nil && len(found) > 0 {
			do += "; there is one in " + path.Dir(found[0])
		}
		c.add(Error, "not-a-store", manifestPath, do, "there is none: this is not a Magento store")
	case c.manifestErr != nil:
		c.add(Error, "manifest-invalid", manifestPath, "correct it; `composer validate` checks it", "%v", c.manifestErr)
	default:
		_, _, ok := c.product()
		if _, lists := c.Modules()["Magento_Store"]; !ok && !lists {
			c.add(Error, "not-a-store", manifestPath,
				"require magento/product-community-edition, magento/product-enterprise-edition or mage-os/product-community-edition",
				"it requires no edition of Magento: this is not a Magento store")
		}
	}
}

// locked judges composer.lock.
func (c *checker) locked() {
	const renew = "run `composer update --lock` and commit composer.lock"
	switch {
	case !c.hasLock && !c.hasManifest:
		return
	case !c.hasLock:
		c.add(Warning, "lock-missing", lockPath, "make one with `lock` (dagger call lock) or `composer update --no-install`, and commit it",
			"there is none: every build may install other versions, so it cannot be reproduced")
	case c.lockErr != nil:
		c.add(Error, "lock-invalid", lockPath, "restore it from git, or delete it and run `composer update`", "%v", c.lockErr)
	case len(c.lock.Packages) == 0:
		c.add(Error, "lock-invalid", lockPath, "run `composer update` and commit composer.lock", "it locks no packages")
	case c.manifest == nil:
	case c.lock.ContentHash == "":
		c.add(Warning, "lock-outdated", lockPath, renew, "it has no content-hash, so nobody can tell whether it fits composer.json")
	case c.lock.ContentHash != c.manifest.contentHash():
		c.add(Warning, "lock-outdated", lockPath, renew,
			"it is older than composer.json (content-hash %s, composer.json has %s): what composer.json changed is not installed",
			c.lock.ContentHash, c.manifest.contentHash())
	}
	if c.lock == nil || c.manifest == nil {
		return
	}
	installed := map[string]bool{}
	for _, l := range []links{c.manifest.Provide, c.manifest.Replace} {
		for name := range l {
			installed[strings.ToLower(name)] = true
		}
	}
	for _, p := range c.lock.Packages {
		installed[strings.ToLower(p.Name)] = true
		for _, l := range []links{p.Provide, p.Replace} {
			for name := range l {
				installed[strings.ToLower(name)] = true
			}
		}
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(c.manifest.Require)) {
		if strings.Contains(name, "/") && !installed[strings.ToLower(name)] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		c.add(Error, "lock-incomplete", lockPath, "run `composer update "+strings.Join(missing, " ")+"` and commit composer.lock",
			"composer.json requires what it does not lock: %s; composer install refuses that", some(missing))
	}
}

// plugins judges whether composer, which asks nobody in a build, runs the plugins that the store needs.
func (c *checker) plugins() {
	if c.manifest == nil || c.lock == nil {
		return
	}
	var blocked []string
	for _, p := range c.lock.Packages {
		if p.Type != "composer-plugin" || string(p.Extra["plugin-optional"]) == "true" {
			continue
		}
		allowed, told := c.manifest.allowsPlugin(p.Name)
		switch {
		case !told:
			blocked = append(blocked, p.Name)
		case !allowed && strings.HasSuffix(p.Name, "/magento-composer-installer"):
			c.add(Error, "plugin-disabled", manifestPath, "set config.allow-plugins for "+p.Name+" to true",
				"its config.allow-plugins turns %s off, which puts bin/magento and the rest of Magento's base into place", p.Name)
		}
	}
	if len(blocked) > 0 {
		c.add(Error, "plugin-blocked", manifestPath, "run `composer config allow-plugins."+blocked[0]+" true` (for each of them) and `composer update --lock`",
			"its config.allow-plugins does not mention %s: composer install refuses to go on", some(blocked))
	}
}

// credentials judges whether composer may download what it is sent to.
func (c *checker) credentials() {
	const magentoKeys = "set MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY, or COMPOSER_AUTH " +
		"(dagger call: --magento-public-key and --magento-private-key, or --composer-auth); " +
		"the keys are made at https://commercemarketplace.adobe.com under Access Keys"
	for _, src := range c.sources() {
		if src.secret {
			c.add(Warning, "secret-in-address", manifestPath, "take it out, revoke it, and give it through COMPOSER_AUTH",
				"the address of a repository or package at %s contains a password, which everyone who sees the store can read", src.host)
		}
		if c.o.Credentials.For(src.host) || src.secret {
			continue
		}
		switch {
		case src.host == magentoHost && c.fetched(src):
			what := "composer.json asks it for packages"
			if c.lock != nil {
				what = fmt.Sprintf("%s %s from it", count(len(src.dists), "locked package"), verb(src.dists, "comes", "come"))
			}
			c.add(Error, "credentials-missing", magentoHost, magentoKeys, "there are no credentials for it, and %s", what)
		case src.host == magentoHost:
			c.add(Info, "credentials-missing", magentoHost, magentoKeys,
				"composer.json lists it, but no locked package comes from it: `lock` and `composer update` need credentials, a build does not")
		case publicHosts[src.host] || !c.fetched(src):
		case src.overSSH:
			c.add(Warning, "credentials-missing", src.host, "use an https address and give a token through COMPOSER_AUTH",
				"composer is sent there over SSH, and a build has no SSH key")
		default:
			c.add(Warning, "credentials-missing", src.host, `if it asks for a password, add it to COMPOSER_AUTH: {"http-basic": {"`+src.host+`": {…}}}`,
				"there are no credentials for it, and %s", wanted(src))
		}
	}
}

func wanted(src *source) string {
	if len(src.dists) == 0 {
		return "composer.json lists it as a repository"
	}
	return "composer downloads " + some(src.dists) + " from it"
}

// platform judges PHP and its extensions against what the packages ask for.
func (c *checker) platform() {
	assumed, _, _, err := parseVersion(c.platformPHP())
	pretended := err == nil
	switch {
	case pretended:
		c.phpNeeds(Error, "platform-php", manifestPath, "correct config.platform.php in composer.json, or update the packages",
			assumed, "config.platform.php "+c.platformPHP())
	case c.o.PHP == nil && c.lock != nil:
		line := c.PHPMinor()
		c.phpNeeds(Error, "php-version", "PHP", "update the packages until one PHP suits all of them", latest(line), "PHP "+line)
	}
	if c.o.PHP == nil {
		return
	}
	name := "PHP " + c.o.PHP.Version
	given, _, _, err := parseVersion(upstream(c.o.PHP.Version))
	if err != nil {
		c.add(Warning, "php-unknown", "PHP", "check it by hand", "the version %q cannot be understood", c.o.PHP.Version)
	} else {
		severity := Error
		if pretended && given.compare(assumed) >= 0 {
			severity = Warning // composer goes by config.platform.php, and its check at run time minds only older ones
		}
		c.phpNeeds(severity, "php-version", "PHP", fmt.Sprintf("build with PHP %s, or update the packages", c.PHPMinor()), given, name)
	}
	if len(c.o.PHP.Extensions) > 0 {
		c.extensions(name)
	}
}

// latest is the last version of a release line: constraints exclude a line's early patches (>=8.1.17), never its late ones.
func latest(line string) version {
	v, _, _, _ := parseVersion(line + ".999")
	return v
}

// upstream cuts what a distribution appends to a version: 8.2.36-1+deb12u1 is 8.2.36.
func upstream(v string) string {
	return distribution.ReplaceAllString(v, "$1")
}

var distribution = regexp.MustCompile(`^(\d+\.\d+\.\d+)(?:-\d|[+~ ]).*$`)

// phpNeeds says which packages a PHP does not suit.
func (c *checker) phpNeeds(severity Severity, code, subject, do string, v version, name string) {
	byConstraint := map[string][]string{}
	for _, n := range c.platformNeeds() {
		if isPHP(n.name) && !satisfies(n.constraint, v) {
			byConstraint[n.constraint] = append(byConstraint[n.constraint], n.by)
		}
	}
	for _, constraint := range slices.Sorted(maps.Keys(byConstraint)) {
		by := byConstraint[constraint]
		c.add(severity, code, subject, do, "%s does not suit %s, which %s %s", name, some(by), verb(by, "needs", "need"), constraint)
	}
}

func (c *checker) extensions(php string) {
	have := map[string]bool{}
	for _, e := range c.o.PHP.Extensions {
		have[normalExtension(e)] = true
	}
	provided := c.provided()
	wanting := map[string][]string{}
	for _, n := range c.platformNeeds() {
		ext, ok := strings.CutPrefix(n.name, "ext-")
		if ok && provided[ext] == "" && !have[normalExtension(ext)] {
			wanting[ext] = append(wanting[ext], n.by)
		}
	}
	for _, ext := range slices.Sorted(maps.Keys(wanting)) {
		by := wanting[ext]
		severity, note := Error, ""
		if c.manifest.pretends(ext) {
			severity, note = Warning, "; composer lets it pass, as config.platform in composer.json says it is there"
		}
		c.add(severity, "extension-missing", "ext-"+ext, "add the extension to the PHP that builds and runs the store",
			"%s lacks it, and %s %s it%s", php, some(by), verb(by, "needs", "need"), note)
	}
	var slow []string
	for _, ext := range c.RecommendedExtensions() {
		if !have[ext] {
			slow = append(slow, ext)
		}
	}
	if len(slow) > 0 {
		c.add(Info, "extension-recommended", "PHP", "add them for the store to run well", "%s has no %s", php, strings.Join(slow, ", "))
	}
}

func verb(names []string, one, more string) string {
	if len(names) == 1 {
		return one
	}
	return more
}

// some names the first few of a list.
func some(names []string) string {
	const most = 3
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

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

// secrets judges files that must not leave the machine they are on.
func (c *checker) secrets() {
	if c.hasEnv {
		c.add(Warning, "env-present", envPath, "keep it out of the repository (.gitignore); the images take these settings from the environment",
			"it is left out of the build and of the images")
	}
	if c.hasAuth {
		c.add(Warning, "auth-present", authPath, "keep it out of the repository (.gitignore) and give it through COMPOSER_AUTH (dagger call: --composer-auth)",
			"it holds credentials; it is left out of the build and never in an image")
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

// staticContent judges the locales and themes to deploy.
func (c *checker) staticContent() {
	judged := map[string]bool{}
	for _, st := range c.Static(c.o.Themes, c.o.Locales) {
		for _, l := range st.Locales {
			if !judged[l] {
				judged[l] = true
				c.locale(l)
			}
		}
	}
	c.themesExist()
}

func (c *checker) locale(l string) {
	if slices.Contains(allowedLocales, l) {
		return
	}
	subject := configPath
	if slices.Contains(c.o.Locales, l) {
		subject = "--locales"
	}
	do := "name one of those that `bin/magento info:language:list` lists"
	meant := likelyLocale(l)
	if meant != "" {
		do = "write " + meant
	}
	if meant == "" && localePattern.MatchString(l) && c.mayAddLocale(l) {
		c.add(Warning, "locale-unknown", subject, do, "Magento does not know the locale %q unless a module adds it", l)
		return
	}
	c.add(Error, "locale-unknown", subject, do, "%q is not a locale of Magento", l)
}

// mayAddLocale reports whether the store may add a locale to Magento's own: its code configures the list of them, or there
// is a language package for it.
func (c *checker) mayAddLocale(l string) bool {
	if c.ownLocales {
		return true
	}
	return c.lock != nil && slices.ContainsFunc(c.lock.Packages, func(p lockedPackage) bool {
		return p.Type == "magento2-language" && resembles(p, l)
	})
}

func (c *checker) themesExist() {
	listed := c.config.themes()
	known := c.knownThemes()
	var names []string
	for _, t := range known {
		names = append(names, t.String())
	}
	for _, name := range c.o.Themes {
		t := c.resolveTheme(name)
		if c.absent(t) != "" && !containsTheme(known, t) {
			c.add(Error, "theme-unknown", "--themes", "name one of "+strings.Join(names, ", "), "there is no theme %q", name)
		}
	}
	named, _ := c.config.namedThemes()
	for _, t := range c.Themes() {
		severity := c.absent(t)
		switch {
		case severity == "":
		case containsTheme(listed, t):
			c.add(severity, "theme-missing", configPath, "restore its code, or run `bin/magento app:config:dump themes` again",
				"it lists the theme %s, which is neither in app/design nor in a package of composer.lock", t)
		case slices.Contains(named, t.Code):
			c.add(severity, "theme-missing", configPath, "correct design/theme/theme_id", "a store view's theme is %s, which does not exist", t)
		}
	}
	for _, t := range c.themes {
		if len(listed) > 0 && !containsTheme(listed, t) {
			c.add(Warning, "theme-unlisted", t.String(), "run `bin/magento app:config:dump themes` and commit app/etc/config.php",
				"app/etc/config.php does not list this theme")
		}
		if t.Parent == "" {
			continue
		}
		if severity := c.absent(Theme{Area: t.Area, Code: t.Parent}); severity != "" {
			c.add(severity, "theme-missing", t.String(), "correct <parent> in its theme.xml, or add that theme", "its parent %s does not exist", t.Parent)
		}
	}
}

// absent judges whether a theme exists: "" when it does or may, Error when it certainly does not, Warning when only a
// package whose name does not suit could bring it.
func (c *checker) absent(t Theme) Severity {
	if c.lock == nil || containsTheme(c.themes, t) {
		return ""
	}
	vendor, _, _ := strings.Cut(t.Code, "/")
	verdict := Error
	for _, p := range c.lock.Packages {
		if own, ok := p.magentoTheme(); ok && own.Area == t.Area && own.Code == t.Code {
			return ""
		}
	}
	for _, p := range c.unread {
		if _, own := p.magentoTheme(); own || p.magentos() {
			continue
		}
		if p.Type == "magento2-theme" || resembles(p, vendor) {
			return ""
		}
		verdict = Warning
	}
	return verdict
}

func (c *checker) memory() {
	if c.o.Memory > 0 && c.o.Memory < minMemory {
		c.add(Error, "memory", "memory", "give the build at least 1 GB, better 2 GB",
			"there are %d MB, and compiling a Magento store needs 1 GB", c.o.Memory/1_000_000)
	}
}

// facts gathers what a build would work with.
func (s *Store) facts(o Options) Facts {
	f := Facts{
		Edition: s.Edition(), Version: s.MagentoVersion(), PHP: s.PHPMinor(), Extensions: s.RequiredExtensions(),
		Lock: "present", Themes: []Theme{}, CodeModules: len(s.codeModules), MagentoKeys: s.NeedsMagentoKeys(), Locales: map[string][]string{},
	}
	switch {
	case !s.hasLock:
		f.Lock = "absent"
	case s.lock == nil:
		f.Lock = "invalid"
	case s.manifest != nil && s.lock.ContentHash != s.manifest.contentHash():
		f.Lock = "outdated"
	}
	if s.lock != nil {
		f.Packages = len(s.lock.Packages)
	}
	for _, enabled := range s.Modules() {
		if enabled {
			f.Enabled++
		} else {
			f.Disabled++
		}
	}
	for _, st := range s.Static(o.Themes, o.Locales) {
		f.Themes = append(f.Themes, st.Theme)
		f.Locales[st.Theme.Area] = st.Locales
	}
	return f
}
