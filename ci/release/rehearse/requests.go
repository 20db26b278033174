package rehearse

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// d writes a duration as the simulation wants it.
func d(t time.Duration) awssim.Duration { return awssim.Duration(t) }

func checks(c ...Check) []Check { return c }

func always(op string, kind awssim.FaultKind) awssim.Fault { return awssim.Fault{Op: op, Kind: kind} }

// upon has somebody else make a call some time after one of ours.
func upon(op string, delay time.Duration, does, input string) awssim.Intervention {
	return awssim.Intervention{Upon: op, Delay: d(delay), Op: does, Input: json.RawMessage(input)}
}

func at(t time.Duration, does, input string) awssim.Intervention {
	return awssim.Intervention{At: d(t), Op: does, Input: json.RawMessage(input)}
}

func update(service, revision, more string) string {
	s := fmt.Sprintf(`{"cluster":"production-app","service":%q`, service)
	if revision != "" {
		s += fmt.Sprintf(`,"taskDefinition":%q`, revision)
	}
	if more != "" {
		s += "," + more
	}
	return s + "}"
}

// webFails is a build whose web containers end early, while its consumers work.
var webFails = behave{{Image: "magento2:301", Family: Web, Container: "magento", ExitAfter: d(8 * second), Exit: aws.Int32(1)}}

// crashLoop is a build whose containers of services end at once.
var crashLoop = behave{{Image: "magento2:301", Command: "", Container: "magento", ExitAfter: d(3 * second), Exit: aws.Int32(255), Logs: []string{"PHP Fatal error:  Uncaught Error"}},
	{Image: "magento2:301", Container: "magento", Standalone: true, ExitAfter: d(3 * second), Exit: aws.Int32(0)}}

// new301 is how the new build's containers of services behave.
func new301(b awssim.Behavior) behave {
	b.Image = "magento2:301"
	ok := awssim.Behavior{Image: "magento2:301", Standalone: true, Overridden: true, ExitAfter: d(3 * second), Exit: aws.Int32(0)}
	return behave{b, ok}
}

// task is how a one-off command behaves.
func task(command string, b awssim.Behavior) behave {
	b.Standalone, b.Command = true, command
	if b.ExitAfter == 0 && !b.NoCapacity && b.PullError == "" {
		b.ExitAfter = d(6 * second)
	}
	return behave{b}
}

var otherUpgrade = json.RawMessage(`{"cluster":"production-app","taskDefinition":"production-app:1","startedBy":"mck/setup-upgrade","launchType":"FARGATE",
	"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-0aaaaaaaaaaaaaaa1"]}},
	"overrides":{"containerOverrides":[{"name":"magento","command":["sleep","infinity"],"environment":[]}]}}`)

// stopOurs is somebody who stops our deployment with a roll back.
func stopOurs(s *Stage) error {
	out, err := awssim.Do[awsecs.ListServiceDeploymentsOutput](s.World, "ecs:ListServiceDeployments", &awsecs.ListServiceDeploymentsInput{
		Cluster: aws.String(s.Request.Cluster), Service: aws.String(Web), Status: []types.ServiceDeploymentStatus{types.ServiceDeploymentStatusInProgress},
	})
	if err != nil {
		return err
	}
	_, err = awssim.Do[awsecs.StopServiceDeploymentOutput](s.World, "ecs:StopServiceDeployment", &awsecs.StopServiceDeploymentInput{
		ServiceDeploymentArn: out.ServiceDeployments[0].ServiceDeploymentArn, StopType: types.StopServiceDeploymentStopTypeRollback,
	})
	return err
}

// Verbs.

func command(args ...string) Verb {
	return func(r *release.Releaser, ctx context.Context, req release.Request) *release.Result {
		return r.Run(ctx, req, args)
	}
}

// exit wants the command's exit code as the process's.
func exit(code int) Check {
	return func(_ *Stage, r *release.Result) error {
		if r.ExitCode != code {
			return fmt.Errorf("exit code %d, not %d", r.ExitCode, code)
		}
		return nil
	}
}

// ends wants the result to speak of a build.
func ends(build string) Check {
	return func(_ *Stage, r *release.Result) error {
		if r.Build != build {
			return fmt.Errorf("the result speaks of build %s, not %s", r.Build, build)
		}
		return nil
	}
}

// Requests.

func asks(list ...ask) []ask { return list }

// from takes what the staging cluster runs.
func from(r *release.Request) { r.Build, r.From = "", "staging-app" }

func build(b string) ask { return func(r *release.Request) { r.Build = b } }

func downgrade(r *release.Request) { r.Downgrade = true }

func within(t time.Duration) ask { return func(r *release.Request) { r.Timeout = t } }

func migrate(m release.MigrateMode) ask { return func(r *release.Request) { r.Migrate = m } }

func noMigration(r *release.Request) { r.Migrate = release.MigrateNever }

func noRollback(r *release.Request) { r.Rollback = false }

func waiting(r *release.Request) { r.WaitForDeployment = true }

func onlyWeb(r *release.Request) { r.Services = []string{Web} }

func onlyConsumers(r *release.Request) { r.Services, r.CronRules = []string{Consumers}, nil }

func consumersFirst(r *release.Request) { r.Services = []string{Consumers, Web} }

func both(a, b ask) ask { return func(r *release.Request) { a(r); b(r) } }

func allServices(n int) ask {
	return func(r *release.Request) {
		for i := range n {
			r.Services = append(r.Services, fmt.Sprintf("consumers-%d", i))
		}
	}
}

func edits(r *release.Request) {
	r.Edits = ecs.Edits{
		Env:     []ecs.Variable{{Container: "magento", Name: "MAGE_MODE", Value: "default"}, {Container: "magento", Name: "ADDED", Value: "1"}},
		Secrets: []ecs.Variable{{Container: "magento", Name: "CRYPT_KEY", Value: "arn:aws:secretsmanager:us-east-1:111111111111:secret:production/magento:CRYPT_KEY::"}},
		Unset:   []ecs.Variable{{Container: "magento", Name: "MYSQL_HOST"}},
		CPU:     "2048", Memory: "5120",
	}
}

func counts(r *release.Request) {
	r.DesiredCount, r.MinHealthyPercent, r.MaxPercent = aws.Int32(3), aws.Int32(50), aws.Int32(150)
}

func everythingWrong(r *release.Request) {
	r.Services = append(r.Services, "nobody")
	r.CronRules = append(r.CronRules, "nobody")
	r.Build = "399"
	r.Edits.Secrets = []ecs.Variable{{Container: "magento", Name: "NEW", Value: "/production/nobody"}}
}

// Worlds.
