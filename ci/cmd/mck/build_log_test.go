package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A build's log has a line for each theme and locale. All that the commands printed
// is in files, one of which a failed step names.
func TestLogOfABuild(t *testing.T) {
	needTools(t)
	source, out, cache := sample(t), t.TempDir(), t.TempDir()
	build := func() (int, string) {
		t.Helper()
		code, _, errs := mck(t, withTools(t, nil), "build", "--source", source, "--out", out, "--cache-dir", cache, "--php-base", "scratch", "--nginx-base", "scratch", "--smoke=false")
		return code, errs
	}
	code, errs := build()
	if code != 0 {
		t.Fatalf("build = %d\n%s", code, errs)
	}
	for _, form := range []string{
		`static +\| adminhtml/Magento/backend en_US  \d+ files  \d+\.\d s\n`,
		`static +\| frontend/Acme/shop de_DE  \d+ files  \d+\.\d s\n`,
		`static +\| frontend/Acme/shop fr_FR  \d+ files  \d+\.\d s\n`,
		`composer +\| \d+ packages installed  \d+\.\d s\n`,
	} {
		if !regexp.MustCompile(form).MatchString(errs) {
			t.Errorf("the log has no line %s:\n%s", form, errs)
		}
	}
	if strings.Contains(errs, "Processing file") || strings.Contains(errs, "  - Installing") {
		t.Errorf("the log has a line for each file or package:\n%s", errs)
	}
	log := func(step, word string) {
		t.Helper()
		if raw, err := os.ReadFile(filepath.Join(out, "log", step+".log")); err != nil || !strings.Contains(string(raw), word) {
			t.Errorf("the log of step %s: %v, and should say %q:\n%s", step, err, word, raw)
		}
	}
	log("static", "Processing file 'requirejs-config.js'")
	log("composer", "  - Installing magento/framework")

	class := filepath.Join(source, "app/code/Acme/Greeting/registration.php")
	edit(t, class, "<?php", "<?php if (in_array('setup:di:compile', $_SERVER['argv'])) { exit(3); }")
	code, errs = build()
	name := filepath.Join(out, "log", "compile.log")
	if code == 0 || !strings.Contains(errs, "all that it printed: "+name) {
		t.Errorf("the failure does not name %s: build = %d\n%s", name, code, errs)
	}
	log("compile", "$ php -d memory_limit=2G bin/magento")
}
