package awssim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

// raw sends one awsJson request as a client that knows nothing of types would.
func raw(t *testing.T, url, target, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST/20250303/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=00")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if res.Header.Get("x-amzn-RequestId") == "" {
		t.Error("the answer has no request id")
	}
	return res.StatusCode, m
}

func TestErrorsOnTheWire(t *testing.T) {
	r := start(t, awssim.Config{})
	srv := httptest.NewServer(r.w.Handler())
	defer srv.Close()
	const ecsTarget = "AmazonEC2ContainerServiceV20141113."
	many := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%q", fmt.Sprintf("n%d", i)))
		}
		return "[" + strings.Join(names, ",") + "]"
	}
	container := func(more string) string {
		return `{"family":"f","containerDefinitions":[{"name":"c","image":"i","memory":128` + more + `}]}`
	}
	for name, tc := range map[string]struct{ op, body, code, message string }{
		"unknown operation":      {"ExecuteCommand", `{}`, "UnknownOperationException", "awssim has no operation ecs:ExecuteCommand."},
		"unknown parameter":      {"DescribeServices", `{"services":["a"],"sevices":["b"]}`, "ValidationException", `Unknown parameter "sevices"`},
		"unknown nested":         {"RegisterTaskDefinition", container(`,"portMapings":[]`), "ValidationException", `Unknown parameter "containerDefinitions[0].portMapings"`},
		"wrong type":             {"UpdateService", `{"service":"a","desiredCount":"two"}`, "SerializationException", "desiredCount: STRING_VALUE can not be converted to an Integer"},
		"not JSON":               {"ListClusters", `{`, "SerializationException", "not JSON"},
		"no such cluster":        {"DescribeServices", `{"cluster":"x","services":["a"]}`, "ClusterNotFoundException", "Cluster not found."},
		"no such service":        {"UpdateService", `{"cluster":"production-app","service":"x"}`, "ServiceNotFoundException", "Service not found."},
		"no service asked for":   {"DescribeServices", `{"cluster":"production-app","services":[]}`, "InvalidParameterException", "Services cannot be empty."},
		"eleven services":        {"DescribeServices", `{"cluster":"production-app","services":` + many(11) + `}`, "InvalidParameterException", "10"},
		"101 tasks":              {"DescribeTasks", `{"cluster":"production-app","tasks":` + many(101) + `}`, "InvalidParameterException", "100"},
		"no task asked for":      {"DescribeTasks", `{"cluster":"production-app","tasks":[]}`, "InvalidParameterException", "Tasks cannot be empty."},
		"no such task":           {"StopTask", `{"cluster":"production-app","task":"x"}`, "InvalidParameterException", "The referenced task was not found."},
		"eleven tasks at once":   {"RunTask", `{"cluster":"production-app","taskDefinition":"production-app","count":11}`, "InvalidParameterException", "Count"},
		"no such revision":       {"DescribeTaskDefinition", `{"taskDefinition":"production-app:99"}`, "ClientException", "Unable to describe task definition."},
		"service from nothing":   {"UpdateService", `{"cluster":"production-app","service":"production-app","taskDefinition":"x"}`, "ClientException", "TaskDefinition not found."},
		"page of 101":            {"ListTasks", `{"cluster":"production-app","maxResults":101}`, "InvalidParameterException", "between 1 and 100"},
		"bad token":              {"ListTasks", `{"cluster":"production-app","nextToken":"zzz"}`, "InvalidParameterException", "Invalid token."},
		"no image":               {"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"c","memory":128}]}`, "ClientException", "Container.image should not be null or empty."},
		"no memory":              {"RegisterTaskDefinition", `{"family":"f","containerDefinitions":[{"name":"c","image":"i"}]}`, "ClientException", "Invalid setting for container 'c'. At least one of 'memory' or 'memoryReservation' must be specified."},
		"no essential container": {"RegisterTaskDefinition", container(`,"essential":false`), "ClientException", "essential"},
		"empty tags":             {"RegisterTaskDefinition", strings.TrimSuffix(container(""), "}") + `,"tags":[]}`, "InvalidParameterException", "Tags can not be empty."},
		"fargate without awsvpc": {"RegisterTaskDefinition", strings.TrimSuffix(container(""), "}") + `,"requiresCompatibilities":["FARGATE"]}`, "ClientException", "Fargate only supports network mode ‘awsvpc’."},
		"fargate sizes": {"RegisterTaskDefinition", strings.TrimSuffix(container(""), "}") + `,"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"4096"}`,
			"ClientException", "No Fargate configuration exists for given values: 256 CPU, 4096 memory."},
		"awsvpc without a network": {"RunTask", `{"cluster":"production-app","taskDefinition":"production-app","launchType":"FARGATE"}`,
			"InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified."},
		"override of no container": {"RunTask", `{"cluster":"production-app","taskDefinition":"production-app","launchType":"FARGATE","overrides":{"containerOverrides":[{"name":"x"}]}}`,
			"InvalidParameterException", "Override for container named x is not a container in the TaskDefinition."},
		"service that is there": {"CreateService", `{"cluster":"production-app","serviceName":"production-app","taskDefinition":"production-app","desiredCount":1}`,
			"InvalidParameterException", "Creation of service was not idempotent."},
		"load balancer of no container": {"UpdateService", `{"cluster":"production-app","service":"production-app","loadBalancers":[{"containerName":"x","containerPort":1,"targetGroupArn":"a"}]}`,
			"InvalidParameterException", "The container x does not exist in the task definition."},
		"cluster in use":             {"DeleteCluster", `{"cluster":"production-app"}`, "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."},
		"no such service deployment": {"StopServiceDeployment", `{"serviceDeploymentArn":"x"}`, "ServiceDeploymentNotFoundException", ""},
		"tags of nothing":            {"ListTagsForResource", `{"resourceArn":"arn:aws:ecs:us-east-1:111111111111:task-definition/x:1"}`, "InvalidParameterException", "was not found"},
	} {
		t.Run(name, func(t *testing.T) {
			status, m := raw(t, srv.URL, ecsTarget+tc.op, tc.body)
			if status != 400 || m["__type"] != tc.code || !strings.Contains(fmt.Sprint(m["message"]), tc.message) {
				t.Errorf("%d %v", status, m)
			}
		})
	}
}

func TestCountsAndFlagsAreWrittenEvenIfZero(t *testing.T) {
	r := start(t, awssim.Config{})
	srv := httptest.NewServer(r.w.Handler())
	defer srv.Close()
	_, m := raw(t, srv.URL, "AmazonEC2ContainerServiceV20141113.DescribeServices", `{"cluster":"production-app","services":["production-app"]}`)
	s := m["services"].([]any)[0].(map[string]any)
	for _, name := range []string{"pendingCount", "enableExecuteCommand", "serviceRegistries"} {
		if _, ok := s[name]; !ok {
			t.Errorf("%s is left out", name)
		}
	}
	if d := s["deployments"].([]any)[0].(map[string]any); d["failedTasks"] != 0.0 || d["pendingCount"] != 0.0 {
		t.Errorf("%v", d)
	}
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	describe := func(r *rig) error {
		_, err := r.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{web}})
		return err
	}
	once := func(o *ecs.Options) { o.Retryer = aws.NopRetryer{} }
	t.Run("throttling at every third call is retried on the world's clock", func(t *testing.T) {
		r := start(t, awssim.Config{})
		r.must(r.w.AddFault(awssim.Fault{Op: "*", Kind: awssim.Throttle, Every: 3}))
		for range 20 {
			r.must(describe(r))
		}
		throttled := 0
		for _, c := range r.w.Calls() {
			if c.Code == "ThrottlingException" {
				throttled++
			}
		}
		if throttled < 6 || r.w.Elapsed() < time.Duration(throttled)*time.Second {
			t.Errorf("%d calls were throttled in %s", throttled, r.w.Elapsed())
		}
	})
	for kind, want := range map[awssim.FaultKind]struct {
		code string
		done bool
	}{
		awssim.Throttle: {"ThrottlingException", false}, awssim.Broken: {"ServerException", false}, awssim.BrokenLate: {"ServerException", true},
		awssim.DropBefore: {"", false}, awssim.DropAfter: {"", true}, awssim.Expired: {"ExpiredTokenException", false},
		awssim.BadKey: {"UnrecognizedClientException", false}, awssim.Denied: {"AccessDeniedException", false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := start(t, awssim.Config{})
			srv := httptest.NewServer(r.w.Handler())
			defer srv.Close()
			// Over a socket and without one a fault looks the same.
			over := ecs.NewFromConfig(r.w.ClientConfig(), once, func(o *ecs.Options) {
				o.BaseEndpoint, o.HTTPClient = &srv.URL, srv.Client()
			})
			for i, client := range []*ecs.Client{ecs.NewFromConfig(r.w.ClientConfig(), once), over} {
				r.must(r.w.AddFault(awssim.Fault{Op: "ecs:UpdateService", Kind: kind, Nth: 1}))
				n := int32(3 + i)
				before := r.service(web).DesiredCount
				_, err := client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: &n})
				if err == nil {
					t.Fatal("the call went through")
				}
				if want.code != "" {
					wantCode(t, err, want.code)
				}
				after := r.service(web).DesiredCount
				if done := after == n; done != want.done || !done && after != before {
					t.Errorf("before %d, after %d", before, after)
				}
				_, err = client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: &n})
				r.must(err)
				r.w.ClearFaults()
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		r := start(t, awssim.Config{})
		r.must(r.w.AddFault(awssim.Fault{Op: "ecs:Describe*", Kind: awssim.Slow, Delay: awssim.Duration(7 * time.Second)}))
		r.must(describe(r))
		if r.w.Elapsed() != 7*time.Second {
			t.Errorf("%s", r.w.Elapsed())
		}
	})
	t.Run("expired from a time on", func(t *testing.T) {
		r := start(t, awssim.Config{})
		r.must(r.w.AddFault(awssim.Fault{Op: "*", Kind: awssim.Expired, From: awssim.Duration(time.Hour), Until: awssim.Duration(2 * time.Hour)}))
		for _, want := range []string{"", "ExpiredTokenException", ""} {
			err := describe(r)
			if want == "" {
				r.must(err)
			} else {
				wantCode(t, err, want)
			}
			r.clock.Advance(time.Hour)
		}
	})
	t.Run("nonsense is refused", func(t *testing.T) {
		r := start(t, awssim.Config{})
		for _, f := range []awssim.Fault{{Op: "*", Kind: "explode"}, {Kind: awssim.Throttle}, {Op: "*", Kind: awssim.Slow}, {Op: "*", Kind: awssim.Fail}, {Op: "[", Kind: awssim.Throttle}} {
			if r.w.AddFault(f) == nil {
				t.Errorf("%+v is taken", f)
			}
		}
	})
}

func TestReadsLag(t *testing.T) {
	r := start(t, awssim.Config{ReadLag: 5 * time.Second})
	ctx := context.Background()
	ids := func() (ids []string) {
		out, err := r.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{web}})
		r.must(err)
		for _, d := range out.Services[0].Deployments {
			ids = append(ids, *d.Id)
		}
		return ids
	}
	old := ids()
	arn := r.revise(web, to("299"))
	_, err := r.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
	wantCode(t, err, "ClientException")
	out, err := r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), TaskDefinition: &arn})
	r.must(err)
	id := *out.Service.Deployments[0].Id // a mutating call answers what is
	if now := ids(); !cmp.Equal(now, old) {
		t.Errorf("at once a read sees %v", now)
	}
	r.clock.Advance(4 * time.Second)
	if now := ids(); !cmp.Equal(now, old) {
		t.Errorf("after 4 s a read sees %v", now)
	}
	r.clock.Advance(time.Second)
	if now := ids(); len(now) != 2 || now[0] != id {
		t.Errorf("after 5 s a read sees %v", now)
	}
	task, err := r.ecs.RunTask(ctx, standalone("true"))
	r.must(err)
	d, err := r.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: []string{*task.Tasks[0].TaskArn}})
	r.must(err)
	if len(d.Failures) != 1 || *d.Failures[0].Reason != "MISSING" {
		t.Errorf("a task that has just been started: %+v", d)
	}
}

func TestPages(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	n := int32(130)
	_, err := r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: &n})
	r.must(err)
	r.until("scaling", 10*time.Minute, func() bool { return r.service(web).RunningCount == n })
	seen := map[string]bool{}
	p := ecs.NewListTasksPaginator(r.ecs, &ecs.ListTasksInput{Cluster: aws.String(cluster), ServiceName: aws.String(web)})
	pages := 0
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		r.must(err)
		if len(out.TaskArns) > 100 {
			t.Errorf("a page of %d", len(out.TaskArns))
		}
		for _, a := range out.TaskArns {
			seen[a] = true
		}
		pages++
	}
	if len(seen) != 130 || pages != 2 {
		t.Errorf("%d tasks on %d pages", len(seen), pages)
	}
	for range 105 {
		r.reregister()
	}
	defs := ecs.NewListTaskDefinitionsPaginator(r.ecs, &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String(web), Sort: types.SortOrderDesc})
	var arns []string
	for defs.HasMorePages() {
		out, err := defs.NextPage(ctx)
		r.must(err)
		arns = append(arns, out.TaskDefinitionArns...)
	}
	if len(arns) != 106 || !strings.HasSuffix(arns[0], ":106") {
		t.Errorf("%d revisions, the first is %s", len(arns), arns[0])
	}
}

// The same calls on the same seed make the same history; another seed makes another.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) string {
		r := start(t, awssim.Config{Seed: seed})
		r.must(r.w.Behave(awssim.Behavior{Revision: 2, Container: "magento", Times: 2, ExitAfter: awssim.Duration(time.Second), Exit: aws.Int32(1)}))
		r.roll()
		r.clock.Advance(20 * time.Minute)
		state, err := r.w.State()
		r.must(err)
		return string(state)
	}
	a, b := run(1), run(1)
	if a != b {
		t.Error(cmp.Diff(a, b))
	}
	if a == run(2) {
		t.Error("the seed changes nothing")
	}
}

func TestCallsAreRecorded(t *testing.T) {
	r := start(t, awssim.Config{})
	var observed []string
	r.w.Observe(func(c awssim.Call) { observed = append(observed, c.Op) })
	_, err := r.ecs.DescribeServices(context.Background(), &ecs.DescribeServicesInput{Cluster: aws.String("nope"), Services: []string{web}})
	wantCode(t, err, "ClusterNotFoundException")
	calls := r.w.Calls()
	if len(calls) != 1 || len(observed) != 1 {
		t.Fatalf("%d calls, %d observed", len(calls), len(observed))
	}
	c := calls[0]
	if c.Op != "ecs:DescribeServices" || c.Code != "ClusterNotFoundException" || !strings.HasPrefix(c.Caller, "arn:aws:iam::111111111111:") ||
		!strings.Contains(string(c.Input), `"cluster":"nope"`) {
		t.Errorf("%+v", c)
	}
}

func TestInterventions(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Intervene(
		awssim.Intervention{Upon: "ecs:UpdateService", Delay: awssim.Duration(20 * time.Second), Op: "ecs:UpdateService",
			Input: json.RawMessage(`{"cluster":"production-app","service":"production-app","forceNewDeployment":true}`)},
		awssim.Intervention{At: awssim.Duration(time.Hour), Op: "ecs:DeleteService",
			Input: json.RawMessage(`{"cluster":"production-app","service":"production-app","force":true}`)}))
	id := r.roll()
	r.until("somebody else's deployment", time.Minute, func() bool { return *r.deployment(id).Status == "ACTIVE" })
	if e := r.w.Elapsed(); e != 20*time.Second {
		t.Errorf("it came after %s", e)
	}
	r.clock.Advance(time.Hour)
	if s := r.service(web); *s.Status == "ACTIVE" {
		t.Errorf("%s", *s.Status)
	}
	if err := r.w.Intervene(awssim.Intervention{Op: "ecs:Nonsense"}); err == nil {
		t.Error("an operation that is not there is taken")
	}
}

func TestControls(t *testing.T) {
	r := start(t, awssim.Config{})
	srv := httptest.NewServer(r.w.Handler())
	defer srv.Close()
	do := func(path, body string) int {
		res, err := http.Post(srv.URL+path, "application/json", strings.NewReader(body))
		r.must(err)
		defer res.Body.Close()
		return res.StatusCode
	}
	for path, body := range map[string]string{
		"/_sim/behaviors":     `[{"revision":2,"container":"magento","exitAfter":"3s","exit":1}]`,
		"/_sim/faults":        `[{"op":"ecs:ListTasks","kind":"throttle","every":2}]`,
		"/_sim/interventions": `[{"at":"1h","op":"ecs:DeleteService","input":{"cluster":"production-app","service":"production-app","force":true}}]`,
		"/_sim/facts":         `{"db":"old"}`,
		"/_sim/clock":         `{"advance":"10m"}`,
	} {
		if code := do(path, body); code != http.StatusNoContent {
			t.Errorf("%s: %d", path, code)
		}
		if code := do(path, `[{"nonsense":1}]`); code != http.StatusBadRequest {
			t.Errorf("%s takes nonsense: %d", path, code)
		}
	}
	if r.w.Elapsed() != 10*time.Minute || r.w.Facts()["db"] != "old" {
		t.Errorf("%s, %v", r.w.Elapsed(), r.w.Facts())
	}
	for _, path := range []string{"/_sim/state", "/_sim/calls"} {
		res, err := http.Get(srv.URL + path)
		r.must(err)
		var v any
		r.must(json.NewDecoder(res.Body).Decode(&v))
		res.Body.Close()
	}
}

// Clients in several goroutines and scrapes of the state race with nothing.
func TestConcurrentClients(t *testing.T) {
	r := start(t, awssim.Config{})
	r.roll()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := r.ecs.DescribeServices(context.Background(), &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{web}}); err != nil {
					t.Error(err)
				}
				if err := r.clock.Sleep(context.Background(), 5*time.Second); err != nil {
					t.Error(err)
				}
				if _, err := r.w.State(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s := r.service(web); s.Deployments[0].RolloutState != types.DeploymentRolloutStateCompleted {
		t.Errorf("%s", s.Deployments[0].RolloutState)
	}
}

func TestTopologyAsJSON(t *testing.T) {
	b, err := json.Marshal(awssim.DefaultTopology())
	if err != nil {
		t.Fatal(err)
	}
	var top awssim.Topology
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&top); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, again) {
		t.Error(cmp.Diff(string(b), string(again)))
	}
	start(t, awssim.Config{Topology: &top})
	if err := json.Unmarshal([]byte(`{"services":[{"serviceName":"a","nonsense":1}]}`), &top); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown member: %v", err)
	}
}

// BenchmarkRoll1000 is a rolling update of a thousand tasks, with a client that polls every ten seconds.
func BenchmarkRoll1000(b *testing.B) {
	for b.Loop() {
		top := awssim.DefaultTopology()
		top.Services[0].Value.DesiredCount = aws.Int32(1000)
		r := start(b, awssim.Config{Topology: top})
		id := r.roll()
		for d := r.service(web).Deployments[0]; *d.Id != id || d.RolloutState != types.DeploymentRolloutStateCompleted; d = r.service(web).Deployments[0] {
			r.clock.Advance(10 * time.Second)
			if r.w.Elapsed() > 5*time.Hour {
				b.Fatal("it does not end")
			}
		}
		b.ReportMetric(r.w.Elapsed().Minutes(), "simulated-minutes/op")
	}
}
