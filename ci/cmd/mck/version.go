package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// version is set by the build of a release archive: -ldflags "-X main.version=1.2.3".
var version string

func newVersionCommand(e *env) *cobra.Command {
	return verb(e, "version", cobra.NoArgs, func(_ *cobra.Command, e *env, s *verbs.Version, _ []string) error {
		info, _ := debug.ReadBuildInfo()
		v := versionOf(info)
		if s.JSON.JSON {
			return writeJSON(e.stdout, v)
		}
		_, err := fmt.Fprintln(e.stdout, v)
		return err
	})
}

// versionOf takes from what Go has put into the program what the release has not.
func versionOf(info *debug.BuildInfo) documents.Version {
	v := documents.Version{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if main := info.Main.Version; main != "(devel)" {
			v.Version = cmp.Or(v.Version, main)
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	v.Version = cmp.Or(v.Version, "unreleased")
	return v
}
