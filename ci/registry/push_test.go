package registry_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	ocitypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
)

// cloud is a simulated AWS over TLS, and what a push needs to reach it.
type cloud struct {
	*awssim.World
	clock  *awssim.VirtualClock
	server *httptest.Server
	api    *ecr.Client
	host   string

	mu       sync.Mutex
	progress []string
}

func newCloud(t *testing.T) *cloud {
	clock := &awssim.VirtualClock{}
	world, err := awssim.New(awssim.Config{Clock: clock, Topology: &awssim.Topology{Account: "111111111111", Region: "us-east-1"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{World: world, clock: clock, server: httptest.NewTLSServer(world.Handler())}
	t.Cleanup(c.server.Close)
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that a fault cuts
	if err := world.SetRegistryEndpoint(c.server.URL); err != nil {
		t.Fatal(err)
	}
	c.host = strings.TrimPrefix(c.server.URL, "https://")
	c.api = ecr.New(ecr.Options{
		Region: "us-east-1", BaseEndpoint: &c.server.URL, HTTPClient: c.server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "hunter2", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 10
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})
	return c
}

func (c *cloud) options() registry.Options {
	return registry.Options{
		ECR: c.api, Transport: c.server.Client().Transport, Now: c.clock.Now, Pause: time.Microsecond,
		Progress: func(line string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.progress = append(c.progress, line)
		},
	}
}

func (c *cloud) registry(t *testing.T) *registry.Registry { return c.with(t, c.options()) }

func (c *cloud) with(t *testing.T, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.New(c.host, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tags returns what the tags of a repository name.
func (c *cloud) tags(t *testing.T, repository string) map[string]string {
	t.Helper()
	out, err := c.api.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: &repository})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, im := range out.ImageDetails {
		for _, tag := range im.ImageTags {
			all[tag] = *im.ImageDigest
		}
	}
	return all
}

// layerOf packs files as a layer, not compressed.
func layerOf(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, n := range slices.Sorted(maps.Keys(files)) {
		if err := tw.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(files[n]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, files[n]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(b.Bytes(), ocitypes.OCIUncompressedLayer)
}

// makeImage makes an image of layers, each with one file of that content.
func makeImage(t *testing.T, version string, contents ...string) v1.Image {
	t.Helper()
	var adds []mutate.Addendum
	for i, content := range contents {
		adds = append(adds, mutate.Addendum{
			Layer:   layerOf(t, map[string]string{fmt.Sprintf("layer%d/file", i): content}),
			History: v1.History{CreatedBy: fmt.Sprintf("layer%d", i)},
		})
	}
	im, err := mutate.Append(empty.Image, adds...)
	if err != nil {
		t.Fatal(err)
	}
	im, err = mutate.Config(im, v1.Config{Labels: map[string]string{image.LabelVersion: version}})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// bytesOf returns n bytes that no two seeds share.
func bytesOf(seed string, n int) string { return strings.Repeat(seed+".", n/len(seed)+1)[:n] }

// build makes the two images of a build whose code layer has this content.
func build(t *testing.T, number, code string) []registry.Image {
	vendor := bytesOf("vendor", 40_000)
	return []registry.Image{
		{Name: "magento2", Image: makeImage(t, number, bytesOf("base", 30_000), vendor, code, "build "+number)},
		{Name: "nginx", Image: makeImage(t, number, bytesOf("nginx", 20_000), "static", "build "+number)},
	}
}

func request(t *testing.T, number, code string, tags ...string) registry.Request {
	return registry.Request{Prefix: "magecloudkit", Tag: number, Tags: tags, Images: build(t, number, code), Create: true}
}

func digest(t *testing.T, im v1.Image) string {
	t.Helper()
	h, err := im.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

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
