package ecs

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

type container struct {
	def       *types.ContainerDefinition
	b         Behavior
	last      string
	exit      *int32
	reason    string
	health    types.HealthStatus
	digest    string
	runtimeID string
	stream    string
}

// checked says that the container's health is checked by its definition.
func (c *container) checked() bool { return c.def.HealthCheck != nil }

func (c *container) essential() bool { return c.def.Essential == nil || *c.def.Essential }

// pullImage finds a container's image, and returns why it cannot be pulled; "" if it can.
func (t *task) pullImage(c *container) string {
	if c.b.PullError != "" {
		return c.b.PullError
	}
	platform := "linux/amd64"
	if p := t.rev.def.RuntimePlatform; p != nil && p.CpuArchitecture == types.CPUArchitectureArm64 {
		platform = "linux/arm64"
	}
	digest, known, err := t.e.around.Images.ResolveImage(*c.def.Image, platform)
	c.digest = digest
	switch {
	case err != nil:
		return err.Error()
	case !known && t.e.missingAbroad(*c.def.Image):
		return fmt.Sprintf("pull image manifest has been retried 1 time(s): failed to resolve ref %s: %s: not found", *c.def.Image, *c.def.Image)
	}
	return ""
}

// openLog makes the log stream of a container that has one.
func (t *task) openLog(c *container) error {
	l := c.def.LogConfiguration
	if l == nil || l.LogDriver != types.LogDriverAwslogs {
		return nil
	}
	c.stream = c.runtimeID // without a prefix the container's id is the name
	if p := l.Options["awslogs-stream-prefix"]; p != "" {
		c.stream = fmt.Sprintf("%s/%s/%s", p, *c.def.Name, t.id)
	}
	return t.e.around.Logs.OpenStream(l.Options["awslogs-group"], c.stream, l.Options["awslogs-create-group"] == "true")
}

// meets says whether a container that another one depends on is as far as it has to be.
func (c *container) meets(condition types.ContainerCondition) bool {
	switch condition {
	case types.ContainerConditionStart:
		return c.last != "PENDING"
	case types.ContainerConditionHealthy:
		return c.health == types.HealthStatusHealthy
	case types.ContainerConditionComplete:
		return c.last == "STOPPED"
	case types.ContainerConditionSuccess:
		return c.last == "STOPPED" && c.exit != nil && *c.exit == 0
	}
	return false
}

func (t *task) container(name string) *container {
	i := slices.IndexFunc(t.containers, func(c *container) bool { return *c.def.Name == name })
	return t.containers[i] // the definition's check has seen to it
}

// checks returns when a container's check first says HEALTHY and when it says UNHEALTHY, since its start; negative:
// never (API_HealthCheck: failures count from the end of the start period on, retries of them in a row are too many).
func (c *container) checks() (passes, fails time.Duration) {
	h := c.def.HealthCheck
	seconds := func(v *int32, std int32) time.Duration {
		if v != nil {
			std = *v
		}
		return time.Duration(std) * time.Second
	}
	interval := seconds(h.Interval, 30)
	tries := int32(3)
	if h.Retries != nil {
		tries = *h.Retries
	}
	patience := seconds(h.StartPeriod, 0) + time.Duration(tries)*interval
	passes, fails = interval, -1
	if d := time.Duration(c.b.HealthyAfter); d > 0 {
		passes = d
	}
	if passes > patience {
		fails = patience
	}
	if c.b.NeverHealthy {
		return -1, patience
	}
	if d := time.Duration(c.b.UnhealthyAfter); d > 0 {
		fails = d
	}
	return passes, fails
}
