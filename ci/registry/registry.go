// Package registry pushes images to a registry: to Amazon ECR, with its login and its repositories, or to any other that
// speaks the OCI distribution protocol.
//
// What may be deleted from ECR is decided in the package cleanup below this one.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v5"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
)

// ECR is what a push asks of Amazon ECR. *ecr.Client has it.
type ECR interface {
	tokenAPI
	DescribeRepositories(context.Context, *ecr.DescribeRepositoriesInput, ...func(*ecr.Options)) (*ecr.DescribeRepositoriesOutput, error)
	CreateRepository(context.Context, *ecr.CreateRepositoryInput, ...func(*ecr.Options)) (*ecr.CreateRepositoryOutput, error)
	PutLifecyclePolicy(context.Context, *ecr.PutLifecyclePolicyInput, ...func(*ecr.Options)) (*ecr.PutLifecyclePolicyOutput, error)
	BatchDeleteImage(context.Context, *ecr.BatchDeleteImageInput, ...func(*ecr.Options)) (*ecr.BatchDeleteImageOutput, error)
}

// Options are what a registry is reached with.
type Options struct {
	ECR       ECR               // nil: the registry is not ECR
	Keychain  authn.Keychain    // credentials of a registry that is not ECR; nil: none
	Transport http.RoundTripper // nil: go-containerregistry's
	Now       func() time.Time  // measures durations, and tells when ECR's token ends
	Progress  func(line string) // is told what happens, from several goroutines; nil: nobody is
	Plain     bool              // it is reached over http: allowed for one that is not Amazon's, such as a simulated AWS
	Jobs      int               // blobs sent at the same time; 4 unless set
	Pause     time.Duration     // before the first repetition of a failed request; 1 s unless set. It doubles.
}

// Registry is a registry to push to.
type Registry struct {
	host    name.Registry
	names   []name.Option // how names of it are read
	account *string       // of an ECR registry, where its address names one
	ecr     ECR
	o       Options
	remote  []remote.Option
	pusher  *remote.Pusher
}

// New makes a registry of its address, host[:port]. No request is sent yet.
func New(host string, o Options) (*Registry, error) {
	_, _, amazons := ecrhost.Parse(host)
	if o.Plain && amazons {
		return nil, fmt.Errorf("the registry %s is Amazon's, and is never reached without TLS", host)
	}
	options := []name.Option{name.StrictValidation}
	if o.Plain {
		options = append(options, name.Insecure)
	}
	reg, err := name.NewRegistry(host, options...)
	if err != nil {
		return nil, fmt.Errorf("the registry's address %q is not valid: it must be host[:port], without https:// and without a path", host)
	}
	if o.Jobs < 1 {
		o.Jobs = 4
	}
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	r := &Registry{host: reg, names: options, ecr: o.ECR, o: o}
	base := o.Transport
	if base == nil {
		base = remote.DefaultTransport
	}
	plain := ""
	if o.Plain {
		plain = host
	}
	retry := &throttled{inner: &metered{base, plain}, backoff: func() backoff.BackOff {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.Multiplier = o.Pause, 2
		return b
	}}
	// Half a dozen attempts of what go-containerregistry repeats by itself: broken connections and a server's own errors.
	r.remote = []remote.Option{
		remote.WithUserAgent("magecloudkit"), remote.WithJobs(o.Jobs),
		remote.WithRetryBackoff(remote.Backoff{Duration: o.Pause, Factor: 2, Jitter: 0.2, Steps: 6}),
	}
	switch {
	case o.ECR != nil:
		if account, _, ok := ecrhost.Parse(host); ok {
			r.account = &account
		}
		login := NewLogin(o.ECR, o.Now)
		r.remote = append(r.remote, remote.WithAuth(login), remote.WithTransport(&relogin{inner: retry, login: login}))
	case o.Keychain != nil:
		r.remote = append(r.remote, remote.WithAuthFromKeychain(o.Keychain), remote.WithTransport(retry))
	default:
		r.remote = append(r.remote, remote.WithTransport(retry))
	}
	if r.pusher, err = remote.NewPusher(r.remote...); err != nil {
		return nil, err
	}
	return r, nil
}

// Image opens an image of the registry, by what stands behind its address: "magecloudkit/magento2:300" or
// "magecloudkit/magento2@sha256:…". Of an image for several platforms it is that for the given one ("linux/amd64").
func (r *Registry) Image(ctx context.Context, what, platform string) (v1.Image, error) {
	ref, err := name.ParseReference(r.host.RegistryStr()+"/"+what, r.names...)
	if err != nil {
		return nil, fmt.Errorf("%q is not an image of a registry: %w", what, err)
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, fmt.Errorf("platform %q is not of the form linux/amd64", platform)
	}
	d, err := remote.Get(ref, append(r.options(ctx), remote.WithPlatform(*p))...)
	if notFound(err) {
		return nil, fmt.Errorf("the registry has no image %s", ref)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w%s", ref, err, r.hint(err))
	}
	return d.Image()
}

func (r *Registry) progressf(format string, args ...any) { r.o.Progress(fmt.Sprintf(format, args...)) }

// Repository is a repository of ECR, as far as a push cares.
type Repository struct {
	Name string `json:"name"`
	URI  string `json:"uri"`
	// Mutability says whether tags may move: MUTABLE, IMMUTABLE, or one of the two _WITH_EXCLUSION.
	Mutability string `json:"mutability"`
	// Exclusions are the wildcards of the tags that Mutability does not hold for.
	Exclusions []string `json:"exclusions,omitempty"`
}

// Immutable says whether a tag that exists stays where it is.
func (r Repository) Immutable(tag string) bool {
	excluded := false
	for _, pattern := range r.Exclusions {
		excluded = excluded || wildcard(pattern, tag)
	}
	switch types.ImageTagMutability(r.Mutability) {
	case types.ImageTagMutabilityImmutable:
		return true
	case types.ImageTagMutabilityImmutableWithExclusion:
		return !excluded
	case types.ImageTagMutabilityMutableWithExclusion:
		return excluded
	}
	return false
}

// Repositories finds repositories of ECR by name. Those that do not exist are returned as missing.
func Repositories(ctx context.Context, api interface {
	DescribeRepositories(context.Context, *ecr.DescribeRepositoriesInput, ...func(*ecr.Options)) (*ecr.DescribeRepositoriesOutput, error)
}, account *string, names ...string) (found []Repository, missing []string, err error) {
	for _, n := range names { // one at a time: a name that does not exist fails the whole call
		out, err := api.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RegistryId: account, RepositoryNames: []string{n}})
		var notFound *types.RepositoryNotFoundException
		switch {
		case errors.As(err, &notFound):
			missing = append(missing, n)
		case err != nil:
			return nil, nil, fmt.Errorf("looking for the repository %s: %w", n, err)
		default:
			for _, repo := range out.Repositories {
				found = append(found, repositoryOf(repo))
			}
		}
	}
	return found, missing, nil
}

func repositoryOf(repo types.Repository) Repository {
	r := Repository{
		Name: aws.ToString(repo.RepositoryName), URI: aws.ToString(repo.RepositoryUri), Mutability: string(repo.ImageTagMutability),
	}
	for _, f := range repo.ImageTagMutabilityExclusionFilters {
		r.Exclusions = append(r.Exclusions, aws.ToString(f.Filter))
	}
	return r
}

// ensure finds the repositories, and makes those that do not exist if create is set.
func (r *Registry) ensure(ctx context.Context, names []string, create bool) (map[string]Repository, error) {
	found, missing, err := Repositories(ctx, r.ecr, r.account, names...)
	var denied smithy.APIError
	if errors.As(err, &denied) && denied.ErrorCode() == "AccessDeniedException" && !create {
		r.progressf("warning: whether tags may move is not known, since ecr:DescribeRepositories is denied")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 && !create {
		return nil, fmt.Errorf("the registry %s has no repository %s: pass --create, or create it with the AWS CLI (aws ecr create-repository). Nothing was pushed",
			r.host, quoted(missing))
	}
	for _, n := range missing {
		repo, err := r.create(ctx, n)
		if err != nil {
			return nil, err
		}
		r.progressf("%s: repository created (scan on push, build tags immutable, untagged images expire)", n)
		found = append(found, repo)
	}
	all := map[string]Repository{}
	for _, repo := range found {
		all[repo.Name] = repo
	}
	return all, nil
}

// MovingTag is the tag that may move in the repositories that a push creates.
const MovingTag = "latest"

// create makes a repository whose images are scanned, whose build tags stay where they are, and which forgets images
// that no tag names.
func (r *Registry) create(ctx context.Context, repository string) (Repository, error) {
	out, err := r.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RegistryId: r.account, RepositoryName: &repository,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
		ImageTagMutability:         types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{
			Filter: aws.String(MovingTag), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard,
		}},
	})
	var exists *types.RepositoryAlreadyExistsException
	if errors.As(err, &exists) { // somebody else was faster, or an answer got lost
		found, _, err := Repositories(ctx, r.ecr, r.account, repository)
		if err != nil || len(found) == 0 {
			return Repository{}, fmt.Errorf("creating the repository %s: it exists, and cannot be read: %w", repository, err)
		}
		return found[0], nil
	}
	if err != nil {
		return Repository{}, fmt.Errorf("creating the repository %s: %w", repository, err)
	}
	_, err = r.ecr.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{
		RegistryId: r.account, RepositoryName: &repository, LifecyclePolicyText: aws.String(LifecyclePolicy(untaggedFor)),
	})
	if err != nil {
		return Repository{}, fmt.Errorf("the repository %s was created, but its lifecycle policy could not be set: %w", repository, err)
	}
	return repositoryOf(*out.Repository), nil
}
