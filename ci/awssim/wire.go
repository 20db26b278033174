package awssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// protocol is how a service's calls travel.
type protocol int

const (
	awsJSON protocol = iota // POST / with X-Amz-Target, JSON both ways
	query                   // POST / with a form, XML back
)

// service is one AWS service: a table of operations.
type service struct {
	name      string // as IAM names it: "ecs"
	protocol  protocol
	target    string // awsJSON: what stands before the dot in X-Amz-Target
	version   string // query: the API's version, which a call carries
	namespace string // query: of the XML
	ops       map[string]*operation

	build func(*Topology) error // makes what the service's section of the topology says; may be nil
	state func() any            // what there is, for people and tests to look at as JSON; may be nil
}

type operation struct {
	unsigned bool // may be called without credentials
	secret   bool // its parameters are not recorded
	in       func() any
	run      func(*call, any) (any, error)
}

// handle adds an operation. fn is called with the world locked and brought up to date; it must not keep or change what
// in points to once it has returned, nor answer with pointers into the world's state that it changes later.
func handle[I, O any](s *service, name string, fn func(c *call, in *I) (*O, error)) *operation {
	if s.ops == nil {
		s.ops = map[string]*operation{}
	}
	op := &operation{
		in:  func() any { return new(I) },
		run: func(c *call, in any) (any, error) { return fn(c, in.(*I)) },
	}
	s.ops[name] = op
	return op
}

// call is one request while it is carried out.
type call struct {
	w       *World
	service *service
	op      string
	id      string // request id
	caller  Identity
	host    string        // where the client sent it: "127.0.0.1:4566"
	secure  bool          // over TLS
	lag     time.Duration // how old what a read sees is
}

// now is the world's time.
func (c *call) now() time.Time { return c.w.now }

// action is the call's name in an IAM policy.
func (c *call) action() string { return c.service.name + ":" + c.op }

// denied is the error for a caller that may not do this.
func (c *call) denied(resource string) *Error {
	e := errf("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		c.caller.ARN, c.action(), resource, c.action())
	if c.service.protocol == query {
		e.Code, e.Status = "AccessDenied", 403
	}
	return e
}

// Identity is who calls.
type Identity struct {
	AccessKeyID string
	ARN         string
	UserID      string
	Expires     time.Time // zero: never
}

// Handler returns the world's HTTP side: the AWS APIs at /, the registry below /v2/ and the world's own controls below
// /_sim/. It does not listen.
func (w *World) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", w.serveAPI)
	if w.registry != nil {
		mux.Handle("/v2/", w.registry)
	}
	w.control(mux)
	return mux
}

// turnaround is how long an answer over a socket takes at least, on the machine's clock. No service of AWS is faster, and
// the Go SDK does not stand it: it closes a request's body as soon as there is an answer, and where net/http has not
// yet looked for the body's end by then, it takes the connection down while the answer is being read.
const turnaround = 3 * time.Millisecond

// maxBody is more than any API allows in a request.
const maxBody = 16 << 20

func (w *World) serveAPI(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	s, op, decode, e := w.route(r, body)
	reply := w.exchange(r, s, op, decode, e)
	if reply.drop {
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	}
	if r.Context().Value(http.ServerContextKey) != nil { // over a socket
		select {
		case <-time.After(turnaround):
		case <-r.Context().Done():
			return
		}
	}
	if reply.delay > 0 && w.clock.Sleep(r.Context(), reply.delay) != nil {
		return // the client is gone
	}
	for k, v := range reply.header {
		rw.Header().Set(k, v)
	}
	rw.Header().Set("Content-Length", strconv.Itoa(len(reply.body))) // AWS never sends chunks
	rw.WriteHeader(reply.status)
	_, _ = rw.Write(reply.body) // a client that has gone away needs no answer
}

type reply struct {
	header map[string]string
	status int
	body   []byte
	delay  time.Duration
	drop   bool
}

// route finds out which operation of which service a request is for, and how its parameters are read.
func (w *World) route(r *http.Request, body []byte) (*service, string, func(any) error, *Error) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, op, _ := strings.Cut(target, ".")
		for _, s := range w.services {
			if s.protocol == awsJSON && s.target == prefix {
				return s, op, func(v any) error { return decodeJSON(body, v) }, nil
			}
		}
		return nil, "", nil, errf("UnknownOperationException", "awssim has no service with the target %q", target)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded" || r.URL.Query().Has("Action") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, "", nil, errf("MalformedQueryString", "%v", err)
		}
		for k, v := range r.URL.Query() {
			form[k] = v
		}
		for _, s := range w.services {
			if s.protocol == query && s.version == form.Get("Version") {
				return s, form.Get("Action"), func(v any) error { return decodeQuery(form, v) }, nil
			}
		}
		return nil, "", nil, errf("InvalidAction", "awssim has no service with version %q for the action %q", form.Get("Version"), form.Get("Action"))
	}
	e := errf("UnknownOperationException", "%s %s with Content-Type %q: awssim speaks awsJson1.1 (X-Amz-Target) and the query protocol", r.Method, r.URL.Path, kind)
	e.Status = http.StatusNotFound
	return nil, "", nil, e
}

// exchange carries one call out.
func (w *World) exchange(r *http.Request, s *service, op string, decode func(any) error, e *Error) reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	c := &call{w: w, service: s, op: op, id: w.newID("request"), host: r.Host, secure: r.TLS != nil}
	if e != nil {
		c.service = &service{}
		return c.fail(e)
	}
	o, known := s.ops[op]
	rec := Call{Time: w.now, Op: c.action(), Agent: r.UserAgent(), Request: c.id}
	if e := c.authenticate(r, known && o.unsigned); e != nil {
		return w.record(rec, c.fail(e), e)
	}
	rec.Caller = c.caller.ARN
	var in any
	if known {
		in = o.in()
		if err := decode(in); err != nil {
			e := asError(err)
			return w.record(rec, c.fail(e), e)
		}
		if !o.secret {
			rec.Input = encodeJSON(in)
		}
	}
	out, e, hit := c.carryOut(o, in)
	var re reply
	if e != nil {
		re = c.fail(e)
	} else {
		re = c.succeed(out)
	}
	if hit != nil {
		rec.Fault = hit.Kind
		re.drop = hit.Kind == DropBefore || hit.Kind == DropAfter
		if hit.Kind == Slow {
			re.delay = time.Duration(hit.Delay)
		}
	}
	return w.record(rec, re, e)
}

// carryOut runs an operation with the faults that strike it.
func (c *call) carryOut(o *operation, in any) (any, *Error, *armedFault) {
	w := c.w
	c.lag = w.readLag
	var hit *armedFault
	for _, f := range w.faults {
		if f.matches(c.action(), w.now.Sub(w.start)) && hit == nil {
			hit = f
		}
	}
	if hit != nil {
		if hit.Kind == Stale {
			c.lag = time.Duration(hit.Delay)
		}
		if hit.Kind == DropBefore {
			return nil, nil, hit
		}
		if hit.Kind != BrokenLate {
			if e := hit.answer(c); e != nil {
				return nil, e, hit
			}
		}
	}
	if o == nil {
		have := make([]string, 0, len(c.service.ops))
		for name := range c.service.ops {
			have = append(have, name)
		}
		slices.Sort(have)
		return nil, errf("UnknownOperationException", "awssim has no operation %s:%s. It has: %s", c.service.name, c.op, strings.Join(have, ", ")), hit
	}
	out, err := o.run(c, in)
	if err != nil {
		return nil, asError(err), hit
	}
	w.upon(c.action())
	if hit != nil && hit.Kind == BrokenLate {
		return nil, hit.answer(c), hit
	}
	return out, nil, hit
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

// authenticate reads who calls from the Authorization header (Signature Version 4). Any access key is good for
// the account's user unless the world knows it for somebody else's; signatures are not checked.
func (c *call) authenticate(r *http.Request, unsigned bool) *Error {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if h, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "); ok {
		for part := range strings.SplitSeq(h, ",") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(part), "Credential="); ok {
				credential = v
			}
		}
	}
	scope := strings.Split(credential, "/") // key/date/region/service/aws4_request
	if len(scope) != 5 {
		if unsigned {
			return nil
		}
		return &Error{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token", Status: http.StatusForbidden}
	}
	if region := scope[2]; region != c.w.region && !c.service.global() {
		return errf("InvalidSignatureException", "Credential should be scoped to a valid region: awssim runs in %s, the request is for %s", c.w.region, region)
	}
	c.caller = c.w.identity(scope[0])
	if x := c.caller.Expires; !x.IsZero() && !c.w.now.Before(x) {
		return expiredToken(c)
	}
	return nil
}

// global says that a service is the same in every region: clients sign for us-east-1 then.
func (s *service) global() bool { return s.name == "iam" || s.name == "sts" }

func (c *call) fail(e *Error) reply {
	re := reply{status: e.Status, header: map[string]string{"x-amzn-RequestId": c.id}}
	if re.status == 0 {
		re.status = http.StatusBadRequest
	}
	if c.service.protocol == query {
		re.header["Content-Type"] = "text/xml"
		re.body = encodeQueryError(e, c.service.namespace, c.id)
		return re
	}
	m := map[string]any{"__type": e.Code, "message": e.Message}
	for k, v := range e.Fields {
		m[k] = v
	}
	re.header["Content-Type"] = "application/x-amz-json-1.1"
	re.body, _ = json.Marshal(m) // strings and lists of strings always marshal
	return re
}

func (c *call) succeed(out any) reply {
	re := reply{status: http.StatusOK, header: map[string]string{"x-amzn-RequestId": c.id}}
	switch {
	case out == nil: // the connection is about to be cut
	case c.service.protocol == query:
		re.header["Content-Type"] = "text/xml"
		re.body = encodeQuery(c.op, c.service.namespace, c.id, out)
	default:
		re.header["Content-Type"] = "application/x-amz-json-1.1"
		re.body = encodeJSON(out)
	}
	return re
}

func (w *World) record(rec Call, re reply, e *Error) reply {
	if e != nil {
		rec.Code = e.Code
	}
	w.calls = append(w.calls, rec)
	for _, f := range w.observers {
		f(rec)
	}
	if w.logf != nil {
		w.logf("%s %s %s", rec.Time.Format(time.RFC3339), rec.Op, rec.Code)
	}
	return re
}

// arn returns the ARN of something of this account and region.
func (w *World) arn(service, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, w.region, w.account, resource)
}
