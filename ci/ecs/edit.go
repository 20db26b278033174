package ecs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Edits is everything that a release changes in a task definition. The zero
// value changes nothing.
type Edits struct {
	Images  []Move
	Env     []Variable
	Secrets []Variable // Value is the ARN (or SSM parameter name) to read it from
	Unset   []Variable // Value is not used
	// Plaintext lets a value of Env take the place of a secret. Whoever may read
	// a task definition reads it there.
	Plaintext bool
	CPU       string // of the task: "1024" units, or "1 vCPU"
	Memory    string // of the task: "2048" MiB, or "2 GB"
	Tags      map[string]string
}

// Variable is one environment variable of one container. Without a container
// it is meant for every container that runs an image of the repositories given
// to Apply.
type Variable struct {
	Container string
	Name      string
	Value     string
}

var (
	containerPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	variablePattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	sizePattern      = regexp.MustCompile(`^(?:[1-9][0-9]*|[0-9]*\.?[0-9]+ ?(?:vCPU|vcpu|GB|gb))$`)
)

// ParseVariable reads NAME=VALUE or CONTAINER/NAME=VALUE.
func ParseVariable(s string) (Variable, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return Variable{}, fmt.Errorf("%q has no value: write NAME=VALUE or CONTAINER/NAME=VALUE", name)
	}
	v, err := ParseName(name)
	v.Value = value
	return v, err
}

// ParseName reads NAME or CONTAINER/NAME.
func ParseName(s string) (Variable, error) {
	var v Variable
	v.Name = s
	if c, n, ok := strings.Cut(s, "/"); ok {
		v.Container, v.Name = c, n
		if !containerPattern.MatchString(c) {
			return Variable{}, fmt.Errorf("%q is not a container's name", c)
		}
	}
	if !variablePattern.MatchString(v.Name) {
		return Variable{}, fmt.Errorf("%q is not an environment variable's name", v.Name)
	}
	return v, nil
}

// Check reports contradictions and malformed values, all at once.
func (e Edits) Check() error {
	var errs []error
	seen := map[Variable]string{}
	note := func(vs []Variable, what string) {
		for _, v := range vs {
			key := Variable{Container: v.Container, Name: v.Name}
			if was, ok := seen[key]; ok {
				errs = append(errs, fmt.Errorf("%s is given twice, as %s and as %s: keep one", key, was, what))
			}
			seen[key] = what
		}
	}
	note(e.Env, "a plain value")
	note(e.Secrets, "a secret")
	note(e.Unset, "one to remove")
	for _, s := range e.Secrets {
		if s.Value == "" {
			errs = append(errs, fmt.Errorf("secret %s has no ARN to read its value from", s))
		}
	}
	if e.CPU != "" && !sizePattern.MatchString(e.CPU) {
		errs = append(errs, fmt.Errorf("task CPU %q is neither CPU units (1024) nor \"1 vCPU\"", e.CPU))
	}
	if e.Memory != "" && !sizePattern.MatchString(e.Memory) {
		errs = append(errs, fmt.Errorf("task memory %q is neither MiB (2048) nor \"2 GB\"", e.Memory))
	}
	for _, m := range e.Images {
		if _, err := ParseReference(m.Repository); err != nil {
			errs = append(errs, err)
		}
		if m.Digest != "" && !digestPattern.MatchString(m.Digest) {
			errs = append(errs, fmt.Errorf("%q is not an image digest", m.Digest))
		}
		if m.Digest == "" && !tagPattern.MatchString(m.Tag) {
			errs = append(errs, fmt.Errorf("%q cannot be an image's tag", m.Tag))
		}
	}
	return errors.Join(errs...)
}

// String names the variable, and never says its value.
func (v Variable) String() string {
	if v.Container == "" {
		return v.Name
	}
	return v.Container + "/" + v.Name
}

// moveImages moves the images of containers, and tells by container whether its image
// is one of the repositories'.
func (e Edits) moveImages(containers []types.ContainerDefinition, repositories []string) []bool {
	own := make([]bool, len(containers))
	for i := range containers {
		c := &containers[i]
		ref, err := ParseReference(aws.ToString(c.Image))
		if err != nil {
			continue
		}
		own[i] = ref.InAny(repositories)
		for _, m := range e.Images {
			if ref.In(m.Repository) {
				c.Image = aws.String(m.apply(ref).String())
				break
			}
		}
	}
	return own
}

// reach finds the containers that a variable is meant for: the one that it names, or
// all whose image is the store's own.
func (v Variable) reach(td *awsecs.RegisterTaskDefinitionInput, own []bool, repositories []string) ([]*types.ContainerDefinition, error) {
	var found []*types.ContainerDefinition
	for i := range td.ContainerDefinitions {
		c := &td.ContainerDefinitions[i]
		if v.Container == "" && own[i] || v.Container != "" && aws.ToString(c.Name) == v.Container {
			found = append(found, c)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case v.Container != "":
		return nil, fmt.Errorf("task definition %s has no container %q (it has %s)",
			aws.ToString(td.Family), v.Container, strings.Join(containerNames(td.ContainerDefinitions), ", "))
	}
	return nil, fmt.Errorf("task definition %s has no container with an image of %s: name the container, as in CONTAINER/%s",
		aws.ToString(td.Family), strings.Join(repositories, ", "), v.Name)
}

// Apply returns a changed copy. A variable that names no container reaches
// those that run an image of the repositories. Images of no Move's repository, and images that cannot be parsed,
// stay as they are, byte for byte.
func (e Edits) Apply(in *awsecs.RegisterTaskDefinitionInput, repositories []string) (*awsecs.RegisterTaskDefinitionInput, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	out := clone(in)
	own := e.moveImages(out.ContainerDefinitions, repositories)
	each := func(vs []Variable, do func(*types.ContainerDefinition, Variable)) error {
		for _, v := range vs {
			reached, err := v.reach(out, own, repositories)
			if err != nil {
				return err
			}
			for _, c := range reached {
				do(c, v)
			}
		}
		return nil
	}
	err := errors.Join(
		each(e.Unset, func(c *types.ContainerDefinition, v Variable) {
			c.Environment = without(c.Environment, envName, v.Name)
			c.Secrets = without(c.Secrets, secretName, v.Name)
		}),
		// ECS refuses a name that is both a variable and a secret, so the one
		// that is set replaces the other.
		each(e.Env, func(c *types.ContainerDefinition, v Variable) {
			c.Secrets = without(c.Secrets, secretName, v.Name)
			c.Environment = put(c.Environment, envName, types.KeyValuePair{Name: aws.String(v.Name), Value: aws.String(v.Value)})
		}),
		each(e.Secrets, func(c *types.ContainerDefinition, v Variable) {
			c.Environment = without(c.Environment, envName, v.Name)
			c.Secrets = put(c.Secrets, secretName, types.Secret{Name: aws.String(v.Name), ValueFrom: aws.String(v.Value)})
		}),
	)
	if err != nil {
		return nil, err
	}
	if e.CPU != "" {
		out.Cpu = aws.String(e.CPU)
	}
	if e.Memory != "" {
		out.Memory = aws.String(e.Memory)
	}
	keys := make([]string, 0, len(e.Tags))
	for k := range e.Tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		out.Tags = put(out.Tags, tagKey, types.Tag{Key: aws.String(k), Value: aws.String(e.Tags[k])})
	}
	return out, nil
}

// Exposed are the variables of Env whose value now comes from a secret in one of
// the containers.
func (e Edits) Exposed(containers []types.ContainerDefinition, repositories []string) []Variable {
	return slices.DeleteFunc(slices.Clone(e.Env), func(v Variable) bool {
		return !slices.ContainsFunc(containers, func(c types.ContainerDefinition) bool { return v.reaches(c, repositories) && v.secretIn(c) })
	})
}

// Absent are the variables of Unset that none of the containers has.
func (e Edits) Absent(containers []types.ContainerDefinition, repositories []string) []Variable {
	return slices.DeleteFunc(slices.Clone(e.Unset), func(v Variable) bool {
		return slices.ContainsFunc(containers, func(c types.ContainerDefinition) bool {
			return v.reaches(c, repositories) && (v.secretIn(c) || slices.ContainsFunc(c.Environment, func(p types.KeyValuePair) bool { return envName(p) == v.Name }))
		})
	})
}

// reaches reports whether an edit of the variable is one of the container.
func (v Variable) reaches(c types.ContainerDefinition, repositories []string) bool {
	if v.Container != "" {
		return aws.ToString(c.Name) == v.Container
	}
	ref, err := ParseReference(aws.ToString(c.Image))
	return err == nil && ref.InAny(repositories)
}

func (v Variable) secretIn(c types.ContainerDefinition) bool {
	return slices.ContainsFunc(c.Secrets, func(s types.Secret) bool { return secretName(s) == v.Name })
}

func envName(p types.KeyValuePair) string { return aws.ToString(p.Name) }
func secretName(s types.Secret) string    { return aws.ToString(s.Name) }
func tagKey(t types.Tag) string           { return aws.ToString(t.Key) }

func containerNames(cs []types.ContainerDefinition) []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = aws.ToString(c.Name)
	}
	return names
}

// without drops the items of a name. A list that had none stays what it was,
// nil or empty.
func without[T any](list []T, name func(T) string, drop string) []T {
	var kept []T
	for _, item := range list {
		if name(item) != drop {
			kept = append(kept, item)
		}
	}
	if len(kept) == len(list) {
		return list
	}
	return kept
}

// put replaces the first item of the same name where it stands, drops further
// ones, and appends an item of a new name.
func put[T any](list []T, name func(T) string, item T) []T {
	placed := false
	kept := make([]T, 0, len(list)+1)
	for _, old := range list {
		switch {
		case name(old) != name(item):
			kept = append(kept, old)
		case !placed:
			kept = append(kept, item)
			placed = true
		}
	}
	if !placed {
		kept = append(kept, item)
	}
	return kept
}
