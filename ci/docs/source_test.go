package docs_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
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
