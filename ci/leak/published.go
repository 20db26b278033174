package leak

import (
	"encoding/json"
	"path"
	"strings"
)

// Published reads composer's list of what it has installed, vendor/composer/installed.json, and returns which paths of the
// store are of packages that others publish. A package that composer copied from a directory of the store is the store's
// own.
func Published(installed []byte) func(path string) bool {
	var list struct {
		Packages []struct {
			Name        string `json:"name"`
			InstallPath string `json:"install-path"`
			Dist        struct {
				Type string `json:"type"`
				URL  string `json:"url"`
			} `json:"dist"`
		} `json:"packages"`
	}
	if json.Unmarshal(installed, &list) != nil {
		return func(string) bool { return false }
	}
	dirs := map[string]bool{}
	for _, p := range list.Packages {
		own := p.Dist.Type == "path" && !path.IsAbs(p.Dist.URL) && !strings.HasPrefix(path.Clean(p.Dist.URL), "..")
		if p.Dist.Type == "artifact" || own {
			continue
		}
		if dir := path.Join("vendor/composer", p.InstallPath); strings.HasPrefix(dir, "vendor/") && p.InstallPath != "" {
			dirs[dir] = true
		}
	}
	return func(name string) bool {
		for at := range prefixes(name) {
			if dirs[at] && at != name && !strings.Contains(name[len(at):], "/.git") {
				return true
			}
		}
		return false
	}
}
