package layer_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/layer"
)

var benchTree = flag.String("tree", "", "a directory for the benchmarks to pack, instead of a made-up one")

// phpTree writes a tree shaped like a store's vendor directory: many small text files in nested directories.
func phpTree(tb testing.TB, files int) string {
	tb.Helper()
	root := tb.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("public function get array string int return this null private class namespace use new if else foreach throw exception magento framework catalog model resource collection factory interface const static")
	var text strings.Builder
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("vendor/v%02d/module-%d/Model/T%d", i%37, i/200, i/20%10))
		if i%20 == 0 || i < 800 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				tb.Fatal(err)
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		text.Reset()
		for size := 200 + random.IntN(18000); text.Len() < size; {
			fmt.Fprintf(&text, "%s %s%d(); ", words[random.IntN(len(words))], words[random.IntN(len(words))], random.IntN(1000))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("File%d.php", i)), []byte(text.String()), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func BenchmarkPack(b *testing.B) {
	root := *benchTree
	if root == "" {
		root = phpTree(b, 10000)
	}
	for _, comp := range []layer.Compression{layer.Zstd, layer.Gzip} {
		b.Run(string(comp), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := layer.Pack(context.Background(), root, layer.Spec{Name: "bench"}, comp, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(d.UncompressedSize)
				b.ReportMetric(float64(d.Files), "files")
				b.ReportMetric(float64(d.Size)/1e6, "MB")
			}
		})
	}
}
