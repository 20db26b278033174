package release

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// readSource finds out what another cluster runs, for a promotion: one build, by the
// digests of the images that its tasks run.
func (v *survey) readSource(ctx context.Context) {
	v.readCluster(ctx, v.req.From)
	services := v.readServices(ctx, v.req.From, v.req.Services)
	v.moves = map[string]ecs.Move{}
	var builds []string
	for _, name := range v.req.Services {
		if svc, ok := services[name]; ok {
			v.readSourceService(ctx, svc, &builds)
		}
	}
	if v.req.Build == "" && len(builds) > 0 {
		v.req.Build = builds[0]
	}
	v.req.PinDigest = true
}

// readSourceService adds what one service of the other cluster runs to the moves, and
// its build to builds.
func (v *survey) readSourceService(ctx context.Context, svc types.Service, builds *[]string) {
	subject, name := "cluster "+v.req.From, aws.ToString(svc.ServiceName)
	if inProgress(&svc) {
		v.refuse(subject, doWaitForEnd, saySourceInProgress, name)
		return
	}
	td, err := v.describeTaskDefinition(ctx, aws.ToString(svc.TaskDefinition))
	if err != nil {
		v.refuse(subject, "", "%v", err)
		return
	}
	containers := td.TaskDefinition.ContainerDefinitions
	refs := ecs.Images(containers, ownOf(v.req.Repositories, td))
	build := buildOf(td, refs)
	switch {
	case build == "":
		v.refuse(subject, "", saySourceUnknown, name, ecs.RevisionName(aws.ToString(svc.TaskDefinition)))
	case len(*builds) > 0 && (*builds)[0] != build:
		v.refuse(subject, doOneBuildThere, sayTwoBuilds, (*builds)[0], build)
	case v.req.Build != "" && build != v.req.Build:
		v.refuse(subject, "", sayOtherBuild, build, v.req.Build)
	}
	if build != "" {
		add(builds, build)
	}
	digests, err := v.runningDigests(ctx, v.req.From, svc, containers)
	if err != nil {
		v.refuse(subject, "", sayDigestsUnread, name, err)
		return
	}
	for _, ref := range refs {
		v.moveFrom(name, ref, build, digests[ref.String()])
	}
}

// moveFrom is the move to an image as the other cluster's tasks run it: by one of the
// digests that were found.
func (v *survey) moveFrom(service string, ref ecs.Reference, build string, found []string) {
	subject := "cluster " + v.req.From
	m := ecs.Move{Repository: ref.Path, Tag: build, Digest: ref.Digest}
	switch len(found) {
	case 0:
	case 1:
		m.Digest = found[0]
	default:
		v.refuse(subject, "", sayTasksDiffer, service, ref, strings.Join(found, ", "))
	}
	if was, ok := v.moves[ref.Path]; ok && was.Digest != "" && m.Digest != "" && was.Digest != m.Digest {
		v.refuse(subject, "", sayServicesDiffer, ref.Path, was.Digest, m.Digest)
	}
	if m.Digest == "" {
		v.refuse(subject, "", sayNoTaskSays, service, ref)
	}
	v.moves[ref.Path] = m
}
