package store

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// A Severity says how bad a finding is.
type Severity string

// An error makes the build fail; a warning is a risk; an info is good to know.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

var severities = []Severity{Error, Warning, Info}

// A Finding is one thing that was found out about a store.
type Finding struct {
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`    // stable, for machines: "lock-missing"
	Subject  string   `json:"subject"` // the file or thing it is about
	Message  string   `json:"message"` // what is so, and why it matters
	Do       string   `json:"do"`      // what to do about it
}

// Facts are what a build of the store works with.
type Facts struct {
	Edition     Edition             `json:"edition"`
	Version     string              `json:"version"`
	PHP         string              `json:"php"` // that builds, "8.3.12"; where that is not known its release line, "8.3"
	Platform    string              `json:"platform,omitempty"`
	Extensions  []string            `json:"extensions"` // required
	Lock        string              `json:"lock"`       // "present", "outdated", "invalid" or "absent"
	Packages    int                 `json:"packages"`   // in the lock, without those for development
	Enabled     int                 `json:"modulesEnabled"`
	Disabled    int                 `json:"modulesDisabled"`
	CodeModules int                 `json:"modulesInAppCode"`
	Themes      []Theme             `json:"themes"`
	Locales     map[string][]string `json:"locales"` // by area
	MagentoKeys bool                `json:"magentoKeys"`
	Node        string              `json:"node,omitempty"`       // that builds, "20.11.1", or its release line; empty: it builds nothing
	NodeBuilds  []string            `json:"nodeBuilds,omitempty"` // the directories that it builds in
}

// A Report is everything that can be said about a store before building it.
type Report struct {
	Facts    Facts     `json:"facts"`
	Findings []Finding `json:"findings"` // errors first
}

// Add adds findings, errors first.
func (r *Report) Add(findings ...Finding) {
	r.Findings = append(r.Findings, findings...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
}

// OK reports whether nothing found makes the build fail.
func (r Report) OK() bool { return len(r.of(Error)) == 0 }

func (r Report) of(s Severity) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity != s })
}

// Err is nil when OK; otherwise its message lists every error and what to do about it.
func (r Report) Err() error {
	errs := r.of(Error)
	if len(errs) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the store cannot be built: %s", count(len(errs), "error"))
	for _, f := range errs {
		fmt.Fprintf(&b, "\n  %s: %s", f.Subject, f.Message)
		if f.Do != "" {
			fmt.Fprintf(&b, "\n    %s", f.Do)
		}
	}
	return &ReportError{Report: r, msg: b.String()}
}

// A ReportError is what Report.Err returns.
type ReportError struct {
	Report Report
	msg    string
}

func (e *ReportError) Error() string { return e.msg }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// String is the report for people: the facts, and the findings as a table, errors first.
func (r Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range r.Facts.rows() {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	w.Flush()
	var totals []string
	for _, s := range severities {
		found := r.of(s)
		totals = append(totals, plural(len(found), s))
		if len(found) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range found {
			label, subject := string(s), f.Subject
			for _, line := range append(wrap(f.Message, ""), wrap(f.Do, "-> ")...) {
				fmt.Fprintf(w, "%s\t%s\t%s\n", label, subject, line)
				label, subject = "", ""
			}
		}
		w.Flush()
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(totals, ", "))
	return b.String()
}

// wrap breaks a text into lines of a width that is easily read; the first begins with prefix, the others align with it.
func wrap(text, prefix string) []string {
	const width = 88
	var lines []string
	line := prefix
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = strings.Repeat(" ", len(prefix)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	if line != prefix {
		lines = append(lines, line)
	}
	return lines
}

func plural(n int, s Severity) string {
	if s == Info {
		return count(n, "note")
	}
	return count(n, string(s))
}

func (f Facts) rows() [][2]string {
	if f.PHP == "" {
		return nil // it is no store
	}
	name := strings.TrimSpace(string(f.Edition) + " " + f.Version)
	if name == "" {
		name = "unknown"
	}
	lock := f.Lock
	if f.Packages > 0 {
		lock += ", " + count(f.Packages, "package")
	}
	modules := "all that are found (none listed)"
	if f.Enabled+f.Disabled > 0 {
		modules = fmt.Sprintf("%d enabled, %d disabled", f.Enabled, f.Disabled)
	}
	if f.CodeModules > 0 {
		modules += fmt.Sprintf("; %d in app/code", f.CodeModules)
	}
	var themes []string
	for _, t := range f.Themes {
		themes = append(themes, t.String())
	}
	rows := [][2]string{
		{"store", name},
		{"PHP", strings.TrimSuffix(f.PHP+" on "+f.Platform, " on ")},
		{"extensions", strings.Join(f.Extensions, " ")},
		{"composer.lock", lock},
		{"modules", modules},
		{"themes", strings.Join(themes, " ")},
	}
	if len(f.NodeBuilds) > 0 {
		rows = append(rows, [2]string{"Node", f.Node + " in " + strings.Join(f.NodeBuilds, " ")})
	}
	for _, area := range []string{frontend, adminhtml} {
		rows = append(rows, [2]string{"locales, " + area, strings.Join(f.Locales[area], " ")})
	}
	return rows
}
