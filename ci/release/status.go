package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// StatusRow is a service, or a target of a cron rule or a schedule.
type StatusRow struct {
	Kind string `json:"kind"` // "service", "cron" (a rule), "schedule"
	Name string `json:"name"`
	// What really runs: of a service, the revision that most of its running tasks are
	// of; where no task runs, the one that is to.
	Build    string   `json:"build,omitempty"`
	Commit   string   `json:"commit,omitempty"` // of the store, as the image's label has it
	Revision string   `json:"revision"`
	Digests  []string `json:"digests,omitempty"` // of the store's own images, as its tasks run them
	Running  int32    `json:"running"`
	Desired  int32    `json:"desired"`
	State    string   `json:"state"` // "steady", "in progress", "failed"; of cron "enabled", "disabled"
	// Wanted is the revision that ECS is to bring up, where that is not what runs; Also
	// are other revisions that tasks run.
	Wanted *RunningRevision  `json:"wanted,omitempty"`
	Also   []RunningRevision `json:"also,omitempty"`
	// Deployments in progress, or left over.
	Deployments []string `json:"deployments,omitempty"`
}

// RunningRevision is a revision that tasks run, or are to run.
type RunningRevision struct {
	Build    string `json:"build,omitempty"`
	Revision string `json:"revision"`
	Tasks    int    `json:"tasks"` // that run
}

// Status looks at the services and cron rules of a request.
func (r *Releaser) Status(ctx context.Context, req Request) (Status, error) {
	v := r.onlooker("status", req)
	st := Status{Cluster: req.Cluster}
	if err := v.look(ctx); err != nil {
		return st, err
	}
	v.ownRepositories()
	commits := map[string]string{}
	for _, p := range v.services {
		if p.rev != nil {
			v.statusOfService(ctx, p, &st, commits)
		}
	}
	for _, c := range v.crons {
		v.statusOfCron(ctx, c, &st, commits)
	}
	st.Drift = append(st.Drift, drift(st.Rows)...)
	st.Findings, st.Calls = v.res.Findings, v.caller.Calls()
	if i := slices.IndexFunc(v.res.Findings, func(f Finding) bool { return f.Severity == SeverityError }); i >= 0 {
		return st, fmt.Errorf("%s", v.res.Findings[i])
	}
	return st, nil
}

// onlooker is a survey for its own sake: nobody needs to know who looks.
func (r *Releaser) onlooker(verb string, req Request) *survey {
	v := r.survey(verb, req)
	v.step = stepPreflight
	v.req.By = "-"
	return v
}

// statusOfService adds a service's row, and where its tasks differ from it.
func (v *survey) statusOfService(ctx context.Context, p *service, st *Status, commits map[string]string) {
	tasks, err := v.tasksOf(ctx, v.req.Cluster, p.name)
	if err != nil {
		v.warn("service "+p.name, "", sayTasksUnread, err)
	}
	runs := v.running(ctx, p, tasks)
	row := v.statusRow(ctx, runs[0].rev, commits)
	row.Kind, row.Name = "service", p.name
	row.Running, row.Desired, row.State = p.svc.RunningCount, p.svc.DesiredCount, stateOf(&p.svc)
	if row.Revision != ecs.RevisionName(p.rev.arn()) {
		row.Wanted = &RunningRevision{Build: v.runningBuild(p.rev), Revision: ecs.RevisionName(p.rev.arn())}
	}
	for _, other := range runs[1:] {
		found := RunningRevision{Build: v.runningBuild(other.rev), Revision: ecs.RevisionName(other.rev.arn()), Tasks: other.tasks}
		if row.Wanted != nil && row.Wanted.Revision == found.Revision {
			row.Wanted.Tasks = found.Tasks
			continue
		}
		row.Also = append(row.Also, found)
	}
	for _, dep := range p.svc.Deployments {
		if len(p.svc.Deployments) > 1 || row.State != "steady" {
			row.Deployments = append(row.Deployments, strings.TrimSpace(fmt.Sprintf(sayDeploymentRow,
				aws.ToString(dep.Status), ecs.RevisionName(aws.ToString(dep.TaskDefinition)), dep.RunningCount, dep.DesiredCount, dep.FailedTasks, dep.RolloutState)))
		}
	}
	row.Digests = v.digests(tasks)
	for _, t := range tasks {
		if aws.ToString(t.TaskDefinitionArn) != p.rev.arn() && row.State == "steady" {
			st.Drift = append(st.Drift, fmt.Sprintf(sayTaskDiffers, p.name, ecs.TaskID(aws.ToString(t.TaskArn)), ecs.RevisionName(aws.ToString(t.TaskDefinitionArn))))
		}
	}
	st.Rows = append(st.Rows, row)
}

// runningTasks is a revision, and how many tasks run it.
type runningTasks struct {
	rev   *revision
	tasks int
}

// running groups the running tasks of a service by revision, most tasks first; where
// none runs, it is the revision that the service is to run.
func (v *survey) running(ctx context.Context, p *service, tasks []types.Task) []runningTasks {
	counts := map[string]int{}
	for _, t := range tasks {
		if aws.ToString(t.LastStatus) == "RUNNING" {
			counts[aws.ToString(t.TaskDefinitionArn)]++
		}
	}
	var list []runningTasks
	for _, arn := range slices.Sorted(maps.Keys(counts)) {
		rev := p.rev
		if arn != p.rev.arn() {
			// Not through revision(), which keeps what it reads as a part of the plan.
			td, err := v.describeTaskDefinition(ctx, arn)
			if err != nil {
				v.warn("service "+p.name, "", sayTaskDefinitionUnread, ecs.RevisionName(arn), err)
				continue
			}
			base, err := registration(td)
			if err != nil {
				v.warn("service "+p.name, "", "%v", err)
				continue
			}
			rev = &revision{before: td, base: base}
		}
		list = append(list, runningTasks{rev, counts[arn]})
	}
	slices.SortStableFunc(list, func(a, b runningTasks) int { return b.tasks - a.tasks })
	if len(list) == 0 {
		return []runningTasks{{rev: p.rev}}
	}
	return list
}

// stateOf is a service's state in a word.
func stateOf(svc *types.Service) string {
	switch {
	case inProgress(svc):
		return "in progress"
	case primaryOf(svc).RolloutState == types.DeploymentRolloutStateFailed:
		return "failed"
	case svc.RunningCount != svc.DesiredCount:
		return "not steady"
	}
	return "steady"
}

// statusOfCron adds a row for each of a rule's targets.
func (v *survey) statusOfCron(ctx context.Context, c *cron, st *Status, commits map[string]string) {
	for i, p := range c.revs {
		if p == nil {
			continue
		}
		row := v.statusRow(ctx, p, commits)
		row.Kind, row.Name = "cron", c.given
		if c.res.Schedule {
			row.Kind = "schedule"
		}
		row.Revision = ecs.RevisionName(c.definitions[i])
		row.State = "enabled"
		if !c.enabled {
			row.State = "disabled"
		}
		if row.Revision != ecs.RevisionName(p.arn()) && strings.Contains(row.Revision, ":") {
			st.Drift = append(st.Drift, fmt.Sprintf(sayCronDiffers, c.subject(), row.Revision, ecs.RevisionName(p.arn())))
		}
		if c.left {
			st.Drift = append(st.Drift, fmt.Sprintf(sayCronLeft, c.subject()))
		}
		st.Rows = append(st.Rows, row)
	}
}

// statusRow is what a revision says.
func (v *survey) statusRow(ctx context.Context, p *revision, commits map[string]string) StatusRow {
	refs := ecs.Images(p.base.ContainerDefinitions, v.own)
	row := StatusRow{Revision: ecs.RevisionName(p.arn()), Build: buildOf(p.before, refs)}
	for _, ref := range refs {
		commit, ok := commits[ref.String()]
		if !ok {
			commit = v.commitOf(ctx, ref)
			commits[ref.String()] = commit
		}
		if row.Commit == "" {
			row.Commit = commit
		}
	}
	return row
}

// digests lists the digests of the store's own images that tasks run.
func (v *survey) digests(tasks []types.Task) []string {
	var out []string
	for _, t := range tasks {
		for _, c := range t.Containers {
			ref, err := ecs.ParseReference(aws.ToString(c.Image))
			if d := aws.ToString(c.ImageDigest); err == nil && d != "" && ref.InAny(v.own) {
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
