package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

// allowed reads the actions that a job's policy in docs allows.
func allowed(t *testing.T, job string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "iam", job+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Statement []struct {
			Sid, Effect string
			Action      actions
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatalf("%s.json: %v", job, err)
	}
	var all []string
	for _, s := range doc.Statement {
		if s.Effect != "Allow" {
			t.Errorf("%s.json: statement %s: effect %s", job, s.Sid, s.Effect)
		}
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return all
}

// actions are a statement's: one or several.
type actions []string

func (a *actions) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = actions{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// callsMade reads what a simulated AWS was asked for, by address.
func callsMade(t *testing.T, endpoint string) []string {
	t.Helper()
	res, err := http.Get(endpoint + "/_sim/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var calls []awssim.Call
	if err := json.NewDecoder(res.Body).Decode(&calls); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range calls {
		all = append(all, c.Op)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Each job's policy allows what its verbs call, and nothing else. The release's is compared by ci/release/rehearse, with
// the calls of all scenarios.
func TestPoliciesAllowWhatIsCalled(t *testing.T) {
	for job, lines := range map[string][]string{
		"read": {
			"status", "history", "history --json", "diff --build-num 298", "verify --build-num 298 --downgrade", "env list", "wait", "logs",
		},
		"cleanup": {"cleanup", "cleanup --yes --keep-last 1 --older-than 1h"},
		"doctor":  {"doctor", "doctor --cluster nowhere", "doctor --service nothing"},
		"push":    {"get-ecr", "get-ecr --repositories", "push 301 a --tag latest", "push 302 b --tag latest", "push 302 b", "push 302 c"},
	} {
		t.Run(job, func(t *testing.T) {
			variables := simulated(t)
			for k, v := range map[string]string{
				"MCK_CLUSTER": "production-app", "MCK_SERVICES": "production-app,production-consumers", "MCK_CRON_RULES": "production-cron",
			} {
				variables[k] = v
			}
			if job != "push" {
				addSchedule(t, variables)
			}
			if job == "read" || job == "doctor" {
				variables["MCK_SCHEDULES"] = "cron"
			}
			ran := 0
			for _, line := range lines {
				args := strings.Fields(line)
				if args[0] == "push" {
					args = append([]string{"push", "--build-num", args[1], "--images", layouts(t, args[1], args[2])}, args[3:]...)
				}
				code, out, errs := mck(t, variables, args...)
				if code == 0 {
					ran++
				} else if line != "push 302 c" && code != exitFound { // another image under a tag that is there is refused; doctor finds what is missing
					t.Errorf("%s = %d: %s%s", line, code, out, errs)
				}
			}
			if ran == 0 {
				t.Fatal("nothing ran")
			}
			may := allowed(t, job)
			besides := may
			if job == "doctor" { // it is for who may look
				besides = append(allowed(t, "read"), may...)
			}
			made := callsMade(t, variables["AWS_ENDPOINT_URL"])
			for _, op := range made {
				if (job == "read" || job == "doctor") && op == "secretsmanager:GetSecretValue" {
					continue // nobody reads a secret to see what runs; its keys are then not checked
				}
				if !slices.Contains(besides, op) && op != "scheduler:CreateSchedule" {
					t.Errorf("docs/iam/%s.json does not allow %s, which is called", job, op)
				}
			}
			for _, op := range may {
				if !slices.Contains(made, op) {
					t.Errorf("docs/iam/%s.json allows %s, which is not called", job, op)
				}
			}
		})
	}
}

// addSchedule makes a schedule of EventBridge Scheduler that runs cron.
func addSchedule(t *testing.T, variables map[string]string) {
	t.Helper()
	cfg := aws.Config{
		Region: variables["AWS_REGION"], BaseEndpoint: aws.String(variables["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], ""),
	}
	_, err := scheduler.NewFromConfig(cfg).CreateSchedule(t.Context(), &scheduler.CreateScheduleInput{
		Name: aws.String("cron"), ScheduleExpression: aws.String("rate(1 minute)"), State: types.ScheduleStateDisabled,
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		Target: &types.Target{
			Arn: aws.String("arn:aws:ecs:us-east-1:111111111111:cluster/production-app"), RoleArn: aws.String("arn:aws:iam::111111111111:role/ecsEventsRole"),
			EcsParameters: &types.EcsParameters{TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who may release may also look.
func TestReleasePolicyAllowsReading(t *testing.T) {
	release := allowed(t, "release")
	for _, op := range allowed(t, "read") {
		if !slices.Contains(release, op) {
			t.Errorf("docs/iam/release.json does not allow %s, which read.json does", op)
		}
	}
}
