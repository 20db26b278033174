// Package doctor looks for the mistakes of a set-up before anything is built, pushed or released: in the settings, in what
// AWS has and allows, and in the machine. It changes nothing.
//
// A [Check] is an entry of the list that [Checks] returns. Each says what it has found as lines, with what to do about it.
package doctor

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/words"
)

// State is what a line says of its subject.
type State string

// The states of a line.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, or was not looked at
	Error   State = "error"   // a verb will fail because of it
)

// Line is what one check says of one thing.
type Line struct {
	Name    string `json:"name"`    // of the check
	Subject string `json:"subject"` // a setting, a service, a role
	State   State  `json:"state"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // what to do about it; of every warning and error
}

// Report is what all checks say.
type Report struct {
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
	Lines    []Line `json:"lines"`
}

// Setup is what is looked at.
type Setup struct {
	Settings []Setting // that are set
	Wrong    error     // why some cannot be taken; nil: they can
	// Variables are the names of all variables that there are, Known those that are settings.
	Variables, Known []string
	// Environments are the names in magecloudkit.yaml.
	Environments []string

	// AWS is how AWS is reached, unless NoAWS says why it cannot be.
	AWS   aws.Config
	NoAWS error
	// Request is what a release would be about. Without a cluster or services nothing of it is looked at.
	Request release.Request
	// Registry is the address that images are pushed to; empty: the account's Amazon ECR. Repositories are their names there.
	Registry     string
	Repositories []string

	Clock    ecs.Clock // the machine's; what it says is compared with AWS's
	Machine  *Machine  // nil: it is not looked at
	Composer *Composer // nil: it is not looked at
}

// Setting is a setting that is set. Of a secret nothing but its form is looked at, and nothing is ever shown.
type Setting struct {
	Name, Value string
	From        string // "MCK_CLUSTER", "--cluster", "magecloudkit.yaml"
	Secret      bool
}

// Check is one of the checks.
type Check struct {
	Name  string
	About string // what it looks at
	aws   bool   // it is not run where AWS does not answer
	run   func(context.Context, *visit)
}

// Checks lists the checks, in the order in which they are run.
func Checks() []Check {
	return []Check{
		{Name: "settings", About: "what is set, by what, and whether it can be meant", run: settings},
		{Name: "credentials", About: "whether AWS takes them, and whose they are", run: credentials},
		{Name: "clock", About: "this machine's time against AWS's", run: clock},
		{Name: "registry", About: "whether `AWS_ECR_URL`, account, region and the services' images agree", aws: true, run: registryAgrees},
		{Name: "repositories", About: "whether the repositories exist", aws: true, run: repositories},
		{Name: "cluster", About: "whether it exists", aws: true, run: found("cluster ")},
		{Name: "services", About: "whether they exist, run the store's images, and are asked for their health", aws: true, run: found("service ", "services ", "task definition ", "AWS")},
		{Name: "cron", About: "whether rules and schedules exist, and run tasks in the cluster", aws: true, run: found("cron rule ", "schedule ")},
		{Name: "roles", About: "whether the roles that task definitions and cron name exist", aws: true, run: found("role ")},
		{Name: "secrets", About: "whether secrets, their keys, and parameters exist that task definitions name", aws: true, run: found("secret ", "parameter ", "parameters ")},
		{Name: "logs", About: "whether the log groups exist", aws: true, run: found("log group ")},
		{Name: "permissions", About: "which verbs' calls the credentials allow, by IAM's simulation", aws: true, run: permissions},
		{Name: "engine", About: "whether dagger and Docker are there, in a version that the pipeline works with", run: engine},
		{Name: "machine", About: "memory, disk and processors", run: machine},
		{Name: "composer", About: "whether the store's repositories take composer's credentials", run: composer},
	}
}

// visit is one run of the checks.
type visit struct {
	Setup
	name  string // of the check that runs
	lines []Line

	dates    *dates
	answers  bool   // AWS takes the credentials
	caller   string // ARN
	account  string
	examined *release.Examined
}

// Run runs the checks. An error means that it was interrupted.
func Run(ctx context.Context, s Setup) (Report, error) {
	v := &visit{Setup: s, dates: &dates{clock: s.Clock}}
	if s.NoAWS == nil {
		v.AWS = v.dates.in(s.AWS)
	}
	for _, c := range Checks() {
		if c.aws && !v.answers {
			continue
		}
		v.name = c.Name
		c.run(ctx, v)
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
	}
	r := Report{Lines: v.lines}
	for _, l := range v.lines {
		switch l.State {
		case Error:
			r.Errors++
		case Warning:
			r.Warnings++
		}
	}
	return r, nil
}

func (v *visit) ok(subject, format string, args ...any) {
	v.say(Line{Subject: subject, State: OK, Message: fmt.Sprintf(format, args...)})
}

func (v *visit) warn(subject, fix, format string, args ...any) {
	v.say(Line{Subject: subject, State: Warning, Fix: fix, Message: fmt.Sprintf(format, args...)})
}

func (v *visit) err(subject, fix, format string, args ...any) {
	v.say(Line{Subject: subject, State: Error, Fix: fix, Message: fmt.Sprintf(format, args...)})
}

// userinfo is a name and password in an address.
var userinfo = regexp.MustCompile(`://[^/@\s]+@`)

// say adds a line of the check that runs. No value of a secret may be in it, wherever it came from.
func (v *visit) say(l Line) {
	l.Name = v.name
	for _, text := range []*string{&l.Subject, &l.Message, &l.Fix} {
		*text = userinfo.ReplaceAllString(*text, "://***@")
		for _, s := range v.Settings {
			if value := strings.TrimSpace(s.Value); s.Secret && len(value) >= shortestSecret {
				*text = strings.ReplaceAll(*text, value, "***")
			}
		}
	}
	v.lines = append(v.lines, l)
}

// shortestSecret is how long a value is at least that is looked for in what is said.
const shortestSecret = 6

// Table writes the lines for people, and how many there are of which kind at the end.
func (r Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range r.Lines {
		fmt.Fprintf(t, "%s\t%s\t%s: %s\n", l.State, l.Name, l.Subject, l.Message)
		if l.Fix != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", l.Fix)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s, %s\n", words.Plural(r.Errors, "error"), words.Plural(r.Warnings, "warning"))
	return err
}
