package docker_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What magento-install is not told, or told wrong, it says all at once and before it has changed anything; a secret it
// never says. (What it does with a database is a part of smoke.)
func TestInstallSettings(t *testing.T) {
	if exec.Command("php", "-r", "exit(class_exists('PDO') ? 0 : 1);").Run() != nil {
		t.Skip("not run: there is no php with PDO on the PATH")
	}
	root := t.TempDir()
	raw, err := os.ReadFile("php/rootfs/usr/local/bin/magento-install")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "magento-install")
	config := `<?php if (getenv('LACKS')) { throw new RuntimeException('The environment lacks MYSQL_HOST'); }
		return ['backend' => ['frontName' => 'admin'], 'crypt' => ['key' => 'k'], 'db' => ['table_prefix' => '', 'connection' => ['default' => [
		'host' => '127.0.0.1:1', 'dbname' => 'magento', 'username' => 'm', 'password' => 'hunter2']]]];`
	err = errors.Join(os.MkdirAll(filepath.Join(root, "app/etc"), 0o755), os.WriteFile(filepath.Join(root, "app/etc/env.php"), []byte(config), 0o644),
		os.WriteFile(script, []byte(strings.ReplaceAll(string(raw), "/var/www/html", root)), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	search := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); ok && (user != "s" || password != "hunter4") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer search.Close()
	host, port, err := net.SplitHostPort(search.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"BASE_URL": "https://shop.example/", "SEARCH_HOST": host, "SEARCH_PORT": port, "ADMIN_USER": "admin", "ADMIN_EMAIL": "a@example.com", "ADMIN_PASSWORD": "hunter2hunter2",
	}
	for _, c := range []struct {
		name string
		set  map[string]string
		code int
		says []string
		not  string
	}{
		{"nothing", map[string]string{"BASE_URL": "", "SEARCH_HOST": "", "ADMIN_USER": "", "ADMIN_EMAIL": "", "ADMIN_PASSWORD": ""}, 64,
			[]string{"nothing was changed", "BASE_URL is not set", "SEARCH_HOST is not set", "ADMIN_USER is not set", "ADMIN_EMAIL is not set", "ADMIN_PASSWORD is not set"}, ""},
		{"an address without an end", map[string]string{"BASE_URL": "https://shop.example"}, 64, []string{"end with a slash"}, ""},
		{"an address that is none", map[string]string{"BASE_URL": "shop.example/"}, 64, []string{"BASE_URL must begin with"}, ""},
		{"a weak password and a bad address", map[string]string{"ADMIN_PASSWORD": "hunter", "ADMIN_EMAIL": "nobody"}, 64, []string{"at least 7 characters", "ADMIN_EMAIL is not"}, ""},
		{"an engine that there is not", map[string]string{"SEARCH_ENGINE": "solr"}, 64, []string{"SEARCH_ENGINE must be"}, ""},
		{"a secret that is not mounted", map[string]string{"ADMIN_PASSWORD": "", "ADMIN_PASSWORD_FILE": "/nowhere"}, 64, []string{"ADMIN_PASSWORD_FILE names /nowhere"}, ""},
		{"no database settings", map[string]string{"LACKS": "1"}, 64, []string{"The environment lacks MYSQL_HOST"}, ""},
		{"no database", nil, 69, []string{"the database magento at 127.0.0.1:1 does not answer", "nothing was changed"}, "the search engine"},
		{"no search engine either", map[string]string{"SEARCH_PORT": "1"}, 69,
			[]string{"the database magento at 127.0.0.1:1 does not answer", "the search engine at http://" + host + ":1 does not answer as one: ", "Connection refused"}, ""},
		{"a search engine that speaks TLS, or not", map[string]string{"SEARCH_HOST": "https://x:hunter5@" + host}, 69,
			[]string{"the search engine at https://" + host + ":" + port + " does not answer as one: SSL", "SEARCH_HOST begins with https://"}, ""},
		{"the search engine's user", map[string]string{"SEARCH_USER": "s", "SEARCH_PASSWORD": "hunter4"}, 69, []string{"the database magento"}, "the search engine"},
		{"a search engine that does not know the user", map[string]string{"SEARCH_USER": "s", "SEARCH_PASSWORD": "hunter3"}, 69,
			[]string{"does not answer as one: HTTP/1.1 401 Unauthorized"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("php", script)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
			for name, value := range good {
				if set, ok := c.set[name]; ok {
					value = set
				}
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			for name, value := range c.set {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if c.not != "" && strings.Contains(string(out), c.not) {
				t.Errorf("it says %q:\n%s", c.not, out)
			}
			if strings.Contains(string(out), "hunter") {
				t.Errorf("it says a secret:\n%s", out)
			}
		})
	}
}
