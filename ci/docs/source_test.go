package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/release"
)

// The folder magento/ is the store's: whoever has a store of their own puts it
// there, or removes it, and the pipeline must go on compiling.
func TestStoreFolderHoldsNoSource(t *testing.T) {
	root := os.DirFS("../..")
	err := fs.WalkDir(root, "magento", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".go") {
			t.Errorf("%s: Go code in the store's folder is gone as soon as another store stands there", path)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// Each verdict is in the table of exit codes, with its own code.
func TestVerdictsAreExplained(t *testing.T) {
	raw, err := os.ReadFile("../../docs/release.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range release.Verdicts() {
		if v == release.Finished {
			continue // of run, which has a code of its own
		}
		if row := fmt.Sprintf("| %d | %s |", v.ExitCode(), v); !strings.Contains(string(raw), row) {
			t.Errorf("docs/release.md has no row %q", row)
		}
	}
}
