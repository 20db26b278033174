package inspect_test

import (
	"archive/tar"
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/inspect"
)

// stacked is an image of layers, each given by its files; a name that ends in / is a directory.
func stacked(t *testing.T, config v1.Config, layers ...map[string]string) v1.Image {
	t.Helper()
	im, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644}
			if strings.HasSuffix(name, "/") {
				h.Typeflag, h.Size = tar.TypeDir, 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				w.Write([]byte(files[name])) // into memory
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		im, err = mutate.Append(im, mutate.Addendum{
			Layer:   static.NewLayer(b.Bytes(), types.OCIUncompressedLayer),
			History: v1.History{CreatedBy: []string{"low", "middle", "high"}[i]},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return im
}

func labelled(build string) v1.Config {
	return v1.Config{Labels: map[string]string{image.LabelVersion: build}, Env: []string{"A=" + build, "B=1"}}
}

// What differs is what a container would see, deletions by upper layers included.
func TestAgainst(t *testing.T) {
	low := map[string]string{"etc/": "", "etc/a": "aaa", "etc/b": "bb", "opt/x/1": "1", "opt/x/2": "22", "opt/y": "y"}
	before := stacked(t, labelled("1"), low, map[string]string{"srv/same": "s", "srv/grows": "g", "srv/goes": "gone"})
	after := stacked(t, labelled("2"), low,
		map[string]string{"srv/same": "s", "srv/grows": "grows", "srv/new": "n"},
		map[string]string{"etc/.wh.b": "", "opt/x/.wh..wh..opq": "", "opt/x/3": "333", "etc/a": "AAA"})
	r, err := inspect.Read(t.Context(), "magento2", after, inspect.Options{Largest: 2, Against: before, All: true, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Against
	paths := func(changes []inspect.Change) (out []string) {
		for _, c := range changes {
			out = append(out, c.Path+" in "+c.Layer)
		}
		return out
	}
	for what, diff := range map[string]string{
		"added":    cmp.Diff([]string{"opt/x/3 in high", "srv/new in middle"}, paths(d.Added)),
		"changed":  cmp.Diff([]string{"etc/a in high", "srv/grows in middle"}, paths(d.Changed)),
		"removed":  cmp.Diff([]string{"etc/b in low", "opt/x/1 in low", "opt/x/2 in low", "srv/goes in middle"}, paths(d.Removed)),
		"layers":   cmp.Diff([]string{"middle", "high"}, d.Layers),
		"settings": cmp.Diff([]inspect.Setting{{Name: "label " + image.LabelVersion, Before: "1", After: "2"}, {Name: "variable A", Before: "1", After: "2"}}, d.Config),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if d.Same != 1 || d.Download != r.Layers[1].Size+r.Layers[2].Size || d.Build != "1" || r.Build != "2" {
		t.Errorf("%+v", d)
	}
	if l := r.Layers[0]; l.Files != 5 || l.Unpacked != 9 || l.Name != "low" || len(l.All) != 5 || l.Largest[0].Path != "etc/a" || l.Largest[1].Path != "etc/b" {
		t.Errorf("the lowest layer: %+v", l)
	}
	if f := r.Largest[0]; f.Path != "srv/grows" || f.Size != 5 || f.Layer != "middle" || len(r.Largest) != 2 {
		t.Errorf("largest: %+v", r.Largest)
	}
	var table strings.Builder
	if err := r.Table(&table, 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 layers are the same, 2 are not", "2 files added, 2 changed, 4 removed", "+ opt/x/3", "+ and 1 more", "- and 3 more", "~ etc/a", "FILES OF high"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, &table)
		}
	}
}

func TestAgainstItself(t *testing.T) {
	im := stacked(t, labelled("1"), map[string]string{"a": "b"})
	r, err := inspect.Read(t.Context(), "nginx", im, inspect.Options{Against: im})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := r.Table(&table, 5); err != nil || !strings.Contains(table.String(), "nothing differs") || r.Against.Same != 1 {
		t.Errorf("%v\n%s", err, &table)
	}
}
