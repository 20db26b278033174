package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/doctor"
)

// patient is a set-up: what there is in AWS, the variables of who asks, magecloudkit.yaml, and this machine.
type patient struct {
	topology  *awssim.Topology
	faults    []awssim.Fault
	variables map[string]string
	file      string
	args      []string
	ahead     time.Duration     // of this machine's clock
	prints    map[string]string // what programs print, by their names; "!" and a reason: they fail
	machine   doctor.Machine
	composer  string // the store's composer.json
	takes     string // the user whom the store's repository lets in
}

// well is a set-up without a mistake.
func well() *patient {
	top := awssim.DefaultTopology()
	top.TargetGroups[0].Path = "/health_check.php"
	top.Schedules = []awssim.ScheduleSpec{schedule()}
	return &patient{
		topology: top,
		variables: map[string]string{
			"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIASIMULATED", "AWS_SECRET_ACCESS_KEY": "hunter2hunter2",
			"AWS_ECR_URL":        "111111111111.dkr.ecr.us-east-1.amazonaws.com",
			"MAGENTO_PUBLIC_KEY": "public", "MAGENTO_PRIVATE_KEY": "hunter2hunter2",
			"MCK_PROBE": "https://jane:hunter2@shop.example/",
		},
		file: `environments:
  production:
    cluster: production-app
    service: [production-app, production-consumers]
    cron-rule: [production-cron]
    schedule: [cron]
`,
		args:   []string{"production"},
		prints: map[string]string{"dagger": "dagger v0.21.8 (engine:v0.21.8) linux/amd64\n", "docker": "28.2.2 8000000000 4\n"},
		machine: doctor.Machine{
			Memory: 8_000_000_000, Cores: 4, Disks: []doctor.Disk{{Path: ".", Free: 50_000_000_000}},
		},
		composer: `{"name": "acme/shop", "repositories": [{"type": "composer", "url": "https://repo.magento.com/"}]}`,
		takes:    "public",
	}
}

// run is a program of the machine.
func (p *patient) run(_ context.Context, name string, args ...string) (string, error) {
	if args[0] == "ps" {
		return "engine:v0.21.8\n", nil
	}
	out, ok := p.prints[name]
	reason, fails := strings.CutPrefix(out, "!")
	switch {
	case !ok:
		return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
	case fails:
		return "", errors.New(reason)
	}
	return out, nil
}

// RoundTrip implements http.RoundTripper: it is the store's repository.
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.takes == "" {
		return nil, errors.New("no such host")
	}
	res := &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Header: http.Header{}}
	if user, _, _ := r.BasicAuth(); user == p.takes && r.URL.String() == "https://repo.magento.com/packages.json" {
		res.StatusCode = http.StatusOK
	}
	return res, nil
}

// schedule is cron as a schedule of EventBridge Scheduler.
func schedule() (s awssim.ScheduleSpec) {
	raw := `{"Name": "cron", "ScheduleExpression": "rate(1 minute)", "State": "ENABLED", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": {
		"Arn": "arn:aws:ecs:us-east-1:111111111111:cluster/production-app", "RoleArn": "arn:aws:iam::111111111111:role/ecsEventsRole",
		"EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1"}}}`
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		panic(err)
	}
	return s
}

// examine has the doctor look at a set-up.
func (p *patient) examine(t *testing.T) (code int, report doctor.Report) {
	t.Helper()
	for _, v := range os.Environ() { // the AWS SDK reads the process's own
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	if p.file != "" {
		noError(t, os.WriteFile("magecloudkit.yaml", []byte(p.file), 0o644))
	}
	if p.composer != "" {
		noError(t, os.Mkdir("magento", 0o755))
		noError(t, os.WriteFile("magento/composer.json", []byte(p.composer), 0o644))
	}
	p.machine.Run = p.run
	now := time.Now()
	world, err := awssim.New(awssim.Config{Topology: p.topology, Clock: awssim.NewVirtualClock(now)})
	noError(t, err)
	noError(t, world.AddFault(p.faults...))
	server := httptest.NewServer(world.Handler())
	defer server.Close()
	if _, ok := p.variables["AWS_ENDPOINT_URL"]; !ok {
		p.variables["AWS_ENDPOINT_URL"] = server.URL
	}
	var out, errs bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: func() time.Time { return now.Add(p.ahead) },
		lookup: func(name string) (string, bool) { v, ok := p.variables[name]; return v, ok },
		around: func() around {
			return around{variables: slices.Collect(maps.Keys(p.variables)), machine: &p.machine, web: &http.Client{Transport: p}}
		},
	}
	args := append([]string{"doctor", "--json"}, p.args...)
	code = run(t.Context(), e, args)
	if err := published.Printed(args, code, out.Bytes()); err != nil {
		t.Errorf("%v:\n%s%s", err, &out, &errs)
	}
	noError(t, json.Unmarshal(out.Bytes(), &report))
	if strings.Contains(out.String()+errs.String(), "hunter") {
		t.Errorf("a secret is shown:\n%s%s", &out, &errs)
	}
	return code, report
}

// Nothing is said of a set-up that is as it should be.
func TestDoctorFindsNothing(t *testing.T) {
	code, report := well().examine(t)
	for _, l := range report.Lines {
		if l.State != doctor.OK || l.Fix != "" {
			t.Errorf("%+v", l)
		}
	}
	if code != 0 || report.Errors+report.Warnings > 0 {
		t.Errorf("doctor = %d, %d errors, %d warnings", code, report.Errors, report.Warnings)
	}
	for _, c := range doctor.Checks() {
		if !slices.ContainsFunc(report.Lines, func(l doctor.Line) bool { return l.Name == c.Name }) {
			t.Errorf("%s says nothing", c.Name)
		}
	}
}

// Each mistake is found, by the check whose matter it is, and what to do is said.
func TestDoctorFindsMistakes(t *testing.T) {
	set := func(name, value string) func(*patient) {
		return func(p *patient) { p.variables[name] = value }
	}
	denied := func(op string) func(*patient) {
		return func(p *patient) { p.faults = append(p.faults, awssim.Fault{Op: op, Kind: awssim.Denied}) }
	}
	const warning, wrong = doctor.Warning, doctor.Error
	for _, c := range []struct {
		mistake             string
		make                func(*patient)
		state               doctor.State
		check, subject, fix string
	}{
		{"no region", func(p *patient) { delete(p.variables, "AWS_REGION") }, wrong, "settings", "AWS_REGION", "set AWS_REGION"},
		{"a zone instead of a region", set("AWS_REGION", "us-east-1a"), wrong, "settings", "AWS_REGION", "not one of its zones"},
		{"half of a key", func(p *patient) { delete(p.variables, "AWS_SECRET_ACCESS_KEY") }, wrong, "settings", "settings", "set both or neither"},
		{"id and key swapped", func(p *patient) {
			p.variables["AWS_ACCESS_KEY_ID"], p.variables["AWS_SECRET_ACCESS_KEY"] = "hunter2/hunter2", "AKIASIMULATED"
		}, wrong, "settings", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
		{"a line break after a secret", set("AWS_SECRET_ACCESS_KEY", "hunter2hunter2\n"), wrong, "settings", "AWS_SECRET_ACCESS_KEY", "line break"},
		{"quotation marks around a value", set("MCK_CLUSTER", `"production-app"`), wrong, "settings", "MCK_CLUSTER", "set it again"},
		{"a temporary key without its token", set("AWS_ACCESS_KEY_ID", "ASIASIMULATED"), wrong, "settings", "AWS_SESSION_TOKEN", "all three"},
		{"a key beside the role that is meant", set("AWS_ROLE_ARN", "arn:aws:iam::111111111111:role/magento-task"), warning, "settings", "AWS_ROLE_ARN", "unset AWS_ACCESS_KEY_ID"},
		{"a variable misspelt", set("MCK_SERVICE", "production-app"), warning, "settings", "MCK_SERVICE", "rename it to MCK_SERVICES"},
		{"a value that cannot be read", set("AWS_MAX_ATTEMPTS", "often"), wrong, "settings", "AWS_MAX_ATTEMPTS", "set AWS_MAX_ATTEMPTS"},
		{"no environment of that name", func(p *patient) { p.args = []string{"prod"} }, wrong, "settings", "settings", "mck config"},
		{"no cluster named", func(p *patient) { p.args = nil }, wrong, "settings", "MCK_CLUSTER", "mck doctor production"},
		{"a secret in magecloudkit.yaml", func(p *patient) { p.file += "    webhook-token: hunter2\n" }, wrong, "settings", "settings", "mck config"},
		{"a service's name that cannot be", set("MCK_SERVICES", "production-app,production-app"), wrong, "settings", "settings", "mck config"},

		{"a key that is deleted", func(p *patient) {
			p.faults = []awssim.Fault{{Op: "sts:*", Kind: awssim.BadKey}}
		}, wrong, "credentials", "AWS", "deleted, inactive"},
		{"a session that has ended", func(p *patient) {
			p.faults = []awssim.Fault{{Op: "sts:*", Kind: awssim.Expired}}
		}, wrong, "credentials", "AWS", "log in again"},
		{"no credentials", func(p *patient) {
			delete(p.variables, "AWS_SECRET_ACCESS_KEY")
			delete(p.variables, "AWS_ACCESS_KEY_ID")
		}, wrong, "credentials", "AWS", "AWS_ACCESS_KEY_ID"},
		{"a role that does not trust", func(p *patient) {
			delete(p.variables, "AWS_SECRET_ACCESS_KEY")
			delete(p.variables, "AWS_ACCESS_KEY_ID")
			p.variables["AWS_ROLE_ARN"], p.variables["CIRCLE_OIDC_TOKEN_V2"] = "arn:aws:iam::111111111111:role/nobody", "e30.e30.hunter"
		}, wrong, "credentials", "AWS", "trust policy"},
		{"an address where nobody is", set("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), wrong, "credentials", "AWS", "AWS_ENDPOINT_URL"},
		{"a clock that is wrong", func(p *patient) { p.ahead = -7 * time.Minute }, wrong, "clock", "this machine", "NTP"},

		{"another account's registry", set("AWS_ECR_URL", "222222222222.dkr.ecr.us-east-1.amazonaws.com"), wrong, "registry", "AWS_ECR_URL", "task definitions"},
		{"another region's registry", set("AWS_ECR_URL", "111111111111.dkr.ecr.eu-west-1.amazonaws.com"), wrong, "registry", "AWS_ECR_URL", "task definitions"},
		{"a registry with a path", set("AWS_ECR_URL", "111111111111.dkr.ecr.us-east-1.amazonaws.com/magecloudkit"), wrong, "settings", "AWS_ECR_URL", "mck get-ecr"},
		{"a repository that is missing", func(p *patient) { p.topology.Repositories = p.topology.Repositories[:1] }, wrong, "repositories", "magecloudkit/nginx", "--create"},
		{"another prefix", set("MCK_REPOSITORY_PREFIX", "shop"), wrong, "services", "service production-app", "--repository"},

		{"no such cluster", set("MCK_CLUSTER", "production"), wrong, "cluster", "cluster production", "there is production-app"},
		{"no such service", set("MCK_SERVICES", "web"), wrong, "services", "service web", "there is production-app"},
		{"a service without tasks", func(p *patient) { p.topology.Services[1].Value.DesiredCount = new(int32) }, warning, "services", "service production-consumers", ""},
		{"a health check that cannot fail", func(p *patient) { p.topology.TargetGroups[0].Path = "/health" }, warning, "services", "service production-app", "/health_check.php"},
		{"no such rule", set("MCK_CRON_RULES", "cron"), wrong, "cron", "cron rule cron", "BUS/NAME"},
		{"no such schedule", set("MCK_SCHEDULES", "nightly"), wrong, "cron", "schedule nightly", "GROUP/NAME"},
		{"a schedule of another cluster", func(p *patient) {
			*p.topology.Schedules[0].Value.Target.Arn = "arn:aws:ecs:us-east-1:111111111111:cluster/staging-app"
		}, wrong, "cron", "schedule cron", "--schedule"},
		{"no role for the tasks", func(p *patient) { p.topology.Roles = []string{"ecsTaskExecutionRole", "ecsEventsRole"} }, wrong, "roles", "role/magento-task", "create it"},
		{"no role for cron", func(p *patient) { p.topology.Roles = []string{"ecsTaskExecutionRole", "magento-task"} }, wrong, "roles", "role/ecsEventsRole", "create it"},
		{"a secret that is missing", func(p *patient) { p.topology.Secrets = nil }, wrong, "secrets", "secret:production/magento", "create it"},
		{"a key that a secret lacks", func(p *patient) { p.topology.Secrets[0].Value = `{"PASSWORD": "hunter2"}` }, wrong, "secrets", "secret:production/magento", "add the key"},
		{"a parameter that is missing", func(p *patient) { p.topology.Parameters = nil }, wrong, "secrets", "parameter/production/magento/mysql-host", "create it"},
		{"a log group that is missing", func(p *patient) { p.topology.LogGroups = p.topology.LogGroups[1:] }, wrong, "logs", "log group /ecs/production-app", "create it"},

		{"a call of push that is not allowed", denied("ecr:PutImage"), wrong, "permissions", "push", "docs/iam/push.json"},
		{"a call of deploy that is not allowed", denied("iam:PassRole"), wrong, "permissions", "release", "docs/iam/release.json"},
		{"credentials that only look", func(p *patient) {
			for _, op := range []string{"ecs:UpdateService", "ecs:RegisterTaskDefinition", "ecs:RunTask"} {
				denied(op)(p)
			}
		}, warning, "permissions", "release", "if it is to do this"},
		{"IAM that may not be asked", denied("iam:SimulatePrincipalPolicy"), warning, "permissions", "user/deployer", "docs/iam/doctor.json"},
		{"no dagger", func(p *patient) { delete(p.prints, "dagger") }, warning, "engine", "dagger", "ENGINE=host"},
		{"an older dagger", func(p *patient) { p.prints["dagger"] = "dagger v0.20.9 (engine:v0.20.9)" }, wrong, "engine", "dagger", "v0.21.8"},
		{"a newer dagger", func(p *patient) { p.prints["dagger"] = "dagger v1.0.0" }, warning, "engine", "dagger", "v0.21.8"},
		{"a Docker that is not started", func(p *patient) { p.prints["docker"] = "!Cannot connect to the Docker daemon" }, wrong, "engine", "docker", "start Docker"},
		{"no Docker", func(p *patient) { delete(p.prints, "docker") }, warning, "engine", "docker", "install Docker"},
		{"a small virtual machine of Docker's", func(p *patient) { p.prints["docker"] = "28.2.2 900000000 2" }, wrong, "engine", "docker's memory", "2 GB"},
		{"little memory", func(p *patient) { p.machine.Memory = 500_000_000 }, wrong, "machine", "memory", "2 GB"},
		{"a full disk", func(p *patient) { p.machine.Disks[0].Free = 1_000_000_000 }, wrong, "machine", "disk", "make room"},
		{"one processor", func(p *patient) { p.machine.Cores = 1 }, warning, "machine", "cores", "two"},
		{"keys that are not taken", func(p *patient) { p.takes = "another" }, wrong, "composer", "repo.magento.com", "copy the keys again"},
		{"no keys", func(p *patient) {
			delete(p.variables, "MAGENTO_PUBLIC_KEY")
			delete(p.variables, "MAGENTO_PRIVATE_KEY")
		}, wrong, "composer", "repo.magento.com", "MAGENTO_PUBLIC_KEY"},
		{"half of the keys", func(p *patient) { delete(p.variables, "MAGENTO_PRIVATE_KEY") }, wrong, "composer", "credentials", "MAGENTO_PRIVATE_KEY"},
		{"keys without encryption", func(p *patient) { p.composer = strings.Replace(p.composer, "https", "http", 1) }, wrong, "composer", "repo.magento.com", "https://"},
		{"a repository out of reach", func(p *patient) { p.takes = "" }, warning, "composer", "repo.magento.com", "proxy"},
		{"no store", func(p *patient) { p.composer = "" }, warning, "composer", "magento", "--source"},
		{"repositories that may not be looked at", denied("ecr:DescribeRepositories"), warning, "repositories", "magecloudkit/nginx", "docs/iam/doctor.json"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			p := well()
			c.make(p)
			code, report := p.examine(t)
			found := slices.ContainsFunc(report.Lines, func(l doctor.Line) bool {
				return l.Name == c.check && l.State == c.state && strings.Contains(l.Subject, c.subject) && strings.Contains(l.Fix, c.fix)
			})
			if want := map[bool]int{true: exitFound}[report.Errors > 0]; code != want {
				t.Errorf("%d errors, and exit code %d", report.Errors, code)
			}
			for _, l := range report.Lines {
				if (l.State == doctor.OK) != (l.Fix == "") {
					t.Errorf("%+v", l)
				}
				if !found && l.State != doctor.OK {
					t.Logf("%+v", l)
				}
			}
			if !found {
				t.Errorf("it is not found: a line of %s about %s", c.check, c.subject)
			}
		})
	}
}

// People read a table: what to do stands below what is wrong.
func TestDoctorTable(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // the SDK reads the process's own
	t.Setenv("HOME", t.TempDir())
	code, out, errs := mck(t, map[string]string{"AWS_REGION": "nowhere"}, "doctor", "--source", t.TempDir())
	if code != exitFound || errs != "" {
		t.Errorf("doctor = %d: %s", code, errs)
	}
	for _, want := range []string{
		`(?m)^error +settings +AWS_REGION: is no region's name \(from AWS_REGION\)\n +→ name a region such as eu-central-1`,
		`(?m)^[0-9]+ errors, 1 warning$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("not as %s:\n%s", want, out)
		}
	}
	if code, _, errs := mck(t, nil, "doctor", "production", "staging"); code != exitUsage {
		t.Errorf("two words: %d, %s", code, errs)
	}
}

// Who has the policy of a job, as docs/iam has it, is told to be able to do this job and no other; one that is made out for
// something else does not do.
func TestDoctorKnowsThePolicies(t *testing.T) {
	right := map[string]string{
		"REGION": "us-east-1", "ACCOUNT": "111111111111", "CLUSTER": "production-app", "magecloudkit/*": "magecloudkit/*",
		"TASK_ROLE": "magento-task", "EXECUTION_ROLE": "ecsTaskExecutionRole", "EVENTS_ROLE": "ecsEventsRole",
	}
	const ok, warning, wrong = doctor.OK, doctor.Warning, doctor.Error
	for _, c := range []struct {
		policies    string
		wrong       [2]string // a name in them, and what stands there instead
		states      [4]doctor.State
		description string
	}{
		{"read", [2]string{}, [4]doctor.State{ok, warning, warning, warning}, "who looks"},
		{"push", [2]string{}, [4]doctor.State{warning, ok, warning, warning}, "who pushes"},
		{"release", [2]string{}, [4]doctor.State{ok, warning, ok, warning}, "who releases"},
		{"cleanup", [2]string{}, [4]doctor.State{warning, warning, warning, ok}, "who cleans up"},
		{"read push release cleanup", [2]string{}, [4]doctor.State{ok, ok, ok, ok}, "who does all of it"},
		{"read release", [2]string{"CLUSTER", "staging-app"}, [4]doctor.State{warning, warning, wrong, warning}, "another cluster"},
		{"release", [2]string{"EXECUTION_ROLE", "EXECUTION_ROLE"}, [4]doctor.State{warning, warning, wrong, warning}, "a name left as it was"},
		{"push", [2]string{"magecloudkit/*", "shop/*"}, [4]doctor.State{warning, warning, warning, warning}, "other repositories"},
	} {
		t.Run(c.description, func(t *testing.T) {
			p := well()
			for name := range strings.FieldsSeq(c.policies) {
				raw, err := os.ReadFile("../../../docs/iam/" + name + ".json")
				noError(t, err)
				text := string(raw)
				for from, to := range right {
					if from == c.wrong[0] {
						to = c.wrong[1]
					}
					text = strings.ReplaceAll(text, from, to)
				}
				var policy awssim.Policy
				noError(t, json.Unmarshal([]byte(text), &policy))
				p.topology.Policies = append(p.topology.Policies, policy)
			}
			_, report := p.examine(t)
			for i, job := range []string{"read", "push", "release", "cleanup"} {
				j := slices.IndexFunc(report.Lines, func(l doctor.Line) bool { return l.Name == "permissions" && strings.HasPrefix(l.Subject, job+": ") })
				if j < 0 || report.Lines[j].State != c.states[i] {
					t.Errorf("%s is not %s: %+v", job, c.states[i], report.Lines[max(j, 0)])
				}
			}
		})
	}
}
