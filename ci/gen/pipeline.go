package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/magecloudkit/pipeline/ci/doctor"
)

// policies are those of docs/iam that a job has, whose calls doctor has simulated.
var policies = []string{"read", "push", "release", "cleanup"}

// pipeline is what doctor knows of the pipeline: the version of Dagger's engine, and what the policies of docs/iam allow.
func pipeline(root string) ([]byte, error) {
	var module struct {
		Engine string `json:"engineVersion"`
	}
	if err := readJSON(filepath.Join(root, "dagger.json"), &module); err != nil {
		return nil, err
	}
	type statement struct{ Action, Resource list }
	known := struct {
		Engine   string                 `json:"engine"`
		Policies map[string][]statement `json:"policies"`
	}{module.Engine, map[string][]statement{}}
	for _, name := range policies {
		var policy struct{ Statement []statement }
		if err := readJSON(filepath.Join(root, "docs", "iam", name+".json"), &policy); err != nil {
			return nil, err
		}
		known.Policies[name] = policy.Statement
	}
	raw, err := json.MarshalIndent(known, "", "  ")
	return append(raw, '\n'), err
}

// list is one text or several.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}

func readJSON(file string, into any) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// checks puts doctor's checks into its page, between their marks.
func checks(root string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "doctor.md"))
	if err != nil {
		return nil, err
	}
	const begin, end = "<!-- checks -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return nil, fmt.Errorf("docs/doctor.md has no %s", begin)
	}
	var b strings.Builder
	b.WriteString("\n| Check | Looks at |\n| --- | --- |\n")
	for _, c := range doctor.Checks() {
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, c.About)
	}
	return []byte(before + begin + b.String() + "\n" + end + after), nil
}
