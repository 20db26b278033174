package release

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Tags that a release leaves on the revisions it registers.
const (
	TagBuild    = "magecloudkit:build"    // the build that the revision runs
	TagBy       = "magecloudkit:by"       // who released it
	TagReplaces = "magecloudkit:replaces" // the revision that ran before, family:revision
)

// servicePlan is one service of a release.
type servicePlan struct {
	name string
	svc  types.Service
	rev  *revisionPlan
	// prior is the revision to go back to: ARN or family:revision.
	prior string
	// adopt: a deployment of the target is in progress already.
	adopt bool
	res   ServiceResult
}

// revisionPlan is a task definition and what is to become of it.
type revisionPlan struct {
	users   []string // "service web", "cron rule …"
	before  *awsecs.DescribeTaskDefinitionOutput
	base    *awsecs.RegisterTaskDefinitionInput // of before
	desired *awsecs.RegisterTaskDefinitionInput
	changes ecs.Changes
	target  string // ARN, once it is known
	fresh   bool   // registered by this run
}

func (p *revisionPlan) arn() string    { return aws.ToString(p.before.TaskDefinition.TaskDefinitionArn) }
func (p *revisionPlan) family() string { return aws.ToString(p.before.TaskDefinition.Family) }

// containers are those of the new revision.
func (p *revisionPlan) containers() []types.ContainerDefinition {
	if p.desired != nil {
		return p.desired.ContainerDefinitions
	}
	return p.before.TaskDefinition.ContainerDefinitions
}

// preflight finds everything out that can be found out before anything is
// changed, and reports all that is wrong at once.
func (x *run) preflight(ctx context.Context) error {
	if err := x.look(ctx); err != nil {
		return err
	}
	x.planRevisions(ctx)
	x.showChanges()
	x.checkDeployments()
	x.checkDependencies(ctx)
	return x.verdictOfPreflight(ctx)
}

func (x *run) verdictOfPreflight(ctx context.Context) error {
	if ctx.Err() != nil {
		return halt(Interrupted, "interrupted during the preflight; nothing was changed")
	}
	n := 0
	first := ""
	for _, f := range x.res.Findings {
		if f.Severity == SeverityError {
			if n++; n == 1 {
				first = f.Subject + ": " + f.Message
			}
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return halt(Refused, "%s; nothing was changed", first)
	}
	return halt(Refused, "%s; and %d more; nothing was changed", first, n-1)
}

// look reads the cluster, the services, cron, and their task definitions.
func (x *run) look(ctx context.Context) error {
	x.whoami(ctx)
	x.readCluster(ctx, x.req.Cluster)
	services := x.readServices(ctx, x.req.Cluster, x.req.Services, SeverityError)
	if x.req.WaitForDeployment {
		var err error
		if services, err = x.waitForQuiet(ctx, services); err != nil {
			return err
		}
	}
	for _, name := range x.req.Services {
		svc, ok := services[name]
		if !ok {
			continue
		}
		p := &servicePlan{name: name, svc: svc}
		p.res = ServiceResult{Service: name, Before: aws.ToString(svc.TaskDefinition), Runs: aws.ToString(svc.TaskDefinition)}
		p.prior = aws.ToString(svc.TaskDefinition)
		base := p.prior
		if x.req.Latest {
			base = ecs.Family(base)
		}
		p.rev = x.revision(ctx, base, "service "+name)
		x.services = append(x.services, p)
	}
	x.readCron(ctx)
	if ctx.Err() != nil {
		return halt(Interrupted, "interrupted during the preflight; nothing was changed")
	}
	return nil
}

// whoami asks AWS who we are, for the record. Not to be allowed to know is no
// obstacle.
func (x *run) whoami(ctx context.Context) {
	if x.req.By != "" || x.STS == nil {
		return
	}
	out, err := ask(ctx, x, "STS", "GetCallerIdentity", func(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
		return x.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	if err != nil {
		x.find(SeverityWarning, "credentials", "", "cannot tell who releases: %v", err)
		return
	}
	x.req.By = aws.ToString(out.Arn)
}

func (x *run) readCluster(ctx context.Context, name string) {
	subject := "cluster " + name
	out, err := call(ctx, x, "DescribeClusters", func(ctx context.Context) (*awsecs.DescribeClustersOutput, error) {
		return x.ECS.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{name}})
	})
	switch {
	case err != nil && ecs.Denied(err):
		x.find(SeverityWarning, subject, "allow ecs:DescribeClusters", "cannot be read, so its state is not known: %v", err)
	case err != nil:
		x.find(SeverityError, subject, "", "cannot be read: %v", err)
	case len(out.Clusters) == 0:
		x.find(SeverityError, subject, "check --cluster, the region and the account", "does not exist here")
	case aws.ToString(out.Clusters[0].Status) != "ACTIVE":
		x.find(SeverityError, subject, "", "is %s, not ACTIVE", aws.ToString(out.Clusters[0].Status))
	}
}

// describeServices reads services by name, ten a call.
func (x *run) describeServices(ctx context.Context, cluster string, names []string) (map[string]types.Service, []types.Failure, error) {
	services := map[string]types.Service{}
	var failures []types.Failure
	for chunk := range slices.Chunk(names, ecs.ServicesPerCall) {
		out, err := call(ctx, x, "DescribeServices", func(ctx context.Context) (*awsecs.DescribeServicesOutput, error) {
			return x.ECS.DescribeServices(ctx, &awsecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: chunk})
		})
		if err != nil {
			return services, failures, err
		}
		for _, s := range out.Services {
			services[aws.ToString(s.ServiceName)] = s
		}
		failures = append(failures, out.Failures...)
	}
	return services, failures, nil
}

// readServices returns those of the services that can be released to.
func (x *run) readServices(ctx context.Context, cluster string, names []string, severity Severity) map[string]types.Service {
	services, failures, err := x.describeServices(ctx, cluster, names)
	if err != nil {
		x.find(severity, "services "+strings.Join(names, ", "), "", "cannot be read: %v", err)
		return nil
	}
	for _, name := range names {
		subject := "service " + name
		svc, ok := services[name]
		controller := types.DeploymentControllerTypeEcs
		if ok && svc.DeploymentController != nil {
			controller = svc.DeploymentController.Type
		}
		switch {
		case !ok:
			reason := "does not exist"
			for _, f := range failures {
				if strings.HasSuffix(aws.ToString(f.Arn), "/"+name) && aws.ToString(f.Reason) != "MISSING" {
					reason = aws.ToString(f.Reason)
				}
			}
			x.find(severity, subject, "check --service and --cluster", "%s in cluster %s", reason, cluster)
		case aws.ToString(svc.Status) != "ACTIVE":
			x.find(severity, subject, "", "is %s, not ACTIVE", aws.ToString(svc.Status))
		case controller != types.DeploymentControllerTypeEcs:
			x.find(severity, subject, "release it with the controller's own tools", "is deployed by the %s controller, not by ECS", controller)
		default:
			continue
		}
		delete(services, name)
	}
	return services
}

// waitForQuiet waits until no service has a deployment in progress.
func (x *run) waitForQuiet(ctx context.Context, services map[string]types.Service) (map[string]types.Service, error) {
	deadline := x.clock.Now().Add(x.req.Timeout)
	told := false
	for {
		var busy []string
		for name, s := range services {
			if inProgress(&s) {
				busy = append(busy, name)
			}
		}
		if len(busy) == 0 {
			return services, nil
		}
		slices.Sort(busy)
		if !told {
			x.note(LevelInfo, "waiting for the deployment in progress of %s", strings.Join(busy, ", "))
			told = true
		}
		now := x.clock.Now()
		if !now.Before(deadline) {
			return services, nil // checkDeployments refuses
		}
		if err := x.clock.Sleep(ctx, min(ecs.PollLast, deadline.Sub(now))); err != nil {
			return nil, halt(Interrupted, "interrupted while waiting for another deployment; nothing was changed")
		}
		again, _, err := x.describeServices(ctx, x.req.Cluster, x.req.Services)
		if err != nil {
			x.note(LevelWarning, "%v", err)
			continue
		}
		services = again
	}
}

// revision reads a task definition, once. Nil means that it cannot be read;
// that has been reported then.
func (x *run) revision(ctx context.Context, name, user string) *revisionPlan {
	for _, p := range x.revs {
		if p.arn() == name {
			if !slices.Contains(p.users, user) {
				p.users = append(p.users, user)
			}
			return p
		}
	}
	out, err := x.describeTaskDefinition(ctx, name)
	if err != nil {
		x.find(SeverityError, user, "", "task definition %s cannot be read: %v", ecs.RevisionName(name), err)
		return nil
	}
	base, err := ecs.Registration(out)
	if err != nil {
		x.find(SeverityError, user, "", "%v", err)
		return nil
	}
	p := &revisionPlan{users: []string{user}, before: out, base: base}
	for _, q := range x.revs {
		if q.arn() == p.arn() {
			q.users = append(q.users, user)
			return q
		}
	}
	x.revs = append(x.revs, p)
	return p
}

func (x *run) describeTaskDefinition(ctx context.Context, name string) (*awsecs.DescribeTaskDefinitionOutput, error) {
	return call(ctx, x, "DescribeTaskDefinition", func(ctx context.Context) (*awsecs.DescribeTaskDefinitionOutput, error) {
		return x.ECS.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{
			TaskDefinition: aws.String(name), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
		})
	})
}

// planRevisions works out what every task definition becomes, and whether such
// a revision is there already.
func (x *run) planRevisions(ctx context.Context) {
	defer x.checkVariables()
	if x.req.From != "" {
		x.readSource(ctx)
	}
	if x.req.KeepBuild {
		x.ownRepositories()
		for _, p := range x.revs {
			edits := x.req.Edits
			edits.Images = nil
			x.planEdits(ctx, p, edits)
		}
		return
	}
	if x.req.Build == "" {
		if !x.refused() {
			x.find(SeverityError, "build", "--build-num, or BUILD_NUM", "no build is given")
		}
		return
	}
	x.ownRepositories()
	x.resolveImages(ctx)
	x.checkOrder(ctx)
	for _, p := range x.revs {
		edits := x.req.Edits
		edits.Images = nil
		for _, ref := range ecs.Images(p.base.ContainerDefinitions, x.own) {
			if m, ok := x.moves[ref.Repository()]; ok {
				edits.Images = append(edits.Images, m)
			}
		}
		if len(edits.Images) == 0 {
			x.find(SeverityError, "task definition "+ecs.RevisionName(p.arn()), "name the repositories with --repository",
				"has no container with an image of %s, so releasing %s would change nothing in it", orNone(x.own), strings.Join(p.users, ", "))
			continue
		}
		x.planEdits(ctx, p, edits)
	}
}

// checkOrder refuses an older build over a newer one, as a late approval in a CI
// system would release it. Build numbers are a CI system's and grow; a name says
// nothing of age.
func (x *run) checkOrder(ctx context.Context) {
	asked, err := strconv.Atoi(x.req.Build)
	if err != nil || x.req.Downgrade || x.res.Verb == "diff" {
		return
	}
	for _, p := range x.services {
		refs := ecs.Images(p.rev.base.ContainerDefinitions, x.own)
		runs, err := strconv.Atoi(buildOf(p.rev.before, refs))
		if err != nil || runs <= asked {
			continue
		}
		x.find(SeverityError, "service "+p.name, "if it is meant, --downgrade; to take a release back, rollback",
			"runs build %d%s, and build %d%s is older", runs, x.about(ctx, refs, ""), asked, x.about(ctx, refs, x.req.Build))
	}
}

// about tells a build's commit and when it was pushed, as far as its first image
// in ECR says: " (commit 5a1d0c3, pushed 2026-05-04 03:02 UTC)".
func (x *run) about(ctx context.Context, refs []ecs.Reference, tag string) string {
	if len(refs) == 0 {
		return ""
	}
	ref := refs[0]
	if tag != "" {
		ref.Tag, ref.Digest = tag, ""
	}
	var known []string
	if c := x.commitOf(ctx, ref); c != "" {
		known = append(known, "commit "+c[:min(12, len(c))])
	}
	if at := x.pushedAt(ctx, ref); !at.IsZero() {
		known = append(known, "pushed "+at.UTC().Format("2006-01-02 15:04 MST"))
	}
	if len(known) == 0 {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}

// checkVariables refuses edits of the environment that cannot be meant.
func (x *run) checkVariables() {
	var containers []types.ContainerDefinition
	for _, p := range x.revs {
		containers = append(containers, p.base.ContainerDefinitions...)
	}
	if !x.req.Edits.Plaintext {
		for _, v := range x.req.Edits.Exposed(containers, x.own) {
			x.find(SeverityError, "variable "+v.Name, "set it with --secret, or ask for a plain value with --plaintext",
				"comes from a secret, and its value would stand in the task definition for everybody to read")
		}
	}
	severity := SeverityWarning // a release may be the second try of one that did it
	if x.req.KeepBuild {
		severity = SeverityError
	}
	for _, v := range x.req.Edits.Absent(containers, x.own) {
		x.find(severity, "variable "+v.Name, "see `env list`", "is in no container that runs, so there is nothing to remove")
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "an ECR repository"
	}
	return strings.Join(list, ", ")
}

// planEdits works out one revision.
func (x *run) planEdits(ctx context.Context, p *revisionPlan, edits ecs.Edits) {
	edits.Tags = map[string]string{TagBy: tagValue(x.req.By), TagReplaces: ecs.RevisionName(p.arn())}
	if !x.req.KeepBuild {
		edits.Tags[TagBuild] = x.req.Build
	}
	desired, err := edits.Apply(p.base, x.code(p))
	if err != nil {
		x.find(SeverityError, "task definition "+ecs.RevisionName(p.arn()), "", "%v", err)
		return
	}
	p.desired = desired
	p.changes = significant(ecs.Diff(p.base, desired))
	if onlyMarks(p) {
		p.changes = nil
		if p.before.TaskDefinition.Status != types.TaskDefinitionStatusInactive {
			p.target = p.arn()
		}
		return
	}
	// An interrupted run may have registered it already.
	latest, err := x.describeTaskDefinition(ctx, p.family())
	if err != nil {
		if !ecs.Denied(err) && ecs.Code(err) != "ClientException" {
			x.find(SeverityError, "task definition "+p.family(), "", "its latest revision cannot be read: %v", err)
		}
		return
	}
	if same, err := ecs.Registration(latest); err == nil && len(significant(ecs.Diff(same, desired))) == 0 {
		p.target = aws.ToString(latest.TaskDefinition.TaskDefinitionArn)
	}
}

// showChanges tells what becomes of every task definition.
func (x *run) showChanges() {
	for _, p := range x.revs {
		if len(p.changes) == 0 {
			continue
		}
		x.note(LevelInfo, "%s (%s):", ecs.RevisionName(p.arn()), strings.Join(p.users, ", "))
		for _, line := range strings.Split(strings.TrimSuffix(p.changes.String(), "\n"), "\n") {
			x.note(LevelInfo, "  %s", line)
		}
	}
}

// code is the repositories whose containers run the store's code: a variable
// that names no container is meant for them, and for nginx only where there is
// nothing else.
func (x *run) code(p *revisionPlan) []string {
	var names []string
	for _, ref := range ecs.Images(p.base.ContainerDefinitions, x.own) {
		if !strings.HasSuffix(ref.Path, "nginx") {
			add(&names, ref.Repository())
		}
	}
	if len(names) == 0 {
		return x.own
	}
	return names
}

// onlyMarks reports whether nothing but our own mark would be added to a
// revision that nobody released with mck: no reason for another revision.
func onlyMarks(p *revisionPlan) bool {
	rest := p.changes
	if ecs.Tag(p.base.Tags, TagBuild) == "" {
		rest = rest.Without("tags." + TagBuild)
	}
	return len(rest) == 0
}

// significant leaves out what says who registered a revision and after which
// one: that alone is no reason for another revision.
func significant(c ecs.Changes) ecs.Changes {
	return c.Without("tags." + TagBy).Without("tags." + TagReplaces)
}

// tagValue makes a string one that ECS takes as the value of a tag.
func tagValue(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" +-=._:/@", r) {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), 256)]
}

// checkDeployments refuses where somebody else's deployment is in progress,
// and takes up one of our own.
func (x *run) checkDeployments() {
	for _, p := range x.services {
		if p.rev == nil {
			continue
		}
		p.res.Target = p.rev.target
		if p.svc.DesiredCount == 0 && p.svc.SchedulingStrategy != types.SchedulingStrategyDaemon && (x.req.DesiredCount == nil || *x.req.DesiredCount == 0) {
			x.find(SeverityWarning, "service "+p.name, "", "wants 0 tasks, so that its roll proves nothing")
		}
		if p.svc.SchedulingStrategy == types.SchedulingStrategyDaemon && x.req.DesiredCount != nil {
			x.find(SeverityError, "service "+p.name, "leave --desired-count out", "is a daemon service: ECS sets its number of tasks")
		}
		if !inProgress(&p.svc) {
			continue
		}
		d := primaryOf(&p.svc)
		if p.rev.target != "" && aws.ToString(d.TaskDefinition) == p.rev.target && !x.req.Force {
			p.adopt = true
			if replaces := ecs.Tag(p.rev.before.Tags, TagReplaces); replaces != "" && p.prior == p.rev.target {
				p.prior = replaces
			}
			x.note(LevelInfo, "service %s: deployment %s of this build is in progress already", p.name, aws.ToString(d.Id))
			continue
		}
		x.find(SeverityError, "service "+p.name, "wait for it, or use --wait-for-deployment",
			"has a deployment in progress: %s of %s, since %s", aws.ToString(d.Id),
			ecs.RevisionName(aws.ToString(d.TaskDefinition)), aws.ToTime(d.CreatedAt).UTC().Format("15:04:05 MST"))
	}
}

// regionOf is the region in an ARN, or "".
func regionOf(s string) string {
	a, err := arn.Parse(s)
	if err != nil {
		return ""
	}
	return a.Region
}

// readSource finds out what another cluster runs, for a promotion.
func (x *run) readSource(ctx context.Context) {
	subject := "cluster " + x.req.From
	x.readCluster(ctx, x.req.From)
	services := x.readServices(ctx, x.req.From, x.req.Services, SeverityError)
	x.moves = map[string]ecs.Move{}
	build := ""
	for _, name := range x.req.Services {
		svc, ok := services[name]
		if !ok {
			continue
		}
		if inProgress(&svc) {
			x.find(SeverityError, subject, "wait until it has ended", "service %s has a deployment in progress, so what it runs is about to change", name)
			continue
		}
		td, err := x.describeTaskDefinition(ctx, aws.ToString(svc.TaskDefinition))
		if err != nil {
			x.find(SeverityError, subject, "", "%v", err)
			continue
		}
		containers := td.TaskDefinition.ContainerDefinitions
		refs := ecs.Images(containers, ownOf(x.req.Repositories, td))
		b := buildOf(td, refs)
		switch {
		case b == "":
			x.find(SeverityError, subject, "", "service %s runs %s, which does not say which build it is", name, ecs.RevisionName(aws.ToString(svc.TaskDefinition)))
		case build != "" && b != build:
			x.find(SeverityError, subject, "release one build there first", "runs build %s and build %s at the same time", build, b)
		case x.req.Build != "" && b != x.req.Build:
			x.find(SeverityError, subject, "", "runs build %s, not %s", b, x.req.Build)
		}
		if build == "" {
			build = b
		}
		digests, err := x.runningDigests(ctx, x.req.From, name, aws.ToString(svc.TaskDefinition), containers)
		if err != nil {
			x.find(SeverityError, subject, "", "the digests that service %s runs cannot be read: %v", name, err)
			continue
		}
		for _, ref := range refs {
			m := ecs.Move{Repository: ref.Path, Tag: b, Digest: ref.Digest}
			switch found := digests[ref.String()]; len(found) {
			case 0:
			case 1:
				m.Digest = found[0]
			default:
				x.find(SeverityError, subject, "", "tasks of service %s run different images as %s: %s", name, ref, strings.Join(found, ", "))
			}
			if was, ok := x.moves[ref.Path]; ok && was.Digest != "" && m.Digest != "" && was.Digest != m.Digest {
				x.find(SeverityError, subject, "", "services run different images of %s: %s and %s", ref.Path, was.Digest, m.Digest)
			}
			if m.Digest == "" {
				x.find(SeverityError, subject, "", "service %s runs no task that says which image %s is", name, ref)
			}
			x.moves[ref.Path] = m
		}
	}
	if x.req.Build == "" {
		x.req.Build = build
	}
	x.req.PinDigest = true
}

// runningDigests tells the digests that the tasks of a service's revision run,
// by image reference.
func (x *run) runningDigests(ctx context.Context, cluster, service, revision string, containers []types.ContainerDefinition) (map[string][]string, error) {
	tasks, err := x.tasksOf(ctx, cluster, service)
	if err != nil {
		return nil, err
	}
	image := map[string]string{}
	for _, c := range containers {
		image[aws.ToString(c.Name)] = aws.ToString(c.Image)
	}
	digests := map[string][]string{}
	for _, t := range tasks {
		if aws.ToString(t.TaskDefinitionArn) != revision {
			continue
		}
		for _, c := range t.Containers {
			ref, d := image[aws.ToString(c.Name)], aws.ToString(c.ImageDigest)
			if d != "" && !slices.Contains(digests[ref], d) {
				digests[ref] = append(digests[ref], d)
			}
		}
	}
	return digests, nil
}

// tasksOf reads the running tasks of a service.
func (x *run) tasksOf(ctx context.Context, cluster, service string) ([]types.Task, error) {
	return x.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(cluster), ServiceName: aws.String(service)})
}

// listTasks lists tasks and describes them.
func (x *run) listTasks(ctx context.Context, in awsecs.ListTasksInput) ([]types.Task, error) {
	return ecs.ListTasks(ctx, x.ECS, x.caller, in)
}

// buildOf says which build a revision runs: what a release wrote on it, or the
// tag that all of the store's own images have.
func buildOf(td *awsecs.DescribeTaskDefinitionOutput, refs []ecs.Reference) string {
	if b := ecs.Tag(td.Tags, TagBuild); b != "" {
		return b
	}
	tag := ""
	for _, r := range refs {
		if r.Tag == "" || tag != "" && r.Tag != tag {
			return ""
		}
		tag = r.Tag
	}
	return tag
}

// ownOf is the list of the store's own repositories as far as one task
// definition tells: those asked for, or all that are in the private ECR registry
// of its own account. A sidecar of AWS's (a log router, App Mesh) is in an account
// of AWS's, and no build of the store is there.
func ownOf(asked []string, td *awsecs.DescribeTaskDefinitionOutput) []string {
	if len(asked) > 0 {
		return asked
	}
	itself, err := arn.Parse(aws.ToString(td.TaskDefinition.TaskDefinitionArn))
	if err != nil {
		return nil
	}
	var own []string
	for _, c := range td.TaskDefinition.ContainerDefinitions {
		ref, err := ecs.ParseReference(aws.ToString(c.Image))
		if err != nil {
			continue
		}
		if of, _, ok := ref.ECR(); ok && of == itself.AccountID && !slices.Contains(own, ref.Repository()) {
			own = append(own, ref.Repository())
		}
	}
	return own
}

func (x *run) ownRepositories() {
	x.own = x.req.Repositories
	if len(x.own) > 0 {
		return
	}
	for _, p := range x.revs {
		for _, n := range ownOf(nil, p.before) {
			if !slices.Contains(x.own, n) {
				x.own = append(x.own, n)
			}
		}
	}
	slices.Sort(x.own)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
