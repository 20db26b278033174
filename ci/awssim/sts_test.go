package awssim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

const role = "arn:aws:iam::111111111111:role/magento-task"

// jwt makes a token without a signature.
func jwt(expires time.Time) string {
	claims := fmt.Sprintf(`{"sub":"org/1/project/2","iss":"https://oidc.circleci.com/org/1","aud":"1","exp":%d}`, expires.Unix())
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
}

// The keys of a role's session are good for its time, and no longer.
func TestAssumedRoleExpires(t *testing.T) {
	r := start(t, awssim.Config{})
	api := sts.NewFromConfig(r.w.ClientConfig())
	out, err := api.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("job-7"), WebIdentityToken: aws.String(jwt(r.clock.Now().Add(time.Hour))), DurationSeconds: aws.Int32(900),
	})
	r.must(err)
	if *out.SubjectFromWebIdentityToken != "org/1/project/2" || !out.Credentials.Expiration.Equal(r.clock.Now().Add(15*time.Minute)) {
		t.Errorf("%+v", out)
	}
	cfg := r.w.ClientConfig()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	r.must(err)
	if *who.Arn != "arn:aws:sts::111111111111:assumed-role/magento-task/job-7" {
		t.Errorf("the caller is %s", *who.Arn)
	}
	r.clock.Advance(15 * time.Minute)
	_, err = ecs.NewFromConfig(cfg).ListClusters(t.Context(), &ecs.ListClustersInput{})
	wantCode(t, err, "ExpiredTokenException")
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantCode(t, err, "ExpiredToken")
}

func TestSTSErrors(t *testing.T) {
	r := start(t, awssim.Config{})
	api := sts.NewFromConfig(r.w.ClientConfig())
	web := func(role, session, token string) error {
		_, err := api.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: &session, WebIdentityToken: &token})
		return err
	}
	good := jwt(r.clock.Now().Add(time.Hour))
	for name, tt := range map[string]struct {
		err  error
		code string
	}{
		"token that has ended":    {web(role, "job", jwt(r.clock.Now())), "ExpiredTokenException"},
		"token that is none":      {web(role, "job", "hunter2"), "InvalidIdentityToken"},
		"no such role":            {web("arn:aws:iam::111111111111:role/gone", "job", good), "AccessDenied"},
		"role of another account": {web("arn:aws:iam::222222222222:role/magento-task", "job", good), "AccessDenied"},
		"name that is none":       {web(role, "a job", good), "ValidationError"},
		"no such role to assume": {second(api.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::111111111111:role/gone"), RoleSessionName: aws.String("job")})), "AccessDenied"},
		"session of a minute": {second(api.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: aws.String(role), RoleSessionName: aws.String("job"), DurationSeconds: aws.Int32(60)})), "ValidationError"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tt.err, tt.code) })
	}
	// The token is in no record.
	for _, c := range r.w.Calls() {
		if c.Op == "sts:AssumeRoleWithWebIdentity" && c.Input != nil {
			t.Errorf("recorded: %s", c.Input)
		}
	}
}

func TestIAM(t *testing.T) {
	r := start(t, awssim.Config{})
	api := iam.NewFromConfig(r.w.ClientConfig())
	out, err := api.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("magento-task")})
	r.must(err)
	if *out.Role.Arn != role {
		t.Errorf("%+v", out.Role)
	}
	_, err = api.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("gone")})
	wantCode(t, err, "NoSuchEntity")

	r.must(r.w.AddFault(awssim.Fault{Op: "ecs:Update*", Kind: awssim.Denied}))
	may, err := api.SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(role), ActionNames: []string{"ecs:UpdateService", "ecs:RunTask"},
	})
	r.must(err)
	for i, want := range []types.PolicyEvaluationDecisionType{types.PolicyEvaluationDecisionTypeImplicitDeny, types.PolicyEvaluationDecisionTypeAllowed} {
		if got := may.EvaluationResults[i]; got.EvalDecision != want {
			t.Errorf("%s: %s, want %s", *got.EvalActionName, got.EvalDecision, want)
		}
	}
}

// A simulation is answered by the policies that are attached: by action, resource and condition, and a Deny goes before an
// Allow.
func TestSimulationByPolicies(t *testing.T) {
	top := awssim.DefaultTopology()
	if err := json.Unmarshal([]byte(`[{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "ecs:*Services", "Resource": "arn:aws:ecs:*:service/production-app/*"},
		{"Effect": "Allow", "Action": ["ecs:RunTask"], "Resource": "*", "Condition": {"ArnEquals": {"ecs:cluster": "arn:cluster"}}},
		{"Effect": "Deny", "Action": "ecs:ListServices", "Resource": "*"}]}]`), &top.Policies); err != nil {
		t.Fatal(err)
	}
	r := start(t, awssim.Config{Topology: top})
	api := iam.NewFromConfig(r.w.ClientConfig())
	const web = "arn:aws:ecs:us-east-1:111111111111:service/production-app/web"
	cluster := []types.ContextEntry{{ContextKeyName: aws.String("ecs:cluster"), ContextKeyValues: []string{"arn:cluster"}, ContextKeyType: types.ContextKeyTypeEnumString}}
	for _, c := range []struct {
		action, resource string
		context          []types.ContextEntry
		want             types.PolicyEvaluationDecisionType
	}{
		{"ecs:DescribeServices", web, nil, types.PolicyEvaluationDecisionTypeAllowed},
		{"ecs:DescribeServices", "*", nil, types.PolicyEvaluationDecisionTypeImplicitDeny},
		{"ecs:UpdateService", web, nil, types.PolicyEvaluationDecisionTypeImplicitDeny},
		{"ecs:ListServices", web, nil, types.PolicyEvaluationDecisionTypeExplicitDeny},
		{"ecs:RunTask", "*", cluster, types.PolicyEvaluationDecisionTypeAllowed},
		{"ecs:RunTask", "*", nil, types.PolicyEvaluationDecisionTypeImplicitDeny},
	} {
		out, err := api.SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: aws.String(role), ActionNames: []string{c.action}, ResourceArns: []string{c.resource}, ContextEntries: c.context,
		})
		r.must(err)
		if got := out.EvaluationResults[0].EvalDecision; got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.action, c.resource, got, c.want)
		}
	}
	top.Policies[0].Statement[0].Effect = "Perhaps"
	if _, err := awssim.New(awssim.Config{Topology: top}); err == nil {
		t.Error("a policy that says perhaps is taken")
	}
}
