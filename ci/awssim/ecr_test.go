package awssim_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

const (
	repo     = "magecloudkit/magento2"
	registry = "111111111111.dkr.ecr.us-east-1.amazonaws.com"
)

// hub is a world whose registry is served over TLS.
type hub struct {
	*rig
	api  *ecr.Client
	srv  *httptest.Server
	host string
}

func startHub(t *testing.T, cfg awssim.Config) *hub {
	t.Helper()
	h := &hub{rig: start(t, cfg)}
	h.api = ecr.NewFromConfig(h.w.ClientConfig())
	h.srv = httptest.NewUnstartedServer(h.w.Handler())
	h.srv.EnableHTTP2 = true
	h.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.srv.StartTLS()
	t.Cleanup(h.srv.Close)
	h.must(h.w.SetRegistryEndpoint(h.srv.URL))
	h.host = strings.TrimPrefix(h.srv.URL, "https://")
	return h
}

// login is docker login.
func (h *hub) login() authn.Authenticator {
	h.Helper()
	out, err := h.api.GetAuthorizationToken(context.Background(), &ecr.GetAuthorizationTokenInput{})
	h.must(err)
	if got := *out.AuthorizationData[0].ProxyEndpoint; got != h.srv.URL {
		h.Errorf("the proxy endpoint is %s, want %s", got, h.srv.URL)
	}
	text, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	h.must(err)
	user, password, _ := strings.Cut(string(text), ":")
	if user != "AWS" {
		h.Errorf("the user is %q", user)
	}
	return &authn.Basic{Username: user, Password: password}
}

func (h *hub) options(auth authn.Authenticator) []remote.Option {
	return []remote.Option{
		remote.WithAuth(auth), remote.WithTransport(h.srv.Client().Transport),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryPredicate(func(error) bool { return false }), remote.WithRetryStatusCodes(),
	}
}

func (h *hub) ref(text string) name.Reference {
	h.Helper()
	ref, err := name.ParseReference(h.host + "/" + text)
	h.must(err)
	return ref
}

func (h *hub) push(text string, im v1.Image, auth authn.Authenticator) error {
	h.Helper()
	return remote.Write(h.ref(text), im, h.options(auth)...)
}

func (h *hub) random(size int64) v1.Image {
	h.Helper()
	im, err := random.Image(size, 2)
	h.must(err)
	return im
}

// wantOCI checks what a registry's error says.
func wantOCI(t *testing.T, err error, status int, code transport.ErrorCode, message string) {
	t.Helper()
	var te *transport.Error
	if !errors.As(err, &te) || te.StatusCode != status || len(te.Errors) != 1 || te.Errors[0].Code != code || !strings.Contains(te.Errors[0].Message, message) {
		t.Errorf("%v, want %d %s: %s", err, status, code, message)
	}
}

func TestRegistry(t *testing.T) {
	h := startHub(t, awssim.Config{})
	im := h.random(5000)
	h.must(h.push(repo+":1", im, h.login()))
	digest, err := im.Digest()
	h.must(err)

	// What was pushed can be pulled, whole.
	back, err := remote.Image(h.ref(repo+"@"+digest.String()), h.options(h.login())...)
	h.must(err)
	h.must(validate.Image(back))
	tags, err := remote.List(h.ref(repo).Context(), h.options(h.login())...)
	h.must(err)
	if !slices.Contains(tags, "1") || !slices.Contains(tags, "latest") {
		t.Errorf("tags %v", tags)
	}

	// The API shows it.
	out, err := h.api.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: aws.String(repo), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("1")}}})
	h.must(err)
	manifest, err := im.Manifest()
	h.must(err)
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	if d := out.ImageDetails[0]; *d.ImageDigest != digest.String() || !d.ImagePushedAt.Equal(h.clock.Now()) || *d.ImageSizeInBytes < size || *d.ImageSizeInBytes > size+5000 {
		t.Errorf("%+v", d)
	}

	// Every request counts as the call that IAM knows.
	seen := map[string]bool{}
	for _, c := range h.w.Calls() {
		seen[c.Op] = true
	}
	for _, op := range []string{"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage", "BatchGetImage", "GetDownloadUrlForLayer", "ListImages"} {
		if !seen["ecr:"+op] {
			t.Errorf("no call was recorded as ecr:%s", op)
		}
	}

	// A tag goes, and with the last one the image.
	h.must(remote.Delete(h.ref(repo+":1"), h.options(h.login())...))
	if _, err := remote.Head(h.ref(repo+"@"+digest.String()), h.options(h.login())...); err == nil {
		t.Error("the image is there without a tag")
	}
}

// Large layers are uploaded side by side over one connection.
func TestRegistryTakesLayersSideBySide(t *testing.T) {
	h := startHub(t, awssim.Config{})
	im, err := random.Image(2<<20, 4)
	h.must(err)
	h.must(h.push(repo+":1", im, h.login()))
	if _, err := remote.Head(h.ref(repo+":1"), h.options(h.login())...); err != nil {
		t.Error(err)
	}
}

func TestRegistryRefuses(t *testing.T) {
	h := startHub(t, awssim.Config{})
	auth := h.login()
	im := h.random(100)

	t.Run("no login", func(t *testing.T) {
		for _, auth := range []authn.Authenticator{authn.Anonymous, &authn.Basic{Username: "AWS", Password: "made up"}} {
			var te *transport.Error
			if err := h.push(repo+":1", im, auth); !errors.As(err, &te) || te.StatusCode != http.StatusUnauthorized {
				t.Errorf("%v", err)
			}
		}
		res, err := h.srv.Client().Get(h.srv.URL + "/v2/")
		h.must(err)
		res.Body.Close()
		if got := res.Header.Get("Www-Authenticate"); !strings.HasPrefix(got, "Basic realm=") {
			t.Errorf("Www-Authenticate: %q", got)
		}
	})
	t.Run("no repository", func(t *testing.T) {
		err := h.push("no/such:1", im, auth)
		wantOCI(t, err, 404, transport.NameUnknownErrorCode, "The repository with name 'no/such' does not exist in the registry with id '111111111111'")
	})
	t.Run("another image under an immutable tag", func(t *testing.T) {
		err := h.push(repo+":300", im, auth)
		wantOCI(t, err, 400, transport.TagInvalidErrorCode, "The image tag '300' already exists in the 'magecloudkit/magento2' repository and cannot be overwritten because the tag is immutable.")
		if err := h.push(repo+":latest", im, auth); err != nil {
			t.Errorf("latest is excluded: %v", err)
		}
	})
	t.Run("manifest without its layers", func(t *testing.T) {
		other := h.random(100)
		pusher, err := remote.NewPusher(h.options(auth)...)
		h.must(err)
		wantOCI(t, pusher.Put(t.Context(), h.ref(repo+":2"), other), 404, transport.ManifestBlobUnknownErrorCode, "Layers with digests")
	})
	t.Run("layers of another repository", func(t *testing.T) {
		h.must(h.push(repo+":3", im, auth))
		pusher, err := remote.NewPusher(h.options(auth)...)
		h.must(err)
		wantOCI(t, pusher.Put(t.Context(), h.ref("magecloudkit/nginx:3"), im), 404, transport.ManifestBlobUnknownErrorCode, "Layers with digests")
	})
	t.Run("index without its images", func(t *testing.T) {
		index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: h.random(10)})
		pusher, err := remote.NewPusher(h.options(auth)...)
		h.must(err)
		wantOCI(t, pusher.Put(t.Context(), h.ref(repo+":4"), index), 404, transport.ManifestUnknownErrorCode, "do not exist")
	})
	t.Run("archived image", func(t *testing.T) {
		_, err := h.api.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
			RepositoryName: aws.String(repo), ImageId: &types.ImageIdentifier{ImageTag: aws.String("295")}, TargetStorageClass: types.TargetStorageClassArchive,
		})
		h.must(err)
		_, err = remote.Get(h.ref(repo+":295"), h.options(auth)...)
		wantOCI(t, err, 403, transport.DeniedErrorCode, "archived")
		out, err := h.api.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: aws.String(repo)})
		h.must(err)
		if slices.ContainsFunc(out.ImageIds, func(id types.ImageIdentifier) bool { return aws.ToString(id.ImageTag) == "295" }) {
			t.Error("an archived image is listed without being asked for")
		}
	})
	t.Run("token that has ended", func(t *testing.T) {
		h.clock.Advance(12 * time.Hour)
		_, err := remote.Get(h.ref(repo+":300"), h.options(auth)...)
		wantOCI(t, err, 403, transport.DeniedErrorCode, "Your authorization token has expired. Reauthenticate and try again.")
		if _, err := remote.Get(h.ref(repo+":300"), h.options(h.login())...); err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown request", func(t *testing.T) {
		for _, path := range []string{"/v2/x", "/v2/_catalog", "/v2/a/b/others/sha256:00"} {
			res, err := h.srv.Client().Get(h.srv.URL + path)
			h.must(err)
			res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s", path, res.Status)
			}
		}
	})
}

func TestRegistryFaults(t *testing.T) {
	for kind, want := range map[awssim.FaultKind]struct {
		status int
		code   transport.ErrorCode
	}{
		awssim.Throttle: {429, transport.TooManyRequestsErrorCode}, awssim.Broken: {500, transport.UnknownErrorCode}, awssim.Denied: {403, transport.DeniedErrorCode},
	} {
		h := startHub(t, awssim.Config{})
		auth := h.login()
		h.must(h.w.AddFault(awssim.Fault{Op: "ecr:UploadLayerPart", Kind: kind}))
		wantOCI(t, h.push(repo+":1", h.random(100), auth), want.status, want.code, "")
	}
	// An answer that is lost after the image was put: it is there.
	for _, kind := range []awssim.FaultKind{awssim.DropAfter, awssim.BrokenLate} {
		h := startHub(t, awssim.Config{})
		auth := h.login()
		h.must(h.w.AddFault(awssim.Fault{Op: "ecr:PutImage", Kind: kind, Nth: 1}, awssim.Fault{Op: "ecr:CompleteLayerUpload", Kind: kind, Nth: 99}))
		if err := h.push(repo+":1", h.random(100), auth); err == nil {
			t.Errorf("%s: the push heard of success", kind)
		}
		if _, err := remote.Head(h.ref(repo+":1"), h.options(auth)...); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestBatchDeleteImage(t *testing.T) {
	r := start(t, awssim.Config{Topology: &awssim.Topology{Account: "111111111111", Region: "us-east-1", Repositories: []awssim.RepositorySpec{{
		Name: "aa", Images: []awssim.ImageSpec{{Tags: []string{"one", "two"}}, {Tags: []string{"multi"}, Platforms: []string{"linux/amd64", "linux/arm64"}}},
	}}}})
	api := ecr.NewFromConfig(r.w.ClientConfig())
	remove := func(ids ...types.ImageIdentifier) (deleted int, failures []types.ImageFailureCode) {
		t.Helper()
		out, err := api.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: aws.String("aa"), ImageIds: ids})
		r.must(err)
		for _, f := range out.Failures {
			failures = append(failures, f.FailureCode)
		}
		return len(out.ImageIds), failures
	}
	images := func() (digests map[string]string) {
		t.Helper()
		out, err := api.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: aws.String("aa")})
		r.must(err)
		digests = map[string]string{}
		for _, d := range out.ImageDetails {
			digests[strings.Join(d.ImageTags, "+")] = *d.ImageDigest // the untagged ones count as one
		}
		return digests
	}
	digests := images()
	tag := func(s string) types.ImageIdentifier { return types.ImageIdentifier{ImageTag: &s} }
	digest := func(s string) types.ImageIdentifier { return types.ImageIdentifier{ImageDigest: &s} }

	n, failures := remove(digest(digests[""]), tag("gone"), types.ImageIdentifier{}, digest("nonsense"),
		types.ImageIdentifier{ImageTag: aws.String("one"), ImageDigest: aws.String(digests["multi"])})
	want := []types.ImageFailureCode{
		types.ImageFailureCodeImageReferencedByManifestList, types.ImageFailureCodeImageNotFound, types.ImageFailureCodeMissingDigestAndTag,
		types.ImageFailureCodeInvalidImageDigest, types.ImageFailureCodeImageTagDoesNotMatchDigest,
	}
	if diff := cmp.Diff(want, failures); n != 0 || diff != "" {
		t.Errorf("%d deleted, failures (-want +got):\n%s", n, diff)
	}
	if n, _ := remove(tag("one")); n != 1 || images()["two"] == "" {
		t.Errorf("one of two tags: %d, %v", n, images())
	}
	if n, _ := remove(digest(digests["one+two"])); n != 1 || images()["two"] != "" {
		t.Errorf("by digest: %d, %v", n, images())
	}
	// An index and its images, in whichever order.
	out, err := api.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: aws.String("aa")})
	r.must(err)
	if n, failures := remove(out.ImageIds...); n != 3 || failures != nil || len(images()) != 0 {
		t.Errorf("%d deleted, %v", n, failures)
	}
}

func TestECRErrors(t *testing.T) {
	r := start(t, awssim.Config{})
	api := ecr.NewFromConfig(r.w.ClientConfig())
	ctx := t.Context()
	ids := make([]types.ImageIdentifier, 101)
	for i := range ids {
		ids[i].ImageTag = aws.String(fmt.Sprint(i))
	}
	latest := []types.ImageIdentifier{{ImageTag: aws.String("300")}}
	get, err := api.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: aws.String(repo), ImageIds: latest})
	r.must(err)
	manifest := get.Images[0].ImageManifest
	older, err := api.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: aws.String(repo), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("299")}}})
	r.must(err)

	for name, tt := range map[string]struct {
		call          func() (any, error)
		code, message string
	}{
		"no repository": {func() (any, error) {
			return api.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String("x/y")})
		}, "RepositoryNotFoundException", "The repository with name 'x/y' does not exist in the registry with id '111111111111'"},
		"repository that is there": {func() (any, error) {
			return api.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String(repo)})
		}, "RepositoryAlreadyExistsException", "The repository with name 'magecloudkit/magento2' already exists in the registry with id '111111111111'"},
		"bad name": {func() (any, error) {
			return api.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("Upper")})
		}, "InvalidParameterException", "Invalid parameter at 'repositoryName'"},
		"exclusion without filters": {func() (any, error) {
			return api.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("x"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion})
		}, "InvalidParameterException", ""},
		"repository that holds images": {func() (any, error) {
			return api.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String(repo)})
		}, "RepositoryNotEmptyException", "cannot be deleted because it still contains images"},
		"no image": {func() (any, error) {
			return api.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String(repo), ImageIds: ids[:1]})
		}, "ImageNotFoundException", "The image with imageId {imageDigest:'null', imageTag:'0'} does not exist within the repository with name 'magecloudkit/magento2' in the registry with id '111111111111'"},
		"101 images": {func() (any, error) {
			return api.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: aws.String(repo), ImageIds: ids})
		}, "InvalidParameterException", "less than or equal to 100"},
		"page of 1001": {func() (any, error) {
			return api.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String(repo), MaxResults: aws.Int32(1001)})
		}, "InvalidParameterException", "less than or equal to 1000"},
		"token of nobody": {func() (any, error) {
			return api.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: aws.String(repo), NextToken: aws.String("?")})
		}, "InvalidParameterException", "nextToken"},
		"image that is there": {func() (any, error) {
			return api.PutImage(ctx, &ecr.PutImageInput{RepositoryName: aws.String(repo), ImageManifest: manifest, ImageTag: aws.String("300")})
		}, "ImageAlreadyExistsException", "and tag '300' already exists in the repository with name 'magecloudkit/magento2'"},
		"tag that is taken": {func() (any, error) {
			return api.PutImage(ctx, &ecr.PutImageInput{RepositoryName: aws.String(repo), ImageManifest: older.Images[0].ImageManifest, ImageTag: aws.String("300")})
		}, "ImageTagAlreadyExistsException", "cannot be overwritten because the tag is immutable"},
		"no policy": {func() (any, error) {
			return api.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: aws.String(repo)})
		}, "LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name 'magecloudkit/magento2'"},
		"policy that is none": {func() (any, error) {
			return api.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: aws.String(repo), LifecyclePolicyText: aws.String(`{"rules":[{}]}`)})
		}, "InvalidParameterException", "LifecyclePolicyText"},
		"another account's registry": {func() (any, error) {
			return api.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String(repo), RegistryId: aws.String("222222222222")})
		}, "RepositoryNotFoundException", "222222222222"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.call()
			wantCode(t, err, tt.code)
			if err != nil && !strings.Contains(err.Error(), tt.message) {
				t.Errorf("%v, want %q", err, tt.message)
			}
		})
	}
}

func TestECRPages(t *testing.T) {
	top := &awssim.Topology{Account: "111111111111", Region: "us-east-1", Repositories: []awssim.RepositorySpec{{Name: "aa"}}}
	for i := range 250 {
		top.Repositories[0].Images = append(top.Repositories[0].Images, awssim.ImageSpec{Tags: []string{fmt.Sprint(i)}})
	}
	r := start(t, awssim.Config{Topology: top})
	api := ecr.NewFromConfig(r.w.ClientConfig())
	for _, size := range []*int32{nil, aws.Int32(7), aws.Int32(1000)} {
		pages := ecr.NewDescribeImagesPaginator(api, &ecr.DescribeImagesInput{RepositoryName: aws.String("aa"), MaxResults: size})
		seen := map[string]bool{}
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			r.must(err)
			if most := int(aws.ToInt32(size)); size == nil && len(page.ImageDetails) > 100 || most > 0 && len(page.ImageDetails) > most {
				t.Errorf("a page of %d", len(page.ImageDetails))
			}
			for _, d := range page.ImageDetails {
				seen[*d.ImageDigest] = true
			}
		}
		if len(seen) != 250 {
			t.Errorf("%d images seen", len(seen))
		}
	}
}

// A task finds its images, secrets and log group in the other services, and says why it cannot.
func TestTasksAskTheOtherServices(t *testing.T) {
	h := startHub(t, awssim.Config{})
	h.must(h.push(repo+":301", h.random(10), h.login()))
	_, err := h.api.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
		RepositoryName: aws.String(repo), ImageId: &types.ImageIdentifier{ImageTag: aws.String("295")}, TargetStorageClass: types.TargetStorageClassArchive,
	})
	h.must(err)
	image := func(ref string) func(*ecs.RegisterTaskDefinitionInput) {
		return func(in *ecs.RegisterTaskDefinitionInput) { in.ContainerDefinitions[0].Image = &ref }
	}
	secret := func(from string) func(*ecs.RegisterTaskDefinitionInput) {
		return func(in *ecs.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].Secrets = []ecstypes.Secret{{Name: aws.String("S"), ValueFrom: &from}}
		}
	}
	const (
		secrets = "arn:aws:secretsmanager:us-east-1:111111111111:secret:"
		missing = registry + "/" + repo + ":999"
		notSeen = "unable to pull secrets or registry auth: execution resource retrieval failed: "
	)
	for name, tt := range map[string]struct {
		edit func(*ecs.RegisterTaskDefinitionInput)
		want string // in the stopped reason; empty: the task runs
	}{
		"an image by tag":                {image(registry + "/" + repo + ":300"), ""},
		"by the registry's other name":   {image(h.host + "/" + repo + ":301"), ""},
		"of another registry":            {image("docker.io/library/php:8.3-fpm"), ""},
		"a tag that is not there":        {image(missing), "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref " + missing + ": " + missing + ": not found"},
		"a repository that is not there": {image(registry + "/no/such:1"), "not found"},
		"a digest that is not there":     {image(registry + "/" + repo + "@sha256:" + strings.Repeat("0", 64)), "not found"},
		"an archived image":              {image(registry + "/" + repo + ":295"), "archived"},
		"a secret":                       {secret(secrets + "production/magento"), ""},
		"a key of a secret":              {secret(secrets + "production/magento:CRYPT_KEY::"), ""},
		"a stage of a secret":            {secret(secrets + "production/magento::AWSCURRENT:"), ""},
		"a parameter by name":            {secret("/production/magento/mysql-host"), ""},
		"a parameter by ARN":             {secret("arn:aws:ssm:us-east-1:111111111111:parameter/production/magento/mysql-host"), ""},
		"a secret that is not there":     {secret(secrets + "gone"), "ResourceInitializationError: " + notSeen + "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret " + secrets + "gone from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret."},
		"a key that is not there":        {secret(secrets + "production/magento:GONE::"), "did not contain json key GONE"},
		"a version that is not there":    {secret(secrets + "production/magento::AWSPENDING:"), "staging label: AWSPENDING"},
		"a parameter that is not there":  {secret("/gone"), "invalid ssm parameters: /gone"},
		"an execution role that is not one": {func(in *ecs.RegisterTaskDefinitionInput) {
			in.ExecutionRoleArn = aws.String("arn:aws:iam::111111111111:role/gone")
		}, "gone"},
		"a log group that is not there": {func(in *ecs.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].LogConfiguration.Options["awslogs-group"] = "/gone"
		}, "ResourceNotFoundException: The specified log group does not exist."},
		"a log group that is to be made": {func(in *ecs.RegisterTaskDefinitionInput) {
			o := in.ContainerDefinitions[0].LogConfiguration.Options
			o["awslogs-group"], o["awslogs-create-group"] = "/new", "true"
		}, ""},
	} {
		in := standalone("bin/magento", "cron:run")
		in.TaskDefinition = aws.String(h.revise("production-cron:1", tt.edit))
		out, err := h.ecs.RunTask(t.Context(), in)
		if err != nil {
			if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		h.clock.Advance(2 * time.Minute)
		d, err := h.ecs.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: []string{*out.Tasks[0].TaskArn}})
		h.must(err)
		task := d.Tasks[0]
		reason := aws.ToString(task.StoppedReason)
		if tt.want == "" && task.StopCode == ecstypes.TaskStopCodeTaskFailedToStart || !strings.Contains(reason, tt.want) {
			t.Errorf("%s: %s %q, want %q", name, task.StopCode, reason, tt.want)
		}
	}
}
