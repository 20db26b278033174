package test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is built is run as a shop, in containers; what does not serve is no build.
func TestWhatIsBuiltServes(t *testing.T) {
	db, redis := cmp.Or(os.Getenv("MCK_E2E_MARIADB_IMAGE"), "mariadb:10.6"), cmp.Or(os.Getenv("MCK_E2E_REDIS_IMAGE"), "redis:7")
	for _, image := range []string{db, redis} {
		if _, err := connect(t).Container().From(image).ID(t.Context()); err != nil {
			t.Skipf("not run: the engine cannot pull %s (MCK_E2E_MARIADB_IMAGE and MCK_E2E_REDIS_IMAGE name others)", image)
		}
	}
	flags := func(dir string) []string {
		args := append(storeFlags(dir), "--mariadb-image="+db, "--redis-image="+redis)
		for i, a := range args {
			if a == "--smoke=false" {
				args[i] = "--smoke=true"
			}
		}
		return args
	}
	out := call(t, append(flags(sample), "build", "--build-num=7", "smoke", "--as-json")...).must(t)
	for _, want := range []string{`"name": "product"`, `"name": "redis"`, `"detail": "build 7`} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("the report lacks %s:\n%s", want, out.stdout)
		}
	}
	if strings.Contains(out.stdout, `"failed"`) {
		t.Errorf("something failed:\n%s", out.stdout)
	}
	// Every page of this store ends with an error; the build is green up to there.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "app/code/Acme/Greeting/Plugin/Greet.php")
	raw, err := os.ReadFile(broken)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := strings.Replace(string(raw), "        return [", "        if (PHP_SAPI !== 'cli') { throw new \\RuntimeException('no greeting today'); }\n        return [", 1)
	if err := os.WriteFile(broken, []byte(spoiled), 0o644); err != nil {
		t.Fatal(err)
	}
	failed := call(t, append(flags(dir), "build", "--build-num=8", "summary")...)
	if failed.code == 0 || !strings.Contains(failed.all(), "the images do not serve") {
		t.Errorf("a shop that fails is a build, exit code %d:\n%.4000s", failed.code, failed.all())
	}
	// Test results are there of both.
	for num, want := range map[string]string{"7": `failures="0"`, "8": "<failure"} {
		file := filepath.Join(t.TempDir(), "smoke.xml")
		call(t, append(flags(dir), "test-results", "--build-num="+num, "export", "--path="+file)...).must(t)
		if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), want) || !strings.Contains(string(raw), `name="build `+num+`"`) {
			t.Errorf("the test results of build %s lack %q: %v\n%.2000s", num, want, err, raw)
		}
	}
}
