package test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dagger.io/dagger"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// release are the arguments of the build that most tests look at.
var release = params{"buildNum": "7", "revision": "0123abc", "revisionTime": commitTime, "repository": "https://git.example/shop"}

// theBuild is that build.
func theBuild(t *testing.T) built {
	t.Helper()
	return build(t, storeParams(t, source(t)), release)
}

// images exports the build's layouts and opens them.
func (b built) images(t *testing.T) map[string]v1.Image {
	t.Helper()
	dir := t.TempDir()
	if _, err := b.Export.Export(t.Context(), dir); err != nil {
		t.Fatalf("exporting the layouts: %v", err)
	}
	found := map[string]v1.Image{}
	for _, name := range imageNames {
		im, err := image.ReadLayout(filepath.Join(dir, name))
		if err != nil {
			t.Fatalf("the layout of %s: %v", name, err)
		}
		found[name] = im
	}
	return found
}

var imageNames = []string{"magento2", "nginx"}

// file reads a file of an image; the uppermost layer that has it decides.
func file(t *testing.T, im v1.Image, path string) string {
	t.Helper()
	content, found := "", false
	walk(t, im, func(_ string, h *tar.Header, r io.Reader) {
		if strings.TrimPrefix(h.Name, "./") == path {
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			content, found = string(raw), true
		}
	})
	if !found {
		t.Fatalf("the image has no %s", path)
	}
	return content
}

// walk visits the entries of an image's own layers, from the lowest up.
func walk(t *testing.T, im v1.Image, visit func(layer string, h *tar.Header, r io.Reader)) {
	t.Helper()
	summary, err := image.Describe(im)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := im.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		of := summary.Layers[i]
		if !ownLayer(of.Name) {
			continue
		}
		blob, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		err = layer.Walk(blob, of.MediaType, func(h *tar.Header, r io.Reader) error {
			visit(of.Name, h, r)
			return nil
		})
		if err := blob.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatalf("layer %s: %v", of.Name, err)
		}
	}
}

func TestBuildTellsWhatItBuilt(t *testing.T) {
	b := theBuild(t)
	if b.BuildNum != "7" || b.Revision != "0123abc" {
		t.Errorf("build %q of revision %q, want 7 of 0123abc", b.BuildNum, b.Revision)
	}
	if !strings.HasPrefix(b.MagentoVersion, "2.") || !strings.HasPrefix(b.PHP, "8.") {
		t.Errorf("Magento %q on PHP %q", b.MagentoVersion, b.PHP)
	}
	images := b.images(t)
	for name, want := range map[string]struct {
		digest string
		size   int64
	}{"magento2": {b.MagentoDigest, b.MagentoSize}, "nginx": {b.NginxDigest, b.NginxSize}} {
		summary, err := image.Describe(images[name])
		if err != nil {
			t.Fatal(err)
		}
		if summary.Digest != want.digest || summary.Size != want.size {
			t.Errorf("%s: build tells %s, %d bytes; it is %s, %d bytes", name, want.digest, want.size, summary.Digest, summary.Size)
		}
		if !strings.Contains(b.Summary, summary.Digest) {
			t.Errorf("the summary does not name %s %s:\n%s", name, summary.Digest, b.Summary)
		}
		if err := image.Verify(images[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBuildOnTheCommandLine chains fields and functions as people do.
func TestBuildOnTheCommandLine(t *testing.T) {
	b := theBuild(t)
	dir := filepath.Join(t.TempDir(), "out")
	args := append(storeFlags(sample), "build", "--build-num=7", "--revision=0123abc", "--revision-time="+strconv.Itoa(commitTime), "--repository=https://git.example/shop")
	if got := strings.TrimSpace(call(t, append(args, "magento-digest")...).must(t).stdout); got != b.MagentoDigest {
		t.Errorf("magento-digest prints %s, the SDK got %s", got, b.MagentoDigest)
	}
	// A later session, as after the call above, has what an earlier one built.
	call(t, append(args, "export", "--output="+dir)...).must(t)
	im, err := image.OpenBase(t.Context(), "oci:"+filepath.Join(dir, "nginx")+":7", "")
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := im.Digest(); err != nil || digest.String() != b.NginxDigest {
		t.Errorf("export -o left nginx %s (%v), the SDK got %s", digest, err, b.NginxDigest)
	}
	if got := call(t, append([]string{"--json"}, append(args, "magento-size")...)...).must(t).stdout; strings.TrimSpace(got) != strconv.FormatInt(b.MagentoSize, 10) {
		t.Errorf("magento-size --json prints %s, the SDK got %d", got, b.MagentoSize)
	}
}

func TestImagesSayWhatTheyAre(t *testing.T) {
	b := theBuild(t)
	for name, im := range b.images(t) {
		config, err := im.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		for label, want := range map[string]string{
			image.LabelVersion: "7", image.LabelRevision: "0123abc", image.LabelSource: "https://git.example/shop", image.LabelCreated: "2023-11-14T22:13:20Z",
		} {
			if got := config.Config.Labels[label]; got != want {
				t.Errorf("%s: label %s is %q, want %q", name, label, got, want)
			}
		}
		if base := config.Config.Labels[image.LabelBaseDigest]; !strings.HasPrefix(base, "sha256:") {
			t.Errorf("%s: the base's digest is %q", name, base)
		}
		if got, want := file(t, im, "var/www/html/pub/REVISION.txt"), "build 7\nrevision 0123abc\ndate 2023-11-14T22:13:20Z\n"; got != want {
			t.Errorf("%s: REVISION.txt is %q, want %q", name, got, want)
		}
		if got := file(t, im, "var/www/html/pub/static/deployed_version.txt"); got != strconv.Itoa(commitTime) {
			t.Errorf("%s: the version of the static content is %q", name, got)
		}
	}
}

// hash lists the files below a directory with their contents' digests.
func hash(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			found[rel], err = os.Readlink(path)
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		_, err = io.Copy(h, f)
		found[rel] = hex.EncodeToString(h.Sum(nil))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onHost runs mck with this machine's php, and the composer that the module uses,
// since composer writes its own version into what it installs.
func onHost(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("php"); err != nil {
		t.Skip("there is no php on the PATH to compare with")
	}
	bin := t.TempDir()
	composer := filepath.Join(bin, "composer")
	if _, err := connect(t).Container().From("composer:2").File("/usr/bin/composer").Export(t.Context(), composer); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if locales := os.Getenv("MCK_E2E_LOCALES"); locales != "" && os.Getenv("MCK_E2E_STORE") != "" {
		args = append(args, "--locales="+locales)
	}
	cmd := exec.CommandContext(t.Context(), mck, append(args, "--quiet", "--source="+sample, "--out="+out, "--cache-dir="+t.TempDir())...)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mck %s: %v\n%s", args[0], err, log)
	}
	return out
}

func TestComposerInstallsTheStore(t *testing.T) {
	installed := directory(t, storeParams(t, source(t)), "composer", nil)
	for _, want := range []string{"bin/magento", "vendor/autoload.php", "vendor/composer/installed.json", "pub/index.php", "app/etc/config.php", "app/etc/di.xml"} {
		if _, err := installed.File(want).Size(t.Context()); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
	entries, err := installed.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(entries, "auth.json") {
		t.Error("there is an auth.json in it")
	}
}

func TestPrecompileEqualsTheHosts(t *testing.T) {
	compiled := directory(t, storeParams(t, source(t)), "precompile", params{"contentVersion": "1700000000"})
	out := t.TempDir()
	host := onHost(t, "precompile", "--content-version=1700000000")
	for _, part := range []string{"generated", "pub/static"} {
		if _, err := compiled.Directory(part).Export(t.Context(), filepath.Join(out, part)); err != nil {
			t.Fatal(err)
		}
		got, want := hash(t, filepath.Join(out, part)), hash(t, filepath.Join(host, "store", part))
		if len(want) < 10 {
			t.Errorf("%s: only %d files", part, len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from what mck makes here (-mck +dagger):\n%.4000s", part, diff)
		}
	}
}

// TestLayersEqualTheHosts: whichever shell packs a layer, it is the same one.
func TestLayersEqualTheHosts(t *testing.T) {
	b := theBuild(t)
	out := onHost(t, "build", "--build-num=7", "--revision=0123abc", "--php-base=scratch", "--nginx-base=scratch")
	for _, name := range imageNames {
		im, err := image.ReadLayout(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		summary, err := image.Describe(im)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, l := range summary.Layers {
			if l.Name != "release" {
				want[l.Name] = l.Digest
			}
		}
		got := b.digests(t, name)
		delete(got, "php-extensions") // mck stands on a base that has them
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: layers differ from mck's (-mck +dagger):\n%s", name, diff)
		}
	}
}

// flatten lists what an image's file system holds: of each path its type, mode,
// owner, link and content.
func flatten(t *testing.T, im v1.Image) map[string]string {
	t.Helper()
	files := map[string]string{}
	tree := tar.NewReader(mutate.Extract(im))
	for {
		h, err := tree.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, tree); err != nil {
			t.Fatal(err)
		}
		files[strings.Trim(path.Clean("/"+h.Name), "/")] = fmt.Sprintf("%c %o %d:%d %q %x", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname, sum.Sum(nil))
	}
}

// TestContainersAreTheImages: the containers that build returns hold the exported
// images, file by file. Not layer by layer: the engine packs what it imported anew
// when it exports or publishes a container.
func TestContainersAreTheImages(t *testing.T) {
	b := theBuild(t)
	images := b.images(t)
	for name, ctr := range map[string]*dagger.Container{"magento2": b.Magento, "nginx": b.Nginx} {
		t.Run(name, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "image.tar")
			if _, err := ctr.AsTarball().Export(t.Context(), archive); err != nil {
				t.Fatal(err)
			}
			im, err := image.OpenBase(t.Context(), "oci-archive:"+archive, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(flatten(t, images[name]), flatten(t, im)); diff != "" {
				t.Errorf("the container is not the exported image (-image +container):\n%.4000s", diff)
			}
			want, err := images[name].ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			got, err := im.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Config, got.Config); diff != "" {
				t.Errorf("the container is not set as the image (-image +container):\n%s", diff)
			}
		})
	}
}

// TestConfigurationsAreValid has php-fpm and nginx read their settings, as the
// containers' users and through their entrypoints.
func TestConfigurationsAreValid(t *testing.T) {
	b := theBuild(t)
	entrypoint := dagger.ContainerWithExecOpts{UseEntrypoint: true}
	for _, tt := range []struct {
		name  string
		ctr   *dagger.Container
		check []string
		uid   string
	}{
		{"magento2", b.Magento, []string{"php-fpm", "-t"}, "33"},
		{"nginx", b.Nginx, []string{"nginx", "-t"}, "101"},
	} {
		if uid, err := tt.ctr.WithExec([]string{"id", "-u"}).Stdout(t.Context()); err != nil || strings.TrimSpace(uid) != tt.uid {
			t.Errorf("%s: runs as %q (%v), want %s", tt.name, uid, err, tt.uid)
		}
		said, err := tt.ctr.WithExec(tt.check, entrypoint).Stderr(t.Context())
		if err != nil {
			t.Errorf("%s: %v: %v", tt.name, tt.check, err)
		} else if !strings.Contains(said, "successful") {
			t.Errorf("%s: %v says %q", tt.name, tt.check, said)
		}
	}
	modules, err := b.Magento.WithExec([]string{"magento", "module:status"}, entrypoint).Stdout(t.Context())
	if err != nil || !strings.Contains(modules, "Magento_Store") {
		t.Errorf("bin/magento module:status in the image: %v: %s", err, modules)
	}
}

// serve starts both images, as one task of ECS runs them, and returns the address
// of nginx on this machine.
func serve(t *testing.T, b built) string {
	t.Helper()
	c := connect(t)
	php := b.Magento.
		WithEnvVariable("CRYPT_KEY", "0123456789abcdef0123456789abcdef").
		WithEnvVariable("MYSQL_HOST", "127.0.0.1").WithEnvVariable("MYSQL_DATABASE", "magento").WithEnvVariable("MYSQL_USER", "magento").
		AsService()
	web := b.Nginx.WithServiceBinding("php", php).WithEnvVariable("PHP_HOST", "php").AsService()
	tunnel, err := c.Host().Tunnel(web).Start(t.Context())
	if err != nil {
		t.Fatalf("starting nginx and php-fpm: %v", err)
	}
	t.Cleanup(func() {
		if _, err := tunnel.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stopping nginx: %v", err)
		}
	})
	address, err := tunnel.Endpoint(t.Context(), dagger.ServiceEndpointOpts{Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func TestImagesServeTheStore(t *testing.T) {
	b := theBuild(t)
	static, compressed := staticFiles(t, b.images(t)["nginx"])
	address := serve(t, b)
	get := func(t *testing.T, path string, header http.Header) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		// Else the client undoes the compression.
		client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	for _, tt := range []struct {
		name, path string
		code       int
		body       string
	}{
		{"liveness", "/heartbeat", 200, "ok\n"},
		{"revision", "/REVISION.txt", 200, "build 7\nrevision 0123abc\n"},
		{"static file", "/static/version1700000000" + static.path, 200, static.content},
		{"static file without a version", "/static" + static.path, 200, static.content},
		// What nginx forbids gets the store's page for what is not there.
		{"hidden file", "/.htaccess", 404, ""},
		{"hidden static file", "/static/.htaccess", 404, ""},
		{"php-fpm's own page", "/fpm-ping", 404, ""},
		{"web setup", "/setup/", 404, ""},
		{"customers' files", "/media/customer/a.jpg", 404, ""},
		{"PHP that is no entry point", "/cron.php", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := get(t, tt.path, http.Header{})
			if resp.StatusCode != tt.code || !strings.HasPrefix(body, tt.body) {
				t.Errorf("GET %s: %s, want %d:\n%.300s", tt.path, resp.Status, tt.code, body)
			}
		})
	}
	t.Run("compressed beforehand", func(t *testing.T) {
		resp, body := get(t, "/static/version1"+compressed.path, http.Header{"Accept-Encoding": {"gzip"}})
		if resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "gzip" || body != compressed.content {
			t.Errorf("GET %s: %s, Content-Encoding %q, %d bytes; want the %d bytes of the image's .gz file", compressed.path,
				resp.Status, resp.Header.Get("Content-Encoding"), len(body), len(compressed.content))
		}
	})
	t.Run("through php-fpm", func(t *testing.T) {
		// Needs nothing but PHP: Magento's page for what is not there.
		resp, body := get(t, "/errors/404.php", http.Header{})
		if resp.StatusCode != 404 || !strings.Contains(body, "404") || strings.Contains(body, "nginx") {
			t.Errorf("GET /errors/404.php: %s:\n%.300s", resp.Status, body)
		}
		if os.Getenv("MCK_E2E_STORE") != "" {
			return // a real store's pages need its database
		}
		resp, body = get(t, "/", http.Header{})
		if resp.StatusCode != 200 || resp.Header.Get("X-Magento-Mode") != "production" || !strings.Contains(body, "/static/version"+strconv.Itoa(commitTime)+"/") {
			t.Errorf("GET /: %s, mode %q:\n%.600s", resp.Status, resp.Header.Get("X-Magento-Mode"), body)
		}
	})
}

// content is a file below pub/static, by the path after /static.
type content struct{ path, content string }

// staticFiles picks a style sheet or script of the image, and one that has a
// compressed sibling.
func staticFiles(t *testing.T, nginx v1.Image) (plain, compressed content) {
	t.Helper()
	const top = "var/www/html/pub/static"
	files := map[string]string{}
	walk(t, nginx, func(_ string, h *tar.Header, r io.Reader) {
		name := strings.TrimPrefix(h.Name, "./")
		bare := strings.TrimSuffix(name, ".gz")
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(name, top+"/frontend/") || !strings.HasSuffix(bare, ".css") && !strings.HasSuffix(bare, ".js") {
			return
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, top)] = string(raw)
	})
	for _, path := range slices.Sorted(maps.Keys(files)) {
		bare, ok := strings.CutSuffix(path, ".gz")
		if !ok {
			if plain.path == "" {
				plain = content{path, files[path]}
			}
			continue
		}
		if compressed.path == "" {
			compressed = content{bare, files[path]}
			unzipped, err := gzip.NewReader(bytes.NewReader([]byte(files[path])))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(unzipped)
			if err != nil || string(raw) != files[bare] {
				t.Errorf("%s does not hold %s (%v)", path, bare, err)
			}
		}
	}
	if plain.path == "" || compressed.path == "" {
		t.Fatal("the nginx image has no style sheets and scripts, or none compressed beforehand")
	}
	return plain, compressed
}
