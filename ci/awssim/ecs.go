package awssim

import "github.com/aws/aws-sdk-go-v2/service/ecs"

func newECS(w *World) *service {
	s := &service{name: "ecs", target: "AmazonEC2ContainerServiceV20141113"}
	handle(s, "ListClusters", func(c *call, in *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
		return &ecs.ListClustersOutput{ClusterArns: []string{}}, nil
	})
	return s
}
