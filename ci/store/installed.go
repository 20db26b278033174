package store

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ThemesOpen reports whether which themes a build deploys hangs on the themes that packages bring: neither the caller nor
// app/etc/config.php says it.
func (s *Store) ThemesOpen(themes []string) bool {
	_, told := s.config.namedThemes()
	return len(themes) == 0 && !told && len(s.config.themes()) == 0
}

// Assumed says what static content is deployed for when app/etc/config.php lists no store views.
func (s *Store) Assumed(themes, locales []string) string {
	what := "all installed frontend themes"
	if len(themes) > 0 {
		what = strings.Join(themes, " and ")
	}
	in := locales
	if len(in) == 0 {
		in, _, _ = s.config.locales()
	}
	return fmt.Sprintf("static content is deployed for %s in %s", what, strings.Join(in, ", "))
}

// InstalledPaths are patterns of the files that WithInstalled reads, relative to the installed store: of the packages
// whose themes are not known before.
func (s *Store) InstalledPaths() []string {
	out := []string{lockPath}
	if s.lock == nil {
		return append(out, "vendor/*/*/**/registration.php", "vendor/*/*/**/theme.xml", "vendor/*/*/**/web/tailwind/*", "vendor/*/*/**/web/**/*.css")
	}
	for _, p := range s.unread {
		if p.magentos() {
			continue
		}
		for _, file := range p.registrations() {
			file = path.Join(s.VendorDir(), p.Name, file)
			out = append(out, file, path.Join(path.Dir(file), "theme.xml"), path.Join(path.Dir(file), tailwindDir, "*"), path.Join(path.Dir(file), "web/**/*.css"))
		}
	}
	return out
}

// WithInstalled is the store with what the code of its packages tells of their modules and themes, in the tree that
// composer has installed them into.
func (s *Store) WithInstalled(tree fs.FS) (*Store, error) {
	c := *s
	c.fsys = tree
	c.themes, c.broken, c.nodeThemes = slices.Clip(c.themes), slices.Clip(c.broken), slices.Clip(c.nodeThemes)
	if c.lock == nil {
		src, ok, err := c.read(lockPath)
		if err != nil {
			return nil, err
		}
		lock := &lockFile{}
		if ok {
			if err := parseJSON(src, lock); err != nil {
				return nil, fmt.Errorf("the %s that composer wrote: %w", lockPath, err)
			}
		}
		c.lock = lock
	}
	var err error
	if c.modules, c.unread, err = c.scanPackages(true); err != nil {
		return nil, err
	}
	c.fsys, c.lock = s.fsys, s.lock
	return &c, nil
}

// VendorDir is where composer installs packages, relative to the store.
func (s *Store) VendorDir() string {
	if s.manifest != nil && s.manifest.Config.text("vendor-dir") != "" {
		return s.manifest.Config.text("vendor-dir")
	}
	return "vendor"
}
