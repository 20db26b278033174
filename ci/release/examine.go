package release

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Examined is what there is of what the release of any build needs.
type Examined struct {
	// Subjects are what was looked at, in the words of the findings: "cluster production-app", "log group /ecs/web".
	// What has no finding is as it should be.
	Subjects []string
	Findings []Finding
	// Images are those of the store's own that the services run.
	Images      []ecs.Reference
	Definitions []string // ARNs of the task definitions of services and cron
	CronRoles   []string // ARNs of the roles that cron is started with
}

// Examine looks at what a release needs whatever build it is of: the cluster, the services with their health checks and
// images, cron, and what their task definitions name. It changes nothing. The request needs no build.
func (r *Releaser) Examine(ctx context.Context, req Request) (Examined, error) {
	req.KeepBuild, req.By = true, "nobody" // nobody is asked who releases
	v := r.survey("examine", req)
	v.step = stepPreflight
	if err := v.look(ctx); err != nil {
		return Examined{}, err
	}
	v.ownRepositories()
	var x Examined
	x.Subjects = append(x.Subjects, "cluster "+v.req.Cluster)
	for _, name := range v.req.Services {
		x.Subjects = append(x.Subjects, "service "+name)
	}
	for _, p := range v.services {
		v.checkCount(p)
		if p.rev == nil {
			continue
		}
		images := ecs.Images(p.rev.base.ContainerDefinitions, v.own)
		if len(images) == 0 {
			v.refuse("service "+p.name, doNameRepositories, sayRunsNoOwnImage, orNone(v.own))
		}
		x.Images = append(x.Images, images...)
	}
	v.checkHealth(ctx)
	d := dependenciesOf(v.revs)
	for _, c := range v.crons {
		x.Subjects = append(x.Subjects, c.subject())
		for _, cluster := range c.clusters {
			if ecs.LastPart(cluster) != ecs.LastPart(v.req.Cluster) {
				v.refuse(c.subject(), c.hint(), sayOtherCluster, ecs.LastPart(cluster))
			}
		}
		for _, role := range c.roles {
			add(&x.CronRoles, role)
			if !slices.Contains(d.roles, role) {
				d.roles = append(d.roles, role)
				v.checkRole(ctx, role)
			}
		}
	}
	v.checkDependencies(ctx)
	for _, p := range v.revs {
		x.Definitions = append(x.Definitions, p.arn())
	}
	x.Findings = v.res.Findings
	x.Subjects = append(x.Subjects, d.subjects(x.Findings)...)
	return x, ctx.Err()
}

// subjects are what findings call the dependencies; parameters that were asked about together, in vain, are left out.
func (d dependencies) subjects(findings []Finding) []string {
	var all []string
	list := func(kind string, names []string) {
		for _, n := range names {
			all = append(all, kind+n)
		}
	}
	list("role ", d.roles)
	list("secret ", d.secrets)
	for _, p := range d.parameters {
		if !slices.ContainsFunc(findings, func(f Finding) bool {
			together, ok := strings.CutPrefix(f.Subject, "parameters ")
			return ok && slices.Contains(strings.Split(together, ", "), p)
		}) {
			all = append(all, "parameter "+p)
		}
	}
	for _, g := range d.groups {
		all = append(all, "log group "+g.name)
	}
	return all
}

// target notes where a target's tasks run, and who starts them.
func (f *foundCron) target(cluster, role *string) {
	for list, arn := range map[*[]string]*string{&f.clusters: cluster, &f.roles: role} {
		if s := aws.ToString(arn); s != "" {
			add(list, s)
		}
	}
}
