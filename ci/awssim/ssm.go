package awssim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// AWS Systems Manager's Parameter Store, after https://docs.aws.amazon.com/systems-manager/latest/APIReference/. Left
// out: labels and versions but the newest, policies, tiers, and every other part of Systems Manager.

type parameter struct {
	name, value, description string
	kind                     types.ParameterType
	version                  int64
	changed                  time.Time
}

// ParameterSpec is a parameter that exists when the world starts.
type ParameterSpec struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secure bool   `json:"secure,omitempty"`
}

// newSSM must come after newSecrets, which makes the vault.
func newSSM(w *World) *service {
	v := w.hooks.secrets.(*vault)
	s := &service{name: "ssm", target: "AmazonSSM", build: v.buildParameters, state: func() any { return slices.Sorted(maps.Keys(v.parameters)) }}
	handle(s, "PutParameter", v.putParameter).secret = true
	handle(s, "GetParameter", v.getParameter)
	handle(s, "GetParameters", v.getParameters)
	handle(s, "DescribeParameters", v.describeParameters)
	return s
}

func (v *vault) buildParameters(t *Topology) error {
	for _, spec := range t.Parameters {
		in := &ssm.PutParameterInput{Name: aws.String(spec.Name), Value: aws.String(spec.Value), Type: types.ParameterTypeString}
		if spec.Secure {
			in.Type = types.ParameterTypeSecureString
		}
		if _, err := v.putParameter(&call{w: v.w}, in); err != nil {
			return fmt.Errorf("parameter %s: %w", spec.Name, err)
		}
	}
	return nil
}

var parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func (v *vault) putParameter(c *call, in *ssm.PutParameterInput) (*ssm.PutParameterOutput, error) {
	n := aws.ToString(in.Name)
	if !parameterName.MatchString(n) || len(n) > 1011 {
		return nil, errf("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	}
	if aws.ToString(in.Value) == "" {
		return nil, modelError("null", "value", "Member must have length greater than or equal to 1")
	}
	p := v.parameters[n]
	switch {
	case p != nil && !aws.ToBool(in.Overwrite):
		return nil, errf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case p == nil && in.Type == "":
		return nil, errf("ValidationException", "A parameter type is required when you create a parameter.")
	case p == nil:
		p = &parameter{name: n}
		v.parameters[n] = p
	}
	if in.Type != "" {
		p.kind = in.Type
	}
	if in.Description != nil {
		p.description = *in.Description
	}
	p.value, p.changed = *in.Value, c.now()
	p.version++
	return &ssm.PutParameterOutput{Version: p.version, Tier: types.ParameterTierStandard}, nil
}

// parameterARN is the ARN of a parameter: a name that is a path brings its slash along.
func (v *vault) parameterARN(name string) string {
	return v.w.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/"))
}

// parameter finds a parameter by its name or ARN.
func (v *vault) parameter(id string) (*parameter, error) {
	for _, p := range v.parameters {
		if id == p.name || id == v.parameterARN(p.name) {
			return p, nil
		}
	}
	return nil, errf("ParameterNotFound", "")
}

func (v *vault) describe(p *parameter, decrypt *bool) types.Parameter {
	value := p.value
	if p.kind == types.ParameterTypeSecureString && !aws.ToBool(decrypt) {
		value = base64.StdEncoding.EncodeToString([]byte(digestOf([]byte(value)))) // it stands for the ciphertext
	}
	return types.Parameter{
		Name: aws.String(p.name), ARN: aws.String(v.parameterARN(p.name)), Type: p.kind, Value: &value,
		Version: p.version, LastModifiedDate: aws.Time(p.changed), DataType: aws.String("text"),
	}
}

func (v *vault) getParameter(c *call, in *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
	p, err := v.parameter(aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	d := v.describe(p, in.WithDecryption)
	return &ssm.GetParameterOutput{Parameter: &d}, nil
}

func (v *vault) getParameters(c *call, in *ssm.GetParametersInput) (*ssm.GetParametersOutput, error) {
	if n := len(in.Names); n < 1 || n > 10 {
		return nil, modelError(fmt.Sprintf("%v", in.Names), "names", "Member must have length less than or equal to 10")
	}
	out := &ssm.GetParametersOutput{Parameters: []types.Parameter{}, InvalidParameters: []string{}}
	for _, n := range in.Names {
		if p, err := v.parameter(n); err == nil {
			out.Parameters = append(out.Parameters, v.describe(p, in.WithDecryption))
		} else {
			out.InvalidParameters = append(out.InvalidParameters, n)
		}
	}
	return out, nil
}

func (v *vault) describeParameters(c *call, in *ssm.DescribeParametersInput) (*ssm.DescribeParametersOutput, error) {
	var found []types.ParameterMetadata
	for _, n := range slices.Sorted(maps.Keys(v.parameters)) {
		p := v.parameters[n]
		keep := true
		for _, f := range in.ParameterFilters {
			match, err := p.matches(f)
			if err != nil {
				return nil, err
			}
			keep = keep && match
		}
		for _, f := range in.Filters { // the older form: values that a name begins with
			match, err := p.matches(types.ParameterStringFilter{Key: aws.String(string(f.Key)), Option: aws.String("BeginsWith"), Values: f.Values})
			if err != nil {
				return nil, err
			}
			keep = keep && match
		}
		if keep {
			found = append(found, types.ParameterMetadata{
				Name: aws.String(n), ARN: aws.String(v.parameterARN(n)), Type: p.kind, Version: p.version, Description: nilIfEmpty(p.description),
				LastModifiedDate: aws.Time(p.changed), Tier: types.ParameterTierStandard, DataType: aws.String("text"),
			})
		}
	}
	size := 50
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	if size < 1 || size > 50 {
		return nil, modelError(size, "maxResults", "Member must have value between 1 and 50, inclusive")
	}
	page, next, ok := cutPage(found, size, in.NextToken)
	if !ok {
		return nil, errf("InvalidNextToken", "The specified token is not valid.")
	}
	return &ssm.DescribeParametersOutput{Parameters: page, NextToken: next}, nil
}

// matches says whether a parameter passes a filter.
func (p *parameter) matches(f types.ParameterStringFilter) (bool, error) {
	have := ""
	switch key := aws.ToString(f.Key); key {
	case "Name":
		have = p.name
	case "Type":
		have = string(p.kind)
	default:
		return false, errf("InvalidFilterKey", "awssim filters parameters by Name and Type, not by %s", key)
	}
	test := func(want string) bool { return have == want }
	switch option := aws.ToString(f.Option); option {
	case "", "Equals":
	case "BeginsWith":
		test = func(want string) bool { return strings.HasPrefix(have, want) }
	case "Contains":
		test = func(want string) bool { return strings.Contains(have, want) }
	default:
		return false, errf("InvalidFilterOption", "The filter option that was specified is not valid: %s", option)
	}
	return slices.ContainsFunc(f.Values, test), nil
}
