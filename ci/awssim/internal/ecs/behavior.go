package ecs

import (
	"fmt"
	"path"
	"strings"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
)

// Behavior says how containers behave that nobody wrote code for here. Of all behaviors that match a container the one
// added last counts; what it leaves out is ordinary: the container starts within seconds, passes its health check at the
// first attempt and runs until it is stopped. Times count from the container's start unless said otherwise.
type Behavior struct {
	// What it is about. An empty field matches everything; patterns are those of path.Match.
	Family     string            `json:"family,omitempty"`     // the task definition's, pattern
	Revision   int               `json:"revision,omitempty"`   // of the task definition
	Image      string            `json:"image,omitempty"`      // text in the image reference: "magento2:301"
	Container  string            `json:"container,omitempty"`  // its name, pattern
	Command    string            `json:"command,omitempty"`    // text in the command, joined by spaces: "setup:db:status"
	Standalone bool              `json:"standalone,omitempty"` // only in a task of no service
	Overridden bool              `json:"overridden,omitempty"` // only where the task overrides the command
	Env        map[string]string `json:"env,omitempty"`        // only with these in the environment
	If         map[string]string `json:"if,omitempty"`         // only while the world's facts are these; "" is a fact not set
	Times      int               `json:"times,omitempty"`      // only for the first so many containers it matches

	// Before the container runs.
	NoCapacity  bool            `json:"noCapacity,omitempty"`  // the task is not placed
	PullError   string          `json:"pullError,omitempty"`   // CannotPullContainerError: …
	StartError  string          `json:"startError,omitempty"`  // the reason of a container that could not be started, with its class
	ResourceErr string          `json:"resourceErr,omitempty"` // ResourceInitializationError: …
	Pull        kernel.Duration `json:"pull,omitempty"`        // how long pulling takes; 0: some seconds

	// While it runs.
	HealthyAfter   kernel.Duration `json:"healthyAfter,omitempty"`   // its health check and its target group's pass from then on
	NeverHealthy   bool            `json:"neverHealthy,omitempty"`   //
	UnhealthyAfter kernel.Duration `json:"unhealthyAfter,omitempty"` // they fail again from then on
	Logs           []string        `json:"logs,omitempty"`           // lines, evenly spread from the start to the exit

	// How it ends.
	ExitAfter  kernel.Duration   `json:"exitAfter,omitempty"`  //
	Exit       *int32            `json:"exit,omitempty"`       // the exit code; with it or ExitAfter the container ends by itself
	NoExitCode bool              `json:"noExitCode,omitempty"` // it ends without one
	Reason     string            `json:"reason,omitempty"`     // the container's reason
	OOM        bool              `json:"oom,omitempty"`        // killed for its memory: 137 and OutOfMemoryError
	Set        map[string]string `json:"set,omitempty"`        // facts that are so once it has ended with 0
	StopExit   *int32            `json:"stopExit,omitempty"`   // the exit code when it is stopped; default 0
}

// Check says what is wrong with a behavior.
func (b Behavior) Check() error {
	for _, p := range []string{b.Family, b.Container} {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("behavior: %q is not a pattern", p)
		}
	}
	return nil
}

// ends says that the container ends by itself.
func (b *Behavior) ends() bool { return b.Exit != nil || b.ExitAfter > 0 || b.NoExitCode || b.OOM }

type armedBehavior struct {
	Behavior
	used int
}

// starting is a container that is about to start, as behaviors see it.
type starting struct {
	family, image, container, command string
	revision                          int
	standalone, overridden            bool
	env                               map[string]string
}

func (b *armedBehavior) matches(s starting, facts map[string]string) bool {
	if b.Times > 0 && b.used >= b.Times ||
		b.Standalone && !s.standalone || b.Overridden && !s.overridden ||
		b.Revision != 0 && b.Revision != s.revision ||
		!strings.Contains(s.image, b.Image) || !strings.Contains(s.command, b.Command) ||
		!like(b.Family, s.family) || !like(b.Container, s.container) {
		return false
	}
	return within(b.Env, s.env) && within(b.If, facts)
}

func like(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok || pattern == ""
}

func within(want, have map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// Behaviors are how a world's containers behave, and the facts that behaviors hang on.
type Behaviors struct {
	Facts map[string]string
	list  []*armedBehavior
}

// NewBehaviors returns none, and no facts.
func NewBehaviors() *Behaviors { return &Behaviors{Facts: map[string]string{}} }

// Add adds behaviors, which count before those that are there; or none, if one of them is wrong.
func (all *Behaviors) Add(bs ...Behavior) error {
	for _, b := range bs {
		if err := b.Check(); err != nil {
			return err
		}
	}
	for _, b := range bs {
		all.list = append(all.list, &armedBehavior{Behavior: b})
	}
	return nil
}

// of returns how a container will behave.
func (all *Behaviors) of(s starting) Behavior {
	for i := len(all.list) - 1; i >= 0; i-- {
		if b := all.list[i]; b.matches(s, all.Facts) {
			b.used++
			return b.Behavior
		}
	}
	return Behavior{}
}
