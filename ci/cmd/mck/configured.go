package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newConfigCommand(e *env) *cobra.Command {
	return verb(e, "config", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Config, _ []string) error {
		sources, err := variables(cmd, e)
		if err != nil {
			return err
		}
		values := []documents.Value{}
		seen := map[string]bool{}
		for _, target := range []any{&verbs.Push{}, &verbs.Deploy{}} {
			from := sources
			if s.Environment != "" {
				place, err := placeNamed(s.Environment)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				from = append(from, place)
			}
			for _, setting := range config.Settings(target) {
				if setting.Name == "" || seen[setting.Name] {
					continue
				}
				seen[setting.Name] = true
				if v := valueOf(setting, from); v.From != "" || s.All {
					values = append(values, v)
				}
			}
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, values)
		}
		t := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "SETTING\tVALUE\tFROM\tFLAG")
		for _, v := range values {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.Setting, v.Value, orDash(v.From), v.Flag)
		}
		return t.Flush()
	})
}

// source is something that settings come from; a variable and a flag are named themselves.
type source struct {
	name string
	config.Lookuper
}

// flagSource is the name of the source that flags are.
const flagSource = "--"

// variables are the sources of variables: the environment, and --env-file.
func variables(cmd *cobra.Command, e *env) ([]source, error) {
	sources := []source{{"", config.Environment(e.lookup)}}
	if file := cmd.Flags().Lookup("env-file").Value.String(); file != "" {
		lines, err := config.EnvFile(file)
		if err != nil {
			return sources, &exitError{exitUsage, err}
		}
		sources = append(sources, source{"--env-file", lines})
	}
	return sources, nil
}

// placeNamed is an environment of magecloudkit.yaml as a source.
func placeNamed(environment string) (source, error) {
	place, err := placeOf(&struct{ verbs.Target }{}, []config.Lookuper{constant("MCK_ENVIRONMENT", environment)})
	return source{config.EnvironmentsFile, place}, err
}

// constant answers one variable.
func constant(name, value string) config.Lookuper {
	return config.Environment(func(asked string) (string, bool) { return value, asked == name })
}

// valueOf is the first value that the sources have of a setting.
func valueOf(s config.Setting, sources []source) documents.Value {
	v := documents.Value{Setting: s.Name, Secret: s.Secret, About: s.Doc}
	if s.Flag != "" {
		v.Flag = "--" + s.Flag
	}
	if value, from, ok := find(s, sources); ok {
		v.Value, v.From = value, from
		if s.Secret {
			v.Value = "set"
		}
		return v
	}
	if s.Default != "" {
		v.Value, v.From = s.Default, "default"
	}
	return v
}

// find is the first value that the sources have of a setting, and which source it is.
func find(s config.Setting, sources []source) (value, from string, ok bool) {
	for _, source := range sources {
		for _, name := range s.Names() {
			value, ok := source.Lookup(name)
			switch {
			case !ok || strings.TrimSpace(value) == "":
				continue
			case source.name == "":
				return value, name, true
			case source.name == flagSource:
				return value, "--" + s.Flag, true
			}
			return value, source.name, true
		}
	}
	return "", "", false
}
