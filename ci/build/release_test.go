package build_test

import (
	"testing"

	"github.com/magecloudkit/pipeline/ci/build"
)

// However a repository is cloned, its images carry one address.
func TestRepositoryURL(t *testing.T) {
	for address, want := range map[string]string{
		"git@github.com:acme/store.git":                "https://github.com/acme/store",
		"ssh://git@github.com/acme/store.git":          "https://github.com/acme/store",
		"ssh://git@git.example:2222/acme/store":        "https://git.example/acme/store",
		"https://github.com/acme/store.git":            "https://github.com/acme/store",
		"https://x-token:secret@github.com/acme/store": "https://github.com/acme/store",
		"https://git.example:8443/scm/acme/store.git":  "https://git.example:8443/scm/acme/store",
		"/srv/git/store.git":                           "/srv/git/store.git",
		"":                                             "",
	} {
		if got := build.RepositoryURL(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
