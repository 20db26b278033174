package layer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/layer"
)

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
