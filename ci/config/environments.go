package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"
	"go.yaml.in/yaml/v3"
)

// EnvironmentsFile is where the environments of a store are named.
const EnvironmentsFile = "magecloudkit.yaml"

// Environments are the places that a store runs in, by name: staging, production. Of each the settings that say where it
// is, by the names of mck's flags.
//
//	environments:
//	  production:
//	    region: eu-central-1
//	    cluster: production-app
//	    service: [web, consumers]
type Environments struct {
	file   string
	places map[string]map[string]string
}

// ReadEnvironments reads a file of environments. known are the settings that there are: a name that is none of theirs is an
// error, and so is one of a secret, which has no flag.
func ReadEnvironments(file string, known []Setting) (*Environments, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: an environment is named, and this file says what it is", err)
	}
	if err != nil {
		return nil, err
	}
	var content struct {
		Environments map[string]map[string]yaml.Node `yaml:"environments"`
	}
	if err := yaml.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	flags := map[string]bool{}
	for _, s := range known {
		if s.Name != "" && s.Flag != "" {
			flags[s.Flag] = true
		}
	}
	e := &Environments{file, map[string]map[string]string{}}
	var wrong []error
	for place, settings := range content.Environments {
		e.places[place] = map[string]string{}
		for name, node := range settings {
			value, ok := text(node)
			switch {
			case !flags[name]:
				wrong = append(wrong, fmt.Errorf("%s:%d: environment %s: there is no setting %q: its names are those of mck's flags, and a secret has none", file, node.Line, place, name))
			case !ok:
				wrong = append(wrong, fmt.Errorf("%s:%d: environment %s: %s must be a value, or a list of values", file, node.Line, place, name))
			default:
				e.places[place][name] = value
			}
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return e, errors.Join(wrong...)
}

// EnvironmentNames are the names in a file of environments whose last entry they are, so that one may be written below.
func EnvironmentNames(raw []byte) ([]string, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, err
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("there is no list of environments in it")
	}
	top := root.Content[0].Content // key, value, key, value
	if n := len(top); n < 2 || top[n-2].Value != "environments" || top[n-1].Kind != yaml.MappingNode || top[n-1].Style&yaml.FlowStyle != 0 {
		return nil, errors.New("its last entry is not environments, each on lines of its own: write the new one by hand")
	}
	var names []string
	for i := 0; i < len(top[len(top)-1].Content); i += 2 {
		names = append(names, top[len(top)-1].Content[i].Value)
	}
	return names, nil
}

// text is a value as an environment variable has it.
func text(n yaml.Node) (string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, true
	case yaml.SequenceNode:
		var values []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || strings.Contains(item.Value, ",") {
				return "", false
			}
			values = append(values, item.Value)
		}
		return strings.Join(values, ","), true
	}
	return "", false
}

// Lookuper answers the settings of target from an environment. What other verbs' settings it has as well is left out.
func (e *Environments) Lookuper(name string, target any) (Lookuper, error) {
	place, ok := e.places[name]
	if !ok {
		var there []string
		for n := range e.places {
			there = append(there, n)
		}
		slices.Sort(there)
		return nil, fmt.Errorf("%s has no environment %q; it has: %s", e.file, name, strings.Join(there, ", "))
	}
	values := map[string]string{}
	for _, s := range Settings(target) {
		if v, ok := place[s.Flag]; ok && s.Flag != "" && s.Name != "" {
			values[s.Name] = v
		}
	}
	return envconfig.MapLookuper(values), nil
}
