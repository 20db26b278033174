package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/leak"
	"github.com/magecloudkit/pipeline/ci/store"
)

// secretsStep is what the search for secrets is called in a log.
const secretsStep = "secrets"

// What a cache keeps of searches for secrets: findings by layer, and the key that keeps these from telling of a secret.
const (
	leaksDir = "leaks"
	leaksKey = "leaks.key"
)

// SearchSecrets looks for secrets in a build's images. tree is the installed store that they were made of. A secret in an
// image is a *leak.Error.
func (r *Runner) SearchSecrets(ctx context.Context, tree string, images []Assembled, allowed []store.Allowed) (leak.Result, error) {
	start := r.Now()
	installed, err := os.ReadFile(filepath.Join(tree, "vendor", "composer", "installed.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return leak.Result{}, err
	}
	s := leak.Search{
		Secrets: r.given(), Allowed: allowed, Root: build.AppRoot, Published: leak.Published(installed), Jobs: runtime.GOMAXPROCS(0),
	}
	if s.Key, err = r.leaksKey(); err != nil {
		return leak.Result{}, fmt.Errorf("looking for secrets in the images: %w", err)
	}
	if r.Cache != "" {
		s.Cache = leaksCache{r}
	}
	var searched []leak.Image
	for _, im := range images {
		parts, err := im.searchable()
		if err != nil {
			return leak.Result{}, fmt.Errorf("looking for secrets in image %s: %w", im.Name, err)
		}
		searched = append(searched, parts)
	}
	result, err := s.Images(ctx, searched)
	if err != nil {
		return result, err
	}
	r.tell(result, r.Now().Sub(start).Seconds())
	return result, result.Err()
}

// given are the values that this build was given.
func (r *Runner) given() []leak.Secret {
	var out []leak.Secret
	for _, name := range slices.Sorted(maps.Keys(r.Secrets)) {
		if name == "COMPOSER_AUTH" || strings.HasSuffix(name, "auth.json") {
			out = append(out, leak.Auth(name, r.Secrets[name])...)
		} else {
			out = append(out, leak.Secret{Name: name, Value: r.Secrets[name]})
		}
	}
	return out
}

// searchable is the image as the search takes it. Files compressed for nginx are made of those of other layers.
func (im Assembled) searchable() (leak.Image, error) {
	out := leak.Image{Name: im.Name}
	var err error
	if out.Config, err = im.Image.RawConfigFile(); err != nil {
		return out, err
	}
	layers, err := im.Image.Layers()
	if err != nil {
		return out, err
	}
	for i, l := range layers {
		sum := im.Summary.Layers[i]
		base := i < len(layers)-im.own
		switch {
		case base:
			sum.Name = image.BaseLayer
		case build.OnlyServed(sum.Name):
			continue
		}
		out.Layers = append(out.Layers, leak.Layer{Name: sum.Name, Digest: sum.Digest, MediaType: sum.MediaType, Base: base, Open: l.Compressed})
	}
	return out, nil
}

// tell says what was searched, what the store allows, and what could not be looked for.
func (r *Runner) tell(result leak.Result, seconds float64) {
	line := func(format string, args ...any) { r.log(Event{Step: secretsStep, Line: fmt.Sprintf(format, args...)}) }
	for _, f := range result.Allowed {
		line("allowed: %s: %s, because: %s", f.Where, f.Kind, f.Reason)
	}
	for _, a := range result.Unused {
		line("%s allows %s, where nothing is to be allowed", store.AllowFile, a.Path)
	}
	for _, name := range result.Unsearched {
		line("not looked for: %s", name)
	}
	line("%d layers, configs and histories looked through in %.1f s, %d of the layers by an earlier build: %d secrets",
		result.Layers, seconds, result.Known, len(result.Findings))
}

// leaksKey is the cache's own, or one for this build alone.
func (r *Runner) leaksKey() ([]byte, error) {
	fresh := make([]byte, 32)
	rand.Read(fresh) // never fails
	if r.Cache == "" {
		return fresh, nil
	}
	file := filepath.Join(r.Cache, leaksKey)
	if key, err := os.ReadFile(file); err == nil && len(key) == len(fresh) {
		return key, nil
	}
	if err := replaceFile(file, fresh, 0o600); err != nil {
		return nil, err
	}
	return os.ReadFile(file) // another build's, if that was later
}

// leaksCache keeps findings beside the layers of earlier builds.
type leaksCache struct{ r *Runner }

func (c leaksCache) file(key string) string { return filepath.Join(c.r.Cache, leaksDir, key+".json") }

func (c leaksCache) Get(key string) ([]leak.Found, bool) {
	var found []leak.Found
	if readSealed(c.file(key), &found) != nil || found == nil {
		return nil, false
	}
	now := c.r.Now()
	_ = os.Chtimes(c.file(key), now, now) // what was used lately is what a clean-up keeps
	return found, true
}

func (c leaksCache) Put(key string, found []leak.Found) {
	_ = writeSealed(c.file(key), found) // without it the next build looks again
}
