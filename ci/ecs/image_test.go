package ecs_test

import (
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

var references = map[string]ecs.Reference{
	"nginx":                                 {Path: "nginx"},
	"nginx:1.27":                            {Path: "nginx", Tag: "1.27"},
	"datadog/agent:7":                       {Path: "datadog/agent", Tag: "7"},
	"shop@" + digest:                        {Path: "shop", Digest: digest},
	"shop:299@" + digest:                    {Path: "shop", Tag: "299", Digest: digest},
	"registry.local:5000/shop":              {Registry: "registry.local:5000", Path: "shop"},
	"registry.local:5000/a/b__c/d-e.f:v1_2": {Registry: "registry.local:5000", Path: "a/b__c/d-e.f", Tag: "v1_2"},
	"localhost/shop:1":                      {Registry: "localhost", Path: "shop", Tag: "1"},
	"[::1]:5000/shop:1":                     {Registry: "[::1]:5000", Path: "shop", Tag: "1"},
	"111111111111.dkr.ecr.us-east-1.amazonaws.com/magecloudkit/magento2:299": {
		Registry: "111111111111.dkr.ecr.us-east-1.amazonaws.com", Path: "magecloudkit/magento2", Tag: "299"},
}

func TestParseReference(t *testing.T) {
	for s, want := range references {
		got, err := ecs.ParseReference(s)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
		if got.String() != s {
			t.Errorf("%s: printed as %s", s, got)
		}
	}
	for _, s := range []string{"", ":300", "shop:", "shop@", "shop@sha256:BUILD", "Shop:1", "a//b", "registry.local:port/shop", "shop:-1", "shop 1", "-host.x/shop"} {
		if got, err := ecs.ParseReference(s); err == nil {
			t.Errorf("%q: taken as %+v", s, got)
		}
	}
}

func TestReferenceIn(t *testing.T) {
	for _, c := range []struct {
		image, repository string
		want              bool
	}{
		{"registry.local:5000/shop:1", "shop", true},
		{"registry.local:5000/shop:1", "registry.local:5000/shop", true},
		{"registry.local:5001/shop:1", "registry.local:5000/shop", false},
		{"team/shop:1", "shop", false},
		{"shop-worker:1", "shop", false},
		{"shop@" + digest, "shop", true},
	} {
		r, err := ecs.ParseReference(c.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.In(c.repository); got != c.want {
			t.Errorf("%s in %s: %v", c.image, c.repository, got)
		}
	}
}

func TestReferenceECR(t *testing.T) {
	for image, want := range map[string]string{
		"111111111111.dkr.ecr.us-east-1.amazonaws.com/shop:1":      "us-east-1",
		"111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com/s":  "us-gov-west-1",
		"111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/shop:1":  "cn-north-1",
		"111111111111.dkr-ecr.eu-west-1.on.aws/shop":               "eu-west-1",
		"public.ecr.aws/nginx/nginx:1":                             "",
		"11111111111.dkr.ecr.us-east-1.amazonaws.com/shop:1":       "",
		"111111111111.dkr.ecr.us-east-1.amazonaws.com.evil.net/s1": "",
	} {
		r, err := ecs.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, region, ok := r.ECR(); region != want || ok != (want != "") {
			t.Errorf("%s: region %q, %v", image, region, ok)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for s := range references {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ecs.ParseReference(s)
		if err != nil {
			return
		}
		if r.String() != s {
			t.Fatalf("%q is printed as %q", s, r)
		}
		if !r.In(r.Repository()) {
			t.Fatalf("%q is not in its own repository %q", s, r.Repository())
		}
		if strings.ContainsAny(r.Path, ":@ ") {
			t.Fatalf("%q: path %q", s, r.Path)
		}
		again, err := ecs.ParseReference(r.Repository())
		if err != nil || again.Tag != "" || again.Digest != "" {
			t.Fatalf("%q: repository %q parses as %+v, %v", s, r.Repository(), again, err)
		}
	})
}
