package release

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Variable is one environment variable of a container, as EnvList shows it.
type Variable struct {
	For       string `json:"for"` // "service web"
	Container string `json:"container"`
	Name      string `json:"name"`
	// Value is hidden where the name or the value speaks of a secret.
	Value string `json:"value"`
	// From is where a secret's value is read from; the value is never read.
	From string `json:"from,omitempty"`

	home home
}

// Text is the value as people read it.
func (v Variable) Text() string {
	if v.From == "" {
		return v.Value
	}
	return v.Value + " " + v.home.short(v.From)
}

// EnvList lists the environment of every container of the request's services
// and cron rules.
func (r *Releaser) EnvList(ctx context.Context, req Request) ([]Variable, error) {
	v := r.onlooker("env", req)
	if err := v.look(ctx); err != nil {
		return nil, err
	}
	if err := v.outcome(ctx); err != nil {
		return nil, err
	}
	out := []Variable{}
	for _, p := range v.revs {
		for _, c := range p.base.ContainerDefinitions {
			for _, one := range variablesOf(strings.Join(p.users, ", "), c) {
				one.home = v.home
				out = append(out, one)
			}
		}
	}
	return out, nil
}

// variablesOf lists a container's environment, plain values first.
func variablesOf(users string, c types.ContainerDefinition) []Variable {
	var out []Variable
	for _, e := range c.Environment {
		v := Variable{For: users, Container: aws.ToString(c.Name), Name: aws.ToString(e.Name), Value: aws.ToString(e.Value)}
		if ecs.Sensitive(v.Name, v.Value) {
			v.Value = "(hidden)"
		}
		out = append(out, v)
	}
	for _, s := range c.Secrets {
		out = append(out, Variable{For: users, Container: aws.ToString(c.Name), Name: aws.ToString(s.Name), Value: "(secret)", From: aws.ToString(s.ValueFrom)})
	}
	return out
}
