package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/registry"
)

func TestPushToECR(t *testing.T) {
	c := newCloud(t)
	req := request(t, "300", "code", "latest")
	got, err := c.registry(t).Push(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []string{"magento2", "nginx"} {
		im, want := got.Images[i], digest(t, req.Images[i].Image)
		if im.Name != n || im.Digest != want || im.Reference != c.host+"/magecloudkit/"+n+":300" || im.Pinned != c.host+"/magecloudkit/"+n+"@"+want {
			t.Errorf("pushed %+v", im)
		}
		if diff := cmp.Diff(map[string]string{"300": want, "latest": want}, c.tags(t, "magecloudkit/"+n)); diff != "" {
			t.Errorf("tags of %s (-want +got):\n%s", n, diff)
		}
		if im.BytesSkipped != 0 || im.BytesSent < 20_000 {
			t.Errorf("%s: %d bytes sent, %d skipped", n, im.BytesSent, im.BytesSkipped)
		}
	}

	// What is there is the image, whole.
	login := registry.NewLogin(c.api, c.clock.Now)
	ref, err := name.ParseReference(got.Images[0].Pinned)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref, remote.WithAuth(login), remote.WithTransport(c.server.Client().Transport))
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Verify(pulled); err != nil {
		t.Error(err)
	}

	// The repositories are as they should be.
	repos, missing, err := registry.Repositories(t.Context(), c.api, nil, "magecloudkit/magento2", "magecloudkit/nginx", "other")
	if err != nil || len(repos) != 2 || !slices.Equal(missing, []string{"other"}) {
		t.Fatalf("repositories %v, missing %v, %v", repos, missing, err)
	}
	for _, r := range repos {
		if !r.Immutable("300") || r.Immutable("latest") {
			t.Errorf("tags of %+v: a build's must not move and latest must", r)
		}
		policy, err := c.api.GetLifecyclePolicy(t.Context(), &ecr.GetLifecyclePolicyInput{RepositoryName: &r.Name})
		if err != nil || !strings.Contains(*policy.LifecyclePolicyText, `"untagged"`) {
			t.Errorf("lifecycle policy of %s: %v", r.Name, err)
		}
	}

	// The same again sends no layer and moves no tag.
	again, err := c.registry(t).Push(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if again.BytesSent != 0 || again.BytesSkipped < 90_000 || again.Images[0].Moved != nil {
		t.Errorf("second push: %d bytes sent, %d skipped, moved %v", again.BytesSent, again.BytesSkipped, again.Images[0].Moved)
	}
}

func TestPushSendsWhatChanged(t *testing.T) {
	c := newCloud(t)
	if _, err := c.registry(t).Push(t.Context(), request(t, "300", "code")); err != nil {
		t.Fatal(err)
	}
	before := len(c.Calls())
	got, err := c.registry(t).Push(t.Context(), request(t, "301", "changed code"))
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range got.Images {
		var sent []string
		for _, b := range im.Blobs {
			if b.Sent > 0 {
				sent = append(sent, b.Name)
			}
		}
		want := []string{"layer2", "layer3", "config"} // the code, the build number, the configuration
		if im.Name == "nginx" {
			want = []string{"layer2", "config"}
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("%s: blobs sent (-want +got):\n%s", im.Name, diff)
		}
	}
	if got.BytesSent > 12_000 || got.BytesSkipped < 90_000 {
		t.Errorf("%d bytes sent, %d skipped", got.BytesSent, got.BytesSkipped)
	}
	// The registry saw just these uploads.
	uploads := 0
	for _, call := range c.Calls()[before:] {
		if call.Op == "ecr:UploadLayerPart" {
			uploads++
		}
	}
	if uploads != 5 {
		t.Errorf("the registry saw %d uploads, want 5", uploads)
	}
}

func TestPushWithoutRepositories(t *testing.T) {
	c := newCloud(t)
	req := request(t, "300", "code")
	req.Create = false
	_, err := c.registry(t).Push(t.Context(), req)
	if err == nil || !strings.Contains(err.Error(), "magecloudkit/magento2 and magecloudkit/nginx") || !strings.Contains(err.Error(), "--create") {
		t.Errorf("Push = %v, want an error that names both repositories and --create", err)
	}
}

// A role that may push and no more will do; what the repository would have said is found out by trying.
func TestPushWithFewPermissions(t *testing.T) {
	c := newCloud(t)
	if _, err := c.registry(t).Push(t.Context(), request(t, "300", "code")); err != nil {
		t.Fatal(err)
	}
	want := c.tags(t, "magecloudkit/magento2")
	if err := c.AddFault(awssim.Fault{Op: "ecr:DescribeRepositories", Kind: awssim.Denied}); err != nil {
		t.Fatal(err)
	}
	req := request(t, "301", "code")
	req.Create = false
	if _, err := c.registry(t).Push(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	req = request(t, "300", "other code")
	req.Create = false
	_, err := c.registry(t).Push(t.Context(), req)
	var failed *registry.TagError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "another build number") {
		t.Errorf("Push = %v, want a TagError that says what to do", err)
	}
	if got := c.tags(t, "magecloudkit/magento2"); got["300"] != want["300"] {
		t.Errorf("tags %v", got)
	}
	if err := c.AddFault(awssim.Fault{Op: "ecr:BatchGetImage", Kind: awssim.Denied}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.registry(t).Push(t.Context(), req); err == nil || !strings.Contains(err.Error(), "the credentials need ecr:BatchGetImage") {
		t.Errorf("Push = %v", err)
	}
}

func TestPushOverImmutableTag(t *testing.T) {
	c := newCloud(t)
	first := request(t, "300", "code", "latest")
	if _, err := c.registry(t).Push(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	before := len(c.Calls())
	_, err := c.registry(t).Push(t.Context(), request(t, "300", "other code", "latest"))
	var conflict *registry.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Tags) != 1 {
		t.Fatalf("Push = %v, want a conflict of magento2's tag alone: nginx is the same", err)
	}
	if got := conflict.Tags[0]; got.Digest != digest(t, first.Images[0].Image) || got.Reference != c.host+"/magecloudkit/magento2:300" {
		t.Errorf("conflict %+v", got)
	}
	if !strings.Contains(err.Error(), "another build number") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	for _, call := range c.Calls()[before:] {
		if slices.Contains([]string{"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:PutImage"}, call.Op) {
			t.Errorf("%s was called although the push was refused", call.Op)
		}
	}
	// latest is excluded from the rule, and moves.
	second := request(t, "301", "other code", "latest")
	if _, err := c.registry(t).Push(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if got, want := c.tags(t, "magecloudkit/magento2")["latest"], digest(t, second.Images[0].Image); got != want {
		t.Errorf("latest is %s, want %s", got, want)
	}
}

// With throttling at every third call, of the API and of the registry alike, a push succeeds.
func TestPushThrottled(t *testing.T) {
	c := newCloud(t)
	if err := c.AddFault(awssim.Fault{Op: "*", Kind: awssim.Throttle, Every: 3}); err != nil {
		t.Fatal(err)
	}
	req := request(t, "300", "code", "latest")
	if _, err := c.registry(t).Push(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	throttled := 0
	for _, call := range c.Calls() {
		if call.Fault == awssim.Throttle {
			throttled++
		}
	}
	if throttled < 10 {
		t.Errorf("only %d calls were throttled", throttled)
	}
	c.ClearFaults()
	for _, im := range req.Images {
		if got := c.tags(t, "magecloudkit/"+im.Name); got["300"] != digest(t, im.Image) || got["latest"] != digest(t, im.Image) {
			t.Errorf("tags of %s: %v", im.Name, got)
		}
	}
}

// Every kind of call goes wrong once, in every way, and the push succeeds.
func TestPushSurvives(t *testing.T) {
	for _, kind := range []awssim.FaultKind{awssim.Throttle, awssim.Broken, awssim.BrokenLate, awssim.DropBefore, awssim.DropAfter} {
		t.Run(string(kind), func(t *testing.T) {
			c := newCloud(t)
			ops := []string{
				"GetAuthorizationToken", "DescribeRepositories", "CreateRepository", "PutLifecyclePolicy", "BatchGetImage",
				"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage",
			}
			for _, op := range ops {
				if err := c.AddFault(awssim.Fault{Op: "ecr:" + op, Kind: kind, Nth: 1}); err != nil {
					t.Fatal(err)
				}
			}
			req := request(t, "300", "code")
			if _, err := c.registry(t).Push(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			struck := map[string]bool{}
			for _, call := range c.Calls() {
				if call.Fault == kind {
					struck[call.Op] = true
				}
			}
			if len(struck) != len(ops) {
				t.Errorf("the fault struck %v alone", struck)
			}
			for _, im := range req.Images {
				if got := c.tags(t, "magecloudkit/"+im.Name); got["300"] != digest(t, im.Image) {
					t.Errorf("tags of %s: %v", im.Name, got)
				}
			}
		})
	}
}

// A token that ends while layers are being sent is fetched again.
func TestPushRenewsLogin(t *testing.T) {
	for what, pass := range map[string]time.Duration{
		"known to have ended":                 13 * time.Hour,
		"ended on the registry's clock alone": 0,
	} {
		t.Run(what, func(t *testing.T) {
			c := newCloud(t)
			o := c.options()
			var mu sync.Mutex
			uploads := 0
			inner := o.Transport
			o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				mu.Lock()
				if req.Method == http.MethodPatch {
					if uploads++; uploads == 3 {
						c.clock.Advance(13 * time.Hour)
					}
				}
				mu.Unlock()
				return inner.RoundTrip(req)
			})
			if pass == 0 { // our clock stands still, so that only the registry's refusal tells
				now := c.clock.Now()
				o.Now = func() time.Time { return now }
			}
			req := request(t, "300", "code")
			if _, err := c.with(t, o).Push(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			logins := 0
			for _, call := range c.Calls() {
				if call.Op == "ecr:GetAuthorizationToken" {
					logins++
				}
			}
			if logins != 2 {
				t.Errorf("logged in %d times, want 2", logins)
			}
		})
	}
}

// If the second image cannot be tagged, the first one's tag is put back.
func TestBothOrNeither(t *testing.T) {
	denyPut := func(o registry.Options, repo, tag string) registry.Options {
		inner := o.Transport
		o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, "/"+repo+"/manifests/"+tag) {
				return &http.Response{
					StatusCode: http.StatusForbidden, Request: req, Header: http.Header{},
					Body: io.NopCloser(strings.NewReader(`{"errors":[{"code":"DENIED","message":"no"}]}`)),
				}, nil
			}
			return inner.RoundTrip(req)
		})
		return o
	}

	t.Run("new tag", func(t *testing.T) {
		c := newCloud(t)
		_, err := c.with(t, denyPut(c.options(), "nginx", "300")).Push(t.Context(), request(t, "300", "code"))
		var failed *registry.TagError
		if !errors.As(err, &failed) || len(failed.Undone) != 1 || failed.Left != nil {
			t.Fatalf("Push = %v, want a TagError that says that one tag was put back", err)
		}
		for _, n := range []string{"magento2", "nginx"} {
			if got := c.tags(t, "magecloudkit/"+n); len(got) != 0 {
				t.Errorf("%s has tags %v", n, got)
			}
		}
		// Nothing stands in the way of a second push.
		if _, err := c.registry(t).Push(t.Context(), request(t, "300", "code")); err != nil {
			t.Errorf("second push: %v", err)
		}
	})

	t.Run("tag that moves", func(t *testing.T) {
		c := newCloud(t)
		if _, err := c.registry(t).Push(t.Context(), request(t, "300", "code", "latest")); err != nil {
			t.Fatal(err)
		}
		want := c.tags(t, "magecloudkit/magento2")
		_, err := c.with(t, denyPut(c.options(), "nginx", "latest")).Push(t.Context(), request(t, "301", "other code", "latest"))
		var failed *registry.TagError
		if !errors.As(err, &failed) || len(failed.Undone) != 3 {
			t.Fatalf("Push = %v, want a TagError that says that three tags were put back", err)
		}
		if diff := cmp.Diff(want, c.tags(t, "magecloudkit/magento2")); diff != "" {
			t.Errorf("tags of magento2 (-want +got):\n%s", diff)
		}
	})

	t.Run("cannot be put back", func(t *testing.T) {
		c := newCloud(t)
		if err := c.AddFault(awssim.Fault{Op: "ecr:BatchDeleteImage", Kind: awssim.Denied}); err != nil {
			t.Fatal(err)
		}
		_, err := c.with(t, denyPut(c.options(), "nginx", "300")).Push(t.Context(), request(t, "300", "code"))
		var failed *registry.TagError
		if !errors.As(err, &failed) || len(failed.Left) != 1 || !strings.Contains(failed.Left[0], "/magento2:300") {
			t.Fatalf("Push = %v, want a TagError that says that magento2:300 was left", err)
		}
		if got := c.tags(t, "magecloudkit/magento2"); len(got) != 1 {
			t.Errorf("tags %v: the error says that one was left", got)
		}
	})

	t.Run("interrupted", func(t *testing.T) {
		c := newCloud(t)
		ctx, interrupt := context.WithCancel(t.Context())
		o := c.options()
		inner := o.Transport
		o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := inner.RoundTrip(req)
			if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, "/magento2/manifests/300") {
				interrupt()
			}
			return resp, err
		})
		_, err := c.with(t, o).Push(ctx, request(t, "300", "code"))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Push = %v, want the interrupt", err)
		}
		for _, n := range []string{"magento2", "nginx"} {
			if got := c.tags(t, "magecloudkit/"+n); len(got) != 0 {
				t.Errorf("%s has tags %v", n, got)
			}
		}
	})

	t.Run("blob refused", func(t *testing.T) {
		c := newCloud(t)
		if err := c.AddFault(awssim.Fault{Op: "ecr:UploadLayerPart", Kind: awssim.Denied}); err != nil {
			t.Fatal(err)
		}
		_, err := c.registry(t).Push(t.Context(), request(t, "300", "code"))
		if err == nil || !strings.Contains(err.Error(), "No tag has moved") {
			t.Errorf("Push = %v", err)
		}
	})
}
