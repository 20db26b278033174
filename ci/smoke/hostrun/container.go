package hostrun

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

//go:embed inside.sh
var inside string

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process is a program that runs until it is asked to end.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
	err   error // once ended is closed
}

// start runs a command with its output in a file.
func start(name, log string, cmd *exec.Cmd) (*process, error) {
	// Anybody may write: the programs open it anew, as another user.
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Chmod(0o666); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// end ends it and whatever it started, at once.
func (p *process) end() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-p.ended
}

// lines is what it has written.
func (p *process) lines() []string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

// container is the command that runs argv as a container of the image would; none: what the image says.
func (r *runner) container(ctx context.Context, t *tree, volumes map[string]string, writable bool, argv []string, variables ...string) (*exec.Cmd, error) { //nolint:cyclop,revive // what a container is given
	if len(argv) == 0 {
		argv = append(append(argv, t.config.Entrypoint...), t.config.Cmd...)
	}
	if len(argv) == 0 {
		return nil, fmt.Errorf("image %s has no entrypoint and no command", t.name)
	}
	user := t.config.User
	switch uid, gid, ok := strings.Cut(user, ":"); {
	case uid == "" || uid == "root":
		user = "0:0"
	case !ok || gid == "":
		user = uid + ":" + uid
	}
	var binaries []string
	for _, name := range append(slices.Clone(t.config.Entrypoint), "/usr/local/bin/fpm-ping", "/usr/local/bin/magento-install") {
		if st, err := os.Stat(filepath.Join(t.dir, name)); err == nil && st.Mode().IsRegular() && filepath.IsAbs(name) {
			binaries = append(binaries, name)
		}
	}
	var write []string
	for target, source := range volumes {
		write = append(write, source+" "+target)
	}
	stash, err := os.MkdirTemp(r.dir, "stash-*")
	if err != nil {
		return nil, err
	}
	vars := []string{"env", "-i"}
	for _, kv := range t.config.Env {
		if !strings.HasPrefix(kv, "PATH=") {
			vars = append(vars, kv)
		}
	}
	vars = append(append(vars, "PATH="+path, "HOME=/tmp"), variables...)
	cmd := exec.CommandContext(ctx, "unshare", append(append([]string{"--mount", "--propagation", "private", "sh", "-c", inside, "inside"}, vars...), argv...)...)
	cmd.Env = []string{"PATH=" + path, "TREE=" + t.dir, "STASH=" + stash, "UID_GID=" + user, "BINARIES=" + strings.Join(binaries, " "), "WRITE=" + strings.Join(write, "\n")}
	if writable {
		cmd.Env = append(cmd.Env, "RW=1")
	}
	return cmd, nil
}

// once runs a command to its end.
func once(what string, cmd *exec.Cmd) error {
	_, err := output(what, cmd)
	return err
}

// output is what a command writes to its standard output.
func output(what string, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	var all lockedBuffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &all), &all
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(all.String()), "\n")
		return "", &failure{what: what, err: err, lines: lines[max(0, len(lines)-20):]}
	}
	return out.String(), nil
}

// lockedBuffer takes both streams of a command.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string { return b.all.String() }

// failure is a command that did not end well, with its last lines.
type failure struct {
	what  string
	err   error
	lines []string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s failed: %v\n%s", f.what, f.err, strings.Join(f.lines, "\n"))
}

func (f *failure) Unwrap() error { return f.err }

// Unavailable says what this machine lacks to run a build's images.
type Unavailable struct{ Lacks []string }

func (u *Unavailable) Error() string {
	return "smoke: not run: this machine lacks " + strings.Join(u.Lacks, ", ")
}

// Available says whether this machine can run a build's images: nil, or an [Unavailable].
func Available() error {
	var lacks []string
	for _, names := range [][]string{
		{"unshare"}, {"setpriv"}, {"mount"}, {"php"}, {"nginx"}, {"envsubst"}, {"mariadbd"}, {"mariadb"}, {"mariadb-install-db"}, {"redis-server", "valkey-server"},
	} {
		if find(names...) == "" {
			lacks = append(lacks, strings.Join(names, " or "))
		}
	}
	fpm, _ := filepath.Glob("/usr/sbin/php-fpm*") // the pattern is right
	if len(fpm) == 0 && find("php-fpm") == "" {
		lacks = append(lacks, "php-fpm")
	}
	if len(lacks) == 0 && exec.Command("unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/tmp").Run() != nil {
		lacks = append(lacks, "the right to mount in a namespace of its own (root has it)")
	}
	if len(lacks) > 0 {
		return &Unavailable{lacks}
	}
	return nil
}

// find is the path of the first program that is there, also where Debian has daemons.
func find(names ...string) string {
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
		for _, dir := range strings.Split(path, ":") {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil || errors.Is(err, exec.ErrDot) {
				return p
			}
		}
	}
	return ""
}
