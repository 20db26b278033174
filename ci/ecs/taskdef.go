package ecs

import (
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Registration turns a described task definition into what registers the same
// one again. Left out is only what ECS itself writes: ARN, revision, status,
// compatibilities, required attributes, and who registered or deregistered it
// when. Describe with Include TAGS, or the tags are lost. The result shares no
// memory with its source.
func Registration(out *awsecs.DescribeTaskDefinitionOutput) (*awsecs.RegisterTaskDefinitionInput, error) {
	if out == nil || out.TaskDefinition == nil {
		return nil, fmt.Errorf("no task definition in the answer to DescribeTaskDefinition")
	}
	td := out.TaskDefinition
	in := &awsecs.RegisterTaskDefinitionInput{
		ContainerDefinitions:    td.ContainerDefinitions,
		Cpu:                     td.Cpu,
		EnableFaultInjection:    td.EnableFaultInjection,
		EphemeralStorage:        td.EphemeralStorage,
		ExecutionRoleArn:        td.ExecutionRoleArn,
		Family:                  td.Family,
		IpcMode:                 td.IpcMode,
		Memory:                  td.Memory,
		NetworkMode:             td.NetworkMode,
		PidMode:                 td.PidMode,
		PlacementConstraints:    td.PlacementConstraints,
		ProxyConfiguration:      td.ProxyConfiguration,
		RequiresCompatibilities: td.RequiresCompatibilities,
		RuntimePlatform:         td.RuntimePlatform,
		TaskRoleArn:             td.TaskRoleArn,
		Volumes:                 td.Volumes,
	}
	//lint:ignore SA1019 a task definition from before its end must keep it
	in.InferenceAccelerators = td.InferenceAccelerators
	// RegisterTaskDefinition refuses an empty list of tags.
	if len(out.Tags) > 0 {
		in.Tags = out.Tags
	}
	return clone(in), nil
}

// clone copies a value of the SDK's types deeply, keeping nil apart from empty.
func clone[T any](in T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	cloneValue(out, reflect.ValueOf(&in).Elem())
	return out.Interface().(T)
}

func cloneValue(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			cloneValue(dst.Elem(), src.Elem())
		}
	case reflect.Interface:
		if !src.IsNil() {
			e := reflect.New(src.Elem().Type()).Elem()
			cloneValue(e, src.Elem())
			dst.Set(e)
		}
	case reflect.Slice:
		if !src.IsNil() {
			dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
			for i := range src.Len() {
				cloneValue(dst.Index(i), src.Index(i))
			}
		}
	case reflect.Map:
		if !src.IsNil() {
			dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
			for _, k := range src.MapKeys() {
				e := reflect.New(src.Type().Elem()).Elem()
				cloneValue(e, src.MapIndex(k))
				dst.SetMapIndex(k, e)
			}
		}
	case reflect.Struct:
		dst.Set(src) // what is not exported (a time's inside) as well
		for i := range src.NumField() {
			if src.Type().Field(i).IsExported() {
				dst.Field(i).SetZero()
				cloneValue(dst.Field(i), src.Field(i))
			}
		}
	default:
		dst.Set(src)
	}
}

// Tag returns the value of a tag, or "".
func Tag(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// Essential names the containers whose end stops the task. A container is
// essential unless it says otherwise.
func Essential(containers []types.ContainerDefinition) []string {
	var names []string
	for _, c := range containers {
		if c.Essential == nil || *c.Essential {
			names = append(names, aws.ToString(c.Name))
		}
	}
	return names
}

// Images lists every container's image reference that can be parsed and is of
// one of the repositories, once each, in order.
func Images(containers []types.ContainerDefinition, repositories []string) []Reference {
	var refs []Reference
	seen := map[Reference]bool{}
	for _, c := range containers {
		r, err := ParseReference(aws.ToString(c.Image))
		if err != nil || seen[r] || !r.InAny(repositories) {
			continue
		}
		seen[r] = true
		refs = append(refs, r)
	}
	return refs
}
