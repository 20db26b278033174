package hostrun

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/store"
)

const appRoot = "/" + build.AppRoot

// tree is an unpacked image.
type tree struct {
	name   string
	dir    string
	config v1.Config
}

// choose takes the image that this machine can run out of a layout, and notes the others.
func choose(dir string, into *smoke.Images) (v1.Image, error) {
	l, err := image.OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	platforms, err := l.Platforms()
	if err != nil {
		return nil, err
	}
	own := -1
	into.NotRun = nil
	for i, p := range platforms {
		if strings.HasPrefix(p+"/", runtime.GOOS+"/"+runtime.GOARCH+"/") {
			own = i
		} else {
			into.NotRun = append(into.NotRun, p)
		}
	}
	if own < 0 {
		return nil, &Unavailable{[]string{"a processor for images of " + strings.Join(platforms, ", ")}}
	}
	return l.Images[own], nil
}

// unpack lays out an image of the build in its own directory.
func unpack(ctx context.Context, layouts, name, dir string, into *smoke.Images) (*tree, error) { //nolint:cyclop // layer after layer
	im, err := choose(filepath.Join(layouts, name), into)
	if err != nil {
		return nil, err
	}
	config, err := im.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := im.Layers()
	if err != nil {
		return nil, err
	}
	described, err := image.Describe(im)
	if err != nil {
		return nil, err
	}
	// Of the bases nothing is run here, and what distributions have in /dev cannot be unpacked.
	own := slices.IndexFunc(described.Layers, func(l image.LayerSummary) bool { return l.Name == build.ConfigPrefix+name })
	for i, l := range layers {
		if i < own {
			continue
		}
		if described.Layers[i].Name != "" && build.IsStatic(described.Layers[i].Name) {
			into.Static[name] = append(into.Static[name], described.Layers[i].Digest)
		}
		mediaType, err := l.MediaType()
		if err != nil {
			return nil, err
		}
		blob, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		err = layer.Unpack(ctx, blob, string(mediaType), dir, "")
		blob.Close()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
	}
	into.Users[name] = config.Config.User
	for _, d := range []string{"var", "pub/media", "app/etc"} { // where volumes are mounted
		if name == build.Nginx && d != "pub/media" {
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, appRoot, d), 0o755); err != nil {
			return nil, err
		}
	}
	t := &tree{name: name, dir: dir, config: config.Config}
	writable, err := t.everybodys()
	into.Writable = append(into.Writable, writable...)
	return t, err
}

// everybodys lists what of the store anybody may write to.
func (t *tree) everybodys() (out []string, err error) {
	root := filepath.Join(t.dir, appRoot)
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o002 != 0 {
			out = append(out, t.name+":"+strings.TrimPrefix(p, t.dir))
		}
		return err
	})
	slices.Sort(out)
	return out[:min(len(out), 10)], err
}

// describe reads what the php image's store says of itself.
func (t *tree) describe(into *smoke.Images) error {
	for file, text := range map[string]*string{"pub/REVISION.txt": &into.Revision, "pub/static/deployed_version.txt": &into.Version} {
		raw, err := os.ReadFile(filepath.Join(t.dir, appRoot, file))
		if err != nil {
			return fmt.Errorf("image %s: %w: it is no image of this pipeline's build", t.name, err)
		}
		*text = string(raw)
	}
	// The installed store says by the pipeline's own rules what it uses.
	s, err := store.Open(os.DirFS(filepath.Join(t.dir, appRoot)))
	if err != nil {
		return fmt.Errorf("image %s: %w", t.name, err)
	}
	for _, static := range s.Static(nil, nil) {
		into.Content[static.Theme.Area+"/"+static.Theme.Code] = static.Locales
	}
	return nil
}
