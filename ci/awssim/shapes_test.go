package awssim

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// step is one call of the session that touches every operation. ${name} stands for something that an earlier answer held.
type step struct {
	op      string
	input   string
	save    map[string]string // name → path in the answer: "tasks.0.taskArn"; "a|b": b in the JSON text at a
	advance time.Duration     // before the call
}

const sessionToken = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IiLCJpc3MiOiJodHRwczovL29pZGMuY2lyY2xlY2kuY29tL29yZy8xIiwiYXVkIjoic3RzLmFtYXpvbmF3cy5jb20iLCJleHAiOjQxMDI0NDQ4MDB9."

var session = []step{
	{op: "ecs:CreateCluster", input: `{"clusterName":"c","tags":[{"key":"a","value":"b"}]}`},
	{op: "ecs:ListClusters", input: `{}`},
	{op: "ecs:DescribeClusters", input: `{"clusters":["c","production-app","gone"],"include":["TAGS"]}`},
	{op: "ecs:ListAccountSettings", input: `{}`},
	{op: "ecs:DescribeCapacityProviders", input: `{}`},
	{op: "ecs:ListContainerInstances", input: `{"cluster":"production-app"}`, save: map[string]string{"instance": "containerInstanceArns.0"}},
	{op: "ecs:DescribeContainerInstances", input: `{"cluster":"production-app","containerInstances":["${instance}"]}`},
	{op: "ecs:RegisterTaskDefinition", save: map[string]string{"def": "taskDefinition.taskDefinitionArn"}, input: `{"family":"full","networkMode":"awsvpc","cpu":"1 vCPU","memory":"2GB",
		"requiresCompatibilities":["FARGATE"],"executionRoleArn":"arn:aws:iam::111111111111:role/ecsTaskExecutionRole","taskRoleArn":"arn:aws:iam::111111111111:role/magento-task",
		"runtimePlatform":{"cpuArchitecture":"ARM64","operatingSystemFamily":"LINUX"},"ephemeralStorage":{"sizeInGiB":30},"enableFaultInjection":true,
		"proxyConfiguration":{"type":"APPMESH","containerName":"envoy","properties":[{"name":"ProxyIngressPort","value":"15000"}]},
		"volumes":[{"name":"media","efsVolumeConfiguration":{"fileSystemId":"fs-1","transitEncryption":"ENABLED","authorizationConfig":{"accessPointId":"fsap-1","iam":"ENABLED"}}},{"name":"tmp","host":{}}],
		"containerDefinitions":[{"name":"envoy","image":"envoy:1","essential":true,"healthCheck":{"command":["CMD","true"]},"firelensConfiguration":{"type":"fluentbit","options":{"a":"b"}}},
		{"name":"app","image":"app:1","cpu":256,"memory":512,"memoryReservation":128,"command":["a"],"entryPoint":["b"],"environment":[{"name":"A","value":""}],
		"environmentFiles":[{"value":"arn:aws:s3:::b/e.env","type":"s3"}],"mountPoints":[{"sourceVolume":"media","containerPath":"/m","readOnly":true}],"volumesFrom":[{"sourceContainer":"envoy","readOnly":false}],
		"linuxParameters":{"initProcessEnabled":true,"capabilities":{"add":["SYS_PTRACE"]},"tmpfs":[{"containerPath":"/t","size":64,"mountOptions":["rw"]}]},
		"secrets":[{"name":"S","valueFrom":"production/magento"}],"dependsOn":[{"containerName":"envoy","condition":"HEALTHY"}],"startTimeout":30,"stopTimeout":20,
		"user":"33","workingDirectory":"/w","readonlyRootFilesystem":true,"pseudoTerminal":false,"interactive":false,"dockerLabels":{"image":"x"},
		"ulimits":[{"name":"nofile","softLimit":1024,"hardLimit":2048}],"portMappings":[{"containerPort":80,"name":"http","appProtocol":"http"}],
		"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/ecs/production-app","awslogs-region":"us-east-1","awslogs-stream-prefix":"p"},"secretOptions":[{"name":"x","valueFrom":"y"}]},
		"systemControls":[{"namespace":"net.core.somaxconn","value":"1024"}],"resourceRequirements":[{"type":"GPU","value":"1"}],"repositoryCredentials":{"credentialsParameter":"arn:c"},
		"restartPolicy":{"enabled":true,"ignoredExitCodes":[0],"restartAttemptPeriod":60},"versionConsistency":"disabled","hostname":"h","dnsServers":["1.1.1.1"],"extraHosts":[{"hostname":"a","ipAddress":"10.0.0.1"}]}],
		"tags":[{"key":"team","value":"shop"}]}`},
	{op: "ecs:DescribeTaskDefinition", input: `{"taskDefinition":"full","include":["TAGS"]}`},
	{op: "ecs:ListTaskDefinitions", input: `{"familyPrefix":"production","sort":"DESC"}`},
	{op: "ecs:ListTaskDefinitionFamilies", input: `{"status":"ACTIVE"}`},
	{op: "ecs:CreateService", input: `{"cluster":"c","serviceName":"s","taskDefinition":"production-consumers","desiredCount":1,"launchType":"FARGATE","enableECSManagedTags":true,
		"propagateTags":"SERVICE","tags":[{"key":"k","value":"v"}],"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-1"],"securityGroups":["sg-1"],"assignPublicIp":"ENABLED"}},
		"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":true,"rollback":true},"alarms":{"alarmNames":["a"],"enable":false,"rollback":false}}}`,
		save: map[string]string{"service": "service.serviceArn"}},
	{op: "ecs:DescribeServices", input: `{"cluster":"c","services":["s","gone"],"include":["TAGS"]}`, advance: 5 * time.Minute},
	{op: "ecs:ListServices", input: `{"cluster":"c","schedulingStrategy":"REPLICA"}`},
	{op: "ecs:UpdateService", input: `{"cluster":"c","service":"s","forceNewDeployment":true,"desiredCount":2}`},
	{op: "ecs:ListServiceDeployments", input: `{"cluster":"c","service":"s","status":["PENDING","IN_PROGRESS"]}`, advance: 5 * time.Second, save: map[string]string{"release": "serviceDeployments.0.serviceDeploymentArn"}},
	{op: "ecs:StopServiceDeployment", input: `{"serviceDeploymentArn":"${release}","stopType":"ROLLBACK"}`},
	{op: "ecs:DescribeServiceDeployments", input: `{"serviceDeploymentArns":["${release}","arn:gone"]}`, advance: 5 * time.Second, save: map[string]string{"revision": "serviceDeployments.0.targetServiceRevision.arn"}},
	{op: "ecs:DescribeServiceRevisions", input: `{"serviceRevisionArns":["${revision}"]}`},
	{op: "ecs:UpdateService", advance: 5 * time.Minute, input: `{"cluster":"c","service":"s","forceNewDeployment":true,"deploymentConfiguration":{"strategy":"BLUE_GREEN","bakeTimeInMinutes":5,
		"lifecycleHooks":[{"targetType":"PAUSE","lifecycleStages":["PRE_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":60,"action":"ROLLBACK"}},
		{"lifecycleStages":["POST_SCALE_UP"],"hookTargetArn":"arn:aws:lambda:us-east-1:111111111111:function:check","roleArn":"arn:aws:iam::111111111111:role/hooks"}]}}`,
		save: map[string]string{"shift": "service.currentServiceDeployment"}},
	{op: "ecs:DescribeServiceDeployments", input: `{"serviceDeploymentArns":["${shift}"]}`, advance: 5 * time.Second, save: map[string]string{"hook": "serviceDeployments.0.lifecycleHookDetails.0.hookId"}},
	{op: "ecs:ContinueServiceDeployment", input: `{"serviceDeploymentArn":"${shift}","hookId":"${hook}","action":"CONTINUE"}`},
	{op: "ecs:RunTask", input: `{"cluster":"production-app","taskDefinition":"production-app","launchType":"FARGATE","startedBy":"me","enableECSManagedTags":true,"tags":[{"key":"k","value":"v"}],
		"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-1"]}},"overrides":{"cpu":"2048","memory":"4096","containerOverrides":[{"name":"magento","command":["bin/magento","setup:db:status"],"environment":[{"name":"A","value":"b"}]}]}}`,
		save: map[string]string{"task": "tasks.0.taskArn"}},
	{op: "ecs:DescribeTasks", input: `{"cluster":"production-app","tasks":["${task}"],"include":["TAGS"]}`, advance: 20 * time.Second},
	{op: "ecs:StopTask", input: `{"cluster":"production-app","task":"${task}","reason":"enough"}`},
	{op: "ecs:DescribeTasks", input: `{"cluster":"production-app","tasks":["${task}","0123456789abcdef0123456789abcdef"]}`, advance: time.Minute},
	{op: "ecs:ListTasks", input: `{"cluster":"production-app","desiredStatus":"STOPPED","family":"production-app"}`},
	{op: "ecs:TagResource", input: `{"resourceArn":"${service}","tags":[{"key":"x","value":"y"}]}`},
	{op: "ecs:UntagResource", input: `{"resourceArn":"${service}","tagKeys":["k"]}`},
	{op: "ecs:ListTagsForResource", input: `{"resourceArn":"${service}"}`},
	{op: "ecs:DeregisterTaskDefinition", input: `{"taskDefinition":"${def}"}`},
	{op: "ecs:DeleteTaskDefinitions", input: `{"taskDefinitions":["${def}","gone:1"]}`},
	{op: "ecs:DeleteService", input: `{"cluster":"c","service":"s","force":true}`},
	{op: "ecs:DeleteCluster", input: `{"cluster":"c"}`, advance: 5 * time.Minute},

	{op: "ecr:GetAuthorizationToken", input: `{}`},
	{op: "ecr:CreateRepository", input: `{"repositoryName":"a/b","imageTagMutability":"IMMUTABLE","imageScanningConfiguration":{"scanOnPush":true},"tags":[{"Key":"k","Value":"v"}]}`, save: map[string]string{"repo": "repository.repositoryArn"}},
	{op: "ecr:DescribeRepositories", input: `{}`},
	{op: "ecr:PutImageTagMutability", input: `{"repositoryName":"a/b","imageTagMutability":"MUTABLE"}`},
	{op: "ecr:PutImageScanningConfiguration", input: `{"repositoryName":"a/b","imageScanningConfiguration":{"scanOnPush":false}}`},
	{op: "ecr:PutLifecyclePolicy", input: `{"repositoryName":"a/b","lifecyclePolicyText":"{\"rules\":[{\"rulePriority\":1,\"selection\":{\"tagStatus\":\"untagged\",\"countType\":\"sinceImagePushed\",\"countUnit\":\"days\",\"countNumber\":14},\"action\":{\"type\":\"expire\"}}]}"}`},
	{op: "ecr:GetLifecyclePolicy", input: `{"repositoryName":"a/b"}`},
	{op: "ecr:DeleteLifecyclePolicy", input: `{"repositoryName":"a/b"}`},
	{op: "ecr:TagResource", input: `{"resourceArn":"${repo}","tags":[{"Key":"x","Value":"y"}]}`},
	{op: "ecr:ListTagsForResource", input: `{"resourceArn":"${repo}"}`},
	{op: "ecr:DescribeImages", input: `{"repositoryName":"magecloudkit/magento2"}`},
	{op: "ecr:ListImages", input: `{"repositoryName":"magecloudkit/magento2","filter":{"tagStatus":"TAGGED"}}`},
	{op: "ecr:BatchGetImage", input: `{"repositoryName":"magecloudkit/nginx","imageIds":[{"imageTag":"300"},{"imageTag":"gone"}]}`, save: map[string]string{"manifest": "images.0.imageManifest", "layer": "images.0.imageManifest|layers.0.digest"}},
	{op: "ecr:BatchCheckLayerAvailability", input: `{"repositoryName":"magecloudkit/nginx","layerDigests":["${layer}"]}`},
	{op: "ecr:GetDownloadUrlForLayer", input: `{"repositoryName":"magecloudkit/nginx","layerDigest":"${layer}"}`},
	{op: "ecr:PutImage", input: `{"repositoryName":"magecloudkit/nginx","imageManifest":"${manifest}","imageTag":"again"}`},
	{op: "ecr:UpdateImageStorageClass", input: `{"repositoryName":"magecloudkit/nginx","imageId":{"imageTag":"296"},"targetStorageClass":"ARCHIVE"}`},
	{op: "ecr:BatchDeleteImage", input: `{"repositoryName":"magecloudkit/nginx","imageIds":[{"imageTag":"295"},{"imageTag":"gone"}]}`},
	{op: "ecr:DeleteRepository", input: `{"repositoryName":"a/b","force":true}`},

	{op: "events:CreateEventBus", input: `{"Name":"orders"}`},
	{op: "events:PutRule", input: `{"Name":"r","EventBusName":"orders","EventPattern":"{\"source\":[\"shop\"]}"}`},
	{op: "events:ListRules", input: `{"EventBusName":"orders"}`},
	{op: "events:DeleteRule", input: `{"Name":"r","EventBusName":"orders"}`},
	{op: "events:DescribeEventBus", input: `{"Name":"orders"}`},
	{op: "events:ListEventBuses", input: `{}`},
	{op: "events:DeleteEventBus", input: `{"Name":"orders"}`},
	{op: "events:PutRule", input: `{"Name":"r","ScheduleExpression":"rate(5 minutes)","State":"ENABLED"}`, save: map[string]string{"rule": "RuleArn"}},
	{op: "events:PutTargets", input: `{"Rule":"r","Targets":[{"Id":"t","Arn":"arn:aws:ecs:us-east-1:111111111111:cluster/production-app","RoleArn":"arn:aws:iam::111111111111:role/ecsEventsRole","EcsParameters":{"TaskDefinitionArn":"arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1","Tags":[{"Key":"a","Value":"b"}]}}]}`},
	{op: "events:DescribeRule", input: `{"Name":"r"}`},
	{op: "events:ListRules", input: `{"NamePrefix":"production"}`},
	{op: "events:DisableRule", input: `{"Name":"r"}`},
	{op: "events:EnableRule", input: `{"Name":"r"}`},
	{op: "events:ListTargetsByRule", input: `{"Rule":"production-cron"}`},
	{op: "events:ListRuleNamesByTarget", input: `{"TargetArn":"arn:aws:ecs:us-east-1:111111111111:cluster/production-app"}`},
	{op: "events:TagResource", input: `{"ResourceARN":"${rule}","Tags":[{"Key":"a","Value":"b"}]}`},
	{op: "events:ListTagsForResource", input: `{"ResourceARN":"${rule}"}`},
	{op: "events:UntagResource", input: `{"ResourceARN":"${rule}","TagKeys":["a"]}`},
	{op: "events:RemoveTargets", input: `{"Rule":"r","Ids":["t","gone"]}`},
	{op: "events:DeleteRule", input: `{"Name":"r"}`},

	{op: "scheduler:CreateScheduleGroup", input: `{"Name":"nightly"}`},
	{op: "scheduler:ListScheduleGroups", input: `{}`},
	{op: "scheduler:CreateSchedule", input: `{"Name":"s","GroupName":"nightly","ScheduleExpression":"rate(5 minutes)","FlexibleTimeWindow":{"Mode":"OFF"},"Target":{"Arn":"arn:aws:ecs:us-east-1:111111111111:cluster/production-app",
		"RoleArn":"arn:aws:iam::111111111111:role/ecsEventsRole","EcsParameters":{"TaskDefinitionArn":"arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron","TaskCount":1,
		"NetworkConfiguration":{"awsvpcConfiguration":{"Subnets":["subnet-1"],"AssignPublicIp":"DISABLED"}},"CapacityProviderStrategy":[{"capacityProvider":"FARGATE","weight":1,"base":0}]}}}`},
	{op: "scheduler:GetSchedule", input: `{"Name":"s","GroupName":"nightly"}`},
	{op: "scheduler:UpdateSchedule", input: `{"Name":"s","GroupName":"nightly","ScheduleExpression":"cron(0 3 * * ? *)","State":"DISABLED","FlexibleTimeWindow":{"Mode":"OFF"},"Target":{"Arn":"arn:aws:sqs:us-east-1:111111111111:q","RoleArn":"arn:aws:iam::111111111111:role/ecsEventsRole"}}`},
	{op: "scheduler:ListSchedules", input: `{"GroupName":"nightly","NamePrefix":"s","MaxResults":5}`},
	{op: "scheduler:DeleteSchedule", input: `{"Name":"s","GroupName":"nightly"}`},

	{op: "logs:CreateLogGroup", input: `{"logGroupName":"/g"}`},
	{op: "logs:CreateLogStream", input: `{"logGroupName":"/g","logStreamName":"s"}`},
	{op: "logs:PutLogEvents", input: `{"logGroupName":"/g","logStreamName":"s","logEvents":[{"timestamp":1740992400000,"message":"hello"}]}`},
	{op: "logs:DescribeLogGroups", input: `{"logGroupNamePrefix":"/"}`},
	{op: "logs:DescribeLogStreams", input: `{"logGroupName":"/g"}`},
	{op: "logs:GetLogEvents", input: `{"logGroupName":"/ecs/production-app","logStreamName":"ecs/magento/${taskID}","startFromHead":true}`},
	{op: "logs:FilterLogEvents", input: `{"logGroupName":"/ecs/production-app"}`},
	{op: "logs:DeleteLogGroup", input: `{"logGroupName":"/g"}`},

	{op: "secretsmanager:CreateSecret", input: `{"Name":"s","SecretString":"v","ClientRequestToken":"01234567-89ab-cdef-0123-456789abcdef"}`},
	{op: "secretsmanager:PutSecretValue", input: `{"SecretId":"s","SecretString":"w","ClientRequestToken":"11234567-89ab-cdef-0123-456789abcdef"}`},
	{op: "secretsmanager:GetSecretValue", input: `{"SecretId":"s"}`},
	{op: "secretsmanager:DescribeSecret", input: `{"SecretId":"s"}`},
	{op: "secretsmanager:ListSecrets", input: `{}`},
	{op: "secretsmanager:DeleteSecret", input: `{"SecretId":"s","ForceDeleteWithoutRecovery":true}`},
	{op: "ssm:PutParameter", input: `{"Name":"/p","Value":"v","Type":"String"}`},
	{op: "ssm:GetParameter", input: `{"Name":"/p"}`},
	{op: "ssm:GetParameters", input: `{"Names":["/p","/gone"]}`},
	{op: "ssm:DescribeParameters", input: `{}`},
	{op: "sts:GetCallerIdentity", input: `{}`},
	{op: "sts:AssumeRole", input: `{"RoleArn":"arn:aws:iam::111111111111:role/magento-task","RoleSessionName":"session"}`},
	{op: "sts:AssumeRoleWithWebIdentity", input: `{"RoleArn":"arn:aws:iam::111111111111:role/magento-task","RoleSessionName":"session","WebIdentityToken":"` + sessionToken + `"}`},
	{op: "iam:GetRole", input: `{"RoleName":"magento-task"}`},
	{op: "elasticloadbalancing:DescribeTargetGroups", input: `{"TargetGroupArns":["arn:aws:elasticloadbalancing:us-east-1:111111111111:targetgroup/production-app/0123456789abcdef"]}`},
	{op: "iam:SimulatePrincipalPolicy", input: `{"PolicySourceArn":"arn:aws:iam::111111111111:role/magento-task","ActionNames":["ecs:UpdateService"]}`},
}

// sessionWorld is a world with something of every kind in it.
func sessionWorld(t *testing.T) *World {
	t.Helper()
	top := DefaultTopology()
	top.Clusters[0].Instances = []InstanceSpec{{Count: 1, CPU: 2048, Memory: 4096}}
	w, err := New(Config{Topology: top})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// play sends the session's calls one by one. send returns the answer as JSON, whatever it travelled as.
func play(t *testing.T, w *World, send func(op, input string) (any, error)) {
	t.Helper()
	saved := map[string]string{}
	called := map[string]bool{}
	for _, s := range session {
		if s.advance > 0 {
			w.clock.(*VirtualClock).Advance(s.advance)
		}
		input := regexp.MustCompile(`\$\{\w+\}`).ReplaceAllStringFunc(s.input, func(v string) string {
			b, _ := json.Marshal(saved[v[2:len(v)-1]])
			return string(b[1 : len(b)-1])
		})
		out, err := send(s.op, input)
		if err != nil {
			t.Fatalf("%s: %v", s.op, err)
		}
		called[s.op] = true
		for name, path := range s.save {
			at, inner, nested := strings.Cut(path, "|")
			v := dig(out, at)
			if nested {
				var doc any
				if err := json.Unmarshal([]byte(fmt.Sprint(v)), &doc); err != nil {
					t.Fatalf("%s: %s: %v", s.op, at, err)
				}
				v = dig(doc, inner)
			}
			if v == nil {
				t.Fatalf("%s: no %s in %v", s.op, path, out)
			}
			saved[name] = fmt.Sprint(v)
			saved[name+"ID"] = saved[name][strings.LastIndex(saved[name], "/")+1:]
		}
	}
	for _, op := range w.Operations() {
		if !called[op] {
			t.Errorf("the session lacks %s", op)
		}
	}
}

func dig(v any, path string) any {
	for part := range strings.SplitSeq(path, ".") {
		switch c := v.(type) {
		case map[string]any:
			v = c[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(c) {
				return nil
			}
			v = c[i]
		default:
			return nil
		}
	}
	return v
}

// tap keeps the last answer that a handler gave.
type tap struct {
	handler http.Handler
	body    []byte
}

func (t *tap) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(a, r)
	t.body = bytes.Clone(a.body.Bytes())
	for k, v := range a.header {
		rw.Header()[k] = v
	}
	rw.WriteHeader(a.status)
	_, _ = rw.Write(t.body)
}

func parse(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// Every operation is called with the Go SDK, whose own deserializers read the answer. What they read is all that was sent.
func TestGoSDKReadsEverything(t *testing.T) {
	w := sessionWorld(t)
	seen := &tap{handler: w.Handler()}
	cfg := w.ClientConfig()
	cfg.HTTPClient = &http.Client{Transport: inProcess{seen}}
	clients := map[string]any{
		"ecs": ecs.NewFromConfig(cfg), "ecr": ecr.NewFromConfig(cfg), "events": eventbridge.NewFromConfig(cfg), "logs": cloudwatchlogs.NewFromConfig(cfg),
		"secretsmanager": secretsmanager.NewFromConfig(cfg), "ssm": ssm.NewFromConfig(cfg), "sts": sts.NewFromConfig(cfg), "iam": iam.NewFromConfig(cfg),
		"scheduler": scheduler.NewFromConfig(cfg), "elasticloadbalancing": elb.NewFromConfig(cfg),
	}
	play(t, w, func(action, input string) (any, error) {
		name, op, _ := strings.Cut(action, ":")
		method := reflect.ValueOf(clients[name]).MethodByName(op)
		in := reflect.New(method.Type().In(1).Elem())
		if err := wire.DecodeJSON([]byte(input), in.Interface()); err != nil {
			return nil, err
		}
		res := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), in})
		if err, ok := res[1].Interface().(error); ok {
			return nil, err
		}
		read := parse(t, wire.EncodeJSON(res[0].Interface()))
		s, _, err := w.operation(action)
		if err != nil {
			return nil, err
		}
		if s.Protocol != wire.Query {
			if diff := cmp.Diff(parse(t, orEmpty(seen.body)), read); diff != "" {
				t.Errorf("%s: sent (-) and read (+):\n%s", action, diff)
			}
		}
		return read, nil
	})
}

// described is what the aws command line calls a service.
func described(name string) string {
	if name == "elasticloadbalancing" {
		return "elbv2"
	}
	return name
}

// orEmpty is an answer, or the JSON of an empty one.
func orEmpty(b []byte) []byte {
	if len(b) == 0 {
		return []byte("{}")
	}
	return b
}

// model is botocore's description of a service.
type model struct {
	Operations map[string]struct{ Input, Output struct{ Shape string } }
	Shapes     map[string]struct {
		Type     string
		Members  map[string]struct{ Shape string }
		Member   struct{ Shape string }
		Value    struct{ Shape string }
		Enum     []string
		Required []string
	}
}

func loadModel(t *testing.T, data, service string) *model {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, service, "*", "service-2.json*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no model: %v", service, err)
	}
	slices.Sort(files)
	f, err := os.Open(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(f.Name(), ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	m := new(model)
	if err := json.NewDecoder(r).Decode(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// check returns what an answer says that the description does not know.
func (m *model) check(op string, v any) []string {
	o, ok := m.Operations[op]
	if !ok {
		return []string{"the description has no such operation"}
	}
	if o.Output.Shape == "" {
		return nil
	}
	return m.walk(o.Output.Shape, op, v)
}

func (m *model) walk(shape, path string, v any) (wrong []string) {
	s := m.Shapes[shape]
	bad := func() []string { return append(wrong, fmt.Sprintf("%s is %T %v, not a %s", path, v, v, s.Type)) }
	switch s.Type {
	case "structure":
		o, ok := v.(map[string]any)
		if !ok {
			return bad()
		}
		for _, name := range s.Required {
			if _, ok := o[name]; !ok {
				wrong = append(wrong, fmt.Sprintf("%s lacks %s", path, name))
			}
		}
		for name, e := range o {
			member, ok := s.Members[name]
			if !ok {
				wrong = append(wrong, fmt.Sprintf("%s has %s, which is not described", path, name))
				continue
			}
			wrong = append(wrong, m.walk(member.Shape, path+"."+name, e)...)
		}
	case "list":
		l, ok := v.([]any)
		if !ok {
			return bad()
		}
		for i, e := range l {
			wrong = append(wrong, m.walk(s.Member.Shape, fmt.Sprintf("%s[%d]", path, i), e)...)
		}
	case "map":
		o, ok := v.(map[string]any)
		if !ok {
			return bad()
		}
		for k, e := range o {
			wrong = append(wrong, m.walk(s.Value.Shape, path+"."+k, e)...)
		}
	case "string", "blob":
		text, ok := v.(string)
		if !ok || len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			return bad()
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad()
		}
	case "integer", "long", "double", "float", "timestamp":
		if _, ok := v.(float64); !ok {
			return bad()
		}
	default:
		return bad()
	}
	return wrong
}

// The codec names members as botocore's description does, in every shape that both know.
func TestMembersAreNamedAsDescribed(t *testing.T) {
	data, err := exec.Command("python3", "-c", "import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), 'data'), end='')").Output()
	if err != nil {
		t.Skip("botocore is not installed for python3 (apt install awscli)")
	}
	w := sessionWorld(t)
	for _, s := range w.services {
		m := loadModel(t, string(data), described(s.Name))
		for _, name := range s.Operations() {
			input := reflect.TypeOf(s.Operation(name).In()).Elem()
			for member := range m.Shapes[m.Operations[name].Input.Shape].Members {
				if !wire.Knows(input, member) {
					t.Errorf("%s:%s: the codec does not know %s", s.Name, name, member)
				}
			}
		}
	}
}
