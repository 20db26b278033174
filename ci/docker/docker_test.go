package docker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/docker"
)

// What is embedded is what stands in the directory, whole, and may be executed
// as it may there.
func TestFilesAreThoseOfTheDirectory(t *testing.T) {
	for image, dir := range map[string]string{build.Magento: "php", build.Nginx: "nginx"} {
		if got := docker.Directory(image); got != dir {
			t.Errorf("the files of %s are looked for in %s, not in %s", image, got, dir)
		}
		files, err := docker.Files(image)
		if err != nil {
			t.Fatal(err)
		}
		type file struct {
			Content    string
			Executable bool
		}
		got, want := map[string]file{}, map[string]file{}
		for _, f := range files {
			got[f.Path] = file{string(f.Content), f.Executable}
		}
		root := os.DirFS(filepath.Join(dir, "rootfs"))
		err = fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := fs.ReadFile(root, p)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want[p] = file{string(raw), info.Mode()&0o111 != 0}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files of %s (-want +got):\n%s", image, diff)
		}
	}
	if _, err := docker.Files("varnish"); err == nil {
		t.Error("there are files of an image that there is not")
	}
}

// Every script is read by what runs it.
func TestScripts(t *testing.T) {
	read := 0
	for _, image := range []string{build.Magento, build.Nginx} {
		files, err := docker.Files(image)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			var check []string
			switch {
			case path.Ext(f.Path) == ".php" || bytes.HasPrefix(f.Content, []byte("#!/usr/bin/env php")):
				check = []string{"php", "-l"}
			case bytes.HasPrefix(f.Content, []byte("#!/bin/sh")):
				check = []string{"sh", "-n"}
			default:
				continue
			}
			if _, err := exec.LookPath(check[0]); err != nil {
				t.Logf("%s is not read: there is no %s on the PATH", f.Path, check[0])
				continue
			}
			cmd := exec.Command(check[0], check[1:]...)
			cmd.Stdin = bytes.NewReader(f.Content)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", f.Path, err, out)
			}
			read++
		}
	}
	if read == 0 {
		t.Error("no script was read")
	}
}

// facts are what a build leaves in generated/magecloudkit.php for env.php.
const facts = `<?php return ['cache_types' => ['config' => 1, 'acme_prices' => 1], 'cache_backend' => 'redis',
	'system' => ['default' => ['dev' => ['template' => ['minify_html' => '0']]]]];`

// env is what app/etc/env.php returns in an environment.
func env(t *testing.T, variables map[string]string) (map[string]any, string) {
	t.Helper()
	return envOf(t, facts, variables)
}

func envOf(t *testing.T, facts string, variables map[string]string) (map[string]any, string) {
	t.Helper()
	raw, err := os.ReadFile("php/rootfs/usr/local/share/magento/env.php")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	built, file := filepath.Join(dir, "magecloudkit.php"), filepath.Join(dir, "env.php")
	if facts != "" {
		if err := os.WriteFile(built, []byte(facts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(raw, []byte("/var/www/html/generated/magecloudkit.php"), []byte(built)), 0o644); err != nil {
		t.Fatal(err)
	}
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("there is no php on the PATH: `make test` installs it")
	}
	cmd := exec.Command(php, "-d", "display_errors=stderr", "-r",
		`try { echo json_encode(require $argv[1], JSON_THROW_ON_ERROR); } catch (Throwable $e) { fwrite(STDERR, $e->getMessage()); exit(1); }`,
		file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if cmd.Run() != nil {
		return nil, errs.String()
	}
	if errs.Len() > 0 {
		t.Errorf("env.php warns: %s", &errs)
	}
	var config map[string]any
	if err := json.Unmarshal(out.Bytes(), &config); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return config, ""
}

func at(config map[string]any, keys string) any {
	var v any = config
	for _, key := range strings.Split(keys, "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// required are the variables that no store can do without.
func required(more ...string) map[string]string {
	out := map[string]string{"MYSQL_HOST": "db", "MYSQL_DATABASE": "magento", "MYSQL_USER": "shop", "CRYPT_KEY": "0123456789abcdef0123456789abcdef"}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// Everything in env.php comes from the environment.
func TestEnv(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want map[string]any
	}{
		"the least": {required(), map[string]any{
			"MAGE_MODE": "production", "db/connection/default/host": "db", "db/connection/default/dbname": "magento",
			"db/connection/default/username": "shop", "db/connection/default/password": "", "crypt/key": "0123456789abcdef0123456789abcdef",
			"session/save": "db", "db/table_prefix": "", "backend/frontName": "admin", "cache/frontend": []any{},
			"directories/document_root_is_pub": true, "lock/provider": "db",
		}},
		"the usual variables": {required("MYSQL_PASSWORD", "secret", "MAGE_TABLE_PREFIX", "m2_", "MAGE_MODE", "developer", "MYSQL_PORT", "3307",
			"CACHE_PREFIX", "7_", "REDIS_CACHE_HOST", "cache", "REDIS_SESSION_HOST", "sessions"), map[string]any{
			"MAGE_MODE": "developer", "db/connection/default/host": "db:3307", "db/connection/default/password": "secret", "db/table_prefix": "m2_",
			"cache/frontend/default/id_prefix": "7_", "cache/frontend/default/backend_options/server": "cache",
			"cache/frontend/page_cache/backend_options/server": "cache", "session/save": "redis", "session/redis/host": "sessions",
		}},
		"a secret in a file": {required("MYSQL_PASSWORD_FILE", file), map[string]any{"db/connection/default/password": "from a file"}},
		"MAGENTO_DC_*": {required("MAGENTO_DC_DB__CONNECTION__DEFAULT__HOST", "other", "MAGENTO_DC_SYSTEM__DEFAULT__WEB__SECURE__BASE_URL", "https://shop.example/"), map[string]any{
			"db/connection/default/host": "other", "db/connection/default/dbname": "magento", "system/default/web/secure/base_url": "https://shop.example/",
		}},
		"MAGENTO_DC_* alone": {map[string]string{
			"MAGENTO_DC_DB__CONNECTION__DEFAULT__HOST": "h", "MAGENTO_DC_DB__CONNECTION__DEFAULT__DBNAME": "n",
			"MAGENTO_DC_DB__CONNECTION__DEFAULT__USERNAME": "u", "MAGENTO_DC_CRYPT__KEY": "k",
		}, map[string]any{"db/connection/default/username": "u", "crypt/key": "k"}},
		"RabbitMQ": {required("AMQP_HOST", "mq", "AMQP_PASSWORD", "p"), map[string]any{"queue/amqp/host": "mq", "queue/amqp/password": "p", "queue/default_connection": "amqp"}},
	} {
		config, failed := env(t, c.env)
		if failed != "" {
			t.Errorf("%s: %s", name, failed)
			continue
		}
		got := map[string]any{}
		for keys := range c.want {
			got[keys] = at(config, keys)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is missing is all named at once, and no value has a default that would
// make one store's secrets another's.
func TestEnvLacks(t *testing.T) {
	for want, variables := range map[string]map[string]string{
		"lacks MYSQL_HOST, MYSQL_DATABASE, MYSQL_USER, CRYPT_KEY": {},
		"lacks CRYPT_KEY: ":                {"MYSQL_HOST": "h", "MYSQL_DATABASE": "d", "MYSQL_USER": "u"},
		"MYSQL_PASSWORD_FILE names /none,": required("MYSQL_PASSWORD_FILE", "/none"),
	} {
		if _, failed := env(t, variables); !strings.Contains(failed, want) {
			t.Errorf("%v: it says %q, want %q", variables, failed, want)
		}
	}
	// Two stores with different keys have nothing in common that is secret.
	one, failed := env(t, required())
	if failed != "" {
		t.Fatal(failed)
	}
	other, failed := env(t, required("CRYPT_KEY", "ffffffffffffffffffffffffffffffff"))
	if failed != "" {
		t.Fatal(failed)
	}
	for _, keys := range []string{"crypt/key", "cache/graphql/id_salt"} {
		if a, b := fmt.Sprint(at(one, keys)), fmt.Sprint(at(other, keys)); a == b || a == "" {
			t.Errorf("%s is %q for one key and %q for another", keys, a, b)
		}
	}
}

// What only the installed store and its build know comes from the build.
func TestEnvFromFacts(t *testing.T) {
	config, errs := env(t, required("REDIS_CACHE_HOST", "cache"))
	if errs != "" {
		t.Fatal(errs)
	}
	if diff := cmp.Diff(map[string]any{"config": 1.0, "acme_prices": 1.0}, at(config, "cache_types")); diff != "" {
		t.Errorf("cache_types (-want +got):\n%s", diff)
	}
	for _, frontend := range []string{"default", "page_cache"} {
		if got := at(config, "cache/frontend/"+frontend+"/backend"); got != "redis" {
			t.Errorf("the backend of %s is %v, want the name that the installed framework knows", frontend, got)
		}
	}
	if got := at(config, "system/default/dev/template/minify_html"); got != "0" {
		t.Errorf("minify_html is %v, want what the build did", got)
	}
	if _, errs := envOf(t, "", required()); !strings.Contains(errs, "was not built by the pipeline") {
		t.Errorf("without the build's facts env.php says %q", errs)
	}
}
