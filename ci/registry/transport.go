package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/cenkalti/backoff/v5"
)

// meter counts the bytes of the bodies that are sent for a context, repetitions included.
type meter struct {
	sent atomic.Int64
	// more, if set, is called with the count after every piece.
	more func(sent int64)
}

type meterKey struct{}

func withMeter(ctx context.Context, m *meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// metered counts what goes over the wire, and keeps credentials off any wire that is in the clear: go-containerregistry
// falls back to http for all private addresses, not just for this machine.
type metered struct {
	inner http.RoundTripper
	plain string // host[:port] that may be reached in the clear all the same
}

func (t *metered) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) && (t.plain == "" || req.URL.Host != t.plain) {
		return nil, fmt.Errorf("the registry %s does not speak TLS; only one on this machine may be reached without", req.URL.Host)
	}
	if m, ok := req.Context().Value(meterKey{}).(*meter); ok && req.Body != nil && req.Body != http.NoBody {
		req = req.Clone(req.Context())
		req.Body = &meteredBody{req.Body, m}
	}
	return t.inner.RoundTrip(req)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type meteredBody struct {
	io.ReadCloser
	m *meter
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	sent := b.m.sent.Add(int64(n))
	if b.m.more != nil && n > 0 {
		b.m.more(sent)
	}
	return n, err
}

// maxThrottled is how often a request is sent that the registry has no time for.
const maxThrottled = 10

// throttled repeats a request that the registry refused for having too many at once. go-containerregistry repeats a
// whole upload of four requests instead, which never ends where every third request is refused.
type throttled struct {
	inner   http.RoundTripper
	backoff func() backoff.BackOff
}

var errThrottled = errors.New("too many requests")

func (t *throttled) RoundTrip(req *http.Request) (*http.Response, error) {
	attempt := req
	tries := 0
	return backoff.Retry(req.Context(), func() (*http.Response, error) {
		resp, err := t.inner.RoundTrip(attempt)
		tries++
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		if resp.StatusCode != http.StatusTooManyRequests || tries == maxThrottled {
			return resp, nil
		}
		again, err := replay(req)
		if err != nil {
			return resp, nil // the caller gets the refusal
		}
		attempt = again
		after := resp.Header.Get("Retry-After")
		discard(resp)
		if seconds, err := strconv.Atoi(after); err == nil {
			return nil, backoff.RetryAfter(seconds)
		}
		return nil, errThrottled
	}, backoff.WithBackOff(t.backoff()), backoff.WithMaxTries(maxThrottled))
}

// replay makes the same request once more. It is an error if the body cannot be read again.
func replay(req *http.Request) (*http.Request, error) {
	again := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return again, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("the request's body can be read only once")
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again.Body = body
	return again, nil
}

// discard ends an answer, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what is left does not matter
	resp.Body.Close()
}

// relogin fetches another token when the registry does not take the one it got: ECR answers 401 to a token that it does
// not know, and 403 to one that has expired.
type relogin struct {
	inner http.RoundTripper
	login *Login
}

func (t *relogin) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.inner.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return resp, err
	}
	user, password, ok := req.BasicAuth()
	if !ok {
		return resp, nil // it was only asked how to log in
	}
	again, err := replay(req)
	if err != nil {
		return resp, nil
	}
	auth, err := t.login.renew(req.Context(), password)
	if err != nil {
		discard(resp)
		return nil, err
	}
	discard(resp)
	again.SetBasicAuth(user, auth.Password)
	return t.inner.RoundTrip(again)
}
