package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
)

// packages is a tree like a store's vendor directory: 8,000 files of 4 KB, in
// small directories.
func packages(b *testing.B) string {
	b.Helper()
	root := filepath.Join(b.TempDir(), "tree")
	content := strings.Repeat("<?php // something to read\n", 150)
	for i := range 400 {
		dir := filepath.Join(root, "vendor", fmt.Sprintf("v%d", i%20), fmt.Sprintf("p%d", i), "Model")
		must(b, os.MkdirAll(dir, 0o755))
		for n := range 20 {
			must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("Class%d.php", n)), []byte(content), 0o644))
		}
	}
	return root
}

// BenchmarkCopy copies a tree and removes the copy.
func BenchmarkCopy(b *testing.B) {
	root := packages(b)
	dst := filepath.Join(b.TempDir(), "copy")
	for b.Loop() {
		must(b, host.Export(root, dst))
		must(b, host.Remove(dst))
	}
}

// BenchmarkKey hashes the files that a step's key is made of.
func BenchmarkKey(b *testing.B) {
	needTools(b)
	root := packages(b)
	r := &host.Runner{Environ: environ(b), Now: time.Now}
	step := build.Step{Name: "step", Reuse: &build.Reuse{Files: build.Files{Exclude: []string{"var", "**/auth.json"}}}}
	for b.Loop() {
		_, err := r.Key(b.Context(), step, root)
		must(b, err)
	}
}
