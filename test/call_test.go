package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"dagger.io/dagger"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/image"
)

// output is what a run of the dagger command line left.
type output struct {
	stdout, log string
	code        int
}

func (o output) all() string { return o.stdout + o.log }

// call runs `dagger call` in the checkout, with plain progress.
func call(t *testing.T, args ...string) output {
	t.Helper()
	return callWith(t, nil, append([]string{"--progress=plain", "call"}, args...)...)
}

// callWith runs the dagger command line with more environment.
func callWith(t *testing.T, env []string, args ...string) output {
	t.Helper()
	return callFrom(t, checkout, env, args...)
}

// callFrom runs it in a directory.
func callFrom(t *testing.T, dir string, env []string, args ...string) output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "dagger", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"NO_COLOR=1"}, env...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("dagger %s: %v", strings.Join(args, " "), err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must fails the test unless the command line's exit code was 0.
func (o output) must(t *testing.T) output {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("dagger ended with exit code %d:\n%s", o.code, o.all())
	}
	return o
}

// storeFlags are the command line's arguments for a store.
func storeFlags(dir string) []string {
	flags := []string{"--source=" + dir, "--smoke=false"} // the test of smoke runs what is built
	if image := os.Getenv("MCK_E2E_PHP_IMAGE"); image != "" {
		flags = append(flags, "--php-image="+image)
	}
	if locales := os.Getenv("MCK_E2E_LOCALES"); locales != "" && os.Getenv("MCK_E2E_STORE") != "" {
		flags = append(flags, "--locales="+locales)
	}
	return flags
}

// params are arguments of a function, by their GraphQL names.
type params map[string]any

func (p params) with(q params) params {
	out := maps.Clone(p)
	maps.Copy(out, q)
	return out
}

func (p params) String() string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		v, err := json.Marshal(p[name])
		if err != nil {
			panic(err)
		}
		args = append(args, name+": "+string(v))
	}
	if len(args) == 0 {
		return ""
	}
	return "(" + strings.Join(args, ", ") + ")"
}

// storeParams are the constructor's arguments for a store.
func storeParams(t *testing.T, dir *dagger.Directory) params {
	t.Helper()
	id, err := dir.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := params{"source": id, "smoke": false}
	if image := os.Getenv("MCK_E2E_PHP_IMAGE"); image != "" {
		p["phpImage"] = image
	}
	if locales := os.Getenv("MCK_E2E_LOCALES"); locales != "" && os.Getenv("MCK_E2E_STORE") != "" {
		p["locales"] = strings.Split(locales, ",")
	}
	return p
}

// source is the store under test, without what no store's source has.
func source(t *testing.T) *dagger.Directory {
	t.Helper()
	return connect(t).Host().Directory(sample)
}

// query calls one function of the module; result gets its value.
func query(ctx context.Context, c *dagger.Client, store params, selection string, result any) error {
	answer := map[string]json.RawMessage{}
	err := c.Do(ctx, &dagger.Request{Query: fmt.Sprintf("{ magecloudkit%s { %s } }", store, selection)}, &dagger.Response{Data: &answer})
	if err != nil {
		return err
	}
	raw := answer["magecloudkit"]
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	for _, value := range fields {
		return json.Unmarshal(value, result)
	}
	return fmt.Errorf("no answer to %s", selection)
}

// directory calls a function that returns one.
func directory(t *testing.T, store params, function string, args params) *dagger.Directory {
	t.Helper()
	c := connect(t)
	var got struct{ ID string }
	if err := query(t.Context(), c, store, function+args.String()+" { id }", &got); err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	return c.LoadDirectoryFromID(dagger.DirectoryID(got.ID))
}

// built is what build returns.
type built struct {
	BuildNum, Revision, PHP, MagentoVersion string
	MagentoDigest, NginxDigest              string
	MagentoSize, NginxSize                  int64
	Summary                                 string

	Magento, Nginx *dagger.Container `json:"-"`
	Export         *dagger.Directory `json:"-"`
}

// build calls the module's build, and fails the test if that fails.
func build(t *testing.T, store, args params) built {
	t.Helper()
	c := connect(t)
	var got struct {
		built
		MagentoID, NginxID, ExportID struct{ ID string }
	}
	if err := query(t.Context(), c, store, "build"+args.String()+` {
		buildNum revision php magentoVersion magentoDigest magentoSize nginxDigest nginxSize summary
		MagentoID: magento { id } NginxID: nginx { id } ExportID: export { id } }`, &got); err != nil {
		t.Fatalf("build: %v", err)
	}
	b := got.built
	b.Magento = c.LoadContainerFromID(dagger.ContainerID(got.MagentoID.ID))
	b.Nginx = c.LoadContainerFromID(dagger.ContainerID(got.NginxID.ID))
	b.Export = c.LoadDirectoryFromID(dagger.DirectoryID(got.ExportID.ID))
	return b
}

// digests are the digests of an exported image's own layers, by the layers' names,
// those of its base left out. The layer of the release, which every build has
// anew, is left out too.
func (b built) digests(t *testing.T, image string) map[string]string {
	t.Helper()
	out := map[string]string{}
	manifest, config := b.manifest(t, image)
	names := history(config)
	if len(names) != len(manifest.Layers) {
		t.Fatalf("image %s: %d layers, and a history of %d", image, len(manifest.Layers), len(names))
	}
	for i, l := range manifest.Layers {
		if ownLayer(names[i]) && names[i] != "release" {
			out[names[i]] = l.Digest.String()
		}
	}
	return out
}

func history(config v1.ConfigFile) []string {
	var names []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			names = append(names, h.CreatedBy)
		}
	}
	return names
}

// ownLayer tells the layers that the pipeline names from those of a base, whose
// history is commands, or which has none.
func ownLayer(name string) bool {
	return name != "" && name != image.BaseLayer && !strings.ContainsAny(name, " /#")
}

// manifest reads an exported image's manifest and config without exporting its
// layers.
func (b built) manifest(t *testing.T, image string) (manifest v1.Manifest, config v1.ConfigFile) {
	t.Helper()
	read := func(name string, v any) {
		t.Helper()
		raw, err := b.Export.File(path.Join(image, name)).Contents(t.Context())
		if err == nil {
			err = json.Unmarshal([]byte(raw), v)
		}
		if err != nil {
			t.Fatalf("layout of %s, %s: %v", image, name, err)
		}
	}
	var index v1.IndexManifest
	read("index.json", &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("layout of %s: %d images", image, len(index.Manifests))
	}
	read("blobs/sha256/"+index.Manifests[0].Digest.Hex, &manifest)
	read("blobs/sha256/"+manifest.Config.Digest.Hex, &config)
	return manifest, config
}
