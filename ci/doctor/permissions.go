package doctor

import (
	"context"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

//go:embed pipeline.json
var pipelineJSON []byte

// pipeline is what a set-up is compared with.
var pipeline = func() (known struct {
	Engine   string `json:"engine"`
	Policies map[string][]struct{ Action, Resource []string }
}) {
	if err := json.Unmarshal(pipelineJSON, &known); err != nil {
		panic(err) // a mistake in this program
	}
	return known
}()

// job is what somebody is let do by one of the policies of docs/iam.
type job struct {
	policy, verbs string
	needs         []string // calls without which none of its verbs does anything
	optional      []string // calls whose verbs go on without them
}

// jobs lists them. Credentials that allow none of a job's needs are not meant for it.
var jobs = []job{
	{"read", "status, history, verify, diff, logs, wait, env list", []string{"ecs:DescribeClusters"},
		[]string{"iam:GetRole", "logs:DescribeLogGroups", "secretsmanager:DescribeSecret", "ssm:GetParameters", "elasticloadbalancing:DescribeTargetGroups", "sts:GetCallerIdentity"}},
	{"push", "get-ecr, push", []string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}, nil},
	{"release", "deploy, rollback, install, run, scale, env set", []string{"ecs:UpdateService", "ecs:RegisterTaskDefinition", "ecs:RunTask"},
		[]string{"secretsmanager:GetSecretValue"}},
	{"cleanup", "cleanup", []string{"ecr:BatchDeleteImage"}, nil},
}

// permissions has IAM simulate the verbs' calls.
func permissions(ctx context.Context, v *visit) {
	who, why := v.principal(ctx)
	if why != "" {
		v.warn(v.caller, "use a role or a user with the policies of docs/iam", "IAM was not asked what is allowed: %s", why)
		return
	}
	allowed, err := v.simulate(ctx, who)
	switch {
	case ecs.Denied(err):
		v.warn(v.caller, "allow iam:SimulatePrincipalPolicy to have it asked (docs/iam/doctor.json)", "IAM was not asked what is allowed, since that is not allowed")
		return
	case err != nil:
		v.warn(v.caller, "run 'mck verify' to see what is missing for a release", "IAM cannot say what is allowed: %s", say(err))
		return
	}
	optional := map[string]bool{}
	for _, j := range jobs {
		for _, call := range j.optional {
			optional[call] = true
		}
	}
	for _, j := range jobs {
		v.judge(j, allowed[j.policy], optional)
	}
}

// judge says what a job may not call. What was not asked about is in no answer.
func (v *visit) judge(j job, allowed, optional map[string]bool) {
	subject := j.policy + ": " + j.verbs
	var lacks []string
	fails, asked, meant := false, false, false
	for _, call := range j.needs {
		yes, ok := allowed[call]
		asked, meant = asked || ok, meant || yes
	}
	if !asked {
		v.warn(subject, "name the cluster and its services, which the policies are about", "IAM was not asked whether it is allowed")
		return
	}
	for _, call := range j.calls() {
		if yes, ok := allowed[call]; ok && !yes {
			lacks = append(lacks, call)
			fails = fails || !optional[call]
		}
	}
	fix := "attach docs/iam/" + j.policy + ".json to " + v.caller
	switch {
	case lacks == nil:
		v.ok(subject, "allowed")
	case !meant:
		v.warn(subject, fix+", if it is to do this", "not allowed")
	case fails:
		v.err(subject, fix, "would fail on the way: not allowed are %s", strings.Join(lacks, ", "))
	default:
		v.warn(subject, fix, "allowed, with less looked at: not allowed are %s", strings.Join(lacks, ", "))
	}
}

// calls are a job's, sorted.
func (j job) calls() []string {
	var all []string
	for _, s := range pipeline.Policies[j.policy] {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// principal is the ARN that IAM knows the caller by, or why it knows none. A role's session is its role's.
func (v *visit) principal(ctx context.Context) (who, why string) {
	a, err := arn.Parse(v.caller)
	switch {
	case err != nil:
		return "", "who calls is not known"
	case a.Resource == "root":
		return "", "the account's root user may do everything, and should release nothing"
	case a.Service == "iam":
		return v.caller, ""
	}
	parts := strings.Split(a.Resource, "/")
	const session = 3 // assumed-role/NAME/SESSION
	if parts[0] != "assumed-role" || len(parts) != session {
		return "", "it knows no policies of " + a.Resource
	}
	out, err := iam.NewFromConfig(v.AWS).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(parts[1])})
	if err == nil && out.Role != nil { // with its path
		return aws.ToString(out.Role.Arn), ""
	}
	a.Service, a.Resource = "iam", "role/"+parts[1]
	return a.String(), ""
}

// question is what calls are simulated on together.
type question struct{ resources, service string }

// simulate returns which calls of each job are allowed, by its policy's name. A call may be allowed to one job and not to
// another, which makes it on other resources.
func (v *visit) simulate(ctx context.Context, who string) (map[string]map[string]bool, error) {
	calls := map[question][]string{}
	of := map[string]map[string][]question{} // by job and call
	for _, j := range jobs {
		of[j.policy] = map[string][]question{}
		for _, s := range pipeline.Policies[j.policy] {
			for _, call := range s.Action {
				for _, q := range v.questions(ctx, call, s.Resource) {
					of[j.policy][call] = append(of[j.policy][call], q)
					if !slices.Contains(calls[q], call) {
						calls[q] = append(calls[q], call)
					}
				}
			}
		}
	}
	refused := map[question][]string{}
	order := func(a, b question) int { return strings.Compare(a.resources+a.service, b.resources+b.service) }
	for _, q := range slices.SortedFunc(maps.Keys(calls), order) {
		var err error
		if refused[q], err = v.refused(ctx, who, q, calls[q]); err != nil {
			return nil, err
		}
	}
	allowed := map[string]map[string]bool{}
	for policy, made := range of {
		allowed[policy] = map[string]bool{}
		for call, questions := range made {
			allowed[policy][call] = !slices.ContainsFunc(questions, func(q question) bool { return slices.Contains(refused[q], call) })
		}
	}
	return allowed, nil
}

// refused asks IAM about calls, and returns those that are not allowed on every resource.
func (v *visit) refused(ctx context.Context, who string, q question, calls []string) (list []string, err error) {
	in := iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(who), ActionNames: calls, ResourceArns: strings.Split(q.resources, "\n"), ContextEntries: v.context(q.service),
	}
	for p := iam.NewSimulatePrincipalPolicyPaginator(iam.NewFromConfig(v.AWS), &in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.EvaluationResults {
			yes := r.EvalDecision == types.PolicyEvaluationDecisionTypeAllowed
			for _, one := range r.ResourceSpecificResults {
				yes = yes && one.EvalResourceDecision == types.PolicyEvaluationDecisionTypeAllowed
			}
			if !yes {
				list = append(list, aws.ToString(r.EvalActionName))
			}
		}
	}
	return list, nil
}

// context is what the conditions of docs/iam compare.
func (v *visit) context(service string) []types.ContextEntry {
	entry := func(key, value string) types.ContextEntry {
		return types.ContextEntry{ContextKeyName: aws.String(key), ContextKeyValues: []string{value}, ContextKeyType: types.ContextKeyTypeEnumString}
	}
	list := []types.ContextEntry{entry("ecs:cluster", v.fill("arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER"))}
	if service != "" {
		list = append(list, entry("iam:PassedToService", service))
	}
	return list
}

// questions are what to ask about a call that a statement allows on some resources: about those there are, where they are
// known, and about one of that kind otherwise.
func (v *visit) questions(ctx context.Context, call string, allowed []string) []question {
	x := v.examine(ctx)
	if call == "iam:PassRole" {
		var own []string
		for _, role := range v.subjects("role ") {
			if !slices.Contains(x.CronRoles, role) {
				own = append(own, role)
			}
		}
		starter := "events.amazonaws.com"
		if len(v.Request.CronRules) == 0 {
			starter = "scheduler.amazonaws.com"
		}
		return slices.Concat(ask(own, "ecs-tasks.amazonaws.com"), ask(x.CronRoles, starter))
	}
	var resources []string
	for _, pattern := range allowed {
		if pattern == "*" {
			pattern = narrower[call]
		}
		if kind := kinds[call]; kind != "" && !strings.Contains(pattern, ":"+kind+"/") {
			continue
		}
		if service, _, _ := strings.Cut(call, ":"); pattern != "" && !strings.HasPrefix(pattern, "arn:aws:"+service+":") {
			continue // a statement may be about two services
		}
		resources = append(resources, v.resources(pattern, x.Definitions)...)
	}
	slices.Sort(resources)
	resources = slices.Compact(resources)
	if resources == nil && slices.Contains(allowed, "*") {
		resources = []string{"*"}
	}
	return ask(resources, "")
}

// ask is a question about some resources; none about none.
func ask(resources []string, service string) []question {
	if len(resources) == 0 {
		return nil
	}
	return []question{{strings.Join(resources, "\n"), service}}
}

// kinds are the resources of calls whose statement is about several kinds.
var kinds = map[string]string{
	"ecs:DescribeServices": "service", "ecs:UpdateService": "service", "ecs:ListServiceDeployments": "service",
	"ecs:DescribeServiceDeployments": "service-deployment", "ecs:StopServiceDeployment": "service-deployment", "ecs:ContinueServiceDeployment": "service-deployment",
	"ecs:DescribeServiceRevisions": "service-revision",
}

// narrower are the resources of calls that docs/iam allows on all, and somebody else's policy may not.
var narrower = map[string]string{
	"ecs:RunTask": "arn:aws:ecs:REGION:ACCOUNT:task-definition/*", "ecs:StopTask": "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/*",
	"ecs:DescribeTasks": "arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/*", "logs:GetLogEvents": "arn:aws:logs:REGION:ACCOUNT:log-group:*",
}

// resources are those of a policy's pattern, by its end.
func (v *visit) resources(pattern string, definitions []string) []string { //nolint:cyclop // a kind of resource a case
	var names []string
	begin := strings.TrimSuffix(pattern, "*")
	add := func(end string, list []string) {
		for _, n := range list {
			names = append(names, v.fill(begin+n+end))
		}
	}
	switch {
	case pattern == "":
	case strings.HasSuffix(pattern, "_ROLE"): // one pattern for all of them
		return v.subjects("role ")
	case strings.HasSuffix(pattern, ":service/CLUSTER/*"):
		add("", v.Request.Services)
	case strings.HasSuffix(pattern, ":task/CLUSTER/*"):
		add("", []string{"0"})
	case strings.HasSuffix(pattern, "/CLUSTER/*"): // a service's deployments and revisions
		add("/0", v.Request.Services)
	case strings.HasSuffix(pattern, ":task-definition/*"):
		return definitions
	case strings.HasSuffix(pattern, ":repository/magecloudkit/*"):
		begin = strings.TrimSuffix(begin, "magecloudkit/")
		add("", v.Repositories)
	case strings.HasSuffix(pattern, ":rule/*"):
		add("", v.Request.CronRules)
	case strings.HasSuffix(pattern, ":schedule/*"):
		for _, s := range v.Request.Schedules {
			if !strings.Contains(s, "/") {
				s = "default/" + s
			}
			add("", []string{s})
		}
	case strings.HasSuffix(pattern, ":log-group:*"):
		add(":log-stream:0", v.subjects("log group "))
	case strings.HasSuffix(pattern, ":secret:*"):
		return v.subjects("secret ")
	case strings.HasSuffix(pattern, ":parameter/*"):
		for _, p := range v.subjects("parameter ") {
			if arn.IsARN(p) {
				names = append(names, p)
				continue
			}
			add("", []string{strings.TrimPrefix(p, "/")})
		}
	case v.Request.Cluster != "":
		return []string{v.fill(pattern)}
	}
	return names
}

// subjects are what the findings call things of one kind, without its word.
func (v *visit) subjects(kind string) []string {
	var names []string
	for _, s := range v.examined.Subjects {
		if n, ok := strings.CutPrefix(s, kind); ok {
			names = append(names, n)
		}
	}
	return names
}

// fill puts this set-up's names into a pattern of docs/iam.
func (v *visit) fill(pattern string) string {
	partition := "aws"
	if a, err := arn.Parse(v.caller); err == nil {
		partition = a.Partition
	}
	return strings.NewReplacer("arn:aws:", "arn:"+partition+":", "REGION", v.AWS.Region, "ACCOUNT", v.account,
		"CLUSTER", ecs.LastPart(v.Request.Cluster)).Replace(pattern)
}
