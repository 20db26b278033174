package release

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Status is what runs where.
type Status struct {
	Cluster  string         `json:"cluster"`
	Rows     []StatusRow    `json:"rows"`
	Drift    []string       `json:"drift,omitempty"` // where web, consumers and cron do not agree
	Findings []Finding      `json:"findings,omitempty"`
	Calls    map[string]int `json:"calls"`
}

// StatusRow is a service or a cron rule.
type StatusRow struct {
	Kind     string   `json:"kind"` // "service", "cron"
	Name     string   `json:"name"`
	Build    string   `json:"build,omitempty"`
	Commit   string   `json:"commit,omitempty"` // of the store, as the image's label has it
	Revision string   `json:"revision"`
	Digests  []string `json:"digests,omitempty"` // of the store's own images, as its tasks run them
	Running  int32    `json:"running"`
	Desired  int32    `json:"desired"`
	State    string   `json:"state"` // "steady", "in progress", "failed"; of a rule "enabled", "disabled"
	// Deployments in progress, or left over.
	Deployments []string `json:"deployments,omitempty"`
}

// labelRevision is where images keep the commit that they were built from
// (OCI image specification, annotations).
const labelRevision = "org.opencontainers.image.revision"

// Status looks at the services and cron rules of a request.
func (r *Releaser) Status(ctx context.Context, req Request) (Status, error) {
	x := r.begin("status", req)
	x.step = stepPreflight
	x.req.By = "-" // nobody needs to know who looks
	st := Status{Cluster: req.Cluster}
	if err := x.look(ctx); err != nil {
		return st, err
	}
	x.ownRepositories()
	commits := map[string]string{}
	for _, p := range x.services {
		if p.rev == nil {
			continue
		}
		d := primaryOf(&p.svc)
		row := x.statusRow(ctx, "service", p.name, p.rev, commits)
		row.Running, row.Desired, row.State = p.svc.RunningCount, p.svc.DesiredCount, "steady"
		switch {
		case inProgress(&p.svc):
			row.State = "in progress"
		case d.RolloutState == types.DeploymentRolloutStateFailed:
			row.State = "failed"
		case row.Running != row.Desired:
			row.State = "not steady"
		}
		for _, dep := range p.svc.Deployments {
			if len(p.svc.Deployments) > 1 || row.State != "steady" {
				row.Deployments = append(row.Deployments, strings.TrimSpace(fmt.Sprintf("%s %s: %d of %d running, %d failed %s",
					aws.ToString(dep.Status), ecs.RevisionName(aws.ToString(dep.TaskDefinition)), dep.RunningCount, dep.DesiredCount, dep.FailedTasks, dep.RolloutState)))
			}
		}
		tasks, err := x.tasksOf(ctx, req.Cluster, p.name)
		if err != nil {
			x.find(SeverityWarning, "service "+p.name, "", "its tasks cannot be read: %v", err)
		}
		row.Digests = x.digests(tasks)
		for _, t := range tasks {
			if aws.ToString(t.TaskDefinitionArn) != p.rev.arn() && row.State == "steady" {
				st.Drift = append(st.Drift, fmt.Sprintf("service %s: task %s still runs %s", p.name, ecs.TaskID(aws.ToString(t.TaskArn)), ecs.RevisionName(aws.ToString(t.TaskDefinitionArn))))
			}
		}
		st.Rows = append(st.Rows, row)
	}
	for _, c := range x.crons {
		for i, p := range c.revs {
			if p == nil {
				continue
			}
			row := x.statusRow(ctx, "cron", c.given, p, commits)
			row.Revision = ecs.RevisionName(aws.ToString(c.targets[i].EcsParameters.TaskDefinitionArn))
			row.State = "enabled"
			if !c.enabled {
				row.State = "disabled"
			}
			if row.Revision != ecs.RevisionName(p.arn()) && strings.Contains(row.Revision, ":") {
				st.Drift = append(st.Drift, fmt.Sprintf("cron rule %s runs %s, and the service of that family %s", c.given, row.Revision, ecs.RevisionName(p.arn())))
			}
			if c.left {
				st.Drift = append(st.Drift, fmt.Sprintf("cron rule %s was disabled by a release that did not enable it again", c.given))
			}
			st.Rows = append(st.Rows, row)
		}
	}
	st.Drift = append(st.Drift, drift(st.Rows)...)
	st.Findings, st.Calls = x.res.Findings, x.caller.Calls()
	if x.refused() {
		return st, fmt.Errorf("%s", x.res.Findings[slices.IndexFunc(x.res.Findings, func(f Finding) bool { return f.Severity == SeverityError })].String())
	}
	return st, nil
}

func (x *run) statusRow(ctx context.Context, kind, name string, p *revisionPlan, commits map[string]string) StatusRow {
	refs := ecs.Images(p.base.ContainerDefinitions, x.own)
	row := StatusRow{Kind: kind, Name: name, Revision: ecs.RevisionName(p.arn()), Build: buildOf(p.before, refs)}
	for _, ref := range refs {
		commit, ok := commits[ref.String()]
		if !ok {
			commit = x.commitOf(ctx, ref)
			commits[ref.String()] = commit
		}
		if row.Commit == "" {
			row.Commit = commit
		}
	}
	return row
}

// digests lists the digests of the store's own images that tasks run.
func (x *run) digests(tasks []types.Task) []string {
	var out []string
	for _, t := range tasks {
		for _, c := range t.Containers {
			ref, err := ecs.ParseReference(aws.ToString(c.Image))
			if d := aws.ToString(c.ImageDigest); err == nil && d != "" && ref.InAny(x.own) {
				add(&out, d)
			}
		}
	}
	sort.Strings(out)
	return out
}

// drift says where rows do not agree.
func drift(rows []StatusRow) []string {
	builds := map[string][]string{}
	for _, r := range rows {
		builds[r.Build] = append(builds[r.Build], r.Name)
	}
	if len(builds) < 2 {
		return nil
	}
	var parts []string
	for b, names := range builds {
		if b == "" {
			b = "an unknown build"
		} else {
			b = "build " + b
		}
		parts = append(parts, fmt.Sprintf("%s: %s", b, strings.Join(names, ", ")))
	}
	sort.Strings(parts)
	return []string{"not everything runs the same build: " + strings.Join(parts, "; ")}
}

// Variable is one environment variable of a container, as EnvList shows it.
type Variable struct {
	For       string `json:"for"` // "service web"
	Container string `json:"container"`
	Name      string `json:"name"`
	// Value is hidden where the name or the value speaks of a secret.
	Value string `json:"value"`
	// From is where a secret's value is read from; the value is never read.
	From string `json:"from,omitempty"`
}

// EnvList lists the environment of every container of the request's services
// and cron rules.
func (r *Releaser) EnvList(ctx context.Context, req Request) ([]Variable, error) {
	x := r.begin("env", req)
	x.step = stepPreflight
	x.req.By = "-"
	if err := x.look(ctx); err != nil {
		return nil, err
	}
	if err := x.verdictOfPreflight(ctx); err != nil {
		return nil, err
	}
	var out []Variable
	for _, p := range x.revs {
		for _, c := range p.base.ContainerDefinitions {
			for _, e := range c.Environment {
				v := Variable{For: strings.Join(p.users, ", "), Container: aws.ToString(c.Name), Name: aws.ToString(e.Name), Value: aws.ToString(e.Value)}
				if ecs.Sensitive(v.Name, v.Value) {
					v.Value = "(hidden)"
				}
				out = append(out, v)
			}
			for _, s := range c.Secrets {
				out = append(out, Variable{For: strings.Join(p.users, ", "), Container: aws.ToString(c.Name), Name: aws.ToString(s.Name), Value: "(secret)", From: aws.ToString(s.ValueFrom)})
			}
		}
	}
	return out, nil
}

// envSteps change settings and leave the build.
var envSteps = []step{
	{stepPreflight, (*run).preflight},
	{"revisions", (*run).register},
	{"rollout", (*run).rollout},
	{"cache", (*run).flushCache},
	{"cron", (*run).moveCron},
}

// EnvChange carries out the request's Edits on the build that runs.
func (r *Releaser) EnvChange(ctx context.Context, req Request) *Result {
	req.KeepBuild, req.Build = true, ""
	x := r.begin("env", req)
	if req.DryRun {
		return x.planned(x.perform(ctx, envSteps[:1]))
	}
	return x.conclude(ctx, x.perform(ctx, envSteps))
}

// Past is one deployment of one service.
type Past struct {
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"`
	Service  string        `json:"service"`
	Build    string        `json:"build,omitempty"`
	By       string        `json:"by,omitempty"`
	Revision string        `json:"revision"`
	Status   string        `json:"status"` // ECS's
	Reason   string        `json:"reason,omitempty"`
}

// revisionsPerCall is how many service revisions one DescribeServiceRevisions
// takes.
const revisionsPerCall = 20

// History lists the deployments that ECS remembers (90 days), the latest
// first, at most n of each service.
func (r *Releaser) History(ctx context.Context, req Request, n int) ([]Past, error) {
	x := r.begin("history", req)
	var out []Past
	tds := map[string]*awsecs.DescribeTaskDefinitionOutput{}
	for _, service := range req.Services {
		list, err := x.serviceDeployments(ctx, service, n)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", service, err)
		}
		var arns []string
		for _, d := range list {
			add(&arns, aws.ToString(d.TargetServiceRevisionArn))
		}
		revision := map[string]string{}
		for chunk := range slices.Chunk(arns, revisionsPerCall) {
			revs, err := call(ctx, x, "DescribeServiceRevisions", func(ctx context.Context) (*awsecs.DescribeServiceRevisionsOutput, error) {
				return x.ECS.DescribeServiceRevisions(ctx, &awsecs.DescribeServiceRevisionsInput{ServiceRevisionArns: chunk})
			})
			if err != nil {
				return nil, fmt.Errorf("service %s: %w", service, err)
			}
			for _, rev := range revs.ServiceRevisions {
				revision[aws.ToString(rev.ServiceRevisionArn)] = aws.ToString(rev.TaskDefinition)
			}
		}
		for _, d := range list {
			past := Past{At: aws.ToTime(d.CreatedAt), Service: service, Status: string(d.Status), Reason: aws.ToString(d.StatusReason)}
			if d.FinishedAt != nil {
				past.Took = d.FinishedAt.Sub(past.At).Round(time.Second)
			}
			arn := revision[aws.ToString(d.TargetServiceRevisionArn)]
			past.Revision = ecs.RevisionName(arn)
			td, ok := tds[arn]
			if !ok && arn != "" {
				td, err = x.describeTaskDefinition(ctx, arn)
				if err != nil {
					x.note(LevelWarning, "%s cannot be read: %v", past.Revision, err)
				}
				tds[arn] = td
			}
			if td != nil {
				past.By = ecs.Tag(td.Tags, TagBy)
				containers := td.TaskDefinition.ContainerDefinitions
				past.Build = buildOf(td, ecs.Images(containers, ownOf(req.Repositories, td)))
			}
			out = append(out, past)
		}
	}
	slices.SortStableFunc(out, func(a, b Past) int { return b.At.Compare(a.At) })
	return out, nil
}

func (x *run) serviceDeployments(ctx context.Context, service string, n int) ([]types.ServiceDeploymentBrief, error) {
	var list []types.ServiceDeploymentBrief
	var token *string
	for {
		out, err := call(ctx, x, "ListServiceDeployments", func(ctx context.Context) (*awsecs.ListServiceDeploymentsOutput, error) {
			return x.ECS.ListServiceDeployments(ctx, &awsecs.ListServiceDeploymentsInput{Cluster: aws.String(x.req.Cluster), Service: aws.String(service), NextToken: token})
		})
		if err != nil {
			return nil, err
		}
		list = append(list, out.ServiceDeployments...)
		if token = out.NextToken; token == nil || len(list) >= n {
			return list[:min(n, len(list))], nil
		}
	}
}
