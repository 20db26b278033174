package ecs_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// writtenByECS are the fields of a task definition that ECS fills in itself
// and RegisterTaskDefinition does not take.
var writtenByECS = map[string]bool{
	"TaskDefinitionArn": true, "Revision": true, "Status": true, "RequiresAttributes": true, "Compatibilities": true,
	"RegisteredAt": true, "RegisteredBy": true, "DeregisteredAt": true, "DeleteRequestedAt": true,
}

// TestTaskDefinitionFields fails when the SDK's task definition, or what
// registers one, gains a field that nothing maps.
func TestTaskDefinitionFields(t *testing.T) {
	described := reflect.TypeFor[types.TaskDefinition]()
	registered := reflect.TypeFor[awsecs.RegisterTaskDefinitionInput]()
	for i := range described.NumField() {
		f := described.Field(i)
		if !f.IsExported() || writtenByECS[f.Name] {
			continue
		}
		r, ok := registered.FieldByName(f.Name)
		if !ok || r.Type != f.Type {
			t.Errorf("TaskDefinition.%s has no counterpart in RegisterTaskDefinitionInput: decide what Registration does with it", f.Name)
		}
	}
	for i := range registered.NumField() {
		f := registered.Field(i)
		if _, ok := described.FieldByName(f.Name); f.IsExported() && !ok && f.Name != "Tags" {
			t.Errorf("RegisterTaskDefinitionInput.%s comes from nowhere in TaskDefinition: decide what Registration does with it", f.Name)
		}
	}
}

// variants are the members of the unions that a task definition contains.
var variants = map[reflect.Type]reflect.Type{
	reflect.TypeFor[types.SharingStrategy](): reflect.TypeFor[*types.SharingStrategyMemberNvidiaMps](),
}

// fill sets every field below v to a value of its own.
func fill(t *testing.T, v reflect.Value, path string, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), path, n)
	case reflect.Interface:
		variant, ok := variants[v.Type()]
		if !ok {
			t.Fatalf("%s is the union %s, which this test does not know", path, v.Type())
		}
		e := reflect.New(variant).Elem()
		fill(t, e, path, n)
		v.Set(e)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(t, v.Field(i), path+"."+f.Name, n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), path, n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, k, path, n)
			fill(t, e, path, n)
			v.SetMapIndex(k, e)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("v%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n))
	default:
		t.Fatalf("%s is a %s, which this test does not know how to set", path, v.Kind())
	}
}

func everyFieldSet(t *testing.T) *awsecs.DescribeTaskDefinitionOutput {
	t.Helper()
	out := &awsecs.DescribeTaskDefinitionOutput{TaskDefinition: &types.TaskDefinition{}}
	n := 0
	fill(t, reflect.ValueOf(out.TaskDefinition).Elem(), "TaskDefinition", &n)
	fill(t, reflect.ValueOf(&out.Tags).Elem(), "Tags", &n)
	if n < 300 {
		t.Fatalf("only %d values were set", n)
	}
	return out
}

func TestRegistrationLosesNothing(t *testing.T) {
	out := everyFieldSet(t)
	in, err := ecs.Registration(out)
	if err != nil {
		t.Fatal(err)
	}
	d, r := reflect.ValueOf(*out.TaskDefinition), reflect.ValueOf(*in)
	for i := range d.NumField() {
		f := d.Type().Field(i)
		if !f.IsExported() || writtenByECS[f.Name] {
			continue
		}
		if diff := cmp.Diff(d.Field(i).Interface(), r.FieldByName(f.Name).Interface(), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Errorf("%s was changed:\n%s", f.Name, diff)
		}
	}
	if diff := cmp.Diff(out.Tags, in.Tags, cmpopts.IgnoreUnexported(types.Tag{})); diff != "" {
		t.Errorf("tags were changed:\n%s", diff)
	}
	if changes := ecs.Diff(in, in); len(changes) != 0 {
		t.Errorf("a task definition differs from itself:\n%s", changes)
	}
	// No memory is shared: changing the copy leaves the source alone.
	in.ContainerDefinitions[0].Environment[0].Value = aws.String("changed")
	if *out.TaskDefinition.ContainerDefinitions[0].Environment[0].Value == "changed" {
		t.Error("the copy shares memory with its source")
	}
}

// TestDiffSeesEveryField changes one value at a time and wants to see it.
func TestDiffSeesEveryField(t *testing.T) {
	base, err := ecs.Registration(everyFieldSet(t))
	if err != nil {
		t.Fatal(err)
	}
	r := reflect.ValueOf(base).Elem()
	for i := range r.NumField() {
		f := r.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		changed, err := ecs.Registration(everyFieldSet(t))
		if err != nil {
			t.Fatal(err)
		}
		reflect.ValueOf(changed).Elem().Field(i).SetZero()
		if len(ecs.Diff(base, changed)) == 0 {
			t.Errorf("the loss of %s is not seen", f.Name)
		}
	}
}

func TestRegistrationSendsNoEmptyTags(t *testing.T) {
	in, err := ecs.Registration(&awsecs.DescribeTaskDefinitionOutput{
		TaskDefinition: &types.TaskDefinition{Family: aws.String("web")}, Tags: []types.Tag{},
	})
	if err != nil || in.Tags != nil {
		t.Errorf("tags %v, %v", in.Tags, err)
	}
	if _, err := ecs.Registration(&awsecs.DescribeTaskDefinitionOutput{}); err == nil {
		t.Error("an answer without a task definition was taken")
	}
}

const registry = "111111111111.dkr.ecr.us-east-1.amazonaws.com"

func web() *awsecs.RegisterTaskDefinitionInput {
	return &awsecs.RegisterTaskDefinitionInput{
		Family: aws.String("web"),
		ContainerDefinitions: []types.ContainerDefinition{
			{
				Name: aws.String("magento"), Image: aws.String(registry + "/magento2:299"),
				Environment:  []types.KeyValuePair{{Name: aws.String("MODE"), Value: aws.String("production")}, {Name: aws.String("OLD"), Value: aws.String("1")}},
				Secrets:      []types.Secret{{Name: aws.String("DB_PASSWORD"), ValueFrom: aws.String("arn:aws:secretsmanager:us-east-1:111111111111:secret:db")}},
				DockerLabels: map[string]string{"image": registry + "/magento2:299"},
			},
			{Name: aws.String("nginx"), Image: aws.String(registry + "/nginx@" + digest)},
			{Name: aws.String("datadog"), Image: aws.String("datadog/agent:7")},
			{Name: aws.String("proxy"), Image: aws.String("nginx")},
			{Name: aws.String("odd"), Image: aws.String("not an image: at all")},
		},
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("shop")}},
	}
}

func TestEditsApply(t *testing.T) {
	repositories := []string{"magento2", registry + "/nginx"}
	before := web()
	after, err := ecs.Edits{
		Images:  []ecs.Move{{Repository: "magento2", Tag: "300"}, {Repository: registry + "/nginx", Tag: "300"}},
		Env:     []ecs.Variable{{Container: "magento", Name: "MODE", Value: "developer"}, {Name: "DB_PASSWORD", Value: "hunter2"}},
		Secrets: []ecs.Variable{{Container: "datadog", Name: "DD_API_KEY", Value: "arn:dd"}},
		Unset:   []ecs.Variable{{Name: "OLD"}},
		CPU:     "1024", Memory: "2048",
		Tags: map[string]string{"magecloudkit:build": "300"},
	}.Apply(before, repositories)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(web(), before, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("the source was changed:\n%s", diff)
	}
	want := `+ containerDefinitions.datadog.secrets.DD_API_KEY.valueFrom: arn:dd
+ containerDefinitions.magento.environment.DB_PASSWORD.value: (hidden)
~ containerDefinitions.magento.environment.MODE.value: production -> developer
- containerDefinitions.magento.environment.OLD.value: 1
~ containerDefinitions.magento.image: ` + registry + `/magento2:299 -> ` + registry + `/magento2:300
- containerDefinitions.magento.secrets.DB_PASSWORD.valueFrom: arn:aws:secretsmanager:us-east-1:111111111111:secret:db
+ containerDefinitions.nginx.environment.DB_PASSWORD.value: (hidden)
~ containerDefinitions.nginx.image: ` + registry + `/nginx@` + digest + ` -> ` + registry + `/nginx:300
+ cpu: 1024
+ memory: 2048
+ tags.magecloudkit:build.value: 300
`
	if diff := cmp.Diff(want, ecs.Diff(before, after).String()); diff != "" {
		t.Error(diff)
	}
}

func TestEditsPinDigest(t *testing.T) {
	after, err := ecs.Edits{Images: []ecs.Move{{Repository: "magento2", Tag: "300", Digest: digest}}}.Apply(web(), []string{"magento2"})
	if err != nil {
		t.Fatal(err)
	}
	if got := *after.ContainerDefinitions[0].Image; got != registry+"/magento2@"+digest {
		t.Error(got)
	}
}

func TestEditsRefuse(t *testing.T) {
	for name, e := range map[string]ecs.Edits{
		"has no container":   {Env: []ecs.Variable{{Container: "php", Name: "A"}}},
		"name the container": {Env: []ecs.Variable{{Name: "A"}}},
		"given twice":        {Env: []ecs.Variable{{Name: "A"}}, Unset: []ecs.Variable{{Name: "A"}}},
		"no ARN":             {Secrets: []ecs.Variable{{Name: "A"}}},
		"CPU":                {CPU: "fast"},
		"memory":             {Memory: "-1"},
		"tag":                {Images: []ecs.Move{{Repository: "shop", Tag: "a b"}}},
	} {
		if _, err := e.Apply(web(), []string{"other"}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []string{"A", "=x", "1A=x", "a b=x", "c c/A=x", "/A=x"} {
		if v, err := ecs.ParseVariable(s); err == nil {
			t.Errorf("%q was taken as %+v", s, v)
		}
	}
}

func TestSensitive(t *testing.T) {
	for _, name := range []string{"DB_PASSWORD", "MAGENTO_DC_CRYPT__KEY", "API_TOKEN", "AWS_SECRET_ACCESS_KEY", "NEW_RELIC_LICENSE_KEY", "COMPOSER_AUTH"} {
		if !ecs.Sensitive(name, "x") {
			t.Errorf("%s would be shown", name)
		}
	}
	if !ecs.Sensitive("DATABASE_URL", "mysql://shop:hunter2@db/shop") {
		t.Error("a URL with a password would be shown")
	}
	for _, name := range []string{"PHP_PORT", "MAGE_MODE", "BASE_URL"} {
		if ecs.Sensitive(name, "https://shop.example/") {
			t.Errorf("%s would be hidden", name)
		}
	}
}

func FuzzEdits(f *testing.F) {
	f.Add("magento2", "300", "A=1", "magento/B=arn:x", "OLD", "1024")
	f.Add("nginx", "300", "nginx/A=1=2", "B=x", "magento/MODE", "1 vCPU")
	f.Fuzz(func(t *testing.T, repository, tag, env, secret, unset, cpu string) {
		e := ecs.Edits{CPU: cpu, Images: []ecs.Move{{Repository: repository, Tag: tag}}}
		if v, err := ecs.ParseVariable(env); err == nil {
			e.Env = append(e.Env, v)
		}
		if v, err := ecs.ParseVariable(secret); err == nil {
			e.Secrets = append(e.Secrets, v)
		}
		if v, err := ecs.ParseName(unset); err == nil {
			e.Unset = append(e.Unset, v)
		}
		repositories := []string{"magento2", "nginx"}
		after, err := e.Apply(web(), repositories)
		if err != nil {
			return
		}
		again, err := e.Apply(after, repositories)
		if err != nil {
			t.Fatalf("what was edited once cannot be edited again: %v", err)
		}
		if d := ecs.Diff(after, again); len(d) != 0 {
			t.Fatalf("editing twice is not the same as editing once:\n%s", d)
		}
		for i, c := range after.ContainerDefinitions {
			was := web().ContainerDefinitions[i]
			if ref, err := ecs.ParseReference(*was.Image); (err != nil || !ref.In(repository)) && *c.Image != *was.Image {
				t.Fatalf("%s became %s", *was.Image, *c.Image)
			}
			names := map[string]bool{}
			for _, p := range c.Environment {
				if names[*p.Name] {
					t.Fatalf("%s is set twice", *p.Name)
				}
				names[*p.Name] = true
			}
			for _, s := range c.Secrets {
				if names[*s.Name] {
					t.Fatalf("%s is a variable and a secret", *s.Name)
				}
			}
		}
	})
}
