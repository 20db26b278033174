package leak_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/leak"
	"github.com/magecloudkit/pipeline/ci/store"
)

// packed is a layer of these files.
func packed(t *testing.T, name string, files map[string]string) leak.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: file, Size: int64(len(files[file])), Mode: 0o644}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[file])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	return leak.Layer{Name: name, Digest: "sha256:" + name, MediaType: layer.MediaTypeTar, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }}
}

// places are what was found where, of layers in images of their own.
func places(t *testing.T, s leak.Search, layers ...leak.Layer) []string {
	t.Helper()
	var images []leak.Image
	for _, l := range layers {
		images = append(images, leak.Image{Name: "of " + l.Name, Config: []byte(`{}`), Layers: []leak.Layer{l}})
	}
	r, err := s.Images(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, f.Where+": "+f.Kind)
	}
	return out
}

const secret = `p/a+ss"w$rd'&ü-1`

// A given value is found in every form that programs write it in, at any place of a file of any size.
func TestForms(t *testing.T) {
	s := leak.Search{Secrets: []leak.Secret{{Name: "S", Value: secret}}}
	files := map[string]string{
		"clear":        "x" + secret + "x",
		"json":         `{"a":"p\/a+ss\"w$rd'&ü-1"}`,
		"json-slashes": `{"a":"p/a+ss\"w$rd'&ü-1"}`,
		"php-single":   `'p/a+ss"w$rd\'&ü-1'`,
		"php-double":   `"p/a+ss\"w\$rd'&ü-1"`,
		"html":         `<a b="p/a+ss&#34;w$rd&#39;&amp;ü-1">`,
		"php-html":     `<a b="p/a+ss&quot;w$rd&#039;&amp;ü-1">`,
		"query":        "a=p%2Fa%2Bss%22w%24rd%27%26%C3%BC-1",
		"query-lower":  "a=p%2fa%2bss%22w%24rd%27%26%c3%bc-1",
		"hex":          fmt.Sprintf("%x", secret),
		"hex-upper":    fmt.Sprintf("%X", secret),
		"large":        strings.Repeat("a", 4<<20+16<<10-5) + secret + strings.Repeat("b", 9<<20),
		"name-" + "x":  "nothing",
	}
	for at := range 3 {
		text := strings.Repeat("A", at) + secret + strings.Repeat("B", at)
		files[fmt.Sprint("base64-", at)] = base64.StdEncoding.EncodeToString([]byte(text))
		files[fmt.Sprint("base64url-", at)] = base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	found := map[string]bool{}
	for _, p := range places(t, s, packed(t, "l", files)) {
		name, _, _ := strings.Cut(p, ":")
		found[name] = true
	}
	for name := range files {
		if found["/"+name] == (name == "name-x") {
			t.Errorf("%s: found is %v", name, found["/"+name])
		}
	}
	if got := places(t, leak.Search{Secrets: []leak.Secret{{Name: "S", Value: "in-a-file-name-77"}}}, packed(t, "l", map[string]string{"a/in-a-file-name-77.txt": ""})); len(got) != 1 {
		t.Errorf("in a file's name: %v", got)
	}
}

func body(n int) string { return strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", n) }

// Examples, templates, and code that only speaks of secrets are none.
func TestKinds(t *testing.T) {
	begin := "-----BEGIN RSA PRIVATE KEY-----"
	is := map[string]string{
		"key.pem":                   begin + "\n" + body(10) + "\n",
		"key-with-headers.pem":      begin + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AB12\n\n" + body(10) + "\n",
		"in-a-string.php":           `<?php $k = "` + begin + `\n` + body(10) + `";`,
		"in-pieces.php":             `<?php $k = '` + begin + `' . "\n" . '` + body(2) + `'`,
		"openssh":                   "-----BEGIN OPENSSH PRIVATE KEY-----\n" + body(4),
		"pgp.asc":                   "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + body(4),
		"aws":                       "id: " + "AKIA" + "QYLPMN5HHHFPZAM2",
		"credentials":               "aws_secret_access_key = " + "kX9vQ2mT7bR4wL8nZ1cJ6hF3dS5gP0aY/u+eIoKq",
		"pat":                       "github" + "_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ012",
		"circle":                    "CCIPAT" + "_0aBcDeFgHiJkLmNoPqRsTu_0123456789abcdef0123456789abcdef01234567",
		"npm":                       "npm" + "_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX",
		"keys.sh":                   "export MAGENTO_PRIVATE_KEY=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		".env.local":                "# a\nAPP_DEBUG=1\n",
		"store.p12":                 "\x30\x82",
		".netrc":                    "machine a.example login b password cdefg",
		".docker/config.json":       `{"auths":{"r.example":{"auth":"YTpi"}}}`,
		"app/etc/env.php.old":       `<?php return ['db' => ['password' => 'x9']];`,
		"a/.git/objects/ab/cdef":    "",
		"a/b.json":                  `{"gitlab-token":{"gitlab.acme.example":"abcdefghijk"}}`,
		"stripe":                    "sk_" + "live_0aB1cD2eF3gH4iJ5kL6mN7oP",
		"env/.env.production":       `PASSWORD="a b"`,
		"putty.ppk":                 "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
		"ending-in-the-middle.json": `{"key":"` + begin + `\n` + body(1) + body(1),
	}
	isnt := map[string]string{
		"marker.php":        `if (strpos($k, "` + begin + `") === 0) { return 'RSA'; }`,
		"manual.md":         begin + "\n...\n-----END RSA PRIVATE KEY-----",
		"public.pem":        "-----BEGIN PUBLIC KEY-----\n" + body(10),
		"certificate.pem":   "-----BEGIN CERTIFICATE-----\n" + body(10),
		"cert-in-base64":    base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n" + body(10))),
		"aws-docs":          "AKIA" + "IOSFODNN7EXAMPLE",
		"aws-in-base64":     "xAKIA" + "QYLPMN5HHHFPZAM2",
		"token-docs":        "ghp_" + strings.Repeat("x", 36),
		".env.example":      "PASSWORD=a\n",
		".env":              "PASSWORD=\nUSER=${USER}\n# A=b\n",
		"auth.json.sample":  `{"http-basic":{"repo.magento.com":{"username":"<public-key>","password":"<private-key>"}}}`,
		"auth.json":         `{"http-basic": {}}`,
		".npmrc":            "//npm.example.com/:_authToken=${NPM_TOKEN}\n",
		"app/etc/env.php":   `<?php return ['crypt' => ['key' => $_ENV['CRYPT_KEY']], 'db' => ['password' => getenv('P')]];`,
		".gitignore":        "a",
		"a/.github/x.yml":   "a",
		"composer.schema":   `"http-basic": {"type": "object", "description": "A hash of domain name => {\"username\": \"...\"}"}`,
		"key.p12.md":        "a",
		"not-gzip-at-all":   "\x1f\x8b nothing",
		"some/password.php": "<?php 'password' => 'abc'",
	}
	got := places(t, leak.Search{}, packed(t, "l", is))
	for name := range is {
		if name == "a/.git/objects/ab/cdef" {
			name = "a/.git"
		}
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, "/"+name+":") }) {
			t.Errorf("%s is not found", name)
		}
	}
	if got := places(t, leak.Search{}, packed(t, "l", isnt)); len(got) > 0 {
		t.Errorf("found where there is none: %q", got)
	}
}

const installed = `{"packages": [
	{"name": "php/jwt", "install-path": "../php/jwt", "dist": {"type": "zip", "url": "https://api.github.com/x"}},
	{"name": "acme/own", "install-path": "../acme/own", "dist": {"type": "path", "url": "packages/own"}},
	{"name": "acme/shared", "install-path": "../acme/shared", "dist": {"type": "path", "url": "/srv/shared"}},
	{"name": "acme/zip", "install-path": "../acme/zip", "dist": {"type": "artifact", "url": "artifacts/zip.zip"}},
	{"name": "acme/meta", "install-path": null, "dist": {"type": "zip"}}
]}`

// A key that a published package brings is everybody's, wherever a plugin copies it; the store's own packages, composer's
// own files and values that the build was given are not excused.
func TestPublished(t *testing.T) {
	key := "-----BEGIN PRIVATE KEY-----\n" + body(4)
	other := "-----BEGIN PRIVATE KEY-----\n" + strings.ToLower(body(4))
	const root = "var/www/html/"
	s := leak.Search{
		Root: "var/www/html", Published: leak.Published([]byte(installed)), Key: []byte("a key of the cache"),
		Secrets: []leak.Secret{{Name: "S", Value: secret}},
	}
	got := places(t, s, packed(t, "vendor", map[string]string{
		root + "vendor/php/jwt/test/key.pem":        key,
		root + "vendor/php/jwt/test/given":          secret,
		root + "vendor/php/jwt/.git/config":         "x",
		root + "vendor/php/jwtx/key.pem":            other,
		root + "vendor/acme/own/key.pem":            other,
		root + "vendor/acme/shared/key.pem":         other + "1",
		root + "vendor/acme/zip/key.pem":            other,
		root + "vendor/composer/installed.json":     `{"url": "https://gitlab.com/", "t": "` + "glpat-" + `1x2Y3z4A5b6C7d8E9f0G"}`,
		root + "vendor/php/jwt/src/generated.class": "nothing",
	}), packed(t, "app", map[string]string{
		root + "lib/copy-of-jwt.pem":           key,
		root + "generated/code/Acme/Key.php":   "<?php '" + other,
		root + "pub/static/frontend/a/key.txt": other,
		"usr/share/doc/key.pem":                other,
	}))
	want := []string{
		"vendor/acme/own/key.pem: private key", "vendor/acme/zip/key.pem: private key", "vendor/composer/installed.json: GitLab token",
		"vendor/php/jwt/.git: a git repository, with its history and its remotes", "vendor/php/jwt/test/given: the value of S",
		"vendor/php/jwtx/key.pem: private key",
		"generated/code/Acme/Key.php: private key", "pub/static/frontend/a/key.txt: private key", "/usr/share/doc/key.pem: private key",
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// memory is a cache that counts.
type memory struct {
	kept      map[string][]leak.Found
	got, lost int
}

func (m *memory) Get(key string) ([]leak.Found, bool) {
	found, ok := m.kept[key]
	if ok {
		m.got++
	} else {
		m.lost++
	}
	return found, ok
}
func (m *memory) Put(key string, found []leak.Found) { m.kept[key] = found }

// A layer is looked through once, as long as the same is looked for; what is kept tells nothing.
func TestCache(t *testing.T) {
	m := &memory{kept: map[string][]leak.Found{}}
	l := packed(t, "l", map[string]string{".env": "A=" + secret})
	run := func(key, value string, allowed ...store.Allowed) []string {
		return places(t, leak.Search{Cache: m, Key: []byte(key), Secrets: []leak.Secret{{Name: "S", Value: value}}, Allowed: allowed}, l)
	}
	first := run("k", secret)
	if again := run("k", secret); !slices.Equal(first, again) || m.got != 1 || m.lost != 1 || len(first) != 2 {
		t.Errorf("%v, then %v; %d from the cache", first, again, m.got)
	}
	if allowed := run("k", secret, store.Allowed{Path: "/.env", Reason: "r"}); m.got != 2 || len(allowed) != 1 {
		t.Errorf("allowed: %v, %d from the cache", allowed, m.got)
	}
	run("k", "another-value")
	run("another key", secret)
	if m.lost != 3 {
		t.Errorf("%d times not in the cache, want 3", m.lost)
	}
	for key, found := range m.kept {
		if text := fmt.Sprint(key, found); strings.Contains(text, secret) || len(key) != 64 {
			t.Errorf("kept: %s", text)
		}
	}
}

// A layer that cannot be read is an error, not a layer without secrets.
func TestBrokenLayer(t *testing.T) {
	broken := leak.Layer{Name: "broken", Digest: "sha256:1", MediaType: layer.MediaTypeZstd, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("no zstd")), nil }}
	gone := leak.Layer{Name: "gone", Digest: "sha256:2", MediaType: layer.MediaTypeTar, Open: func() (io.ReadCloser, error) { return nil, errors.New("it is gone") }}
	for _, l := range []leak.Layer{broken, gone} {
		if _, err := (&leak.Search{}).Images(t.Context(), []leak.Image{{Layers: []leak.Layer{l}}}); err == nil || !strings.Contains(err.Error(), l.Name) {
			t.Errorf("%s: %v", l.Name, err)
		}
	}
}

// What an auth.json holds is looked for by its parts; conventions and words are not.
func TestAuth(t *testing.T) {
	auth := leak.Auth("A", `{"http-basic": {"github.com": {"username": "0123456789abcdef0123", "password": "x-oauth-basic"}, "b.example": {"username": "bob", "password": "password"}},
		"gitlab-token": {"g.example": {"username": "long-enough-to-be-a-token", "token": "gitlab-token-1"}}, "custom-headers": {"c.example": ["API-TOKEN: header-value-1"]},
		"gitlab-domains": ["gitlab.acme.example"], "bitbucket-oauth": []}`)
	r, err := (&leak.Search{Secrets: auth}).Images(t.Context(), []leak.Image{{Name: "i", Config: []byte(`{}`), Layers: []leak.Layer{packed(t, "l", map[string]string{
		"a": "0123456789abcdef0123", "b": "x-oauth-basic password bob gitlab.acme.example", "c": "gitlab-token-1", "d": "header-value-1",
		"e": base64.StdEncoding.EncodeToString([]byte("bob:password")), "f": "long-enough-to-be-a-token",
	})}}})
	if err != nil {
		t.Fatal(err)
	}
	var where []string
	for _, f := range r.Findings {
		where = append(where, f.Where)
	}
	slices.Sort(where)
	if diff := cmp.Diff([]string{"/a", "/c", "/d", "/e", "/f"}, slices.Compact(where)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"A: http-basic of b.example, password: it is like a word"}, r.Unsearched); diff != "" {
		t.Errorf("unsearched (-want +got):\n%s", diff)
	}
}
