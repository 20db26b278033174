package config

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// How says how the setting is given.
func (s Setting) How() string {
	names := append([]string{s.Name}, s.Others...)
	how := "set " + strings.Join(names, " or ")
	if s.Flag != "" {
		how += ", or pass --" + s.Flag
	}
	if s.Unless != "" {
		how += ", or --" + s.Unless + " instead"
	}
	return how
}

// Invalid is a setting whose value cannot be read. The value is not kept.
type Invalid struct {
	Setting
	Expected string // "a whole number"
}

// Error is all that is wrong with a verb's settings.
type Error struct {
	Missing []Setting
	Invalid []Invalid
}

// OrNil is nil if nothing is wrong.
func (e *Error) OrNil() error {
	if len(e.Missing) == 0 && len(e.Invalid) == 0 {
		return nil
	}
	return e
}

// Error lists every setting: its name, what it is for, and how to give it.
func (e *Error) Error() string {
	var b strings.Builder
	if n := len(e.Missing); n > 0 {
		fmt.Fprintf(&b, "%s missing (empty counts as missing; variables are also read from --env-file):\n", count(n))
		table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		for _, s := range e.Missing {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", s.Name, s.Doc, s.How())
		}
		table.Flush()
	}
	if n := len(e.Invalid); n > 0 {
		fmt.Fprintf(&b, "%s not readable:\n", count(n))
		table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		for _, s := range e.Invalid {
			fmt.Fprintf(table, "  %s\t%s\tmust be %s; %s\n", s.Name, s.Doc, s.Expected, s.How())
		}
		table.Flush()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func count(n int) string {
	if n == 1 {
		return "1 setting is"
	}
	return fmt.Sprintf("%d settings are", n)
}
