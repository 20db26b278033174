package rehearse

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

func calls(s *Stage, op string, ours bool) []awssim.Call {
	var found []awssim.Call
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		if c.Op == op && c.Code == "" && (!ours || !strings.HasSuffix(c.Caller, awssim.SomebodyElse)) {
			found = append(found, c)
		}
	}
	return found
}

func noCall(op string) Check { return calledTimes(op, 0) }

func calledTimes(op string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := len(calls(s, op, false)); got != n {
			return fmt.Errorf("%s was called %d times, not %d", op, got, n)
		}
		return nil
	}
}

func ourCalls(op string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := len(calls(s, op, true)); got != n {
			return fmt.Errorf("we called %s %d times, not %d", op, got, n)
		}
		return nil
	}
}

// ourDeployments counts the services that the release itself moved.
func ourDeployments(n int) Check {
	return func(_ *Stage, r *release.Result) error {
		moved := 0
		for _, s := range r.Services {
			if s.Moved {
				moved++
			}
		}
		if moved != n {
			return fmt.Errorf("%d services were moved, not %d", moved, n)
		}
		return nil
	}
}

// tasksStarted counts the tasks that were started with a command, once for
// each client token.
func tasksStarted(s *Stage, command string) int {
	tokens := map[string]bool{}
	without := 0
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		if c.Op != "ecs:RunTask" || (c.Code != "" && c.Fault != awssim.BrokenLate && c.Fault != awssim.DropAfter) || c.Fault == awssim.DropBefore {
			continue
		}
		var in struct {
			ClientToken string
			Overrides   struct{ ContainerOverrides []struct{ Command []string } }
		}
		if json.Unmarshal(c.Input, &in) != nil || len(in.Overrides.ContainerOverrides) == 0 {
			continue
		}
		if strings.Contains(strings.Join(in.Overrides.ContainerOverrides[0].Command, " "), command) {
			tokens[in.ClientToken] = true
			if in.ClientToken == "" {
				without++
			}
		}
	}
	delete(tokens, "")
	return len(tokens) + without
}

func noTask(command string) Check { return startedTimes(command, 0) }

func oneTask(command string) Check { return startedTimes(command, 1) }

func startedTimes(command string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := tasksStarted(s, command); got != n {
			return fmt.Errorf("%d tasks were started for %s, not %d", got, command, n)
		}
		return nil
	}
}

// onceEach wants that nothing was done twice: one revision a family, one
// deployment a service, one upgrade.
var onceEach = checks(oneTask("setup:upgrade"), func(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for family, n := range now.Revisions {
		if was := s.Start.Revisions[family]; n != was+1 {
			return fmt.Errorf("family %s has %d revisions, and had %d", family, n, was)
		}
	}
	for _, name := range s.Request.Services {
		out, err := awssim.Do[awsecs.ListServiceDeploymentsOutput](s.World, "ecs:ListServiceDeployments", &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(s.Request.Cluster), Service: aws.String(name),
		})
		if err != nil {
			return err
		}
		if n := len(out.ServiceDeployments); n != 2 { // the service's first one, and ours
			return fmt.Errorf("service %s had %d deployments", name, n-1)
		}
	}
	return nil
})

// everyTaskOnce wants that of an undisturbed run, and every command once.
var everyTaskOnce = append(checks(oneTask("setup:db:status"), oneTask("cache:flush")), onceEach...)

func upgraded(s *Stage, _ *release.Result) error {
	if s.World.Facts()["db"] != "upgraded" {
		return errors.New("the database was not upgraded")
	}
	return nil
}

// noMark wants no trace of a paused rule.
func noMark(s *Stage, _ *release.Result) error {
	rule, err := awssim.Do[eventbridge.DescribeRuleOutput](s.World, "events:DescribeRule", &eventbridge.DescribeRuleInput{Name: aws.String(CronRule)})
	if err != nil {
		return err
	}
	out, err := awssim.Do[eventbridge.ListTagsForResourceOutput](s.World, "events:ListTagsForResource", &eventbridge.ListTagsForResourceInput{ResourceARN: rule.Arn})
	if err != nil {
		return err
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) == release.TagPaused {
			return fmt.Errorf("the rule is still marked as paused for %s", aws.ToString(t.Value))
		}
	}
	return nil
}

// cronJob is a task as EventBridge starts it.
const cronJob = `{"cluster":"production-app","taskDefinition":"production-cron:1","startedBy":"events-rule/production-cron","launchType":"FARGATE",
	"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-0aaaaaaaaaaaaaaa1"]}}}`

// upgradeAfter wants setup:upgrade to be started no earlier.
func upgradeAfter(t time.Duration) Check {
	return func(s *Stage, r *release.Result) error {
		for _, task := range r.Tasks {
			if task.Name == "setup:upgrade" && task.Started.Sub(r.Started) >= t {
				return nil
			}
		}
		return errors.New("setup:upgrade was started earlier, or not at all")
	}
}

// atMost bounds the calls and, if it is not 0, the time of a release.
func atMost(n int, t time.Duration) Check {
	return func(s *Stage, r *release.Result) error {
		if got := len(s.World.Calls()) - s.Start.Calls; got > n {
			return fmt.Errorf("%d calls were made", got)
		}
		if took := r.Ended.Sub(r.Started); t > 0 && took > t {
			return fmt.Errorf("it took %s", took)
		}
		return nil
	}
}

func cronDisabled(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	if now.Rules[CronRule] != ebtypes.RuleStateDisabled {
		return errors.New("the rule is enabled")
	}
	return nil
}

// said wants a text in what a person is shown at the end.
func said(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		if !strings.Contains(r.Summary(), text) {
			return fmt.Errorf("the summary does not say %q:\n%s", text, r.Summary())
		}
		return nil
	}
}

// explained wants a text in the diagnosis.
func explained(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		var all strings.Builder
		for _, s := range r.Services {
			if s.Diagnosis != nil {
				all.WriteString(s.Diagnosis.String())
			}
		}
		if !strings.Contains(all.String(), text) {
			return fmt.Errorf("the diagnosis does not say %q:\n%s", text, all.String())
		}
		return nil
	}
}

func findings(n int) Check {
	return func(_ *Stage, r *release.Result) error {
		if got := len(r.Findings); got < n {
			return fmt.Errorf("%d findings, and there is more wrong: %v", got, r.Findings)
		}
		return nil
	}
}

// current reads the revision that a service runs.
func (s *Stage) current(name string) (*types.TaskDefinition, error) {
	now, err := s.State()
	if err != nil {
		return nil, err
	}
	out, err := s.revision(aws.ToString(now.primary(name).TaskDefinition))
	if err != nil {
		return nil, err
	}
	return out.TaskDefinition, nil
}

func pinned(s *Stage, _ *release.Result) error {
	td, err := s.current(Web)
	if err != nil {
		return err
	}
	for _, c := range td.ContainerDefinitions[:2] {
		if !strings.Contains(*c.Image, "@sha256:") {
			return fmt.Errorf("%s is not pinned", *c.Image)
		}
	}
	return nil
}

func edited(s *Stage, _ *release.Result) error {
	td, err := s.current(Web)
	if err != nil {
		return err
	}
	c := td.ContainerDefinitions[1]
	env := map[string]string{}
	for _, e := range c.Environment {
		env[*e.Name] = *e.Value
	}
	for _, e := range c.Secrets {
		env[*e.Name] = "secret"
	}
	if env["MAGE_MODE"] != "default" || env["ADDED"] != "1" || env["CRYPT_KEY"] != "secret" || env["MYSQL_HOST"] != "" || env["MYSQL_PASSWORD"] != "secret" {
		return fmt.Errorf("the environment is %v", env)
	}
	if *td.Cpu != "2048" || *td.Memory != "5120" {
		return fmt.Errorf("the task has %s CPU and %s memory", *td.Cpu, *td.Memory)
	}
	return nil
}

func counted(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	svc := now.Services[Web]
	c := svc.DeploymentConfiguration
	if svc.DesiredCount != 3 || *c.MinimumHealthyPercent != 50 || *c.MaximumPercent != 150 || !c.DeploymentCircuitBreaker.Enable || !c.DeploymentCircuitBreaker.Rollback {
		return fmt.Errorf("%d tasks, %d to %d percent, breaker %+v", svc.DesiredCount, *c.MinimumHealthyPercent, *c.MaximumPercent, *c.DeploymentCircuitBreaker)
	}
	return nil
}

// onlyRegistry wants the store's own images to stay in their registry.
func onlyRegistry(host string) Check {
	return func(s *Stage, _ *release.Result) error {
		td, err := s.current(Web)
		if err != nil {
			return err
		}
		for _, c := range td.ContainerDefinitions[:2] {
			if !strings.HasPrefix(*c.Image, host+"/") {
				return fmt.Errorf("%s is not in %s", *c.Image, host)
			}
		}
		return nil
	}
}

func sidecarKept(s *Stage, r *release.Result) error {
	return sidecarIs("public.ecr.aws/datadog/agent@sha256:"+strings.Repeat("ab", 32))(s, r)
}

func sidecarIs(image string) func(*Stage, *release.Result) error {
	return func(s *Stage, _ *release.Result) error {
		td, err := s.current(Web)
		if err != nil {
			return err
		}
		if got := *td.ContainerDefinitions[2].Image; got != image {
			return fmt.Errorf("the sidecar became %s", got)
		}
		return nil
	}
}

// everyFieldKept compares the revision with the one before, field by field.
func everyFieldKept(s *Stage, _ *release.Result) error {
	before, err := s.revision(aws.ToString(s.Start.Services[Web].TaskDefinition))
	if err != nil {
		return err
	}
	now, err := s.State()
	if err != nil {
		return err
	}
	after, err := s.revision(aws.ToString(now.primary(Web).TaskDefinition))
	if err != nil {
		return err
	}
	a, err := ecs.Registration(before)
	if err != nil {
		return err
	}
	b, err := ecs.Registration(after)
	if err != nil {
		return err
	}
	b.Tags = slices.DeleteFunc(b.Tags, func(t types.Tag) bool { return strings.HasPrefix(aws.ToString(t.Key), release.TagDeployment) })
	changes := ecs.Diff(a, b)
	for _, t := range []string{release.TagBuild, release.TagBy, release.TagReplaces} {
		changes = changes.Without("tags." + t)
	}
	for _, c := range []string{"magento", "nginx"} {
		changes = changes.Without("containerDefinitions." + c + ".image")
	}
	if len(changes) > 0 {
		return fmt.Errorf("more than images and tags was changed:\n%s", changes)
	}
	return nil
}

// releasedBy wants a name on the revisions.
func releasedBy(name string) Check {
	return func(s *Stage, r *release.Result) error {
		for _, rev := range r.Revisions {
			out, err := s.revision(rev.After)
			if err != nil {
				return err
			}
			if by := ecs.Tag(out.Tags, release.TagBy); !strings.HasSuffix(by, name) {
				return fmt.Errorf("%s says that %q released it", ecs.RevisionName(rev.After), by)
			}
		}
		return nil
	}
}

// returnable wants that what ran before, and what ran before that, can still
// be returned to.
func returnable(s *Stage, r *release.Result) error {
	for _, rev := range r.Revisions {
		out, err := s.revision(rev.Before)
		if err != nil {
			return err
		}
		earlier, err := s.revision(ecs.Tag(out.Tags, release.TagReplaces))
		if err != nil {
			return err
		}
		for _, td := range []*types.TaskDefinition{out.TaskDefinition, earlier.TaskDefinition} {
			if td.Status != types.TaskDefinitionStatusActive {
				return fmt.Errorf("%s was deregistered, and might be returned to", ecs.RevisionName(aws.ToString(td.TaskDefinitionArn)))
			}
		}
	}
	return nil
}

// runsAgain wants every service steady on a build, whatever its revision.
func runsAgain(build string) Check {
	return func(s *Stage, _ *release.Result) error {
		now, err := s.State()
		if err != nil {
			return err
		}
		for _, name := range s.Request.Services {
			td, err := s.current(name)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(*td.ContainerDefinitions[0].Image, ":"+build) {
				return fmt.Errorf("service %s runs %s", name, *td.ContainerDefinitions[0].Image)
			}
			if p := now.primary(name); p.RolloutState != types.DeploymentRolloutStateCompleted {
				return fmt.Errorf("service %s is %s", name, p.RolloutState)
			}
		}
		return nil
	}
}

// cronRuns wants cron on a build, by whichever request that came to be.
func cronRuns(build string) Check {
	return func(s *Stage, _ *release.Result) error { return s.cronRuns(build) }
}

// stillInProgress wants a service that ECS has not finished with.
func stillInProgress(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for _, name := range s.Request.Services {
		if len(now.Services[name].Deployments) > 1 {
			return nil
		}
	}
	return errors.New("no service is on its way")
}
