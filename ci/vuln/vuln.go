// Package vuln looks up the known vulnerabilities of the packages in an image: composer's and Debian's, in a database that
// speaks OSV's API. What could not be looked up is said; it is never taken for a clean image.
package vuln

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	cvss30 "github.com/pandatix/go-cvss/30"
	cvss31 "github.com/pandatix/go-cvss/31"
	cvss40 "github.com/pandatix/go-cvss/40"
	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/attest"
)

// Severity is how bad a vulnerability is.
type Severity string

// Severities, from bad to good. Unknown is one that nobody has judged yet.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Unknown  Severity = "unknown"
)

// Severities are all of them, the worst first.
var Severities = []Severity{Critical, High, Medium, Low, Unknown}

// rank is a severity's place among [Severities].
func (s Severity) rank() int { return slices.Index(Severities, s) }

// Finding is a known vulnerability of a package in an image.
type Finding struct {
	ID       string   `json:"id"`                // the database's: "GHSA-…", "DEBIAN-CVE-…"
	Aliases  []string `json:"aliases,omitempty"` // CVE numbers among them
	Severity Severity `json:"severity"`
	Package  string   `json:"package"` // "monolog/monolog"; Debian's source package
	Type     string   `json:"type"`    // "composer" or "deb"
	Version  string   `json:"version"`
	Fixed    []string `json:"fixed,omitempty"` // versions that have it no more; empty: none is known
	Summary  string   `json:"summary"`
	Images   []string `json:"images"` // that the package is in
}

// Report is what was found.
type Report struct {
	Database string    `json:"database"`
	Packages int       `json:"packages"` // that were asked about
	Findings []Finding `json:"findings"` // the worst first
	// NotAsked are packages that no database knows by their version, such as a branch.
	NotAsked []string `json:"notAsked,omitempty"`
}

// metapackages are packages whose vulnerabilities GitHub's advisories list under other names as well.
var metapackages = map[string][]string{
	"magento/product-community-edition":  {"magento/community-edition", "magento/project-community-edition"},
	"magento/product-enterprise-edition": {"magento/community-edition", "magento/project-community-edition"},
}

// Find looks up the packages of images.
func Find(ctx context.Context, db OSV, images []attest.Contents) (Report, error) {
	report := Report{Database: db.URL, Findings: []Finding{}}
	subjects, notAsked := subjectsOf(images)
	report.Packages, report.NotAsked = len(subjects), notAsked
	var queries []query
	var of []subject // of each query
	for _, s := range subjects {
		for _, name := range append([]string{s.name}, metapackages[s.name]...) {
			var q query
			q.Package.Name, q.Package.Ecosystem, q.Version = name, s.ecosystem, s.version
			queries, of = append(queries, q), append(of, s)
		}
	}
	ids, err := db.ids(ctx, queries)
	if err != nil {
		return report, fmt.Errorf("known vulnerabilities were not looked up: %w", err)
	}
	records, err := db.records(ctx, slices.Concat(ids...))
	if err != nil {
		return report, fmt.Errorf("known vulnerabilities were not looked up: %w", err)
	}
	seen := map[string]bool{}
	for i, s := range of {
		for _, id := range ids[i] {
			r := records[id]
			if key := id + " " + s.typ + " " + s.name + " " + s.version; seen[key] || r.Withdrawn != "" {
				continue
			} else {
				seen[key] = true
			}
			report.Findings = append(report.Findings, s.finding(r, queries[i].Package.Name))
		}
	}
	slices.SortFunc(report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), strings.Compare(a.Package, b.Package), strings.Compare(a.ID, b.ID))
	})
	return report, nil
}

// records reads vulnerabilities, some at a time.
func (o OSV) records(ctx context.Context, ids []string) (map[string]record, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	all := make([]record, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, id := range ids {
		group.Go(func() (err error) {
			all[i], err = o.record(ctx, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	records := map[string]record{}
	for i, id := range ids {
		records[id] = all[i]
	}
	return records, nil
}

// subject is a package as a database knows it.
type subject struct {
	typ, name, ecosystem, version string
	images                        []string
}

// subjectsOf are the packages of images, each once.
func subjectsOf(images []attest.Contents) (subjects []subject, notAsked []string) {
	at := map[string]int{}
	for _, c := range images {
		for _, p := range c.Packages {
			s := subject{typ: p.Type, name: p.Name, ecosystem: "Packagist", version: strings.TrimPrefix(p.Version, "v")}
			if p.Type == "deb" {
				id, release, _ := strings.Cut(c.Distribution, "-")
				s.ecosystem = strings.ToUpper(id[:min(1, len(id))]) + id[min(1, len(id)):] + ":" + release
				s.name, s.version = cmp.Or(p.Source, p.Name), cmp.Or(p.SourceVersion, p.Version)
			}
			if p.Type == "deb" && c.Distribution == "" || strings.HasPrefix(s.version, "dev-") || strings.HasSuffix(s.version, "-dev") {
				notAsked = append(notAsked, p.Name+" "+p.Version)
				continue
			}
			key := s.typ + " " + s.name + " " + s.version
			i, ok := at[key]
			if !ok {
				i = len(subjects)
				at[key], subjects = i, append(subjects, s)
			}
			if !slices.Contains(subjects[i].images, c.Name) {
				subjects[i].images = append(subjects[i].images, c.Name)
			}
		}
	}
	slices.Sort(notAsked)
	return subjects, slices.Compact(notAsked)
}

// finding is what a record says of a package; name is what it calls it.
func (s subject) finding(r record, name string) Finding {
	f := Finding{
		ID: r.ID, Aliases: append(r.Aliases, r.Upstream...), Severity: r.severity(name), Package: s.name, Type: s.typ, Version: s.version, Images: s.images,
	}
	f.Summary = cmp.Or(r.Summary, firstLine(r.Details))
	for _, a := range r.Affected {
		if a.Package.Name != name {
			continue
		}
		for _, events := range a.Ranges {
			for _, e := range events.Events {
				if e.Fixed != "" && !slices.Contains(f.Fixed, e.Fixed) {
					f.Fixed = append(f.Fixed, e.Fixed)
				}
			}
		}
	}
	return f
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// severity is the word that GitHub or Debian has for it, else what its CVSS vectors come to.
func (r record) severity(name string) Severity {
	if s := word(r.Database.Severity); s != Unknown {
		return s
	}
	worst := Unknown
	vectors := r.Severity
	for _, a := range r.Affected {
		if a.Package.Name == name {
			vectors = append(vectors, a.Severity...)
		}
	}
	for _, v := range vectors {
		if s := rating(v); s != Unknown && (worst == Unknown || s.rank() < worst.rank()) {
			worst = s
		}
	}
	if worst != Unknown {
		return worst
	}
	for _, a := range r.Affected {
		if a.Package.Name == name {
			return word(a.Ecosystem.Urgency)
		}
	}
	return Unknown
}

func word(s string) Severity {
	switch strings.ToLower(s) {
	case "critical":
		return Critical
	case "high":
		return High
	case "moderate", "medium":
		return Medium
	case "low", "unimportant":
		return Low
	}
	return Unknown
}

// rating is the severity of a CVSS vector.
func rating(s score) Severity {
	var points float64
	switch {
	case strings.HasPrefix(s.Score, "CVSS:4.0/"):
		v, err := cvss40.ParseVector(s.Score)
		if err != nil {
			return Unknown
		}
		points = v.Score()
	case strings.HasPrefix(s.Score, "CVSS:3.1/"):
		v, err := cvss31.ParseVector(s.Score)
		if err != nil {
			return Unknown
		}
		points = v.BaseScore()
	case strings.HasPrefix(s.Score, "CVSS:3.0/"):
		v, err := cvss30.ParseVector(s.Score)
		if err != nil {
			return Unknown
		}
		points = v.BaseScore()
	default:
		return Unknown
	}
	switch { // https://www.first.org/cvss/v4.0/specification-document#Qualitative-Severity-Rating-Scale
	case points >= 9:
		return Critical
	case points >= 7:
		return High
	case points >= 4:
		return Medium
	}
	return Low
}

// Count is how many findings there are of each severity.
func (r Report) Count() map[Severity]int {
	n := map[Severity]int{}
	for _, f := range r.Findings {
		n[f.Severity]++
	}
	return n
}

// Summary is the report in a line.
func (r Report) Summary() string {
	n := r.Count()
	var parts []string
	for _, s := range Severities {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	line := "none"
	if parts != nil {
		line = strings.Join(parts, ", ")
	}
	line = fmt.Sprintf("known vulnerabilities of %d packages: %s (%s)", r.Packages, line, r.Database)
	if len(r.NotAsked) > 0 {
		line += fmt.Sprintf("; %d packages have no released version to ask about: %s", len(r.NotAsked), strings.Join(r.NotAsked, ", "))
	}
	return line
}

// AtLeast are the findings that are as bad as a severity, or worse.
func (r Report) AtLeast(s Severity) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Severity.rank() <= s.rank() {
			out = append(out, f)
		}
	}
	return out
}

// Table writes the findings as a table, and the summary under it.
func (r Report) Table(w io.Writer) error {
	if len(r.Findings) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "SEVERITY\tPACKAGE\tVERSION\tFIXED IN\tID\tIMAGES\tSUMMARY")
		for _, f := range r.Findings {
			id := f.ID
			for _, a := range f.Aliases {
				if strings.HasPrefix(a, "CVE-") {
					id = a
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.70s\n", f.Severity, f.Package, f.Version, cmp.Or(strings.Join(f.Fixed, ", "), "-"), id, strings.Join(f.Images, ", "), f.Summary)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, r.Summary())
	return err
}
