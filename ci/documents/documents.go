// Package documents lists what mck prints with --json: a document of one kind for each verb, whose schema docs/schema
// publishes. ci/gen writes the schemas from the types here, and tests hold what is printed to them.
package documents

import (
	"fmt"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/doctor"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/inspect"
	"github.com/magecloudkit/pipeline/ci/leak"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/registry/cleanup"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/ci/vuln"
)

// Document is one kind of document.
type Document struct {
	Name  string // of its schema: docs/schema/NAME.json
	About string
	Verbs []string // that print it
	Value any      // of its type
}

// All lists the kinds of documents.
func All() []Document {
	return []Document{
		{"release", "What a release did, or would do, and what is true now", []string{"deploy", "install", "rollback", "verify", "diff", "env set", "env unset", "run", "continue", "wait", "scale"}, release.Result{}},
		{"logs", "Lines of the services' containers", []string{"logs"}, []release.LogEntry{}},
		{"status", "What runs where", []string{"status"}, release.Status{}},
		{"history", "The deployments of the last 90 days, the latest first", []string{"history"}, []release.Past{}},
		{"environment", "The variables of every container", []string{"env list"}, []release.Variable{}},
		{"rehearsal", "How scenarios ended", []string{"rehearse"}, []rehearse.Outcome{}},
		{"scenarios", "The scenarios that there are", []string{"rehearse --list"}, []Listed{}},
		{"check", "What can be said of a store before it is built", []string{"check"}, store.Report{}},
		{"exported", "Where a store was exported to", []string{"composer", "precompile"}, Exported{}},
		{"build", "What a build made, and how long it took", []string{"build"}, Built{}},
		{"smoke", "What a shop of a build's images was asked", []string{"smoke"}, smoke.Report{}},
		{"pins", "The digests that bases are pinned to", []string{"pin"}, []Pin{}},
		{"push", "What was sent to a registry", []string{"push"}, registry.Result{}},
		{"inspect", "What is in images", []string{"inspect"}, []inspect.Image{}},
		{"audit", "The known vulnerabilities of what is in images", []string{"audit"}, vuln.Report{}},
		{"cleanup-plan", "What could be deleted, and what is kept because of what", []string{"cleanup"}, cleanup.Plan{}},
		{"cleanup", "What was deleted", []string{"cleanup --yes"}, cleanup.Result{}},
		{"place", "What there is in a cluster", []string{"init"}, release.Place{}},
		{"config", "What settings are set to, and by what", []string{"config"}, []Value{}},
		{"doctor", "What the checks of a set-up say", []string{"doctor"}, doctor.Report{}},
		{"version", "What this program was made of", []string{"version"}, Version{}},
		{"failure", "Why a verb ended before it had anything of its own to print", []string{"every verb"}, Failure{}},
	}
}

// Failure is why a verb ended before it had anything of its own to print: a program that reads mck's output always finds
// one document.
type Failure struct {
	Verb     string `json:"verb"`
	Verdict  string `json:"verdict"` // "usage" or "error"
	ExitCode int    `json:"exitCode"`
	Reason   string `json:"reason"`
}

// Value is what a setting is set to.
type Value struct {
	Setting string `json:"setting"`        // its variable
	Flag    string `json:"flag,omitempty"` // that wins over it
	Value   string `json:"value"`          // of a secret "set"
	From    string `json:"from"`           // "MCK_CLUSTER", "--env-file", "magecloudkit.yaml", "default"; empty: it is not set
	Secret  bool   `json:"secret"`
	About   string `json:"about"`
}

// Version is what a program was made of.
type Version struct {
	Version  string `json:"version"`            // of a release, or of the module that was installed; "unreleased"
	Commit   string `json:"commit,omitempty"`   // where Go knows it
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the tree had changes that are not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v Version) String() string {
	out := "mck " + v.Version
	if v.Commit != "" {
		out += fmt.Sprintf(", commit %.12s", v.Commit)
		if v.Modified {
			out += " and changes"
		}
	}
	return out + ", " + v.Go + ", " + v.Platform
}

// Listed is a scenario of rehearse.
type Listed struct {
	Scenario string          `json:"scenario"`
	Want     release.Verdict `json:"want"` // how it must end
}

// Exported is where a store stands that was handed out.
type Exported struct {
	Store string `json:"store"` // directory
}

// Built is what a build made.
type Built struct {
	build.Release
	PHP     string           `json:"php"`     // release line of the PHP that built it
	Version string           `json:"magento"` // of Magento
	Steps   []host.Result    `json:"steps"`
	Images  []host.Assembled `json:"images"`
	Seconds float64          `json:"seconds"`
	// Secrets is what the search for secrets in the images has found.
	Secrets leak.Result `json:"secrets"`
	// Smoke is how the images did when they were run; nil: they were not.
	Smoke *smoke.Report `json:"smoke,omitempty"`
}

// Pin is a base, and the digest that it is pinned to.
type Pin struct {
	Image string `json:"image"`
	Was   string `json:"was"` // empty: it was not pinned
	Now   string `json:"now"`
}
