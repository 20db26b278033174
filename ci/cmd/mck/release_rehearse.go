package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newRehearseCommand(e *env) *cobra.Command {
	return verb(e, "rehearse", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Rehearse, _ []string) error {
		ctx := cmd.Context()
		name, report, asJSON := s.Scenario, s.Report, s.JSON.JSON
		scenarios := rehearse.Scenarios()
		var notify func(release.Note)
		switch {
		case s.List:
			for _, s := range scenarios {
				if _, err := fmt.Fprintf(e.stdout, "%-17s %s\n", s.Want, s.Name); err != nil {
					return err
				}
			}
			return nil
		case name != "":
			s, err := rehearse.Find(name)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			scenarios = []rehearse.Scenario{s}
			var start time.Time
			notify = func(n release.Note) {
				if start.IsZero() {
					start = n.At
				}
				printNote(e.stderr, n, n.At.Sub(start))
			}
		case !s.All:
			return &exitError{exitUsage, errors.New("say what to rehearse: --scenario NAME, --all, or --list")}
		}
		var outcomes []rehearse.Outcome
		wrong := 0
		t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		if !asJSON {
			fmt.Fprintln(t, "\tEXPECTED\tACTUAL\tCALLS\tTIME\tSCENARIO")
		}
		for _, s := range scenarios {
			if err := ctx.Err(); err != nil {
				return err
			}
			o, err := rehearse.Run(ctx, s, notify)
			if err != nil {
				return err
			}
			outcomes = append(outcomes, o)
			mark := "ok"
			if !o.OK() {
				mark = "WRONG"
				wrong++
			}
			if name != "" && !asJSON {
				fmt.Fprintf(e.stderr, "%s\n", o.Result.Summary())
			}
			if report != "" && name != "" {
				if err := writeReport(report, o.Result); err != nil {
					return err
				}
			}
			if !asJSON {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", mark, o.Want, o.Got, o.Calls, o.Duration.Round(time.Second), o.Scenario)
				for _, w := range o.Wrong {
					fmt.Fprintf(t, "\t\t\t\t\t  %s\n", w)
				}
			}
		}
		if asJSON {
			if err := writeJSON(e.stdout, outcomes); err != nil {
				return err
			}
		} else {
			if err := t.Flush(); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(e.stdout, "%d scenarios, %d wrong\n", len(outcomes), wrong); err != nil {
				return err
			}
		}
		if wrong > 0 {
			return &exitError{code: 1}
		}
		return nil
	})
}
