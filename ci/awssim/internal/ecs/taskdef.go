package ecs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// family is a task definition family with all its revisions, in order. A revision's number is never used again.
type family struct {
	name      string
	revisions []*revision
	last      int32
}

type revision struct {
	def     types.TaskDefinition
	tags    []types.Tag
	history kernel.History[types.TaskDefinition]
}

func (r *revision) container(name string) *types.ContainerDefinition {
	for i := range r.def.ContainerDefinitions {
		if c := &r.def.ContainerDefinitions[i]; *c.Name == name {
			return c
		}
	}
	return nil
}

func (r *revision) awsvpc() bool { return r.def.NetworkMode == types.NetworkModeAwsvpc }

// revision finds one by family (the newest ACTIVE one), family:revision or ARN.
func (e *API) revision(ref string) (*revision, error) {
	r, _, err := e.revisionAt(ref, e.k.Now)
	return r, err
}

// revisionAt finds a revision as it was known at a time.
func (e *API) revisionAt(ref string, at time.Time) (*revision, *types.TaskDefinition, error) {
	ref = strings.TrimPrefix(ref, e.k.ARN("ecs", "task-definition/"))
	name, number, exact := strings.Cut(ref, ":")
	if f := e.families[name]; f != nil {
		for i := len(f.revisions) - 1; i >= 0; i-- {
			r := f.revisions[i]
			def, ok := r.history.At(at)
			if ok && (exact && strconv.Itoa(int(def.Revision)) == number || !exact && def.Status == types.TaskDefinitionStatusActive) {
				return r, &def, nil
			}
		}
	}
	return nil, nil, wire.Errf("ClientException", "Unable to describe task definition.")
}

// usable finds the revision that a task or service is to be started from.
func (e *API) usable(ref *string) (*revision, error) {
	if value(ref) == "" {
		return nil, wire.Errf("InvalidParameterException", "TaskDefinition can not be blank.")
	}
	r, err := e.revision(*ref)
	if err != nil {
		return nil, wire.Errf("ClientException", "TaskDefinition not found.")
	}
	if r.def.Status != types.TaskDefinitionStatusActive {
		return nil, wire.Errf("ClientException", "TaskDefinition is inactive")
	}
	return r, nil
}

var (
	familyNames    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	containerNames = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	roleARNs       = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)
)

func (e *API) registerTaskDefinition(c *wire.Call, in *ecs.RegisterTaskDefinitionInput) (*ecs.RegisterTaskDefinitionOutput, error) {
	if err := e.checkTaskDefinition(in); err != nil {
		return nil, err
	}
	f := e.families[*in.Family]
	if f == nil {
		f = &family{name: *in.Family}
		e.families[f.name] = f
	}
	f.last++
	for i := range in.ContainerDefinitions {
		complete(&in.ContainerDefinitions[i], in.NetworkMode)
	}
	r := &revision{tags: in.Tags, def: types.TaskDefinition{
		ContainerDefinitions: in.ContainerDefinitions, Family: in.Family, Cpu: number(in.Cpu), Memory: number(in.Memory),
		EnableFaultInjection: in.EnableFaultInjection, EphemeralStorage: in.EphemeralStorage, ExecutionRoleArn: in.ExecutionRoleArn,
		IpcMode: in.IpcMode, NetworkMode: in.NetworkMode, PidMode: in.PidMode,
		PlacementConstraints: append([]types.TaskDefinitionPlacementConstraint{}, in.PlacementConstraints...),
		ProxyConfiguration:   in.ProxyConfiguration, RequiresCompatibilities: in.RequiresCompatibilities,
		RuntimePlatform: in.RuntimePlatform, TaskRoleArn: in.TaskRoleArn, Volumes: append([]types.Volume{}, in.Volumes...),

		Compatibilities: compatibilities(in), RequiresAttributes: attributes(in),
		RegisteredAt: new(e.k.Now), RegisteredBy: new(c.Caller.ARN), Revision: f.last, Status: types.TaskDefinitionStatusActive,
		TaskDefinitionArn: new(e.k.ARN("ecs", fmt.Sprintf("task-definition/%s:%d", f.name, f.last))),
	}}
	//lint:ignore SA1019 what AWS no longer uses it still keeps
	r.def.InferenceAccelerators = in.InferenceAccelerators
	f.revisions = append(f.revisions, r)
	r.history.Put(e.k.Now, r.def)
	return &ecs.RegisterTaskDefinitionOutput{TaskDefinition: &r.def, Tags: r.tags}, nil
}

// number writes a size as AWS answers it: "1 vCPU" is 1024, "2GB" is 2048.
func number(s *string) *string {
	if s == nil {
		return nil
	}
	t := strings.ToLower(strings.ReplaceAll(*s, " ", ""))
	for _, unit := range []string{"vcpu", "gb"} {
		if n, ok := strings.CutSuffix(t, unit); ok {
			if f, err := strconv.ParseFloat(n, 64); err == nil {
				return new(strconv.Itoa(int(f * 1024)))
			}
		}
	}
	return s
}

// complete fills in what AWS answers although nobody asked for it.
func complete(c *types.ContainerDefinition, mode types.NetworkMode) {
	if c.Essential == nil {
		c.Essential = new(true)
	}
	c.Environment = append([]types.KeyValuePair{}, c.Environment...)
	c.MountPoints = append([]types.MountPoint{}, c.MountPoints...)
	c.VolumesFrom = append([]types.VolumeFrom{}, c.VolumesFrom...)
	c.SystemControls = append([]types.SystemControl{}, c.SystemControls...)
	c.PortMappings = append([]types.PortMapping{}, c.PortMappings...)
	for i := range c.PortMappings {
		p := &c.PortMappings[i]
		if p.Protocol == "" {
			p.Protocol = types.TransportProtocolTcp
		}
		if p.HostPort == nil && p.ContainerPort != nil {
			p.HostPort = new(int32(0))
			if mode == types.NetworkModeAwsvpc || mode == types.NetworkModeHost {
				p.HostPort = p.ContainerPort
			}
		}
	}
}

func compatibilities(in *ecs.RegisterTaskDefinitionInput) []types.Compatibility {
	out := []types.Compatibility{types.CompatibilityEc2}
	if in.NetworkMode != types.NetworkModeAwsvpc {
		out = []types.Compatibility{types.CompatibilityExternal, types.CompatibilityEc2}
	}
	if slices.Contains(in.RequiresCompatibilities, types.CompatibilityFargate) {
		out = append(out, types.CompatibilityFargate)
	}
	return out
}

func attributes(in *ecs.RegisterTaskDefinitionInput) []types.Attribute {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, c := range in.ContainerDefinitions {
		if c.LogConfiguration != nil {
			add("com.amazonaws.ecs.capability.logging-driver." + string(c.LogConfiguration.LogDriver))
		}
		if strings.Contains(*c.Image, ".dkr.ecr.") {
			add("com.amazonaws.ecs.capability.ecr-auth")
		}
		if c.HealthCheck != nil {
			add("ecs.capability.container-health-check")
		}
	}
	if in.TaskRoleArn != nil {
		add("com.amazonaws.ecs.capability.task-iam-role")
	}
	if in.NetworkMode == types.NetworkModeAwsvpc {
		add("ecs.capability.task-eni")
	}
	var out []types.Attribute
	for _, n := range names {
		out = append(out, types.Attribute{Name: &n})
	}
	return out
}

// checkTaskDefinition refuses what AWS refuses (API_RegisterTaskDefinition, API_ContainerDefinition, the developer guide's
// "Amazon ECS task definition parameters" and, for Fargate, "task definition differences for Fargate").
func (e *API) checkTaskDefinition(in *ecs.RegisterTaskDefinitionInput) error {
	if err := checkFamily(in); err != nil {
		return err
	}
	fargate := slices.Contains(in.RequiresCompatibilities, types.CompatibilityFargate)
	essential := false
	seen := map[string]bool{}
	for _, c := range in.ContainerDefinitions {
		if err := checkContainer(c, seen); err != nil {
			return err
		}
		seen[*c.Name] = true
		if c.Essential == nil || *c.Essential {
			essential = true
		}
		for _, check := range []func(*ecs.RegisterTaskDefinitionInput, types.ContainerDefinition, bool) error{checkMemory, checkPorts, checkLogs, checkExecutionRole} {
			if err := check(in, c, fargate); err != nil {
				return err
			}
		}
	}
	if !essential {
		return wire.Errf("ClientException", "Invalid 'essential' setting: at least one container of the task must be essential.")
	}
	if err := checkDependencies(in.ContainerDefinitions, seen); err != nil {
		return err
	}
	if fargate {
		return checkFargate(in)
	}
	return nil
}

// checkFamily refuses what is wrong beside the containers.
func checkFamily(in *ecs.RegisterTaskDefinitionInput) error {
	if value(in.Family) == "" {
		return wire.Errf("ClientException", "Family can not be blank.")
	}
	if !familyNames.MatchString(*in.Family) {
		return wire.Errf("ClientException", "Family contains invalid characters.")
	}
	if len(in.ContainerDefinitions) == 0 {
		return wire.Errf("ClientException", "Container list cannot be empty.")
	}
	if in.Tags != nil && len(in.Tags) == 0 {
		return wire.Errf("InvalidParameterException", "Tags can not be empty.")
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	for _, arn := range []*string{in.ExecutionRoleArn, in.TaskRoleArn} {
		if arn != nil && !roleARNs.MatchString(*arn) {
			return wire.Errf("ClientException", "Role is not valid")
		}
	}
	return nil
}

// checkContainer refuses what a container alone shows. seen are the names before it.
func checkContainer(c types.ContainerDefinition, seen map[string]bool) error {
	name, image := value(c.Name), value(c.Image)
	switch {
	case name == "":
		return wire.Errf("ClientException", "Container.name should not be null or empty.")
	case !containerNames.MatchString(name):
		return wire.Errf("ClientException", "Container.name contains invalid characters.")
	case image == "":
		return wire.Errf("ClientException", "Container.image should not be null or empty.")
	case strings.ContainsAny(image, " \t\n*"):
		return wire.Errf("ClientException", "Container.image contains invalid characters.")
	case len(image) > 255:
		return wire.Errf("ClientException", "Container.image repository should be 255 characters or less.")
	case seen[name]:
		return wire.Errf("ClientException", "Container names must be unique: '%s' is there twice.", name)
	}
	return nil
}

func checkMemory(in *ecs.RegisterTaskDefinitionInput, c types.ContainerDefinition, _ bool) error {
	switch {
	case in.Memory == nil && c.Memory == nil && c.MemoryReservation == nil:
		return wire.Errf("ClientException", "Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", *c.Name)
	case c.Memory != nil && *c.Memory < 6:
		return wire.Errf("ClientException", "Invalid 'memory' setting for container '%s': it must be at least 6 MiB.", *c.Name)
	case c.Memory != nil && c.MemoryReservation != nil && *c.Memory < *c.MemoryReservation:
		return wire.Errf("ClientException", "Invalid setting for container '%s'. The memory must be greater than the memoryReservation.", *c.Name)
	}
	return nil
}

func checkPorts(in *ecs.RegisterTaskDefinitionInput, c types.ContainerDefinition, _ bool) error {
	if h := c.HealthCheck; h != nil {
		if err := checkHealthCheck(*c.Name, h); err != nil {
			return err
		}
	}
	for _, p := range c.PortMappings {
		if in.NetworkMode == types.NetworkModeAwsvpc && p.HostPort != nil && *p.HostPort != value(p.ContainerPort) {
			return wire.Errf("ClientException", "When networkMode=awsvpc, the host ports and container ports in port mappings must match.")
		}
	}
	return nil
}

func checkLogs(in *ecs.RegisterTaskDefinitionInput, c types.ContainerDefinition, fargate bool) error {
	if c.LogConfiguration == nil || c.LogConfiguration.LogDriver != types.LogDriverAwslogs {
		return nil
	}
	switch options := c.LogConfiguration.Options; {
	case options["awslogs-group"] == "":
		return wire.Errf("ClientException", "Log driver awslogs requires options: awslogs-group")
	case fargate && in.ExecutionRoleArn == nil:
		return wire.Errf("ClientException", "Fargate requires task definition to have execution role ARN to support log driver awslogs.")
	case fargate && options["awslogs-stream-prefix"] == "":
		return wire.Errf("ClientException", "Log driver awslogs requires options: awslogs-stream-prefix")
	}
	return nil
}

func checkExecutionRole(in *ecs.RegisterTaskDefinitionInput, c types.ContainerDefinition, fargate bool) error {
	switch {
	case fargate && in.ExecutionRoleArn == nil && strings.Contains(*c.Image, ".dkr.ecr."):
		return wire.Errf("ClientException", "Fargate requires task definition to have execution role ARN to support ECR images.")
	case len(c.Secrets) > 0 && in.ExecutionRoleArn == nil:
		return wire.Errf("ClientException", "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
	}
	return nil
}

func checkDependencies(containers []types.ContainerDefinition, seen map[string]bool) error {
	for _, c := range containers {
		for _, d := range c.DependsOn {
			if !seen[value(d.ContainerName)] || value(d.ContainerName) == *c.Name {
				return wire.Errf("ClientException", "Container '%s' depends on '%s', which the task definition has not.", *c.Name, value(d.ContainerName))
			}
		}
	}
	return nil
}

// checkHealthCheck follows API_HealthCheck.
func checkHealthCheck(name string, h *types.HealthCheck) error {
	within := func(what string, v *int32, lo, hi int32) error {
		if v != nil && (*v < lo || *v > hi) {
			return wire.Errf("ClientException", "Invalid 'healthCheck.%s' setting for container '%s': it must be between %d and %d.", what, name, lo, hi)
		}
		return nil
	}
	if len(h.Command) == 0 {
		return wire.Errf("ClientException", "Invalid 'healthCheck.command' setting for container '%s': it cannot be empty.", name)
	}
	for _, err := range []error{
		within("interval", h.Interval, 5, 300), within("timeout", h.Timeout, 2, 60),
		within("retries", h.Retries, 1, 10), within("startPeriod", h.StartPeriod, 0, 300),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFargate(in *ecs.RegisterTaskDefinitionInput) error {
	if in.NetworkMode != types.NetworkModeAwsvpc {
		return wire.Errf("ClientException", "Fargate only supports network mode ‘awsvpc’.")
	}
	cpu, err1 := strconv.Atoi(value(number(in.Cpu)))
	memory, err2 := strconv.Atoi(value(number(in.Memory)))
	if err1 != nil {
		return wire.Errf("ClientException", "Fargate requires that 'cpu' be defined at the task level.")
	}
	if err2 != nil {
		return wire.Errf("ClientException", "Fargate requires that 'memory' be defined at the task level.")
	}
	// lo, hi and step of memory in MiB for each CPU size.
	sizes := map[int][3]int{
		256: {512, 2048, 512}, 512: {1024, 4096, 1024}, 1024: {2048, 8192, 1024}, 2048: {4096, 16384, 1024},
		4096: {8192, 30720, 1024}, 8192: {16384, 61440, 4096}, 16384: {32768, 122880, 8192},
	}
	s, ok := sizes[cpu]
	if !ok || memory < s[0] || memory > s[1] || memory%s[2] != 0 || cpu == 256 && memory == 1536 {
		return wire.Errf("ClientException", "No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for the valid values.", cpu, memory)
	}
	return nil
}

func (e *API) describeTaskDefinition(c *wire.Call, in *ecs.DescribeTaskDefinitionInput) (*ecs.DescribeTaskDefinitionOutput, error) {
	r, def, err := e.revisionAt(value(in.TaskDefinition), c.At())
	if err != nil {
		return nil, err
	}
	out := &ecs.DescribeTaskDefinitionOutput{TaskDefinition: def}
	if hasTags(in.Include) {
		out.Tags = append([]types.Tag{}, r.tags...)
	}
	return out, nil
}

func (e *API) listTaskDefinitions(c *wire.Call, in *ecs.ListTaskDefinitionsInput) (*ecs.ListTaskDefinitionsOutput, error) {
	status := in.Status
	if status == "" {
		status = types.TaskDefinitionStatusActive
	}
	var arns []string
	for _, name := range e.familyNames() {
		if !strings.HasPrefix(name, value(in.FamilyPrefix)) {
			continue
		}
		for _, r := range e.families[name].revisions {
			if def, ok := r.history.At(c.At()); ok && def.Status == status {
				arns = append(arns, *def.TaskDefinitionArn)
			}
		}
	}
	if in.Sort == types.SortOrderDesc {
		slices.Reverse(arns)
	}
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTaskDefinitionsOutput{TaskDefinitionArns: arns, NextToken: next}, nil
}

func (e *API) familyNames() []string {
	var names []string
	for name := range e.families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e *API) listTaskDefinitionFamilies(_ *wire.Call, in *ecs.ListTaskDefinitionFamiliesInput) (*ecs.ListTaskDefinitionFamiliesOutput, error) {
	var names []string
	for _, name := range e.familyNames() {
		active := slices.ContainsFunc(e.families[name].revisions, func(r *revision) bool {
			return r.def.Status == types.TaskDefinitionStatusActive
		})
		if strings.HasPrefix(name, value(in.FamilyPrefix)) &&
			(in.Status != types.TaskDefinitionFamilyStatusActive || active) && (in.Status != types.TaskDefinitionFamilyStatusInactive || !active) {
			names = append(names, name)
		}
	}
	names, next, err := page(names, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTaskDefinitionFamiliesOutput{Families: names, NextToken: next}, nil
}

// deregisterTaskDefinition: tasks and services that run from the revision go on, new ones are refused
// ("Deregistering an Amazon ECS task definition revision").
func (e *API) deregisterTaskDefinition(_ *wire.Call, in *ecs.DeregisterTaskDefinitionInput) (*ecs.DeregisterTaskDefinitionOutput, error) {
	ref := value(in.TaskDefinition)
	if !strings.Contains(strings.TrimPrefix(ref, e.k.ARN("ecs", "task-definition/")), ":") {
		return nil, wire.Errf("ClientException", "Revision is missing.")
	}
	r, err := e.revision(ref)
	if err != nil {
		return nil, wire.Errf("ClientException", "The specified task definition does not exist. Specify a valid account, family, revision and try again.")
	}
	if r.def.Status != types.TaskDefinitionStatusActive {
		return nil, wire.Errf("ClientException", "The specified task definition is inactive. Specify an active task definition and try again.")
	}
	r.set(e.k.Now, types.TaskDefinitionStatusInactive)
	return &ecs.DeregisterTaskDefinitionOutput{TaskDefinition: new(r.def)}, nil
}

// set changes a revision's status.
func (r *revision) set(now time.Time, status types.TaskDefinitionStatus) {
	r.def.Status = status
	switch status {
	case types.TaskDefinitionStatusInactive:
		r.def.DeregisteredAt = &now
	case types.TaskDefinitionStatusDeleteInProgress:
		r.def.DeleteRequestedAt = &now
	}
	r.history.Put(now, r.def)
}

func (e *API) deleteTaskDefinitions(_ *wire.Call, in *ecs.DeleteTaskDefinitionsInput) (*ecs.DeleteTaskDefinitionsOutput, error) {
	if n := len(in.TaskDefinitions); n == 0 || n > 10 {
		return nil, wire.Errf("InvalidParameterException", "Task definitions must be between 1 and 10.")
	}
	out := &ecs.DeleteTaskDefinitionsOutput{TaskDefinitions: []types.TaskDefinition{}, Failures: []types.Failure{}}
	for _, ref := range in.TaskDefinitions {
		r, err := e.revision(ref)
		switch {
		case err != nil:
			out.Failures = append(out.Failures, types.Failure{Arn: &ref, Reason: new("The specified task definition does not exist.")})
		case r.def.Status == types.TaskDefinitionStatusActive:
			out.Failures = append(out.Failures, types.Failure{Arn: r.def.TaskDefinitionArn,
				Reason: new("The specified task definition is still in ACTIVE status. Please deregister the target and try again.")})
		default:
			r.set(e.k.Now, types.TaskDefinitionStatusDeleteInProgress)
			out.TaskDefinitions = append(out.TaskDefinitions, r.def)
		}
	}
	return out, nil
}
