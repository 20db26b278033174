package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/inspect"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newInspectCommand(e *env) *cobra.Command {
	return verb(e, "inspect", cobra.ArbitraryArgs, func(cmd *cobra.Command, e *env, s *verbs.Inspect, args []string) error {
		ctx := cmd.Context()
		if s.Largest < 0 {
			return &exitError{exitUsage, errors.New("--largest cannot be negative")}
		}
		if err := image.CheckPlatform(s.Platform); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--image-platform: %w", err)}
		}
		o := opener{e: e, s: &s.Built}
		images, err := o.inspected(ctx, args)
		if err != nil {
			return err
		}
		var others map[string]v1.Image
		if s.Against != "" {
			if others, err = o.build(ctx, s.Against); err != nil {
				return fmt.Errorf("--against: %w", err)
			}
		}
		var found []inspect.Image
		for _, name := range slices.Sorted(maps.Keys(images)) {
			against, err := counterpart(name, len(images), others)
			if err != nil {
				return err
			}
			im, err := inspect.Read(ctx, name, images[name], inspect.Options{Largest: s.Largest, All: s.Files, Against: against, Jobs: runtime.GOMAXPROCS(0)})
			if err != nil {
				return err
			}
			found = append(found, im)
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, found)
		}
		for i, im := range found {
			if i > 0 {
				fmt.Fprintln(e.stdout)
			}
			if err := im.Table(e.stdout, s.Largest); err != nil {
				return err
			}
		}
		return nil
	})
}

// counterpart is the image to compare one with: that of its name, or the only one with the only one.
func counterpart(name string, images int, others map[string]v1.Image) (v1.Image, error) {
	if others == nil {
		return nil, nil
	}
	if im, ok := others[name]; ok {
		return im, nil
	}
	if images == 1 && len(others) == 1 {
		for _, im := range others {
			return im, nil
		}
	}
	return nil, &exitError{exitUsage, fmt.Errorf("--against names no image %s, but %s", name, strings.Join(slices.Sorted(maps.Keys(others)), " and "))}
}

// opener opens images by what people call them.
type opener struct {
	e *env
	s *verbs.Built
}

// inspected are the images that the command line means.
func (o opener) inspected(ctx context.Context, args []string) (map[string]v1.Image, error) {
	if len(args) > 0 {
		out := map[string]v1.Image{}
		for _, arg := range args {
			images, err := o.build(ctx, arg)
			if err != nil {
				return nil, err
			}
			for name, im := range images {
				if out[name] != nil {
					name = arg
				}
				out[name] = im
			}
		}
		return out, nil
	}
	images, err := layoutsIn(o.s.Images, o.s.Platform)
	if o.s.BuildNum == "" {
		if err != nil {
			return nil, fmt.Errorf("%w. 'mck build --out %s' makes the images; --build-num names some of the registry", err, o.s.Images)
		}
		return images, nil
	}
	if err == nil && allOf(images, o.s.BuildNum) {
		return images, nil
	}
	return o.pushed(ctx, o.s.BuildNum)
}

// allOf says whether images are those of a build.
func allOf(images map[string]v1.Image, build string) bool {
	for _, im := range images {
		config, err := im.ConfigFile()
		if err != nil || config.Config.Labels[image.LabelVersion] != build {
			return false
		}
	}
	return true
}

var buildTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// build opens the images that a word names: a directory, a build's number, or a reference.
func (o opener) build(ctx context.Context, word string) (map[string]v1.Image, error) {
	if st, err := os.Stat(word); err == nil && st.IsDir() {
		return layoutsIn(word, o.s.Platform)
	}
	if buildTag.MatchString(word) {
		return o.pushed(ctx, word)
	}
	ref, err := image.ParseReference(word)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if ref.Kind != image.KindRegistry {
		im, err := image.OpenBase(ctx, word, o.s.Platform)
		return map[string]v1.Image{strings.TrimSuffix(path.Base(ref.Path), ".tar"): im}, err
	}
	repo := ref.Registry.Context()
	what, _ := strings.CutPrefix(ref.Registry.Name(), repo.RegistryStr()+"/")
	im, err := o.fetch(ctx, repo.RegistryStr(), what)
	return map[string]v1.Image{path.Base(repo.RepositoryStr()): im}, err
}

// pushed opens the images that the registry has of a build.
func (o opener) pushed(ctx context.Context, build string) (map[string]v1.Image, error) {
	out := map[string]v1.Image{}
	for i, repository := range repositories(o.s.Prefix) {
		im, err := o.fetch(ctx, o.s.Registry, repository+":"+build)
		if err != nil {
			return nil, err
		}
		out[imageNames[i]] = im
	}
	return out, nil
}

func (o opener) fetch(ctx context.Context, address, what string) (v1.Image, error) {
	r, err := openRegistry(ctx, o.e, verbs.Push{AWS: o.s.AWS, Registry: address, Prefix: o.s.Prefix})
	if err != nil {
		return nil, err
	}
	return r.Image(ctx, what, o.s.Platform)
}

// layoutsIn opens the layouts in a directory, or the one that it is.
func layoutsIn(dir, platform string) (map[string]v1.Image, error) {
	out := map[string]v1.Image{}
	places := map[string]string{filepath.Base(dir): dir}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		places = map[string]string{}
		for _, name := range imageNames {
			places[name] = filepath.Join(dir, name)
		}
	}
	for name, place := range places {
		l, err := image.OpenLayout(place)
		if err != nil {
			return nil, err
		}
		im, err := l.For(platform)
		if err != nil {
			return nil, err
		}
		out[name] = im
	}
	return out, nil
}
