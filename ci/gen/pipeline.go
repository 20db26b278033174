package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/doctor"
)

// policies are those of docs/iam that a job has, whose calls doctor has simulated.
var policies = []string{"read", "push", "release", "cleanup"}

// pipeline is what doctor knows of the pipeline: the version of Dagger's engine, and what the policies of docs/iam allow.
func pipeline(root string) ([]byte, error) {
	engine, err := engineVersion(root)
	if err != nil {
		return nil, err
	}
	type statement struct{ Action, Resource []string }
	known := struct {
		Engine   string                 `json:"engine"`
		Policies map[string][]statement `json:"policies"`
	}{engine, map[string][]statement{}}
	for _, name := range policies {
		var policy awssim.Policy
		if err := readJSON(filepath.Join(root, "docs", "iam", name+".json"), &policy); err != nil {
			return nil, err
		}
		for _, s := range policy.Statement {
			known.Policies[name] = append(known.Policies[name], statement{s.Action, s.Resource})
		}
	}
	raw, err := json.MarshalIndent(known, "", "  ")
	return append(raw, '\n'), err
}

// engineVersion is that of Dagger's engine in dagger.json.
func engineVersion(root string) (string, error) {
	var module struct {
		Engine string `json:"engineVersion"`
	}
	err := readJSON(filepath.Join(root, "dagger.json"), &module)
	return module.Engine, err
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
	var b strings.Builder
	b.WriteString("| Check | Looks at |\n| --- | --- |\n")
	for _, c := range doctor.Checks() {
		fmt.Fprintf(&b, "| %s | %s |\n", c.Name, c.About)
	}
	text, err := between(string(page), "docs/doctor.md", "checks", b.String())
	return []byte(text), err
}
