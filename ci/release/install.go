package release

import (
	"context"
	"errors"
	"net/mail"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Installation is what a new environment is told, beside what its task definition has.
type Installation struct {
	BaseURL                       string // with a slash at its end
	SearchHost                    string
	AdminUser, AdminEmail         string
	AdminFirstname, AdminLastname string
	AdminPassword                 string // ARN of the secret or parameter that holds it
	Language, Currency, Timezone  string
	SearchPort, SearchIndexPrefix string
	SearchUser, SearchPassword    string
}

// startedByInstall marks the task that installs. An installation that finds one running waits for that.
const startedByInstall = "mck/install"

// installCommand is the image's own.
const installCommand = "magento-install"

// Exit codes of magento-install (ci/docker).
const (
	exitSettings   = 64
	exitHasTables  = 65
	exitNoDatabase = 69  // or search engine
	exitNotFound   = 127 // the shell's, in an image of an earlier pipeline
)

// Check reports everything that is wrong with an installation at once.
func (in Installation) Check() error {
	var wrong faults
	u, err := url.Parse(in.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || !strings.HasSuffix(u.Path, "/") {
		wrong.add("the shop's address must begin with http:// or https:// and end with a slash, as in https://shop.example.com/: --base-url")
	}
	if _, err := mail.ParseAddress(in.AdminEmail); err != nil {
		wrong.add("the administrator's mail address is none: --admin-email")
	}
	for _, s := range []struct{ flag, arn string }{{"--admin-password-secret", in.AdminPassword}, {"--search-password-secret", in.SearchPassword}} {
		if s.arn != "" && !strings.HasPrefix(s.arn, "arn:") {
			wrong.add("%s takes the ARN of a secret or parameter, and never a password: every process of a machine can read an argument", s.flag)
		}
	}
	return errors.Join(wrong...)
}

// Edits are the settings as changes of the container that runs the task.
func (in Installation) Edits() (e ecs.Edits) {
	for _, v := range []struct{ name, value string }{
		{"BASE_URL", in.BaseURL}, {"SEARCH_HOST", in.SearchHost}, {"SEARCH_PORT", in.SearchPort}, {"SEARCH_INDEX_PREFIX", in.SearchIndexPrefix},
		{"SEARCH_USER", in.SearchUser}, {"ADMIN_USER", in.AdminUser}, {"ADMIN_EMAIL", in.AdminEmail}, {"ADMIN_FIRSTNAME", in.AdminFirstname},
		{"ADMIN_LASTNAME", in.AdminLastname}, {"MAGENTO_LANGUAGE", in.Language}, {"MAGENTO_CURRENCY", in.Currency}, {"MAGENTO_TIMEZONE", in.Timezone},
	} {
		if v.value != "" {
			e.Env = append(e.Env, ecs.Variable{Name: v.name, Value: v.value})
		}
	}
	for _, v := range []struct{ name, arn string }{{"ADMIN_PASSWORD", in.AdminPassword}, {"SEARCH_PASSWORD", in.SearchPassword}} {
		if v.arn != "" {
			e.Secrets = append(e.Secrets, ecs.Variable{Name: v.name, Value: v.arn})
		}
	}
	return e
}

// Install installs the store of a build into the empty database that the first service's task definition names: by a
// one-off task on a revision of its own, which goes afterwards. No service is touched. Run again after an interruption, it
// waits for the end of that task, or tells it. The request's Edits are those of an [Installation].
func (r *Releaser) Install(ctx context.Context, req Request) *Result {
	req.Services, req.CronRules, req.Schedules = req.Services[:1], nil, nil
	req.Downgrade, req.KeepBuild = true, req.Build == ""
	return r.operate(ctx, req, operation{"install", Installed, (*survey).forBuild, func(a *act) []step {
		return []step{
			{"revisions", a.register},
			{"install", a.install},
		}
	}})
}

func (a *act) install(ctx context.Context) error {
	end, err := a.installTask(ctx)
	var other *stop
	switch {
	case errors.As(err, &other):
		a.forget(ctx)
		return err
	case err != nil:
		return halt(Refused, sayNothingRunsChanged, err)
	case end.Verdict == ecs.TaskInterrupted, end.Verdict == ecs.TaskUnknown:
		// The task may still read its revision.
		return halt(Interrupted, sayInstallInterrupted, end.Reason)
	}
	a.forget(ctx)
	return installed(end)
}

// installed is what the end of magento-install means: nil, or a stop. Refused says that nothing was changed.
func installed(end ecs.TaskEnd) error {
	code := int32(-1)
	if end.ExitCode != nil {
		code = *end.ExitCode
	}
	switch {
	case end.Verdict == ecs.TaskSucceeded:
		return nil
	case end.Verdict == ecs.TaskNotPlaced, end.Verdict == ecs.TaskNotStarted:
		return halt(Refused, sayInstallNotBegun, end.Verdict, end.Reason)
	case code == exitHasTables:
		return halt(Refused, sayInstallHasTables)
	case code == exitSettings, code == exitNoDatabase:
		return halt(Refused, sayInstallRefused, code)
	case code == exitNotFound:
		return halt(Refused, sayInstallNotThere)
	}
	return halt(InstallFailed, sayInstallFailed, end.Verdict, end.Reason)
}

// installTask runs the installation, or takes up the one that an interrupted run of the same command has begun: while it
// runs, and when it has ended with nobody there to see it. One that has changed nothing is begun anew.
func (a *act) installTask(ctx context.Context) (ecs.TaskEnd, error) {
	command := []string{installCommand}
	t, runs, err := a.begunInstallation(ctx)
	if err != nil {
		return ecs.TaskEnd{}, err
	}
	if t != nil {
		o, err := a.oneOff(command, startedByInstall)
		if err != nil {
			return ecs.TaskEnd{}, err
		}
		arn, says := aws.ToString(t.TaskArn), sayInstallEnded
		if runs {
			says = sayInstallRuns
		}
		a.note(LevelInfo, says, ecs.TaskID(arn))
		end := a.runner().Adopt(ctx, o, arn)
		a.keepTask(installCommand, command, end)
		var is *stop
		if runs || !errors.As(installed(end), &is) || is.verdict != Refused {
			return end, nil
		}
	}
	return a.runTask(ctx, installCommand, command, startedByInstall)
}

// begunInstallation finds the task that installs on this run's revision, or has done so, the youngest one. The revision of
// an installation whose end was seen is gone. A task that installs on another revision of the family is a stop.
func (a *act) begunInstallation(ctx context.Context) (t *types.Task, runs bool, err error) {
	rev := a.services[0].rev
	running, err := a.runner().Running(ctx, a.req.Cluster, startedByInstall)
	if err != nil {
		return nil, false, err
	}
	for _, r := range running {
		switch arn := aws.ToString(r.TaskDefinitionArn); {
		case arn == rev.target:
			return &r, true, nil
		case ecs.Family(arn) == rev.family():
			return nil, false, halt(Refused, sayInstallOfAnother, ecs.TaskID(aws.ToString(r.TaskArn)), ecs.RevisionName(arn))
		}
	}
	if rev.fresh {
		return nil, false, nil
	}
	// ECS takes no other filter beside that of who started a task.
	stopped, err := a.listTasks(ctx, awsecs.ListTasksInput{
		Cluster: aws.String(a.req.Cluster), Family: aws.String(rev.family()), DesiredStatus: types.DesiredStatusStopped,
	})
	for _, s := range stopped {
		if aws.ToString(s.StartedBy) == startedByInstall && aws.ToString(s.TaskDefinitionArn) == rev.target &&
			(t == nil || aws.ToTime(s.CreatedAt).After(aws.ToTime(t.CreatedAt))) {
			t = &s
		}
	}
	return t, false, err
}

// forget deregisters the revisions of this run: what they hold beside the build is for the installation alone.
func (a *act) forget(ctx context.Context) {
	for _, p := range a.revs {
		if p.target == "" || p.target == p.arn() {
			continue
		}
		_, err := call(ctx, a.session, "DeregisterTaskDefinition", func(ctx context.Context) (*awsecs.DeregisterTaskDefinitionOutput, error) {
			return a.ECS.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(p.target)})
		})
		if err != nil {
			a.note(LevelWarning, sayNotDeregistered, ecs.RevisionName(p.target), err)
			continue
		}
		a.note(LevelInfo, sayDeregistered, ecs.RevisionName(p.target))
	}
}
