package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newRehearseCommand(e *env) *cobra.Command {
	return verb(e, "rehearse", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Rehearse, _ []string) error {
		scenarios := rehearse.Scenarios()
		var notify func(release.Note)
		switch {
		case s.List:
			return listScenarios(e, scenarios, s.JSON.JSON)
		case s.Scenario != "":
			one, err := rehearse.Find(s.Scenario)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			scenarios, notify = []rehearse.Scenario{one}, rehearsed(e)
		case !s.All:
			return &exitError{exitUsage, errors.New("say what to rehearse: --scenario NAME, --all, or --list")}
		}
		outcomes, err := rehearseAll(cmd.Context(), e, s, scenarios, notify)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			err = writeJSON(e.stdout, outcomes)
		} else {
			err = printOutcomes(e, outcomes)
		}
		if err == nil && wrongOf(outcomes) > 0 {
			return &exitError{code: 1}
		}
		return err
	})
}

func listScenarios(e *env, scenarios []rehearse.Scenario, asJSON bool) error {
	list := []documents.Listed{}
	for _, s := range scenarios {
		list = append(list, documents.Listed{Scenario: s.Name, Want: s.Want})
	}
	if asJSON {
		return writeJSON(e.stdout, list)
	}
	for _, s := range list {
		if _, err := fmt.Fprintf(e.stdout, "%-17s %s\n", s.Want, s.Scenario); err != nil {
			return err
		}
	}
	return nil
}

// rehearsed prints what happens in a scenario, by its own clock.
func rehearsed(e *env) func(release.Note) {
	var start time.Time
	return func(n release.Note) {
		if start.IsZero() {
			start = n.At
		}
		printNote(e.stderr, n, n.At.Sub(start))
	}
}

// rehearseAll plays scenarios. Of a single one the summary is shown, and the report
// written.
func rehearseAll(ctx context.Context, e *env, s *verbs.Rehearse, scenarios []rehearse.Scenario, notify func(release.Note)) ([]rehearse.Outcome, error) {
	var outcomes []rehearse.Outcome
	for _, scenario := range scenarios {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o, err := rehearse.Run(ctx, scenario, notify)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, o)
		if s.Scenario == "" {
			continue
		}
		if !s.JSON.JSON {
			fmt.Fprintf(e.stderr, "%s\n", o.Result.Summary())
		}
		if s.Report != "" {
			if err := writeReport(s.Report, o.Result); err != nil {
				return nil, err
			}
		}
	}
	return outcomes, nil
}

func wrongOf(outcomes []rehearse.Outcome) int {
	n := 0
	for _, o := range outcomes {
		if !o.OK() {
			n++
		}
	}
	return n
}

func printOutcomes(e *env, outcomes []rehearse.Outcome) error {
	t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tEXPECTED\tACTUAL\tCALLS\tTIME\tSCENARIO")
	for _, o := range outcomes {
		mark := "ok"
		if !o.OK() {
			mark = "WRONG"
		}
		took := time.Duration(o.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", mark, o.Want, o.Got, o.Calls, took, o.Scenario)
		for _, w := range o.Wrong {
			fmt.Fprintf(t, "\t\t\t\t\t  %s\n", w)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%d scenarios, %d wrong\n", len(outcomes), wrongOf(outcomes))
	return err
}
