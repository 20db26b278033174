package registry_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
)

// Any OCI registry does, without ECR's API and over http on this machine.
func TestPushToPlainRegistry(t *testing.T) {
	var mu sync.Mutex
	refuse := ""
	inner := ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		deny := refuse != "" && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, refuse)
		mu.Unlock()
		if deny {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New(u.Host, registry.Options{Now: time.Now, Pause: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "1", "code", "latest")
	req.Prefix = "shop/app"
	got, err := r.Push(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if want := u.Host + "/shop/app/nginx:1"; got.Images[1].Reference != want {
		t.Errorf("pushed %s, want %s", got.Images[1].Reference, want)
	}
	read := func(ref string) string {
		parsed, err := name.ParseReference(u.Host + "/shop/app/" + ref)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Head(parsed)
		if err != nil {
			return ""
		}
		return d.Digest.String()
	}
	mu.Lock()
	refuse = "/nginx/manifests/latest"
	mu.Unlock()
	next := request(t, "2", "changed", "latest")
	next.Prefix = "shop/app"
	var failed *registry.TagError
	if _, err := r.Push(t.Context(), next); !errors.As(err, &failed) {
		t.Fatalf("Push = %v, want a TagError", err)
	}
	if read("magento2:2") != "" || read("nginx:2") != "" || read("magento2:latest") != digest(t, req.Images[0].Image) {
		t.Error("the tags were not put back")
	}
}

func TestPushWithoutLogin(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Www-Authenticate", `Basic realm="here"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	r, err := registry.New(host, registry.Options{Now: time.Now, Pause: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Push(t.Context(), request(t, "1", "code")); err == nil || !strings.Contains(err.Error(), "docker login "+host) {
		t.Errorf("Push = %v", err)
	}
}

func TestPushKeepsOffTheClear(t *testing.T) {
	r, err := registry.New("10.1.2.3:5000", registry.Options{Now: time.Now, Pause: time.Microsecond, Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme == "http" {
			t.Errorf("%s %s was sent in the clear", req.Method, req.URL)
		}
		return nil, errors.New("no TLS here")
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Push(t.Context(), request(t, "1", "code")); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("Push = %v", err)
	}
}

// A registry that is said to be in the clear is reached by a name, as a simulated AWS is from a container; nothing else is,
// and Amazon's never.
func TestPushInTheClear(t *testing.T) {
	c := newCloud(t)
	server := httptest.NewServer(c.Handler())
	t.Cleanup(server.Close)
	if err := c.SetRegistryEndpoint(server.URL); err != nil {
		t.Fatal(err)
	}
	o := c.options()
	o.Plain = true
	o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme != "http" { // the client looks for TLS first
			return nil, errors.New("no TLS here")
		}
		if req.URL.Host != "aws:4566" {
			t.Errorf("%s was sent in the clear", req.URL)
		}
		there := req.Clone(req.Context())
		there.URL.Host, there.Host = strings.TrimPrefix(server.URL, "http://"), req.URL.Host
		resp, err := http.DefaultTransport.RoundTrip(there)
		if err == nil {
			resp.Request = req
		}
		return resp, err
	})
	r, err := registry.New("aws:4566", o)
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "301", "code")
	req.Create = true
	if _, err := r.Push(t.Context(), req); err != nil {
		t.Error(err)
	}
	if _, err := registry.New("111111111111.dkr.ecr.us-east-1.amazonaws.com", o); err == nil || !strings.Contains(err.Error(), "never reached without TLS") {
		t.Errorf("Amazon's registry in the clear: %v", err)
	}
}

func TestPushRefusesBadRequests(t *testing.T) {
	c := newCloud(t)
	good := build(t, "300", "code")
	for want, req := range map[string]registry.Request{
		"no image":          {Tag: "1"},
		"cannot be a tag":   {Tag: "no spaces", Images: good},
		"repository's name": {Tag: "1", Prefix: "Upper Case", Images: good},
		"are build 300, and would be pushed as build 301": {Tag: "301", Images: good},
		"not of one build":     {Tag: "1", Images: []registry.Image{good[0], {Name: "nginx", Image: makeImage(t, "299", "x")}}},
		`"" cannot be a tag`:   {Images: good},
		`"a/b" cannot be a ta`: {Tag: "1", Tags: []string{"a/b"}, Images: good},
	} {
		if _, err := c.registry(t).Push(t.Context(), req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Push = %v, want an error with %q", err, want)
		}
	}
	if n := len(c.Calls()); n != 0 {
		t.Errorf("%d calls were made for requests that cannot be right", n)
	}
	for _, host := range []string{"", "https://r.example.com", "r.example.com/path", "r example"} {
		if _, err := registry.New(host, registry.Options{}); err == nil {
			t.Errorf("New(%q) took the address", host)
		}
	}
}

// No token, password or key stands in what a push says, be it successful or not.
func TestPushKeepsSecrets(t *testing.T) {
	c := newCloud(t)
	var said []string
	watch := c.options()
	inner := watch.Transport
	var mu sync.Mutex
	secrets := map[string]bool{"hunter2": true}
	watch.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if _, password, ok := req.BasicAuth(); ok {
			mu.Lock()
			secrets[password] = true
			secrets[strings.TrimPrefix(req.Header.Get("Authorization"), "Basic ")] = true
			mu.Unlock()
		}
		return inner.RoundTrip(req)
	})
	for _, op := range []string{"", "ecr:GetAuthorizationToken", "ecr:CreateRepository", "ecr:UploadLayerPart", "ecr:PutImage", "ecr:BatchGetImage"} {
		c.ClearFaults()
		if op != "" {
			if err := c.AddFault(awssim.Fault{Op: op, Kind: awssim.Denied}); err != nil {
				t.Fatal(err)
			}
		}
		result, err := c.with(t, watch).Push(t.Context(), request(t, "1"+fmt.Sprint(len(op)), "code"+op))
		said = append(said, fmt.Sprintf("%+v %v", result, err))
	}
	said = append(said, c.progress...)
	if len(secrets) < 3 {
		t.Fatal("the test saw no token")
	}
	for secret := range secrets {
		if strings.Contains(strings.Join(said, "\n"), secret) {
			t.Errorf("a secret was printed")
		}
	}
}

func TestImmutable(t *testing.T) {
	for _, tt := range []struct {
		mutability types.ImageTagMutability
		exclusions []string
		tag        string
		want       bool
	}{
		{types.ImageTagMutabilityMutable, nil, "300", false},
		{types.ImageTagMutabilityImmutable, nil, "latest", true},
		{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "latest", false},
		{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "dev-1", false},
		{types.ImageTagMutabilityImmutableWithExclusion, []string{"latest", "dev-*"}, "latest2", true},
		{types.ImageTagMutabilityImmutableWithExclusion, []string{"l.test"}, "latest", true},
		{types.ImageTagMutabilityMutableWithExclusion, []string{"v*"}, "v1", true},
		{types.ImageTagMutabilityMutableWithExclusion, []string{"v*"}, "latest", false},
	} {
		r := registry.Repository{Mutability: string(tt.mutability), Exclusions: tt.exclusions}
		if got := r.Immutable(tt.tag); got != tt.want {
			t.Errorf("%+v.Immutable(%q) = %v", r, tt.tag, got)
		}
	}
}

func TestParseECRAddress(t *testing.T) {
	for host, want := range map[string]string{
		"111111111111.dkr.ecr.us-east-1.amazonaws.com":              "111111111111 us-east-1",
		"111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn":          "111111111111 cn-north-1",
		"111111111111.dkr.ecr-fips.us-gov-west-1.amazonaws.com":     "111111111111 us-gov-west-1",
		"111111111111.dkr-ecr.us-west-2.on.aws":                     "111111111111 us-west-2",
		"docker.io":                                                 "",
		"127.0.0.1:5000":                                            "",
		"111111111111.dkr.ecr.us-east-1.amazonaws.com.evil.example": "",
	} {
		account, region, ok := ecrhost.Parse(host)
		if got := strings.TrimSpace(account + " " + region); got != want || ok != (want != "") {
			t.Errorf("ParseECRAddress(%q) = %q, %v", host, got, ok)
		}
	}
}

func TestLoginAddress(t *testing.T) {
	c := newCloud(t)
	got, err := registry.NewLogin(c.api, c.clock.Now).Address(t.Context())
	if err != nil || got != c.host {
		t.Errorf("Address = %q, %v", got, err)
	}
	if err := c.SetRegistryEndpoint("https://111111111111.dkr.ecr.us-east-1.amazonaws.com"); err != nil {
		t.Fatal(err)
	}
	got, err = registry.NewLogin(c.api, c.clock.Now).Address(t.Context())
	if want := "111111111111.dkr.ecr.us-east-1.amazonaws.com"; err != nil || got != want {
		t.Errorf("Address = %q, %v, want %s", got, err, want)
	}
}
