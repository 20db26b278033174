package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockAddsWhatIsMissing(t *testing.T) {
	dir := sampleStore(t, all(remove("composer.lock"), withoutModules))
	call(t, append(storeFlags(dir), "lock", "export", "--path="+dir)...).must(t)
	if _, err := os.Stat(filepath.Join(dir, "composer.lock")); err != nil {
		t.Fatal(err)
	}
	var report string
	if err := query(t.Context(), connect(t), storeParams(t, connect(t).Host().Directory(dir)), "check", &report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(report, "0 errors, 0 warnings") {
		t.Errorf("check of the store that was locked:\n%s", report)
	}
}

func TestLockOfALockedStoreChangesNothing(t *testing.T) {
	var got struct{ IsEmpty bool }
	if err := query(t.Context(), connect(t), storeParams(t, source(t)), "lock { isEmpty }", &got); err != nil {
		t.Fatal(err)
	}
	if !got.IsEmpty {
		t.Error("it would change something")
	}
}

// TestLockIsApplied asks for the change to be applied where the command runs, in
// the store.
func TestLockIsApplied(t *testing.T) {
	dir := sampleStore(t, withoutModules)
	before, err := os.ReadFile(filepath.Join(dir, "composer.json"))
	if err != nil {
		t.Fatal(err)
	}
	callFrom(t, dir, nil, append(append([]string{"--progress=plain", "call", "--auto-apply", "--mod=" + checkout}, storeFlags(".")...), "lock")...).must(t)
	config, err := os.ReadFile(filepath.Join(dir, "app/etc/config.php"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), "'Acme_Delivery' => 1") {
		t.Errorf("config.php has no module list:\n%s", config)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "composer.json")); err != nil || string(after) != string(before) {
		t.Errorf("composer.json has changed too (%v)", err)
	}
}
