package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// rootfs unpacks an image and lets every path in its own files that is in the
// image be one below the directory: what runs is the image's, if not at its place.
func rootfs(t *testing.T, layout string) string {
	t.Helper()
	im, err := image.ReadLayout(layout)
	noError(t, err)
	layers, err := im.Layers()
	noError(t, err)
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		noError(t, os.Chmod(dir, 0o755)) // another user is to run it
	}
	for _, l := range layers {
		blob, err := l.Compressed()
		noError(t, err)
		mediaType, err := l.MediaType()
		noError(t, err)
		noError(t, layer.Unpack(t.Context(), blob, string(mediaType), root, ""))
		noError(t, blob.Close())
	}
	for _, p := range []string{"etc/nginx/templates", "usr/local", "var/www/html/app/etc", "var/www/html/generated/magecloudkit.php"} {
		noError(t, filepath.WalkDir(filepath.Join(root, p), func(file string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
				return nil
			}
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for _, place := range []string{"/var/www/html", "/usr/local/etc/magento", "/usr/local/share/magento", "/etc/nginx/templates", "/etc/nginx/magento", "/tmp/nginx"} {
				raw = bytes.ReplaceAll(raw, []byte(place), []byte(root+place))
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.WriteFile(file, raw, info.Mode())
		}))
	}
	noError(t, os.MkdirAll(filepath.Join(root, "tmp"), 0o777))
	noError(t, os.Chmod(filepath.Join(root, "tmp"), 0o777))
	return root
}

// container is a process that runs as one of an image's containers would.
type container struct {
	*exec.Cmd
	output *bytes.Buffer
	ended  chan error
}

// start runs an entrypoint as somebody who is not root, and waits until it says
// that it is ready.
func start(t *testing.T, root, entrypoint, ready string, variables ...string) *container {
	t.Helper()
	c := &container{output: &bytes.Buffer{}, ended: make(chan error, 1)}
	c.Cmd = exec.Command(filepath.Join(root, "usr/local/bin", entrypoint))
	c.Dir = filepath.Join(root, "var/www/html")
	c.Env = append([]string{"PATH=" + filepath.Join(root, "usr/local/bin") + ":" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"}, variables...)
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 33, Gid: 33}}
	}
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	noError(t, c.Start())
	is := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			fmt.Fprintln(c.output, lines.Text())
			if strings.Contains(lines.Text(), ready) {
				select {
				case is <- true:
				default:
				}
			}
		}
		close(is)
	}()
	go func() {
		err := c.Wait()
		w.Close()
		c.ended <- err
	}()
	t.Cleanup(func() { _ = c.Process.Kill() })
	select {
	case ok := <-is:
		if !ok {
			t.Fatalf("%s ended: %v\n%s", entrypoint, <-c.ended, c.output)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready after a minute", entrypoint)
	}
	return c
}

func freeAddress(t *testing.T) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer l.Close()
	host, port, err = net.SplitHostPort(l.Addr().String())
	noError(t, err)
	return host, port
}

// The two images serve the store together: nginx its files, php-fpm its pages.
func TestImagesServe(t *testing.T) {
	needTools(t)
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin") // where Debian has daemons
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("there is no nginx on the PATH: `make test` installs it")
	}
	if found, err := filepath.Glob("/usr/sbin/php-fpm*"); err != nil || len(found) == 0 {
		if _, err := exec.LookPath("php-fpm"); err != nil {
			t.Skip("there is no php-fpm on the PATH: `make test` installs it")
		}
	}
	source, out := sample(t), filepath.Join(t.TempDir(), "out")
	// What production mode reads and never makes, and a cache that a module declares.
	edit(t, filepath.Join(source, "app/etc/config.php"), "'default' => [\n            'general'",
		"'default' => [\n            'dev' => ['template' => ['minify_html' => '1'], 'css' => ['minify_files' => '0']],\n            'general'")
	write(t, filepath.Join(source, "app/code/Acme/Greeting/etc/cache.xml"), `<config><type name="acme_greetings" instance="Acme\Greeting\Cache"/></config>`)
	const large = "console.log('large enough to be worth compressing');\n"
	write(t, filepath.Join(source, "app/design/frontend/Acme/shop/web/js/large.js"), strings.Repeat(large, 100))
	code, _, errs := mck(t, withTools(t, nil), "build", "--source", source, "--out", out, "--cache-dir", filepath.Join(t.TempDir(), "cache"),
		"--php-base", "scratch", "--nginx-base", "scratch", "--build-num", "42", "--content-version", "20260504")
	if code != 0 {
		t.Fatalf("build = %d\n%s", code, errs)
	}
	php, web := rootfs(t, filepath.Join(out, "magento2")), rootfs(t, filepath.Join(out, "nginx"))

	facts, err := os.ReadFile(filepath.Join(php, "var/www/html/generated/magecloudkit.php"))
	noError(t, err)
	for _, want := range []string{`'acme_greetings' => 1`, `'cache_backend' => 'Magento\\Framework\\Cache\\Backend\\Redis'`, `'minify_html' => '1'`, `'sign' => '1'`} {
		if !strings.Contains(string(facts), want) {
			t.Errorf("the build's facts lack %s:\n%s", want, facts)
		}
	}
	// var is a volume, empty at first.
	noError(t, os.RemoveAll(filepath.Join(php, "var/www/html/var")))
	noError(t, os.MkdirAll(filepath.Join(php, "var/www/html/var"), 0o777))
	noError(t, os.Chmod(filepath.Join(php, "var/www/html/var"), 0o777))
	phpHost, phpPort := freeAddress(t)
	fpm := start(t, php, "magento-entrypoint", "ready to handle connections", "PHP_FPM_LISTEN="+net.JoinHostPort(phpHost, phpPort),
		"PHP_FPM_START_SERVERS=1", "PHP_FPM_MIN_SPARE_SERVERS=1", "PHP_FPM_MAX_SPARE_SERVERS=1",
		"MYSQL_HOST=127.0.0.1:1", "MYSQL_DATABASE=magento", "MYSQL_USER=magento", "CRYPT_KEY=00000000000000000000000000000000", "MAGE_MODE=production")
	host, port := freeAddress(t)
	address := net.JoinHostPort(host, port)
	// A picture that is on no disk, as media in S3 are.
	write(t, filepath.Join(php, "var/www/html/pub/get.php"), `<?php
		if (!str_contains($_SERVER['REQUEST_URI'], 'in-s3')) { http_response_code(404); echo 'no such media file'; return; }
		if (str_contains($_SERVER['REQUEST_URI'], 'private')) { header('Cache-Control: private'); }
		header('Content-Type: image/jpeg'); echo 'picture for ', $_SERVER['MAGE_RUN_CODE'] ?? 'nobody';`)
	for _, dir := range []string{"customer", "customer_address", "custom_options", "downloadable", "import", "catalog"} {
		write(t, filepath.Join(web, "var/www/html/pub/media", dir, "file.jpg"), "uploaded")
	}
	write(t, filepath.Join(web, "etc/nginx/magento/run-code.map"), "shop.example.com shop_website;\n")
	// The images have the entry points at one place; here there are two roots.
	template := filepath.Join(web, "etc/nginx/templates/nginx.conf.template")
	edit(t, template, "SCRIPT_FILENAME $document_root", "SCRIPT_FILENAME "+php+"/var/www/html/pub")
	nginx := start(t, web, "nginx-entrypoint", "start worker process", "NGINX_PORT="+port, "PHP_HOST="+phpHost, "PHP_PORT="+phpPort,
		"NGINX_WORKER_PROCESSES=1", "NGINX_LOG_LEVEL=notice", "NGINX_ACCESS_LOG=off")

	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	get := func(path string, header ...string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		noError(t, err)
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Host" {
				req.Host = header[i+1]
			}
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		noError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		noError(t, err)
		return res.StatusCode, res.Header, string(body)
	}
	for _, c := range []struct {
		path   string
		status int
		says   string
		cached string // Cache-Control
	}{
		{"/heartbeat", 200, "ok\n", "no-store"},
		{"/REVISION.txt", 200, "build 42\n", "no-store"},
		{"/static/version20260504/frontend/Acme/shop/de_DE/css/shop.css", 200, ".shop-banner", "immutable"},
		{"/static/frontend/Acme/shop/en_US/css/shop.css", 200, ".shop-banner", "public, max-age=600"},
		// A page of the next build, whose address has come to a container of this one: nobody may keep that.
		{"/static/version20260505/frontend/Acme/shop/en_US/css/shop.css", 200, ".shop-banner", "no-store"},
		{"/static/version202605040/frontend/Acme/shop/en_US/css/shop.css", 200, ".shop-banner", "no-store"},
		{"/media/catalog/file.jpg", 200, "uploaded", "public, max-age=86400"},
		{"/media/catalog/in-s3.jpg", 200, "picture", "public, max-age=86400"},
		{"/media/catalog/in-s3.jpg?width=100", 200, "picture", "public, max-age=86400"},
		{"/media/private/in-s3.jpg", 200, "picture", "private"},
		{"/media/catalog/in-s3.csv", 200, "picture", "no-store"},
		{"/static/version20260504/frontend/Acme/shop/xx_XX/css/shop.css", 404, "no such static file", ""},
		{"/media/catalog/nothing.jpg", 404, "no such media file", ""},
		{"/", 200, "/static/version20260504/frontend/Acme/shop/en_US/", ""},
		{"/some/category.html", 200, "<html", ""},
		{"/", 200, "<footer><small>Static files: 20260504", ""},
		{"/health_check.php", 500, "", ""}, // there is no database, and it says so
		{"/fpm-ping", 404, "", ""},
		{"/fpm-status", 404, "", ""},
		// What may not be seen is answered as what is not there.
		{"/.git/config", 404, "error page 404", ""},
		{"/.user.ini", 404, "error page 404", ""},
		{"/setup/index.php", 404, "error page 404", ""},
		{"/errors/local.xml", 404, "error page 404", ""},
		{"/media/customer/file.jpg", 404, "error page 404", ""},
		{"/media/customer_address/file.jpg", 404, "error page 404", ""},
		{"/media/custom_options/file.jpg", 404, "error page 404", ""},
		{"/media/downloadable/file.jpg", 404, "error page 404", ""},
		{"/media/import/file.jpg", 404, "error page 404", ""},
		{"/media/evil.php", 404, "error page 404", ""},
		{"/evil.php", 404, "error page 404", ""},
		{"/cron.php", 404, "error page 404", ""},
	} {
		status, header, body := get(c.path)
		if status != c.status || !strings.Contains(body, c.says) || !strings.Contains(header.Get("Cache-Control"), c.cached) {
			t.Errorf("GET %s = %d, %v\n%s\nwant %d, %q, Cache-Control %s", c.path, status, header, body, c.status, c.says, c.cached)
		}
		if header.Get("X-Powered-By") != "" || strings.Contains(header.Get("Server"), "/") {
			t.Errorf("GET %s tells versions: %v", c.path, header)
		}
	}
	for path, value := range map[string]string{"/media/catalog/file.jpg": "immutable", "/media/catalog/nothing.jpg": "max-age", "/": "max-age"} {
		if _, header, _ := get(path); strings.Contains(header.Get("Cache-Control"), value) {
			t.Errorf("GET %s: Cache-Control %s", path, header.Get("Cache-Control"))
		}
	}
	if _, header, _ := get("/static/frontend/Acme/shop/en_US/css/shop.css"); header.Get("ETag") != "" || header.Get("Last-Modified") != "" {
		t.Errorf("a static file has validators, which are the same for every build's: %v", header)
	}
	if _, _, body := get("/media/in-s3.jpg", "Host", "Shop.example.com:8080"); body != "picture for shop_website" {
		t.Errorf("a host with a port and capitals is %q, want the website of its name", body)
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		res, err := http.Get("http://" + net.JoinHostPort("::1", port) + "/heartbeat")
		noError(t, err)
		noError(t, res.Body.Close())
	}
	// Compressed beforehand: the very bytes of the layer.
	const js = "/static/version1/frontend/Acme/shop/en_US/js/large.js"
	gz, err := os.ReadFile(filepath.Join(web, "var/www/html/pub/static/frontend/Acme/shop/en_US/js/large.js.gz"))
	noError(t, err)
	if _, header, body := get(js, "Accept-Encoding", "gzip"); header.Get("Content-Encoding") != "gzip" || body != string(gz) {
		t.Errorf("GET %s with gzip: %v, %d bytes, want the %d of the layer", js, header, len(body), len(gz))
	}
	if _, header, body := get(js); header.Get("Content-Encoding") != "" || !strings.HasPrefix(body, large) {
		t.Errorf("GET %s without gzip: %v, %d bytes", js, header, len(body))
	}

	ping := exec.Command("php", filepath.Join(php, "usr/local/bin/fpm-ping"), net.JoinHostPort(phpHost, phpPort))
	if out, err := ping.CombinedOutput(); err != nil {
		t.Errorf("fpm-ping: %v: %s", err, out)
	}
	// Asked to stop, both end gracefully, with 0.
	for name, c := range map[string]*container{"php-fpm": fpm, "nginx": nginx} {
		noError(t, c.Process.Signal(syscall.SIGQUIT))
		select {
		case err := <-c.ended:
			if err != nil {
				t.Errorf("%s ended with %v\n%s", name, err, c.output)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s did not heed SIGQUIT", name)
		}
	}
	ping = exec.Command("php", filepath.Join(php, "usr/local/bin/fpm-ping"), net.JoinHostPort(phpHost, phpPort))
	if out, err := ping.CombinedOutput(); err == nil {
		t.Errorf("fpm-ping finds a php-fpm that has ended: %s", out)
	}
}
