package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

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
