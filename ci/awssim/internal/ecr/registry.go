package ecr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// dataPlane is ECR's registry as docker speaks to it: the OCI distribution protocol behind ECR's login. Blobs are
// uploaded and served by go-containerregistry's registry; manifests and tags are those of Registry, so that an image
// that was pushed is one that DescribeImages shows, and the repository's tag mutability holds.
//
// A request counts as the call of the API that IAM asks permission for: uploading a part is ecr:UploadLayerPart.
// Faults strike it under that name, and it is recorded under it.
//
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html#registry_auth_http
type dataPlane struct {
	g     *Registry
	blobs http.Handler
}

// Host is the world around the registry.
type Host interface {
	// Locked calls do with the world locked and brought up to date.
	Locked(do func())
	// Perform carries a call out with whatever faults strike it, and records it. It is for use in Locked.
	Perform(c *wire.Call, agent string, input []byte, run func(*wire.Call) (any, error)) wire.Outcome
	// Sleep waits on the world's clock.
	Sleep(ctx context.Context, d time.Duration) error
}

// DataPlane returns the handler of everything below /v2/.
func (g *Registry) DataPlane() http.Handler {
	return &dataPlane{g: g, blobs: registry.New(
		registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(blobStore{g}))}
}

// ociTarget is what the path of a request names.
type ociTarget struct {
	repo string
	kind string // "manifests", "blobs", "uploads", "tags"; empty for the registry itself
	ref  string
}

func parseTarget(path string) (ociTarget, bool) {
	rest := strings.Trim(strings.TrimPrefix(path, "/v2"), "/")
	if rest == "" {
		return ociTarget{}, true
	}
	parts := strings.Split(rest, "/")
	n := len(parts)
	switch {
	case n >= 3 && parts[n-2] == "blobs" && parts[n-1] == "uploads":
		return ociTarget{repo: strings.Join(parts[:n-2], "/"), kind: "uploads"}, true
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads":
		return ociTarget{repo: strings.Join(parts[:n-3], "/"), kind: "uploads", ref: parts[n-1]}, true
	case n >= 3 && slices.Contains([]string{"manifests", "blobs", "tags", "referrers"}, parts[n-2]):
		return ociTarget{repo: strings.Join(parts[:n-2], "/"), kind: parts[n-2], ref: parts[n-1]}, true
	}
	return ociTarget{}, false
}

// operation is the API's name for what a request does.
func (t ociTarget) operation(method string) string {
	return map[string]string{
		"HEAD blobs":       "BatchCheckLayerAvailability",
		"GET blobs":        "GetDownloadUrlForLayer",
		"POST uploads":     "InitiateLayerUpload",
		"PATCH uploads":    "UploadLayerPart",
		"PUT uploads":      "CompleteLayerUpload",
		"HEAD manifests":   "BatchGetImage",
		"GET manifests":    "BatchGetImage",
		"PUT manifests":    "PutImage",
		"DELETE manifests": "BatchDeleteImage",
		"GET tags":         "ListImages",
		// Its own API call, ListImageReferrers, asks for this permission:
		// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
		"GET referrers": "BatchGetImage",
	}[method+" "+t.kind]
}

func (p *dataPlane) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	t, ok := parseTarget(r.URL.Path)
	op := t.operation(r.Method)
	if !ok || t.kind != "" && op == "" {
		writeOCIError(rw, r, &wire.Error{Code: "UNSUPPORTED", Message: "The operation is unsupported.", Status: http.StatusNotFound})
		return
	}
	var manifest []byte
	if op == "PutImage" {
		var err error
		if manifest, err = io.ReadAll(http.MaxBytesReader(rw, r.Body, 4<<20)); err != nil { // ECR's limit of a manifest
			writeOCIError(rw, r, wire.Errf("InvalidParameterException", "%v", err))
			return
		}
	}
	answer, serve := p.exchange(r, t, op, manifest)
	if answer.Delay > 0 && p.g.host.Sleep(r.Context(), answer.Delay) != nil {
		return // the client is gone
	}
	if answer.Lost && serve != nil { // it is done, and then the answer is lost
		serve(&swallow{header: http.Header{}}, r)
	}
	switch {
	case answer.Cut:
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	case answer.Err != nil:
		writeOCIError(rw, r, answer.Err)
	default:
		serve(rw, r)
	}
}

// exchange carries a request out as far as the world is concerned. What moves blobs is left to serve, with the world
// unlocked: an upload may take as long as it likes. With lost it is done although the client gets an error, or nothing.
func (p *dataPlane) exchange(r *http.Request, t ociTarget, op string, manifest []byte) (o wire.Outcome, serve http.HandlerFunc) {
	p.g.host.Locked(func() {
		if p.signed(r, t) { // S3 answers, and no API is called
			serve = p.serveBlob(t)
			return
		}
		c := &wire.Call{Service: p.g.Service, Op: op, Now: p.g.k.Now}
		if c.Caller, o.Err = p.login(r); o.Err != nil {
			return
		}
		if op == "" {
			serve = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) }
			return
		}
		input, _ := json.Marshal(map[string]string{"repositoryName": t.repo, t.kind: t.ref}) // strings always marshal
		o = p.g.host.Perform(c, r.UserAgent(), input, func(c *wire.Call) (any, error) { return p.perform(c, r, t, manifest) })
		serve, _ = o.Answer.(http.HandlerFunc)
	})
	return o, serve
}

// perform does what a request asks for, and returns what writes the answer.
func (p *dataPlane) perform(c *wire.Call, r *http.Request, t ociTarget, manifest []byte) (any, error) {
	repo, err := p.g.repo(nil, &t.repo)
	if err != nil {
		return nil, err
	}
	switch c.Op {
	case "PutImage":
		return p.put(repo, t, r.Header.Get("Content-Type"), manifest)
	case "BatchGetImage":
		if t.kind == "referrers" {
			return p.referrers(repo, t, r.URL.Query().Get("artifactType")), nil
		}
		return p.get(c, repo, t)
	case "BatchDeleteImage":
		return p.remove(repo, t)
	case "ListImages":
		return p.tags(repo, t)
	}
	return p.serveBlob(t), nil
}

// repoKey is under which a request's context holds the repository: the blob registry's own idea of it is wrong in an
// upload, where it takes the path's "blobs" for a part of the name.
type repoKey struct{}

// serveBlob hands a request on to the registry of blobs.
func (p *dataPlane) serveBlob(t ociTarget) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		// The registry of blobs takes one upload at a time, from its first byte to its last. Over HTTP/2, where requests
		// share a connection, one that waits its turn keeps the bytes of the one before it from coming in.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		// ECR does not mount blobs of other repositories unless the registry is set to: the client has to upload.
		q := r.URL.Query()
		q.Del("mount")
		q.Del("from")
		r.URL.RawQuery = q.Encode()
		p.blobs.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), repoKey{}, t.repo)))
	}
}

// identifier is how the API names what a manifest's path names.
func (t ociTarget) identifier() types.ImageIdentifier {
	if strings.Contains(t.ref, ":") {
		return types.ImageIdentifier{ImageDigest: aws.String(t.ref)}
	}
	return types.ImageIdentifier{ImageTag: aws.String(t.ref)}
}

func (p *dataPlane) put(repo *ecrRepo, t ociTarget, mediaType string, manifest []byte) (http.HandlerFunc, error) {
	id := t.identifier()
	im, err := p.g.store(repo, manifest, mediaType, aws.ToString(id.ImageTag), aws.ToString(id.ImageDigest))
	if err != nil {
		return nil, err
	}
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Docker-Content-Digest", im.digest)
		rw.Header().Set("Location", fmt.Sprintf("/v2/%s/manifests/%s", t.repo, im.digest))
		rw.WriteHeader(http.StatusCreated)
	}, nil
}

func (p *dataPlane) get(c *wire.Call, repo *ecrRepo, t ociTarget) (http.HandlerFunc, error) {
	im, code, _ := repo.find(t.identifier())
	if code != "" {
		return nil, wire.Errf("ImageNotFoundException", "Requested image not found")
	}
	if im.status != types.ImageStatusActive {
		return nil, wire.Errf("ImageArchivedException", "The image with digest '%s' is archived", im.digest)
	}
	im.pulled = c.Now
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Docker-Content-Digest", im.digest)
		rw.Header().Set("Content-Type", im.mediaType)
		rw.Header().Set("Content-Length", fmt.Sprint(len(im.manifest)))
		rw.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = rw.Write(im.manifest) // a client that has gone away needs no answer
		}
	}, nil
}

// referrers lists what is attached to an image, which need not be there:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers
func (p *dataPlane) referrers(repo *ecrRepo, t ociTarget, artifactType string) http.HandlerFunc {
	manifests := []map[string]any{}
	for _, im := range repo.sorted() {
		if im.subject != t.ref || im.status != types.ImageStatusActive || artifactType != "" && im.artifactType != artifactType {
			continue
		}
		d := map[string]any{"mediaType": im.mediaType, "digest": im.digest, "size": len(im.manifest), "artifactType": im.artifactType}
		if im.annotations != nil {
			d["annotations"] = im.annotations
		}
		manifests = append(manifests, d)
	}
	return func(rw http.ResponseWriter, _ *http.Request) {
		const index = "application/vnd.oci.image.index.v1+json"
		rw.Header().Set("Content-Type", index)
		if artifactType != "" {
			rw.Header().Set("OCI-Filters-Applied", "artifactType")
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"schemaVersion": 2, "mediaType": index, "manifests": manifests}) // a client that has gone away needs no answer
	}
}

func (p *dataPlane) remove(repo *ecrRepo, t ociTarget) (http.HandlerFunc, error) {
	id := t.identifier()
	im, code, _ := repo.find(id)
	if code != "" {
		return nil, wire.Errf("ImageNotFoundException", "Requested image not found")
	}
	if code, reason := repo.remove(im, aws.ToString(id.ImageTag), aws.ToString(id.ImageDigest), &ecr.BatchDeleteImageOutput{}); code != "" {
		return nil, wire.Errf("InvalidParameterException", "%s", reason)
	}
	return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusAccepted) }, nil
}

func (p *dataPlane) tags(repo *ecrRepo, t ociTarget) (http.HandlerFunc, error) {
	tags := append([]string{}, slices.Sorted(maps.Keys(repo.byTag))...)
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{"name": t.repo, "tags": tags}) // a client that has gone away needs no answer
	}, nil
}

// signatureKey is the parameter that carries a signed address's signature.
const signatureKey = "X-Amz-Signature"

// signed reports whether a request has the address that GetDownloadUrlForLayer gave out for this blob.
func (p *dataPlane) signed(r *http.Request, t ociTarget) bool {
	token, ok := p.g.tokens[r.URL.Query().Get(signatureKey)]
	return ok && r.Method == http.MethodGet && t.kind == "blobs" && token.layer == t.ref && p.g.k.Now.Before(token.expires)
}

// login finds out whose token a request carries.
func (p *dataPlane) login(r *http.Request) (wire.Identity, *wire.Error) {
	user, password, ok := r.BasicAuth()
	token, known := p.g.tokens[password]
	switch {
	case !ok || user != "AWS" || !known || token.layer != "":
		return wire.Identity{}, &wire.Error{Code: "UNAUTHORIZED", Message: "Not Authorized", Status: http.StatusUnauthorized}
	case !p.g.k.Now.Before(token.expires):
		return wire.Identity{}, &wire.Error{Code: "DENIED", Message: "Your authorization token has expired. Reauthenticate and try again.", Status: http.StatusForbidden}
	}
	return token.caller, nil
}

// ociErrors are the registry's words for the API's errors.
var ociErrors = map[string]struct {
	code   string
	status int
}{
	"RepositoryNotFoundException":       {"NAME_UNKNOWN", 404},
	"ImageNotFoundException":            {"MANIFEST_UNKNOWN", 404},
	"ReferencedImagesNotFoundException": {"MANIFEST_UNKNOWN", 404},
	"ImageArchivedException":            {"DENIED", 403},
	"LayersNotFoundException":           {"MANIFEST_BLOB_UNKNOWN", 404},
	"ImageTagAlreadyExistsException":    {"TAG_INVALID", 400},
	"ImageDigestDoesNotMatchException":  {"DIGEST_INVALID", 400},
	"InvalidParameterException":         {"MANIFEST_INVALID", 400},
	"AccessDeniedException":             {"DENIED", 403},
	"ThrottlingException":               {"TOOMANYREQUESTS", 429},
	"ExpiredTokenException":             {"DENIED", 403},
	"UnrecognizedClientException":       {"DENIED", 403},
	"ServerException":                   {"UNKNOWN", 500},
}

func writeOCIError(rw http.ResponseWriter, r *http.Request, e *wire.Error) {
	// A client that is still sending a blob must get to read the answer.
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 64<<20))
	code, status := e.Code, e.Status
	if oci, ok := ociErrors[e.Code]; ok {
		code, status = oci.code, oci.status
	}
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusUnauthorized {
		rw.Header().Set("Www-Authenticate", fmt.Sprintf(`Basic realm="https://%s/",service="ecr.amazonaws.com"`, r.Host))
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(rw).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": e.Message}}}) // a client that has gone away needs no answer
	}
}

// swallow is a ResponseWriter for an answer that nobody gets.
type swallow struct{ header http.Header }

func (s *swallow) Header() http.Header         { return s.header }
func (s *swallow) Write(b []byte) (int, error) { return len(b), nil }
func (s *swallow) WriteHeader(int)             {}

// blobStore keeps the blobs of the repositories. A blob that another repository has is not there.
type blobStore struct{ g *Registry }

var (
	_ registry.BlobHandler     = blobStore{}
	_ registry.BlobStatHandler = blobStore{}
	_ registry.BlobPutHandler  = blobStore{}
)

func (s blobStore) lookUp(ctx context.Context, h v1.Hash) ([]byte, error) {
	var found []byte
	err := error(registry.ErrNotFound)
	s.g.host.Locked(func() {
		if r := s.repo(ctx); r != nil && r.blobs[h.String()] {
			found, err = s.g.blobs[h.String()], nil
		}
	})
	return found, err
}

func (s blobStore) repo(ctx context.Context) *ecrRepo {
	n, _ := ctx.Value(repoKey{}).(string)
	return s.g.repos[n]
}

// Stat returns the size of a blob.
func (s blobStore) Stat(ctx context.Context, _ string, h v1.Hash) (int64, error) {
	b, err := s.lookUp(ctx, h)
	return int64(len(b)), err
}

// Get opens a blob.
func (s blobStore) Get(ctx context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	b, err := s.lookUp(ctx, h)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Put keeps a blob, whose digest is checked while it is read.
func (s blobStore) Put(ctx context.Context, _ string, h v1.Hash, rc io.ReadCloser) error {
	b, err := io.ReadAll(rc)
	if err != nil {
		return err
	}
	s.g.host.Locked(func() {
		r := s.repo(ctx)
		if r == nil {
			err = errors.New("the repository was deleted during the upload")
			return
		}
		s.g.blobs[h.String()] = b
		r.blobs[h.String()] = true
	})
	return err
}
