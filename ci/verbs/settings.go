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
	Smoke    bool     `env:"MCK_SMOKE,default=true" flag:"smoke" dagger:"-" doc:"run the images as a shop before anything is sent, where this machine can, unless build has done so; given expressly, a machine that cannot fails the push"`
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

// Target says what a verb of a release is about.
type Target struct {
	config.AWS
	Cluster      string   `env:"MCK_CLUSTER" or:"ECS_CLUSTER" flag:"cluster" dagger:",required" doc:"ECS cluster"`
	Services     []string `env:"MCK_SERVICES" or:"ECS_SERVICES" flag:"service" dagger:",required" doc:"ECS services; the first one's revision runs one-off tasks"`
	CronRules    []string `env:"MCK_CRON_RULES" flag:"cron-rule" doc:"EventBridge rules that run cron, NAME or BUS/NAME"`
	Prefix       string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	Repositories []string `env:"MCK_REPOSITORIES" flag:"repository" dagger:"ecrRepository" doc:"repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx; 'ecr' for every image in a private ECR registry"`
}

// Task is the settings of one-off tasks.
type Task struct {
	Container   string        `env:"MCK_TASK_CONTAINER" flag:"container" doc:"container that runs commands; the first of the store's own that is not nginx, if not set"`
	Console     string        `env:"MCK_CONSOLE,default=bin/magento" flag:"console" doc:"how Magento's command line is called in the container"`
	TaskTimeout time.Duration `env:"MCK_TASK_TIMEOUT,default=30m" flag:"task-timeout" doc:"for one one-off task"`
}

// Release is the settings of deploy, and of the verbs that are a part of it.
type Release struct {
	Target
	Task
	BuildNum          string        `env:"BUILD_NUM" flag:"build-num" doc:"number of the build, the tag of its images"`
	From              string        `env:"MCK_FROM" flag:"from" doc:"cluster whose running images are released, by digest, instead of a build number"`
	PinDigest         bool          `env:"MCK_PIN_DIGEST" flag:"pin-digest" doc:"name images by digest in the task definitions"`
	CPU               string        `env:"MCK_TASK_CPU" flag:"task-cpu" doc:"CPU of the tasks: units (1024) or \"1 vCPU\""`
	Memory            string        `env:"MCK_TASK_MEMORY" flag:"task-memory" doc:"memory of the tasks: MiB (2048) or \"2 GB\""`
	Migrate           string        `env:"MCK_MIGRATE,default=auto" oneof:"auto|always|never" flag:"migrate" doc:"whether the database is upgraded"`
	CacheFlush        bool          `env:"MCK_CACHE_FLUSH,default=true" flag:"cache-flush" doc:"flush Magento's cache after the roll"`
	Timeout           time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	WaitForDeployment bool          `env:"MCK_WAIT_FOR_DEPLOYMENT" flag:"wait-for-deployment" doc:"wait for a deployment in progress instead of refusing"`
	DesiredCount      int           `env:"MCK_DESIRED_COUNT,default=-1" flag:"desired-count" doc:"tasks of every service; -1 leaves them"`
	MinHealthy        int           `env:"MCK_MIN_HEALTHY_PERCENT,default=-1" flag:"min-healthy-percent" doc:"lower limit of healthy tasks during the roll; -1 leaves it"`
	MaxPercent        int           `env:"MCK_MAX_PERCENT,default=-1" flag:"max-percent" doc:"upper limit of tasks during the roll; -1 leaves it"`
	CircuitBreaker    string        `env:"MCK_CIRCUIT_BREAKER,default=keep" oneof:"keep|off|on|rollback" flag:"circuit-breaker" doc:"the services' deployment circuit breaker"`
	Force             bool          `env:"MCK_FORCE" flag:"force" doc:"roll even if nothing has changed"`
	Rollback          bool          `env:"MCK_ROLLBACK,default=true" flag:"rollback" doc:"return to what ran before when the roll fails"`
	KeepRevisions     int           `env:"MCK_DEREGISTER_BEYOND" flag:"keep-revisions" doc:"deregister older revisions than the newest so many; 0 keeps all"`
	By                string        `env:"MCK_BY" or:"CIRCLE_USERNAME,GITHUB_ACTOR" flag:"by" doc:"who releases; AWS is asked if not set"`
	DryRun            bool          `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`
	Shop
	TestListener

	// Who is told of a release. CircleCI's markers are set by the program circleci of its jobs, which no container has.
	NewRelicKey    config.Secret `env:"NEW_RELIC_API_KEY" doc:"New Relic user key, for change tracking"`
	NewRelicEntity string        `env:"NEW_RELIC_ENTITY_GUID" doc:"New Relic entity that is released"`
	DatadogKey     config.Secret `env:"DATADOG_API_KEY" or:"DD_API_KEY" doc:"Datadog API key, for an event"`
	DatadogSite    string        `env:"DD_SITE,default=datadoghq.com" dagger:"datadogSite" doc:"Datadog site"`
	Webhook        config.Secret `env:"MCK_WEBHOOK_URL" doc:"address that is sent the release as JSON"`
	WebhookToken   config.Secret `env:"MCK_WEBHOOK_TOKEN" doc:"bearer token that the webhook is sent with"`
	CircleCI       bool          `env:"CIRCLECI" dagger:"-" doc:"set by CircleCI in its jobs"`
	CircleEnv      string        `env:"MCK_CIRCLECI_ENVIRONMENT" flag:"circleci-environment" dagger:"-" doc:"environment of CircleCI's release markers"`
	CircleApp      string        `env:"MCK_CIRCLECI_COMPONENT,default=magento" flag:"circleci-component" dagger:"-" doc:"component of CircleCI's release markers"`
}

// Edits change task definitions with a release.
type Edits struct {
	Env    []string `flag:"env" doc:"set an environment variable: NAME=VALUE, or CONTAINER/NAME=VALUE"`
	Secret []string `flag:"secret" doc:"set one from a secret: NAME=ARN, or CONTAINER/NAME=ARN"`
	Unset  []string `flag:"unset" doc:"remove one: NAME, or CONTAINER/NAME"`
	Plaintext
}

// Plaintext lets a value be seen by everybody who may read a task definition.
type Plaintext struct {
	Plaintext bool `flag:"plaintext" doc:"let a plain value take the place of a secret"`
}

// Deploy is the settings of deploy, verify and diff.
type Deploy struct {
	Release
	Edits
	Downgrade bool `env:"MCK_DOWNGRADE" flag:"downgrade" doc:"release an older build than the one that runs"`
	Output
}

// Rollback is the settings of rollback.
type Rollback struct {
	Target
	Task
	To         string        `env:"MCK_ROLLBACK_TO" flag:"to" make:"TO" doc:"build to return to; the one before, if not set"`
	Timeout    time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	CacheFlush bool          `env:"MCK_CACHE_FLUSH,default=true" flag:"cache-flush" doc:"flush Magento's cache after the roll"`
	By         string        `env:"MCK_BY" or:"CIRCLE_USERNAME,GITHUB_ACTOR" flag:"by" doc:"who does this; AWS is asked if not set"`
	DryRun     bool          `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`
	Shop
	Output
}

// Look is the settings of a verb that only looks.
type Look struct {
	Target
	JSON
}

// History is the settings of history.
type History struct {
	Target
	Last int `flag:"last,n" default:"20" doc:"how many of each service"`
	JSON
}

// Run is the settings of run.
type Run struct {
	Target
	Task
	JSON
}

// EnvSet is the settings of env set.
type EnvSet struct {
	Release
	Secrets bool `flag:"secret" doc:"the values are ARNs of secrets or parameters"`
	Plaintext
	Output
}

// EnvUnset is the settings of env unset.
type EnvUnset struct {
	Release
	Output
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
