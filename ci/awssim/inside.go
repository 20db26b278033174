package awssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// operation finds one by its action: "ecs:UpdateService".
func (w *World) operation(action string) (*wire.Service, *wire.Operation, error) {
	name, op, _ := strings.Cut(action, ":")
	for _, s := range w.services {
		if o := s.Operation(op); s.Name == name && o != nil {
			return s, o, nil
		}
	}
	return nil, nil, fmt.Errorf("awssim has no operation %q", action)
}

// Operations returns the names of all operations that the world knows, as IAM names them: "ecs:UpdateService".
func (w *World) Operations() []string {
	var all []string
	for _, s := range w.services {
		for _, name := range s.Operations() {
			all = append(all, s.Name+":"+name)
		}
	}
	slices.Sort(all)
	return all
}

// Do carries out a call from inside: no faults, no lag, no record. It is how a test looks at the world's own state, or
// prepares it:
//
//	out, err := awssim.Do[ecs.DescribeServicesOutput](w, "ecs:DescribeServices", &ecs.DescribeServicesInput{…})
func Do[O any](w *World, action string, in any) (*O, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	s, o, err := w.operation(action)
	if err != nil {
		return nil, err
	}
	arg := o.In()
	if err := wire.DecodeJSON(wire.EncodeJSON(in), arg); err != nil { // copies keep the world's state and the caller's apart
		return nil, err
	}
	res, err := o.Run(&wire.Call{Service: s, Op: action[len(s.Name)+1:], Caller: w.people.Identity(""), Now: w.k.Now}, arg)
	if err != nil {
		return nil, err
	}
	out := new(O)
	return out, wire.DecodeJSON(wire.EncodeJSON(res), out)
}

// State returns what there is in the world, service by service, as JSON.
func (w *World) State() (json.RawMessage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	all := map[string]any{"time": w.k.Now, "facts": w.behaviors.Facts}
	for _, s := range w.services {
		if s.State != nil {
			all[s.Name] = s.State()
		}
	}
	return json.MarshalIndent(all, "", "  ") // while the world is locked: the views share its state
}

// Transport returns a round tripper that reaches the world without a socket, whatever the host in the URL.
func (w *World) Transport() http.RoundTripper { return InProcess(w.Handler()) }

// InProcess returns a round tripper that reaches a handler without a socket, whatever the host in the URL.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

// errCut is what a client sees of a connection that the world cut.
var errCut = fmt.Errorf("awssim cut the connection: %w", io.ErrUnexpectedEOF)

type inProcess struct{ handler http.Handler }

// RoundTrip serves the request in this goroutine. A connection that the world cuts is an error as of a socket that the
// peer has closed.
func (t inProcess) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			res, err = nil, errCut
		}
	}()
	a := &answer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(a, r)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}

// answer is a response writer that keeps what is written.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
