package release_test

import (
	"context"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

// People are told of a person, a role or a resource of the release's own account without account and region.
func TestARNsForPeople(t *testing.T) {
	o, err := rehearse.Run(context.Background(), rehearse.Scenario{Want: release.Released, Request: func(r *release.Request) { r.By = "" }}, nil)
	if err != nil || !o.OK() {
		t.Fatal(err, o.Wrong)
	}
	past, err := release.New(release.NewClients(o.Stage.World.ClientConfig()), release.Options{Clock: o.Stage.World.Clock()}).History(context.Background(), o.Stage.Request, 1)
	if err != nil {
		t.Fatal(err)
	}
	if p := past[0]; p.Who() != "user/deployer" || p.By != "arn:aws:iam::111111111111:user/deployer" {
		t.Errorf("%q, %q", p.Who(), p.By)
	}
	r := o.Result
	r.Reason = "role arn:aws:iam::111111111111:role/web: x, secret arn:aws:secretsmanager:us-east-1:111111111111:secret:a/b:KEY::, " +
		"arn:aws:ecs:eu-west-1:111111111111:service/c/s, (arn:aws:iam::222222222222:role/other), --service-deployment-arn arn:aws:ecs:us-east-1:111111111111:service-deployment/c/s/1"
	want := "role web: x, secret a/b:KEY::, arn:aws:ecs:eu-west-1:111111111111:service/c/s, (arn:aws:iam::222222222222:role/other), " +
		"--service-deployment-arn arn:aws:ecs:us-east-1:111111111111:service-deployment/c/s/1"
	if got := r.Summary(); !strings.Contains(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}
