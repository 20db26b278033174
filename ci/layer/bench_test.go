package layer_test

import (
	"bytes"
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
		must(tb, os.MkdirAll(dir, 0o755))
		text.Reset()
		for size := 200 + random.IntN(18000); text.Len() < size; {
			fmt.Fprintf(&text, "%s %s%d(); ", words[random.IntN(len(words))], words[random.IntN(len(words))], random.IntN(1000))
		}
		must(tb, os.WriteFile(filepath.Join(dir, fmt.Sprintf("File%d.php", i)), []byte(text.String()), 0o644))
	}
	return root
}

func benchRoot(b *testing.B) string {
	if *benchTree != "" {
		return *benchTree
	}
	return phpTree(b, 10000)
}

// BenchmarkPack packs 10,000 files, or what -tree names, as a layer.
func BenchmarkPack(b *testing.B) {
	root := benchRoot(b)
	for _, comp := range []layer.Compression{layer.Zstd, layer.Gzip} {
		b.Run(string(comp), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := layer.Pack(b.Context(), root, layer.Spec{Name: "bench"}, comp, io.Discard)
				must(b, err)
				b.SetBytes(d.UncompressedSize)
				b.ReportMetric(float64(d.Files), "files")
				b.ReportMetric(float64(d.Size)/1e6, "MB")
			}
		})
	}
}

func BenchmarkGzipSiblings(b *testing.B) {
	root := b.TempDir()
	for i := range 1000 {
		text := strings.Repeat(fmt.Sprintf("define(['jquery', 'mage/%d'], function ($) { return %d; });\n", i, i*i), 100)
		must(b, os.WriteFile(filepath.Join(root, fmt.Sprintf("%d.js", i)), []byte(text), 0o644))
		b.SetBytes(int64(len(text)) * 1000)
	}
	for b.Loop() {
		_, err := layer.Pack(b.Context(), root, layer.Spec{GzipSiblings: true}, layer.Zstd, io.Discard)
		must(b, err)
	}
}

// BenchmarkUnpack unpacks the same.
func BenchmarkUnpack(b *testing.B) {
	d, blob := pack(b, benchRoot(b), layer.Spec{Name: "bench"}, layer.Zstd)
	b.SetBytes(d.UncompressedSize)
	dest := b.TempDir()
	i := 0
	for b.Loop() {
		i++
		must(b, layer.Unpack(b.Context(), bytes.NewReader(blob), d.MediaType, filepath.Join(dest, fmt.Sprint(i)), ""))
	}
}
