package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// secrets are what a build is given, or finds lying about, and where.
var secrets = map[string]string{
	"COMPOSER_AUTH":             "ca-7Qx/9kL2.mZ+4vB8",
	"MAGENTO_PUBLIC_KEY":        "0123456789abcdef0123456789abcdef",
	"MAGENTO_PRIVATE_KEY":       "fedcba9876543210fedcba9876543210",
	"AWS_SECRET_ACCESS_KEY":     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYTESTKEY123",
	"AWS_SESSION_TOKEN":         "FwoGZXIvYXdzEJr//session//token+test=",
	"MYSQL_PASSWORD":            "my-sql-pass-5519",
	"CRYPT_KEY":                 "c0ffee00c0ffee00c0ffee00c0ffee00",
	"MAGENTO_DC_DB__PASSWORD":   "dc-password-8812",
	"CONFIG__DEFAULT__API__KEY": "config-key-3141",
	"auth.json":                 "aj-token-1618033",
	"packages' auth.json":       "pa-token-2718281",
	"env.php: database":         "db-pa$$word-4242",
	"env.php: crypt key":        "1b2f3c4d5e6f7a8b9c0d1e2f3a4b5c6d",
	"env.php of another day":    "old-database-password-77",
	".env":                      "dot-env-secret-9090",
	".git/config":               "ghp_gitRemoteToken12345",
	"a module's .git":           "ghp_moduleRemoteToken6789",
}

// forms are how a secret may be written down.
func forms(secret string) [][]byte {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err)
	}
	out := [][]byte{
		[]byte(secret), bytes.Trim(quoted, `"`), []byte(strings.ReplaceAll(secret, "/", `\/`)),
		[]byte(url.QueryEscape(secret)), []byte(url.PathEscape(secret)), []byte(hex.EncodeToString([]byte(secret))),
	}
	// In base64 a text looks different after 0, 1 or 2 other bytes; its middle
	// does not depend on what those are.
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		out = append(out, []byte(encoded[4:len(encoded)-4]))
	}
	return out
}

// lookFor reports each secret that content holds.
func lookFor(t *testing.T, where string, content []byte) {
	t.Helper()
	for name, secret := range secrets {
		for _, form := range forms(secret) {
			if i := bytes.Index(content, form); i >= 0 {
				t.Errorf("%s holds the secret of %s: …%q…", where, name, content[max(0, i-20):min(len(content), i+len(form)+5)])
				break
			}
		}
	}
}

// planted is a store with a secret wherever stores have them.
func planted(t *testing.T) string {
	t.Helper()
	dir := sample(t)
	write(t, filepath.Join(dir, "auth.json"), `{"http-basic": {"repo.acme.example": {"username": "acme", "password": "`+secrets["auth.json"]+`"}}}`)
	write(t, filepath.Join(dir, "packages/module-catalog/auth.json"), `{"bearer": {"repo.acme.example": "`+secrets["packages' auth.json"]+`"}}`)
	write(t, filepath.Join(dir, "app/etc/env.php"), `<?php return ['db' => ['connection' => ['default' => ['host' => 'db', 'password' => '`+secrets["env.php: database"]+`']]],
		'crypt' => ['key' => '`+secrets["env.php: crypt key"]+`'], 'install' => ['date' => 'Mon, 04 May 2026 03:02:01 +0000']];`)
	write(t, filepath.Join(dir, "app/etc/env.php.bak"), `<?php return ['db' => '`+secrets["env.php of another day"]+`'];`)
	write(t, filepath.Join(dir, ".env"), "DATABASE_PASSWORD="+secrets[".env"]+"\n")
	write(t, filepath.Join(dir, ".git/config"), "[remote \"origin\"]\n\turl = https://x:"+secrets[".git/config"]+"@github.com/acme/store.git\n")
	write(t, filepath.Join(dir, "app/code/Acme/Greeting/.git/config"), "[remote \"origin\"]\n\turl = https://x:"+secrets["a module's .git"]+"@github.com/acme/greeting.git\n")
	// A style sheet large enough to be compressed, and a script of the store's
	// that prints what it was given.
	write(t, filepath.Join(dir, "app/design/frontend/Acme/shop/web/js/large.js"), strings.Repeat("console.log('large enough to be worth compressing');\n", 100))
	edit(t, filepath.Join(dir, "composer.json"), `"minimum-stability"`, `"scripts": {"post-install-cmd": "php -r 'echo \"given: \", getenv(\"COMPOSER_AUTH\"), PHP_EOL;'"}, "minimum-stability"`)
	return dir
}

func environment(t *testing.T) map[string]string {
	t.Helper()
	vars := withTools(t, nil)
	for name, secret := range secrets {
		if strings.ToUpper(name) == name && !strings.ContainsAny(name, "./ ") {
			vars[name] = secret
		}
	}
	auth, err := json.Marshal(map[string]any{"http-basic": map[string]any{"repo.acme.example": map[string]string{"username": "acme", "password": secrets["COMPOSER_AUTH"]}}})
	noError(t, err)
	vars["COMPOSER_AUTH"] = string(auth)
	return vars
}

// opened is an image with all that is in it.
type opened struct {
	v1.Image
	config *v1.ConfigFile
	layers []openedLayer
}

type openedLayer struct {
	name    string // as the history has it
	digest  string
	tar     []byte
	entries []openedEntry
}

type openedEntry struct {
	*tar.Header
	content []byte
}

func open(t *testing.T, dir string) opened {
	t.Helper()
	im, err := image.ReadLayout(dir)
	noError(t, err)
	noError(t, image.Verify(im))
	o := opened{Image: im}
	o.config, err = im.ConfigFile()
	noError(t, err)
	summary, err := image.Describe(im)
	noError(t, err)
	layers, err := im.Layers()
	noError(t, err)
	for i, l := range layers {
		r, err := l.Uncompressed()
		noError(t, err)
		raw, err := io.ReadAll(r)
		noError(t, err)
		noError(t, r.Close())
		ol := openedLayer{name: summary.Layers[i].Name, digest: summary.Layers[i].Digest, tar: raw}
		noError(t, layer.Walk(bytes.NewReader(raw), layer.MediaTypeTar, func(h *tar.Header, content io.Reader) error {
			body, err := io.ReadAll(content)
			ol.entries = append(ol.entries, openedEntry{h, body})
			return err
		}))
		o.layers = append(o.layers, ol)
	}
	return o
}

const (
	buildNumber = "build-20260504-77"
	commitID    = "feedfacefeedfacefeedfacefeedfacefeedface"
)

func TestGuarantees(t *testing.T) {
	needTools(t)
	source, vars := planted(t), environment(t)
	cache, out := filepath.Join(t.TempDir(), "cache"), filepath.Join(t.TempDir(), "out")
	args := []string{"build", "--source", source, "--cache-dir", cache, "--out", out, "--php-base", "scratch", "--nginx-base", "scratch",
		"--build-num", buildNumber, "--revision", commitID}
	before := time.Now().UTC().Truncate(time.Second)
	for _, more := range [][]string{nil, {"--json"}, {"--no-cache", "--shards", "locale"}} {
		code, stdout, stderr := mck(t, vars, append(slices.Clone(args), more...)...)
		if code != 0 {
			t.Fatalf("build %v = %d\n%s%s", more, code, stdout, stderr)
		}
		lookFor(t, fmt.Sprintf("the output of build %v", more), []byte(stdout))
		lookFor(t, fmt.Sprintf("the progress of build %v", more), []byte(stderr))
		if len(more) == 0 && !strings.Contains(stderr, "given: ***") {
			t.Errorf("composer was given no credentials:\n%s", stderr)
		}
	}
	php, nginx := open(t, filepath.Join(out, "magento2")), open(t, filepath.Join(out, "nginx"))
	images := map[string]opened{"magento2": php, "nginx": nginx}

	t.Run("no secret anywhere", func(t *testing.T) {
		for name, im := range images {
			raw, err := im.RawConfigFile()
			noError(t, err)
			lookFor(t, name+"'s config, labels, environment and history", raw)
			raw, err = im.RawManifest()
			noError(t, err)
			lookFor(t, name+"'s manifest", raw)
			for _, l := range im.layers {
				lookFor(t, name+"'s layer "+l.name, l.tar)
				for _, e := range l.entries {
					if path.Ext(e.Name) == ".gz" {
						lookFor(t, name+": "+e.Name, gunzip(t, e.content))
					}
				}
			}
		}
		for _, dir := range []string{out, cache} {
			n := 0
			noError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				n++
				raw, err := os.ReadFile(p)
				lookFor(t, p, raw)
				return err
			}))
			if n < 10 {
				t.Errorf("%s holds only %d files", dir, n)
			}
		}
	})

	t.Run("the search finds what is there", func(t *testing.T) { // or the above would prove nothing
		for _, file := range []string{"auth.json", "app/etc/env.php", "app/etc/env.php.bak", ".env", ".git/config", "app/code/Acme/Greeting/.git/config", "packages/module-catalog/auth.json"} {
			raw, err := os.ReadFile(filepath.Join(source, file))
			noError(t, err)
			if found := slices.ContainsFunc(slicesOf(secrets), func(s string) bool { return bytes.Contains(raw, forms(s)[0]) }); !found {
				t.Errorf("%s holds no secret", file)
			}
			encoded := []byte("{" + base64.StdEncoding.EncodeToString(raw) + "}")
			if found := slices.ContainsFunc(slicesOf(secrets), func(s string) bool {
				return slices.ContainsFunc(forms(s)[6:], func(f []byte) bool { return bytes.Contains(encoded, f) })
			}); !found {
				t.Errorf("base64 of %s would not be noticed", file)
			}
		}
	})

	t.Run("no file that could be one", func(t *testing.T) {
		for name, im := range images {
			for _, l := range im.layers {
				for _, e := range l.entries {
					base := path.Base(strings.TrimSuffix(e.Name, "/"))
					own := strings.HasPrefix(l.name, "config-")
					if base == "auth.json" || base == ".git" || base == ".env" || strings.HasPrefix(base, "env.") && strings.Contains(e.Name, "app/etc/") && !own {
						t.Errorf("%s: layer %s holds %s", name, l.name, e.Name)
					}
					for _, not := range []string{"/packages", "/dev/tests", "/docker", "/README.md", "/.gitignore"} {
						if e.Name == "var/www/html"+not || strings.HasPrefix(e.Name, "var/www/html"+not+"/") {
							t.Errorf("%s: layer %s holds %s, which no image needs", name, l.name, e.Name)
						}
					}
					if strings.Contains(e.Name, "/Test/Unit/") || strings.Contains(e.Name, "sample/devtool") {
						if !strings.HasPrefix(e.Name, "var/www/html/app/") { // what of the store's own is a test, nobody can tell
							t.Errorf("%s: layer %s holds %s, which is for developers", name, l.name, e.Name)
						}
					}
				}
			}
		}
	})

	t.Run("owners, modes and times", func(t *testing.T) {
		writable := []string{"var/www/html/app/etc", "var/www/html/var", "var/www/html/pub/media"}
		for name, im := range images {
			for _, l := range im.layers {
				for _, e := range l.entries {
					p := strings.TrimSuffix(e.Name, "/")
					if !e.ModTime.Equal(layer.Epoch) {
						t.Errorf("%s: %s is of %s", name, p, e.ModTime)
					}
					want := []int64{0o644, 0o755}
					switch e.Typeflag {
					case tar.TypeDir:
						want = want[1:]
					case tar.TypeSymlink:
						want = []int64{0o777}
					}
					if !slices.Contains(want, e.Mode) {
						t.Errorf("%s: %s has the mode %o", name, p, e.Mode)
					}
					owner := 0
					if (l.name == "magento" || l.name == "app") && slices.ContainsFunc(writable, func(w string) bool { return p == w || strings.HasPrefix(p, w+"/") }) {
						owner = 33
					}
					if e.Uid != owner || e.Gid != owner || e.Uname != "" || e.Gname != "" {
						t.Errorf("%s: %s of layer %s belongs to %d:%d (%s:%s), not to %d", name, p, l.name, e.Uid, e.Gid, e.Uname, e.Gname, owner)
					}
				}
			}
		}
		for _, dir := range writable {
			found := false
			for _, l := range php.layers {
				for _, e := range l.entries {
					found = found || e.Name == dir+"/" && e.Uid == 33
				}
			}
			if !found {
				t.Errorf("magento2 has no directory %s that its user may write to", dir)
			}
		}
	})

	t.Run("the build's number, revision and date only in the last layer and the labels", func(t *testing.T) {
		created, err := time.Parse(time.RFC3339, php.config.Config.Labels[image.LabelCreated])
		noError(t, err)
		if created.Before(before) || created.After(time.Now()) {
			t.Errorf("created at %s, and the build began at %s", created, before)
		}
		date := created.Format(time.RFC3339)
		for name, im := range images {
			labels := map[string]string{
				image.LabelVersion: buildNumber, image.LabelRevision: commitID, image.LabelCreated: im.config.Config.Labels[image.LabelCreated],
				image.LabelSource: "https://github.com/acme/store.git",
			}
			delete(labels, image.LabelSource) // the planted .git is no repository
			if diff := cmp.Diff(labels, im.config.Config.Labels); diff != "" {
				t.Errorf("%s: labels (-want +got):\n%s", name, diff)
			}
			bare := im.config.DeepCopy()
			bare.Config.Labels, bare.Created = nil, v1.Time{}
			for i := range bare.History {
				bare.History[i].Created = v1.Time{}
			}
			raw, err := json.Marshal(bare)
			noError(t, err)
			places := map[string][]byte{"the config beside the labels": raw}
			last := im.layers[len(im.layers)-1]
			for _, l := range im.layers[:len(im.layers)-1] {
				places["layer "+l.name] = l.tar
			}
			for where, content := range places {
				for _, text := range []string{buildNumber, commitID, date, fmt.Sprint(created.Unix())} {
					if bytes.Contains(content, []byte(text)) {
						t.Errorf("%s: %s says %q", name, where, text)
					}
				}
			}
			got := map[string]string{}
			for _, e := range last.entries {
				if e.Typeflag == tar.TypeReg {
					got[e.Name] = string(e.content)
				}
			}
			want := map[string]string{
				"var/www/html/pub/REVISION.txt":                fmt.Sprintf("build %s\nrevision %s\ndate %s\n", buildNumber, commitID, im.config.Config.Labels[image.LabelCreated]),
				"var/www/html/pub/static/deployed_version.txt": "",
			}
			version := created
			if name == "nginx" {
				version, err = time.Parse(time.RFC3339, im.config.Config.Labels[image.LabelCreated])
				noError(t, err)
			}
			want["var/www/html/pub/static/deployed_version.txt"] = fmt.Sprint(version.Unix())
			if diff := cmp.Diff(want, got); diff != "" || last.name != "release" {
				t.Errorf("%s: the last layer is %s (-want +got):\n%s", name, last.name, diff)
			}
		}
	})

	t.Run("one static content in both images", func(t *testing.T) {
		static := func(im opened) map[string]string {
			out := map[string]string{}
			for _, l := range im.layers {
				if strings.HasPrefix(l.name, "static-") || l.name == "release" {
					out[l.name] = l.digest
				}
			}
			return out
		}
		if diff := cmp.Diff(static(php), static(nginx)); diff != "" || len(static(php)) < 4 {
			t.Errorf("layers of static content (magento2, nginx):\n%s", diff)
		}
		compressed := map[string]int{}
		for name, im := range images {
			plain := map[string][]byte{}
			for _, l := range im.layers {
				for _, e := range l.entries {
					plain[e.Name] = e.content
				}
			}
			for p, content := range plain {
				if strings.HasPrefix(p, "var/www/html/pub/static/") && path.Ext(p) == ".gz" {
					compressed[name]++
					if want := plain[strings.TrimSuffix(p, ".gz")]; !bytes.Equal(gunzip(t, content), want) || want == nil {
						t.Errorf("%s: %s is not what is beside it", name, p)
					}
				}
			}
		}
		if compressed["magento2"] != 0 || compressed["nginx"] != 3 {
			t.Errorf("files compressed beforehand: %v, want the three of nginx (large.js in three locales)", compressed)
		}
	})

	t.Run("nginx has what it serves and no code", func(t *testing.T) {
		have := map[string]bool{}
		for _, l := range nginx.layers {
			for _, e := range l.entries {
				have[e.Name] = true
				for _, not := range []string{"vendor", "generated", "app", "lib", "setup", "bin", "var"} {
					if strings.HasPrefix(e.Name, "var/www/html/"+not+"/") {
						t.Errorf("nginx holds %s", e.Name)
					}
				}
			}
		}
		for _, p := range []string{"index.php", "get.php", "static.php", "health_check.php", "errors/default/503.html", "static/frontend/Acme/shop/de_DE/css/shop.css"} {
			if !have["var/www/html/pub/"+p] {
				t.Errorf("nginx lacks pub/%s", p)
			}
		}
	})
}

func slicesOf(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func gunzip(t *testing.T, content []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	noError(t, err)
	raw, err := io.ReadAll(z)
	noError(t, err)
	return raw
}
