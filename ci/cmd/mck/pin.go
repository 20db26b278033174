package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newPinCommand(e *env) *cobra.Command {
	return verb(e, "pin", cobra.ArbitraryArgs, func(cmd *cobra.Command, e *env, s *verbs.Pin, refs []string) error {
		content, err := os.ReadFile(s.File)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w. Call it in the pipeline's repository, or name the file with --file", err)}
		}
		bases, err := build.ParseBases(content)
		if err != nil {
			return err
		}
		opts, err := mirrorOf(s.BaseRegistry)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		if len(refs) == 0 {
			refs = slices.Sorted(maps.Keys(bases))
		}
		pins := []documents.Pin{}
		for _, ref := range refs {
			digest, err := image.Digest(cmd.Context(), ref, opts...)
			if err != nil {
				return fmt.Errorf("%w. %s is as it was", err, s.File)
			}
			pins = append(pins, documents.Pin{Image: ref, Was: bases[ref], Now: digest})
			bases[ref] = digest
		}
		if content, err = json.MarshalIndent(bases, "", "  "); err != nil {
			return err
		}
		if err := os.WriteFile(s.File, append(content, '\n'), 0o644); err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, pins)
		}
		return printPins(e, pins)
	})
}

func printPins(e *env, pins []documents.Pin) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tWAS\tNOW")
	for _, p := range pins {
		now := fmt.Sprintf("%.19s", p.Now)
		if p.Was == p.Now {
			now = "the same"
		}
		fmt.Fprintf(w, "%s\t%.19s\t%s\n", p.Image, cmp.Or(p.Was, "not pinned"), now)
	}
	return w.Flush()
}
