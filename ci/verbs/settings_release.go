package verbs

import (
	"time"

	"github.com/magecloudkit/pipeline/ci/config"
)

// Target says what a verb of a release is about.
type Target struct {
	config.AWS
	Environment  string   `env:"MCK_ENVIRONMENT" flag:"environment" dagger:"-" doc:"environment of magecloudkit.yaml whose settings count where nothing else is given; a word after the verb is one, too"`
	Cluster      string   `env:"MCK_CLUSTER,required" or:"ECS_CLUSTER" flag:"cluster" doc:"ECS cluster"`
	Services     []string `env:"MCK_SERVICES,required" or:"ECS_SERVICES" flag:"service" doc:"ECS services; the first one's revision runs one-off tasks"`
	CronRules    []string `env:"MCK_CRON_RULES" flag:"cron-rule" doc:"EventBridge rules that run cron, NAME or BUS/NAME"`
	Schedules    []string `env:"MCK_SCHEDULES" flag:"schedule" doc:"schedules of EventBridge Scheduler that run cron, NAME or GROUP/NAME"`
	Prefix       string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	Repositories []string `env:"MCK_REPOSITORIES" flag:"repository" dagger:"ecrRepository" doc:"repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx; 'ecr' for every image in a private ECR registry"`
}

// CallsAWS says that every verb of a release does.
func (t Target) CallsAWS() (config.AWS, bool) { return t.AWS, true }

// Task is the settings of one-off tasks.
type Task struct {
	Container   string        `env:"MCK_TASK_CONTAINER" flag:"container" doc:"container that runs commands; the first of the store's own that is not nginx, if not set"`
	Console     string        `env:"MCK_CONSOLE,default=bin/magento" flag:"console" doc:"how Magento's command line is called in the container"`
	TaskTimeout time.Duration `env:"MCK_TASK_TIMEOUT,default=30m" flag:"task-timeout" doc:"for one one-off task"`
}

// ReleasedBuild says what is released.
type ReleasedBuild struct {
	BuildNum  string `env:"BUILD_NUM" flag:"build-num" unless:"from" doc:"number of the build, the tag of its images"`
	From      string `env:"MCK_FROM" flag:"from" doc:"cluster whose running images are released, by digest, instead of a build number"`
	PinDigest bool   `env:"MCK_PIN_DIGEST" flag:"pin-digest" doc:"name images by digest in the task definitions"`
	Downgrade bool   `env:"MCK_DOWNGRADE" flag:"downgrade" doc:"release an older build than the one that runs"`
}

// Size is that of the tasks.
type Size struct {
	CPU          string `env:"MCK_TASK_CPU" flag:"task-cpu" doc:"CPU of the tasks: units (1024) or \"1 vCPU\""`
	Memory       string `env:"MCK_TASK_MEMORY" flag:"task-memory" doc:"memory of the tasks: MiB (2048) or \"2 GB\""`
	DesiredCount int    `env:"MCK_DESIRED_COUNT,default=-1" flag:"desired-count" doc:"tasks of every service; -1 leaves them"`
}

// Release is the settings of deploy, and of the verbs that are a part of it.
type Release struct {
	Target
	Task
	Size
	Migrate           string        `env:"MCK_MIGRATE,default=auto" oneof:"auto|always|never" flag:"migrate" doc:"whether the database is upgraded"`
	CacheFlush        bool          `env:"MCK_CACHE_FLUSH,default=true" flag:"cache-flush" doc:"flush Magento's cache after the roll"`
	Timeout           time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	WaitForDeployment bool          `env:"MCK_WAIT_FOR_DEPLOYMENT" flag:"wait-for-deployment" doc:"wait for a deployment in progress instead of refusing"`
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
	ProbeContinue bool `env:"MCK_PROBE_CONTINUE" flag:"probe-continue" doc:"end a PAUSE before production traffic moves, once the test listener has answered"`

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

// Deploy is the settings of deploy.
type Deploy struct {
	ReleasedBuild
	Release
	Edits
	Stage
	Output
}

// Stage is how far a release goes by itself.
type Stage struct {
	WaitUntil string `env:"MCK_WAIT_UNTIL" flag:"wait-until" doc:"leave services that move traffic at this lifecycle stage, for continue or rollback: where a hook of type PAUSE holds, or BAKE_TIME"`
}

// Continue is the settings of continue.
type Continue struct {
	Release
	Stage
	Output
}

// Verify is the settings of verify and diff: what decides what a release would do, and nothing of how it is done.
type Verify struct {
	ReleasedBuild
	Target
	Size
	Edits
	TestListener
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
