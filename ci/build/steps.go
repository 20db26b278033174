package build

import (
	_ "embed"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// tests are the directories of packages that only their developers need. Magento's
// modules keep theirs in Test.
var tests = []string{
	"vendor/*/*/Test", "vendor/*/*/Tests", "vendor/*/*/test", "vendor/*/*/tests", "vendor/magento/magento2-base/dev", "vendor/mage-os/magento2-base/dev",
}

// autoload are the files of vendor that composer writes anew after compiling.
// They go with the generated code, so that vendor's layer stays as it is.
var autoload = []string{
	"vendor/autoload.php", "vendor/composer/autoload_classmap.php", "vendor/composer/autoload_files.php", "vendor/composer/autoload_namespaces.php",
	"vendor/composer/autoload_psr4.php", "vendor/composer/autoload_real.php", "vendor/composer/autoload_static.php", "vendor/composer/platform_check.php",
}

// memoryLimit is what Magento's commands get: compiling fails at 256 MB, passes
// at 512 MB on a plain store, and larger stores need more.
const memoryLimit = "2G"

func magento(args ...string) Command {
	return Command{Args: append([]string{"php", "-d", "memory_limit=" + memoryLimit, "bin/magento", "--no-ansi", "--no-interaction"}, args...)}
}

func composer(args ...string) Command {
	return Command{
		Args: append([]string{"composer"}, args...),
		Env: map[string]string{
			"COMPOSER_ALLOW_SUPERUSER": "1",
			// Else composer asks the git repository that it finds itself in, which
			// on a host need not be the store's, for the version and the revision
			// that it writes into vendor. This is what it writes where there is none;
			// a version in composer.json wins over it.
			"COMPOSER_ROOT_VERSION": "1.0.0+no-version-set",
			// A package of the store itself is copied, not linked: a link would
			// point out of the image.
			"COMPOSER_MIRROR_PATH_REPOS": "1",
			"COMPOSER_NO_INTERACTION":    "1",
		},
	}
}

func composerStep(s Store, o Options) Step {
	// A package that composer has cloned brings its repository.
	exclude := append([]string{"**/auth.json", "**/.git"}, autoload...)
	var keep []string
	if o.StripTests && s.Locked {
		exclude = append(exclude, tests...)
		keep = loadedTests(s.Autoload)
	}
	inputs := Files{
		Include: s.ComposerInputs.Include,
		Exclude: slices.Compact(slices.Sorted(slices.Values(slices.Concat(left, s.ComposerInputs.Exclude, o.Ignore)))),
	}
	install := composer("install", "--no-dev", "--prefer-dist", "--no-interaction", "--no-progress", "--no-ansi", "--optimize-autoloader")
	install.Secrets = []string{"COMPOSER_AUTH"}
	// Else cweagans/composer-patches 1 goes on without a patch that does not fit.
	install.Env["COMPOSER_EXIT_ON_PATCH_FAILURE"] = "1"
	st := Step{
		Name:     Composer,
		Title:    "install packages",
		Overlay:  &inputs,
		Commands: []Command{install},
		Patched:  true,
		MustExist: []Expectation{{
			Path: "bin/magento",
			Else: "composer exited 0, but no package put bin/magento there. magento-composer-installer copies it from the base package: " +
				"check that composer.json requires a product package (mage-os/product-community-edition, magento/product-community-edition), " +
				"allows the installer plugin under config.allow-plugins, and does not run with --no-plugins",
		}},
		Layers: []layer.Spec{
			{
				Name:    LayerVendor,
				Include: []string{"vendor"},
				Exclude: exclude,
				Keep:    keep,
				Prefix:  AppRoot,
			},
			// What of the store is neither a package nor its own code: Magento's lib, setup, bin and pub, composer.json. All of
			// it is there when composer is done; the step after it adds to app alone.
			{
				Name:    LayerMagento,
				Exclude: append(notInImages(s), "app"),
				Prefix:  AppRoot,
				Owned: []layer.Owned{
					{Path: "var", UID: PHPUser, GID: PHPUser},
					{Path: "pub/media", UID: PHPUser, GID: PHPUser},
				},
			},
			{
				Name:    LayerEntry,
				Include: []string{"pub"},
				Exclude: []string{"pub/static/**", "pub/media/**"},
				Prefix:  AppRoot,
			},
		},
	}
	if s.Locked {
		// Without a lock the same composer.json gives other packages tomorrow.
		st.Reuse = &Reuse{Files: inputs}
	}
	if lockHash.MatchString(s.LockHash) {
		// Composer names the autoloader's class after the lock from 2.6 on, and
		// by chance before. The name in an autoload.php that is there it keeps.
		st.Write = map[string]string{"vendor/autoload.php": "<?php // ComposerAutoloaderInit" + s.LockHash + "::\n"}
	}
	return st
}

var lockHash = regexp.MustCompile(`^[0-9a-f]+$`)

// loadedTests are the directories named like tests in which packages have code
// that they load.
func loadedTests(autoload []string) []string {
	var keep []string
	for _, p := range autoload {
		for dir := p; dir != "."; dir = path.Dir(dir) {
			if slices.ContainsFunc(tests, func(t string) bool { return doublestar.MatchUnvalidated(t, dir) }) && !slices.Contains(keep, dir) {
				keep = append(keep, dir)
			}
		}
	}
	return keep
}

// proper are the directories of a store that hold more than packages, even where
// a path repository is among them.
var proper = []string{".", "app", "bin", "dev", "lib", "phpserver", "pub", "setup"}

// packagesOf is what of the store is left out of the images because composer has
// copied it into vendor: the whole directory that a path repository's pattern
// begins with, or, in a directory that holds more, what matches.
func packagesOf(repository string) string {
	dir, glob := doublestar.SplitPattern(repository)
	if !strings.ContainsAny(glob, "*?[{") {
		dir = repository
	}
	if slices.Contains(proper, dir) {
		return repository
	}
	return dir
}

// appLayers are the store's own parts of app, each of a layer of its own, and the
// layer that an empty mounted app/etc is filled from.
func appLayers(s Store) []layer.Spec {
	owner := []layer.Owned{{Path: "app/etc", UID: PHPUser, GID: PHPUser}}
	exclude := notInImages(s)
	return []layer.Spec{
		{Name: LayerApp, Include: []string{"app"}, Exclude: append(slices.Clone(exclude), "app/code", "app/design"), Prefix: AppRoot, Owned: owner},
		{Name: LayerSeed, Include: []string{"app/etc"}, Exclude: []string{"app/etc/env.*"}, Prefix: seedRoot},
		{Name: LayerDesign, Optional: []string{"app/design"}, Exclude: exclude, Prefix: AppRoot},
		{Name: LayerCode, Optional: []string{"app/code"}, Exclude: exclude, Prefix: AppRoot},
	}
}

// notInImages are the paths of a store that no image holds.
func notInImages(s Store) []string {
	exclude := append(slices.Clone(left), "docker", "dev/tests")
	for _, r := range s.PathRepositories {
		exclude = append(exclude, packagesOf(r))
	}
	return exclude
}

func appStep(s Store) Step {
	st := Step{
		Name:  App,
		Title: "lay the store over its packages",
		From:  Composer,
		Overlay: &Files{
			Include: []string{"app/**", "docker/**"},
			Exclude: left,
		},
		Layers: appLayers(s),
		Reuse:  &Reuse{Of: []string{Composer}, Files: Files{Include: []string{"app/**"}, Exclude: left}},
	}
	if s.EnableModules {
		st.Commands = []Command{magento("module:enable", "--all")}
	}
	return st
}

// seedRoot is where the php image keeps its own copy of app/etc, for when an
// empty volume is mounted over it.
const seedRoot = "usr/local/share/magento"

// facts writes generated/magecloudkit.php, which the image's env.php reads.
//
//go:embed facts.php
var facts string

const (
	factsScript = "var/magecloudkit-facts.php"
	factsFile   = "generated/magecloudkit.php"
)

func compileStep(s Store) Step {
	return Step{
		Name:  Compile,
		Title: "compile dependency injection",
		From:  App,
		Clear: []string{"generated", "var"},
		Write: map[string]string{factsScript: facts},
		Commands: []Command{
			magento("setup:di:compile"),
			composer("dump-autoload", "--no-dev", "--no-interaction", "--no-ansi", "--optimize", "--apcu", "--apcu-prefix", "magento", "--no-scripts"),
			{Args: []string{"php", "-d", "memory_limit=" + memoryLimit, factsScript}},
		},
		MustExist: []Expectation{{
			Path: "generated/metadata",
			Else: "setup:di:compile exited 0 and left no generated/metadata",
		}, {
			Path: factsFile,
			Else: "what the image's env.php has to know of this build was not written",
		}},
		Layers: []layer.Spec{{
			Name:     LayerGenerated,
			Include:  []string{"generated"},
			Optional: autoload,
			Prefix:   AppRoot,
		}},
		Reuse: &Reuse{
			Of: []string{Composer},
			Files: Files{
				Include: []string{"app/code/**", "app/etc/*"},
				Exclude: []string{"app/code/**/view/**", "app/code/**/i18n/**"},
			},
		},
	}
}
