package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
)

// needTools skips a test where there is no PHP or composer to run a step with.
func needTools(t testing.TB) {
	t.Helper()
	for _, name := range []string{"php", "composer"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on the PATH: `make test` installs it", name)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is a copy of the sample store that a test may change.
func sample(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	must(t, host.Export("../../testdata/store", dir))
	for _, made := range []string{"vendor", "generated", "var", "pub"} { // what somebody's own run may have left there
		must(t, os.RemoveAll(filepath.Join(dir, made)))
	}
	return dir
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}

func read(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	must(t, err)
	return string(raw)
}

// edit replaces a text, which must be there, in a file.
func edit(t testing.TB, name, old, text string) {
	t.Helper()
	content := read(t, name)
	if !strings.Contains(content, old) {
		t.Fatalf("%s does not say %q", name, old)
	}
	write(t, name, strings.Replace(content, old, text, 1))
}

// environ is a machine's environment with no network and nobody's composer home.
func environ(t testing.TB, more ...string) []string {
	home := t.TempDir()
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "COMPOSER_HOME=" + home, "COMPOSER_DISABLE_NETWORK=1"}, more...)
}

// run is one build of a test.
type run struct {
	*host.Job
	mu     sync.Mutex
	events []host.Event
	on     func(host.Event)
}

func (r *run) log(e host.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.on != nil {
		r.on(e)
	}
}

// commands are those that were run, by step.
func (r *run) commands() map[string][]string {
	out := map[string][]string{}
	for _, e := range r.events {
		if e.Command != "" {
			out[e.Step] = append(out[e.Step], e.Command)
		}
	}
	return out
}

func (r *run) printed() string {
	var b strings.Builder
	for _, e := range r.events {
		if e.Line != "" {
			fmt.Fprintf(&b, "%s: %s\n", e.Step, e.Line)
		}
	}
	return b.String()
}

// options of a test's build; what is left out is as mck has it.
type options struct {
	cache   string // shared with other builds; "": none
	shards  build.Shards
	environ []string
	secrets map[string]string
	comp    layer.Compression
}

func newRun(t testing.TB, source string, o options) *run {
	t.Helper()
	s, err := store.Open(os.DirFS(source))
	must(t, err)
	if o.shards == "" {
		o.shards = build.ShardsNone
	}
	plan, err := build.New(build.StoreOf(s, nil, nil), build.Options{CPUs: 2, Shards: o.shards, StripTests: true})
	must(t, err)
	if o.environ == nil {
		o.environ = environ(t)
	}
	work := t.TempDir()
	if o.cache != "" {
		must(t, os.MkdirAll(o.cache, 0o755))
		work, err = os.MkdirTemp(o.cache, host.WorkPattern)
		must(t, err)
	}
	r := &run{}
	r.Job = &host.Job{
		Runner: &host.Runner{
			Environ: o.environ, Secrets: o.secrets, Results: filepath.Join(work, "results"), Cache: o.cache,
			Compression: o.comp, Log: r.log, Now: time.Now,
		},
		Plan: plan, Source: source, Work: work, Parallel: 2,
	}
	return r
}

// all runs the whole build and returns the images' layers by name.
func (r *run) all(t testing.TB) map[string]layer.Descriptor {
	t.Helper()
	layers, err := r.build(t.Context())
	if err != nil {
		t.Fatalf("the build failed: %v\n%s", err, r.printed())
	}
	return layers
}

func (r *run) build(ctx context.Context) (map[string]layer.Descriptor, error) {
	if err := r.Install(ctx); err != nil {
		return nil, err
	}
	if err := r.Precompile(ctx); err != nil {
		return nil, err
	}
	list, err := r.Layers()
	if err != nil {
		return nil, err
	}
	layers := map[string]layer.Descriptor{}
	for _, l := range list {
		layers[l.Name] = l
	}
	return layers, nil
}

// reused are the steps whose layers were taken from the cache.
func (r *run) reused(t testing.TB) []string {
	t.Helper()
	results, err := r.Results()
	must(t, err)
	var out []string
	for _, res := range results {
		if res.Reused {
			out = append(out, res.Step)
		}
	}
	return out
}

// entries lists a layer's entries by their path in the image, with their content.
func (r *run) entries(t testing.TB, d layer.Descriptor) map[string]entry {
	t.Helper()
	blob, err := r.Runner.Blob(d)
	must(t, err)
	defer blob.Close()
	out := map[string]entry{}
	must(t, layer.Walk(blob, d.MediaType, func(h *header, content io.Reader) error {
		raw, err := io.ReadAll(content)
		out[strings.TrimSuffix(h.Name, "/")] = entry{h, string(raw)}
		return err
	}))
	return out
}

var release = build.Release{BuildNum: "7", Revision: "abc", Created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}

// files lists a tree: each file with its content's digest, each link with its target.
func files(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			out[rel], err = os.Readlink(p)
			return err
		}
		raw, err := os.ReadFile(p)
		sum := sha256.Sum256(raw)
		out[rel] = hex.EncodeToString(sum[:8])
		return err
	}))
	return out
}

// differences are the paths that two maps do not agree on, and that ignore does
// not match.
func differences(a, b map[string]string, ignore func(string) bool) []string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[p]; !ignore(p) && (!ok || other != a[p]) {
			out = append(out, fmt.Sprintf("%s: %q, %q", p, a[p], other))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[p]; !ok && !ignore(p) {
			out = append(out, fmt.Sprintf("%s: only in the second", p))
		}
	}
	return out
}

// sameLayers reports layers that differ in content.
func sameLayers(t testing.TB, what string, want, got map[string]layer.Descriptor) {
	t.Helper()
	if diff := changedLayers(want, got); len(diff) > 0 {
		t.Errorf("%s: other layers: %v", what, diff)
	}
}

func changedLayers(want, got map[string]layer.Descriptor) []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(want)) {
		if want[n].Digest != got[n].Digest {
			out = append(out, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[n]; !ok {
			out = append(out, n+" (new)")
		}
	}
	return out
}

// enableCSP turns the module on that notes the hashes of scripts.
func enableCSP(t testing.TB, dir string) {
	edit(t, filepath.Join(dir, "app/etc/config.php"), "'Magento_Csp' => 0", "'Magento_Csp' => 1")
}
