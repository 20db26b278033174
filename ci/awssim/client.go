package awssim

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// ClientConfig returns what the Go SDK's clients need to reach the world without a socket. They wait between attempts on
// the world's clock.
func (w *World) ClientConfig() aws.Config {
	return aws.Config{
		Region:       w.k.Region,
		BaseEndpoint: aws.String("http://awssim.invalid"),
		HTTPClient:   &http.Client{Transport: w.Transport()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAAWSSIM", SecretAccessKey: "awssim"}, nil
		}),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = clockBackoff{w.clock} })
		},
	}
}

// clockBackoff waits on a clock of its own instead of having the SDK wait on the machine's: a second before the second
// attempt, twice as long before each one after it.
type clockBackoff struct{ clock Clock }

// BackoffDelay waits, and leaves nothing to wait for.
func (b clockBackoff) BackoffDelay(attempt int, _ error) (time.Duration, error) {
	return 0, b.clock.Sleep(context.Background(), time.Second<<min(attempt, 4))
}
