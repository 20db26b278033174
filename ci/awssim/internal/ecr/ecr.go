package ecr

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Amazon ECR, after https://docs.aws.amazon.com/AmazonECR/latest/APIReference/. The registry's data plane, which docker
// and its like speak, is in ecr_registry.go and works on the same images.
//
// Left out: scans (ScanOnPush is kept, nothing is scanned), lifecycle policies (kept and checked to be JSON, never
// carried out), replication, pull-through caches, encryption keys, repository and registry policies, signing.

// tokenLife is how long a token of GetAuthorizationToken is good for.
const tokenLife = 12 * time.Hour

// Registry is the account's registry.
type Registry struct {
	Service *wire.Service

	k        *kernel.Kernel
	host     Host
	endpoint *url.URL // where the data plane is reached
	repos    map[string]*ecrRepo
	blobs    map[string][]byte // by digest; which repository has which stands in ecrRepo
	tokens   map[string]ecrToken
}

type ecrToken struct {
	caller  wire.Identity
	expires time.Time
	layer   string // what a signed address is for; empty: a login
}

type ecrRepo struct {
	types.Repository
	policy string // lifecycle policy; empty if there is none
	tags   []types.Tag
	images map[string]*ecrImage // by digest
	byTag  map[string]string    // tag → digest
	blobs  map[string]bool      // digests
}

type ecrImage struct {
	digest, mediaType, artifactType string
	manifest                        []byte
	config                          string   // digest of the configuration; empty for an index
	children                        []string // digests of an index's manifests
	subject                         string   // digest of what it is attached to, which need not be there
	annotations                     map[string]string
	size                            int64
	pushed                          time.Time
	pulled, archived, activated     time.Time
	status                          types.ImageStatus
}

// hostname is where clients find the registry: "111111111111.dkr.ecr.us-east-1.amazonaws.com".
func (g *Registry) hostname() string { return g.endpoint.Host }

// awsHostname is the name that Amazon gives the registry.
func (g *Registry) awsHostname() string {
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com", g.k.Account, g.k.Region)
}

// SetEndpoint says where the data plane is reached from now on; see awssim.World.SetRegistryEndpoint.
func (g *Registry) SetEndpoint(scheme, host string) {
	g.endpoint = &url.URL{Scheme: scheme, Host: host}
	for _, r := range g.repos {
		r.RepositoryUri = aws.String(g.hostname() + "/" + *r.RepositoryName)
	}
}

// New returns a registry without a repository.
func New(k *kernel.Kernel, host Host) *Registry {
	g := &Registry{
		k: k, host: host, repos: map[string]*ecrRepo{}, blobs: map[string][]byte{}, tokens: map[string]ecrToken{},
	}
	g.endpoint = &url.URL{Scheme: "https", Host: g.awsHostname()}
	s := &wire.Service{Name: "ecr", Target: "AmazonEC2ContainerRegistry_V20150921", State: g.state}
	g.Service = s

	wire.Handle(s, "GetAuthorizationToken", g.getAuthorizationToken)
	wire.Handle(s, "CreateRepository", g.createRepository)
	wire.Handle(s, "DescribeRepositories", g.describeRepositories)
	wire.Handle(s, "DeleteRepository", g.deleteRepository)
	wire.Handle(s, "PutImageTagMutability", g.putImageTagMutability)
	wire.Handle(s, "PutImageScanningConfiguration", g.putImageScanningConfiguration)
	wire.Handle(s, "PutLifecyclePolicy", g.putLifecyclePolicy)
	wire.Handle(s, "GetLifecyclePolicy", g.getLifecyclePolicy)
	wire.Handle(s, "DeleteLifecyclePolicy", g.deleteLifecyclePolicy)
	wire.Handle(s, "TagResource", g.tagResource)
	wire.Handle(s, "ListTagsForResource", g.listTagsForResource)
	wire.Handle(s, "DescribeImages", g.describeImages)
	wire.Handle(s, "ListImages", g.listImages)
	wire.Handle(s, "BatchGetImage", g.batchGetImage)
	wire.Handle(s, "PutImage", g.putImage)
	wire.Handle(s, "BatchDeleteImage", g.batchDeleteImage)
	wire.Handle(s, "BatchCheckLayerAvailability", g.batchCheckLayerAvailability)
	wire.Handle(s, "GetDownloadUrlForLayer", g.getDownloadURLForLayer)
	wire.Handle(s, "UpdateImageStorageClass", g.updateImageStorageClass)
	return g
}

func (g *Registry) getAuthorizationToken(c *wire.Call, in *ecr.GetAuthorizationTokenInput) (*ecr.GetAuthorizationTokenOutput, error) {
	password := g.k.NewID("ecr-token") + g.k.NewID("ecr-token")
	expires := c.Now.Add(tokenLife)
	g.tokens[password] = ecrToken{caller: c.Caller, expires: expires}
	return &ecr.GetAuthorizationTokenOutput{AuthorizationData: []types.AuthorizationData{{
		AuthorizationToken: aws.String(base64.StdEncoding.EncodeToString([]byte("AWS:" + password))),
		ExpiresAt:          &expires,
		ProxyEndpoint:      aws.String(g.endpoint.String()),
	}}}, nil
}

// repositoryName is what a name must match.
var repositoryName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (g *Registry) createRepository(c *wire.Call, in *ecr.CreateRepositoryInput) (*ecr.CreateRepositoryOutput, error) {
	if err := g.ours(in.RegistryId); err != nil {
		return nil, err
	}
	n := aws.ToString(in.RepositoryName)
	if len(n) < 2 || len(n) > 256 || !repositoryName.MatchString(n) {
		return nil, ecrInvalid("repositoryName", "Member must satisfy regular expression pattern: "+repositoryName.String()[1:len(repositoryName.String())-1])
	}
	if _, ok := g.repos[n]; ok {
		return nil, wire.Errf("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'", n, g.k.Account)
	}
	r := &ecrRepo{images: map[string]*ecrImage{}, byTag: map[string]string{}, blobs: map[string]bool{}, tags: slices.Clone(in.Tags)}
	r.Repository = types.Repository{
		CreatedAt:                  aws.Time(c.Now),
		EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
		ImageScanningConfiguration: &types.ImageScanningConfiguration{},
		RegistryId:                 aws.String(g.k.Account),
		RepositoryArn:              aws.String(g.k.ARN("ecr", "repository/"+n)),
		RepositoryName:             aws.String(n),
		RepositoryUri:              aws.String(g.hostname() + "/" + n),
	}
	if in.ImageScanningConfiguration != nil {
		r.ImageScanningConfiguration = in.ImageScanningConfiguration
	}
	if in.EncryptionConfiguration != nil {
		r.EncryptionConfiguration = in.EncryptionConfiguration
	}
	mutability := in.ImageTagMutability
	if mutability == "" {
		mutability = types.ImageTagMutabilityMutable
	}
	if err := r.setMutability(mutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	g.repos[n] = r
	return &ecr.CreateRepositoryOutput{Repository: r.describe()}, nil
}

// setMutability sets which tags may move.
func (r *ecrRepo) setMutability(m types.ImageTagMutability, filters []types.ImageTagMutabilityExclusionFilter) error {
	if !slices.Contains(m.Values(), m) {
		return ecrInvalid("imageTagMutability", fmt.Sprintf("Member must satisfy enum value set: %v", m.Values()))
	}
	exclusion := m == types.ImageTagMutabilityImmutableWithExclusion || m == types.ImageTagMutabilityMutableWithExclusion
	switch {
	case exclusion && len(filters) == 0:
		return wire.Errf("InvalidParameterException", "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'ImageTagMutabilityExclusionFilters must be provided when ImageTagMutability is %s'", m)
	case !exclusion && len(filters) > 0:
		return wire.Errf("InvalidParameterException", "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'ImageTagMutabilityExclusionFilters must not be provided when ImageTagMutability is %s'", m)
	case len(filters) > 5:
		return ecrInvalid("imageTagMutabilityExclusionFilters", "Member must have length less than or equal to 5")
	}
	for _, f := range filters {
		// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageTagMutabilityExclusionFilter.html
		if f.FilterType != types.ImageTagMutabilityExclusionFilterTypeWildcard {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "Member must satisfy enum value set: [WILDCARD]")
		}
		if text := aws.ToString(f.Filter); !exclusionFilter.MatchString(text) || strings.Count(text, "*") > 2 {
			return ecrInvalid("imageTagMutabilityExclusionFilters", "Member must satisfy regular expression pattern: ^[0-9a-zA-Z._*-]{1,128}")
		}
	}
	r.ImageTagMutability = m
	r.ImageTagMutabilityExclusionFilters = slices.Clone(filters)
	return nil
}

var exclusionFilter = regexp.MustCompile(`^[0-9a-zA-Z._*-]{1,128}$`)

// immutable says whether a tag that exists stays where it is.
func (r *ecrRepo) immutable(tag string) bool {
	excluded := slices.ContainsFunc(r.ImageTagMutabilityExclusionFilters, func(f types.ImageTagMutabilityExclusionFilter) bool {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(*f.Filter), `\*`, ".*")
		return regexp.MustCompile("^" + pattern + "$").MatchString(tag)
	})
	switch r.ImageTagMutability {
	case types.ImageTagMutabilityImmutable:
		return true
	case types.ImageTagMutabilityImmutableWithExclusion:
		return !excluded
	case types.ImageTagMutabilityMutableWithExclusion:
		return excluded
	}
	return false
}

func (r *ecrRepo) describe() *types.Repository {
	d := r.Repository
	d.ImageTagMutabilityExclusionFilters = slices.Clone(d.ImageTagMutabilityExclusionFilters)
	return &d
}

// ours refuses other accounts' registries.
func (g *Registry) ours(registryID *string) error {
	if id := aws.ToString(registryID); id != "" && id != g.k.Account {
		return wire.Errf("RepositoryNotFoundException", "The registry with id '%s' is not this account's, and awssim has no other", id)
	}
	return nil
}

func (g *Registry) repo(registryID, repositoryName *string) (*ecrRepo, error) {
	if err := g.ours(registryID); err != nil {
		return nil, err
	}
	if aws.ToString(repositoryName) == "" {
		return nil, ecrInvalid("repositoryName", "Member must not be null")
	}
	r, ok := g.repos[*repositoryName]
	if !ok {
		return nil, wire.Errf("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", *repositoryName, g.k.Account)
	}
	return r, nil
}

// ecrInvalid is the error for a parameter that breaks a rule of the API's model.
func ecrInvalid(parameter, constraint string) *wire.Error {
	return wire.Errf("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", parameter, constraint)
}

func (g *Registry) describeRepositories(c *wire.Call, in *ecr.DescribeRepositoriesInput) (*ecr.DescribeRepositoriesOutput, error) {
	if err := g.ours(in.RegistryId); err != nil {
		return nil, err
	}
	if len(in.RepositoryNames) > 100 {
		return nil, ecrInvalid("repositoryNames", "Member must have length less than or equal to 100")
	}
	var found []types.Repository
	for _, n := range in.RepositoryNames {
		r, err := g.repo(in.RegistryId, &n)
		if err != nil {
			return nil, err
		}
		found = append(found, *r.describe())
	}
	if in.RepositoryNames != nil {
		return &ecr.DescribeRepositoriesOutput{Repositories: found}, nil
	}
	for _, n := range slices.Sorted(maps.Keys(g.repos)) {
		found = append(found, *g.repos[n].describe())
	}
	page, next, err := wire.Cut(pages, found, in.MaxResults, in.NextToken)
	return &ecr.DescribeRepositoriesOutput{Repositories: page, NextToken: next}, err
}

// pages are of up to 1000, 100 unless told.
var pages = wire.Pages{
	Size: 100, Most: 1000,
	BadSize: func(size int) *wire.Error {
		if size < 1 {
			return ecrInvalid("maxResults", "Member must have value greater than or equal to 1")
		}
		return ecrInvalid("maxResults", "Member must have value less than or equal to 1000")
	},
	BadToken: wire.Errf("InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid or expired nextToken'"),
}

func (g *Registry) deleteRepository(c *wire.Call, in *ecr.DeleteRepositoryInput) (*ecr.DeleteRepositoryOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(r.images) > 0 && !in.Force {
		return nil, wire.Errf("RepositoryNotEmptyException", "The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", *r.RepositoryName, g.k.Account)
	}
	delete(g.repos, *r.RepositoryName)
	return &ecr.DeleteRepositoryOutput{Repository: r.describe()}, nil
}

func (g *Registry) putImageTagMutability(c *wire.Call, in *ecr.PutImageTagMutabilityInput) (*ecr.PutImageTagMutabilityOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := r.setMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	d := r.describe()
	return &ecr.PutImageTagMutabilityOutput{
		RegistryId: d.RegistryId, RepositoryName: d.RepositoryName,
		ImageTagMutability: d.ImageTagMutability, ImageTagMutabilityExclusionFilters: d.ImageTagMutabilityExclusionFilters,
	}, nil
}

func (g *Registry) putImageScanningConfiguration(c *wire.Call, in *ecr.PutImageScanningConfigurationInput) (*ecr.PutImageScanningConfigurationOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if in.ImageScanningConfiguration == nil {
		return nil, ecrInvalid("imageScanningConfiguration", "Member must not be null")
	}
	r.ImageScanningConfiguration = in.ImageScanningConfiguration
	return &ecr.PutImageScanningConfigurationOutput{
		RegistryId: r.RegistryId, RepositoryName: r.RepositoryName, ImageScanningConfiguration: r.ImageScanningConfiguration,
	}, nil
}

func (g *Registry) putLifecyclePolicy(c *wire.Call, in *ecr.PutLifecyclePolicyInput) (*ecr.PutLifecyclePolicyOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var policy struct {
		Rules []struct {
			RulePriority int             `json:"rulePriority"`
			Selection    json.RawMessage `json:"selection"`
			Action       json.RawMessage `json:"action"`
		} `json:"rules"`
	}
	text := aws.ToString(in.LifecyclePolicyText)
	if err := json.Unmarshal([]byte(text), &policy); err != nil || len(policy.Rules) == 0 {
		return nil, wire.Errf("InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: the text is not a JSON document with rules'")
	}
	seen := map[int]bool{}
	for _, rule := range policy.Rules {
		if rule.RulePriority < 1 || seen[rule.RulePriority] || rule.Selection == nil || rule.Action == nil {
			return nil, wire.Errf("InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: every rule must have a rulePriority of its own, a selection and an action'")
		}
		seen[rule.RulePriority] = true
	}
	r.policy = text
	return &ecr.PutLifecyclePolicyOutput{RegistryId: r.RegistryId, RepositoryName: r.RepositoryName, LifecyclePolicyText: &text}, nil
}

func (g *Registry) lifecyclePolicy(registryID, name *string) (*ecrRepo, *string, error) {
	r, err := g.repo(registryID, name)
	if err != nil {
		return nil, nil, err
	}
	if r.policy == "" {
		return nil, nil, wire.Errf("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", *name, g.k.Account)
	}
	return r, aws.String(r.policy), nil
}

func (g *Registry) getLifecyclePolicy(c *wire.Call, in *ecr.GetLifecyclePolicyInput) (*ecr.GetLifecyclePolicyOutput, error) {
	r, text, err := g.lifecyclePolicy(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	return &ecr.GetLifecyclePolicyOutput{RegistryId: r.RegistryId, RepositoryName: r.RepositoryName, LifecyclePolicyText: text, LastEvaluatedAt: aws.Time(c.Now)}, nil
}

func (g *Registry) deleteLifecyclePolicy(c *wire.Call, in *ecr.DeleteLifecyclePolicyInput) (*ecr.DeleteLifecyclePolicyOutput, error) {
	r, text, err := g.lifecyclePolicy(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	r.policy = ""
	return &ecr.DeleteLifecyclePolicyOutput{RegistryId: r.RegistryId, RepositoryName: r.RepositoryName, LifecyclePolicyText: text, LastEvaluatedAt: aws.Time(c.Now)}, nil
}

func (g *Registry) repoByARN(arn *string) (*ecrRepo, error) {
	prefix := g.k.ARN("ecr", "repository/")
	n, ok := strings.CutPrefix(aws.ToString(arn), prefix)
	if !ok {
		return nil, ecrInvalid("resourceArn", "Invalid ARN")
	}
	return g.repo(nil, &n)
}

func (g *Registry) tagResource(c *wire.Call, in *ecr.TagResourceInput) (*ecr.TagResourceOutput, error) {
	r, err := g.repoByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		r.tags = slices.DeleteFunc(r.tags, func(have types.Tag) bool { return *have.Key == *t.Key })
		r.tags = append(r.tags, t)
	}
	return &ecr.TagResourceOutput{}, nil
}

func (g *Registry) listTagsForResource(c *wire.Call, in *ecr.ListTagsForResourceInput) (*ecr.ListTagsForResourceOutput, error) {
	r, err := g.repoByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &ecr.ListTagsForResourceOutput{Tags: append([]types.Tag{}, r.tags...)}, nil
}

// Images.

func (g *Registry) batchCheckLayerAvailability(c *wire.Call, in *ecr.BatchCheckLayerAvailabilityInput) (*ecr.BatchCheckLayerAvailabilityOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if n := len(in.LayerDigests); n < 1 || n > 100 {
		return nil, ecrInvalid("layerDigests", "Member must have length between 1 and 100, inclusive")
	}
	out := &ecr.BatchCheckLayerAvailabilityOutput{Layers: []types.Layer{}, Failures: []types.LayerFailure{}}
	for _, d := range in.LayerDigests {
		if !digestPattern.MatchString(d) {
			out.Failures = append(out.Failures, types.LayerFailure{
				FailureCode: types.LayerFailureCodeInvalidLayerDigest, LayerDigest: aws.String(d),
				FailureReason: aws.String("Invalid layer digest in request"),
			})
			continue
		}
		l := types.Layer{LayerDigest: aws.String(d), LayerAvailability: types.LayerAvailabilityUnavailable}
		if r.blobs[d] {
			l.LayerAvailability, l.LayerSize = types.LayerAvailabilityAvailable, aws.Int64(int64(len(g.blobs[d])))
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}

func (g *Registry) getDownloadURLForLayer(c *wire.Call, in *ecr.GetDownloadUrlForLayerInput) (*ecr.GetDownloadUrlForLayerOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	d := aws.ToString(in.LayerDigest)
	if !r.blobs[d] {
		return nil, wire.Errf("LayersNotFoundException", "The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", d, *r.RepositoryName, g.k.Account)
	}
	// The address is signed for an hour, and needs no login.
	signature := g.k.NewID("signature")
	g.tokens[signature] = ecrToken{caller: c.Caller, expires: g.k.Now.Add(time.Hour), layer: d}
	return &ecr.GetDownloadUrlForLayerOutput{
		LayerDigest: aws.String(d),
		DownloadUrl: aws.String(fmt.Sprintf("%s/v2/%s/blobs/%s?X-Amz-Expires=3600&%s=%s", g.endpoint, *r.RepositoryName, d, signatureKey, signature)),
	}, nil
}

func (g *Registry) updateImageStorageClass(c *wire.Call, in *ecr.UpdateImageStorageClassInput) (*ecr.UpdateImageStorageClassOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if in.ImageId == nil {
		return nil, ecrInvalid("imageId", "Member must not be null")
	}
	im, code, _ := r.find(*in.ImageId)
	if code != "" {
		return nil, g.imageNotFound(r, *in.ImageId)
	}
	switch in.TargetStorageClass {
	case types.TargetStorageClassArchive:
		im.status, im.archived = types.ImageStatusArchived, c.Now
	case types.TargetStorageClassStandard:
		im.status, im.activated = types.ImageStatusActive, c.Now
	default:
		return nil, ecrInvalid("targetStorageClass", fmt.Sprintf("Member must satisfy enum value set: %v", in.TargetStorageClass.Values()))
	}
	return &ecr.UpdateImageStorageClassOutput{
		RegistryId: r.RegistryId, RepositoryName: r.RepositoryName, ImageStatus: im.status,
		ImageId: &types.ImageIdentifier{ImageDigest: aws.String(im.digest), ImageTag: in.ImageId.ImageTag},
	}, nil
}
