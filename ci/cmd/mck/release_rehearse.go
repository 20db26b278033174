package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

func newRehearseCommand(e *env) *cobra.Command {
	var name string
	var all, list, asJSON bool
	var report string
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Release against a simulated AWS, failures included",
		Long: `rehearse plays scenarios: releases of a build to a simulated AWS in which something
goes wrong. Each has a verdict that it must end with, and a state that it must
leave behind. Time is simulated, so a scenario takes milliseconds. Nothing outside
this process is reached.

  mck rehearse --list
  mck rehearse --scenario 'out of memory'     shows that release step by step
  mck rehearse --all

Exit codes: 0 all as expected; 1 a verdict or a state differs; 2 usage.`,
		Args: usage(cobra.NoArgs),
	}
	fl := cmd.Flags()
	fl.StringVar(&name, "scenario", "", "play this one, and show it as it goes")
	fl.BoolVar(&all, "all", false, "play all of them")
	fl.BoolVar(&list, "list", false, "list them")
	fl.BoolVar(&asJSON, "json", false, "print the outcomes as JSON")
	fl.StringVar(&report, "report", "", "with --scenario: write a page about the release to this HTML `file`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		scenarios := rehearse.Scenarios()
		var notify func(release.Note)
		switch {
		case list:
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
		case !all:
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
	}
	return cmd
}
