package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

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

// TestSameContentSameBytes packs one content as it may come to be on different machines.
func TestSameContentSameBytes(t *testing.T) {
	spec := layer.Spec{
		Name: "all", Prefix: "var/www/html",
		Owned: []layer.Owned{{Path: "var", UID: 33, GID: 33}},
		Files: []layer.File{{Path: "pub/REVISION.txt", Content: []byte("abc")}},
	}
	for _, comp := range []layer.Compression{layer.Zstd, layer.Gzip} {
		t.Run(string(comp), func(t *testing.T) {
			root := newTree(t, store())
			want, wantBytes := pack(t, root, spec, comp)
			check := func(t *testing.T, root string) {
				t.Helper()
				got, gotBytes := pack(t, root, spec, comp)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("descriptor (-first +second):\n%s", diff)
				}
				if !bytes.Equal(wantBytes, gotBytes) {
					t.Error("the blobs differ")
				}
			}
			t.Run("order of creation", func(t *testing.T) {
				root := t.TempDir()
				store().write(t, root, rand.New(rand.NewPCG(1, 1)))
				check(t, root)
			})
			t.Run("umask and modes", func(t *testing.T) {
				old := syscall.Umask(0o077)
				defer syscall.Umask(old)
				check(t, newTree(t, store()))
			})
			t.Run("times", func(t *testing.T) {
				root := newTree(t, store())
				i := 0
				must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
					i++
					if err != nil || d.Type()&fs.ModeSymlink != 0 {
						return err
					}
					at := time.Date(2000+i, 1, 1, 0, 0, 0, i, time.UTC)
					return os.Chtimes(p, at, at)
				}))
				check(t, root)
			})
			t.Run("owners", func(t *testing.T) {
				if os.Getuid() != 0 {
					t.Skip("giving files to others takes root")
				}
				root := newTree(t, store())
				must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
					return errors.Join(err, os.Lchown(p, 1234, 4321))
				}))
				check(t, root)
			})
			t.Run("hard links", func(t *testing.T) {
				root := newTree(t, store())
				must(t, os.Remove(filepath.Join(root, "vendor/autoload.php")))
				other := filepath.Join(t.TempDir(), "other")
				must(t, os.WriteFile(other, []byte("<?php // autoload"), 0o644))
				must(t, os.Link(other, filepath.Join(root, "vendor/autoload.php")))
				check(t, root)
			})
			for _, n := range []int{1, 3, 8} {
				t.Run(fmt.Sprintf("%d processors", n), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
					check(t, root)
				})
			}
			t.Run("another content", func(t *testing.T) {
				root := newTree(t, store())
				must(t, os.WriteFile(filepath.Join(root, "vendor/autoload.php"), []byte("<?php // AUTOLOAD"), 0o644))
				if got, _ := pack(t, root, spec, comp); got.Digest == want.Digest || got.DiffID == want.DiffID {
					t.Error("another content has the same digest")
				}
			})
		})
	}
}

// TestProcessorsDoNotChangeLargeLayers packs more than the compressor hands to one goroutine.
func TestProcessorsDoNotChangeLargeLayers(t *testing.T) {
	// What repeats at such a distance is found again by some ways to cut the work up and not by others.
	piece := noise(1 << 20)
	var b strings.Builder
	for i := range 40 {
		fmt.Fprint(&b, i, piece)
	}
	root := newTree(t, tree{"large": {content: b.String()}})
	want, _ := pack(t, root, layer.Spec{Name: "large"}, layer.Zstd)
	for _, n := range []int{1, 5} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
			if got, _ := pack(t, root, layer.Spec{Name: "large"}, layer.Zstd); got != want {
				t.Errorf("with %d processors:\n%+v\nbefore:\n%+v", n, got, want)
			}
		}()
	}
}

func TestDescriptorIsTrue(t *testing.T) {
	root := newTree(t, store())
	for comp, mediaType := range map[layer.Compression]string{
		"":         "application/vnd.oci.image.layer.v1.tar+zstd",
		layer.Zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
		layer.Gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
	} {
		d, blob := pack(t, root, layer.Spec{Name: "all"}, comp)
		r, err := layer.Decompress(bytes.NewReader(blob), d.MediaType)
		must(t, err)
		plain, err := io.ReadAll(r)
		must(t, err)
		want := layer.Descriptor{
			Name: "all", MediaType: mediaType, Files: 12,
			Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(blob)), Size: int64(len(blob)),
			DiffID: fmt.Sprintf("sha256:%x", sha256.Sum256(plain)), UncompressedSize: int64(len(plain)),
		}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("%q (-want +got):\n%s", comp, diff)
		}
	}
}

func TestEntries(t *testing.T) {
	root := newTree(t, store())
	must(t, os.Chmod(filepath.Join(root, "vendor/autoload.php"), 0o600))
	must(t, os.Chmod(filepath.Join(root, "bin/magento"), 0o701))
	large := summary([]byte(store()["vendor/large.bin"].content))
	for _, test := range []struct {
		name string
		spec layer.Spec
		want []string
	}{
		{
			"a directory below a prefix, in order, its parents once",
			layer.Spec{Include: []string{"vendor"}, Prefix: "var/www/html"},
			[]string{
				"5 0755 0:0 var/",
				"5 0755 0:0 var/www/",
				"5 0755 0:0 var/www/html/",
				"5 0755 0:0 var/www/html/vendor/",
				"5 0755 0:0 var/www/html/vendor/a/",
				"5 0755 0:0 var/www/html/vendor/a/b/",
				`0 0644 0:0 var/www/html/vendor/a/b/Model.php "<?php // model"`,
				"5 0755 0:0 var/www/html/vendor/a/b/Test/",
				"5 0755 0:0 var/www/html/vendor/a/b/Test/Unit/",
				`0 0644 0:0 var/www/html/vendor/a/b/Test/Unit/X.php "<?php // test"`,
				"5 0755 0:0 var/www/html/vendor/a/b-c/",
				`0 0644 0:0 var/www/html/vendor/a/b-c/Model.php "<?php // other"`,
				`0 0644 0:0 var/www/html/vendor/a/b.php "<?php // sorts between b and b/"`,
				`0 0644 0:0 var/www/html/vendor/autoload.php "<?php // autoload"`,
				"5 0755 0:0 var/www/html/vendor/bin/",
				"2 0777 0:0 var/www/html/vendor/bin/tool -> ../a/b/Model.php",
				"5 0755 0:0 var/www/html/vendor/empty/",
				"0 0644 0:0 var/www/html/vendor/large.bin " + large,
			},
		},
		{
			"excludes prune, single paths, and an owner",
			layer.Spec{
				Include: []string{"vendor/a", "bin/magento", "vendor/a/b.php"}, Exclude: []string{"vendor/*/*/Test/**", "**/b-c"},
				Optional: []string{"generated", "vendor/autoload.php", "nowhere/at/all"}, UID: 33, GID: 44,
			},
			[]string{
				"5 0755 33:44 bin/",
				`0 0755 33:44 bin/magento "#!/usr/bin/env php\n"`,
				"5 0755 33:44 vendor/",
				"5 0755 33:44 vendor/a/",
				"5 0755 33:44 vendor/a/b/",
				`0 0644 33:44 vendor/a/b/Model.php "<?php // model"`,
				`0 0644 33:44 vendor/a/b.php "<?php // sorts between b and b/"`,
				`0 0644 33:44 vendor/autoload.php "<?php // autoload"`,
			},
		},
		{
			"owned paths, there or not, and given files",
			layer.Spec{
				Include: []string{"bin"}, Prefix: "app",
				Owned: []layer.Owned{
					{Path: "pub/media", UID: 33, GID: 33, DirMode: 0o2775},
					{Path: "var", UID: 33, GID: 33},
					{Path: "var/root", DirMode: 0o700},
					{Path: "bin/magento", UID: 7, GID: 8},
				},
				Files: []layer.File{
					{Path: "bin/magento", Content: []byte("another")},
					{Path: "bin/run", Content: []byte("run"), Executable: true},
					{Path: "var/.keep"},
				},
			},
			[]string{
				"5 0755 0:0 app/",
				"5 0755 0:0 app/bin/",
				`0 0644 7:8 app/bin/magento "another"`,
				`0 0755 0:0 app/bin/run "run"`,
				"5 0755 0:0 app/pub/",
				"5 2775 33:33 app/pub/media/",
				"5 0755 33:33 app/var/",
				`0 0644 33:33 app/var/.keep ""`,
				"5 0700 0:0 app/var/root/",
			},
		},
		{
			"pre-compressed siblings, and only the directories they are in",
			layer.Spec{Prefix: "srv", GzipSiblings: true},
			[]string{
				"5 0755 0:0 srv/",
				"5 0755 0:0 srv/pub/",
				"5 0755 0:0 srv/pub/static/",
				"5 0755 0:0 srv/pub/static/frontend/",
				"0 0644 0:0 srv/pub/static/frontend/x.js.gz GZIP",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, blob := pack(t, root, test.spec, layer.Zstd)
			got := list(t, blob, d.MediaType)
			for i, line := range got {
				if strings.Contains(line, ".gz ") {
					got[i] = line[:strings.LastIndex(line, " ")] + " GZIP"
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			must(t, layer.Walk(bytes.NewReader(blob), d.MediaType, func(h *tar.Header, _ io.Reader) error {
				if !h.ModTime.Equal(layer.Epoch) || h.Uname != "" || h.Gname != "" || len(h.PAXRecords) > 0 {
					t.Errorf("%s: time %s, user %q, group %q, records %v", h.Name, h.ModTime, h.Uname, h.Gname, h.PAXRecords)
				}
				return nil
			}))
		})
	}
}

func TestNoTree(t *testing.T) {
	d, blob := pack(t, "", layer.Spec{Name: "revision", Prefix: "srv", Files: []layer.File{{Path: "REVISION.txt", Content: []byte("1")}}}, layer.Zstd)
	want := []string{"5 0755 0:0 srv/", `0 0644 0:0 srv/REVISION.txt "1"`}
	if diff := cmp.Diff(want, list(t, blob, d.MediaType)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSiblings(t *testing.T) {
	script := strings.Repeat("function x() {}\n", 200)
	root := newTree(t, tree{
		"a.js":      {content: script},
		"b.js":      {content: script},
		"b.js.gz":   {content: "made by the theme's own build"},
		"link.js":   {link: "a.js"},
		"UPPER.CSS": {content: script},
	})
	d, blob := pack(t, root, layer.Spec{GzipSiblings: true}, layer.Zstd)
	var names []string
	must(t, layer.Walk(bytes.NewReader(blob), d.MediaType, func(h *tar.Header, r io.Reader) error {
		names = append(names, h.Name)
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(z)
		if err != nil {
			return err
		}
		if string(content) != script || z.Name != "" || z.ModTime.Unix() > 0 {
			t.Errorf("%s: %d bytes, name %q, time %s", h.Name, len(content), z.Name, z.ModTime)
		}
		return nil
	}))
	if diff := cmp.Diff([]string{"UPPER.CSS.gz", "a.js.gz"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 5 {
		t.Errorf("packing has changed the tree: %v %v", entries, err)
	}
}

func TestPackRefuses(t *testing.T) {
	root := newTree(t, tree{
		"app/code.php":     {content: "x"},
		"app/link":         {link: "../elsewhere"},
		"elsewhere/f":      {content: "x"},
		"white/.wh.config": {content: "x"},
		"special/":         {},
	})
	must(t, syscall.Mkfifo(filepath.Join(root, "special/pipe"), 0o644))
	dir, err := os.MkdirTemp("", "s") // the path of a socket is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, err := net.Listen("unix", filepath.Join(dir, "sock"))
	must(t, err)
	defer socket.Close()

	for _, test := range []struct {
		name string
		root string
		spec layer.Spec
		want []string // parts of the error
	}{
		{"an include that is not there", root, layer.Spec{Include: []string{"app", "generated"}}, []string{`"L"`, "generated", "no such file"}},
		{"an include below a link", root, layer.Spec{Include: []string{"app/link/f"}}, []string{"app/link/f", "app/link is not a directory"}},
		{"a path that leads out", root, layer.Spec{Include: []string{"../x"}}, []string{`"../x"`, "clean relative path"}},
		{"an absolute prefix", root, layer.Spec{Prefix: "/srv"}, []string{`"/srv"`, "clean relative path"}},
		{"an owned path that leads out", root, layer.Spec{Owned: []layer.Owned{{Path: "a/../../b"}}}, []string{"a/../../b"}},
		{"a file without a name", root, layer.Spec{Files: []layer.File{{Path: "."}}}, []string{`"."`}},
		{"a bad pattern", root, layer.Spec{Exclude: []string{"a/[b"}}, []string{"a/[b", "not a valid pattern"}},
		{"an absolute pattern", root, layer.Spec{Exclude: []string{"/vendor/**"}}, []string{"/vendor/**", "relative"}},
		{"a whiteout", root, layer.Spec{Include: []string{"white"}}, []string{"white/.wh.config", "config is deleted"}},
		{"a named pipe", root, layer.Spec{Include: []string{"special"}}, []string{"special/pipe", "named pipe"}},
		{"a socket", dir, layer.Spec{}, []string{"sock", "is a socket"}},
		{"a file where a directory is", root, layer.Spec{Include: []string{"app"}, Files: []layer.File{{Path: "app"}}}, []string{"app", "a directory and a file"}},
		{"a file below a link", root, layer.Spec{Include: []string{"app"}, Files: []layer.File{{Path: "app/link/x"}}}, []string{"app/link", "a directory and a file"}},
		{"a tree that is not there", filepath.Join(root, "none"), layer.Spec{}, []string{"none", "no such file"}},
		{"a tree that is a file", filepath.Join(root, "app/code.php"), layer.Spec{}, []string{"app/code.php", "not a directory"}},
		{"files of no tree", "", layer.Spec{Include: []string{"app"}}, []string{"no tree"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Name = "L"
			var b bytes.Buffer
			_, err := layer.Pack(t.Context(), test.root, test.spec, layer.Zstd, &b)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if b.Len() > 0 {
				t.Errorf("%d bytes were written before the error", b.Len())
			}
		})
	}
	if _, err := layer.Pack(t.Context(), root, layer.Spec{Include: []string{"app"}}, "xz", io.Discard); err == nil || !strings.Contains(err.Error(), `"xz"`) {
		t.Errorf("compression xz: %v", err)
	}
}

func TestExcludedIsNotLookedAt(t *testing.T) {
	root := newTree(t, tree{"a": {content: "a"}, "dev/x/": {}, "rel/{b}/": {}})
	must(t, syscall.Mkfifo(filepath.Join(root, "dev/x/pipe"), 0o644))
	must(t, syscall.Mkfifo(filepath.Join(root, "rel/{b}/pipe"), 0o644))
	d, blob := pack(t, root, layer.Spec{Exclude: []string{"dev/*", `rel/\{b\}`}}, layer.Zstd)
	if diff := cmp.Diff([]string{`0 0644 0:0 a "a"`, "5 0755 0:0 dev/", "5 0755 0:0 rel/"}, list(t, blob, d.MediaType)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeep(t *testing.T) {
	root := newTree(t, tree{
		"v/a/Test/a.php": {content: "a"}, "v/b/Test/b.php": {content: "b"}, "v/b/Test/Test/deep.php": {content: "c"}, "v/b/Test/auth.json": {content: "{}"},
	})
	d, blob := pack(t, root, layer.Spec{Exclude: []string{"**/Test", "**/auth.json"}, Keep: []string{"v/b/Test", "v/c/Test"}}, layer.Zstd)
	want := []string{"5 0755 0:0 v/", "5 0755 0:0 v/a/", "5 0755 0:0 v/b/", "5 0755 0:0 v/b/Test/", `0 0644 0:0 v/b/Test/b.php "b"`}
	if diff := cmp.Diff(want, list(t, blob, d.MediaType)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
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

// TestTreeChangesWhilePacking changes the tree when the layer's first bytes come out. The first file is larger than all
// buffers between, so it is still being read then, and the last file is beyond what is read ahead.
func TestTreeChangesWhilePacking(t *testing.T) {
	for _, test := range []struct {
		name, file, want string
		change           func(file string) error
	}{
		{"vanishes", "z", "vanished", os.Remove},
		{"becomes a link", "z", "changed", func(f string) error { return errors.Join(os.Remove(f), os.Symlink("a", f)) }},
		{"becomes a directory", "z", "changed", func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o755)) }},
		{"becomes a pipe", "z", "changed", func(f string) error { return errors.Join(os.Remove(f), syscall.Mkfifo(f, 0o644)) }},
		{"grows", "a", "changed", func(f string) error {
			w, err := os.OpenFile(f, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = w.WriteString("more")
			return errors.Join(err, w.Close())
		}},
		{"shrinks", "a", "changed", func(f string) error { return os.Truncate(f, 6<<20) }},
		{"is rewritten", "a", "changed", func(f string) error {
			w, err := os.OpenFile(f, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = w.WriteString("other")
			return errors.Join(err, w.Close(), os.Chtimes(f, time.Time{}, time.Unix(1, 0)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := tree{"a": {content: strings.Repeat("x", 7<<20)}, "z": {content: "last"}}
			for i := range 300 {
				content[fmt.Sprintf("m%d", i)] = node{content: "m"}
			}
			root := newTree(t, content)
			file := filepath.Join(root, test.file)
			w := &onWrite{do: func() { must(t, test.change(file)) }}
			_, err := layer.Pack(t.Context(), root, layer.Spec{Name: "L"}, layer.Gzip, w)
			if err == nil || !strings.Contains(err.Error(), file+" "+test.want+" while it was being packed") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPackReportsWriteErrors(t *testing.T) {
	root := newTree(t, tree{"a": {content: noise(30 << 20)}, "b": {content: "b"}})
	full := errors.New("no space left")
	for _, comp := range []layer.Compression{layer.Zstd, layer.Gzip} {
		if _, err := layer.Pack(t.Context(), root, layer.Spec{}, comp, failingWriter{full}); !errors.Is(err, full) {
			t.Errorf("%s: %v", comp, err)
		}
	}
}

func TestPackIsCancelled(t *testing.T) {
	content := tree{"a": {content: strings.Repeat("x", 7<<20)}}
	for i := range 300 {
		content[fmt.Sprintf("m%d", i)] = node{content: "m"}
	}
	root := newTree(t, content)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := layer.Pack(ctx, root, layer.Spec{}, layer.Gzip, &onWrite{do: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while packing: %v", err)
	}
	if _, err := layer.Pack(ctx, root, layer.Spec{}, layer.Gzip, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestPackFile(t *testing.T) {
	root, dir := newTree(t, store()), filepath.Join(t.TempDir(), "cache")
	d, err := layer.PackFile(t.Context(), root, layer.Spec{Name: "vendor", Include: []string{"vendor"}}, layer.Zstd, dir)
	must(t, err)
	read, err := layer.ReadDescriptor(dir, "vendor")
	must(t, err)
	if read != d {
		t.Errorf("packed %+v, read %+v", d, read)
	}
	blob, err := layer.Blobs(dir)(read)
	must(t, err)
	defer blob.Close()
	hash := sha256.New()
	if n, err := io.Copy(hash, blob); err != nil || n != d.Size || d.Digest != fmt.Sprintf("sha256:%x", hash.Sum(nil)) {
		t.Errorf("the blob has %d bytes and digest %x, the descriptor says %+v (%v)", n, hash.Sum(nil), d, err)
	}
	before := files(t, dir)
	if len(before) != 2 {
		t.Errorf("files: %q", before)
	}

	again, err := layer.PackFile(t.Context(), root, layer.Spec{Name: "vendor", Include: []string{"vendor"}}, layer.Zstd, dir)
	must(t, err)
	if again != d {
		t.Errorf("packed again: %+v", again)
	}
	if _, err := layer.PackFile(t.Context(), root, layer.Spec{Name: "bad", Include: []string{"none"}}, layer.Zstd, dir); err == nil {
		t.Error("no error for a missing include")
	}
	if _, err := layer.PackFile(t.Context(), root, layer.Spec{Name: "../up"}, layer.Zstd, dir); err == nil {
		t.Error("no error for a name that leads out of the directory")
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("an error has left files behind (-before +after):\n%s", diff)
	}
	if _, err := layer.ReadDescriptor(dir, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a descriptor that is not there: %v", err)
	}
	must(t, os.WriteFile(layer.DescriptorPath(dir, "evil"), []byte(`{"digest":"sha256:../../x","diffID":"x"}`), 0o644))
	if _, err := layer.ReadDescriptor(dir, "evil"); err == nil {
		t.Error("no error for a descriptor without digests")
	}
	if _, err := layer.Blobs(dir)(layer.Descriptor{Digest: "sha256:../../x"}); err == nil {
		t.Error("no error for a digest that is a path")
	}
}

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

func TestParseCompression(t *testing.T) {
	for in, want := range map[string]layer.Compression{"": layer.Zstd, "zstd": layer.Zstd, "gzip": layer.Gzip} {
		if got, err := layer.ParseCompression(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := layer.ParseCompression("xz"); err == nil || !strings.Contains(err.Error(), "zstd or gzip") {
		t.Errorf("xz: %v", err)
	}
}
