package values

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
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

func parameterARN(k *kernel.Kernel, name string) string {
	return k.ARN("ssm", "parameter/"+strings.TrimPrefix(name, "/")) // a name that is a path brings its slash along
}

func newParameters(k *kernel.Kernel) *wire.Table[parameter] {
	return &wire.Table[parameter]{
		Rows:    map[string]*parameter{},
		Aliases: func(p *parameter) []string { return []string{parameterARN(k, p.name)} },
		Missing: func(string) *wire.Error { return wire.Errf("ParameterNotFound", "") },
	}
}

func (v *Vault) newSSM() *wire.Service {
	s := &wire.Service{Name: "ssm", Target: "AmazonSSM", State: func() any { return v.parameters.Names() }}
	wire.Handle(s, "PutParameter", v.putParameter).Secret = true
	wire.Get(s, "GetParameter", v.parameters, func(in *ssm.GetParameterInput) *string { return in.Name },
		func(_ *wire.Call, p *parameter, in *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			return &ssm.GetParameterOutput{Parameter: new(v.describe(p, in.WithDecryption))}, nil
		})
	wire.Handle(s, "GetParameters", v.getParameters)
	wire.Handle(s, "DescribeParameters", v.describeParameters)
	return s
}

// BuildParameters makes parameters.
func (v *Vault) BuildParameters(c *wire.Call, specs []ParameterSpec) error {
	for _, spec := range specs {
		in := &ssm.PutParameterInput{Name: aws.String(spec.Name), Value: aws.String(spec.Value), Type: types.ParameterTypeString}
		if spec.Secure {
			in.Type = types.ParameterTypeSecureString
		}
		if _, err := v.putParameter(c, in); err != nil {
			return fmt.Errorf("parameter %s: %w", spec.Name, err)
		}
	}
	return nil
}

var parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func (v *Vault) putParameter(c *wire.Call, in *ssm.PutParameterInput) (*ssm.PutParameterOutput, error) {
	n := aws.ToString(in.Name)
	if !parameterName.MatchString(n) || len(n) > 1011 {
		return nil, wire.Errf("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	}
	if aws.ToString(in.Value) == "" {
		return nil, wire.ModelError("null", "value", "Member must have length greater than or equal to 1")
	}
	p := v.parameters.Rows[n]
	switch {
	case p != nil && !aws.ToBool(in.Overwrite):
		return nil, wire.Errf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case p == nil && in.Type == "":
		return nil, wire.Errf("ValidationException", "A parameter type is required when you create a parameter.")
	case p == nil:
		p = &parameter{name: n}
		v.parameters.Rows[n] = p
	}
	if in.Type != "" {
		p.kind = in.Type
	}
	if in.Description != nil {
		p.description = *in.Description
	}
	p.value, p.changed = *in.Value, c.Now
	p.version++
	return &ssm.PutParameterOutput{Version: p.version, Tier: types.ParameterTierStandard}, nil
}

// ciphertext stands for what only KMS can read.
func ciphertext(value string) []byte {
	sum := sha256.Sum256([]byte(value))
	return []byte("sha256:" + hex.EncodeToString(sum[:]))
}

func (v *Vault) describe(p *parameter, decrypt *bool) types.Parameter {
	value := p.value
	if p.kind == types.ParameterTypeSecureString && !aws.ToBool(decrypt) {
		value = base64.StdEncoding.EncodeToString(ciphertext(value))
	}
	return types.Parameter{
		Name: aws.String(p.name), ARN: aws.String(parameterARN(v.k, p.name)), Type: p.kind, Value: &value,
		Version: p.version, LastModifiedDate: aws.Time(p.changed), DataType: aws.String("text"),
	}
}

func (v *Vault) getParameters(c *wire.Call, in *ssm.GetParametersInput) (*ssm.GetParametersOutput, error) {
	if n := len(in.Names); n < 1 || n > 10 {
		return nil, wire.ModelError(fmt.Sprintf("%v", in.Names), "names", "Member must have length less than or equal to 10")
	}
	out := &ssm.GetParametersOutput{Parameters: []types.Parameter{}, InvalidParameters: []string{}}
	for _, n := range in.Names {
		if p, err := v.parameters.Find(&n); err == nil {
			out.Parameters = append(out.Parameters, v.describe(p, in.WithDecryption))
		} else {
			out.InvalidParameters = append(out.InvalidParameters, n)
		}
	}
	return out, nil
}

func (v *Vault) describeParameters(c *wire.Call, in *ssm.DescribeParametersInput) (*ssm.DescribeParametersOutput, error) {
	var found []types.ParameterMetadata
	for _, n := range v.parameters.Names() {
		p := v.parameters.Rows[n]
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
				Name: aws.String(n), ARN: aws.String(parameterARN(v.k, n)), Type: p.kind, Version: p.version, Description: nilIfEmpty(p.description),
				LastModifiedDate: aws.Time(p.changed), Tier: types.ParameterTierStandard, DataType: aws.String("text"),
			})
		}
	}
	page, next, err := wire.Cut(parameterPages, found, in.MaxResults, in.NextToken)
	return &ssm.DescribeParametersOutput{Parameters: page, NextToken: next}, err
}

var parameterPages = wire.Pages{
	Size: 50, Most: 50,
	BadSize: func(size int) *wire.Error {
		return wire.ModelError(size, "maxResults", "Member must have value between 1 and 50, inclusive")
	},
	BadToken: wire.Errf("InvalidNextToken", "The specified token is not valid."),
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
		return false, wire.Errf("InvalidFilterKey", "awssim filters parameters by Name and Type, not by %s", key)
	}
	test := func(want string) bool { return have == want }
	switch option := aws.ToString(f.Option); option {
	case "", "Equals":
	case "BeginsWith":
		test = func(want string) bool { return strings.HasPrefix(have, want) }
	case "Contains":
		test = func(want string) bool { return strings.Contains(have, want) }
	default:
		return false, wire.Errf("InvalidFilterOption", "The filter option that was specified is not valid: %s", option)
	}
	return slices.ContainsFunc(f.Values, test), nil
}
