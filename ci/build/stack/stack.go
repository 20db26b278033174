// Package stack says which of a build's layers the two images consist of, in
// which order, and how their containers run. It stands apart from package build
// so that whoever only plans a build need not link a registry client.
package stack

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

func labels(r build.Release) map[string]string {
	l := map[string]string{
		image.LabelVersion: r.BuildNum,
		image.LabelCreated: r.Created.UTC().Format(time.RFC3339),
	}
	if r.Revision != "" {
		l[image.LabelRevision] = r.Revision
	}
	if r.Source != "" {
		l[image.LabelSource] = build.RepositoryURL(r.Source)
	}
	return l
}

// Images describes the two images of a build: which of the packed layers each
// stacks, from rarely to often changed, and how its containers run. The layers
// are those of every step of the plan, the configuration layers and the
// release's layer.
func Images(r build.Release, platform string, layers []layer.Descriptor) ([]image.Image, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	php, err := pick(layers, slices.Concat(
		[]string{build.LayerExtensions, build.ConfigPrefix + build.Magento, build.LayerVendor, build.LayerMagento, build.LayerApp, build.LayerSeed, build.LayerDesign, build.LayerCode, build.LayerGenerated},
		named(layers, build.IsStatic), []string{build.LayerTemplates, build.LayerRelease}))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", build.Magento, err)
	}
	web, err := pick(layers, slices.Concat(
		[]string{build.ConfigPrefix + build.Nginx, build.LayerEntry}, named(layers, build.IsStatic), named(layers, build.OnlyServed), []string{build.LayerRelease}))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", build.Nginx, err)
	}
	return []image.Image{
		{
			Name:     build.Magento,
			Platform: platform,
			Layers:   php,
			Created:  r.Created,
			Config: image.Config{
				User:         fmt.Sprintf("%d:%d", build.PHPUser, build.PHPUser),
				Entrypoint:   []string{"/usr/local/bin/magento-entrypoint"},
				Cmd:          []string{"php-fpm"},
				WorkingDir:   "/" + build.AppRoot,
				ExposedPorts: []string{"9000/tcp"},
				StopSignal:   "SIGQUIT",
				Labels:       labels(r),
				// The entrypoint sets it too; this is for what is started beside
				// it (docker exec). The leading colon keeps the base's directory.
				Env: map[string]string{"PHP_INI_SCAN_DIR": ":/usr/local/etc/magento/php.d"},
				Healthcheck: &v1.HealthConfig{
					Test:     []string{"CMD", "fpm-ping"},
					Interval: 30 * time.Second, Timeout: 5 * time.Second, StartPeriod: 15 * time.Second, Retries: 3,
				},
			},
		},
		{
			Name:     build.Nginx,
			Platform: platform,
			Layers:   web,
			Created:  r.Created,
			Config: image.Config{
				User:         fmt.Sprintf("%d:%d", build.NginxUser, build.NginxUser),
				Entrypoint:   []string{"/usr/local/bin/nginx-entrypoint"},
				Cmd:          []string{},
				WorkingDir:   "/" + build.AppRoot,
				ExposedPorts: []string{"8080/tcp"},
				StopSignal:   "SIGQUIT",
				Labels:       labels(r),
			},
		},
	}, nil
}

// optional are layers that an image can do without.
var optional = []string{build.LayerExtensions, build.LayerTemplates}

// named lists the layers of a kind by name, so that their order does not depend
// on the order in which they were made.
func named(layers []layer.Descriptor, is func(string) bool) []string {
	var names []string
	for _, l := range layers {
		if is(l.Name) {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names
}

func pick(layers []layer.Descriptor, names []string) ([]layer.Descriptor, error) {
	var out []layer.Descriptor
	for _, n := range names {
		i := slices.IndexFunc(layers, func(l layer.Descriptor) bool { return l.Name == n })
		switch {
		case i >= 0 && layers[i].Files > 0:
			out = append(out, layers[i])
		case i < 0 && !slices.Contains(optional, n):
			return nil, fmt.Errorf("no layer %q was packed", n)
		}
	}
	return out, nil
}
