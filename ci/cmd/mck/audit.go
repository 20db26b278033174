package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/verbs"
	"github.com/magecloudkit/pipeline/ci/vuln"
)

func newAuditCommand(e *env) *cobra.Command {
	return verb(e, "audit", cobra.ArbitraryArgs, func(cmd *cobra.Command, e *env, s *verbs.Audit, args []string) error {
		ctx := cmd.Context()
		images, err := opener{e: e, s: &s.Built}.inspected(ctx, args)
		if err != nil {
			return err
		}
		var contents []attest.Contents
		for _, name := range slices.Sorted(maps.Keys(images)) {
			c, err := attest.Read(ctx, name, images[name])
			if err != nil {
				return err
			}
			contents = append(contents, c)
		}
		report, err := audited(ctx, s.Vulnerabilities, contents)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			err = writeJSON(e.stdout, report)
		} else {
			err = report.Table(e.stdout)
		}
		if err != nil {
			return err
		}
		return tooBad(s.Vulnerabilities, report)
	})
}

// audited looks up the packages' known vulnerabilities.
func audited(ctx context.Context, s verbs.Vulnerabilities, contents []attest.Contents) (vuln.Report, error) {
	return vuln.Find(ctx, vuln.OSV{URL: s.Database, Client: &http.Client{Timeout: time.Minute}}, contents)
}

// tooBad is an error if there is something that --fail-on names.
func tooBad(s verbs.Vulnerabilities, r vuln.Report) error {
	if s.FailOn == "" {
		return nil
	}
	found := r.AtLeast(vuln.Severity(s.FailOn))
	if len(found) == 0 {
		return nil
	}
	worst := found[0]
	return &exitError{exitConflict, fmt.Errorf("--fail-on %s: %d known vulnerabilities are as bad or worse, such as %s in %s %s (%s); update the packages, or choose another --fail-on", s.FailOn, len(found), worst.ID, worst.Package, worst.Version, worst.Severity)}
}
