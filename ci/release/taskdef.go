package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

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

// platformOf is the platform that a task definition runs on, or "" where it
// does not say: on EC2 the instances decide.
func platformOf(td *awsecs.RegisterTaskDefinitionInput) string {
	p := td.RuntimePlatform
	if p == nil || p.CpuArchitecture == "" {
		if slices.Contains(td.RequiresCompatibilities, types.CompatibilityFargate) {
			return "linux/amd64"
		}
		return ""
	}
	arch := map[types.CPUArchitecture]string{types.CPUArchitectureX8664: "amd64", types.CPUArchitectureArm64: "arm64"}[p.CpuArchitecture]
	if p.OperatingSystemFamily != "" && p.OperatingSystemFamily != types.OSFamilyLinux {
		return "windows/" + arch
	}
	return "linux/" + arch
}

// taskContainer picks the container that runs commands: the one asked for, or
// the first with an image of the store's own that is not nginx.
func taskContainer(asked string, containers []types.ContainerDefinition, own []string) (string, error) {
	var names []string
	picked := ""
	for _, c := range containers {
		name := aws.ToString(c.Name)
		names = append(names, name)
		ref, err := ecs.ParseReference(aws.ToString(c.Image))
		if picked == "" && err == nil && ref.InAny(own) && !strings.HasSuffix(ref.Path, "nginx") {
			picked = name
		}
		if asked != "" && name == asked {
			return name, nil
		}
	}
	if asked != "" || picked == "" {
		return "", fmt.Errorf(sayNoContainer, asked, strings.Join(names, ", "))
	}
	return picked, nil
}
