package awssim

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	bridge "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// defaultRepositories are MageCloudKit's two, with the images of a few builds.
func defaultRepositories() []RepositorySpec {
	var repos []RepositorySpec
	for _, n := range []string{"magecloudkit/magento2", "magecloudkit/nginx"} {
		r := RepositorySpec{
			Name: n, ScanOnPush: true,
			Mutability: string(ecrtypes.ImageTagMutabilityImmutableWithExclusion), Exclusions: []string{"latest"},
		}
		const newest = 300
		for build := newest - 5; build <= newest; build++ {
			im := ImageSpec{
				Tags:   []string{fmt.Sprint(build)},
				Age:    Duration(time.Duration(newest-build)*24*time.Hour + time.Hour),
				Labels: map[string]string{"org.opencontainers.image.version": fmt.Sprint(build)},
			}
			if build == newest {
				im.Tags = append(im.Tags, "latest")
			}
			r.Images = append(r.Images, im)
		}
		repos = append(repos, r)
	}
	return repos
}

// defaultRules is Magento's cron, every minute.
func defaultRules(account, region string) []RuleSpec {
	ecs := fmt.Sprintf("arn:aws:ecs:%s:%s:", region, account)
	return []RuleSpec{{
		Name: "production-cron", Schedule: "rate(1 minute)",
		Targets: []bridge.Target{{
			Id: aws.String("cron"), Arn: aws.String(ecs + "cluster/production-app"),
			RoleArn: aws.String(fmt.Sprintf("arn:aws:iam::%s:role/ecsEventsRole", account)),
			Input:   aws.String(`{"containerOverrides":[{"name":"magento","command":["bin/magento","cron:run"]}]}`),
			EcsParameters: &bridge.EcsParameters{
				TaskDefinitionArn: aws.String(ecs + "task-definition/production-cron:1"), TaskCount: aws.Int32(1),
				LaunchType: bridge.LaunchTypeFargate, PlatformVersion: aws.String("LATEST"),
				NetworkConfiguration: &bridge.NetworkConfiguration{AwsvpcConfiguration: &bridge.AwsVpcConfiguration{
					Subnets: []string{"subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"}, SecurityGroups: []string{"sg-0aaaaaaaaaaaaaaa1"},
					AssignPublicIp: bridge.AssignPublicIpDisabled,
				}},
			},
		}},
	}}
}
