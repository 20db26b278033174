package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// PHP is a PHP to build or run the store with.
type PHP struct {
	Version    string   `json:"version"`    // "8.3.12"
	Extensions []string `json:"extensions"` // as `php -m` lists them
}

// phpLines are the PHP release lines that a Magento still in use runs on, newest first. 8.1 is Magento 2.4.4's, 8.5 is
// 2.4.9's (https://experienceleague.adobe.com/en/docs/commerce-operations/installation-guide/system-requirements).
var phpLines = []string{"8.5", "8.4", "8.3", "8.2", "8.1"}

// need is one platform requirement and who has it.
type need struct {
	name       string // "php", "ext-intl"
	constraint string
	by         string // a package's name, or composer.json
}

// platformNeeds are the platform requirements of everything that is installed without the development packages.
func (s *Store) platformNeeds() []need {
	var out []need
	add := func(by string, l links) {
		for _, name := range slices.Sorted(maps.Keys(l)) {
			if isPlatform(name) {
				out = append(out, need{strings.ToLower(name), l[name], by})
			}
		}
	}
	switch {
	case s.lock != nil:
		add(manifestPath, s.lock.Platform)
		for _, p := range s.lock.Packages {
			add(p.Name, p.Require)
		}
	case s.manifest != nil:
		add(manifestPath, s.manifest.Require)
	}
	return out
}

func isPlatform(name string) bool {
	name = strings.ToLower(name)
	return isPHP(name) || strings.HasPrefix(name, "ext-")
}

func isPHP(name string) bool { return name == "php" || name == "php-64bit" }

// provided are the extensions that installed packages stand in for (polyfills), and by which package.
func (s *Store) provided() map[string]string {
	out := map[string]string{}
	if s.lock == nil {
		return out
	}
	for _, p := range s.lock.Packages {
		for _, l := range []links{p.Provide, p.Replace} {
			for name := range l {
				if ext, ok := strings.CutPrefix(strings.ToLower(name), "ext-"); ok {
					out[ext] = p.Name
				}
			}
		}
	}
	return out
}

// platformPHP is composer.json's config.platform.php: the PHP that composer is told to assume.
func (s *Store) platformPHP() string {
	if s.manifest == nil {
		return ""
	}
	return s.manifest.Config.object("platform").text("php")
}

// PHPMinor is the release line of the PHP to build with when none is given, such as "8.3": composer.json's
// config.platform.php, else the newest line that everything in composer.lock (without one, composer.json) allows, else the
// one that fits the version of Magento.
func (s *Store) PHPMinor() string {
	if v, _, _, err := parseVersion(s.platformPHP()); err == nil {
		return fmt.Sprintf("%d.%d", v.n[0], v.n[1])
	}
	needs := slices.DeleteFunc(s.platformNeeds(), func(n need) bool { return !isPHP(n.name) })
	if len(needs) > 0 {
		for _, line := range phpLines {
			v := latest(line)
			if !slices.ContainsFunc(needs, func(n need) bool { return !satisfies(n.constraint, v) }) {
				return line
			}
		}
	}
	return s.usualPHP()
}

// satisfies counts a constraint that cannot be understood as satisfied: composer is the judge of it.
func satisfies(c string, v version) bool {
	parsed, err := parseConstraint(c)
	return err != nil || parsed.allows(v)
}

// firstVersion is the lowest version that a constraint such as ">=2.4.7 <2.4.8" names, as people write them.
var firstVersion = regexp.MustCompile(`\d+(?:\.\d+)*`)

// usualPHP is a release line that the wanted version of Magento supports, for want of packages that tell: the newest one,
// but for 2.4.9 the one that it shares with 2.4.8.
func (s *Store) usualPHP() string {
	edition, wanted, _ := s.product()
	lines := []struct{ magento, php string }{{"2.4.8", "8.4"}, {"2.4.7", "8.3"}, {"2.4.6", "8.2"}, {"2.4.4", "8.1"}}
	if edition == MageOS {
		// Mage-OS 1.0 follows Magento 2.4.7, later ones 2.4.8 and 2.4.9.
		lines = []struct{ magento, php string }{{"1.1", "8.4"}, {"1.0", "8.3"}}
	}
	v, _, _, err := parseVersion(firstVersion.FindString(wanted))
	if err == nil {
		for _, l := range lines {
			if from, _, _, _ := parseVersion(l.magento); v.asDev().compare(from.asDev()) >= 0 {
				return l.php
			}
		}
		return lines[len(lines)-1].php
	}
	return lines[0].php
}

// RequiredExtensions are the PHP extensions that composer.lock (without one, composer.json) asks for, without "ext-" and
// sorted, such as "bcmath"; those that a package stands in for are left out.
func (s *Store) RequiredExtensions() []string {
	provided := s.provided()
	set := map[string]bool{}
	for _, n := range s.platformNeeds() {
		if ext, ok := strings.CutPrefix(n.name, "ext-"); ok && provided[ext] == "" {
			set[normalExtension(ext)] = true
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(set))...)
}

// RecommendedExtensions are those that a store should have though nothing requires them: for speed (opcache, apcu), for
// running processes (pcntl), for cache and sessions (redis), and those that a slower polyfill would stand in for.
func (s *Store) RecommendedExtensions() []string {
	set := map[string]bool{"opcache": true, "apcu": true, "pcntl": true, "redis": true}
	provided := s.provided()
	for _, n := range s.platformNeeds() {
		ext, _ := strings.CutPrefix(n.name, "ext-")
		if strings.HasPrefix(provided[ext], "symfony/polyfill-") {
			set[ext] = true
		}
	}
	for _, ext := range s.RequiredExtensions() {
		delete(set, ext)
	}
	return slices.Sorted(maps.Keys(set))
}

// Lacks lists which of some extensions this PHP does not have.
func (p PHP) Lacks(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(p.Extensions, func(have string) bool { return normalExtension(have) == normalExtension(name) })
	})
}

// normalExtension is an extension's name as composer knows it: `php -m` says "Zend OPcache" and "PDO".
func normalExtension(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "zend opcache" || name == "zend-opcache" {
		return "opcache"
	}
	return strings.ReplaceAll(name, " ", "-")
}
