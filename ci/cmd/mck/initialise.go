package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

var environmentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

func newInitCommand(e *env) *cobra.Command {
	return verb(e, "init", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Init, _ []string) error {
		ctx := cmd.Context()
		if !environmentName.MatchString(s.Name) {
			return &exitError{exitUsage, fmt.Errorf("--name %q: use letters, digits, - and _", s.Name)}
		}
		before, err := environmentsBefore(s.Name)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		cfg, err := loadAWS(ctx, s.AWS)
		if err != nil {
			return err
		}
		place, err := release.Discover(ctx, release.Lister{
			ECS: awsecs.NewFromConfig(cfg), Events: eventbridge.NewFromConfig(cfg), Scheduler: scheduler.NewFromConfig(cfg),
		}, s.Cluster)
		if err != nil {
			return err
		}
		if err := os.WriteFile(config.EnvironmentsFile, []byte(before+describe(s.Name, cfg.Region, place)), 0o644); err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, place)
		}
		_, err = fmt.Fprintf(e.stdout, "%s says what %s is: look it over, commit it, and type 'mck status %s'\n", config.EnvironmentsFile, s.Name, s.Name)
		return err
	})
}

// environmentsBefore is what stands in the file already, or its head; an error if the environment does.
func environmentsBefore(name string) (string, error) {
	raw, err := os.ReadFile(config.EnvironmentsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "# Where the store runs: settings of each environment, by the names of mck's flags ('mck deploy --help').\n" +
			"# Flags and variables win over them. No secret belongs here.\nenvironments:\n", nil
	}
	if err != nil {
		return "", err
	}
	names, err := config.EnvironmentNames(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", config.EnvironmentsFile, err)
	}
	for _, n := range names {
		if n == name {
			return "", fmt.Errorf("%s has an environment %s already: change it there, or call this one something else with --name", config.EnvironmentsFile, name)
		}
	}
	return strings.TrimRight(string(raw), "\n") + "\n", nil
}

// describe is an environment in the file.
func describe(name, region string, p release.Place) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    region: %s\n    cluster: %s\n", name, region, p.Cluster)
	list := func(flag, comment string, values []string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "    %s: [%s]%s\n", flag, strings.Join(values, ", "), comment)
		}
	}
	list("service", " # the first one's revision runs the migration", p.Services)
	list("cron-rule", " # leave out what does not run the store's cron", p.CronRules)
	list("schedule", " # the same", p.Schedules)
	b.WriteString("    # probe: [https://shop.example.com/] # must answer after a release, or it is rolled back\n")
	return b.String()
}
