package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Summary describes an image for people and machines.
type Summary struct {
	Digest   string `json:"digest"`
	Platform string `json:"platform"`
	// Size is what a machine that has none of the layers downloads, in bytes.
	Size   int64          `json:"size"`
	Layers []LayerSummary `json:"layers"`
}

// LayerSummary describes a layer; Size is in bytes, compressed.
type LayerSummary struct {
	Name      string `json:"name"`
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
}

// Describe lists an image's layers, the lowest first, with the names that its history gives them.
func Describe(im v1.Image) (Summary, error) {
	s, err := describe(im)
	if err != nil {
		return Summary{}, fmt.Errorf("describing an image: %w", err)
	}
	return s, nil
}

func describe(im v1.Image) (Summary, error) {
	digest, err := im.Digest()
	if err != nil {
		return Summary{}, err
	}
	manifest, err := im.Manifest()
	if err != nil {
		return Summary{}, err
	}
	config, err := im.ConfigFile()
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Digest: digest.String(), Platform: platformOf(config), Size: manifest.Config.Size}
	var names []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			names = append(names, h.CreatedBy)
		}
	}
	for i, l := range manifest.Layers {
		sum := LayerSummary{Digest: l.Digest.String(), MediaType: string(l.MediaType), Size: l.Size}
		if len(names) == len(manifest.Layers) {
			sum.Name = names[i]
		}
		s.Layers = append(s.Layers, sum)
		s.Size += l.Size
	}
	return s, nil
}

// PHPVersion is the environment variable in which the official php images say which PHP they have.
const PHPVersion = "PHP_VERSION"

// Variable is the value of an environment variable in an image's config; empty: it has none of that name.
func Variable(config *v1.ConfigFile, name string) string {
	for _, kv := range config.Config.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// platformOf is the platform that an image's config names, as "linux/amd64"; empty: none.
func platformOf(config *v1.ConfigFile) string {
	if p := config.Platform(); p != nil {
		return p.String()
	}
	return ""
}

// Verify reads every blob of an image and reports all that do not have the size, digest or diff ID that the manifest and
// the config say.
func Verify(im v1.Image) error {
	manifest, err := im.Manifest()
	if err != nil {
		return fmt.Errorf("verifying an image: %w", err)
	}
	raw, err := im.RawConfigFile()
	if err != nil {
		return fmt.Errorf("verifying an image: %w", err)
	}
	var errs []error
	if hash, size, err := v1.SHA256(bytes.NewReader(raw)); err != nil {
		errs = append(errs, err)
	} else if hash != manifest.Config.Digest || size != manifest.Config.Size {
		errs = append(errs, fmt.Errorf("config: the manifest says %s (%d bytes), it is %s (%d bytes)", manifest.Config.Digest, manifest.Config.Size, hash, size))
	}
	config, err := im.ConfigFile()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	layers, err := im.Layers()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if len(layers) != len(manifest.Layers) || len(layers) != len(config.RootFS.DiffIDs) {
		errs = append(errs, fmt.Errorf("the image has %d layers, the manifest names %d, the config %d", len(layers), len(manifest.Layers), len(config.RootFS.DiffIDs)))
		return errors.Join(errs...)
	}
	for i, l := range layers {
		d := manifest.Layers[i]
		if err := verifyLayer(l, d, config.RootFS.DiffIDs[i]); err != nil {
			errs = append(errs, fmt.Errorf("layer %d (%s): %w", i, d.Digest, err))
		}
	}
	return errors.Join(errs...)
}

func verifyLayer(l v1.Layer, d v1.Descriptor, diffID v1.Hash) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	err = blob{hash: d.Digest, size: d.Size}.copyTo(io.Discard, r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	plain, err := uncompressed(l)
	if err != nil {
		return err
	}
	defer plain.Close()
	is, _, err := v1.SHA256(plain)
	if err != nil {
		return err
	}
	if is != diffID {
		return fmt.Errorf("the config says its diff ID is %s, it is %s", diffID, is)
	}
	return nil
}
