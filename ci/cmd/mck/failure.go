package main

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// failure is what --json prints of a verb that ended before it had anything of its
// own to print: a program that reads mck's output always finds one document.
type failure struct {
	Verb     string `json:"verb"`
	Verdict  string `json:"verdict"` // "usage" or "error"
	ExitCode int    `json:"exitCode"`
	Reason   string `json:"reason"`
}

// counted counts what is written.
type counted struct {
	io.Writer
	n int
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += n
	return n, err
}

// wantsJSON reports whether a command line asks for JSON, be it one that cannot be
// taken.
func wantsJSON(args []string) bool {
	i := slices.Index(args, "--")
	if i < 0 {
		i = len(args)
	}
	return slices.ContainsFunc(args[:i], func(a string) bool {
		v, ok := strings.CutPrefix(a, "--json=")
		on, err := strconv.ParseBool(v)
		return a == "--json" || ok && err == nil && on
	})
}

// failed is the document of a verb's failure.
func failed(cmd *cobra.Command, code int, reason string) failure {
	f := failure{Verb: strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "mck"), " "), Verdict: "error", ExitCode: code, Reason: reason}
	if code == exitUsage {
		f.Verdict = "usage"
	}
	return f
}
