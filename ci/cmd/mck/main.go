// Command mck is MageCloudKit's pipeline on a bare host: it builds a Magento
// store's images with this machine's own php and composer, pushes them to
// Amazon ECR, releases them to Amazon ECS, and rehearses a release against a
// simulated AWS. The Dagger module at the repository's root has the same verbs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// env is what every verb is given: the streams, the environment, the clock.
// Results go to stdout, progress and logs to stderr.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	lookup func(string) (string, bool)
	around func() around // what doctor looks at; nil: nothing
	now    func() time.Time
	color  bool // stderr is a terminal
}

// exitError carries the code that a verb ends with. A nil err means that what
// went wrong has been reported already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitUsage is the code for a command line that cannot be taken.
const exitUsage = 2

func main() {
	// The first signal asks the running verb to end in a known state; the
	// second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, &env{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		lookup: os.LookupEnv,
		around: thisMachine,
		now:    time.Now,
		color:  isTerminal(os.Stderr),
	}, os.Args[1:])
	os.Exit(code)
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, e *env, args []string) int {
	out := &counted{Writer: e.stdout}
	with := *e
	with.stdout = out
	root := newRoot(&with) //nolint:contextcheck // each command has its own: cmd.Context()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	code := 1
	var exit *exitError
	if errors.As(err, &exit) {
		if code = exit.code; exit.err == nil { // it has been reported
			return code
		}
		err = exit.err
	}
	fmt.Fprintf(e.stderr, "mck: %v\n", err)
	if out.n == 0 && wantsJSON(args) {
		if err := writeJSON(e.stdout, failed(cmd, code, err.Error())); err != nil {
			fmt.Fprintf(e.stderr, "mck: %v\n", err)
		}
	}
	return code
}

func newRoot(e *env) *cobra.Command { //nolint:funlen // a list
	root := &cobra.Command{
		Use:   "mck",
		Short: "Build Magento stores, push their images to Amazon ECR and release them to Amazon ECS",
		Long: `mck runs MageCloudKit's pipeline on this machine: the same steps, with the same
words, as the Dagger module's functions, with no container engine.

  mck check --source magento            what can be said about a store before building it
  mck build --source magento --out out  its two images, as OCI layouts`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			meant := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				meant = fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
			}
			return &exitError{exitUsage, fmt.Errorf("there is no verb %q%s; 'mck --help' lists them", args[0], meant)}
		},
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newCheckCommand(e),
		newComposerCommand(e),
		newPrecompileCommand(e),
		newBuildCommand(e),
		newPinCommand(e),
		newGetECRCommand(e),
		newPushCommand(e),
		newInspectCommand(e),
		newAuditCommand(e),
		newSmokeCommand(e),
		newCleanupCommand(e),
		newSimulateCommand(e),
		newInstallCommand(e),
		newDeployCommand(e),
		newRollbackCommand(e),
		newStatusCommand(e),
		newLogsCommand(e),
		newContinueCommand(e),
		newWaitCommand(e),
		newScaleCommand(e),
		newExecCommand(e),
		newVerifyCommand(e),
		newDiffCommand(e),
		newRunCommand(e),
		newEnvCommand(e),
		newHistoryCommand(e),
		newRehearseCommand(e),
		newDemoCommand(e),
		newLegacyCommand(e),
		newVersionCommand(e),
		newConfigCommand(e),
		newDoctorCommand(e),
		newInitCommand(e),
	)
	return root
}
