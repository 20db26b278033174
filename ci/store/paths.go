package store

import (
	"path"
	"strings"
)

// PathRepositories are the places inside the store that composer.json takes packages from, as patterns: composer copies
// the packages into vendor. Places that the store runs from itself, below app, are not among them.
func (s *Store) PathRepositories() []string {
	if s.manifest == nil {
		return nil
	}
	var out []string
	for _, r := range s.manifest.Repositories {
		p := path.Clean(r.URL)
		if r.Type != "path" || path.IsAbs(p) || p == "." || strings.HasPrefix(p, "..") || strings.HasPrefix(p, "app/") {
			continue
		}
		out = append(out, p)
	}
	return out
}
