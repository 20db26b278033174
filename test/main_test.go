package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dagger.io/dagger"
)

// Where things are; set once by TestMain.
var (
	root     string // the repository
	checkout string // a copy of it, as git checks it out
	sample   string // a copy of the sample store, or the store of MCK_E2E_STORE
	mck      string // the program, from the repository
)

// session is one connection to the engine, with the module served.
var session *dagger.Client

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	cli, err := exec.LookPath("dagger")
	if err != nil {
		fmt.Println("engine tests: not run: there is no dagger on the PATH")
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // the first call may download the engine
	defer cancel()
	if err := exec.CommandContext(ctx, cli, "core", "version").Run(); err != nil {
		fmt.Println("engine tests: not run: no Dagger engine answers (dagger core version)")
		return 0
	}
	// The SDK downloads a CLI of its own otherwise.
	os.Setenv("_EXPERIMENTAL_DAGGER_CLI_BIN", cli)

	tmp, err := os.MkdirTemp("", "mck-e2e-*")
	if err == nil {
		defer os.RemoveAll(tmp)
		err = prepare(tmp)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the engine tests:", err)
		return 1
	}
	defer func() {
		if session != nil {
			session.Close()
		}
	}()
	return m.Run()
}

func prepare(tmp string) (err error) {
	if root, err = filepath.Abs(".."); err != nil {
		return err
	}
	checkout, sample, mck = filepath.Join(tmp, "checkout"), filepath.Join(tmp, "store"), filepath.Join(tmp, "bin", "mck")
	if err := checkOut(root, checkout); err != nil {
		return err
	}
	if sample = os.Getenv("MCK_E2E_STORE"); sample == "" {
		sample = filepath.Join(tmp, "store")
		if err := os.CopyFS(sample, os.DirFS(filepath.Join(root, "testdata", "store"))); err != nil {
			return err
		}
		// The sample's own files are too small to be worth compressing beforehand.
		if err := os.WriteFile(filepath.Join(sample, largeAsset), []byte(strings.Repeat("define([], function () { return 'a script worth compressing'; });\n", 200)), 0o644); err != nil {
			return err
		}
		if err := commit(sample); err != nil {
			return err
		}
	}
	build := exec.Command("go", "build", "-o", mck, "./ci/cmd/mck")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

const largeAsset = "app/code/Acme/Delivery/view/frontend/web/js/large.js"

// checkOut copies the files of a git work tree that git would take, changed ones
// as they are, and makes a git checkout of them.
func checkOut(src, dst string) error {
	var names []string
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = src
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing the repository's files: %w", err)
	}
	names = strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(src, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted and not committed
		case err != nil:
			return err
		}
		to := filepath.Join(dst, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(filepath.Join(src, name))
			if err == nil {
				err = os.Symlink(target, to)
			}
			if err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return commit(dst)
}

// commitTime is when the test's commits were made, in seconds.
const commitTime = 1700000000

// commit makes a git repository of a directory, with one commit of all.
func commit(dir string) error {
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all", "--force"}, {"commit", "--quiet", "--message", "all"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		at := fmt.Sprintf("%d +0000", commitTime)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_DATE="+at, "GIT_COMMITTER_DATE="+at,
			"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// connect returns the session; the module's functions can be queried in it.
func connect(t *testing.T) *dagger.Client {
	t.Helper()
	c, err := connection()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connection connects once.
var connection = connected()

func connected() func() (*dagger.Client, error) {
	return sync.OnceValues(func() (*dagger.Client, error) {
		var log bytes.Buffer
		c, err := dagger.Connect(context.Background(), dagger.WithLogOutput(&log), dagger.WithWorkdir(checkout))
		if err != nil {
			return nil, fmt.Errorf("connecting to the engine: %w\n%s", err, log.String())
		}
		session = c
		if err := c.ModuleSource(checkout).AsModule().Serve(context.Background()); err != nil {
			return nil, fmt.Errorf("serving the module: %w\n%s", err, log.String())
		}
		return c, nil
	})
}
