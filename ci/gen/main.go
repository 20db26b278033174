// Command gen writes what follows from the table of verbs (ci/verbs) and from package main's constructor: the Dagger
// functions of the verbs that speak with AWS, what make hands on, and the tables of docs/settings.md; and from ci/documents
// the schemas of what --json prints; what doctor compares a set-up with; and, from .circleci/config.yml, CircleCI's other files. `go generate` runs it at the root; a test holds the files to it.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

func main() {
	files, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}

// generate makes all files anew, by their names in the repository.
func generate(root string) (map[string][]byte, error) {
	module, err := readModule(filepath.Join(root, "main.go"))
	if err != nil {
		return nil, err
	}
	functions, err := daggerFunctions(module)
	if err != nil {
		return nil, err
	}
	settings, err := os.ReadFile(filepath.Join(root, "docs", "settings.md"))
	if err != nil {
		return nil, err
	}
	if settings, err = tables(settings); err != nil {
		return nil, err
	}
	files, err := schemas(root)
	if err != nil {
		return nil, err
	}
	if files["ci/doctor/pipeline.json"], err = pipeline(root); err != nil {
		return nil, err
	}
	if files["docs/doctor.md"], err = checks(root); err != nil {
		return nil, err
	}
	circle, err := circleFiles(root)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, circle)
	files["verbs.gen.go"], files["ci/verbs.mk"], files["docs/settings.md"] = functions, makefile(module), settings
	return files, nil
}
