package registry_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	ocitypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/registry"
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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
