package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/build"
)

// StepError is a step that failed: which command, where, how, and what it said
// last.
type StepError struct {
	Step    string
	Command string
	Dir     string
	Code    int      // exit code; -1: killed by a signal or not started
	Cause   string   // in place of an exit code: what ended it
	Tail    []string // the last lines that were shown of what it printed
	File    string   // where all that it printed is; empty: nowhere
	Hint    string   // what to do, where it is known
}

func (e *StepError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %s failed", e.Step)
	switch {
	case e.Command == "":
		fmt.Fprintf(&b, ": %s", e.Cause)
	case e.Cause != "":
		fmt.Fprintf(&b, ": `%s` %s\n  in %s", e.Command, e.Cause, e.Dir)
	default:
		fmt.Fprintf(&b, ": `%s` ended with exit code %d\n  in %s", e.Command, e.Code, e.Dir)
	}
	if len(e.Tail) > 0 {
		b.WriteString("\n  its last lines:")
		for _, l := range e.Tail {
			b.WriteString("\n    " + l)
		}
	}
	if e.File != "" {
		b.WriteString("\n  all that it printed: " + e.File)
	}
	if e.Hint != "" {
		b.WriteString("\n  what to do: " + e.Hint)
	}
	return b.String()
}

// How much of a failed command's output its error repeats, in lines: where there
// is a file with all of it, and where there is none.
const (
	tailLines     = 25
	tailLinesOnly = 100
)

// failedCommand says how a command ended that did not end well.
func failedCommand(ctx context.Context, err error, fail StepError, c build.Command) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		fail.Cause = fmt.Sprintf("was stopped: %v", context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		fail.Cause = fmt.Sprintf("did not start: there is no %s on the PATH", c.Args[0])
		fail.Hint = "install " + c.Args[0] + ", or build with `dagger call build`, which brings its own"
	case errors.As(err, &exit) && exit.Exited():
		fail.Code = exit.ExitCode()
		fail.Hint = hint(c, fail.Code, fail.Tail)
	case errors.As(err, &exit):
		fail.Cause = "was killed: " + exit.String()
		fail.Hint = "a kill that nobody sent is the kernel's for want of memory: give the machine 2 GB or more for a step"
	default:
		fail.Cause = "did not run: " + err.Error()
	}
	return &fail
}

// hint explains failures whose own words mislead. It is asked only after an exit
// code said that the command failed.
func hint(c build.Command, code int, tail []string) string {
	out := strings.Join(tail, "\n")
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(out, w) })
	}
	switch {
	case has("repo.magento.com") && has("404", "401", "403", "could not be found"):
		return "repo.magento.com answers 404, and not 401, for whatever the given keys may not see. Check MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY, " +
			"and that their account has bought what composer.json asks for (Adobe Commerce and Marketplace extensions need their owner's keys)"
	case has("Allowed memory size"):
		return "the command reached its memory_limit of 2 GB, which no plain store does: look for a module that loads everything at once"
	case c.Args[0] == "composer" && code == 2 && has("requires", "your php version", "missing from your system"):
		return "the lock asks for a PHP or an extension that is not here; the platform is never ignored. `check` lists all that is missing"
	case has("modules are not enabled", "Please enable the modules"):
		return "app/etc/config.php lists no modules: run `bin/magento module:enable --all`, or `dagger call lock`"
	case has("The default website isn't defined"):
		return "app/etc/config.php has scopes without a default website, and a build has no database: run `bin/magento app:config:dump scopes themes` where the store runs, and commit the file"
	}
	return ""
}
