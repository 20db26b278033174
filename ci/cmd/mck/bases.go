package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/store"
)

// checkPlatforms says what of the platforms cannot be.
func checkPlatforms(platforms []string) error {
	if len(platforms) == 0 {
		return errors.New("--platform: name one, such as linux/amd64")
	}
	for i, platform := range platforms {
		if err := image.CheckPlatform(platform); err != nil {
			return err
		}
		if slices.Contains(platforms[:i], platform) {
			return fmt.Errorf("--platform: %s is named twice", platform)
		}
	}
	return nil
}

// mirrorOf is the registry that bases are read from.
func mirrorOf(address string) ([]image.Option, error) {
	if address == "" {
		return nil, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--base-registry: %q is not an address such as tcp://127.0.0.1:5000", address)
	}
	if u.Scheme == "tcp" { // as dagger writes it
		u.Scheme = "http"
	}
	return []image.Option{image.WithMirror(u)}, nil
}

// checkBase judges the PHP of the base that image magento2 stands on, as far as a
// base that is not run tells of it. here is the PHP that builds.
func checkBase(base host.Base, s *store.Store, here store.PHP) ([]store.Finding, error) {
	const own = "make a base with the PHP and the extensions that the store needs (dagger call php-base publish --address=…) and give it as --php-base"
	var out []store.Finding
	version, err := base.PHPVersion()
	if err != nil {
		return nil, err
	}
	if version != "" {
		// The judgement is the store's; only the name of what is judged differs.
		for _, f := range s.Check(store.Options{PHP: &store.PHP{Version: version}}).Findings {
			if f.Code == "php-version" {
				f.Subject, f.Do = base.Ref, fmt.Sprintf("give a --php-base with PHP %s, or %s", s.PHPMinor(), own)
				out = append(out, f)
			}
		}
		if minor(version) != minor(here.Version) {
			out = append(out, store.Finding{
				Severity: store.Warning, Code: "php-differs", Subject: base.Ref, Do: "build with the PHP that runs the store",
				Message: fmt.Sprintf("the store is built with PHP %s and will run on %s", here.Version, version),
			})
		}
	}
	if base.Official() {
		lacks := slices.DeleteFunc(s.RequiredExtensions(), func(ext string) bool { return !build.Installable(ext) })
		if len(lacks) > 0 {
			out = append(out, store.Finding{
				Severity: store.Warning, Code: "base-extensions", Subject: base.Ref, Do: own,
				Message: fmt.Sprintf("it lacks extensions that the store cannot run without: %s", strings.Join(lacks, ", ")),
			})
		}
	}
	return out, nil
}
