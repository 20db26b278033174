package ecs

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// stop ends a task: DEACTIVATING while its targets drain, STOPPING while its containers end, DEPROVISIONING while its
// network interface goes, STOPPED.
func (t *task) stop(code types.TaskStopCode, reason string) {
	if t.desired == "STOPPED" {
		return
	}
	k := t.e.k
	t.desired, t.stopCode, t.reason, t.stopping = "STOPPED", code, reason, new(k.Now)
	drain := time.Duration(0)
	if t.last == "RUNNING" || t.last == "ACTIVATING" {
		t.last = "DEACTIVATING"
		if t.svc != nil && len(t.dep.conf.loadBalancers) > 0 {
			drain = k.Between("drain", t.id, 5*time.Second, 10*time.Second)
		}
	}
	t.touch()
	if t.svc != nil {
		t.svc.stopped(t)
	}
	k.After(drain, func() {
		t.set("STOPPING")
		k.After(k.Between("term", t.id, time.Second, 3*time.Second), t.end)
	})
}

// end is when a task's containers are gone.
func (t *task) end() {
	k := t.e.k
	t.ended = new(k.Now)
	for _, c := range t.containers {
		if c.last == "RUNNING" { // it was asked to stop
			c.exit = c.b.StopExit
			if c.exit == nil {
				c.exit = new(int32(0))
			}
		}
		c.last = "STOPPED"
	}
	if i := t.instance; i != nil {
		i.tasks = slices.DeleteFunc(i.tasks, func(o *task) bool { return o == t })
	}
	last := func() {
		t.stopped = new(k.Now)
		t.set("STOPPED")
		if t.svc != nil {
			t.svc.made()
		}
		k.After(time.Hour, t.forget) // "stopped tasks … are visible for at least one hour"
	}
	if !t.rev.awsvpc() {
		last()
		return
	}
	t.set("DEPROVISIONING")
	if t.svc != nil {
		t.svc.made()
	}
	k.After(k.Between("eni-", t.id, 3*time.Second, 8*time.Second), last)
}

func (t *task) forget() {
	drop := func(o *task) bool { return o == t }
	t.cluster.tasks = slices.DeleteFunc(t.cluster.tasks, drop)
	if t.svc != nil {
		t.svc.tasks = slices.DeleteFunc(t.svc.tasks, drop)
	}
}

// view is a task as it is described.
func (t *task) view() types.Task {
	v := types.Task{
		TaskArn: &t.arn, ClusterArn: &t.cluster.arn, TaskDefinitionArn: t.rev.def.TaskDefinitionArn,
		LastStatus: new(t.last), DesiredStatus: new(t.desired), Group: &t.group, LaunchType: t.launch,
		CapacityProviderName: t.provider, Version: t.version, CreatedAt: &t.created, EnableExecuteCommand: t.execute,
		Cpu: new(strconv.Itoa(int(t.cpu))), Memory: new(strconv.Itoa(int(t.memory))),
		PullStartedAt: t.pullStarted, PullStoppedAt: t.pullEnded, StartedAt: t.started, StoppingAt: t.stopping,
		ExecutionStoppedAt: t.ended, StoppedAt: t.stopped, StopCode: t.stopCode, HealthStatus: t.health(),
		Overrides: new(t.overrides), Attributes: []types.Attribute{{Name: new("ecs.cpu-architecture"), Value: new("x86_64")}},
		Attachments:      []types.Attachment{},
		AvailabilityZone: new(t.zone()), Tags: slices.Clone(t.tags),
	}
	if v.Overrides.ContainerOverrides == nil {
		v.Overrides.ContainerOverrides = []types.ContainerOverride{}
	}
	if t.startedBy != "" {
		v.StartedBy = &t.startedBy
	}
	if t.reason != "" {
		v.StoppedReason = new(t.reason)
	}
	if t.launch == types.LaunchTypeFargate {
		v.PlatformVersion, v.PlatformFamily = new("1.4.0"), new("Linux")
		v.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 20}
		if s := t.rev.def.EphemeralStorage; s != nil {
			v.EphemeralStorage = s
		}
	}
	if t.instance != nil {
		v.ContainerInstanceArn = &t.instance.arn
	}
	if t.last == "RUNNING" {
		v.Connectivity, v.ConnectivityAt = types.ConnectivityConnected, t.started
	}
	var address *string
	if t.rev.awsvpc() {
		subnet := "subnet-0"
		if n := t.network; n != nil && n.AwsvpcConfiguration != nil && len(n.AwsvpcConfiguration.Subnets) > 0 {
			subnet = n.AwsvpcConfiguration.Subnets[0]
		}
		status := map[bool]string{true: "DELETED", false: "ATTACHED"}[t.last == "STOPPED"]
		if t.last == "PROVISIONING" {
			status = "PRECREATED"
		}
		r := t.e.k.Random("ip", t.id)
		address = new(fmt.Sprintf("10.0.%d.%d", r.IntN(250), 4+r.IntN(250)))
		v.Attachments = append(v.Attachments, types.Attachment{
			Id: new(t.id[:8] + "-" + t.id[8:12] + "-" + t.id[12:16] + "-" + t.id[16:20] + "-" + t.id[20:]), Type: new("ElasticNetworkInterface"), Status: &status,
			Details: []types.KeyValuePair{
				{Name: new("subnetId"), Value: &subnet}, {Name: new("networkInterfaceId"), Value: new("eni-0" + t.id[:16])},
				{Name: new("privateIPv4Address"), Value: address},
			}})
	}
	for _, c := range t.containers {
		cv := t.containerView(c)
		if address != nil {
			cv.NetworkInterfaces = append(cv.NetworkInterfaces, types.NetworkInterface{AttachmentId: v.Attachments[0].Id, PrivateIpv4Address: address})
		}
		v.Containers = append(v.Containers, cv)
	}
	return v
}

func (t *task) zone() string { return t.e.k.Region + string('a'+rune(t.id[0]%3)) }

// containerView is a container as it is described, without its network.
func (t *task) containerView(c *container) types.Container {
	name := *c.def.Name
	cv := types.Container{
		ContainerArn: new(t.e.k.ARN("ecs", fmt.Sprintf("container/%s/%s/%s", t.cluster.name, t.id, name))),
		TaskArn:      &t.arn, Name: &name, Image: c.def.Image, LastStatus: new(c.last), ExitCode: c.exit, HealthStatus: c.health,
		NetworkBindings: []types.NetworkBinding{}, NetworkInterfaces: []types.NetworkInterface{},
		Cpu: new(strconv.Itoa(int(c.def.Cpu))),
	}
	if c.reason != "" {
		cv.Reason = new(c.reason)
	}
	if c.digest != "" {
		cv.ImageDigest = new(c.digest)
	}
	if c.last != "PENDING" {
		cv.RuntimeId = &c.runtimeID
	}
	if m := c.def.Memory; m != nil {
		cv.Memory = new(strconv.Itoa(int(*m)))
	}
	if m := c.def.MemoryReservation; m != nil {
		cv.MemoryReservation = new(strconv.Itoa(int(*m)))
	}
	return cv
}
