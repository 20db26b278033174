package awssim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

// A rollout of minutes is over at once: the client sleeps on the world's clock.
func Example() {
	w, err := awssim.New(awssim.Config{})
	if err != nil {
		panic(err)
	}
	ctx, client := context.Background(), ecs.NewFromConfig(w.ClientConfig())
	_, err = client.UpdateService(ctx, &ecs.UpdateServiceInput{
		Cluster: aws.String("production-app"), Service: aws.String("production-app"), ForceNewDeployment: true,
	})
	if err != nil {
		panic(err)
	}
	for {
		out, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String("production-app"), Services: []string{"production-app"}})
		if err != nil {
			panic(err)
		}
		if d := out.Services[0].Deployments[0]; d.RolloutState != "IN_PROGRESS" {
			fmt.Println(d.RolloutState, "after", w.Elapsed())
			return
		}
		_ = w.Clock().Sleep(ctx, 10*time.Second) // a virtual clock never fails
	}
	// Output: COMPLETED after 50s
}

// The new revision's containers crash, and ECS's circuit breaker returns the service.
func ExampleWorld_Behave() {
	w, err := awssim.New(awssim.Config{})
	if err != nil {
		panic(err)
	}
	if err := w.Behave(awssim.Behavior{Family: "production-consumers", Exit: aws.Int32(1), ExitAfter: awssim.Duration(2 * time.Second)}); err != nil {
		panic(err)
	}
	ctx, client := context.Background(), ecs.NewFromConfig(w.ClientConfig())
	_, err = client.UpdateService(ctx, &ecs.UpdateServiceInput{
		Cluster: aws.String("production-app"), Service: aws.String("production-consumers"), ForceNewDeployment: true,
	})
	if err != nil {
		panic(err)
	}
	_ = w.Clock().Sleep(ctx, 20*time.Minute)
	out, err := client.ListServiceDeployments(ctx, &ecs.ListServiceDeploymentsInput{Cluster: aws.String("production-app"), Service: aws.String("production-consumers")})
	if err != nil {
		panic(err)
	}
	fmt.Println(out.ServiceDeployments[0].Status)
	// Output: ROLLBACK_SUCCESSFUL
}

// The first two calls are throttled; the client tries again.
func ExampleWorld_AddFault() {
	w, err := awssim.New(awssim.Config{})
	if err != nil {
		panic(err)
	}
	if err := w.AddFault(awssim.Fault{Op: "ecs:ListClusters", Kind: awssim.Throttle, Times: 2}); err != nil {
		panic(err)
	}
	_, err = ecs.NewFromConfig(w.ClientConfig()).ListClusters(context.Background(), &ecs.ListClustersInput{})
	fmt.Println(err)
	for _, c := range w.Calls() {
		fmt.Println(c.Op, c.Code)
	}
	// Output:
	// <nil>
	// ecs:ListClusters ThrottlingException
	// ecs:ListClusters ThrottlingException
	// ecs:ListClusters
}
