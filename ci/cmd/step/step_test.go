package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a value where a step expects it.
func put(t *testing.T, file string, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, raw, 0o644))
	return file
}

// machine is this process's environment: no network, nobody's composer home.
func machine(t *testing.T) {
	t.Helper()
	for _, name := range []string{"php", "composer"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on the PATH: `make test` installs it", name)
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("COMPOSER_HOME", home)
	t.Setenv("COMPOSER_DISABLE_NETWORK", "1")
}

var (
	release = build.Release{BuildNum: "9", Revision: "abc", Created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	bases   = host.Bases{build.Magento: {Ref: image.Scratch}, build.Nginx: {Ref: image.Scratch}}
)

func samplePlan(t *testing.T, shards build.Shards) (source string, plan build.Plan) {
	t.Helper()
	source = "../../../testdata/store"
	s, err := store.Open(os.DirFS(source))
	must(t, err)
	plan, err = build.New(build.StoreOf(s, nil, nil), build.Options{CPUs: 2, Shards: shards, StripTests: true})
	must(t, err)
	return source, plan
}

// digests are an image's layers by name, and its own.
func digests(images []host.Assembled) map[string]string {
	out := map[string]string{}
	for _, im := range images {
		out[im.Name] = im.Summary.Digest
		for _, l := range im.Summary.Layers {
			out[im.Name+": "+l.Name] = l.Digest
		}
	}
	return out
}

// Step by step, each in a tree of its own and with the others' results beside
// it, as the Dagger module's containers have them: the images are those of mck.
func TestStepsMakeTheImagesOfMck(t *testing.T) {
	machine(t)
	source, plan := samplePlan(t, build.ShardsTheme)
	ctx := t.Context()

	work := t.TempDir()
	job := host.Job{
		Runner: &host.Runner{Environ: os.Environ(), Results: filepath.Join(work, "results"), Now: time.Now},
		Plan:   plan, Source: source, Work: work, Parallel: 2,
	}
	must(t, job.Install(ctx))
	must(t, job.Precompile(ctx))
	facts, err := job.Facts(ctx)
	must(t, err)
	layers, err := job.Layers()
	must(t, err)
	wanted, err := job.Runner.Images(ctx, facts, release, "linux/amd64", layers, bases)
	must(t, err)

	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	must(t, host.Export(source, app))
	results, cache := filepath.Join(dir, "results"), filepath.Join(dir, "cache")
	step := func(name string) string {
		s, ok := plan.Step(name)
		if !ok {
			t.Fatalf("the plan has no step %s", name)
		}
		return put(t, filepath.Join(dir, "steps", name+".json"), s)
	}
	must(t, run(ctx, []string{"run", "--step", step(build.Composer), "--tree", app, "--results", results}))
	must(t, run(ctx, []string{"run", "--step", step(build.App), "--tree", app, "--results", results}))
	var earlier, branches []string
	for _, s := range plan.Steps {
		if s.From != build.App {
			continue
		}
		own, left := filepath.Join(dir, "trees", s.Name), filepath.Join(dir, "left", s.Name)
		must(t, host.Export(app, own))
		must(t, host.Export(results, left))
		must(t, run(ctx, []string{"run", "--step", step(s.Name), "--tree", own, "--results", left, "--cache", cache}))
		earlier = append(earlier, "--earlier", left)
		branches = append(branches, s.Name)
	}
	if len(branches) != 3 {
		t.Fatalf("steps side by side: %v", branches)
	}
	merged := filepath.Join(dir, "merge")
	must(t, os.MkdirAll(filepath.Join(dir, "merged"), 0o755))
	must(t, run(ctx, append([]string{"run", "--step", step(build.Static), "--tree", filepath.Join(dir, "merged"), "--results", merged, "--cache", cache}, earlier...)))
	earlier = append(earlier, "--earlier", merged)

	planFile, releaseFile := put(t, filepath.Join(dir, "plan.json"), plan), put(t, filepath.Join(dir, "release.json"), release)
	out := filepath.Join(dir, "out")
	must(t, run(ctx, append([]string{"images", "--tree", app, "--results", filepath.Join(dir, "images"), "--out", out, "--plan", planFile, "--release", releaseFile,
		"--platform", "linux/amd64", "--base", "magento2=scratch,", "--base", "nginx=scratch,"}, earlier...)))

	raw, err := os.ReadFile(filepath.Join(out, "images.json"))
	must(t, err)
	var got []host.Assembled
	must(t, json.Unmarshal(raw, &got))
	if diff := cmp.Diff(digests(wanted), digests(got)); diff != "" {
		t.Errorf("digests (-mck +steps):\n%s", diff)
	}
	for _, im := range wanted {
		archived, err := image.OpenBase(ctx, "oci-archive:"+filepath.Join(out, im.Name+".tar"), "linux/amd64")
		must(t, err)
		must(t, image.Verify(archived))
		if d, err := archived.Digest(); err != nil || d.String() != im.Summary.Digest {
			t.Errorf("the archive of %s holds %s (%v), not %s", im.Name, d, err, im.Summary.Digest)
		}
	}

	must(t, run(ctx, append([]string{"complete", "--tree", app, "--results", filepath.Join(dir, "completed"), "--plan", planFile, "--release", releaseFile}, earlier...)))
	for _, p := range []string{"generated/metadata/global.php", "pub/static/frontend/Acme/shop/de_DE/css/shop.css", "pub/static/deployed_version.txt", "pub/REVISION.txt"} {
		if _, err := os.Stat(filepath.Join(app, p)); err != nil {
			t.Errorf("the completed store lacks %s", p)
		}
	}
}

// What the base was called before it was copied stands in the labels, not where
// the copy lies.
func TestBaseOrigin(t *testing.T) {
	machine(t)
	source, plan := samplePlan(t, build.ShardsNone)
	work := t.TempDir()
	job := host.Job{
		Runner: &host.Runner{Environ: os.Environ(), Results: filepath.Join(work, "results"), Now: time.Now},
		Plan:   plan, Source: source, Work: work, Parallel: 2,
	}
	must(t, job.Install(t.Context()))
	must(t, job.Precompile(t.Context()))
	tree, err := job.Facts(t.Context())
	must(t, err)
	out := filepath.Join(work, "out")
	name, digest := "docker.io/library/php:8.3-fpm-bookworm", "sha256:"+strings.Repeat("a", 64)
	must(t, run(t.Context(), []string{"images", "--tree", tree, "--results", filepath.Join(work, "images"), "--earlier", job.Runner.Results, "--out", out,
		"--plan", put(t, filepath.Join(work, "plan.json"), plan), "--release", put(t, filepath.Join(work, "release.json"), release),
		"--platform", "linux/amd64", "--base", "magento2=scratch,php:8.3-fpm-bookworm," + digest, "--base", "nginx=scratch,"}))
	im, err := image.OpenBase(t.Context(), "oci-archive:"+filepath.Join(out, "magento2.tar"), "linux/amd64")
	must(t, err)
	config, err := im.ConfigFile()
	must(t, err)
	if got := config.Config.Labels; got[image.LabelBaseName] != name || got[image.LabelBaseDigest] != digest {
		t.Errorf("labels: %v", got)
	}
}

func TestErrors(t *testing.T) {
	machine(t)
	ctx, dir := t.Context(), t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	must(t, os.WriteFile(broken, []byte("{"), 0o644))
	failing := put(t, filepath.Join(dir, "failing.json"), build.Step{Name: "tool", Commands: []build.Command{{Args: []string{"php", "-r", "echo 'so it says'; exit(7);"}}}})
	for want, args := range map[string][]string{
		"say run, extensions, complete, base or images": nil,
		`there is no "walk"`:                            {"walk"},
		"NAME=REFERENCE,ORIGIN[,DIGEST]":                {"images", "--base", "magento2"},
		"flag provided but not defined":                 {"run", "--bogus"},
		`"xz"`:                                          {"run", "--compression", "xz"},
		"none.json: ":                                   {"run", "--step", filepath.Join(dir, "none.json")},
		"broken.json: unexpected end":                   {"run", "--step", broken},
		"exit code 7\n  in ":                            {"run", "--step", failing, "--tree", dir, "--results", filepath.Join(dir, "results")},
		"so it says":                                    {"run", "--step", failing, "--tree", dir, "--results", filepath.Join(dir, "results")},
		"has left no result":                            {"images", "--plan", put(t, filepath.Join(dir, "plan.json"), build.Plan{Steps: []build.Step{{Name: "compile"}}}), "--release", put(t, filepath.Join(dir, "release.json"), release), "--results", filepath.Join(dir, "results")},
	} {
		if err := run(ctx, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("step %v: %v, want %q", args, err, want)
		}
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if err := run(stopped, []string{"run", "--step", failing, "--tree", dir, "--results", filepath.Join(dir, "results")}); err == nil || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("a step that was stopped: %v", err)
	}
}

// What compiling PHP's extensions prints is shown when it fails, and then its end.
func TestSilently(t *testing.T) {
	if err := silently(t.Context(), []string{"sh", "-c", "echo much; exit 0"}); err != nil {
		t.Error(err)
	}
	err := silently(t.Context(), []string{"sh", "-c", "i=0; while [ $i -lt 150 ]; do echo said $i; i=$((i+1)); done; echo no compiler >&2; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "\n    no compiler") || !strings.Contains(err.Error(), "    said 51\n") || strings.Contains(err.Error(), "said 50\n") {
		t.Errorf("a command that failed: %v", err)
	}
}
