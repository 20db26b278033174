package test

import (
	"archive/tar"
	"encoding/base64"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/image"
)

// TestSecretsStayOut gives a build every kind of secret that it may meet, and looks
// for them in all that it prints and all that it makes.
func TestSecretsStayOut(t *testing.T) {
	const (
		public  = "public4f1d7f6c0e5a4b6d8a2b"
		private = "private9c1b7e3fd64a4c2c8b1f"
		token   = "token0f3d58a2c7b94be0a1d6"
		stored  = "stored77a9d1c3e5f2b4860d1a"
		crypt   = "crypt5be1c92d7f3a48e6b0c4d"
	)
	auth := `{"http-basic": {"packages.example.com": {"username": "shop", "password": "` + token + `"}}}`
	secrets := map[string]string{
		"Magento's private key": private, "composer's password": token,
		"the password of the store's auth.json": stored, "the key in the store's env.php": crypt,
		"Magento's keys, encoded":      base64.StdEncoding.EncodeToString([]byte(public + ":" + private)),
		"composer's password, encoded": base64.StdEncoding.EncodeToString([]byte("shop:" + token)),
	}
	dir := sampleStore(t, all(
		write("auth.json", `{"http-basic": {"repo.magento.com": {"username": "u", "password": "`+stored+`"}}}`),
		write("app/code/Acme/Delivery/auth.json", `{"bearer": {"a.example.com": "`+stored+`"}}`),
		write("app/etc/env.php", "<?php return ['crypt' => ['key' => '"+crypt+"']];"),
		write(".env", "CRYPT_KEY="+crypt),
	))
	out := t.TempDir()
	env := []string{"TEST_COMPOSER_AUTH=" + auth, "TEST_PUBLIC=" + public, "TEST_PRIVATE=" + private}
	args := append([]string{"--progress=plain", "--debug", "call"}, storeFlags(dir)...)
	args = append(args, "--composer-auth=env://TEST_COMPOSER_AUTH", "--magento-public-key=env://TEST_PUBLIC", "--magento-private-key=env://TEST_PRIVATE",
		"build", "--build-num=1", "export", "--output="+out)
	log := callWith(t, env, args...).must(t).all()
	for what, secret := range secrets {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("%s is in the log: …%s", what, strings.ReplaceAll(log[max(0, i-200):i], "\n", "\n  "))
		}
	}
	for _, name := range imageNames {
		im, err := image.ReadLayout(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		config, err := im.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := im.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range secrets {
			if strings.Contains(string(config)+string(manifest), secret) {
				t.Errorf("%s: %s is in its manifest or config", name, what)
			}
		}
		walk(t, im, func(layer string, h *tar.Header, r io.Reader) {
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			for what, secret := range secrets {
				if strings.Contains(string(content)+h.Linkname, secret) {
					t.Errorf("%s: %s is in %s of layer %s", name, what, h.Name, layer)
				}
			}
			if base := filepath.Base(h.Name); base == "auth.json" || base == ".env" {
				t.Errorf("%s: layer %s holds %s", name, layer, h.Name)
			}
		})
	}
}
