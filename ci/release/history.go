package release

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Past is one deployment of one service.
type Past struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // that it took
	Service string    `json:"service"`
	// What was done: "deploy", "rollback", "env" (other settings), "return" (a release
	// failed and went back); "" where that is not recorded, as after another tool.
	What     string `json:"what,omitempty"`
	By       string `json:"by,omitempty"`
	Why      string `json:"why,omitempty"`
	Build    string `json:"build,omitempty"`
	Revision string `json:"revision"`
	Status   string `json:"status"` // ECS's
	Reason   string `json:"reason,omitempty"`
	// Stopped is who stopped it, and why.
	Stopped string `json:"stopped,omitempty"`

	home home
}

// Who is the person as people read it.
func (p Past) Who() string { return p.home.short(p.By) }

// revisionsPerCall is how many service revisions one DescribeServiceRevisions
// takes.
const revisionsPerCall = 20

// History lists the deployments that ECS remembers (90 days), the latest
// first, at most n of each service.
func (r *Releaser) History(ctx context.Context, req Request, n int) ([]Past, error) {
	v := r.survey("history", req)
	out := []Past{}
	tds := map[string]*awsecs.DescribeTaskDefinitionOutput{}
	for _, service := range req.Services {
		past, err := v.historyOf(ctx, service, n, tds)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", service, err)
		}
		out = append(out, past...)
	}
	slices.SortStableFunc(out, func(a, b Past) int { return b.At.Compare(a.At) })
	return out, nil
}

// historyOf lists one service's deployments. tds keeps what was read of task
// definitions.
func (v *survey) historyOf(ctx context.Context, service string, n int, tds map[string]*awsecs.DescribeTaskDefinitionOutput) ([]Past, error) {
	list, err := v.serviceDeployments(ctx, v.req.Cluster, service, n)
	if err != nil {
		return nil, err
	}
	revision, err := v.targetsOf(ctx, list)
	if err != nil {
		return nil, err
	}
	var out []Past
	next := map[string]time.Time{} // by revision: its deployment after
	for _, d := range list {
		past := Past{At: aws.ToTime(d.CreatedAt), Service: service, Status: string(d.Status), Reason: aws.ToString(d.StatusReason)}
		if d.FinishedAt != nil {
			past.Seconds = d.FinishedAt.Sub(past.At).Seconds()
		}
		arn := revision[aws.ToString(d.TargetServiceRevisionArn)]
		past.Revision, past.home = ecs.RevisionName(arn), homeOf(arn)
		td, ok := tds[arn]
		if !ok && arn != "" {
			if td, err = v.describeTaskDefinition(ctx, arn); err != nil {
				v.note(LevelWarning, saySubjectUnread, past.Revision, err)
			}
			tds[arn] = td
		}
		if td != nil {
			past.Build = buildOf(td, ecs.Images(td.TaskDefinition.ContainerDefinitions, ownOf(v.req.Repositories, td)))
			past.tell(td, next[arn])
		}
		next[arn] = past.At
		out = append(out, past)
	}
	return out, nil
}

// freshFor is how long after its registration a revision's first deployment may
// begin: the database is upgraded in between.
const freshFor = 2 * time.Hour

// tell fills in what was done, by whom and why, from what is recorded on the
// revision. What was released before there were records is told by the revision's own
// tag, for its first deployment alone.
func (p *Past) tell(td *awsecs.DescribeTaskDefinitionOutput, next time.Time) {
	records := recordsOf(td.Tags)
	began, stopped := recorded(records, p.At, next)
	p.What, p.By, p.Why = began.what, began.by, began.why
	if stopped.what != "" {
		p.Stopped = "by " + stopped.by
		if stopped.why != "" {
			p.Stopped += ": " + stopped.why
		}
	}
	registered := aws.ToTime(td.TaskDefinition.RegisteredAt)
	if began.what == "" && p.At.Sub(registered) < freshFor && len(records) == 0 {
		p.By = ecs.Tag(td.Tags, TagBy)
	}
}

// targetsOf reads which task definition each deployment's service revision names.
func (s *session) targetsOf(ctx context.Context, list []types.ServiceDeploymentBrief) (map[string]string, error) {
	var arns []string
	for _, d := range list {
		add(&arns, aws.ToString(d.TargetServiceRevisionArn))
	}
	revision := map[string]string{}
	for chunk := range slices.Chunk(arns, revisionsPerCall) {
		revs, err := call(ctx, s, "DescribeServiceRevisions", func(ctx context.Context) (*awsecs.DescribeServiceRevisionsOutput, error) {
			return s.ECS.DescribeServiceRevisions(ctx, &awsecs.DescribeServiceRevisionsInput{ServiceRevisionArns: chunk})
		})
		if err != nil {
			return nil, err
		}
		for _, rev := range revs.ServiceRevisions {
			revision[aws.ToString(rev.ServiceRevisionArn)] = aws.ToString(rev.TaskDefinition)
		}
	}
	return revision, nil
}
