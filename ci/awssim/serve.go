package awssim

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

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
	rw.Header().Set("Date", w.clock.Now().UTC().Format(http.TimeFormat)) // by which a client finds out that its clock is wrong
	rw.Header().Set("Content-Length", strconv.Itoa(len(reply.body)))     // AWS never sends chunks
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
func (w *World) route(r *http.Request, body []byte) (*wire.Service, string, func(any) error, *wire.Error) {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, op, _ := strings.Cut(target, ".")
		for _, s := range w.services {
			if s.Protocol == wire.JSON && s.Target == prefix {
				return s, op, func(v any) error { return wire.DecodeJSON(body, v) }, nil
			}
		}
		return nil, "", nil, wire.Errf("UnknownOperationException", "awssim has no service with the target %q", target)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded" || r.URL.Query().Has("Action") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, "", nil, wire.Errf("MalformedQueryString", "%v", err)
		}
		for k, v := range r.URL.Query() {
			form[k] = v
		}
		for _, s := range w.services {
			if s.Protocol == wire.Query && s.Version == form.Get("Version") {
				return s, form.Get("Action"), func(v any) error { return wire.DecodeQuery(form, v) }, nil
			}
		}
		return nil, "", nil, wire.Errf("InvalidAction", "awssim has no service with version %q for the action %q", form.Get("Version"), form.Get("Action"))
	}
	for _, s := range w.services {
		if op, members := s.Match(r.Method, r.URL); op != "" {
			return s, op, func(v any) error { return wire.DecodeREST(body, members, v) }, nil
		}
	}
	e := wire.Errf("UnknownOperationException", "%s %s with Content-Type %q: awssim speaks awsJson1.1 (X-Amz-Target), the query protocol and restJson1", r.Method, r.URL.Path, kind)
	e.Status = http.StatusNotFound
	return nil, "", nil, e
}

// exchange carries one call out.
func (w *World) exchange(r *http.Request, s *wire.Service, op string, decode func(any) error, e *wire.Error) reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	c := &wire.Call{Service: s, Op: op, ID: w.k.NewID("request"), Now: w.k.Now}
	if e != nil {
		c.Service = &wire.Service{}
		return fail(c, e)
	}
	o := s.Operation(op)
	rec := Call{Time: c.Now, Op: c.Action(), Agent: r.UserAgent(), Request: c.ID}
	if e := w.authenticate(c, r, o != nil && o.Unsigned); e != nil {
		w.record(rec, e)
		return fail(c, e)
	}
	rec.Caller = c.Caller.ARN
	var in any
	if o != nil {
		in = o.In()
		if err := decode(in); err != nil {
			e := wire.AsError(err)
			w.record(rec, e)
			return fail(c, e)
		}
		if !o.Secret {
			rec.Input = wire.EncodeJSON(in)
		}
	}
	out, fault := w.carryOut(c, o, in)
	var re reply
	if out.Err != nil {
		re = fail(c, out.Err)
	} else {
		re = succeed(c, out.Answer)
	}
	re.drop, re.delay, rec.Fault = out.Cut, out.Delay, fault
	w.record(rec, out.Err)
	return re
}

// carryOut runs an operation with the faults that strike it.
func (w *World) carryOut(c *wire.Call, o *wire.Operation, in any) (out wire.Outcome, fault FaultKind) {
	c.Lag = w.readLag
	hit := w.strike(c)
	out.Cut = hit.Kind == DropBefore || hit.Kind == DropAfter
	switch hit.Kind {
	case Stale:
		c.Lag = time.Duration(hit.Delay)
	case Slow:
		out.Delay = time.Duration(hit.Delay)
	case DropBefore:
		return out, hit.Kind
	}
	if e := hit.answer(c); e != nil && hit.Kind != BrokenLate {
		out.Err = e
		return out, hit.Kind
	}
	if o == nil {
		out.Err = wire.Errf("UnknownOperationException", "awssim has no operation %s:%s. It has: %s", c.Service.Name, c.Op, strings.Join(c.Service.Operations(), ", "))
		return out, hit.Kind
	}
	answer, err := o.Run(c, in)
	if err != nil {
		out.Err = wire.AsError(err)
		return out, hit.Kind
	}
	out.Answer = answer
	w.upon(c.Action())
	if hit.Kind == BrokenLate {
		out.Err = hit.answer(c)
	}
	out.Lost = hit.Kind == BrokenLate || hit.Kind == DropAfter
	return out, hit.Kind
}

// strike returns the fault that strikes a call; one without a kind if none does.
func (w *World) strike(c *wire.Call) *armedFault {
	hit := &armedFault{}
	for _, f := range w.faults {
		if f.matches(c.Action(), c.Now.Sub(w.k.Start)) && hit.Kind == "" {
			hit = f
		}
	}
	return hit
}

// authenticate reads who calls from the Authorization header (Signature Version 4). Any access key is good for
// the account's user unless the world knows it for somebody else's; signatures are not checked.
func (w *World) authenticate(c *wire.Call, r *http.Request, unsigned bool) *wire.Error {
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
		return &wire.Error{Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token", Status: http.StatusForbidden}
	}
	if region := scope[2]; region != w.k.Region && !c.Service.Global {
		return wire.Errf("InvalidSignatureException", "Credential should be scoped to a valid region: awssim runs in %s, the request is for %s", w.k.Region, region)
	}
	c.Caller = w.people.Identity(scope[0])
	if x := c.Caller.Expires; !x.IsZero() && !c.Now.Before(x) {
		return expiredToken(c)
	}
	return nil
}

func fail(c *wire.Call, e *wire.Error) reply {
	re := reply{status: e.Status, header: map[string]string{"x-amzn-RequestId": c.ID}}
	if re.status == 0 {
		re.status = http.StatusBadRequest
	}
	if c.Service.Protocol == wire.Query {
		re.header["Content-Type"] = "text/xml"
		re.body = wire.EncodeQueryError(e, c.Service.Namespace, c.ID)
		return re
	}
	m := map[string]any{"__type": e.Code, "message": e.Message}
	if c.Service.Protocol == wire.REST {
		re.status, re.header["X-Amzn-Errortype"], m = wire.RESTStatus(e), e.Code, map[string]any{"Message": e.Message}
	}
	for k, v := range e.Fields {
		m[k] = v
	}
	re.header["Content-Type"] = "application/x-amz-json-1.1"
	re.body, _ = json.Marshal(m) // strings and lists of strings always marshal
	return re
}

func succeed(c *wire.Call, out any) reply {
	re := reply{status: http.StatusOK, header: map[string]string{"x-amzn-RequestId": c.ID}}
	switch {
	case out == nil: // the connection is about to be cut
	case c.Service.Protocol == wire.Query:
		re.header["Content-Type"] = "text/xml"
		re.body = wire.EncodeQuery(c.Op, c.Service.Namespace, c.ID, out)
	default:
		re.header["Content-Type"] = "application/x-amz-json-1.1"
		re.body = wire.EncodeJSON(out)
	}
	return re
}

func (w *World) record(rec Call, e *wire.Error) {
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
}
