package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/image"
)

// newKey is a private key that nothing uses.
func newKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	noError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	noError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	noError(t, err)
	noError(t, z.Close())
	return b.String()
}

// baseWith writes a base image with these files in a layer.
func baseWith(t *testing.T, config v1.Config, history string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		noError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}))
		_, err := w.Write([]byte(content))
		noError(t, err)
	}
	noError(t, w.Close())
	im, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}})
	noError(t, err)
	im, err = mutate.Append(im, mutate.Addendum{Layer: static.NewLayer(b.Bytes(), types.OCIUncompressedLayer), History: v1.History{CreatedBy: history}})
	noError(t, err)
	dir := filepath.Join(t.TempDir(), "base")
	noError(t, image.WriteLayout(im, dir, nil))
	return "oci:" + dir
}

// A secret in an image fails the build, wherever it is, and is named by its place and its kind.
func TestSecretsFailABuild(t *testing.T) {
	needTools(t)
	const password, token = "pa55/w0rd+of=composer", "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6"
	source, out, home := sample(t), filepath.Join(t.TempDir(), "out"), t.TempDir()
	module := filepath.Join(source, "app/code/Acme/Greeting")
	key := newKey(t)
	for name, content := range map[string]string{
		".env":                "MYSQL_PASSWORD=s0me-password\n",
		"etc/private.pem":     key,
		"etc/aws.ini":         "[default]\nkey = " + "AKIA" + "QYLPMN5HHHFPZAM2" + "\n",
		"env.php":             "<?php return ['crypt' => ['key' => '0f1e2d3c4b5a69788796a5b4c3d2e1f0']];",
		".npmrc":              "//npm.example.com/:_authToken=0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\n",
		"Model/Auth.php":      "<?php $a = '" + base64.StdEncoding.EncodeToString([]byte("x"+password+"y")) + "';",
		"etc/repo.json":       `{"url": "https://acme:` + url.QueryEscape(password) + `@repo.acme.example/"}`,
		"etc/dump.sql.gz":     gzipped(t, "INSERT INTO config VALUES ('"+password+"')"),
		"etc/keys.yaml":       "tls.key: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\n"+strings.Repeat("MIIEpAIBAAKCAQEAz0r7", 20)+"\n")) + "\n",
		"view/ci/config.toml": "token = \"" + "glpat-" + "1x2Y3z4A5b6C7d8E9f0G" + "\"\n",
	} {
		write(t, filepath.Join(module, name), content)
	}
	write(t, filepath.Join(source, "auth.json.bak"), `{"http-basic": {"repo.magento.com": {"username": "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "password": "9f8e7d6c5b4a39281706f5e4d3c2b1a0"}}}`)
	write(t, filepath.Join(source, "packages/sample-loyalty/etc/loyalty.key"), key)
	write(t, filepath.Join(source, "app/design/frontend/Acme/shop/web/js/token.js"), "var t='"+token+"';")
	write(t, filepath.Join(home, "auth.json"), `{"bearer": {"repo.home.example": "home-token-271828"}}`)
	write(t, filepath.Join(source, "app/code/Acme/Delivery/etc/home.txt"), "home-token-271828")
	base := baseWith(t, v1.Config{
		Env:    []string{"PATH=/usr/bin", "DEPLOY_TOKEN=abcdefgh12345678"},
		Labels: map[string]string{"com.acme.build": "https://bot:b0t-passw0rd@ci.acme.example/7"},
	}, "RUN curl -u acme:"+password+" https://repo.acme.example/", map[string]string{
		"root/.composer/auth.json": `{"github-oauth": {"github.com": "abcdef0123456789abcdef0123456789abcdef01"}}`,
		"srv/tools/.git/config":    "[core]\n", "usr/share/doc/ssl/test.key": newKey(t), "home/app/.ssh/id_ed25519": key,
	})
	vars := withTools(t, map[string]string{
		"COMPOSER_AUTH": `{"http-basic": {"repo.acme.example": {"username": "acme", "password": "` + password + `"}}}`, "COMPOSER_HOME": home, "DATADOG_API_KEY": "short",
	})
	cache := filepath.Join(t.TempDir(), "cache")
	args := []string{"build", "--source", source, "--cache-dir", cache, "--out", out, "--php-base", base, "--nginx-base", "scratch"}
	given := "the value of COMPOSER_AUTH: http-basic of repo.acme.example, password"
	want := []string{
		"app/code/Acme/Greeting/.env: values in a .env file (layer app-code, sha256:",
		"app/code/Acme/Greeting/etc/private.pem: private key (layer app-code, sha256:",
		"app/code/Acme/Greeting/etc/aws.ini: AWS access key (layer app-code",
		"app/code/Acme/Greeting/env.php: Magento's encryption key (env.php) (layer app-code",
		"app/code/Acme/Greeting/.npmrc: npm's credentials (layer app-code",
		"app/code/Acme/Greeting/Model/Auth.php: " + given + ", in base64 (layer app-code",
		"app/code/Acme/Greeting/etc/repo.json: " + given + ", URL-encoded (layer app-code",
		"app/code/Acme/Greeting/etc/dump.sql.gz: " + given + " (layer app-code",
		"app/code/Acme/Greeting/etc/keys.yaml: private key, in base64 (layer app-code",
		"app/code/Acme/Greeting/view/ci/config.toml: GitLab token (layer app-code",
		"auth.json.bak: composer's credentials (auth.json) (layer magento",
		"auth.json.bak: keys of Adobe's Marketplace (repo.magento.com) (layer magento",
		"vendor/sample/module-loyalty/etc/loyalty.key: private key (layer vendor",
		"app/design/frontend/Acme/shop/web/js/token.js: GitHub token (layer app-design",
		"pub/static/frontend/Acme/shop/en_US/js/token.js: GitHub token (layer static-frontend-Acme-shop",
		"of magento2 and nginx)",
		"app/code/Acme/Delivery/etc/home.txt: the value of COMPOSER_HOME's auth.json: bearer of repo.home.example (layer app-code",
		"environment variable DEPLOY_TOKEN: a variable that is named like a secret, with a value (config of magento2)",
		"label com.acme.build: a URL with a password (config of magento2)",
		"history, step 1: " + given + " (config of magento2)",
		"/root/.composer/auth.json: composer's credentials (auth.json) (layer base",
		"/srv/tools/.git: a git repository, with its history and its remotes (layer base",
		"/home/app/.ssh/id_ed25519: private key (layer base",
		".magecloudkit-allow", "not looked for: DATADOG_API_KEY: it is shorter than 8 characters",
	}
	check := func(what, errs string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(errs, w) {
				t.Errorf("%s: it does not say %q", what, w)
			}
		}
		for _, not := range []string{password, token, "s0me-password", "home-token", "b0t-passw0rd", "abcdefgh12345678", "usr/share", "0f1e2d3c", "AKIA"} {
			if strings.Contains(errs, not) {
				t.Errorf("%s: it says %q", what, not)
			}
		}
		if t.Failed() {
			t.Log(errs)
		}
	}
	code, _, errs := mck(t, vars, args...)
	if code != 1 {
		t.Errorf("build = %d", code)
	}
	check("the first build", errs)
	if _, err := os.Stat(filepath.Join(out, "magento2")); err == nil {
		t.Error("the images were written all the same")
	}
	code, _, errs = mck(t, vars, args...)
	check("from the cache", errs)
	if code != 1 {
		t.Errorf("the second build = %d", code)
	}
	// What the cache says of a layer is not believed when a disk has changed it.
	found, err := filepath.Glob(filepath.Join(cache, "leaks", "*.json"))
	noError(t, err)
	for _, f := range found {
		raw, err := os.ReadFile(f)
		noError(t, err)
		noError(t, os.WriteFile(f, bytes.ReplaceAll(raw, []byte("app/code"), []byte("app/cade")), 0o644))
	}
	code, _, errs = mck(t, vars, args...)
	check("from a damaged cache", errs)
	if code != 1 || len(found) == 0 {
		t.Errorf("the third build = %d, after %d results of searches", code, len(found))
	}
}

// What only looks like a secret is allowed by the store, with a reason; what the build was given never is.
func TestAllowedSecrets(t *testing.T) {
	needTools(t)
	source := sample(t)
	const password = "never-4llowed-anywhere"
	write(t, filepath.Join(source, "app/code/Acme/Greeting/Test/fixture.pem"), newKey(t))
	write(t, filepath.Join(source, "app/code/Acme/Greeting/Test/given.txt"), "nothing yet")
	vars := withTools(t, map[string]string{"COMPOSER_AUTH": `{"http-basic": {"repo.acme.example": {"username": "acme", "password": "` + password + `"}}}`})
	args := []string{"build", "--source", source, "--cache-dir", filepath.Join(t.TempDir(), "cache"), "--out", filepath.Join(t.TempDir(), "out"), "--php-base", "scratch", "--nginx-base", "scratch"}
	allow := filepath.Join(source, ".magecloudkit-allow")

	write(t, allow, "app/code/*/*/Test/*.pem\n")
	if code, _, errs := mck(t, vars, args...); code != 1 || !strings.Contains(errs, "line 1 gives no reason") {
		t.Errorf("without a reason: build = %d\n%s", code, errs)
	}
	write(t, allow, "# keys of tests\napp/code/*/*/Test/*  made for the tests, used nowhere\n/etc/gone/* was there once\n")
	code, _, errs := mck(t, vars, args...)
	for _, want := range []string{
		"allowed: app/code/Acme/Greeting/Test/fixture.pem: private key, because: made for the tests, used nowhere",
		".magecloudkit-allow allows /etc/gone/*, where nothing is to be allowed", " 0 of the layers by an earlier build: 0 secrets",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("it does not say %q:\n%s", want, errs)
		}
	}
	if code != 0 {
		t.Fatalf("build = %d\n%s", code, errs)
	}
	if code, _, errs = mck(t, vars, args...); code != 0 || strings.Contains(errs, " 0 of the layers by an earlier build") {
		t.Errorf("again: build = %d, and layers were looked through twice:\n%s", code, errs)
	}
	write(t, filepath.Join(source, "app/code/Acme/Greeting/Test/given.txt"), password)
	if code, _, errs = mck(t, vars, args...); code != 1 || !strings.Contains(errs, "Test/given.txt: the value of COMPOSER_AUTH") {
		t.Errorf("a given value that is allowed: build = %d\n%s", code, errs)
	}
}
