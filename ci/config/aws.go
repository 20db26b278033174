package config

// AWS is how the AWS APIs are reached. Everything is optional: what is not set is left to the AWS SDK's own chain
// (environment, web identity, shared config and credentials files, SSO, container and instance roles). Those that dagger
// has are settings of the module's constructor; those that it lacks are of files of the machine that calls.
type AWS struct {
	Region string `env:"AWS_REGION" or:"AWS_DEFAULT_REGION" flag:"region" dagger:"^awsRegion" doc:"AWS region, unless the profile names one"`
	// Profile goes before every other source of credentials; AWS_PROFILE only says which part of the files is read when
	// nothing else is set, as in the AWS CLI.
	Profile        string `env:"MCK_AWS_PROFILE" flag:"profile" dagger:"-" doc:"profile of the AWS config and credentials files, whatever else is set"`
	DefaultProfile string `env:"AWS_PROFILE" dagger:"-" doc:"profile of the AWS config and credentials files, when no credentials are set"`

	Endpoint string `env:"AWS_ENDPOINT_URL" flag:"endpoint-url" dagger:"^awsEndpointUrl" doc:"address of the AWS APIs, when it is not Amazon's"`
	CABundle string `env:"AWS_CA_BUNDLE" dagger:"^awsCaBundle" doc:"PEM file of the certificate authorities to trust"`

	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID" dagger:"^awsAccessKeyId" doc:"static credentials: the key's id"`
	SecretAccessKey Secret `env:"AWS_SECRET_ACCESS_KEY" dagger:"^awsSecretAccessKey" doc:"static credentials: the key"`
	SessionToken    Secret `env:"AWS_SESSION_TOKEN" dagger:"^awsSessionToken" doc:"static credentials that are temporary: their token"`

	// With a role and a token, credentials come from AssumeRoleWithWebIdentity, and are renewed before they expire.
	RoleARN     string `env:"AWS_ROLE_ARN" dagger:"^awsRoleArn" doc:"role to assume with the web identity token"`
	RoleSession string `env:"AWS_ROLE_SESSION_NAME,default=mck" dagger:"-" doc:"name of the assumed role's session"`
	TokenFile   string `env:"AWS_WEB_IDENTITY_TOKEN_FILE" dagger:"-" doc:"file that holds the web identity (OIDC) token"`
	CircleToken Secret `env:"CIRCLE_OIDC_TOKEN_V2" or:"CIRCLE_OIDC_TOKEN" dagger:"^awsWebIdentityToken" doc:"CircleCI's web identity (OIDC) token"`
	ConfigFile  string `env:"AWS_CONFIG_FILE" dagger:"-" doc:"AWS config file, when it is not ~/.aws/config"`
	Credentials string `env:"AWS_SHARED_CREDENTIALS_FILE" dagger:"-" doc:"AWS credentials file, when it is not ~/.aws/credentials"`
	MaxAttempts int    `env:"AWS_MAX_ATTEMPTS,default=10" dagger:"-" doc:"attempts of a request that is throttled or fails for the moment"`
}

// Region describes the setting of the region.
func Region() Setting {
	for _, s := range Settings(&AWS{}) {
		if s.Name == "AWS_REGION" {
			return s
		}
	}
	panic("there is no setting AWS_REGION")
}
