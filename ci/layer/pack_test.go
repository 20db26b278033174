package layer_test

import (
	"archive/tar"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/magecloudkit/pipeline/ci/layer"
)

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
