package layer_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// node is a file of a test's tree: a link when link is set, a directory when its path ends in a slash.
type node struct {
	content    string
	link       string
	executable bool
}

// tree is a test's tree by path.
type tree map[string]node

// write makes the tree on disk, in the order of paths if random is nil.
func (t tree) write(tb testing.TB, root string, random *rand.Rand) {
	tb.Helper()
	paths := make([]string, 0, len(t))
	for p := range t {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	if random != nil {
		random.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	}
	for _, p := range paths {
		n, full := t[p], filepath.Join(root, p)
		if strings.HasSuffix(p, "/") {
			must(tb, os.MkdirAll(full, 0o777))
			continue
		}
		must(tb, os.MkdirAll(filepath.Dir(full), 0o777))
		if n.link != "" {
			must(tb, os.Symlink(n.link, full))
			continue
		}
		mode := fs.FileMode(0o666)
		if n.executable {
			mode = 0o777
		}
		must(tb, os.WriteFile(full, []byte(n.content), mode))
	}
}

func newTree(tb testing.TB, t tree) string {
	tb.Helper()
	root := tb.TempDir()
	t.write(tb, root, nil)
	return root
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func pack(tb testing.TB, root string, spec layer.Spec, comp layer.Compression) (layer.Descriptor, []byte) {
	tb.Helper()
	var b bytes.Buffer
	d, err := layer.Pack(tb.Context(), root, spec, comp, &b)
	must(tb, err)
	return d, b.Bytes()
}

// list describes a layer's entries, one line each.
func list(tb testing.TB, blob []byte, mediaType string) []string {
	tb.Helper()
	var out []string
	must(tb, layer.Walk(bytes.NewReader(blob), mediaType, func(h *tar.Header, r io.Reader) error {
		line := fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if h.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			line += " " + summary(content)
		}
		out = append(out, line)
		return nil
	}))
	return out
}

func summary(content []byte) string {
	if len(content) > 40 || bytes.IndexByte(content, 0) >= 0 {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%q", content)
}

// store is a tree with the kinds of things that a store has.
func store() tree {
	random := rand.New(rand.NewPCG(7, 7))
	large := make([]byte, 700<<10) // more than is read ahead
	for i := range large {
		large[i] = "abcdefgh \n"[random.IntN(10)]
	}
	return tree{
		"bin/magento":                    {content: "#!/usr/bin/env php\n", executable: true},
		"vendor/autoload.php":            {content: "<?php // autoload"},
		"vendor/a/b/Model.php":           {content: "<?php // model"},
		"vendor/a/b/Test/Unit/X.php":     {content: "<?php // test"},
		"vendor/a/b-c/Model.php":         {content: "<?php // other"},
		"vendor/a/b.php":                 {content: "<?php // sorts between b and b/"},
		"vendor/bin/tool":                {link: "../a/b/Model.php"},
		"vendor/large.bin":               {content: string(large)},
		"vendor/empty/":                  {},
		"pub/static/frontend/x.js":       {content: strings.Repeat("function x() {}\n", 200)},
		"pub/static/frontend/short.js":   {content: "1"},
		"pub/static/frontend/random.txt": {content: noise(5000)},
		"pub/static/frontend/pic.png":    {content: strings.Repeat("png", 2000)},
	}
}

func noise(n int) string {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return string(b)
}

// onWrite calls do once, on the first write.
type onWrite struct{ do func() }

func (w *onWrite) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return len(p), nil
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// files lists the files below a directory.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	var out []string
	must(tb, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(p, dir))
		}
		return err
	}))
	return out
}
