package wire

import (
	"maps"
	"slices"
	"time"
)

// Protocol is how a service's calls travel.
type Protocol int

// The protocols.
const (
	JSON  Protocol = iota // awsJson1.1: POST / with X-Amz-Target, JSON both ways
	Query                 // POST / with a form, XML back
	REST                  // restJson1: a method and a path for each operation, JSON both ways
)

// Service is one AWS service: a table of operations.
type Service struct {
	Name      string // as IAM names it: "ecs"
	Protocol  Protocol
	Target    string            // JSON: what stands before the dot in X-Amz-Target
	Version   string            // Query: the API's version, which a call carries
	Namespace string            // Query: of the XML
	Routes    map[string]string // REST: the method and path of each operation: "GET /schedules/{Name}"
	Renamed   map[string]string // REST: members by the name of their query parameter, where it is another
	Global    bool              // the same in every region: clients sign for whichever they like
	State     func() any        // what there is, for people and tests to look at as JSON; may be nil

	ops map[string]*Operation
}

// Operation is what a service does upon a call.
type Operation struct {
	Unsigned bool // may be called without credentials
	Secret   bool // its parameters are not recorded

	In  func() any // a new, empty value of its parameters
	Run func(*Call, any) (any, error)
}

// Handle adds an operation. fn is called with the world locked and brought up to date; it must not keep or change what
// in points to once it has returned, nor answer with pointers into the world's state that it changes later.
func Handle[I, O any](s *Service, name string, fn func(c *Call, in *I) (*O, error)) *Operation {
	if s.ops == nil {
		s.ops = map[string]*Operation{}
	}
	op := &Operation{
		In:  func() any { return new(I) },
		Run: func(c *Call, in any) (any, error) { return fn(c, in.(*I)) },
	}
	s.ops[name] = op
	return op
}

// Operation returns one by its name; nil if there is none.
func (s *Service) Operation(name string) *Operation { return s.ops[name] }

// Operations returns the names of all operations, sorted.
func (s *Service) Operations() []string { return slices.Sorted(maps.Keys(s.ops)) }

// Call is one request while it is carried out.
type Call struct {
	Service *Service
	Op      string
	ID      string // request id
	Caller  Identity
	Now     time.Time     // the world's time
	Lag     time.Duration // how old what a read sees is
}

// At returns the time whose state a read of this call sees.
func (c *Call) At() time.Time { return c.Now.Add(-c.Lag) }

// Action is the call's name in an IAM policy.
func (c *Call) Action() string { return c.Service.Name + ":" + c.Op }

// Denied is the error for a caller that may not do this.
func (c *Call) Denied(resource string) *Error {
	e := Errf("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		c.Caller.ARN, c.Action(), resource, c.Action())
	if c.Service.Protocol == Query {
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

// Outcome is how a call went.
type Outcome struct {
	Answer any
	Err    *Error
	Delay  time.Duration // how long the answer takes, on the world's clock
	Cut    bool          // there is none: the connection is cut
	Lost   bool          // it was carried out, and Answer is not what the client gets
}
