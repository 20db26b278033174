package store

import (
	"slices"
	"strings"
)

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
