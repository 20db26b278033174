package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/magecloudkit/pipeline/ci/store"
)

// Machine is the machine that builds run on, as far as it is known.
type Machine struct {
	// Run runs a program and returns what it prints. The error of one that is not there is exec.ErrNotFound or fs.ErrNotExist.
	// nil: this is a container of an engine, which has none of them.
	Run func(ctx context.Context, name string, args ...string) (string, error)
	// Runner is the engine that dagger is told to use (_EXPERIMENTAL_DAGGER_RUNNER_HOST); empty: it starts one by docker.
	Runner string

	Memory int64 // bytes; 0: unknown
	Cores  int   // 0: unknown
	Disks  []Disk
}

// Disk is a place that a build writes to.
type Disk struct {
	Path string
	Free int64 // bytes
}

// What a build needs, in bytes. Below less it fails, below enough it may.
const (
	gib          = 1 << 30
	lessMemory   = store.MinMemory
	enoughMemory = 1_900_000_000 // a machine of 2 GB says a little less
	lessDisk     = 3 * gib
	enoughDisk   = 10 * gib
)

// machine says what this machine has.
func machine(_ context.Context, v *visit) {
	m := v.Machine
	if m == nil {
		return
	}
	v.memory("memory", m.Memory)
	for _, d := range m.Disks {
		const fix = "make room: --cache-dir and --out may name another disk; 'docker system df' shows what Docker keeps"
		switch subject := "disk at " + d.Path; {
		case d.Free < lessDisk:
			v.err(subject, fix, "%s are free, and a build writes more", size(d.Free))
		case d.Free < enoughDisk:
			v.warn(subject, fix, "%s are free, which the caches of a few builds fill", size(d.Free))
		default:
			v.ok(subject, "%s are free", size(d.Free))
		}
	}
	switch {
	case m.Cores == 1:
		v.warn("cores", "give it two: compiling and static content run side by side then", "there is one")
	case m.Cores > 1:
		v.ok("cores", "there are %d", m.Cores)
	}
}

// memory judges how much there is; 0 is unknown.
func (v *visit) memory(subject string, bytes int64) {
	const fix = "give the machine, the container or Docker's virtual machine 2 GB"
	switch {
	case bytes == 0:
	case bytes < lessMemory:
		v.err(subject, fix, "there are %s, and compiling a store needs 1 GB", size(bytes))
	case bytes < enoughMemory:
		v.warn(subject, fix, "there are %s, and static content of several themes needs 2 GB", size(bytes))
	default:
		v.ok(subject, "there are %s", size(bytes))
	}
}

func size(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

const orHost = "; or do without: ENGINE=host make build, with this machine's own php and composer"

// engine looks at what dagger runs on.
func engine(ctx context.Context, v *visit) {
	if v.Machine == nil || v.Machine.Run == nil {
		return
	}
	has := v.daggerCLI(ctx)
	if v.Machine.Runner != "" {
		v.ok("docker", "is not needed: _EXPERIMENTAL_DAGGER_RUNNER_HOST names an engine")
		return
	}
	out, err := v.Machine.Run(ctx, "docker", "info", "--format", "{{.ServerVersion}} {{.MemTotal}} {{.NCPU}}")
	switch {
	case missing(err):
		v.warn("docker", "install Docker, or have _EXPERIMENTAL_DAGGER_RUNNER_HOST name an engine"+orHost, "is not on the PATH, and dagger starts its engine by it")
		return
	case err != nil:
		report := v.warn
		if has {
			report = v.err
		}
		report("docker", "start Docker, and let this user use it (group docker)"+orHost, "does not answer: %s", say(err))
		return
	}
	words := strings.Fields(out)
	if len(words) == 0 {
		v.warn("docker", "try 'docker info'", "does not say its version")
		return
	}
	v.ok("docker", "%s", words[0])
	if len(words) > 1 {
		if bytes, err := strconv.ParseInt(words[1], 10, 64); err == nil && bytes != v.Machine.Memory {
			v.memory("docker's memory", bytes)
		}
	}
	v.runningEngine(ctx)
}

// runningEngine tells which engine of dagger runs already.
func (v *visit) runningEngine(ctx context.Context) {
	out, err := v.Machine.Run(ctx, "docker", "ps", "--filter", "name=dagger-engine", "--format", "{{.Image}}")
	if err != nil {
		return // docker's own line has said what there is to say
	}
	image := strings.TrimSpace(out)
	if image == "" {
		v.ok("engine", "none runs yet; dagger starts %s", pipeline.Engine)
		return
	}
	v.ok("engine", "%s runs", strings.Join(strings.Fields(image), ", "))
}

var version = regexp.MustCompile(`\bv([0-9]+)\.([0-9]+)\.([0-9]+)`)

// daggerCLI compares dagger's version with the pipeline's, and reports whether there is one.
func (v *visit) daggerCLI(ctx context.Context) bool {
	fix := fmt.Sprintf("install %s: curl -fsSL https://dl.dagger.io/dagger/install.sh | DAGGER_VERSION=%s BIN_DIR=$HOME/.local/bin sh", pipeline.Engine, pipeline.Engine)
	out, err := v.Machine.Run(ctx, "dagger", "version")
	switch {
	case missing(err):
		v.warn("dagger", fix+orHost, "is not on the PATH")
		return false
	case err != nil:
		v.warn("dagger", fix, "does not say its version: %s", say(err))
		return true
	}
	has := version.FindStringSubmatch(out)
	switch order := compare(has, version.FindStringSubmatch(pipeline.Engine)); {
	case has == nil:
		v.warn("dagger", fix, "does not say its version; the pipeline is made for %s", pipeline.Engine)
	case order < 0:
		v.err("dagger", fix, "%s is older than %s, which dagger.json wants", has[0], pipeline.Engine)
	case order > 0:
		v.warn("dagger", fix, "%s is newer than %s, which the pipeline was tried with", has[0], pipeline.Engine)
	default:
		v.ok("dagger", "%s, as dagger.json wants", has[0])
	}
	return true
}

// compare compares two matches of version by their numbers.
func compare(a, b []string) int {
	for i := 1; i < len(a) && i < len(b); i++ {
		x, _ := strconv.Atoi(a[i]) // they are numbers
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return x - y
		}
	}
	return 0
}

// missing reports whether a program is not there.
func missing(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}
