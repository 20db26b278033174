package main

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/documents"
)

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
func failed(cmd *cobra.Command, code int, reason string) documents.Failure {
	f := documents.Failure{Verb: strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "mck"), " "), Verdict: "error", ExitCode: code, Reason: reason}
	if code == exitUsage {
		f.Verdict = "usage"
	}
	return f
}
