package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dagger.io/dagger"
	"github.com/google/go-cmp/cmp"
)

// changed are the layers of an image that two builds do not share, by name.
func changed(before, after map[string]string) []string {
	var out []string
	for name, digest := range after {
		if before[name] != digest {
			out = append(out, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// pick finds a file of the store's own code.
func pick(t *testing.T, dir *dagger.Directory, pattern string, suits func(path, content string) bool) (path, content string) {
	t.Helper()
	found, err := dir.Glob(t.Context(), pattern)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	for _, f := range found {
		content, err := dir.File(f).Contents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if suits(f, content) {
			return f, content
		}
	}
	t.Fatalf("the store has no %s that can be changed", pattern)
	return "", ""
}

func TestOneClassChangesNeitherVendorNorStatic(t *testing.T) {
	before := theBuild(t)
	store := source(t)
	path, code := pick(t, store, "app/code/**/*.php", func(path, code string) bool {
		return strings.Contains(code, "class ") && !strings.Contains(path, "/Test/") && strings.HasSuffix(strings.TrimSpace(code), "}")
	})
	code = strings.TrimSpace(code)
	code = code[:len(code)-1] + "\n    public function added(): int\n    {\n        return 1;\n    }\n}\n"
	after := build(t, storeParams(t, store.WithNewFile(path, code)), release)

	diff := changed(before.digests(t, "magento2"), after.digests(t, "magento2"))
	if !slices.Contains(diff, "app-code") {
		t.Errorf("%s was changed, and the layer with it was not", path)
	}
	for _, name := range diff {
		if name != "app-code" && name != "generated" {
			t.Errorf("%s was changed, and so was layer %s", path, name)
		}
	}
	if diff := changed(before.digests(t, "nginx"), after.digests(t, "nginx")); len(diff) > 0 {
		t.Errorf("%s was changed, and so were nginx's layers %v", path, diff)
	}
}

func TestOneStyleSheetChangesNeitherVendorNorGenerated(t *testing.T) {
	before := theBuild(t)
	store := source(t)
	path, style := pick(t, store, "app/**/web/css/**/*.less", func(_, _ string) bool { return true })
	after := build(t, storeParams(t, store.WithNewFile(path, style+"\n.added-by-a-test { color: #123456; }\n")), release)

	diff := changed(before.digests(t, "magento2"), after.digests(t, "magento2"))
	static := false
	for _, name := range diff {
		if strings.HasPrefix(name, "static-") {
			static = true
		} else if name != "app-code" && name != "app-design" {
			t.Errorf("%s was changed, and so was layer %s", path, name)
		}
	}
	if !static {
		t.Errorf("%s was changed, and no layer of static content was", path)
	}
	for _, name := range changed(before.digests(t, "nginx"), after.digests(t, "nginx")) {
		if !strings.HasPrefix(name, "static-") && !strings.HasPrefix(name, "gzip-static-") {
			t.Errorf("%s was changed, and so was nginx's layer %s", path, name)
		}
	}
}

// TestStepsAreTakenFromTheCache: after one class changed, static content is not
// deployed again, and the build says so.
func TestStepsAreTakenFromTheCache(t *testing.T) {
	const class = "app/code/Acme/Delivery/Model/Slot.php"
	dir := sampleStore(t, nil)
	args := func() []string { return append(storeFlags(dir), "build", "--build-num=1", "magento-digest") }
	call(t, args()...).must(t)
	// Another change than an earlier run's, whose layers the engine may still have.
	replace(class, "{\n", fmt.Sprintf("{\n    public const CHANGED = %d;\n", time.Now().UnixNano()))(t, dir)
	log := call(t, args()...).must(t).log
	for _, want := range []string{"static: unchanged", "compile: done"} {
		if !strings.Contains(log, want) {
			t.Errorf("after a change of %s the build does not say %q:\n%s", class, want, log)
		}
	}
	if strings.Contains(log, "$ composer install") || strings.Contains(log, "$ php -d memory_limit=2G bin/magento --no-ansi --no-interaction setup:static-content:deploy") {
		t.Errorf("after a change of %s packages were installed or static content was deployed again:\n%s", class, log)
	}
	// What the steps are told is no news to who reads the log.
	if strings.Contains(log, "mustExist") {
		t.Errorf("the log has the steps of the plan as JSON:\n%s", log)
	}
}

func TestSameContentSameLayers(t *testing.T) {
	want := map[string]map[string]string{}
	before := theBuild(t)
	for _, image := range imageNames {
		want[image] = before.digests(t, image)
	}
	same := func(t *testing.T, b built) {
		t.Helper()
		for _, image := range imageNames {
			if diff := cmp.Diff(want[image], b.digests(t, image)); diff != "" {
				t.Errorf("%s (-before +after):\n%s", image, diff)
			}
		}
	}
	for _, shards := range []string{"none", "theme", "locale"} {
		t.Run("shards by "+shards, func(t *testing.T) {
			same(t, build(t, storeParams(t, source(t)).with(params{"shards": shards}), release))
		})
	}
	t.Run("another release", func(t *testing.T) {
		b := build(t, storeParams(t, source(t)), params{"buildNum": "8", "revision": "fedc"})
		same(t, b)
		if b.MagentoDigest == before.MagentoDigest {
			t.Error("another build number gave the same image")
		}
	})
}

// prune has the engine forget all that it can. What a session uses stays, so this
// one ends and another begins.
func prune(t *testing.T) {
	t.Helper()
	if err := connect(t).Close(); err != nil {
		t.Fatal(err)
	}
	callWith(t, nil, "core", "engine", "local-cache", "prune").must(t)
	connection = connected()
}

func TestGzipLayers(t *testing.T) {
	b := build(t, storeParams(t, source(t)).with(params{"compression": "gzip"}), release)
	for _, image := range imageNames {
		manifest, config := b.manifest(t, image)
		names := history(config)
		for i, l := range manifest.Layers {
			if ownLayer(names[i]) && l.MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
				t.Errorf("%s: layer %s is %s", image, names[i], l.MediaType)
			}
		}
		if got, want := slices.Sorted(maps.Keys(b.digests(t, image))), slices.Sorted(maps.Keys(theBuild(t).digests(t, image))); !slices.Equal(got, want) {
			t.Errorf("%s: layers %v, with zstd %v", image, got, want)
		}
	}
	if _, err := b.Magento.WithExec([]string{"php", "-v"}).Sync(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("the container does not run: %v", err)
	}
}
