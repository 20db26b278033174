package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The demo is what somebody sees first: it has to work as it stands, and to show
// that the second build sends what changed and nothing else.
func TestDemo(t *testing.T) {
	needTools(t)
	dir := filepath.Join(t.TempDir(), "demo")
	// Whatever is set on the machine, the demo reaches no other one.
	vars := withTools(t, map[string]string{"COMPOSER_AUTH": "hunter2", "MAGENTO_PUBLIC_KEY": "hunter2", "AWS_ENDPOINT_URL": "http://192.0.2.1", "COMPOSER_DISABLE_NETWORK": "0"})
	source := sample(t)
	code, out, errs := mck(t, vars, "demo", "--source", source, "--out", dir)
	if code != 0 {
		t.Fatalf("demo = %d\n%s%s", code, out, errs)
	}
	parts := regexp.MustCompile(`(?m)^\d\. .*\n\n`).Split(out, -1)
	if len(parts) != 10 {
		t.Fatalf("the demo has %d parts:\n%s", len(parts)-1, out)
	}
	for part, says := range map[int][]string{
		1: {"Magento Open Source 2.4.7-p3", "0 errors"},
		2: {"image magento2:301", "image nginx:301", "vendor", "static-frontend-Acme-shop"},
		3: {"/magecloudkit/magento2:301", "/magecloudkit/nginx:301"},
		4: {"PULLED", "/magecloudkit/nginx:301"},
		5: {"changed: app/code/Acme/Greeting/Plugin/Greet.php", "image magento2:302"},
		9: {"OutOfMemoryError", "deploy: rolled back", "production-app: runs production-app:2 again", "$ mck status", "$ mck history", "deploy   301", "release.html", "Next", "mck doctor production"},
		8: {"production-app: 2 of 2 running", "deploy: released: build 302", "service production-consumers: runs"},
	} {
		for _, want := range says {
			if !strings.Contains(parts[part], want) {
				t.Errorf("part %d does not say %q:\n%s", part, want, parts[part])
			}
		}
	}
	for part, want := range map[int]map[string]bool{ // whether a blob was sent
		3: {"vendor": true, "magento": true, "app": true, "app-code": true, "generated": true, "config": true},
		6: {"vendor": false, "magento": false, "app": false, "app-code": true, "generated": false, "config": true, "static-common": false, "release": true},
	} {
		for blob, sent := range want {
			how := "was there"
			if sent {
				how = "sent"
			}
			if ok, err := regexp.MatchString(`(?m)^\S+/magento2:30\d +`+blob+` .* `+how+`$`, parts[part]); err != nil || !ok {
				t.Errorf("part %d: %s is not shown as %q:\n%s", part, blob, how, parts[part])
			}
		}
	}
	if !strings.Contains(parts[9], "5 of 20 blobs sent") || !strings.Contains(parts[9], "2 of 4 steps ran") {
		t.Errorf("the summary is\n%s", parts[9])
	}
	for _, made := range []string{"images-301/magento2/index.json", "images-302/nginx/index.json", "cache", "release.html"} {
		if _, err := os.Stat(filepath.Join(dir, made)); err != nil {
			t.Errorf("--out keeps no %s: %v", made, err)
		}
	}
}

func TestDemoOfNothing(t *testing.T) {
	for want, args := range map[string][]string{
		"run the demo at the root of the repository": {"--source", filepath.Join(t.TempDir(), "nowhere")},
		"unknown command": {"now"},
	} {
		if code, out, errs := mck(t, nil, append([]string{"demo"}, args...)...); code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("demo %v = %d\n%s%s", args, code, out, errs)
		}
	}
}
