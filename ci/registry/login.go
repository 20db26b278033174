package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
)

type tokenAPI interface {
	GetAuthorizationToken(context.Context, *ecr.GetAuthorizationTokenInput, ...func(*ecr.Options)) (*ecr.GetAuthorizationTokenOutput, error)
}

// Login is ECR's login: a user name and password that are good for twelve hours, and that are fetched again before they
// end. It may be used from several goroutines.
//
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
type Login struct {
	api tokenAPI
	now func() time.Time

	mu      sync.Mutex
	auth    *authn.AuthConfig // nil: not logged in
	expires time.Time
	proxy   *url.URL
}

var _ authn.ContextAuthenticator = (*Login)(nil)

// NewLogin makes a login that asks api for its token when it is first needed.
func NewLogin(api tokenAPI, now func() time.Time) *Login { return &Login{api: api, now: now} }

// ahead is how long before its end a token is fetched again: longer than any request waits to be authorized.
const ahead = 5 * time.Minute

// Authorization implements authn.Authenticator.
func (l *Login) Authorization() (*authn.AuthConfig, error) {
	return l.AuthorizationContext(context.Background())
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (l *Login) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.auth == nil || !l.now().Add(ahead).Before(l.expires) {
		if err := l.fetch(ctx); err != nil {
			return nil, err
		}
	}
	return l.auth, nil
}

// Address returns the address of the account's registry, host[:port].
func (l *Login) Address(ctx context.Context) (string, error) {
	if _, err := l.AuthorizationContext(ctx); err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proxy.Host, nil
}

// renew fetches another token, unless that has been done since the one with this password was in use.
func (l *Login) renew(ctx context.Context, password string) (*authn.AuthConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.auth == nil || l.auth.Password == password {
		if err := l.fetch(ctx); err != nil {
			return nil, err
		}
	}
	return l.auth, nil
}

// fetch asks for a token. Its errors must not quote what came.
func (l *Login) fetch(ctx context.Context) error {
	out, err := l.api.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return fmt.Errorf("logging in to ECR: %w", err)
	}
	if len(out.AuthorizationData) == 0 || out.AuthorizationData[0].AuthorizationToken == nil || out.AuthorizationData[0].ProxyEndpoint == nil {
		return errors.New("logging in to ECR: the answer has no token")
	}
	data := out.AuthorizationData[0]
	text, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
	user, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return errors.New("logging in to ECR: the token is not base64 of a user name and a password")
	}
	proxy, err := url.Parse(*data.ProxyEndpoint)
	if err != nil || proxy.Host == "" {
		return fmt.Errorf("logging in to ECR: the registry's address is not a URL: %q", *data.ProxyEndpoint)
	}
	l.auth, l.proxy, l.expires = &authn.AuthConfig{Username: user, Password: password}, proxy, l.now()
	if data.ExpiresAt != nil {
		l.expires = *data.ExpiresAt
	}
	return nil
}
