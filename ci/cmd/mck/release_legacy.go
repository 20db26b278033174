package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// legacyOption is an option of silinternational's ecs-deploy, version 3.10.22.
type legacyOption struct {
	short, long string
	value       bool // takes the next argument
	set         func(*legacyArguments, string) error
	// instead says what replaces an option that is not taken any more.
	instead string
	// note says what became of an option that has no effect any more.
	note string
}

// legacyArguments are what an old command line asks for.
type legacyArguments struct {
	cluster, service string
	image            string
	tag              string
	tagVariable      string
	region, profile  string
	role             string
	timeout          time.Duration
	desired          *int32
	minimum, maximum *int32
	keep             int
	force, latest    bool
	notes            []string
	version          bool
}

// legacyOptions is the old script's list, in its order.
var legacyOptions = []legacyOption{
	{short: "-k", long: "--aws-access-key", value: true, instead: "set AWS_ACCESS_KEY_ID: every process of a machine can read an argument"},
	{short: "-s", long: "--aws-secret-key", value: true, instead: "set AWS_SECRET_ACCESS_KEY: every process of a machine can read an argument"},
	{short: "-r", long: "--region", value: true, set: text(func(a *legacyArguments) *string { return &a.region })},
	{short: "-p", long: "--profile", value: true, set: text(func(a *legacyArguments) *string { return &a.profile })},
	{long: "--aws-instance-profile", note: "needs no option: an instance's or a container's role is found by itself"},
	{short: "-a", long: "--aws-assume-role", value: true, set: text(func(a *legacyArguments) *string { return &a.role })},
	{short: "-c", long: "--cluster", value: true, set: text(func(a *legacyArguments) *string { return &a.cluster })},
	{short: "-n", long: "--service-name", value: true, set: text(func(a *legacyArguments) *string { return &a.service })},
	{short: "-d", long: "--task-definition", value: true, instead: "name the cron rule that runs it in MCK_CRON_RULES, and it is released with the service; for a single task there is 'mck run'"},
	{short: "-i", long: "--image", value: true, set: text(func(a *legacyArguments) *string { return &a.image })},
	{short: "-t", long: "--timeout", value: true, set: func(a *legacyArguments, v string) error {
		n, err := number(v, 1)
		a.timeout = time.Duration(n) * time.Second
		return err
	}},
	{short: "-m", long: "--min", value: true, set: count(func(a *legacyArguments) **int32 { return &a.minimum })},
	{short: "-M", long: "--max", value: true, set: count(func(a *legacyArguments) **int32 { return &a.maximum })},
	{short: "-D", long: "--desired-count", value: true, set: count(func(a *legacyArguments) **int32 { return &a.desired })},
	{short: "-e", long: "--tag-env-var", value: true, set: text(func(a *legacyArguments) *string { return &a.tagVariable })},
	{short: "-to", long: "--tag-only", value: true, set: text(func(a *legacyArguments) *string { return &a.tag })},
	{long: "--max-definitions", value: true, set: func(a *legacyArguments, v string) error {
		n, err := number(v, 0)
		a.keep = n
		return err
	}},
	{long: "--task-definition-file", value: true, instead: "change what runs with the options of 'mck deploy' (--env, --secret, --unset, --task-cpu, --task-memory), or register the file yourself and use --use-latest-task-def"},
	{long: "--enable-rollback", note: "is how it works now"},
	{long: "--use-latest-task-def", set: flag(func(a *legacyArguments) *bool { return &a.latest })},
	{long: "--force-new-deployment", set: flag(func(a *legacyArguments) *bool { return &a.force })},
	{long: "--skip-deployments-check", note: "has no effect: the wait ends when ECS says that the deployment is complete; give -t more seconds if old tasks take long to drain"},
	{long: "--run-task", instead: "run it with 'mck run -- COMMAND'"},
	{long: "--launch-type", value: true, instead: "'mck run' takes the service's launch type"},
	{long: "--platform-version", value: true, instead: "'mck run' takes the service's platform version"},
	{long: "--wait-for-success", instead: "'mck run' always waits, and ends with the command's exit code"},
	{long: "--network-configuration", value: true, instead: "'mck run' takes the service's network"},
	{long: "--copy-task-definition-tags", note: "is how it works now"},
	{short: "-v", long: "--verbose", note: "is how it works now"},
	{long: "--version", set: flag(func(a *legacyArguments) *bool { return &a.version })},
}

func text(field func(*legacyArguments) *string) func(*legacyArguments, string) error {
	return func(a *legacyArguments, v string) error {
		*field(a) = v
		return nil
	}
}

func flag(field func(*legacyArguments) *bool) func(*legacyArguments, string) error {
	return func(a *legacyArguments, _ string) error {
		*field(a) = true
		return nil
	}
}

func count(field func(*legacyArguments) **int32) func(*legacyArguments, string) error {
	return func(a *legacyArguments, v string) error {
		n, err := number(v, 0)
		*field(a) = aws.Int32(int32(n))
		return err
	}
}

// number reads a whole number that is small enough for anything here.
func number(s string, least int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > 1_000_000 {
		return 0, fmt.Errorf("%q is not a whole number of at least %d", s, least)
	}
	return n, nil
}

// parseLegacy reads an old command line. Everything that is wrong with it is
// in the error.
func parseLegacy(args []string) (legacyArguments, error) {
	a := legacyArguments{timeout: 90 * time.Second} // the old script's default
	var errs []error
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "" { // the old script ignores an empty argument
			continue
		}
		o, ok := findLegacy(arg)
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not an option of ecs-deploy", strconv.Quote(arg)))
			continue
		}
		name := o.long
		value := ""
		if o.value {
			if i++; i == len(args) {
				errs = append(errs, fmt.Errorf("%s needs a value", name))
				break
			}
			value = args[i]
		}
		switch {
		case o.instead != "":
			errs = append(errs, fmt.Errorf("%s is no longer taken: %s", name, o.instead))
		case o.note != "":
			a.notes = append(a.notes, name+" "+o.note)
		default:
			if err := o.set(&a, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return a, errors.Join(errs...)
}

func findLegacy(arg string) (legacyOption, bool) {
	for _, o := range legacyOptions {
		if arg == o.long || arg == o.short {
			return o, true
		}
	}
	return legacyOption{}, false
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// settings are those of the environment that the old command line takes the
// place of: they are not missing.
func (a legacyArguments) settings() config.Lookuper {
	set := map[string]string{"MCK_CLUSTER": a.cluster, "MCK_SERVICES": a.service, "AWS_REGION": a.region, "MCK_AWS_PROFILE": a.profile}
	return config.Environment(func(name string) (string, bool) {
		value, ok := set[name]
		return value, ok
	})
}

// apply puts what the old command line says over the settings of the
// environment.
func (a legacyArguments) apply(s *verbs.Release, lookup func(string) (string, bool)) (release.Request, error) {
	take := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	take(&s.Cluster, a.cluster)
	take(&s.Region, a.region)
	take(&s.Profile, a.profile)
	if a.service != "" {
		s.Services = []string{a.service}
	}
	if len(s.Repositories) == 0 {
		s.Repositories = []string{"ecr"} // the old script moved every image
	}
	r := releaseRequest(*s)
	r.Timeout, r.KeepRevisions = a.timeout, a.keep
	r.Force, r.Latest = r.Force || a.force, a.latest
	for _, o := range []struct {
		from *int32
		to   **int32
	}{{a.desired, &r.DesiredCount}, {a.minimum, &r.MinHealthyPercent}, {a.maximum, &r.MaxPercent}} {
		if o.from != nil {
			*o.to = o.from
		}
	}
	switch {
	case a.tag != "": // whatever the image: "-i ignore"
		r.Build = strings.TrimPrefix(a.tag, ":")
		return r, nil
	case a.image == "" && a.force:
		r.KeepBuild = true
		return r, nil
	case a.image == "":
		return r, errors.New("no image is given: -to TAG, or -i IMAGE:TAG")
	}
	return r, a.applyImage(&r, lookup)
}

// inLegacyWords names the old script's options in an error.
func inLegacyWords(err error) {
	var wrong *config.Error
	if !errors.As(err, &wrong) {
		return
	}
	for i := range wrong.Missing {
		if wrong.Missing[i].Name == "MCK_SERVICES" {
			wrong.Missing[i].Flag = "service-name"
		}
	}
}

// applyImage takes the build from -i, and -e.
func (a legacyArguments) applyImage(r *release.Request, lookup func(string) (string, bool)) error {
	ref, err := ecs.ParseReference(a.image)
	if err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	if ref.Digest != "" {
		return fmt.Errorf("-i %s: an image by digest is released with 'mck deploy --build-num N --pin-digest'", a.image)
	}
	r.Repositories, r.Build = []string{ref.Repository()}, ref.Tag
	if a.tagVariable != "" {
		if !variableName.MatchString(a.tagVariable) {
			return fmt.Errorf("-e %q is not the name of an environment variable", a.tagVariable)
		}
		if tag, ok := lookup(a.tagVariable); ok && tag != "" && ref.Tag == "" {
			r.Build = tag
		}
	}
	r.Build = cmp.Or(r.Build, "latest") // as the old script did
	return nil
}

// legacyHelp lists the options.
func legacyHelp() string {
	var help strings.Builder
	for _, o := range legacyOptions {
		name := o.long
		if o.short != "" {
			name = o.short + ", " + name
		}
		if o.value {
			name += " VALUE"
		}
		switch {
		case o.instead != "":
			fmt.Fprintf(&help, "  %-34s no longer taken: %s\n", name, o.instead)
		case o.note != "":
			fmt.Fprintf(&help, "  %-34s %s\n", name, o.note)
		default:
			fmt.Fprintf(&help, "  %s\n", name)
		}
	}
	return help.String()
}

func newLegacyCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "ecs-deploy",
		Short: "Take the command line of the ecs-deploy script, and release as deploy does",
		Long: `ecs-deploy takes the options of silinternational's ecs-deploy.sh:

  mck ecs-deploy -c production-app -n production-app -to 300 -i ignore -t 360

What the script had no option for (cron rules, repositories, whether the database
is upgraded) comes from the environment, as for deploy. Without MCK_REPOSITORIES
every image in a private ECR registry is moved to the tag, and no other one.

` + legacyHelp() + verbs.DeployCodes,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) == 0 {
				fmt.Fprintf(e.stderr, "%s\n\n", cmd.Long)
				return &exitError{exitUsage, errors.New("no option is given")}
			}
			if args[0] == "--help" || args[0] == "-h" {
				return cmd.Help()
			}
			a, err := parseLegacy(args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if a.version {
				_, err := fmt.Fprintln(e.stdout, "mck ecs-deploy, for the options of ecs-deploy 3.10.22")
				return err
			}
			var s verbs.Release
			err = loadSettings(ctx, &s, a.settings(), config.Environment(e.lookup))
			inLegacyWords(err)
			r, aerr := a.apply(&s, e.lookup)
			if aerr != nil {
				aerr = &exitError{exitUsage, aerr}
			}
			if err := together(err, aerr); err != nil {
				return err
			}
			for _, n := range a.notes {
				fmt.Fprintf(e.stderr, "mck: %s\n", n)
			}
			do := (*release.Releaser).Deploy
			if r.KeepBuild {
				do = (*release.Releaser).EnvChange
			}
			return releasing{settings: s, request: r, change: a.assume, do: do}.run(ctx, e)
		},
	}
}

// assume has the credentials take on the role of -a.
func (a legacyArguments) assume(cfg *aws.Config) {
	if a.role == "" {
		return
	}
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(*cfg), a.role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "mck"
	}))
}
