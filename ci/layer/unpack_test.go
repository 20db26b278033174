package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// plain makes an uncompressed layer of headers; a regular file's content is its name.
func plain(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		must(tb, tw.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write([]byte(h.Name))
			must(tb, err)
		}
	}
	must(tb, tw.Close())
	return b.Bytes()
}

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
func dir(name string) tar.Header  { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hardLink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// onDisk describes what is below a directory, one line each.
func onDisk(tb testing.TB, root string) []string {
	tb.Helper()
	var out []string
	must(tb, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel := strings.TrimPrefix(p, root+"/")
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			out = append(out, fmt.Sprintf("d %o %s", info.Mode().Perm(), rel))
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			out = append(out, "l "+rel+" -> "+to)
		default:
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("f %o %s %s", info.Mode().Perm(), rel, summary(content)))
		}
		return nil
	}))
	return out
}

func TestRoundTrip(t *testing.T) {
	content := store()
	for name, n := range map[string]node{
		"with space/file name.txt":                 {content: "space"},
		"ünïcödé/日本語/файл":                         {content: "unicode"},
		"new\nline":                                {content: "newline"},
		"back\\slash*?[x]":                         {content: "pattern"},
		"bad-\xff-utf8":                            {content: "bytes"},
		strings.Repeat("long/", 40) + "file":       {content: "a path of more than 100 bytes"},
		strings.Repeat("n", 250):                   {content: "a name of 250 bytes"},
		"links/long":                               {link: strings.Repeat("somewhere/", 30) + "x"},
		"links/unicode":                            {link: "../ünïcödé"},
		"links/absolute":                           {link: "/etc/passwd"},
		"links/broken":                             {link: "nowhere"},
		"links/up":                                 {link: "../../../../.."},
		"-starts-with-a-dash":                      {content: "dash"},
		"empty file":                               {},
		strings.Repeat("d", 90) + "/x/deep/empty/": {},
	} {
		content[name] = n
	}
	root := newTree(t, content)
	hole, err := os.Create(filepath.Join(root, "hole"))
	must(t, err)
	must(t, hole.Truncate(9<<20))
	_, err = hole.WriteAt([]byte("end"), 9<<20-3)
	must(t, errors.Join(err, hole.Close()))
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o755)
		}
		return err
	}))

	for _, comp := range []layer.Compression{layer.Zstd, layer.Gzip} {
		for _, prefix := range []string{"", "var/www/html"} {
			t.Run(string(comp)+" "+prefix, func(t *testing.T) {
				spec := layer.Spec{Name: "all", Prefix: prefix}
				d, blob := pack(t, root, spec, comp)
				old := syscall.Umask(0o027)
				defer syscall.Umask(old)
				dest := filepath.Join(t.TempDir(), "not/there/yet")
				must(t, layer.Unpack(t.Context(), bytes.NewReader(blob), d.MediaType, dest, prefix))
				syscall.Umask(old)
				if diff := cmp.Diff(onDisk(t, root), onDisk(t, dest)); diff != "" {
					t.Errorf("(-packed +unpacked):\n%s", diff)
				}
				if again, _ := pack(t, dest, spec, comp); again != d {
					t.Errorf("packed: %+v\nunpacked and packed again: %+v", d, again)
				}
				// Over what is there.
				must(t, layer.Unpack(t.Context(), bytes.NewReader(blob), d.MediaType, dest, prefix))
				if diff := cmp.Diff(onDisk(t, root), onDisk(t, dest)); diff != "" {
					t.Errorf("unpacked again (-packed +unpacked):\n%s", diff)
				}
			})
		}
	}
}

func TestUnpackLayersOverEachOther(t *testing.T) {
	dest := t.TempDir()
	lower := plain(t, dir("etc/"), file("etc/a"), file("etc/b"), dir("etc/sub/"), file("etc/sub/x"), file("srv"), dir("opt/"), file("opt/keep"), file("opt/gone"), dir("was-dir/"), file("was-dir/f"), link("was-link", "etc"))
	upper := plain(t,
		file("etc/.wh.a"), file("etc/.wh.sub"), file("etc/.wh.never-was"),
		dir("srv/"), file("srv/f"), // a directory replaces a file
		file("opt/new"), file("opt/.wh..wh..opq"), // spares what this layer has, wherever the mark stands
		file("was-dir"),                      // a file replaces a directory
		dir("was-link/"), file("was-link/f"), // a directory replaces a link
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/b", Mode: 0o4640}, hardLink("etc/c", "etc/b"),
		tar.Header{Typeflag: tar.TypeDir, Name: "locked/", Mode: 0o555}, file("locked/f"),
		link("link", "etc/b"), file("implied/parents/f"),
	)
	for _, blob := range [][]byte{lower, upper} {
		must(t, layer.Unpack(t.Context(), bytes.NewReader(blob), layer.MediaTypeTar, dest, ""))
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dest, "locked"), 0o755) })
	want := []string{
		"d 755 etc",
		`f 640 etc/b "etc/b"`,
		`f 640 etc/c "etc/b"`,
		"d 755 implied",
		"d 755 implied/parents",
		`f 755 implied/parents/f "implied/parents/f"`,
		"l link -> etc/b",
		"d 555 locked",
		`f 755 locked/f "locked/f"`,
		"d 755 opt",
		`f 755 opt/new "opt/new"`,
		"d 755 srv",
		`f 755 srv/f "srv/f"`,
		`f 755 was-dir "was-dir"`,
		"d 755 was-link",
		`f 755 was-link/f "was-link/f"`,
	}
	if diff := cmp.Diff(want, onDisk(t, dest)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnpackStripsPrefix(t *testing.T) {
	dest := t.TempDir()
	blob := plain(t, dir("var/"), dir("var/www/"), file("var/www/out"), file("var/wwwhtml"), dir("var/www/html/"), file("./var/www/html/a"), file("/var/www/html/b/c"), hardLink("var/www/html/d", "var/www/html/a"), file("var/www/.wh.html"), file("var/www/html/b/.wh.c"))
	must(t, layer.Unpack(t.Context(), bytes.NewReader(blob), layer.MediaTypeTar, dest, "var/www/html"))
	want := []string{`f 755 a "./var/www/html/a"`, "d 755 b", `f 755 d "./var/www/html/a"`}
	if diff := cmp.Diff(want, onDisk(t, dest)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	outside := plain(t, file("etc/passwd"), hardLink("var/www/html/x", "etc/passwd"))
	if err := layer.Unpack(t.Context(), bytes.NewReader(outside), layer.MediaTypeTar, dest, "var/www/html"); err == nil || !strings.Contains(err.Error(), "etc/passwd") {
		t.Errorf("a hard link to what is not unpacked: %v", err)
	}
	if err := layer.Unpack(t.Context(), bytes.NewReader(blob), layer.MediaTypeTar, dest, "/var"); err == nil {
		t.Error("no error for an absolute prefix")
	}
}

// TestUnpackStaysInside unpacks layers that try to write or delete outside. Whether that is an error or ends up inside, the
// outside must be as it was.
func TestUnpackStaysInside(t *testing.T) {
	for _, test := range []struct {
		name    string
		refused bool
		headers func(outside string) []tar.Header
	}{
		{"parent", true, func(string) []tar.Header { return []tar.Header{file("../victim")} }},
		{"parent in the middle", true, func(string) []tar.Header { return []tar.Header{dir("a/"), file("a/../../outside/victim")} }},
		{"parent directory entry", true, func(string) []tar.Header { return []tar.Header{dir("../outside/new/")} }},
		{"absolute", false, func(out string) []tar.Header { return []tar.Header{file(out + "/victim")} }},
		{"through an absolute link", true, func(out string) []tar.Header { return []tar.Header{link("a", out), file("a/victim")} }},
		{"through a relative link", true, func(string) []tar.Header { return []tar.Header{link("a", "../outside"), file("a/victim")} }},
		{"through a link to a link", true, func(string) []tar.Header {
			return []tar.Header{link("a", ".."), link("b", "a/outside"), file("b/victim")}
		}},
		{"directory through a link", true, func(out string) []tar.Header { return []tar.Header{link("a", out), dir("a/new/")} }},
		{"directory over a link", false, func(out string) []tar.Header {
			return []tar.Header{link("a", out), {Typeflag: tar.TypeDir, Name: "a/", Mode: 0o700}, file("a/victim")}
		}},
		{"link through a link", true, func(out string) []tar.Header { return []tar.Header{link("a", out), link("a/new", "x")} }},
		{"file over a link to a file", false, func(out string) []tar.Header {
			return []tar.Header{link("a", out+"/victim"), file("a")}
		}},
		{"directory swapped for a link", true, func(out string) []tar.Header {
			return []tar.Header{dir("a/"), file("a/x"), link("a", out), file("a/victim")}
		}},
		{"directory's mode through a link", false, func(out string) []tar.Header {
			return []tar.Header{{Typeflag: tar.TypeDir, Name: "a/", Mode: 0o700}, link("a", out)}
		}},
		{"hard link to the outside", true, func(string) []tar.Header { return []tar.Header{hardLink("a", "../outside/victim"), file("a")} }},
		{"hard link through a link", true, func(out string) []tar.Header {
			return []tar.Header{link("d", out), hardLink("a", "d/victim")}
		}},
		{"hard link to an absolute name", true, func(out string) []tar.Header { return []tar.Header{hardLink("a", out+"/victim")} }},
		{"whiteout of the parent", true, func(string) []tar.Header { return []tar.Header{file(".wh...")} }},
		{"whiteout of the root", true, func(string) []tar.Header { return []tar.Header{file(".wh..")} }},
		{"whiteout of nothing", true, func(string) []tar.Header { return []tar.Header{file(".wh.")} }},
		{"whiteout through a link", true, func(out string) []tar.Header { return []tar.Header{link("a", out), file("a/.wh.victim")} }},
		{"whiteout of a link", false, func(out string) []tar.Header { return []tar.Header{link("a", out), file(".wh.a")} }},
		{"opaque through a link", true, func(out string) []tar.Header { return []tar.Header{link("a", out), file("a/.wh..wh..opq")} }},
		{"root as a file", true, func(string) []tar.Header { return []tar.Header{file(".")} }},
		{"root as a link", true, func(out string) []tar.Header { return []tar.Header{link(".", out)} }},
		{"device", true, func(string) []tar.Header {
			return []tar.Header{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}
		}},
		{"named pipe", true, func(string) []tar.Header { return []tar.Header{{Typeflag: tar.TypeFifo, Name: "pipe"}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := t.TempDir()
			outside := filepath.Join(top, "outside")
			must(t, os.Mkdir(outside, 0o755))
			must(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("unharmed"), 0o644))
			dest := filepath.Join(top, "dest")
			err := layer.Unpack(t.Context(), bytes.NewReader(plain(t, test.headers(outside)...)), layer.MediaTypeTar, dest, "")
			if (err != nil) != test.refused {
				t.Errorf("error: %v", err)
			}
			must(t, os.RemoveAll(dest))
			want := []string{"d 755 outside", `f 644 outside/victim "unharmed"`}
			if diff := cmp.Diff(want, onDisk(t, top)); diff != "" {
				t.Errorf("the outside (-before +after):\n%s", diff)
			}
		})
	}
}

func TestBrokenLayers(t *testing.T) {
	d, blob := pack(t, newTree(t, store()), layer.Spec{}, layer.Zstd)
	dg, gz := pack(t, newTree(t, store()), layer.Spec{}, layer.Gzip)
	ignore := func(*tar.Header, io.Reader) error { return nil }
	flipped := bytes.Clone(blob)
	flipped[len(flipped)-1] ^= 1 // in the checksum
	for _, test := range []struct {
		name, mediaType string
		blob            []byte
	}{
		{"zstd cut short", d.MediaType, blob[:len(blob)/2]},
		{"zstd without its checksum", d.MediaType, blob[:len(blob)-4]},
		{"zstd with another checksum", d.MediaType, flipped},
		{"gzip cut short", dg.MediaType, gz[:len(gz)/2]},
		{"gzip without its checksum", dg.MediaType, gz[:len(gz)-8]},
		{"gzip called zstd", d.MediaType, gz},
		{"zstd called gzip", dg.MediaType, blob},
		{"empty gzip", dg.MediaType, nil},
		{"empty zstd", d.MediaType, nil},
		{"no tar", layer.MediaTypeTar, []byte(strings.Repeat("x", 2048))},
		{"unknown media type", "application/json", blob},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := layer.Walk(bytes.NewReader(test.blob), test.mediaType, ignore); err == nil {
				t.Error("Walk: no error")
			}
			if err := layer.Unpack(t.Context(), bytes.NewReader(test.blob), test.mediaType, t.TempDir(), ""); err == nil {
				t.Error("Unpack: no error")
			}
		})
	}
	stop := errors.New("seen enough")
	if err := layer.Walk(bytes.NewReader(blob), d.MediaType, func(*tar.Header, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Walk's callback failed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := layer.Unpack(ctx, bytes.NewReader(blob), d.MediaType, t.TempDir(), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Unpack was cancelled: %v", err)
	}
}

// FuzzUnpack feeds headers that nobody would write. Whatever they say, the directory beside the destination stays as it is.
func FuzzUnpack(f *testing.F) {
	for _, name := range []string{"a", "a/b", "../x", "/x", "a/../../x", ".wh.a", ".wh..wh..opq", "./", "", "a//b", ".wh..."} {
		for _, typ := range []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo} {
			f.Add(name, "../outside", typ, "a/victim", typ, "")
		}
	}
	f.Add("a", "../outside", byte(tar.TypeSymlink), "a/victim", byte(tar.TypeReg), "")
	f.Add("p/a", "../../outside", byte(tar.TypeSymlink), "p/a/victim", byte(tar.TypeReg), "p")
	f.Fuzz(func(t *testing.T, name1, linkname string, type1 byte, name2 string, type2 byte, prefix string) {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, h := range []tar.Header{
			{Name: name1, Linkname: linkname, Typeflag: type1, Mode: 0o755},
			{Name: name2, Linkname: name1, Typeflag: type2, Mode: 0o755},
			{Name: name2, Typeflag: tar.TypeReg, Mode: 0o755},
		} {
			if tw.WriteHeader(&h) != nil {
				return // not a header that can be written
			}
		}
		must(t, tw.Close())
		top := t.TempDir()
		outside := filepath.Join(top, "outside")
		must(t, os.Mkdir(outside, 0o755))
		must(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("unharmed"), 0o644))
		dest := filepath.Join(top, "dest")
		_ = layer.Unpack(t.Context(), &b, layer.MediaTypeTar, dest, prefix)
		must(t, os.RemoveAll(dest))
		want := []string{"d 755 outside", `f 644 outside/victim "unharmed"`}
		if diff := cmp.Diff(want, onDisk(t, top)); diff != "" {
			t.Errorf("the outside (-before +after):\n%s", diff)
		}
	})
}
