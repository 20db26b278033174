// Package image puts container images together from a base image and packed layers, with no container engine.
//
// What an image consists of is a value, Image. Assemble turns it into a manifest and a config over blobs that exist already:
// no layer is unpacked, and none is read before something asks for its content. Manifests, configs and layers have the OCI
// image specification's media types throughout, whatever the base has.
package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// The labels that say where an image comes from (OCI image specification, annotations.md).
const (
	LabelVersion    = "org.opencontainers.image.version"
	LabelRevision   = "org.opencontainers.image.revision"
	LabelCreated    = "org.opencontainers.image.created"
	LabelSource     = "org.opencontainers.image.source"
	LabelBaseName   = "org.opencontainers.image.base.name"
	LabelBaseDigest = "org.opencontainers.image.base.digest"

	// AnnotationRefName names an image within a layout.
	AnnotationRefName = "org.opencontainers.image.ref.name"

	labelPrefix = "org.opencontainers.image."
)

// Scratch is the reference of the empty base image.
const Scratch = "scratch"

// Image says what an image is made of.
type Image struct {
	// Name names the image for people.
	Name string `json:"name"`
	// Platform is "linux/amd64", "linux/arm64" …; the base must be of the same.
	Platform string `json:"platform"`
	// Base is the base image's name (see FullName). It becomes the label base.name.
	Base string `json:"base"`
	// Layers are the layers above the base's, the lowest first.
	Layers []layer.Descriptor `json:"layers"`
	Config Config             `json:"config"`
	// Created is the image's time of creation, with a resolution of a second.
	Created time.Time `json:"created"`
}

// Config says how the image is run. What is not set is inherited from the base.
type Config struct {
	User string `json:"user,omitempty"`
	// Env is added to the base's environment, and wins over it.
	Env map[string]string `json:"env,omitempty"`
	// Entrypoint, when set, drops the base's Cmd too, as it was written for the base's Entrypoint.
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	// ExposedPorts ("8080/tcp") and Volumes (absolute paths) replace the base's.
	ExposedPorts []string `json:"exposedPorts,omitempty"`
	Volumes      []string `json:"volumes,omitempty"`
	StopSignal   string   `json:"stopSignal,omitempty"`
	// Labels are added to the base's. The base's own org.opencontainers.image labels are dropped: they tell the base's
	// origin, not this image's.
	Labels map[string]string `json:"labels,omitempty"`
	// Healthcheck is what Docker runs; ECS looks at the task definition instead.
	Healthcheck *v1.HealthConfig `json:"healthcheck,omitempty"`
}

// Assemble puts the image together. blobs opens a layer's packed blob; it is called when the content is asked for, not
// here. The result depends on the base and the Image alone.
func Assemble(base v1.Image, im Image, blobs func(layer.Descriptor) (io.ReadCloser, error)) (v1.Image, error) {
	a, err := assemble(base, im, blobs)
	if err != nil {
		return nil, fmt.Errorf("assembling image %s: %w", im.Name, err)
	}
	return a, nil
}

func assemble(base v1.Image, im Image, blobs func(layer.Descriptor) (io.ReadCloser, error)) (*assembled, error) {
	if im.Created.IsZero() {
		return nil, fmt.Errorf("its time of creation is not given")
	}
	created := v1.Time{Time: im.Created.UTC().Truncate(time.Second)}

	inherited, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the config of base %s: %w", im.Base, err)
	}
	if err := matchPlatform(inherited, im.Platform); err != nil {
		return nil, fmt.Errorf("base %s: %w", im.Base, err)
	}
	config, err := im.config(inherited, base)
	if err != nil {
		return nil, err
	}
	config.Created = created
	a := &assembled{}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	if err := a.addBase(base, &manifest, config); err != nil {
		return nil, fmt.Errorf("base %s: %w", im.Base, err)
	}
	for _, d := range im.Layers {
		l, err := newPacked(d, blobs)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.Name, err)
		}
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: l.mediaType, Digest: l.digest, Size: d.Size})
		a.layers = append(a.layers, l)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, v1.History{Created: created, CreatedBy: d.Name})
	}
	config.RootFS.Type = "layers"

	if a.config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	hash, size, err := v1.SHA256(bytes.NewReader(a.config))
	if err != nil {
		return nil, err
	}
	manifest.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: hash, Size: size}
	if a.manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	return a, nil
}

// config is the image's, with what the base's has of use: what else a config can hold tells how the base was built.
func (im Image) config(inherited *v1.ConfigFile, base v1.Image) (*v1.ConfigFile, error) {
	from := inherited.DeepCopy()
	config := &v1.ConfigFile{
		OS: from.OS, Architecture: from.Architecture, Variant: from.Variant, OSVersion: from.OSVersion, OSFeatures: from.OSFeatures,
		Config: from.Config, RootFS: from.RootFS, History: from.History,
	}
	if err := im.Config.apply(&config.Config); err != nil {
		return nil, err
	}
	if im.Base == "" || im.Base == Scratch {
		return config, nil
	}
	digest, err := base.Digest()
	if err != nil {
		return nil, fmt.Errorf("reading the digest of base %s: %w", im.Base, err)
	}
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	config.Config.Labels[LabelBaseName] = im.Base
	config.Config.Labels[LabelBaseDigest] = digest.String()
	return config, nil
}

// addBase puts the base's layers at the bottom.
func (a *assembled) addBase(base v1.Image, manifest *v1.Manifest, config *v1.ConfigFile) error {
	of, err := base.Manifest()
	if err != nil {
		return fmt.Errorf("reading its manifest: %w", err)
	}
	layers, err := base.Layers()
	if err != nil {
		return fmt.Errorf("reading its layers: %w", err)
	}
	if len(layers) != len(of.Layers) || len(layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("it is broken: its manifest names %d layers, its config %d", len(of.Layers), len(config.RootFS.DiffIDs))
	}
	config.History = completeHistory(config.History, len(layers))
	for i, l := range layers {
		desc := of.Layers[i]
		if desc.MediaType, err = ociLayer(desc.MediaType); err != nil {
			return fmt.Errorf("layer %s: %w", desc.Digest, err)
		}
		manifest.Layers = append(manifest.Layers, desc)
		a.layers = append(a.layers, retype(l, desc.MediaType))
	}
	return nil
}

// apply changes an inherited config to this one.
func (c Config) apply(to *v1.Config) error {
	env, err := mergeEnv(to.Env, c.Env)
	if err != nil {
		return err
	}
	to.Env = env
	if c.User != "" {
		to.User = c.User
	}
	if c.Entrypoint != nil {
		to.Entrypoint, to.Cmd = c.Entrypoint, nil
	}
	if c.Cmd != nil {
		to.Cmd = c.Cmd
	}
	if c.WorkingDir != "" {
		to.WorkingDir = c.WorkingDir
	}
	if c.StopSignal != "" {
		to.StopSignal = c.StopSignal
	}
	if c.ExposedPorts != nil {
		to.ExposedPorts = set(c.ExposedPorts)
	}
	if c.Volumes != nil {
		to.Volumes = set(c.Volumes)
	}
	if c.Healthcheck != nil {
		to.Healthcheck = c.Healthcheck
	}
	maps.DeleteFunc(to.Labels, func(k, _ string) bool { return strings.HasPrefix(k, labelPrefix) })
	if to.Labels == nil && len(c.Labels) > 0 {
		to.Labels = map[string]string{}
	}
	maps.Copy(to.Labels, c.Labels)
	// How the base's builder ran its last step says nothing about this image.
	to.AttachStdin, to.AttachStdout, to.AttachStderr, to.Hostname, to.Domainname, to.Image, to.OnBuild = false, false, false, "", "", "", nil
	return nil
}

// mergeEnv keeps the base's order and adds what is new in the order of names.
func mergeEnv(base []string, add map[string]string) ([]string, error) {
	var out []string
	done := map[string]bool{}
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		if value, ok := add[name]; ok {
			kv = name + "=" + value
			done[name] = true
		}
		out = append(out, kv)
	}
	for _, name := range slices.Sorted(maps.Keys(add)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(add[name], 0) {
			return nil, fmt.Errorf("%q is not a variable that an environment can hold", name)
		}
		if !done[name] {
			out = append(out, name+"="+add[name])
		}
	}
	return out, nil
}

func set(list []string) map[string]struct{} {
	out := make(map[string]struct{}, len(list))
	for _, s := range list {
		out[s] = struct{}{}
	}
	return out
}

// BaseLayer is what an image's history calls a layer of its base that the base's own history says nothing of.
const BaseLayer = "base"

// completeHistory gives every layer of the base an entry: some tools refuse an image whose history does not account for
// its layers, and ours follow.
func completeHistory(h []v1.History, layers int) []v1.History {
	n := 0
	for _, e := range h {
		if !e.EmptyLayer {
			n++
		}
	}
	if n > layers {
		h, n = nil, 0
	}
	for ; n < layers; n++ {
		h = append(h, v1.History{CreatedBy: BaseLayer})
	}
	return h
}

// ociLayer is the OCI media type of what may be a Docker layer.
func ociLayer(t types.MediaType) (types.MediaType, error) {
	switch t {
	case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.OCIRestrictedLayer, types.OCIUncompressedRestrictedLayer:
		return t, nil
	case types.DockerLayer:
		return types.OCILayer, nil
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	case types.DockerForeignLayer:
		return types.OCIRestrictedLayer, nil
	case "application/vnd.docker.image.rootfs.diff.tar.zstd":
		return types.OCILayerZStd, nil
	}
	return "", fmt.Errorf("media type %q is not one of a layer", t)
}
