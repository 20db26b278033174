package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/inspect"
)

// What is in a build, here or in a registry, and what another build has that it lacks.
func TestInspect(t *testing.T) {
	needTools(t)
	source, cache, dir := sample(t), filepath.Join(t.TempDir(), "cache"), t.TempDir()
	build := func(number, out string) {
		t.Helper()
		code, _, errs := mck(t, withTools(t, nil), "build", "--source", source, "--cache-dir", cache, "--out", filepath.Join(dir, out),
			"--build-num", number, "--php-base", "scratch", "--nginx-base", "scratch")
		if code != 0 {
			t.Fatalf("build = %d\n%s", code, errs)
		}
	}
	build("301", "first")
	write(t, filepath.Join(source, "app/code/Acme/Greeting/new.txt"), "new")
	build("302", "second")
	aws := simulated(t)
	for number, out := range map[string]string{"301": "first", "302": "second"} {
		if code, _, errs := mck(t, aws, "push", "--build-num", number, "--images", filepath.Join(dir, out)); code != 0 {
			t.Fatalf("push = %d\n%s", code, errs)
		}
	}
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	host := aws["AWS_ECR_URL"]
	for _, args := range [][]string{
		{"--images", second, "--against", first},
		{"--images", second, "--against", "301"},
		{"--images", second, "--build-num", "302", "--against", "oci:" + first + "/magento2"},
		{"--images", first, "--build-num", "302", "--against", first},
		{"--images", "/nowhere", "--against", host + "/magecloudkit/magento2:301", host + "/magecloudkit/magento2:302"},
		{"--against", filepath.Join(first, "magento2"), filepath.Join(second, "magento2")},
	} {
		if strings.HasPrefix(args[len(args)-1], "oci:") { // of one image alone
			args = append(args, filepath.Join(second, "magento2"))
		}
		code, out, errs := mck(t, aws, append([]string{"inspect", "--json"}, args...)...)
		var found []inspect.Image
		if code != 0 || json.Unmarshal([]byte(out), &found) != nil || len(found) == 0 {
			t.Errorf("inspect %v = %d\n%s%s", args, code, out, errs)
			continue
		}
		im := found[0]
		if im.Name != "magento2" || im.Build != "302" || im.Against == nil || im.Against.Build != "301" || len(im.Against.Added) != 1 ||
			im.Against.Added[0].Path != "var/www/html/app/code/Acme/Greeting/new.txt" || strings.Join(im.Against.Layers, " ") != "app-code release" {
			t.Errorf("inspect %v: %+v", args, im.Against)
		}
	}
	code, out, errs := mck(t, aws, "inspect", "--images", second, "--against", "301")
	for _, want := range []string{"LAYER", "vendor", "static-frontend-Acme-shop", "LARGEST FILES", "+ var/www/html/app/code/Acme/Greeting/new.txt", "~ var/www/html/pub/REVISION.txt", "label org.opencontainers.image.version"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("the table lacks %q: %d\n%s%s", want, code, out, errs)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--images", "/nowhere"}, 1, "mck build --out /nowhere"},
		{[]string{"--build-num", "999"}, 1, "has no image"},
		{[]string{"--images", second, "--against", filepath.Join(first, "nginx")}, exitUsage, "names no image magento2, but nginx"},
		{[]string{"--largest", "-1"}, exitUsage, "--largest"},
		{[]string{"Not A Reference"}, exitUsage, "Not A Reference"},
	} {
		if code, _, errs := mck(t, aws, append([]string{"inspect"}, c.args...)...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("inspect %v = %d, %s; want %d and %q", c.args, code, errs, c.code, c.says)
		}
	}
}
