package store_test

import (
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/store"
)

// The hashes are what composer 2.5 computes for these files.
func TestContentHashIsComposers(t *testing.T) {
	for src, hash := range map[string]string{
		`{
    "name": "acme/shop",
    "description": "not part of the hash",
    "require": {"magento/product-community-edition": "2.4.7-p3", "php": "~8.2.0||~8.3.0"},
    "extra": {"é/😀": ["a\/b", 1.0, 1e25, 0.00001, -0, true, null, "<\u2028>"], "list": {"0": "x", "1": {}}},
    "config": {"sort-packages": true, "platform": {"php": "8.3.4"}},
    "prefer-stable": true
}`: "3c5d835eb9a730316e9893d6f1c6529c",
		`{"require": {"mage-os/product-community-edition": "^1.0"}, "repositories": {"mage-os": {"type": "composer", "url": "https://repo.mage-os.org/"}}, "minimum-stability": "stable"}`: "1bbddb1d9d48ccf69c40009920de1c31",
		`{"name": "a/b", "name": "acme/\u0001\b\f\n\r\t\"\\", "require": {}, "config": {"platform": null}, "extra": {"x": [], "n": [-1.50, 12345678901234567890]}}`:                        "7dbfadf9c6608d25d897d8d05499a9c1",
	} {
		for lock, want := range map[string]string{hash: "present", strings.Repeat("0", 32): "outdated"} {
			m := healthy()
			write(m, "composer.json", src)
			edit(t, m, "composer.lock", "bbdbda4d70ef6193735d8195437a0bd3", lock)
			if got := open(t, m).Check(store.Options{}).Facts.Lock; got != want {
				t.Errorf("content-hash %s: the lock is %q, want %q", lock, got, want)
			}
		}
	}
}
