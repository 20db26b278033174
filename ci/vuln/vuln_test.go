package vuln_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/vuln"
)

// Records in the form in which OSV answers, shortened.
var records = map[string]string{
	"GHSA-core": `{"id":"GHSA-core","summary":"Magento Improper input validation","aliases":["CVE-2025-54236"],
		"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}],
		"database_specific":{"severity":"CRITICAL","cwe_ids":["CWE-20"]},
		"affected":[{"package":{"name":"magento/community-edition","ecosystem":"Packagist"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"2.4.7"},{"fixed":"2.4.7-p8"}]}]},
		            {"package":{"name":"magento/project-community-edition","ecosystem":"Packagist"}}]}`,
	"GHSA-mono": `{"id":"GHSA-mono","summary":"Log injection","database_specific":{"severity":"MODERATE"},
		"affected":[{"package":{"name":"monolog/monolog","ecosystem":"Packagist"},"ranges":[{"events":[{"introduced":"0"},{"fixed":"3.6.0"}]}]},
		            {"package":{"name":"other/fork","ecosystem":"Packagist"},"ranges":[{"events":[{"fixed":"9.9.9"}]}]}]}`,
	"GHSA-gone": `{"id":"GHSA-gone","withdrawn":"2026-01-02T00:00:00Z","summary":"a mistake","database_specific":{"severity":"CRITICAL"},
		"affected":[{"package":{"name":"monolog/monolog","ecosystem":"Packagist"}}]}`,
	"PYSEC-v4": `{"id":"PYSEC-v4","details":"First line.\nMore.","severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}],
		"affected":[{"package":{"name":"monolog/monolog","ecosystem":"Packagist"}}]}`,
	"DEBIAN-CVE-2026-1": `{"id":"DEBIAN-CVE-2026-1","upstream":["CVE-2026-1"],"details":"A crash.",
		"affected":[{"package":{"name":"curl","ecosystem":"Debian:12"},"ecosystem_specific":{"urgency":"not yet assigned"},"ranges":[{"events":[{"introduced":"0"}]}]}]}`,
	"DEBIAN-CVE-2026-2": `{"id":"DEBIAN-CVE-2026-2","upstream":["CVE-2026-2"],"details":"Disputed.",
		"affected":[{"package":{"name":"curl","ecosystem":"Debian:12"},"ecosystem_specific":{"urgency":"unimportant"}}]}`,
}

// known are the records of a package, by ecosystem, name and version.
var known = map[string][]string{
	"Packagist magento/community-edition 2.4.7-p3":         {"GHSA-core"},
	"Packagist magento/project-community-edition 2.4.7-p3": {"GHSA-core"},
	"Packagist monolog/monolog 3.5.0":                      {"GHSA-mono", "GHSA-gone", "PYSEC-v4"},
	"Debian:12 curl 7.88.1-10+deb12u8":                     {"DEBIAN-CVE-2026-1", "DEBIAN-CVE-2026-2"},
}

// database serves the records, one of a package a page.
func database(t *testing.T) vuln.OSV {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/querybatch", func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			Queries []struct {
				Package struct{ Name, Ecosystem string }
				Version string
				Page    string `json:"page_token"`
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || len(ask.Queries) > 1000 {
			http.Error(w, `{"code":3,"message":"Too many queries."}`, http.StatusBadRequest)
			return
		}
		type result = map[string]any
		results := []result{}
		for _, q := range ask.Queries {
			ids := known[q.Package.Ecosystem+" "+q.Package.Name+" "+q.Version]
			at := 0
			fmt.Sscan(q.Page, &at)
			if at >= len(ids) {
				results = append(results, result{})
				continue
			}
			answer := result{"vulns": []result{{"id": ids[at], "modified": "2026-01-01T00:00:00Z"}}, "a_new_field": true}
			if at+1 < len(ids) {
				answer["next_page_token"] = fmt.Sprint(at + 1)
			}
			results = append(results, answer)
		}
		json.NewEncoder(w).Encode(result{"results": results})
	})
	mux.HandleFunc("GET /v1/vulns/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, records[r.PathValue("id")]) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return vuln.OSV{URL: server.URL, Client: server.Client()}
}

func images() []attest.Contents {
	deb := []attest.Package{
		{Type: "deb", Name: "curl", Version: "7.88.1-10+deb12u8+b1", Source: "curl", SourceVersion: "7.88.1-10+deb12u8"},
		{Type: "deb", Name: "libcurl4", Version: "7.88.1-10+deb12u8", Source: "curl", SourceVersion: "7.88.1-10+deb12u8"},
		{Type: "deb", Name: "bash", Version: "5.2.15-2+b2", Source: "bash", SourceVersion: "5.2.15-2"},
	}
	for i := range 1200 { // more than one request may ask for
		deb = append(deb, attest.Package{Type: "deb", Name: fmt.Sprint("filler", i), Version: "1"})
	}
	return []attest.Contents{
		{Name: "magento2", Distribution: "debian-12", Packages: append([]attest.Package{
			{Type: "composer", Name: "magento/product-community-edition", Version: "2.4.7-p3"},
			{Type: "composer", Name: "monolog/monolog", Version: "v3.5.0"},
			{Type: "composer", Name: "acme/branch", Version: "dev-main"},
		}, deb...)},
		{Name: "nginx", Distribution: "debian-12", Packages: deb[:1]},
	}
}

// What the database knows is told once, the worst first, by the packages' own names.
func TestFind(t *testing.T) {
	report, err := vuln.Find(t.Context(), database(t), images())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Findings {
		got = append(got, fmt.Sprintf("%s %s %s %s fixed %v in %v: %s", f.Severity, f.ID, f.Package, f.Version, f.Fixed, f.Images, f.Summary))
	}
	want := []string{
		"critical GHSA-core magento/product-community-edition 2.4.7-p3 fixed [2.4.7-p8] in [magento2]: Magento Improper input validation",
		"critical PYSEC-v4 monolog/monolog 3.5.0 fixed [] in [magento2]: First line.",
		"medium GHSA-mono monolog/monolog 3.5.0 fixed [3.6.0] in [magento2]: Log injection",
		"low DEBIAN-CVE-2026-2 curl 7.88.1-10+deb12u8 fixed [] in [magento2 nginx]: Disputed.",
		"unknown DEBIAN-CVE-2026-1 curl 7.88.1-10+deb12u8 fixed [] in [magento2 nginx]: A crash.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for severity, n := range map[vuln.Severity]int{vuln.Critical: 2, vuln.High: 2, vuln.Medium: 3, vuln.Low: 4} {
		if got := len(report.AtLeast(severity)); got != n {
			t.Errorf("%d findings are at least %s, want %d", got, severity, n)
		}
	}
	var table strings.Builder
	if err := report.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CVE-2025-54236", "CVE-2026-2", "2 critical, 1 medium, 1 low, 1 unknown", "known vulnerabilities of 1204 packages", "acme/branch dev-main"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}

// A database that does not answer is an error, which says so; nothing is taken for clean.
func TestUnreachable(t *testing.T) {
	db := database(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"answered 503":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"answered what is not to be": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"answered 0 of":              func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"results":[]}`) },
		"cannot be asked":            nil,
	} {
		db.URL = closed.URL
		if handler != nil {
			server := httptest.NewServer(handler)
			defer server.Close()
			db.URL = server.URL
		}
		_, err := vuln.Find(t.Context(), db, images())
		if err == nil || !strings.Contains(err.Error(), "known vulnerabilities were not looked up: "+db.URL) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
