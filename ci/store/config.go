package store

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// shopConfig is app/etc/config.php as far as a build needs it. A nil one knows nothing.
type shopConfig struct {
	root *phpArray
}

func parseConfig(src []byte) (*shopConfig, error) {
	if err := conflict(src); err != nil {
		return nil, err
	}
	v, err := readPHP(src)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *phpArray:
		return &shopConfig{root: v}, nil
	case unknown:
		root := newPHPArray()
		root.open = true
		return &shopConfig{root: root}, nil
	}
	return nil, errors.New("it must return an array")
}

// hides reports whether the file may have something at the path that only running it could tell.
func (c *shopConfig) hides(path ...string) bool {
	if c == nil {
		return false
	}
	a := c.root
	for _, p := range path {
		v, ok := a.values[p]
		if _, dark := v.(unknown); dark || !ok && a.open {
			return true
		}
		if a, ok = v.(*phpArray); !ok {
			return false
		}
	}
	return a.open
}

// modules maps each module that the file lists to whether it is enabled; nil when it lists none.
func (c *shopConfig) modules() map[string]bool {
	if c == nil {
		return nil
	}
	list := c.root.array("modules")
	if list == nil || len(list.keys) == 0 {
		return nil
	}
	m := make(map[string]bool, len(list.keys))
	for _, name := range list.keys {
		v, known := phpText(list.values[name])
		m[name] = !known || v != "" && v != "0"
	}
	return m
}

// scopes reports whether the websites, groups and stores are there; without them static content cannot be deployed.
func (c *shopConfig) scopes() bool {
	if c == nil {
		return false
	}
	for _, section := range []string{"websites", "stores"} {
		a := c.root.array("scopes", section)
		if (a == nil || len(a.keys) == 0) && !c.hides("scopes", section) {
			return false
		}
	}
	return true
}

// themes are those of the themes section, in its order.
func (c *shopConfig) themes() []Theme {
	if c == nil {
		return nil
	}
	list := c.root.array("themes")
	if list == nil {
		return nil
	}
	var out []Theme
	for _, key := range list.keys {
		area, _ := list.text(key, "area")
		code, _ := list.text(key, "code")
		if a, rest, ok := strings.Cut(key, "/"); ok {
			if area == "" {
				area = a
			}
			if code == "" {
				code = rest
			}
		}
		if code == "" || area == "" {
			continue
		}
		parent, _ := list.text(key, "parent_id")
		out = append(out, Theme{Area: area, Code: code, Parent: strings.TrimPrefix(parent, area+"/")})
	}
	return out
}

// scope is one place that system settings are set for: section is "default", "websites" or "stores".
type scope struct{ section, code string }

func (c *shopConfig) setting(s scope, path ...string) (string, bool) {
	v, ok := c.root.text(append(s.path(), path...)...)
	return v, ok && v != ""
}

// settings are the places that system settings are set for: the default, and every website and store view that has some.
func (c *shopConfig) settings() []scope {
	if c == nil {
		return nil
	}
	all := []scope{{section: "default"}}
	for _, section := range []string{"websites", "stores"} {
		if of := c.root.array("system", section); of != nil {
			for _, code := range of.keys {
				all = append(all, scope{section, code})
			}
		}
	}
	return all
}

// path is where the scope's settings stand in the file.
func (s scope) path() []string {
	if s.code == "" {
		return []string{"system", s.section}
	}
	return []string{"system", s.section, s.code}
}

// String names the scope for people.
func (s scope) String() string {
	switch s.section {
	case "websites":
		return "website " + s.code
	case "stores":
		return "store view " + s.code
	}
	return "the default"
}

// asksFor reports whether any scope turns a setting on.
func (c *shopConfig) asksFor(path ...string) bool {
	return slices.ContainsFunc(c.settings(), func(s scope) bool {
		v, ok := c.setting(s, path...)
		return ok && v != "0"
	})
}

// untold are the scopes in which a setting is an expression, whose value only running PHP could tell.
func (c *shopConfig) untold(path ...string) []string {
	group, field := path[:len(path)-1], path[len(path)-1]
	var out []string
	for _, s := range c.settings() {
		if of := c.root.array(append(s.path(), group...)...); of != nil {
			if _, is := of.values[field].(unknown); is {
				out = append(out, s.String())
			}
		}
	}
	return out
}

// shopView is a store view with its website.
type shopView struct{ code, website string }

// views are the store views in use, the admin's left out.
func (c *shopConfig) views() []shopView {
	if c == nil {
		return nil
	}
	websites := map[string]string{} // by id
	if list := c.root.array("scopes", "websites"); list != nil {
		for _, code := range list.keys {
			if id, ok := list.text(code, "website_id"); ok {
				websites[id] = code
			}
		}
	}
	stores := c.root.array("scopes", "stores")
	if stores == nil {
		return nil
	}
	var out []shopView
	for _, code := range stores.keys {
		if active, ok := stores.text(code, "is_active"); code == "admin" || ok && (active == "0" || active == "") {
			continue
		}
		id, _ := stores.text(code, "website_id")
		out = append(out, shopView{code: code, website: websites[id]})
	}
	return out
}

// inherited is a setting as Magento resolves it for a store view: its own, its website's, the default.
func (c *shopConfig) inherited(v shopView, path ...string) (string, bool) {
	for _, s := range []scope{{"stores", v.code}, {"websites", v.website}, {"default", ""}} {
		if s.section != "default" && s.code == "" {
			continue
		}
		if value, ok := c.setting(s, path...); ok {
			return value, true
		}
	}
	return "", false
}

var localePath = []string{"general", "locale", "code"}

// locales are those of the store views, and those of the admin: accounts have en_US until they choose another, and the
// login page is in the default one. told is false when a locale had to be assumed because the file names none.
func (c *shopConfig) locales() (frontend, admin []string, told bool) {
	const magentoDefault = "en_US"
	front, back := map[string]bool{}, map[string]bool{magentoDefault: true}
	told = true
	fallback := magentoDefault
	if c != nil {
		if v, ok := c.setting(scope{section: "default"}, localePath...); ok {
			fallback = v
			back[v] = true
		} else {
			told = false
		}
		for _, s := range []scope{{"stores", "admin"}, {"websites", "admin"}} {
			if v, ok := c.setting(s, localePath...); ok {
				back[v] = true
			}
		}
		for _, view := range c.views() {
			if v, ok := c.inherited(view, localePath...); ok {
				front[v] = true
			} else {
				front[fallback] = true
			}
		}
	}
	if len(front) == 0 {
		front[fallback] = true
	}
	return slices.Sorted(maps.Keys(front)), slices.Sorted(maps.Keys(back)), told
}

// namedThemes are the frontend themes that the file assigns to the store views; ok is false when it leaves any view's
// theme to the database, or names one by an id that only the database knows.
func (c *shopConfig) namedThemes() (codes []string, ok bool) {
	views := c.views()
	if len(views) == 0 {
		return nil, false
	}
	named := map[string]bool{}
	for _, view := range views {
		v, found := c.inherited(view, "design", "theme", "theme_id")
		if !found || !strings.Contains(v, "/") {
			return nil, false
		}
		named[strings.TrimPrefix(v, frontend+"/")] = true
	}
	return slices.Sorted(maps.Keys(named)), true
}
