package values

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// AWS IAM, after https://docs.aws.amazon.com/IAM/latest/APIReference/: the roles that a topology names, and what a
// simulation of permissions answers by its policies and the world's faults. No call is refused for want of a policy.

// Roles is IAM.
type Roles struct {
	Service *wire.Service

	k      *kernel.Kernel
	denied func(action string) bool
	// Policies are those of whoever asks for a simulation; nil: everything is allowed.
	policies []Policy
	roles    *wire.Table[types.Role]
}

// NewRoles returns an IAM without a role. denied says what a simulation of a policy answers.
func NewRoles(k *kernel.Kernel, denied func(action string) bool) *Roles {
	r := &Roles{k: k, denied: denied, roles: &wire.Table[types.Role]{
		Rows: map[string]*types.Role{},
		Missing: func(id string) *wire.Error {
			return &wire.Error{Code: "NoSuchEntity", Message: fmt.Sprintf("The role with name %s cannot be found.", id), Status: 404}
		},
	}}
	s := &wire.Service{
		Name: "iam", Protocol: wire.Query, Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Global: true,
		State: func() any { return r.roles.Names() },
	}
	r.Service = s
	wire.Get(s, "GetRole", r.roles, func(in *iam.GetRoleInput) *string { return in.RoleName },
		func(_ *wire.Call, role *types.Role, _ *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
			return &iam.GetRoleOutput{Role: role}, nil
		})
	wire.Handle(s, "SimulatePrincipalPolicy", r.simulatePrincipalPolicy)
	return r
}

// Attach attaches policies to everybody, for simulations.
func (r *Roles) Attach(policies []Policy) error {
	for _, p := range policies {
		if err := p.check(); err != nil {
			return err
		}
	}
	r.policies = policies
	return nil
}

// Build makes roles.
func (r *Roles) Build(names []string) error {
	for _, n := range names {
		if n == "" || strings.Contains(n, "/") {
			return fmt.Errorf("role %q: a role is named without its path and ARN", n)
		}
		r.roles.Rows[n] = &types.Role{
			RoleName: aws.String(n), Path: aws.String("/"), Arn: aws.String(r.arn(n)),
			RoleId:             aws.String("AROA" + strings.ToUpper(r.k.NewID("role")[:17])),
			CreateDate:         aws.Time(r.k.Start.Add(-365 * 24 * time.Hour)),
			MaxSessionDuration: aws.Int32(3600),
			AssumeRolePolicyDocument: aws.String("%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22" +
				"%2C%22Principal%22%3A%7B%22Service%22%3A%22ecs-tasks.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D"),
		}
	}
	return nil
}

func (r *Roles) arn(name string) string {
	return fmt.Sprintf("arn:aws:iam::%s:role/%s", r.k.Account, name)
}

// RoleExists implements ecs.RoleSource. A name counts as well as an ARN, as in a task definition.
func (r *Roles) RoleExists(arn string) bool {
	name, isARN := strings.CutPrefix(arn, r.arn(""))
	if !isARN && strings.HasPrefix(arn, "arn:") {
		return false
	}
	return r.roles.Rows[name[strings.LastIndex(name, "/")+1:]] != nil
}

// simulatePrincipalPolicy allows what the policies do and no fault denies.
func (r *Roles) simulatePrincipalPolicy(c *wire.Call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	if len(in.ActionNames) == 0 {
		return nil, wire.Errf("ValidationError", "1 validation error detected: Value null at 'actionNames' failed to satisfy constraint: Member must not be null")
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	out := &iam.SimulatePrincipalPolicyOutput{}
	for _, action := range in.ActionNames {
		for _, resource := range resources {
			decision := types.PolicyEvaluationDecisionTypeAllowed
			if r.policies != nil {
				decision = decide(r.policies, action, resource, in.ContextEntries)
			}
			if r.denied(action) {
				decision = types.PolicyEvaluationDecisionTypeImplicitDeny
			}
			out.EvaluationResults = append(out.EvaluationResults, types.EvaluationResult{
				EvalActionName: aws.String(action), EvalResourceName: aws.String(resource), EvalDecision: decision,
			})
		}
	}
	return out, nil
}
