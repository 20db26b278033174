package awssim

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// AWS IAM, after https://docs.aws.amazon.com/IAM/latest/APIReference/: the roles that a topology names, and what the
// world's faults make a simulation of permissions answer. Policies are left out.

type iamRoles struct {
	w     *World
	roles map[string]types.Role // by name
}

func newIAM(w *World) *service {
	r := &iamRoles{w: w, roles: map[string]types.Role{}}
	w.hooks.roles = r
	s := &service{
		name: "iam", protocol: query, version: "2010-05-08", namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
		build: r.build, state: func() any { return slices.Sorted(maps.Keys(r.roles)) },
	}
	handle(s, "GetRole", r.getRole)
	handle(s, "SimulatePrincipalPolicy", r.simulatePrincipalPolicy)
	return s
}

func (r *iamRoles) build(t *Topology) error {
	for _, n := range t.Roles {
		if n == "" || strings.Contains(n, "/") {
			return fmt.Errorf("role %q: a role is named without its path and ARN", n)
		}
		r.roles[n] = types.Role{
			RoleName: aws.String(n), Path: aws.String("/"), Arn: aws.String(r.arn(n)),
			RoleId:             aws.String("AROA" + strings.ToUpper(r.w.newID("role")[:17])),
			CreateDate:         aws.Time(r.w.start.Add(-365 * 24 * time.Hour)),
			MaxSessionDuration: aws.Int32(3600),
			AssumeRolePolicyDocument: aws.String("%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22" +
				"%2C%22Principal%22%3A%7B%22Service%22%3A%22ecs-tasks.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D"),
		}
	}
	return nil
}

func (r *iamRoles) arn(name string) string {
	return fmt.Sprintf("arn:aws:iam::%s:role/%s", r.w.account, name)
}

// roleExists implements roleSource. A name counts as well as an ARN, as in a task definition.
func (r *iamRoles) roleExists(arn string) bool {
	name, isARN := strings.CutPrefix(arn, r.arn(""))
	if !isARN && strings.HasPrefix(arn, "arn:") {
		return false
	}
	_, ok := r.roles[name[strings.LastIndex(name, "/")+1:]]
	return ok
}

func (r *iamRoles) getRole(c *call, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	role, ok := r.roles[aws.ToString(in.RoleName)]
	if !ok {
		return nil, &Error{Code: "NoSuchEntity", Message: fmt.Sprintf("The role with name %s cannot be found.", aws.ToString(in.RoleName)), Status: 404}
	}
	return &iam.GetRoleOutput{Role: &role}, nil
}

// simulatePrincipalPolicy allows what no fault denies.
func (r *iamRoles) simulatePrincipalPolicy(c *call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	if len(in.ActionNames) == 0 {
		return nil, errf("ValidationError", "1 validation error detected: Value null at 'actionNames' failed to satisfy constraint: Member must not be null")
	}
	resources := in.ResourceArns
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	out := &iam.SimulatePrincipalPolicyOutput{}
	for _, action := range in.ActionNames {
		decision := types.PolicyEvaluationDecisionTypeAllowed
		for _, f := range r.w.faults {
			if match, _ := path.Match(f.Op, action); f.Kind == Denied && match { // AddFault has checked the pattern
				decision = types.PolicyEvaluationDecisionTypeImplicitDeny
			}
		}
		for _, resource := range resources {
			out.EvaluationResults = append(out.EvaluationResults, types.EvaluationResult{
				EvalActionName: aws.String(action), EvalResourceName: aws.String(resource), EvalDecision: decision,
			})
		}
	}
	return out, nil
}
