// Package awsconfig turns settings into the AWS SDK's configuration. It stands apart from package config because
// whoever imports it compiles the SDK.
package awsconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awssdk "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/magecloudkit/pipeline/ci/config"
)

// Options are what a caller may put in the place of the SDK's own. The zero value is right for a command line.
type Options struct {
	HTTPClient aws.HTTPClient                  // nil: the SDK's
	Backoff    func(attempt int) time.Duration // pause before a retry; nil: the SDK's, exponential with jitter
}

// Load makes the configuration of the AWS clients.
//
// Credentials are, in this order: the profile asked for; static keys; a role assumed with a web identity token, of a
// file or of CircleCI; and what the SDK finds by itself (shared files, SSO, container and instance roles).
// Only that last part, and the home directory, are read from the process's environment by the SDK.
//
// No call is made yet. An error says which setting contradicts which; where there is no region it is a *config.Error.
func Load(ctx context.Context, s config.AWS, o Options) (aws.Config, error) {
	options, err := connection(s, o)
	if err != nil {
		return aws.Config{}, err
	}
	who, webIdentity, err := identity(s)
	if err != nil {
		return aws.Config{}, err
	}
	cfg, err := awssdk.LoadDefaultConfig(ctx, append(options, who...)...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("cannot make the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, &config.Error{Missing: []config.Setting{config.Region()}}
	}
	if webIdentity {
		assumeRole(&cfg, s)
	}
	return cfg, nil
}

type loadOption = func(*awssdk.LoadOptions) error

// connection is where and how AWS is reached.
func connection(s config.AWS, o Options) ([]loadOption, error) {
	options := []loadOption{
		awssdk.WithLogger(logging.Nop{}), // the SDK's warnings go to stderr, past our own output
		awssdk.WithRetryer(func() aws.Retryer { return newRetryer(s.MaxAttempts, o.Backoff) }),
	}
	if o.HTTPClient != nil {
		options = append(options, awssdk.WithHTTPClient(o.HTTPClient))
	}
	if s.Region != "" {
		options = append(options, awssdk.WithRegion(s.Region))
	}
	if s.Endpoint != "" {
		options = append(options, awssdk.WithBaseEndpoint(s.Endpoint))
	}
	if s.ConfigFile != "" {
		options = append(options, awssdk.WithSharedConfigFiles([]string{s.ConfigFile}))
	}
	if s.Credentials != "" {
		options = append(options, awssdk.WithSharedCredentialsFiles([]string{s.Credentials}))
	}
	if s.CABundle != "" && o.HTTPClient == nil {
		pem, err := os.ReadFile(s.CABundle)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificate authorities that AWS_CA_BUNDLE names: %w", err)
		}
		options = append(options, awssdk.WithCustomCABundle(bytes.NewReader(pem)))
	}
	return options, nil
}

// identity is whose credentials are used, and whether they come with a role that is
// assumed by a web identity.
func identity(s config.AWS) (options []loadOption, webIdentity bool, err error) {
	switch {
	case s.Profile != "":
		return []loadOption{awssdk.WithSharedConfigProfile(s.Profile)}, false, nil
	case s.AccessKeyID != "" && s.SecretAccessKey != "":
		return []loadOption{awssdk.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			s.AccessKeyID, s.SecretAccessKey.Reveal(), s.SessionToken.Reveal()))}, false, nil
	case s.AccessKeyID != "" || s.SecretAccessKey != "":
		return nil, false, errors.New("one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set and the other is not: set both or neither")
	case s.TokenFile != "" && s.RoleARN == "":
		return nil, false, errors.New("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: set AWS_ROLE_ARN to the role to assume")
	case s.RoleARN != "" && (s.TokenFile != "" || s.CircleToken != ""):
		// The calls that assume the role carry no credentials, and must not look for any.
		return []loadOption{awssdk.WithCredentialsProvider(aws.AnonymousCredentials{})}, true, nil
	case s.DefaultProfile != "":
		return []loadOption{awssdk.WithSharedConfigProfile(s.DefaultProfile)}, false, nil
	}
	return nil, false, nil
}

// assumeRole makes the credentials those of the role.
func assumeRole(cfg *aws.Config, s config.AWS) {
	var token stscreds.IdentityTokenRetriever = circleToken{s.CircleToken}
	if s.TokenFile != "" { // read again at every renewal: a CI system or EKS replaces it
		token = stscreds.IdentityTokenFile(s.TokenFile)
	}
	cfg.Credentials = aws.NewCredentialsCache(
		stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(*cfg), s.RoleARN, token,
			func(p *stscreds.WebIdentityRoleOptions) { p.RoleSessionName = sessionName(s.RoleSession) }),
		// A request that is signed just before the end must still arrive in time.
		func(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = time.Minute })
}

// sessionName makes a name that STS accepts: [\w+=,.@-]{2,64}.
func sessionName(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("+=,.@-_", r) || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
	if len(name) < 2 {
		return "mck"
	}
	return name[:min(len(name), 64)]
}

// circleToken is the OIDC token that CircleCI puts in a job's environment.
type circleToken struct{ config.Secret }

// GetIdentityToken implements stscreds.IdentityTokenRetriever.
func (t circleToken) GetIdentityToken() ([]byte, error) {
	return []byte(t.Reveal()), nil
}

// defaultAttempts is enough for AWS to be busy for a minute: the pauses double up to 20 s.
const defaultAttempts = 10

// newRetryer retries what is throttled or fails for the moment, attempts times. The SDK's client-side quota is off: it
// gives up early when much fails at once, and a release must not end halfway because AWS is busy.
func newRetryer(attempts int, backoff func(int) time.Duration) aws.Retryer {
	if attempts < 1 {
		attempts = defaultAttempts
	}
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.RateLimiter = ratelimit.None
		if backoff != nil {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return backoff(attempt), nil
			})
		}
	})
}
