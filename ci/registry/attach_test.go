package registry_test

import (
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	plain "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/registry"
)

// What is pushed with an image is found by the image's digest, whether the registry lists referrers itself or the list is
// kept under a tag; a second push adds nothing.
func TestAttachments(t *testing.T) {
	for what, supported := range map[string]bool{"referrers API": true, "tag schema": false} {
		t.Run(what, func(t *testing.T) {
			srv := httptest.NewServer(plain.New(plain.Logger(log.New(io.Discard, "", 0)), plain.WithReferrersSupport(supported)))
			t.Cleanup(srv.Close)
			u, err := url.Parse(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			im, err := random.Image(100, 2)
			if err != nil {
				t.Fatal(err)
			}
			req := registry.Request{Prefix: "shop", Tag: "7", Images: []registry.Image{{Name: "magento2", Image: im, Attach: []registry.Attachment{
				{To: im, Name: "sbom", Type: "application/vnd.cyclonedx+json", Content: []byte(`{"a": 1}`)},
				{To: im, Name: "provenance", Type: "application/vnd.in-toto+json", Content: []byte(`{"b": 2}`)},
			}}}}
			var first registry.Result
			for i := range 2 {
				r, err := registry.New(u.Host, registry.Options{Now: time.Now, Pause: time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				done, err := r.Push(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = done
				} else if a := done.Images[0].Attached; a[0].Sent || a[1].Sent || a[0].Digest != first.Images[0].Attached[0].Digest {
					t.Errorf("the second push attached %+v", a)
				}
			}
			digest, err := im.Digest()
			if err != nil {
				t.Fatal(err)
			}
			repo, err := name.NewRepository(u.Host + "/shop/magento2")
			if err != nil {
				t.Fatal(err)
			}
			index, err := remote.Referrers(repo.Digest(digest.String()))
			if err != nil {
				t.Fatal(err)
			}
			list, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, d := range list.Manifests {
				kind, content := document(t, repo, d)
				found[kind] = content
			}
			if len(list.Manifests) != 2 || found["application/vnd.cyclonedx+json"] != `{"a": 1}` || found["application/vnd.in-toto+json"] != `{"b": 2}` {
				t.Errorf("referrers: %v", found)
			}
		})
	}
}

// document is what a manifest holds, and of which type.
func document(t *testing.T, repo name.Repository, d v1.Descriptor) (kind, content string) {
	t.Helper()
	im, err := remote.Image(repo.Digest(d.Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := im.Manifest()
	if err != nil || m.Subject == nil || len(m.Layers) != 1 || m.ArtifactType != string(m.Layers[0].MediaType) {
		t.Fatal(err, m)
	}
	l, err := remote.Layer(repo.Digest(m.Layers[0].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return m.ArtifactType, string(raw)
}
