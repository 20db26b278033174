package layer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// rootfs is a root file system before something is installed into it.
func rootfs(tb testing.TB) string {
	root := newTree(tb, tree{
		"etc/config":                {content: "old"},
		"etc/same":                  {content: "same"},
		"etc/alternatives/tool":     {link: "/usr/bin/tool-1"},
		"usr/bin/tool":              {content: "1", executable: true},
		"usr/bin/replaced":          {content: "1"},
		"usr/bin/gone":              {content: "1"},
		"usr/lib/gone/a/b":          {content: "1"},
		"usr/lib/becomes-file/a":    {content: "1"},
		"usr/lib/becomes-link/a":    {content: "1"},
		"usr/lib/becomes-directory": {content: "1"},
		"usr/share/untouched/f":     {content: "1"},
		"var/cache/apt/pkgcache":    {content: "1"},
		"tmp/":                      {},
	})
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, f := range files(tb, root) {
		if info, err := os.Lstat(filepath.Join(root, f)); err == nil && info.Mode().IsRegular() {
			must(tb, os.Chtimes(filepath.Join(root, f), old, old))
		}
	}
	return root
}

// install changes it.
func install(tb testing.TB, root string) {
	at := func(p string) string { return filepath.Join(root, p) }
	must(tb, os.WriteFile(at("etc/config"), []byte("new"), 0o644)) // in place, as long as before
	info, err := os.Stat(at("usr/bin/replaced"))
	must(tb, err)
	// As dpkg does: a new file, of the same size and time.
	must(tb, os.WriteFile(at("usr/bin/replaced.dpkg-new"), []byte("2"), 0o644))
	must(tb, os.Chtimes(at("usr/bin/replaced.dpkg-new"), info.ModTime(), info.ModTime()))
	must(tb, os.Rename(at("usr/bin/replaced.dpkg-new"), at("usr/bin/replaced")))
	must(tb, os.Chmod(at("usr/bin/tool"), 0o750|os.ModeSetuid))
	must(tb, os.Remove(at("etc/alternatives/tool")))
	must(tb, os.Symlink("/usr/bin/tool-2", at("etc/alternatives/tool")))
	must(tb, os.Remove(at("usr/bin/gone")))
	for _, p := range []string{"usr/lib/gone", "usr/lib/becomes-file", "usr/lib/becomes-link", "usr/lib/becomes-directory"} {
		must(tb, os.RemoveAll(at(p)))
	}
	must(tb, os.WriteFile(at("usr/lib/becomes-file"), []byte("2"), 0o644))
	must(tb, os.Symlink("../share", at("usr/lib/becomes-link")))
	must(tb, os.MkdirAll(at("usr/lib/becomes-directory/x"), 0o755))
	must(tb, os.MkdirAll(at("opt/new/empty"), 0o755))
	must(tb, os.Chmod(at("opt/new"), 0o750))
	must(tb, os.WriteFile(at("opt/new/secret"), []byte("2"), 0o600))
	must(tb, os.Link(at("opt/new/secret"), at("opt/new/hard")))
	must(tb, syscall.Mkfifo(at("opt/new/pipe"), 0o644))
	must(tb, os.WriteFile(at("usr/share/mod.pyc"), []byte("2"), 0o644))
	must(tb, os.WriteFile(at("var/cache/apt/pkgcache"), []byte("22"), 0o644))
	must(tb, os.WriteFile(at("tmp/build.log"), []byte("2"), 0o644))
}

// unpacked is what an installation leaves behind that belongs in no layer.
var unpacked = []string{"tmp", "var/cache", "**/*.pyc"}

func TestPackChanged(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	root := rootfs(t)
	taken, err := layer.Take(root, unpacked)
	must(t, err)
	// Kept by one process, used by another.
	raw, err := json.Marshal(taken)
	must(t, err)
	var before layer.Snapshot
	must(t, json.Unmarshal(raw, &before))

	install(t, root)
	var b bytes.Buffer
	d, err := layer.PackChanged(t.Context(), "system", root, before, unpacked, layer.Zstd, &b)
	must(t, err)
	owner := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	want := []string{
		"5 0755 " + owner + " etc/",
		"5 0755 " + owner + " etc/alternatives/",
		"2 0777 " + owner + " etc/alternatives/tool -> /usr/bin/tool-2",
		`0 0644 ` + owner + ` etc/config "new"`,
		"5 0755 " + owner + " opt/",
		"5 0750 " + owner + " opt/new/",
		"5 0755 " + owner + " opt/new/empty/",
		`0 0600 ` + owner + ` opt/new/hard "2"`,
		`0 0600 ` + owner + ` opt/new/secret "2"`,
		"5 0755 " + owner + " usr/",
		"5 0755 " + owner + " usr/bin/",
		`0 0644 0:0 usr/bin/.wh.gone ""`,
		`0 0644 ` + owner + ` usr/bin/replaced "2"`,
		`0 4750 ` + owner + ` usr/bin/tool "1"`,
		"5 0755 " + owner + " usr/lib/",
		`0 0644 0:0 usr/lib/.wh.gone ""`,
		"5 0755 " + owner + " usr/lib/becomes-directory/",
		"5 0755 " + owner + " usr/lib/becomes-directory/x/",
		`0 0644 ` + owner + ` usr/lib/becomes-file "2"`,
		"2 0777 " + owner + " usr/lib/becomes-link -> ../share",
	}
	if diff := cmp.Diff(want, list(t, b.Bytes(), d.MediaType)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestChangedLayerMakesTheChange unpacks the layer over a copy of what was before.
func TestChangedLayerMakesTheChange(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	root, other := rootfs(t), rootfs(t)
	before, err := layer.Take(root, unpacked)
	must(t, err)
	install(t, root)
	dir := t.TempDir()
	d, err := layer.PackChangedFile(t.Context(), "system", root, before, unpacked, layer.Gzip, dir)
	must(t, err)
	blob, err := layer.Blobs(dir)(d)
	must(t, err)
	defer blob.Close()
	must(t, layer.Unpack(t.Context(), blob, d.MediaType, other, ""))
	// What is not of the layer's business is not in the layer.
	for _, p := range []string{"opt/new/pipe", "usr/share/mod.pyc", "tmp/build.log"} {
		must(t, os.Remove(filepath.Join(root, p)))
	}
	must(t, os.WriteFile(filepath.Join(root, "var/cache/apt/pkgcache"), []byte("1"), 0o644))
	must(t, os.Chmod(filepath.Join(root, "usr/bin/tool"), 0o750)) // Unpack drops set-user-ID bits
	if diff := cmp.Diff(onDisk(t, root), onDisk(t, other)); diff != "" {
		t.Errorf("(-changed +unpacked):\n%s", diff)
	}
}

func TestNothingChanged(t *testing.T) {
	root := rootfs(t)
	before, err := layer.Take(root, nil)
	must(t, err)
	var b bytes.Buffer
	d, err := layer.PackChanged(t.Context(), "system", root, before, nil, layer.Zstd, &b)
	must(t, err)
	if got := list(t, b.Bytes(), d.MediaType); len(got) > 0 || d.Files != 0 {
		t.Errorf("%+v holds %q", d, got)
	}
}

func TestSnapshotRefuses(t *testing.T) {
	root := rootfs(t)
	if _, err := layer.Take(filepath.Join(root, "none"), nil); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a root that is not there: %v", err)
	}
	if _, err := layer.Take(root, []string{"[a"}); err == nil || !strings.Contains(err.Error(), "[a") {
		t.Errorf("a bad pattern: %v", err)
	}
	before, err := layer.Take(root, nil)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "etc/.wh.config"), nil, 0o644))
	dir := t.TempDir()
	if _, err := layer.PackChangedFile(t.Context(), "system", root, before, nil, layer.Zstd, dir); err == nil || !strings.Contains(err.Error(), "etc/.wh.config") {
		t.Errorf("a file with the name of a whiteout: %v", err)
	}
}
