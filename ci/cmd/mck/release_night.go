package main

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newWaitCommand(e *env) *cobra.Command {
	return verb(e, "wait", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Wait, _ []string) error {
		r := targetRequest(s.Target)
		r.Timeout = s.Timeout
		return releasing{settings: verbs.Release{Target: s.Target}, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Wait}.run(cmd.Context(), e)
	})
}

func newScaleCommand(e *env) *cobra.Command {
	return verb(e, "scale", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Scale, _ []string) error {
		if s.DesiredCount < 0 || s.DesiredCount > 5000 { // ECS's quota for a service
			return &exitError{exitUsage, fmt.Errorf("--desired-count %d: a service has from 0 to 5000 tasks", s.DesiredCount)}
		}
		r := targetRequest(s.Target)
		r.Timeout, r.DryRun, r.DesiredCount = s.Timeout, s.DryRun, aws.Int32(int32(s.DesiredCount))
		return releasing{settings: verbs.Release{Target: s.Target}, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Scale}.run(cmd.Context(), e)
	})
}

func newLogsCommand(e *env) *cobra.Command {
	return verb(e, "logs", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Logs, _ []string) error {
		if s.Follow && s.JSON.JSON {
			return &exitError{exitUsage, errors.New("--json is one document, and --follow has no end: leave one of them out")}
		}
		if s.Since < 0 {
			return &exitError{exitUsage, fmt.Errorf("--since %s: it is how far back", s.Since)}
		}
		r, err := checked(targetRequest(s.Target))
		if err != nil {
			return err
		}
		releaser, err := newReleaser(cmd.Context(), e, s.AWS, connection{notify: notes(e)})
		if err != nil {
			return err
		}
		entries := []release.LogEntry{}
		want := release.LogsWanted{Since: s.Since, Follow: s.Follow, Build: s.Build, Container: s.Container}
		res := releaser.Logs(cmd.Context(), r, want, func(l release.LogEntry) {
			if s.JSON.JSON {
				entries = append(entries, l)
				return
			}
			fmt.Fprintf(e.stdout, "%s %s %s %.8s %s | %s\n", l.At.Format("15:04:05"), l.Service, orDash(l.Build), l.Task, l.Container, l.Text)
		})
		if res.ExitCode != 0 {
			return &exitError{res.ExitCode, errors.New(res.Reason)}
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, entries)
		}
		return nil
	})
}
