package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/config/awsconfig"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// verb makes the command of a verb of the table: its words, its settings, and what it does with them.
func verb[S any](e *env, name string, args cobra.PositionalArgs, do func(cmd *cobra.Command, e *env, s *S, args []string) error) *cobra.Command {
	return tolerantVerb(e, name, args, func(cmd *cobra.Command, e *env, s *S, words []string, wrong error) error {
		if wrong != nil {
			return wrong
		}
		return do(cmd, e, s, words)
	})
}

// tolerantVerb is verb for one that is told what is wrong with its settings; what can be read of them is filled in.
func tolerantVerb[S any](e *env, name string, args cobra.PositionalArgs, do func(cmd *cobra.Command, e *env, s *S, args []string, wrong error) error) *cobra.Command {
	v := verbs.Find(name)
	s := v.Settings.(*S)
	_, own := v.Group()
	cmd := &cobra.Command{Use: strings.TrimSpace(own + " " + v.Args.Usage), Short: v.Short, Long: v.Long, Args: cobra.ArbitraryArgs}
	load := bindSettings(cmd, e, s)
	placed := v.Args.Usage == "" && cmd.Flags().Lookup(environmentFlag) != nil
	if placed {
		cmd.Use += " [ENVIRONMENT]"
	}
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if placed && len(words) == 1 && !cmd.Flags().Changed(environmentFlag) { // mck deploy production
			if err := cmd.Flags().Set(environmentFlag, words[0]); err != nil {
				return err
			}
			words = nil
		}
		wrong := load(cmd.Context())
		if err := usage(args)(cmd, words); err != nil {
			return together(err, wrong)
		}
		return do(cmd, e, s, words, wrong)
	}
	return cmd
}

// bindSettings adds a flag for every setting of target that has one, and --env-file if one of them is a variable. The
// function that it returns fills target, once the command line has been read: from the flags, then the environment, then
// the file.
func bindSettings(cmd *cobra.Command, e *env, target any) func(context.Context) error {
	config.Bind(cmd.Flags(), target)
	settings := config.Settings(target)
	for _, s := range settings {
		if s.OneOf != nil && s.Flag != "" {
			if err := cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.OneOf, cobra.ShellCompDirectiveNoFileComp)); err != nil {
				panic(err) // a mistake in this program
			}
		}
	}
	var file string
	if !slices.ContainsFunc(settings, func(s config.Setting) bool { return s.Name != "" }) {
		return func(context.Context) error { return nil }
	}
	cmd.Flags().StringVar(&file, "env-file", "", "a file of NAME=value lines, for variables that the environment lacks")
	return func(ctx context.Context) error {
		sources := []config.Lookuper{config.Flags(cmd.Flags(), target), config.Environment(e.lookup)}
		if file != "" {
			more, err := config.EnvFile(file)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			sources = append(sources, more)
		}
		place, err := placeOf(target, sources)
		if err != nil {
			// The rest is read for a verb that goes on all the same; its own errors follow from this one.
			_ = loadSettings(ctx, target, sources...)
			return &exitError{exitUsage, err}
		}
		return loadSettings(ctx, target, append(sources, place)...)
	}
}

// environmentFlag names an environment of magecloudkit.yaml.
const environmentFlag = "environment"

// placeOf is the environment that the sources name, as one more of them; nil: they name none.
func placeOf(target any, sources []config.Lookuper) (config.Lookuper, error) {
	settings := config.Settings(target)
	i := slices.IndexFunc(settings, func(s config.Setting) bool { return s.Flag == environmentFlag })
	if i < 0 {
		return nil, nil
	}
	name, ok := config.Chain(sources...).Lookup(settings[i].Name)
	if !ok {
		return nil, nil
	}
	places, err := config.ReadEnvironments(config.EnvironmentsFile, allSettings())
	if err != nil {
		return nil, fmt.Errorf("environment %q: %w", name, err)
	}
	return places.Lookuper(name, target)
}

// allSettings are those of all verbs.
func allSettings() []config.Setting {
	var known []config.Setting
	for _, v := range verbs.All() {
		known = append(known, config.Settings(v.Settings)...)
	}
	return known
}

// loadSettings fills target, and looks whether AWS can be reached with that where it must be. All that is missing is in
// one error.
func loadSettings(ctx context.Context, target any, sources ...config.Lookuper) error {
	err := config.Load(ctx, target, sources...)
	var wrong *config.Error
	if err != nil && !errors.As(err, &wrong) {
		return err
	}
	var contradiction error
	if c, ok := target.(interface{ CallsAWS() (config.AWS, bool) }); ok {
		if s, calls := c.CallsAWS(); calls {
			_, contradiction = awsconfig.Load(ctx, s, awsconfig.Options{})
		}
	}
	var more *config.Error
	switch {
	case errors.As(contradiction, &more) && wrong != nil:
		wrong.Missing, wrong.Invalid = append(wrong.Missing, more.Missing...), append(wrong.Invalid, more.Invalid...)
		return &exitError{exitUsage, wrong}
	case err == nil && contradiction == nil:
		return nil
	}
	return &exitError{exitUsage, errors.Join(err, contradiction)}
}

// together makes one error of usage of several; one that is none goes before them.
func together(errs ...error) error {
	var wrong []error
	for _, err := range errs {
		var exit *exitError
		switch {
		case err == nil:
		case errors.As(err, &exit) && exit.code == exitUsage:
			wrong = append(wrong, exit.err)
		default:
			return err
		}
	}
	if wrong == nil {
		return nil
	}
	return &exitError{exitUsage, errors.Join(wrong...)}
}

// trusting returns what sends requests to a server whose certificate the authorities in a PEM file vouch for; nil if no
// file is named, for the usual authorities.
func trusting(caBundle string) (http.RoundTripper, error) {
	if caBundle == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caBundle)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("cannot read the certificate authorities that AWS_CA_BUNDLE names: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &exitError{exitUsage, fmt.Errorf("there is no certificate in %s, which AWS_CA_BUNDLE names", caBundle)}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t, nil
}
