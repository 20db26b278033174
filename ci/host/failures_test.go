package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
)

// Settings of Magento in the environment of a laptop or a CI machine change
// nothing, and what is secret there stays there.
func TestEnvironmentDoesNotReachSteps(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	// A module that writes its environment into the build, as an unlucky one might.
	write(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"), read(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"))+
		"\necho 'the environment: ', json_encode(array_keys(getenv())), PHP_EOL;\n")
	want := newRun(t, source, options{}).all(t)
	r := newRun(t, source, options{environ: environ(t,
		"MAGENTO_DC_DB__CONNECTION__DEFAULT__HOST=db.example", "CONFIG__DEFAULT__DEV__CSS__MINIFY_FILES=1", "MAGE_MODE=developer",
		"AWS_SECRET_ACCESS_KEY=secret", "COMPOSER_AUTH=secret", "MAGENTO_PRIVATE_KEY=secret", "COMPOSER=other.json", "XDEBUG_MODE=debug")})
	got := r.all(t)
	sameLayers(t, "with MAGENTO_DC_* and CONFIG__* in the environment", want, got)
	out := r.printed()
	if !strings.Contains(out, `the environment: [`) || !strings.Contains(out, `"PATH"`) {
		t.Fatalf("the module did not tell its environment:\n%s", out)
	}
	for _, name := range []string{"MAGENTO_", "CONFIG__", "MAGE_MODE", "AWS_", "COMPOSER_AUTH", "XDEBUG", `"COMPOSER"`} {
		if strings.Contains(out, name) {
			t.Errorf("%s reached a step:\n%s", name, out)
		}
	}
}

// Credentials are given to composer's install alone, and whatever prints them,
// nobody reads them.
func TestCredentials(t *testing.T) {
	needTools(t)
	t.Parallel()
	const auth = `{"http-basic":{"repo.acme.example":{"username":"git","password":"pass.word/with&signs"}},"gitlab-token":{"gitlab.com":"glpat-aaaa.bbbb"}}`
	source := sample(t)
	script := `php -r 'echo "auth ", getenv("COMPOSER_AUTH"), PHP_EOL; foreach (json_decode(getenv("COMPOSER_AUTH"), true)["http-basic"] as $h => $c) { echo "url https://", $c["username"], ":", rawurlencode($c["password"]), "@", $h, PHP_EOL, "basic ", base64_encode(implode(":", $c)), PHP_EOL, "raw ", $c["password"], PHP_EOL; } echo "token glpat-aaaa.bbbb of github.com", PHP_EOL; exit((int) file_exists("fail"));'`
	quoted := strings.ReplaceAll(script, `"`, `\"`)
	edit(t, filepath.Join(source, "composer.json"), `"minimum-stability"`, `"scripts": {"post-install-cmd": "`+quoted+`"}, "minimum-stability"`)
	write(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"), read(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"))+
		"\necho 'credentials: ', var_export(getenv('COMPOSER_AUTH'), true), PHP_EOL;\n")
	r := newRun(t, source, options{secrets: map[string]string{"COMPOSER_AUTH": auth}})
	r.all(t)
	write(t, filepath.Join(source, "fail"), "")
	failing := newRun(t, source, options{secrets: map[string]string{"COMPOSER_AUTH": auth}})
	_, err := failing.build(t.Context())
	if err == nil {
		t.Fatal("composer failed, and the build did not")
	}
	for name, text := range map[string]string{"the log": r.printed(), "the failing build's log": failing.printed(), "its error": err.Error()} {
		for _, secret := range []string{"pass.word", "glpat-", "Z2l0OnBhc3M", "pass.word%2Fwith%26signs"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the credential %s…:\n%s", name, secret, text)
			}
		}
		if !strings.Contains(text, "auth ***") || !strings.Contains(text, "basic ***") || !strings.Contains(text, "of github.com") {
			t.Errorf("%s says something else than that there were credentials:\n%s", name, text)
		}
	}
	if out := r.printed(); !strings.Contains(out, "credentials: false") {
		t.Errorf("bin/magento has credentials, or the module that tells did not run:\n%s", out)
	}
}

// anyFailure stands for an exit code that depends on composer's version.
const anyFailure = -2

// A build in which a step fails says which, where, how, and what it said.
func TestFailures(t *testing.T) {
	needTools(t)
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		environ []string
		step    string
		command string // begins so
		code    int
		says    []string
	}{
		{
			name: "a syntax error in a module",
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "app/code/Acme/Delivery/Model/Planner.php"), "<?php\nclass Planner {\n")
			},
			step: "compile", command: "php -d memory_limit=2G bin/magento", code: 1,
			says: []string{"step compile failed", "setup:di:compile` ended with exit code 1", "its last lines:", "Planner.php"},
		},
		{
			name: "a style sheet that cannot be compiled",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/design/frontend/Acme/shop/web/css/shop.less"), "{", "{ width: @nowhere;")
			},
			step: "static", command: "php -d memory_limit=2G bin/magento", code: 1,
			says: []string{"step static failed", "nowhere"},
		},
		{
			name:   "a package that is not there",
			change: func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "packages/module-catalog"))) },
			step:   "composer", command: "composer install", code: 1,
			says: []string{"step composer failed", "module-catalog"},
		},
		{
			name: "a PHP that the lock does not allow",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.lock"), `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"php": "~7.0.0"`)
			},
			step: "composer", command: "composer install", code: 2,
			says: []string{"your php version", "what to do:", "never ignored"},
		},
		{
			name: "the installer plugin is switched off",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.json"), `"magento/*": true`, `"magento/*": false`)
			},
			step: "composer",
			says: []string{"step composer failed: there is no bin/magento", "what to do:", "allow-plugins", "product package"},
		},
		{
			name: "no default website",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'is_default' => '1'", "'is_default' => '0'")
			},
			step: "static", command: "php", code: 1,
			says: []string{"app:config:dump scopes themes"},
		},
		{
			name: "a module that is a link to elsewhere",
			change: func(t *testing.T, dir string) {
				must(t, os.Symlink("/srv/modules/acme", filepath.Join(dir, "app/code/Acme/Far")))
			},
			says: []string{"app/code/Acme/Far is a link that leads out of the store, to /srv/modules/acme"},
		},
		{
			name: "Adobe's repository answers 404",
			change: func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "composer.lock")))
				repository := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(repository.Close)
				edit(t, filepath.Join(dir, "composer.json"), `"packagist.org": false`, `"type": "composer", "url": "`+repository.URL+`/repo.magento.com"`)
				edit(t, filepath.Join(dir, "composer.json"), `"config": {`, `"config": {"secure-http": false,`)
				edit(t, filepath.Join(dir, "composer.json"), `"sample/module-loyalty"`, `"acme/bought": "*", "sample/module-loyalty"`)
			},
			environ: []string{"COMPOSER_DISABLE_NETWORK=0"},
			step:    "composer", command: "composer install", code: anyFailure, // 255, or 100 from composer 2.6 on
			says: []string{"404", "what to do: repo.magento.com answers 404, and not 401", "MAGENTO_PUBLIC_KEY"},
		},
		{
			name:    "no composer",
			change:  func(*testing.T, string) {},
			environ: []string{"PATH=" + onlyPHP(t)},
			step:    "composer",
			says:    []string{"step composer failed: there is no composer on the PATH", "dagger call build"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := sample(t)
			c.change(t, source)
			env := environ(t)
			for _, kv := range c.environ {
				name, _, _ := strings.Cut(kv, "=")
				env = append(slices.DeleteFunc(env, func(other string) bool { return strings.HasPrefix(other, name+"=") }), kv)
			}
			r := newRun(t, source, options{environ: env, cache: filepath.Join(t.TempDir(), "cache")})
			_, err := r.build(t.Context())
			if err == nil {
				t.Fatal("the build did not fail")
			}
			var failed *host.StepError
			if !errors.As(err, &failed) {
				failed = &host.StepError{}
			}
			if failed.Step != c.step || !strings.HasPrefix(failed.Command, c.command) || failed.Code != c.code && (c.code != anyFailure || failed.Code <= 0) {
				t.Errorf("step %s, command %q, exit code %d; want %s, %q, %d\n%v", failed.Step, failed.Command, failed.Code, c.step, c.command, c.code, err)
			}
			if c.command != "" && (!strings.HasPrefix(failed.Dir, r.Work) || !strings.Contains(err.Error(), "\n  in "+failed.Dir)) {
				t.Errorf("the error does not say where the command ran: %v", err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q:\n%v", s, err)
				}
			}
			for _, e := range r.events {
				if e.Done != nil && e.Step == c.step {
					t.Errorf("the step failed and is reported as done: %+v", e.Done)
				}
			}
			if kept, err := filepath.Glob(filepath.Join(r.Runner.Cache, "steps", "*")); err != nil {
				t.Error(err)
			} else {
				for _, f := range kept {
					if strings.Contains(read(t, f), `"step":"`+c.step+`"`) {
						t.Errorf("the failed step is in the cache: %s", f)
					}
				}
			}
		})
	}
}

// onlyPHP is a directory with php and without composer.
func onlyPHP(t testing.TB) string {
	php, err := exec.LookPath("php")
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(php, filepath.Join(dir, "php")))
	return dir
}

// An error repeats the end of what a command said, as a terminal would show it, and
// names the file with all of it. Where there is no such file it repeats more.
func TestLastLines(t *testing.T) {
	needTools(t)
	t.Parallel()
	script := `for ($i = 1; $i <= 200; $i++) echo "line $i\n"; echo "10%\r60%\r100%\r\n\n   \n"; fwrite(STDERR, getenv("TOKEN") . " no newline at the end"); exit(9);`
	for _, c := range []struct {
		logs string
		from int
	}{{"", 103}, {filepath.Join(t.TempDir(), "log"), 178}} {
		r := &host.Runner{Environ: environ(t), Results: t.TempDir(), Logs: c.logs, Now: time.Now, Secrets: map[string]string{"TOKEN": "hush-hush"}}
		_, err := r.Run(t.Context(), build.Step{Name: "talk", Commands: []build.Command{{Args: []string{"php", "-r", script}, Secrets: []string{"TOKEN"}}}}, t.TempDir())
		var failed *host.StepError
		if !errors.As(err, &failed) || failed.Code != 9 {
			t.Fatalf("the step ended with %v", err)
		}
		var want []string
		for i := c.from; i <= 200; i++ {
			want = append(want, fmt.Sprint("line ", i))
		}
		want = append(want, "100%", "*** no newline at the end")
		if !slices.Equal(failed.Tail, want) {
			t.Errorf("last lines: %q, want %q", failed.Tail, want)
		}
		if c.logs == "" {
			continue
		}
		file := filepath.Join(c.logs, "talk.log")
		if !strings.Contains(err.Error(), "all that it printed: "+file) {
			t.Errorf("the error does not name %s: %v", file, err)
		}
		if log := read(t, file); !strings.HasPrefix(log, "$ php -r ") || !strings.Contains(log, "\nline 1\n") || !strings.HasSuffix(log, "10%\r60%\r100%\r\n\n   \n*** no newline at the end") {
			t.Errorf("the log:\n%s", log)
		}
	}
}

// Output decides nothing: neither words of failure nor words of success.
func TestExitCodesDecide(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	registration := filepath.Join(source, "app/code/Acme/Greeting/registration.php")
	good := read(t, registration)
	write(t, registration, good+"\nfwrite(STDERR, \"PHP Fatal error:  404 could not be found\\n\");\n")
	newRun(t, source, options{}).all(t)
	write(t, registration, good+"\nregister_shutdown_function(function () { echo 'Generated code and dependency injection configuration successfully.'; exit(3); });\n")
	_, err := newRun(t, source, options{}).build(t.Context())
	var failed *host.StepError
	if !errors.As(err, &failed) || failed.Code != 3 {
		t.Errorf("a command that praised itself and exited with 3: %v", err)
	}
}

// A build that is stopped ends at once, with all that it started, and leaves
// nothing that a later build would take for a result.
func TestStop(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	registration := filepath.Join(source, "app/code/Acme/Greeting/registration.php")
	good := read(t, registration)
	write(t, registration, good+`
if (in_array('setup:di:compile', $_SERVER['argv'])) {
    $child = proc_open(['sleep', '1000'], [], $pipes);
    echo 'started ', proc_get_status($child)['pid'], PHP_EOL;
    proc_close($child);
}
`)
	r := newRun(t, source, options{cache: cache})
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var gone func(time.Duration) bool
	r.on = func(e host.Event) {
		if pid, ok := strings.CutPrefix(e.Line, "started "); ok {
			n, err := strconv.Atoi(pid)
			if err == nil {
				gone, err = watch(n)
			}
			if err != nil {
				t.Error(err)
			}
			stop(errors.New("the operator had enough"))
		}
	}
	_, err := r.build(ctx)
	if err == nil || !strings.Contains(err.Error(), "was stopped: the operator had enough") {
		t.Fatalf("the build ended with %v", err)
	}
	if gone == nil || !gone(10*time.Second) {
		t.Error("a process that the build started is still there")
	}
	var left []string
	for _, dir := range []string{cache, r.Runner.Results} {
		for _, pattern := range []string{"blobs/sha256/.*", "*.json", "steps/.*"} {
			left = append(left, glob(t, filepath.Join(dir, pattern))...)
		}
		for _, f := range glob(t, filepath.Join(dir, "steps", "*")) {
			if strings.Contains(read(t, f), `"step":"compile"`) {
				left = append(left, f)
			}
		}
	}
	left = slices.DeleteFunc(left, func(f string) bool { // layers of steps that were done
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		return slices.Contains([]string{"vendor", "magento", "entry", "app", "app-etc", "app-design", "app-code"}, name) || strings.Contains(name, "static-")
	})
	if len(left) > 0 {
		t.Errorf("the stopped build left %v", left)
	}

	write(t, registration, good)
	got := newRun(t, source, options{cache: cache}).all(t)
	want := newRun(t, source, options{}).all(t)
	sameLayers(t, "after a build that was stopped", want, got)
}

func TestPHP(t *testing.T) {
	needTools(t)
	php, err := host.PHP(t.Context(), environ(t))
	must(t, err)
	out, err := exec.Command("php", "-r", "echo PHP_VERSION;").Output()
	must(t, err)
	if php.Version != string(bytes.TrimSpace(out)) || !slices.Contains(php.Extensions, "json") {
		t.Errorf("php says %+v, its version is %s", php, out)
	}
	_, err = host.PHP(t.Context(), []string{"PATH=" + t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "there is no php on the PATH") || !strings.Contains(err.Error(), "dagger call build") {
		t.Errorf("a machine without php: %v", err)
	}
}
