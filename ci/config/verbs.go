package config

import "time"

// AWS is how the AWS APIs are reached. Everything is optional: what is not set is left to the AWS SDK's own chain
// (environment, web identity, shared config and credentials files, SSO, container and instance roles).
type AWS struct {
	Region string `env:"AWS_REGION" or:"AWS_DEFAULT_REGION" flag:"region" doc:"AWS region"`
	// Profile goes before every other source of credentials; AWS_PROFILE only says which part of the files is read when
	// nothing else is set, as in the AWS CLI.
	Profile        string `env:"MCK_AWS_PROFILE" flag:"profile" doc:"profile of the AWS config and credentials files, whatever else is set"`
	DefaultProfile string `env:"AWS_PROFILE" doc:"profile of the AWS config and credentials files, when no credentials are set"`

	Endpoint string `env:"AWS_ENDPOINT_URL" flag:"endpoint-url" doc:"address of the AWS APIs, when it is not Amazon's"`
	CABundle string `env:"AWS_CA_BUNDLE" doc:"PEM file of the certificate authorities to trust"`

	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID" doc:"static credentials: the key's id"`
	SecretAccessKey Secret `env:"AWS_SECRET_ACCESS_KEY" doc:"static credentials: the key"`
	SessionToken    Secret `env:"AWS_SESSION_TOKEN" doc:"static credentials that are temporary: their token"`

	// With a role and a token, credentials come from AssumeRoleWithWebIdentity, and are renewed before they expire.
	RoleARN     string `env:"AWS_ROLE_ARN" doc:"role to assume with the web identity token"`
	RoleSession string `env:"AWS_ROLE_SESSION_NAME,default=mck" doc:"name of the assumed role's session"`
	TokenFile   string `env:"AWS_WEB_IDENTITY_TOKEN_FILE" doc:"file that holds the web identity (OIDC) token"`
	CircleToken Secret `env:"CIRCLE_OIDC_TOKEN_V2" or:"CIRCLE_OIDC_TOKEN" doc:"CircleCI's web identity (OIDC) token"`
	ConfigFile  string `env:"AWS_CONFIG_FILE" doc:"AWS config file, when it is not ~/.aws/config"`
	Credentials string `env:"AWS_SHARED_CREDENTIALS_FILE" doc:"AWS credentials file, when it is not ~/.aws/credentials"`
	MaxAttempts int    `env:"AWS_MAX_ATTEMPTS,default=10" doc:"attempts of a request that is throttled or fails for the moment"`
}

// GetECR is the settings of get-ecr.
type GetECR struct {
	AWS
	Prefix string `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
}

// Push is the settings of push.
type Push struct {
	AWS
	Registry string   `env:"AWS_ECR_URL" flag:"registry" doc:"address of the registry; the account's ECR if not set"`
	Prefix   string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	BuildNum string   `env:"BUILD_NUM,required" or:"CIRCLE_BUILD_NUM" flag:"build-num" doc:"number of the build, the tag of its images"`
	Tags     []string `env:"MCK_TAGS" flag:"tag" doc:"further tags, such as latest"`
	Images   string   `env:"MCK_IMAGES,default=out" flag:"images" doc:"directory with an OCI layout for each image, as build leaves it"`
	Create   bool     `env:"MCK_CREATE_REPOSITORIES" flag:"create" doc:"create the repositories that do not exist (ECR)"`
	Jobs     int      `env:"MCK_PUSH_JOBS,default=4" flag:"jobs" doc:"blobs sent at the same time"`
}

// Cleanup is the settings of cleanup.
type Cleanup struct {
	AWS
	Regions       []string      `env:"MCK_REGIONS" flag:"regions" doc:"regions whose clusters run the images; the AWS region if not set"`
	Clusters      []string      `env:"MCK_CLUSTERS" flag:"cluster" doc:"clusters that run the images; all clusters of the regions if not set"`
	Prefix        string        `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	KeepLast      int           `env:"MCK_KEEP_LAST,default=10" flag:"keep-last" doc:"builds to keep in each repository"`
	KeepRevisions int           `env:"MCK_KEEP_REVISIONS,default=5" flag:"keep-revisions" doc:"revisions to keep of every task definition family in use"`
	KeepTags      []string      `env:"MCK_KEEP_TAGS,default=latest" flag:"keep-tag" doc:"patterns of tags to keep"`
	OlderThan     time.Duration `env:"MCK_OLDER_THAN,default=168h" flag:"older-than" doc:"age below which nothing is deleted"`
}
