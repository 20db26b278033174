package store

import (
	"cmp"
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
		c.phpNeeds(Error, "platform-php", manifestPath, assumed, "config.platform.php "+c.platformPHP())
	case c.o.PHP == nil && c.lock != nil:
		line := c.PHPMinor()
		c.phpNeeds(Error, "php-version", "PHP", latest(line), "PHP "+line)
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
		c.phpNeeds(severity, "php-version", "PHP", given, name)
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

// phpNeeds says, in one finding, which packages a PHP does not suit, and which PHP does.
func (c *checker) phpNeeds(severity Severity, code, subject string, v version, name string) {
	byConstraint := map[string][]string{}
	var all []string
	for _, n := range c.platformNeeds() {
		if isPHP(n.name) && !satisfies(n.constraint, v) {
			byConstraint[n.constraint] = append(byConstraint[n.constraint], n.by)
			all = append(all, n.by)
		}
	}
	constraints := slices.SortedFunc(maps.Keys(byConstraint), func(a, b string) int {
		return cmp.Or(len(byConstraint[b])-len(byConstraint[a]), strings.Compare(a, b))
	})
	switch len(constraints) {
	case 0:
	case 1:
		c.add(severity, code, subject, c.phpAdvice(code), "%s does not suit %s, which %s %s", name, some(all), verb(all, "needs", "need"), constraints[0])
	default:
		var each []string
		for _, constraint := range constraints[:min(3, len(constraints))] {
			each = append(each, fmt.Sprintf("%s by %s", constraint, some(byConstraint[constraint])))
		}
		if more := len(constraints) - len(each); more > 0 {
			each = append(each, fmt.Sprintf("and %d more", more))
		}
		c.add(severity, code, subject, c.phpAdvice(code), "%s does not suit %d packages, which need %s", name, len(all), strings.Join(each, "; "))
	}
}

// phpAdvice is the PHP to build with: one that all packages take, if there is one.
func (c *checker) phpAdvice(code string) string {
	line, a, b := c.commonPHP()
	switch {
	case line == "" && a.by != "":
		return fmt.Sprintf("update the packages until one PHP suits all of them: none suits both %s (%s) and %s (%s)", a.by, a.constraint, b.by, b.constraint)
	case line == "":
		return "update the packages until one PHP suits all of them: now there is none"
	case !slices.Contains(phpLines, line):
		return "update Magento to a version for PHP 8: all packages take PHP " + line + ", and no newer one, which is not built here"
	case code == "platform-php":
		return "set config.platform.php in composer.json to " + line + ", which all packages take, or update the packages"
	}
	return "build with PHP " + line + ", which all packages take, or update the packages"
}

// oldPHP are the release lines before those that stores are built with, newest first.
var oldPHP = []string{"8.0", "7.4", "7.3", "7.2", "7.1", "7.0", "5.6"}

// commonPHP is the newest release line that all packages take; "" when there is none, with two packages that have none in
// common, if it is for two.
func (c *checker) commonPHP() (line string, a, b need) {
	needs := slices.DeleteFunc(c.platformNeeds(), func(n need) bool { return !isPHP(n.name) })
	lines := append(slices.Clone(phpLines), oldPHP...)
	for _, l := range lines {
		if !slices.ContainsFunc(needs, func(n need) bool { return !satisfies(n.constraint, latest(l)) }) {
			return l, a, b
		}
	}
	for i, a := range needs {
		for _, b := range needs[i+1:] {
			if a.constraint != b.constraint && !slices.ContainsFunc(lines, func(l string) bool {
				return satisfies(a.constraint, latest(l)) && satisfies(b.constraint, latest(l))
			}) {
				return "", a, b
			}
		}
	}
	return "", a, b
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
