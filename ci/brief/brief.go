// Package brief makes a log that people can read of what composer and Magento
// print: a line for each theme and locale, for each part of compiling, and for
// packages together, each with its time, in place of progress bars that are drawn
// again and again and of a line for every file and package. All else, errors and
// warnings above all, passes as it is.
//
// It goes by the forms that these programs print where there is no terminal, as
// recorded from Magento 2.4.7 and composer 2 (testdata). A line of no known form
// is shown.
package brief

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Filter is a writer for what a command prints. It is not safe for use by several
// goroutines.
type Filter struct {
	show func(line string)
	now  func() time.Time
	part []byte // a line that has not ended yet

	theme     deployed
	operation operation
	group     group
	frames    int // of a stack trace, so far
	failures  int // files that could not be made, so far
	muted     bool
}

// deployed is a theme in a locale whose files are being deployed.
type deployed struct {
	name  string
	files int
	last  string
	since time.Time
}

// operation is a part of compiling. since is when it began, end when it was over.
type operation struct {
	name       string
	before     string // how many parts were done when its bar was first drawn
	since, end time.Time
	shown      bool
}

// said is what a line says of one thing of several: the kind of thing, and what of
// it. timed has the time shown that all of them took.
type said struct {
	noun, what string
	timed      bool
}

// group is a run of lines that say the same of one thing each.
type group struct {
	said
	n     int
	last  string
	since time.Time
}

// New makes a filter that hands the lines to show to show, without their line
// ends. now tells the time, for durations.
func New(show func(line string), now func() time.Time) *Filter {
	return &Filter{show: show, now: now}
}

// Write takes a part of the output, which may end anywhere.
func (f *Filter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		f.part = append(f.part, line...)
		if !ended {
			return n, nil
		}
		f.line(string(f.part))
		f.part, p = f.part[:0], rest
	}
}

// Close says that the output is over, and shows what it left unfinished.
func (f *Filter) Close() error {
	if len(f.part) > 0 {
		f.line(string(f.part))
		f.part = nil
	}
	if f.group.n > 0 {
		f.endGroup(", the last " + f.group.last)
	}
	if op := f.operation; op.name != "" && !op.shown {
		f.show(op.name + "  not finished")
	}
	f.operation = operation{}
	f.endFailures()
	f.stopTheme(", at " + f.theme.last)
	return nil
}

// escape is what a terminal takes for colours and for moving the cursor.
var escape = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// frame is a line of a stack trace, of which the first few tell.
var frame = regexp.MustCompile(`^(#\d+| +at) `)

const shownFrames = 3

// rule is a form of line, and what becomes of it: do returns whether it is shown.
type rule struct {
	form *regexp.Regexp
	do   func(f *Filter, m []string) bool
}

func drop(*Filter, []string) bool { return false }

// rules are tried in order.
var rules = []rule{
	// setup:static-content:deploy -v
	{regexp.MustCompile(`^Execute: (\S+)/(\S+)$`), (*Filter).startTheme},
	{regexp.MustCompile(`^Processing file '([^']*)'`), (*Filter).file},
	{regexp.MustCompile(`^\S+/\S+ +\d+/\d+ +[=>-]* +\d+% `), (*Filter).bar},
	{regexp.MustCompile(`^\.$`), drop},
	{regexp.MustCompile(`^Compilation from source:? `), (*Filter).failure},
	{regexp.MustCompile(`^Error happened during deploy process: `), (*Filter).deployFailed},
	{regexp.MustCompile(`^Execution time: [0-9.]+$`), (*Filter).deployEnded},

	// setup:di:compile
	{regexp.MustCompile(`^Compilation was started\.$`), (*Filter).startCompile},
	{regexp.MustCompile(`^(?:%message% .* [KMG]?i?B)?(\S[^\[\]]*)\.\.\. (\d+)/\d+ \[[=>-]*\]`), (*Filter).compile},
	{regexp.MustCompile(`^Generated code and dependency injection configuration successfully\.$`), (*Filter).compiled},

	// module:enable
	{regexp.MustCompile(`^- ([A-Za-z0-9]+_[A-Za-z0-9]+)$`), func(f *Filter, m []string) bool { return f.grouped(said{noun: "module"}, m[1]) }},

	// composer
	{regexp.MustCompile(`^  - (Downloading|Syncing|Installing|Upgrading|Downgrading|Removing) (\S+)`), (*Filter).packages},
	{regexp.MustCompile(`^Package (\S+) is abandoned, `), func(f *Filter, m []string) bool { return f.grouped(abandoned, m[1]) }},
	{regexp.MustCompile(`^ +\.\.\.(Module \S+ recognized as part of|No special rule applied for) `), drop}, // inventory-composer-installer
	{regexp.MustCompile(`^\d+ package suggestions? w(as|ere) added by new dependenc`), drop},
	{regexp.MustCompile(`^\d+ packages? you are using (is|are) looking for funding\.$`), drop},
	{regexp.MustCompile("^Use the `composer fund` command to find out more!$"), drop},

	// The synopsis of a command, which follows what was wrong with it.
	{regexp.MustCompile(`^[a-z:-]+( \[-[^\]]*\]){2}`), drop},
}

func (f *Filter) line(line string) {
	line = strings.TrimRight(line, "\r")
	// A progress bar writes over its own line: what it showed last counts.
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = strings.TrimRight(escape.ReplaceAllString(line, ""), " ")
	if line == "" {
		return
	}
	f.frames++
	if !frame.MatchString(line) {
		f.frames = 0
	}
	for _, r := range rules {
		if m := r.form.FindStringSubmatch(line); m != nil {
			if !r.do(f, m) {
				return
			}
			break
		}
	}
	if f.muted || f.frames > shownFrames {
		return
	}
	if f.group.n > 0 {
		f.endGroup("")
	}
	f.show(line)
}

// startTheme begins a theme's locale, which ends the one before: a process does
// them one after the other.
func (f *Filter) startTheme(m []string) bool {
	f.endTheme()
	f.theme = deployed{name: m[1] + " " + m[2], since: f.now()}
	return false
}

func (f *Filter) file(m []string) bool {
	f.muted = false
	f.theme.files++
	f.theme.last = m[1]
	return false
}

func (f *Filter) bar([]string) bool {
	f.muted = false
	return false
}

func (f *Filter) endTheme() {
	f.endFailures()
	if f.theme.name != "" {
		f.show(fmt.Sprintf("%s  %s  %s", f.theme.name, count(f.theme.files, "file"), seconds(f.now().Sub(f.theme.since))))
		f.theme = deployed{}
	}
}

func (f *Filter) stopTheme(at string) {
	if f.theme.name != "" {
		f.show(fmt.Sprintf("%s  stopped after %s  %s%s", f.theme.name, count(f.theme.files, "file"), seconds(f.now().Sub(f.theme.since)), at))
		f.theme = deployed{}
	}
}

// shownFailures is how many files that could not be made are shown, with what was
// wrong. Where the reason is the store's, every file of it has the same.
const shownFailures = 3

func (f *Filter) failure([]string) bool {
	f.failures++
	f.muted = f.failures > shownFailures
	return true
}

func (f *Filter) endFailures() {
	f.muted = false
	if more := f.failures - shownFailures; more > 0 {
		f.show(fmt.Sprintf("and %d more could not be made", more))
	}
	f.failures = 0
}

func (f *Filter) deployFailed([]string) bool {
	f.endFailures()
	f.stopTheme("")
	return true
}

func (f *Filter) deployEnded([]string) bool {
	f.endTheme()
	return false
}

func (f *Filter) startCompile([]string) bool {
	f.operation = operation{end: f.now()}
	return false
}

// compile takes a drawing of the bar of setup:di:compile. Its line ends when the
// next is drawn, so that the first of an operation is here when the operation is
// over.
func (f *Filter) compile(m []string) bool {
	name, done := m[1], m[2]
	switch op := &f.operation; {
	case op.name != name:
		f.endOperation()
		f.operation = operation{name: name, before: done, since: op.end, end: f.now()}
	case op.before != done:
		f.endOperation()
	}
	return false
}

func (f *Filter) endOperation() {
	if op := &f.operation; op.name != "" && !op.shown {
		f.show(op.name + "  " + seconds(op.end.Sub(op.since)))
		op.shown = true
	}
}

func (f *Filter) compiled([]string) bool {
	f.endOperation()
	f.operation = operation{}
	return true
}

var (
	done = map[string]string{
		"Downloading": "downloaded", "Syncing": "cloned", "Installing": "installed", "Upgrading": "upgraded", "Downgrading": "downgraded", "Removing": "removed",
	}
	abandoned = said{noun: "package", what: "abandoned: `composer audit` lists them"}
)

func (f *Filter) packages(m []string) bool {
	return f.grouped(said{noun: "package", what: done[m[1]], timed: true}, m[2])
}

// grouped counts a line that says the same as the ones before it of another thing.
func (f *Filter) grouped(what said, name string) bool {
	if f.group.n > 0 && f.group.said != what {
		f.endGroup("")
	}
	if f.group.n == 0 {
		f.group = group{said: what, since: f.now()}
	}
	f.group.last = name
	f.group.n++
	return false
}

func (f *Filter) endGroup(more string) {
	g := f.group
	f.group = group{}
	text := strings.TrimSpace(count(g.n, g.noun) + " " + g.what)
	if g.timed {
		text += "  " + seconds(f.now().Sub(g.since))
	}
	f.show(text + more)
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
