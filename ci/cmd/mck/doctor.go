package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/config/awsconfig"
	"github.com/magecloudkit/pipeline/ci/doctor"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/machine"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// exitFound is the code for a set-up that has mistakes.
const exitFound = 3

func newDoctorCommand(e *env) *cobra.Command {
	return tolerantVerb(e, "doctor", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Doctor, _ []string, wrong error) error {
		setup, err := setupOf(cmd, e, s, wrong)
		if err != nil {
			return err
		}
		report, err := doctor.Run(cmd.Context(), setup)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			err = writeJSON(e.stdout, report)
		} else {
			err = report.Table(e.stdout)
		}
		if err == nil && report.Errors > 0 {
			return &exitError{code: exitFound}
		}
		return err
	})
}

// setupOf puts together what there is to look at. What is wrong with the settings is a part of it.
func setupOf(cmd *cobra.Command, e *env, s *verbs.Doctor, wrong error) (doctor.Setup, error) {
	setup := doctor.Setup{
		Wrong: unwrapped(wrong), Clock: clock{now: e.now},
		Request: targetRequest(verbs.Target{
			Cluster: s.Cluster, Services: s.Services, CronRules: s.CronRules, Schedules: s.Schedules, Prefix: s.Prefix, Repositories: s.Repositories,
		}),
		Registry: registryAddress(s.Registry), Repositories: repositories(s.Prefix), Environments: environmentNames(),
	}
	var here around
	if e.around != nil {
		here = e.around()
	}
	setup.Variables, setup.Machine = here.variables, here.machine
	if setup.Machine != nil {
		if s.InEngine {
			setup.Machine.Run = nil
		}
		setup.Machine.Runner, _ = e.lookup("_EXPERIMENTAL_DAGGER_RUNNER_HOST")
	}
	setup.Composer = composerOf(e, s.Source, here.web)
	setup.Known = slices.Clone(composerVariables)
	for _, known := range allSettings() {
		setup.Known = append(setup.Known, known.Names()...)
	}
	if err := setup.Request.Check(); err != nil && s.Cluster != "" && len(s.Services) > 0 {
		setup.Wrong = errors.Join(setup.Wrong, err)
	}
	setup.Settings = provenance(cmd, e, s)
	s.MaxAttempts = min(s.MaxAttempts, attempts)
	setup.AWS, setup.NoAWS = awsconfig.Load(cmd.Context(), s.AWS, awsconfig.Options{})
	return setup, nil
}

// provenance is what settings are set to, and by what; defaults are left out.
func provenance(cmd *cobra.Command, e *env, s *verbs.Doctor) []doctor.Setting {
	rest, _ := variables(cmd, e) // the error is among what is wrong with the settings
	if s.Environment != "" {
		if place, err := placeNamed(s.Environment); err == nil {
			rest = append(rest, place)
		}
	}
	sources := append([]source{{flagSource, config.Flags(cmd.Flags(), s)}}, rest...)
	list := []doctor.Setting{}
	seen := map[string]bool{}
	for _, target := range []any{s, &verbs.Push{}, &verbs.Deploy{}} {
		for _, setting := range config.Settings(target) {
			value, from, ok := find(setting, sources)
			if setting.Name == "" || seen[setting.Name] || !ok {
				continue
			}
			seen[setting.Name] = true
			list = append(list, doctor.Setting{Name: setting.Name, Value: value, From: from, Secret: setting.Secret})
		}
	}
	for _, name := range composerVariables {
		for _, source := range rest {
			if value, ok := source.Lookup(name); ok && value != "" {
				list = append(list, doctor.Setting{Name: name, Value: value, From: cmp.Or(source.name, name), Secret: true})
				break
			}
		}
	}
	return list
}

// composerVariables are where composer's credentials are; see builder.secrets.
var composerVariables = []string{"COMPOSER_AUTH", "MAGENTO_PUBLIC_KEY", "MAGENTO_PRIVATE_KEY"}

// composerOf is what composer is sent to for a store, and with what.
func composerOf(e *env, source string, web *http.Client) *doctor.Composer {
	c := &doctor.Composer{Source: source, Web: web}
	if _, c.Wrong = os.Stat(filepath.Join(source, "composer.json")); c.Wrong != nil {
		return c
	}
	s, err := store.Open(os.DirFS(source))
	if err != nil {
		c.Wrong = err
		return c
	}
	c.Repositories = s.ComposerRepositories()
	b := builder{e, verbs.Steps{Store: verbs.Store{Source: source}}}
	secrets, err := b.secrets()
	c.Auth, c.NoAuth = secrets["COMPOSER_AUTH"], unwrapped(err)
	return c
}

// environmentNames are those that magecloudkit.yaml has, as far as it can be read.
func environmentNames() []string {
	raw, err := os.ReadFile(config.EnvironmentsFile)
	if err != nil {
		return nil
	}
	names, err := config.EnvironmentNames(raw)
	if err != nil {
		return nil
	}
	return names
}

// unwrapped is an error without the exit code that a verb would end with.
func unwrapped(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.err
	}
	return err
}

// attempts are enough for somebody who waits for the answer.
const attempts = 3

// clock is the machine's, by the command's own time.
type clock struct {
	ecs.WallClock
	now func() time.Time
}

// Now implements ecs.Clock.
func (c clock) Now() time.Time { return c.now() }

// around is what doctor looks at beside the settings. Its zero value is nothing.
type around struct {
	variables []string // names in the environment
	machine   *doctor.Machine
	web       *http.Client
}

// thisMachine is what there is around this process.
func thisMachine() around {
	a := around{
		web:     &http.Client{Timeout: 20 * time.Second},
		machine: &doctor.Machine{Run: outputOf, Memory: machine.Memory(), Cores: runtime.GOMAXPROCS(0)},
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		a.variables = append(a.variables, name)
	}
	places := []string{"."}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, cache)
	}
	for _, path := range places {
		for path != filepath.Dir(path) && path != "." { // a cache that is not there yet is below what is
			if _, err := os.Stat(path); err == nil {
				break
			}
			path = filepath.Dir(path)
		}
		free, ok := machine.Free(path)
		same := slices.ContainsFunc(a.machine.Disks, func(d doctor.Disk) bool { return d.Free == free })
		if ok && !same {
			a.machine.Disks = append(a.machine.Disks, doctor.Disk{Path: path, Free: free})
		}
	}
	return a
}

// patience is how long a program may take to say its version.
const patience = 10 * time.Second

// outputOf is what a program prints.
func outputOf(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		err = fmt.Errorf("%s: %w: %s", name, err, lines[len(lines)-1])
	}
	return string(out), err
}
