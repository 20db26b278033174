package store

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Options are what is known besides the store itself. What is left out is not judged.
type Options struct {
	Platform    string      // of that, such as linux/amd64
	PHP         *PHP        // of the image or the machine that builds; nil: unknown
	Credentials Credentials // which hosts composer has credentials for
	Memory      int64       // bytes that the build may use; 0: unknown
	Locales     []string    // asked for instead of the store's own
	Themes      []string    // asked for instead of the store's own
	Node        *Node       // of the image or the machine that builds; nil: unknown
	// Changed is when a commit last changed what is at a path of the store; the zero time: unknown. nil: there is no history.
	Changed   func(path string) time.Time
	Installed bool // vendor is there: what cannot be told from the lock can be told from it
}

// MinMemory is the least a build is started with, in bytes: di:compile fails with 256 MB and needs up to 450 MB, and
// composer and static content run beside it.
const MinMemory = 1_000_000_000

// Check finds everything that can be said about the store before building it.
func (s *Store) Check(o Options) Report {
	c := &checker{Store: s, o: o}
	if o.Installed {
		c.readVendor()
	}
	if !c.project() {
		r := Report{Facts: Facts{Extensions: []string{}, Themes: []Theme{}, Locales: map[string][]string{}}}
		r.Add(c.found...)
		return r
	}
	c.locked()
	c.plugins()
	c.patches()
	c.credentials()
	c.platform()
	c.configured()
	c.secrets()
	c.modules()
	c.staticContent()
	c.node()
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

func (c *checker) add(severity Severity, code, subject, do, format string, args ...any) { //nolint:revive // what a lock is compared with
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

// project judges whether this is a Magento store at all. If it is none, there is nothing more to say.
func (c *checker) project() bool {
	switch {
	case !c.hasManifest:
		do := "give the directory that holds the store's composer.json (--source)"
		if found, err := fs.Glob(c.fsys, "*/"+manifestPath); err == nil && len(found) > 0 {
			do += "; there is one in " + path.Dir(found[0])
		}
		c.add(Error, "not-a-store", manifestPath, do, "there is none: this is not a Magento store")
		return false
	case c.manifestErr != nil:
		c.add(Error, "manifest-invalid", manifestPath, "correct it; `composer validate` checks it", "%v", c.manifestErr)
	default:
		_, _, ok := c.product()
		if _, lists := c.Modules()["Magento_Store"]; !ok && !lists {
			c.add(Error, "not-a-store", manifestPath,
				"require magento/product-community-edition, magento/product-enterprise-edition or mage-os/product-community-edition",
				"it requires no edition of Magento: this is not a Magento store")
			return false
		}
	}
	return true
}

// locked judges composer.lock.
func (c *checker) locked() { //nolint:cyclop // a finding a case
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

// secrets judges files that must not leave the machine they are on.
func (c *checker) secrets() {
	if len(c.allowedInvalid) > 0 {
		c.add(Error, "allow-list", AllowFile, "write a line an entry: a path or pattern, a space, and why what is there is no secret", "%s", strings.Join(c.allowedInvalid, "; "))
	}
	if c.hasEnv {
		c.add(Warning, "env-present", envPath, "keep it out of the repository (.gitignore); the images take these settings from the environment",
			"it is left out of the build and of the images")
	}
	if c.hasAuth {
		c.add(Warning, "auth-present", authPath, "keep it out of the repository (.gitignore) and give it through COMPOSER_AUTH (dagger call: --composer-auth)",
			"it holds credentials; it is left out of the build and never in an image")
	}
}

func (c *checker) memory() {
	if c.o.Memory > 0 && c.o.Memory < MinMemory {
		c.add(Error, "memory", "memory", "give the build at least 1 GB, better 2 GB",
			"there are %d MB, and compiling a Magento store needs 1 GB", c.o.Memory/1_000_000)
	}
}

// facts gathers what a build would work with.
func (s *Store) facts(o Options) Facts {
	f := Facts{
		Edition: s.Edition(), Version: s.MagentoVersion(), PHP: s.PHPMinor(), Platform: o.Platform, Extensions: s.RequiredExtensions(),
		Lock: "present", Themes: []Theme{}, CodeModules: len(s.codeModules), MagentoKeys: s.NeedsMagentoKeys(), Locales: map[string][]string{},
	}
	if o.PHP != nil {
		f.PHP = o.PHP.Version
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
	builds := s.NodeBuilds(o.Themes)
	for _, b := range builds {
		f.NodeBuilds = append(f.NodeBuilds, b.Path)
	}
	if len(builds) > 0 {
		f.Node = NodeLine(builds)
	}
	if o.Node != nil && o.Node.Version != "" && len(builds) > 0 {
		f.Node = o.Node.Version
	}
	for _, st := range s.Static(o.Themes, o.Locales) {
		f.Themes = append(f.Themes, st.Theme)
		f.Locales[st.Theme.Area] = st.Locales
	}
	return f
}
