package main

import (
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newInstallCommand(e *env) *cobra.Command {
	return verb(e, "install", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Install, _ []string) error {
		in := release.Installation{
			BaseURL: s.BaseURL, SearchHost: s.SearchHost, SearchPort: s.SearchPort, SearchIndexPrefix: s.SearchPrefix, SearchUser: s.SearchUser,
			SearchPassword: s.SearchPassword, AdminUser: s.AdminUser, AdminEmail: s.AdminEmail, AdminFirstname: s.AdminFirstname,
			AdminLastname: s.AdminLastname, AdminPassword: s.AdminPassword, Language: s.Language, Currency: s.Currency, Timezone: s.Timezone,
		}
		if err := in.Check(); err != nil {
			return &exitError{exitUsage, err}
		}
		r := targetRequest(s.Target)
		fillTask(&r, s.Task)
		r.Build, r.DryRun, r.Edits = s.BuildNum, s.DryRun, in.Edits()
		return releasing{settings: verbs.Release{Target: s.Target}, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Install}.run(cmd.Context(), e)
	})
}
