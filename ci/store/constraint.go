package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Composer's version constraints as composer/semver reads them (https://getcomposer.org/doc/articles/versions.md).
// They look like npm's and mean something else: ~8.1 is >=8.1 <9, ~8.1.0 is >=8.1.0 <8.2, a version has four parts, and
// 8.1-RC1 satisfies ^8.1. That is why no general semver library can judge them.

// version is a version as composer normalises it: four numbers and a stability.
type version struct {
	n         [4]int
	stability int // dev < alpha < beta < RC < stable < patch
	stabN     int // the 2 of RC2
	dev       bool
}

const (
	stabDev = iota
	stabAlpha
	stabBeta
	stabRC
	stabStable
	stabPatch
)

const modifier = `(?:[._-]?(?:(stable|beta|b|rc|alpha|a|patch|pl|p)((?:[.-]?\d+)*)?)?([.-]?dev)?)`

var (
	versionPattern  = regexp.MustCompile(`(?i)^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?` + modifier + `(?:\+\S+)?$`)
	wildcardPattern = regexp.MustCompile(`^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:\.[xX*])+$`)
	anyPattern      = regexp.MustCompile(`^v?[xX*](?:\.[xX*])*$`)
	stabilityFlag   = regexp.MustCompile(`(?i)@(?:stable|rc|beta|alpha|dev)$`)
	comparePattern  = regexp.MustCompile(`^(<>|!=|>=|<=|==|=|<|>)?\s*(.*)$`)
	looseOperator   = regexp.MustCompile(`(<>|!=|>=|<=|==|=|<|>)\s+`)
	orPattern       = regexp.MustCompile(`\s*\|\|?\s*`)
	separators      = regexp.MustCompile(`[\s,]+`)
)

// parseVersion reads a version; parts says how many of the four numbers it gave, and plain that it named no stability.
func parseVersion(s string) (v version, parts int, plain bool, err error) {
	m := versionPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return v, 0, false, fmt.Errorf("%q is not a version", s)
	}
	for i := range 4 {
		if m[i+1] != "" {
			v.n[i], _ = strconv.Atoi(m[i+1])
			parts = i + 1
		}
	}
	switch strings.ToLower(m[5]) {
	case "alpha", "a":
		v.stability = stabAlpha
	case "beta", "b":
		v.stability = stabBeta
	case "rc":
		v.stability = stabRC
	case "patch", "pl", "p":
		v.stability = stabPatch
	default:
		v.stability = stabStable
	}
	v.stabN, _ = strconv.Atoi(strings.Trim(m[6], ".-"))
	if m[7] != "" {
		if v.stability == stabStable {
			v.stability = stabDev
		} else {
			v.dev = true
		}
	}
	return v, parts, m[5] == "" && m[7] == "", nil
}

func (v version) compare(w version) int {
	for i := range v.n {
		if d := v.n[i] - w.n[i]; d != 0 {
			return d
		}
	}
	if d := v.stability - w.stability; d != 0 {
		return d
	}
	if d := v.stabN - w.stabN; d != 0 {
		return d
	}
	switch {
	case v.dev == w.dev:
		return 0
	case v.dev:
		return -1
	}
	return 1
}

// asDev is the version's earliest pre-release: the bound that composer uses, so that 8.1.0RC1 satisfies ^8.1.
func (v version) asDev() version {
	v.stability, v.stabN, v.dev = stabDev, 0, false
	return v
}

// bump increments the part at position (1 to 4) and clears what follows it.
func (v version) bump(position int) version {
	w := version{}
	copy(w.n[:position], v.n[:position])
	w.n[position-1]++
	return w.asDev()
}

// comparator is one bound: v op bound.
type comparator struct {
	op    string
	bound version
}

func (c comparator) allows(v version) bool {
	d := v.compare(c.bound)
	switch c.op {
	case ">=":
		return d >= 0
	case ">":
		return d > 0
	case "<=":
		return d <= 0
	case "<":
		return d < 0
	case "!=":
		return d != 0
	case "=":
		return d == 0
	}
	return false // "never": a branch
}

// constraint is a disjunction of conjunctions; an empty conjunction allows everything.
type constraint [][]comparator

func (c constraint) allows(v version) bool {
	for _, all := range c {
		ok := true
		for _, b := range all {
			ok = ok && b.allows(v)
		}
		if ok {
			return true
		}
	}
	return false
}

func parseConstraint(s string) (constraint, error) {
	var c constraint
	for _, group := range orPattern.Split(strings.TrimSpace(s), -1) {
		words := separators.Split(strings.Trim(looseOperator.ReplaceAllString(group, "$1"), " ,"), -1)
		var all []comparator
		for i := 0; i < len(words); i++ {
			if i+2 < len(words) && words[i+1] == "-" {
				r, err := hyphenRange(words[i], words[i+2])
				if err != nil {
					return nil, fmt.Errorf("constraint %q: %w", s, err)
				}
				all = append(all, r...)
				i += 2
				continue
			}
			if i+2 < len(words) && words[i+1] == "as" {
				words[i+2] = words[i] // an alias: what is installed is what stands before it
				i += 2
			}
			r, err := parseSimple(words[i])
			if err != nil {
				return nil, fmt.Errorf("constraint %q: %w", s, err)
			}
			all = append(all, r...)
		}
		c = append(c, all)
	}
	return c, nil
}

func parseSimple(s string) ([]comparator, error) { //nolint:cyclop // a parser: an operator a case
	s = stabilityFlag.ReplaceAllString(s, "")
	if s == "" || anyPattern.MatchString(s) {
		return nil, nil
	}
	if rest, ok := strings.CutPrefix(s, "~"); ok {
		v, parts, plain, err := parseVersion(rest)
		if err != nil {
			return nil, err
		}
		return []comparator{{">=", lower(v, plain)}, {"<", v.bump(max(1, parts-1))}}, nil
	}
	if rest, ok := strings.CutPrefix(s, "^"); ok {
		v, parts, plain, err := parseVersion(rest)
		if err != nil {
			return nil, err
		}
		position := 3
		switch {
		case v.n[0] != 0 || parts < 2:
			position = 1
		case v.n[1] != 0 || parts < 3:
			position = 2
		}
		return []comparator{{">=", lower(v, plain)}, {"<", v.bump(position)}}, nil
	}
	if m := wildcardPattern.FindStringSubmatch(s); m != nil {
		v, parts, _, err := parseVersion(strings.TrimRight(s, ".xX*"))
		if err != nil {
			return nil, err
		}
		return []comparator{{">=", v.asDev()}, {"<", v.bump(parts)}}, nil
	}
	m := comparePattern.FindStringSubmatch(s)
	op, rest := m[1], m[2]
	switch op {
	case "", "==":
		op = "="
	case "<>":
		op = "!="
	}
	if branch := strings.ToLower(rest); strings.HasPrefix(branch, "dev-") || strings.HasSuffix(branch, ".x-dev") {
		if op == "!=" {
			return nil, nil
		}
		return []comparator{{op: "never"}}, nil
	}
	v, _, plain, err := parseVersion(rest)
	if err != nil {
		return nil, err
	}
	if op == "<" || op == ">=" {
		v = lower(v, plain)
	}
	return []comparator{{op, v}}, nil
}

func lower(v version, plain bool) version {
	if plain {
		return v.asDev()
	}
	return v
}

// hyphenRange is "from - to", inclusive: a "to" with fewer than three parts includes everything that begins with it.
func hyphenRange(from, to string) ([]comparator, error) {
	low, _, plain, err := parseVersion(from)
	if err != nil {
		return nil, err
	}
	high, parts, whole, err := parseVersion(to)
	if err != nil {
		return nil, err
	}
	if parts >= 3 || !whole {
		return []comparator{{">=", lower(low, plain)}, {"<=", high}}, nil
	}
	return []comparator{{">=", lower(low, plain)}, {"<", high.bump(parts)}}, nil
}
