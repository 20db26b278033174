// Package host runs the steps of a build on the machine it is on: a laptop, a CI
// machine, or the inside of a container. It takes commands from package build's
// values and adds none of its own.
package host

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/magecloudkit/pipeline/ci/brief"
	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// Runner runs steps. The zero value of a field means that it is left out: no
// cache, no log, an empty environment.
type Runner struct {
	// Environ is the caller's environment ("NAME=value"). Only what a build needs
	// of it reaches a command; see [Environment].
	Environ []string
	// Secrets are values for what a command declares as its secrets. They are
	// taken out of every line that a command prints.
	Secrets map[string]string
	// Results is the directory that keeps what steps leave: their layers and, a
	// step, its result.
	Results string
	// Earlier are directories like Results, of steps that ran before or elsewhere.
	// They are only read.
	Earlier []string
	// Cache is a directory of earlier results by key, which may be shared between
	// builds and processes; empty: every step runs.
	Cache string
	// Compression of the packed layers.
	Compression layer.Compression
	// Logs is a directory for all that the commands of a step print, in a file a
	// step; empty: nowhere, and a failure repeats more of it.
	Logs string
	// Log is told what happens, from several goroutines.
	Log func(Event)
	// Now tells the time, for durations.
	Now func() time.Time

	toolsOnce sync.Once
	toolsText string
	toolsErr  error
}

// Event is something that happened in a step: exactly one of the fields after
// Step is set.
type Event struct {
	Step    string
	Command string  // a command starts
	Line    string  // a line of what a command printed, as package brief shows it
	Done    *Result // the step is done
}

// Result is what a step left: its layers, the key of what they were made from,
// and how long it took.
type Result struct {
	Step    string             `json:"step"`
	Key     string             `json:"key,omitempty"`
	Layers  []layer.Descriptor `json:"layers"`
	Reused  bool               `json:"reused,omitempty"`
	Seconds float64            `json:"seconds"`
}

// columns is how wide composer and Magento may take their output to be, in
// characters: they cut the words of an error where the line ends.
const columns = 200

// passed are the variables of the caller's environment that a command gets: where
// programs and certificates are and how the network is reached. Nothing else
// does, and so no MAGENTO_DC_* or CONFIG__* of a laptop or a CI machine changes
// what is built.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "SSH_AUTH_SOCK",
	"COMPOSER_HOME", "COMPOSER_CACHE_DIR", "COMPOSER_DISABLE_NETWORK", "COMPOSER_PROCESS_TIMEOUT", "COMPOSER_MAX_PARALLEL_HTTP",
	"PHP_INI_SCAN_DIR", "PHPRC", "PHP_INI_DIR", "PHP_VERSION",
}

// PassedVariables names the variables that [Environment] lets through.
func PassedVariables() []string { return slices.Clone(passed) }

// Environment is what of a caller's environment a command of a build gets.
func Environment(environ []string) []string {
	var out []string
	for _, kv := range environ {
		name, _, ok := strings.Cut(kv, "=")
		if ok && slices.Contains(passed, name) {
			out = append(out, kv)
		}
	}
	return out
}

// program makes a command of a program on the PATH of environ, which need not be
// this process's own, and gives it what of environ it may see.
func program(ctx context.Context, environ []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = Environment(environ)
	cmd.Path, cmd.Err = "", &exec.Error{Name: name, Err: exec.ErrNotFound}
	for _, kv := range cmd.Env {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(dirs) {
			if !filepath.IsAbs(dir) {
				continue // it would be looked for in a tree of the build
			}
			if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				cmd.Path, cmd.Err = found, nil
				return cmd
			}
		}
	}
	return cmd
}

// Run runs a step in a tree that its shell has laid out, and packs its layers
// into r.Results. Where the cache holds the layers of an equal key, tree is left
// alone and they are taken.
func (r *Runner) Run(ctx context.Context, step build.Step, tree string) (Result, error) {
	start := r.Now()
	key, err := r.Key(ctx, step, tree)
	if err != nil {
		return Result{}, err
	}
	if res, ok, err := r.reuse(step, key, start); ok || err != nil {
		return res, err
	}
	return r.run(ctx, step, tree, key, start)
}

func (r *Runner) run(ctx context.Context, step build.Step, tree, key string, start time.Time) (Result, error) {
	for _, dir := range step.Clear {
		if err := empty(filepath.Join(tree, dir)); err != nil {
			return Result{}, &StepError{Step: step.Name, Cause: err.Error()}
		}
	}
	if err := r.merge(ctx, step, tree); err != nil {
		return Result{}, err
	}
	for _, p := range slices.Sorted(maps.Keys(step.Write)) {
		if err := writeInto(tree, p, step.Write[p]); err != nil {
			return Result{}, &StepError{Step: step.Name, Cause: err.Error()}
		}
	}
	if err := r.commands(ctx, step, tree); err != nil {
		return Result{}, err
	}
	if err := sortJSON(tree, step.Joined); err != nil {
		return Result{}, &StepError{Step: step.Name, Cause: err.Error()}
	}
	for _, e := range step.MustExist {
		if _, err := os.Lstat(filepath.Join(tree, e.Path)); err != nil {
			return Result{}, &StepError{Step: step.Name, Cause: "there is no " + e.Path, Hint: e.Else}
		}
	}
	if step.Patched {
		if err := r.patched(step.Name, tree); err != nil {
			return Result{}, err
		}
	}
	res := Result{Step: step.Name, Key: key, Layers: []layer.Descriptor{}}
	for _, spec := range step.Layers {
		d, err := r.Pack(ctx, tree, spec)
		if err != nil {
			return Result{}, &StepError{Step: step.Name, Cause: fmt.Sprintf("packing layer %s: %v", spec.Name, err)}
		}
		res.Layers = append(res.Layers, d)
	}
	res.Seconds = r.Now().Sub(start).Seconds()
	return res, r.keep(res)
}

// Pack packs a layer of a tree into r.Results.
func (r *Runner) Pack(ctx context.Context, tree string, spec layer.Spec) (layer.Descriptor, error) {
	return layer.PackFile(ctx, tree, spec, r.Compression, r.Results)
}

// commands runs a step's commands, one after the other.
func (r *Runner) commands(ctx context.Context, step build.Step, tree string) (err error) {
	var whole io.Writer = io.Discard
	if r.Logs != "" && len(step.Commands) > 0 {
		f, err := createLog(r.logFile(step.Name))
		if err != nil {
			return &StepError{Step: step.Name, Cause: "its log cannot be written: " + err.Error()}
		}
		defer f.Close()
		whole = f
	}
	for _, c := range step.Commands {
		if err := r.command(ctx, step.Name, c, tree, whole); err != nil {
			return err
		}
	}
	return nil
}

// logFile is where all that a step's commands print is kept; empty: nowhere.
func (r *Runner) logFile(step string) string {
	if r.Logs == "" {
		return ""
	}
	return filepath.Join(r.Logs, step+".log")
}

func createLog(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return os.Create(file)
}

// command runs a command, and writes all that it prints to whole.
func (r *Runner) command(ctx context.Context, step string, c build.Command, dir string, whole io.Writer) error {
	r.log(Event{Step: step, Command: c.String()})
	fmt.Fprintf(whole, "$ %s\n", c)
	cmd := program(ctx, r.Environ, c.Args[0], c.Args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "COLUMNS="+strconv.Itoa(columns))
	for _, name := range sortedKeys(c.Env) {
		cmd.Env = append(cmd.Env, name+"="+c.Env[name])
	}
	var hidden []string
	for _, name := range c.Secrets {
		if v := r.Secrets[name]; v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
			hidden = append(hidden, secretParts(v)...)
		}
	}
	// A command and all that it starts end together, composer's downloads and
	// PHP's children included.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second

	pr, pw := io.Pipe()
	cmd.Stdout, cmd.Stderr = pw, pw
	var tail []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		tail = r.lines(step, pr, strings.NewReplacer(hidden...), whole)
	}()
	err := cmd.Run()
	if cmd.Process != nil && (ctx.Err() != nil || errors.Is(err, exec.ErrWaitDelay)) {
		// What is left of the group did not heed the SIGTERM, or was started to
		// outlive the command. ESRCH says that nothing is.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	pw.Close()
	<-read
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil // in the second case it exited with 0, and left something running
	}
	return failedCommand(ctx, err, StepError{Step: step, Command: c.String(), Dir: dir, Code: -1, Tail: tail, File: r.logFile(step)}, c)
}

// lines takes what a command prints: all of it goes to whole, and what people read
// is handed on. It returns the last of that.
func (r *Runner) lines(step string, from io.Reader, redact *strings.Replacer, whole io.Writer) (tail []string) {
	most := tailLines
	if r.Logs == "" {
		most = tailLinesOnly
	}
	filter := brief.New(func(line string) {
		r.log(Event{Step: step, Line: line})
		if tail = append(tail, line); len(tail) > most {
			tail = tail[1:]
		}
	}, r.Now)
	// A log that cannot be written, on a full disk, ends no build.
	to := io.MultiWriter(filter, whole)
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		_, _ = io.WriteString(to, redact.Replace(line))
		if err != nil {
			_ = filter.Close() // it never fails
			return tail
		}
	}
}

// secretParts lists the strings to hide, each followed by what stands in its
// place: the value as it is and, where it is an auth.json, every password and
// token in it, in the forms that tools write them in.
func secretParts(value string) []string {
	hide := map[string]bool{value: true}
	add := func(secret string) {
		escaped, err := json.Marshal(secret)
		if err != nil || len(secret) < shortestSecret {
			return
		}
		hide[secret], hide[strings.Trim(string(escaped), `"`)] = true, true
		hide[url.PathEscape(secret)], hide[url.QueryEscape(secret)] = true, true
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			add(v)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			user, _ := v["username"].(string)
			password, paired := v["password"].(string)
			if paired {
				add(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
			}
			for key, item := range v {
				// A name such as "git" or "token" is no secret and would be hidden
				// in every word; Magento's public keys are long.
				if key != "username" || len(user) >= 16 {
					walk(item)
				}
			}
		}
	}
	var auth any
	if json.Unmarshal([]byte(value), &auth) == nil {
		walk(auth)
	}
	longestFirst := slices.SortedFunc(maps.Keys(hide), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, s := range longestFirst {
		pairs = append(pairs, s, "***")
	}
	return pairs
}

// shortestSecret is the length in bytes below which a string of an auth.json is
// not hidden: it would be found in half of the words of a log.
const shortestSecret = 4

func (r *Runner) log(e Event) {
	if r.Log != nil {
		r.Log(e)
	}
}

func empty(dir string) error {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.Name() == ".htaccess" {
			continue // Magento's base package keeps one there
		}
		if err := os.RemoveAll(filepath.Join(dir, n.Name())); err != nil {
			return err
		}
	}
	return nil
}
