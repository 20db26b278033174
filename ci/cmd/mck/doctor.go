package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/config/awsconfig"
	"github.com/magecloudkit/pipeline/ci/doctor"
	"github.com/magecloudkit/pipeline/ci/ecs"
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
	if e.variables != nil {
		setup.Variables = e.variables()
	}
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
	return list
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
