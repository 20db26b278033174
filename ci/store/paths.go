package store

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
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
		if (r.Type != "path" && r.Type != "artifact") || path.IsAbs(p) || p == "." || strings.HasPrefix(p, "..") || strings.HasPrefix(p, "app/") {
			continue
		}
		out = append(out, p)
	}
	return out
}

// AutoloadPaths are the files and directories below vendor that the autoloaders of the locked packages name, sorted: what
// is loaded from elsewhere in vendor is found by itself. Nothing is known without a lock.
func (s *Store) AutoloadPaths() []string {
	if s.lock == nil {
		return nil
	}
	found := map[string]bool{}
	for _, p := range s.lock.Packages {
		if p.Type == "metapackage" {
			continue
		}
		for _, section := range []string{"psr-4", "psr-0", "classmap", "files"} {
			for _, t := range autoloadPaths(section, p.Autoload[section]) {
				found[path.Join("vendor", p.Name, t)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// autoloadPaths are the paths that a section of a package's autoloader names, relative to the package: a list, or an
// object of paths or lists of them by namespace.
func autoloadPaths(section string, raw json.RawMessage) []string {
	if section == "classmap" || section == "files" {
		return texts(raw)
	}
	var byNamespace map[string]json.RawMessage
	if json.Unmarshal(raw, &byNamespace) != nil {
		return nil // absent, or [] for none
	}
	var out []string
	for _, paths := range byNamespace {
		out = append(out, texts(paths)...)
	}
	return out
}
