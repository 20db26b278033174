package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// The version is the release's, else that of the module that was installed, else none.
func TestVersion(t *testing.T) {
	built := &debug.BuildInfo{Main: debug.Module{Version: "v1.4.0"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0"}, {Key: "vcs.modified", Value: "true"}}}
	for _, c := range []struct {
		released string
		info     *debug.BuildInfo
		want     string
	}{
		{"1.5.0", built, "mck 1.5.0, commit 0123456789ab and changes, "},
		{"", built, "mck v1.4.0, commit 0123456789ab and changes, "},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "mck unreleased, go"},
		{"", nil, "mck unreleased, go"},
	} {
		version = c.released
		if got := versionOf(c.info).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q is not %q…", got, c.want)
		}
	}
	version = ""
	code, out, _ := mck(t, nil, "version", "--json")
	if code != 0 || !strings.Contains(out, `"go": "go1.`) {
		t.Errorf("version --json = %d, %s", code, out)
	}
}

// `go install …/ci/cmd/mck@VERSION` takes no module with replacements.
func TestCanBeInstalled(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "\nreplace") || strings.Contains(string(raw), "\nexclude") {
		t.Error("go.mod has replacements or exclusions: `go install` refuses it; make generate takes them out")
	}
}
