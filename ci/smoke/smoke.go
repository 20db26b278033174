// Package smoke asks a shop that runs from a build's two images whether it serves: pages, what they name, what must stay
// shut, and whether it is this build. It knows HTTP and what it is given of the images; how the shop is run is another
// package's business (hostrun: this machine's own programs).
package smoke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/magecloudkit/pipeline/ci/page"
)

// Status is how a check ended.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Check is one question and its answer.
type Check struct {
	Name    string  `json:"name"`
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	// Detail is what was seen: "200, 4 files", or what is wrong.
	Detail string `json:"detail,omitempty"`
	// Cause is the likely one of a failure, and what to do.
	Cause string `json:"cause,omitempty"`
	// Page is the beginning of what was answered, and Log what the containers said meanwhile; of a failure.
	Page string   `json:"page,omitempty"`
	Log  []string `json:"log,omitempty"`
}

// Report is what a shop was asked, in order.
type Report struct {
	Checks []Check `json:"checks"`
	// NotRun are the platforms that there are images for and that this machine cannot run.
	NotRun  []string `json:"notRun,omitempty"`
	Seconds float64  `json:"seconds"`
}

// OK says that nothing failed.
func (r Report) OK() bool {
	for _, c := range r.Checks {
		if c.Status == Failed {
			return false
		}
	}
	return len(r.Checks) > 0
}

// String is a table with times, and below it the page, the log lines and the likely cause of each failure.
func (r Report) String() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "CHECK\tRESULT\tTIME\tSEEN")
	for _, c := range r.Checks {
		fmt.Fprintf(t, "%s\t%s\t%.1f s\t%s\n", c.Name, c.Status, c.Seconds, c.Detail)
	}
	fmt.Fprintf(t, "\t\t%.1f s\t\n", r.Seconds)
	_ = t.Flush() // a strings.Builder takes everything
	if len(r.NotRun) > 0 {
		fmt.Fprintf(&b, "not run: the images for %s, since this machine is %s/%s. Their files of the store are the same; their bases are not\n", strings.Join(r.NotRun, ", "), runtime.GOOS, runtime.GOARCH)
	}
	for _, c := range r.Checks {
		if c.Status != Failed {
			continue
		}
		fmt.Fprintf(&b, "\n%s: %s\n%s", c.Name, c.Detail, c.more())
	}
	return b.String()
}

// more is what there is to say of a failure beside its detail, a line each.
func (c Check) more() string {
	var b strings.Builder
	if c.Cause != "" {
		fmt.Fprintf(&b, "  likely cause: %s\n", c.Cause)
	}
	if c.Page != "" {
		fmt.Fprintf(&b, "  the page begins: %s\n", c.Page)
	}
	for _, l := range c.Log {
		fmt.Fprintf(&b, "  log: %s\n", l)
	}
	return b.String()
}

// Shop is what is asked.
type Shop struct {
	// URL is the shop's address, without a slash at its end.
	URL    string
	Client *http.Client
	Now    func() time.Time
	// Images are the two images, as their files and configs say.
	Images Images
	// Logs are the lines that the containers wrote since it was last called.
	Logs func() []string
	// Keys counts the keys of each Redis database that the shop was told to use, by what it is used for ("caches").
	Keys func(context.Context) (map[string]int, error)
	// Categories and Products are paths of pages that are there, beside those that GraphQL tells of.
	Categories, Products []string
	// Planted are paths below /media/ at which a file was put that nobody may read.
	Planted []string
}

// asker asks one shop.
type asker struct {
	Shop
	report Report
	said   []string // all that the logs have said
}

// newLines are what the logs have said since the last call.
func (a *asker) newLines() []string {
	lines := a.Logs()
	a.said = append(a.said, lines...)
	return lines
}

// Inspect checks what needs no running container, so that it is said of images that do not start too.
func Inspect(images Images, now func() time.Time) []Check {
	a := &asker{Shop: Shop{Now: now, Images: images, Logs: func() []string { return nil }}}
	a.images()
	return a.report.Checks
}

// Ask asks everything that needs one. The report tells what failed; the error is only that of a context that ended.
func (s Shop) Ask(ctx context.Context) (Report, error) {
	a := &asker{Shop: s}
	start := s.Now()
	a.build(ctx)
	a.pages(ctx)
	a.locales(ctx)
	a.locked(ctx)
	a.redis(ctx)
	a.logs()
	a.report.Seconds = s.Now().Sub(start).Seconds()
	return a.report, ctx.Err()
}

// check runs one question. What it returns is what was seen, and an error if that is wrong.
func (a *asker) check(name string, ask func() (seen string, err error)) {
	start := a.Now()
	seen, err := ask()
	c := Check{Name: name, Status: OK, Detail: seen, Seconds: a.Now().Sub(start).Seconds()}
	var skipped *skip
	var found *wrong
	switch {
	case err == nil:
	case errors.As(err, &skipped):
		c.Status, c.Detail = Skipped, skipped.why
	case errors.As(err, &found):
		c.Status, c.Detail, c.Cause, c.Page = Failed, found.what, found.cause, page.Excerpt(found.page)
	default:
		c.Status, c.Detail = Failed, err.Error()
	}
	if c.Status == Failed {
		c.Log = tail(errorsIn(a.newLines()))
		if c.Cause == "" {
			c.Cause = page.Cause(c.Page + "\n" + strings.Join(c.Log, "\n"))
		}
	}
	a.report.Checks = append(a.report.Checks, c)
}

// wrong is what a check found, with its likely cause if that is known.
type wrong struct{ what, cause, page string }

func (w *wrong) Error() string { return w.what }

// skip says why a check could not be made.
type skip struct{ why string }

func (s *skip) Error() string { return s.why }

func (a *asker) get(ctx context.Context, path string) (page.Answer, error) {
	return a.do(ctx, http.MethodGet, path, nil)
}

func (a *asker) do(ctx context.Context, method, path string, body io.Reader) (page.Answer, error) {
	address := path
	if strings.HasPrefix(path, "/") {
		address = a.URL + path
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return page.Answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return page.Read(a.Client, req)
}

// tail is the last few lines.
func tail(lines []string) []string {
	const most = 8
	return lines[max(0, len(lines)-most):]
}

// Step is the outcome of something that comes before or after the questions: the installation, the start. log are the
// last lines of what failed.
func Step(name string, took time.Duration, err error, log []string) Check {
	c := Check{Name: name, Status: OK, Seconds: took.Seconds()}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		c.Status, c.Detail, c.Log = Failed, first, log
		c.Cause = page.Cause(strings.Join(log, "\n"))
	}
	return c
}
