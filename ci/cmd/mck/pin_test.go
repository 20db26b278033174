package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/build"
)

func TestPin(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	put := func(repo string) string {
		index, err := random.Index(100, 1, 2)
		noError(t, err)
		ref, err := name.ParseReference(address + "/" + repo)
		noError(t, err)
		noError(t, remote.WriteIndex(ref, index))
		digest, err := index.Digest()
		noError(t, err)
		return digest.String()
	}
	php, nginx := put("library/php:8.3-fpm-bookworm"), put("library/nginx:stable-bookworm")
	file := filepath.Join(t.TempDir(), "bases.json")
	noError(t, os.WriteFile(file, []byte(`{"php:8.3-fpm-bookworm": "", "nginx:stable-bookworm": "`+nginx+`"}`), 0o644))
	pin := func(args ...string) (code int, stdout, stderr string) {
		return mck(t, nil, append([]string{"pin", "--file", file, "--base-registry", "tcp://" + address}, args...)...)
	}
	read := func() map[string]string {
		content, err := os.ReadFile(file)
		noError(t, err)
		bases, err := build.ParseBases(content)
		noError(t, err)
		return bases
	}

	code, out, errors := pin()
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errors)
	}
	if got := read(); got["php:8.3-fpm-bookworm"] != php || got["nginx:stable-bookworm"] != nginx {
		t.Errorf("the file has %v", got)
	}
	for _, want := range []string{"IMAGE", "php:8.3-fpm-bookworm   not pinned           " + php[:19], "nginx:stable-bookworm  " + nginx[:19] + "  the same"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	newer := put("library/php:8.3-fpm-bookworm")
	put("library/nginx:stable-bookworm")
	if code, _, errors := pin("php:8.3-fpm-bookworm"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errors)
	}
	if got := read(); got["php:8.3-fpm-bookworm"] != newer || got["nginx:stable-bookworm"] != nginx {
		t.Errorf("after php alone was renewed the file has %v", got)
	}

	before := read()
	if code, _, errors := pin("nginx:stable-bookworm", "php:5.2"); code == 0 || !strings.Contains(errors, "php:5.2") {
		t.Errorf("an image that there is not: exit code %d, %s", code, errors)
	}
	if got := read(); got["nginx:stable-bookworm"] != before["nginx:stable-bookworm"] {
		t.Error("a failure left half of the file renewed")
	}
}
