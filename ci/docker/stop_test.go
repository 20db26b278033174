package docker_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What is stopped ends the message or the job that it is at, and begins no other; what cron has started in the background
// ends as well before the container does.
func TestStop(t *testing.T) {
	if exec.Command("php", "-r", "exit(function_exists('pcntl_fork') && function_exists('posix_setsid') ? 0 : 1);").Run() != nil {
		t.Skip("not run: there is no php with pcntl on the PATH")
	}
	for _, c := range []struct {
		name, args string
		until      string // the line after which it is stopped
		want       string // what it does
		background string // and what it started does
		code       int
	}{
		{
			name: "a message of a counted consumer", args: "queue:consumers:start counted a b", until: "begun message a",
			want: "read a, begun message a, done message a, acknowledged a, 1 left",
		},
		{
			name: "a message of a daemon", args: "queue:consumers:start daemon a b", until: "begun message a",
			want: "read a, begun message a, done message a, acknowledged a, 1 left",
		},
		{
			name: "a waiting daemon", args: "queue:consumers:start daemon", until: "nothing",
			want: "nothing",
		},
		{
			name: "the last message of a batch", args: "queue:consumers:start batch a b", until: "begun message a",
			want: "read a, read b, nothing, begun message a, done message a, acknowledged a, 0 left, begun message b, done message b, acknowledged b, 0 left",
		},
		{
			name: "a job", args: "cron:run all first second", until: "begun job first",
			want:       "locked first, begun job first, done job first, unlocked first",
			background: "locked inner, begun job inner, done job inner, unlocked inner",
		},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT} {
			t.Run(c.name+" "+signal.String(), func(t *testing.T) {
				dir, p := stoppable(t, c.args)
				got := readTo(t, p.out, c.until)
				var began []string
				if c.background != "" {
					began = readTo(t, p.background, "begun job inner")
				}
				if err := p.cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				p.readError(t, "is asked to stop")
				if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				got = append(got, rest(t, p.out)...)
				err := p.cmd.Wait()
				var exit *exec.ExitError
				if err != nil && !errors.As(err, &exit) || p.cmd.ProcessState.ExitCode() != c.code {
					t.Errorf("it ended with %v, want exit code %d", err, c.code)
				}
				if strings.Join(got, ", ") != c.want {
					t.Errorf("it did\n%s\nwant\n%s", strings.Join(got, ", "), c.want)
				}
				if c.background == "" {
					return
				}
				began = slices.DeleteFunc(append(began, rest(t, p.background)...), func(l string) bool { return strings.HasPrefix(l, "magento: ") })
				if strings.Join(began, ", ") != c.background {
					t.Errorf("the background did\n%s\nwant\n%s", strings.Join(began, ", "), c.background)
				}
			})
		}
	}
}

// Nobody stops it: cron ends with the exit code of cron:run, after what it has started.
func TestCronRunsToTheEnd(t *testing.T) {
	dir, p := stoppable(t, "cron:run all first second")
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	background := rest(t, p.background)
	got := rest(t, p.out)
	p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 3 || !slices.Contains(got, "unlocked second") {
		t.Errorf("exit code %d, %v", code, got)
	}
	if !slices.Contains(background, "unlocked later") {
		t.Errorf("the background did %q", background)
	}
}

type running struct {
	cmd      *exec.Cmd
	out, err *bufio.Reader
	// background is what a process that cron starts prints.
	background *bufio.Reader
}

// stoppable starts bin/magento of the test data by the image's entrypoint, whose paths are those of a directory.
func stoppable(t *testing.T, args string) (string, *running) {
	t.Helper()
	dir := t.TempDir()
	const rootfs = "php/rootfs/usr/local/"
	place := func(from, to string) {
		t.Helper()
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		for old, now := range map[string]string{"/var/www/html": dir, "/usr/local/etc/magento": dir + "/etc", "/usr/local/share/magento": dir + "/share"} {
			raw = regexp.MustCompile(regexp.QuoteMeta(old)+`\b`).ReplaceAll(raw, []byte(now))
		}
		to = filepath.Join(dir, to)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, raw, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	place("testdata/bin/magento", "bin/magento")
	place(rootfs+"bin/magento-entrypoint", "entrypoint")
	place(rootfs+"share/magento/stop.php", "share/stop.php")
	place(rootfs+"share/magento/cron.php", "share/cron.php")
	place(rootfs+"etc/magento/cli.d/20-stop.ini", "etc/cli.d/20-stop.ini")
	if err := syscall.Mkfifo(filepath.Join(dir, "background.log"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &running{cmd: exec.Command(filepath.Join(dir, "entrypoint"), append([]string{"bin/magento"}, strings.Fields(args)...)...)}
	p.cmd.Dir = dir
	pipe := func(open func() (io.ReadCloser, error)) *bufio.Reader {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(r)
	}
	p.out, p.err = pipe(p.cmd.StdoutPipe), pipe(p.cmd.StderrPipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	if strings.HasPrefix(args, "cron") {
		f, err := os.Open(filepath.Join(dir, "background.log")) // once the other end is open
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		p.background = bufio.NewReader(f)
	}
	return dir, p
}

// readTo reads lines up to one.
func readTo(t *testing.T, r *bufio.Reader, last string) []string {
	t.Helper()
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended after %q: %v", lines, err)
		}
		lines = append(lines, strings.TrimSpace(line))
		if lines[len(lines)-1] == last {
			return lines
		}
	}
}

func (p *running) readError(t *testing.T, what string) {
	t.Helper()
	for {
		line, err := p.err.ReadString('\n')
		if strings.Contains(line, what) {
			return
		}
		if err != nil {
			t.Fatalf("it did not say %q: %v", what, err)
		}
	}
}

func rest(t *testing.T, r *bufio.Reader) []string {
	t.Helper()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' })
}
