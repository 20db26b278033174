package verbs

import (
	"time"

	"github.com/magecloudkit/pipeline/ci/config"
)

// JSON is the setting of a verb that can print its result for a program.
type JSON struct {
	JSON bool `flag:"json" dagger:"asJson" doc:"print the result as one JSON document"`
}

// Output is how a release is reported at the end. In a Dagger function every release writes its page, and the function
// report hands it out.
type Output struct {
	JSON
	Report string `flag:"report" dagger:"-" value:"file" doc:"write a page about the release to this HTML file"`
}

// A verb that calls AWS says how, and whether it does with the settings that it has: what it lacks for that is then said
// together with all that is missing.

// CallsAWS says that get-ecr does.
func (s GetECR) CallsAWS() (config.AWS, bool) { return s.AWS, true }

// CallsAWS says that push does where no registry is named.
func (s Push) CallsAWS() (config.AWS, bool) { return s.AWS, s.Registry == "" }

// CallsAWS says that cleanup does unless it only prints a policy.
func (s Cleanup) CallsAWS() (config.AWS, bool) {
	if s.Region == "" && len(s.Regions) > 0 {
		s.Region = s.Regions[0]
	}
	return s.AWS, !s.Policy
}

// GetECR is the settings of get-ecr.
type GetECR struct {
	config.AWS
	Prefix       string `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	Repositories bool   `flag:"repositories" doc:"print the repositories' URIs instead"`
}

// Push is the settings of push.
type Push struct {
	config.AWS
	Registry string   `env:"AWS_ECR_URL" flag:"registry" dagger:"^awsEcrUrl" doc:"address of the registry; the account's ECR if not set"`
	Prefix   string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	BuildNum string   `env:"BUILD_NUM,required" or:"CIRCLE_BUILD_NUM" flag:"build-num" doc:"number of the build, the tag of its images"`
	Tags     []string `env:"MCK_TAGS" flag:"tag" doc:"further tags, such as latest"`
	Images   string   `env:"MCK_IMAGES,default=out" flag:"images" dagger:"-" make:"OUT" doc:"directory with an OCI layout for each image, as build leaves it"`
	Create   bool     `env:"MCK_CREATE_REPOSITORIES" flag:"create" doc:"create the repositories that do not exist (ECR)"`
	Attest   bool     `env:"MCK_ATTEST,default=true" flag:"attest" doc:"push a bill of materials (CycloneDX) and a provenance (SLSA) with each image, as OCI referrers"`
	Jobs     int      `env:"MCK_PUSH_JOBS,default=4" flag:"jobs" doc:"blobs sent at the same time"`
	Smoke    bool     `env:"MCK_SMOKE,default=true" flag:"smoke" dagger:"^smoke" doc:"run the images as a shop before anything is sent, where this machine can, unless build has done so; given expressly, a machine that cannot fails the push"`
	Vulnerabilities
	JSON
}

// Built says which images a verb looks at: those that a build left, or those that a registry has of one.
type Built struct {
	config.AWS
	Registry string `env:"AWS_ECR_URL" flag:"registry" dagger:"^awsEcrUrl" doc:"address of the registry; the account's ECR if not set"`
	Prefix   string `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	BuildNum string `env:"BUILD_NUM" flag:"build-num" dagger:",required" doc:"number of the build; one that --images does not hold is looked for in the registry"`
	Images   string `env:"MCK_IMAGES,default=out" flag:"images" dagger:"-" make:"OUT" doc:"directory with an OCI layout for each image, as build leaves it"`
	Platform string `flag:"image-platform" default:"linux/amd64" dagger:"-" doc:"platform, of images that there are for several"`
}

// Inspect is the settings of inspect.
type Inspect struct {
	Built
	Against string `env:"MCK_AGAINST" flag:"against" make:"AGAINST" doc:"say what differs from this build: its number, a directory with its images, or an image's reference"`
	Largest int    `flag:"largest" default:"10" doc:"how many files to list as the largest, and of each kind as those that differ"`
	Files   bool   `flag:"files" doc:"list every file of every layer"`
	JSON
}

// Vulnerabilities says where known vulnerabilities are looked up, and which are too many.
type Vulnerabilities struct {
	FailOn   string `env:"MCK_FAIL_ON" oneof:"critical|high|medium|low" flag:"fail-on" doc:"be content with no known vulnerability that is as bad as this, or worse, and with no database that cannot be asked"`
	Database string `env:"MCK_VULNERABILITY_DB,default=https://api.osv.dev" flag:"vulnerability-db" doc:"address of the database, which speaks OSV's API"`
}

// Audit is the settings of audit.
type Audit struct {
	Built
	Vulnerabilities
	JSON
}

// Cleanup is the settings of cleanup.
type Cleanup struct {
	config.AWS
	Regions       []string      `env:"MCK_REGIONS" flag:"regions" doc:"regions whose clusters run the images; the AWS region if not set"`
	Clusters      []string      `env:"MCK_CLUSTERS" flag:"cluster" doc:"clusters that run the images; all clusters of the regions if not set"`
	Prefix        string        `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	KeepLast      int           `env:"MCK_KEEP_LAST,default=10" flag:"keep-last" doc:"builds to keep in each repository"`
	KeepRevisions int           `env:"MCK_KEEP_REVISIONS,default=5" flag:"keep-revisions" doc:"revisions to keep of every task definition family in use"`
	KeepTags      []string      `env:"MCK_KEEP_TAGS,default=latest" flag:"keep-tag" doc:"patterns of tags to keep"`
	OlderThan     time.Duration `env:"MCK_OLDER_THAN,default=168h" flag:"older-than" doc:"age below which nothing is deleted"`
	DryRun        bool          `flag:"dry-run" default:"true" dagger:"-" doc:"only show what would be deleted"`
	Yes           bool          `flag:"yes" doc:"delete"`
	Policy        bool          `flag:"policy" doc:"print a lifecycle policy for the repositories instead, which needs no AWS"`
	JSON
}

// Rehearse is the settings of rehearse.
type Rehearse struct {
	Scenario string `flag:"scenario" doc:"play this one, and show it as it goes"`
	All      bool   `flag:"all" doc:"play all of them"`
	List     bool   `flag:"list" doc:"list them"`
	Output
}

// Simulate is the settings of simulate.
type Simulate struct {
	Listen   string  `flag:"listen" default:"127.0.0.1:4566" doc:"address to serve at; port 0 takes any that is free"`
	Name     string  `flag:"name" doc:"name that clients reach it by, where that is not its address: aws for 'dagger call --aws-endpoint'"`
	Speed    float64 `flag:"speed" default:"1" doc:"how many seconds pass there in one of ours"`
	Topology string  `flag:"topology" doc:"JSON file with what there is at the start (default: MageCloudKit's own)"`
	TLS      bool    `flag:"tls" doc:"serve over TLS, with a certificate made for it"`
	Calls    bool    `flag:"calls" doc:"show every call"`
}
