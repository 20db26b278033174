package store

import (
	"fmt"
	"maps"
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
	c.project()
	if c.manifest != nil || c.lock != nil {
		c.locked()
		c.credentials()
		c.platform()
	}
	c.configured()
	c.secrets()
	c.modules()
	c.staticContent()
	c.memory()
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
	return Report{Facts: s.facts(o), Findings: c.found}
}

type checker struct {
	*Store
	o     Options
	found []Finding
}

func (c *checker) add(severity Severity, code, subject, do, format string, args ...any) {
	c.found = append(c.found, Finding{Severity: severity, Code: code, Subject: subject, Message: fmt.Sprintf(format, args...), Do: do})
}

// project judges whether this is a Magento store at all.
func (c *checker) project() {
	switch {
	case !c.hasManifest:
		c.add(Error, "not-a-store", manifestPath, "give the directory that holds the store's composer.json (--source)",
			"there is none: this is not a Magento store")
	case c.manifestErr != nil:
		c.add(Error, "manifest-invalid", manifestPath, "correct it; `composer validate` checks it", "%v", c.manifestErr)
	default:
		if _, _, ok := c.product(); !ok {
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
	case !c.hasLock:
		c.add(Warning, "lock-missing", lockPath, "make one with `lock` (dagger call lock, mck lock) and commit it",
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
				what = count(len(src.dists), "locked package") + " come from it"
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
	assumed := c.platformPHP()
	if v, _, _, err := parseVersion(assumed); err == nil {
		c.phpNeeds(v, assumed, manifestPath+" (config.platform.php)", "platform-php",
			"correct config.platform.php in composer.json, or update the packages")
	} else if c.o.PHP == nil {
		if line := c.PHPMinor(); c.hasLock && c.lock != nil {
			v, _, _, _ := parseVersion(line + ".999")
			c.phpNeeds(v, line, "PHP", "php-version", "update the packages until one PHP suits all of them")
		}
	}
	if c.o.PHP == nil {
		return
	}
	if v, _, _, err := parseVersion(distVersion(c.o.PHP.Version)); err == nil {
		c.phpNeeds(v, c.o.PHP.Version, "PHP", "php-version", fmt.Sprintf("build with PHP %s, or update the packages", c.PHPMinor()))
	} else {
		c.add(Warning, "php-unknown", "PHP", "", "its version %q cannot be understood, so it is not checked", c.o.PHP.Version)
	}
	have := map[string]bool{}
	for _, e := range c.o.PHP.Extensions {
		have[normalExtension(e)] = true
	}
	provided := c.provided()
	wanting := map[string][]string{}
	for _, n := range c.platformNeeds() {
		ext, ok := strings.CutPrefix(n.name, "ext-")
		if ok && provided[ext] == "" && !have[normalExtension(ext)] {
			wanting[normalExtension(ext)] = append(wanting[normalExtension(ext)], n.by)
		}
	}
	for _, ext := range slices.Sorted(maps.Keys(wanting)) {
		severity, note := Error, ""
		if v, ok := c.manifest.platform("ext-" + ext); ok && v != false {
			severity, note = Warning, "; composer does not complain as composer.json's config.platform says it is there"
		}
		c.add(severity, "extension-missing", "ext-"+ext, "install it in the PHP that builds and runs the store (php-"+debianPackage(ext)+" on Debian)",
			"PHP %s lacks it, and %s needs it%s", c.o.PHP.Version, some(wanting[ext]), note)
	}
	var slow []string
	for _, ext := range c.RecommendedExtensions() {
		if !have[ext] {
			slow = append(slow, ext)
		}
	}
	if len(slow) > 0 {
		c.add(Info, "extension-recommended", "PHP", "install them for the store to run well", "PHP %s has no %s", c.o.PHP.Version, strings.Join(slow, ", "))
	}
}

// platform is what config.platform says of a platform package: a version, or false when it is to count as absent.
func (m *manifest) platform(name string) (any, bool) {
	if m == nil {
		return nil, false
	}
	v, ok := m.Config.Platform[name]
	return v, ok
}

// distVersion cuts what distributions append: 8.2.36-1+deb12u1 is 8.2.36.
func distVersion(v string) string {
	if i := strings.IndexAny(v, "-+~ "); i > 0 && !strings.Contains(strings.ToLower(v), "rc") && !strings.HasSuffix(v, "-dev") {
		return v[:i]
	}
	return v
}

// debianPackage is the Debian package's name, after php-, that has the extension.
func debianPackage(ext string) string {
	switch ext {
	case "pdo_mysql", "mysqli":
		return "mysql"
	case "dom", "simplexml", "xmlreader", "xmlwriter", "xsl", "libxml":
		return "xml"
	case "ctype", "fileinfo", "ftp", "iconv", "pdo", "sockets", "tokenizer", "posix":
		return "common"
	}
	return ext
}

// phpNeeds says which packages a PHP does not suit.
func (c *checker) phpNeeds(v version, name, subject, code, do string) {
	byConstraint := map[string][]string{}
	for _, n := range c.platformNeeds() {
		if isPHP(n.name) && !satisfies(n.constraint, v) {
			byConstraint[n.constraint] = append(byConstraint[n.constraint], n.by)
		}
	}
	for _, constraint := range slices.Sorted(maps.Keys(byConstraint)) {
		c.add(Error, code, subject, do, "PHP %s does not suit %s, which needs %s", name, some(byConstraint[constraint]), constraint)
	}
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
	const dump = "run `bin/magento app:config:dump scopes themes` in an installed store and commit app/etc/config.php"
	if c.configErr != nil {
		c.add(Error, "config-invalid", configPath, "correct it; `php -l app/etc/config.php` checks it", "%v", c.configErr)
		return
	}
	if c.Modules() == nil {
		what := "it lists no modules"
		if !c.hasConfig {
			what = "there is none"
		}
		c.add(Warning, "modules-missing", configPath, "commit the list that `lock` (dagger call lock, mck lock) or `bin/magento module:enable --all` makes",
			"%s: the build enables every module it finds", what)
	}
	if !c.HasScopes() {
		c.add(Error, "scopes-missing", configPath, dump,
			"it has no websites and store views (scopes), and without them static content cannot be deployed: a build has no database to read them from")
	} else if len(c.config.themes()) == 0 {
		c.add(Warning, "themes-missing", configPath, dump, "it has no themes: those of app/design and of Magento's own packages are deployed")
	}
	if c.HasScopes() {
		if _, _, told := c.config.locales(); !told && len(c.o.Locales) == 0 {
			c.add(Info, "locale-assumed", configPath, "name the locales with --locales, or run `bin/magento config:set --lock-config general/locale/code <locale>` for each store view that differs",
				"it does not set general/locale/code, so en_US is assumed for the store views that set none")
		}
		if _, told := c.config.namedThemes(); !told && len(c.o.Themes) == 0 {
			c.add(Info, "theme-assumed", configPath, "name those in use with --themes, or run `bin/magento config:set --lock-config design/theme/theme_id frontend/<Vendor>/<name>`",
				"it does not say which theme each store view uses, so all frontend themes are deployed")
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

// modules judges the modules of app/code against those that config.php lists.
func (c *checker) modules() {
	for _, f := range c.brokenXML {
		c.add(Error, "xml-invalid", f.path, "correct it", "%s", f.name)
	}
	listed := c.Modules()
	if listed == nil {
		return
	}
	inCode, vendors := map[string]bool{}, map[string]bool{}
	for _, m := range c.codeModules {
		inCode[m.name] = true
		vendor, _, _ := strings.Cut(m.name, "_")
		vendors[vendor] = true
		if _, ok := listed[m.name]; !ok {
			c.add(Warning, "module-unlisted", m.path, "run `bin/magento module:enable "+m.name+"` and commit app/etc/config.php",
				"app/etc/config.php does not list %s, so it is not enabled", m.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		vendor, _, _ := strings.Cut(name, "_")
		if listed[name] && !inCode[name] && vendors[vendor] && !c.vendorHas(vendor) {
			c.add(Warning, "module-missing", configPath, "restore its code, or take it out of the list",
				"it enables %s, which is neither in app/code nor, as far as composer.lock tells, in a package", name)
		}
	}
}

// vendorHas reports whether a package may bring modules of the vendor: module names are not in the lock, so any package
// whose own vendor resembles it counts, and so does everything when there is no lock.
func (c *checker) vendorHas(vendor string) bool {
	if c.lock == nil {
		return true
	}
	fold := func(s string) string { return nonLetters.ReplaceAllString(strings.ToLower(s), "") }
	want := fold(vendor)
	return slices.ContainsFunc(c.lock.Packages, func(p lockedPackage) bool {
		return strings.HasPrefix(p.Type, "magento") && strings.Contains(fold(p.Name), want)
	})
}

// staticContent judges the locales and themes to deploy.
func (c *checker) staticContent() {
	asked := map[string]bool{}
	for _, l := range c.o.Locales {
		asked[l] = true
	}
	judged := map[string]bool{}
	for _, st := range c.Static(c.o.Themes, c.o.Locales) {
		for _, l := range st.Locales {
			if judged[l] || slices.Contains(allowedLocales, l) {
				continue
			}
			judged[l] = true
			subject := configPath
			if asked[l] {
				subject = "--locales"
			}
			do := "name one of those that `bin/magento info:language:list` lists"
			if meant := likelyLocale(l); meant != "" {
				do = "write " + meant
			}
			if localePattern.MatchString(l) && likelyLocale(l) == "" {
				c.add(Warning, "locale-unknown", subject, do, "Magento does not know the locale %q, unless a module adds it", l)
				continue
			}
			c.add(Error, "locale-unknown", subject, do, "%q is not a locale of Magento", l)
		}
	}
	c.themesExist()
}

func (c *checker) themesExist() {
	known := c.knownThemes()
	configured := c.config.themes()
	var names []string
	for _, t := range known {
		names = append(names, t.String())
	}
	for _, name := range c.o.Themes {
		if t := c.resolveTheme(name); !containsTheme(known, t) && c.themeCanBeJudged(t) {
			c.add(Error, "theme-unknown", "--themes", "name one of "+strings.Join(names, ", "), "there is no theme %q", name)
		}
	}
	for _, t := range c.Themes() {
		switch {
		case containsTheme(c.codeThemes, t) || c.packagedTheme(t):
		case c.themeCanBeJudged(t):
			c.add(Error, "theme-missing", configPath, "restore its code, or run `bin/magento app:config:dump themes` again",
				"it names the theme %s, which is neither in app/design nor in a package of composer.lock", t)
		}
	}
	for _, t := range c.codeThemes {
		if len(configured) > 0 && !containsTheme(configured, t) {
			c.add(Warning, "theme-unlisted", "app/design/"+t.String(), "run `bin/magento app:config:dump themes` and commit app/etc/config.php",
				"app/etc/config.php does not list this theme")
		}
		if t.Parent == "" {
			continue
		}
		parent := Theme{Area: t.Area, Code: t.Parent}
		if !containsTheme(known, parent) && c.themeCanBeJudged(parent) {
			c.add(Error, "theme-missing", "app/design/"+t.String(), "correct <parent> in theme.xml, or add that theme",
				"its parent %s does not exist", t.Parent)
		}
	}
}

// packagedTheme reports whether one of Magento's own packages in the lock registers the theme.
func (c *checker) packagedTheme(t Theme) bool {
	if c.lock == nil {
		return false
	}
	return slices.ContainsFunc(c.lock.Packages, func(p lockedPackage) bool {
		known, ok := magentoThemes[p.Name[strings.LastIndex(p.Name, "/")+1:]]
		return ok && known.Area == t.Area && known.Code == t.Code
	})
}

// themeCanBeJudged reports whether the source tells that a theme is missing: there is a lock, and none of its packages
// may bring the theme under a name that the lock does not tell.
func (c *checker) themeCanBeJudged(t Theme) bool {
	if c.lock == nil {
		return false
	}
	vendor, _, _ := strings.Cut(t.Code, "/")
	for _, p := range c.lock.Packages {
		if _, own := magentoThemes[p.Name[strings.LastIndex(p.Name, "/")+1:]]; own || p.Type != "magento2-theme" && !c.vendorHas(vendor) {
			continue
		}
		if p.Type == "magento2-theme" || vendor != "Magento" {
			return false
		}
	}
	return true
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
		Lock: "present", CodeModules: len(s.codeModules), MagentoKeys: s.NeedsMagentoKeys(), Locales: map[string][]string{},
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
