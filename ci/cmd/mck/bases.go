package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// bases are what a build's images stand on, on each of its platforms.
type bases struct {
	*env
	platforms []string
	php       string // release line of the PHP that builds, once the bases are open
	refs      [2]string
	quiet     bool
	mirror    []image.Option
	opened    []host.Bases // by platform, once they are open
}

// basesOf are the bases that the settings name.
func basesOf(e *env, s *verbs.Build) (*bases, error) {
	if err := checkPlatforms(s.Platforms); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	mirror, err := mirrorOf(s.BaseRegistry)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for flag, ref := range map[string]string{"--php-base": s.PHPBase, "--nginx-base": s.NginxBase} {
		if ref == "" {
			continue
		}
		if _, err := image.ParseReference(ref); err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%s: %w", flag, err)}
		}
	}
	return &bases{env: e, platforms: s.Platforms, refs: [2]string{s.PHPBase, s.NginxBase}, quiet: s.Quiet, mirror: mirror}, nil
}

// open opens the bases, and says what of them does not suit the store. here is the PHP that builds.
func (b *bases) open(ctx context.Context, s *store.Store, here store.PHP) ([]store.Finding, error) {
	b.php = minor(here.Version)
	// What builds the store suits it, and is what had better run it.
	php, nginx := build.Pinned(cmp.Or(b.refs[0], build.PHPImage(b.php))), build.Pinned(b.refs[1])
	var found []store.Finding
	for i, platform := range b.platforms {
		on := host.Bases{build.Magento: {Ref: php}, build.Nginx: {Ref: nginx}}
		if err := on.Open(ctx, platform, b.mirror...); err != nil {
			return nil, fmt.Errorf("%w. Another can be named with --php-base and --nginx-base: of a registry that is reached from here, oci:DIR, or scratch", err)
		}
		b.opened = append(b.opened, on)
		about, err := checkBase(on[build.Magento], s, here)
		if err != nil {
			return nil, err
		}
		if i == 0 || !slices.Equal(found, about) {
			found = append(found, about...)
		}
	}
	if line := build.Unpinned(php, nginx); line != "" && !b.quiet {
		fmt.Fprintln(b.stderr, "mck: "+line)
	}
	return found, nil
}

// minor is a version's release line: "8.3" of "8.3.12".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

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
	if err != nil || u.Host == "" || !slices.Contains([]string{"tcp", "http", "https"}, u.Scheme) {
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
