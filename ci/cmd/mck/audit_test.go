package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/vuln"
)

// What is known of a build's packages is listed; --fail-on ends an audit, and a push before it has sent anything. So does a
// database that does not answer.
func TestAudit(t *testing.T) {
	db := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"id":"GHSA-1","summary":"Bad","database_specific":{"severity":"HIGH"}}`)
			return
		}
		asked, _ := io.ReadAll(r.Body)
		results := []string{}
		var ask struct{ Queries []json.RawMessage }
		json.Unmarshal(asked, &ask)
		for _, q := range ask.Queries {
			if strings.Contains(string(q), "monolog/monolog") {
				results = append(results, `{"vulns":[{"id":"GHSA-1"}]}`)
			} else {
				results = append(results, `{}`)
			}
		}
		fmt.Fprintf(w, `{"results":[%s]}`, strings.Join(results, ","))
	}))
	defer db.Close()
	aws := simulated(t)
	with := maps.Clone(aws)
	with["MCK_VULNERABILITY_DB"] = db.URL
	dir := t.TempDir()
	lock := tarred(t, "var/www/html/composer.lock", []byte(`{"packages":[{"name":"monolog/monolog","version":"3.5.0"},{"name":"psr/log","version":"3.0.0"}]}`))
	for _, n := range imageNames {
		im, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), lock)
		noError(t, err)
		im, err = mutate.Config(im, v1.Config{Labels: map[string]string{image.LabelVersion: "301"}})
		noError(t, err)
		noError(t, image.WriteLayout(im, filepath.Join(dir, n), nil))
	}
	pushed := func() bool {
		code, _, _ := mck(t, aws, "inspect", "--build-num", "301", "--images", "/nowhere")
		return code == 0
	}
	closed := maps.Clone(aws)
	closed["MCK_VULNERABILITY_DB"] = "http://127.0.0.1:1"
	for _, c := range []struct {
		variables map[string]string
		args      []string
		code      int
		say       string
	}{
		{with, []string{"audit"}, 0, "known vulnerabilities of 2 packages: 1 high"},
		{with, []string{"audit", "--fail-on", "critical"}, 0, "monolog/monolog   3.5.0"},
		{with, []string{"audit", "--fail-on", "medium"}, exitConflict, "GHSA-1 in monolog/monolog 3.5.0 (high)"},
		{with, []string{"audit", "--fail-on", "awful"}, exitUsage, "critical, high, medium, low"},
		{closed, []string{"audit"}, 1, "known vulnerabilities were not looked up"},
		{with, []string{"push", "--build-num", "301", "--fail-on", "high"}, exitConflict, "Nothing was pushed"},
		{closed, []string{"push", "--build-num", "301", "--fail-on", "critical"}, 1, "Nothing was pushed"},
	} {
		code, out, errs := mck(t, c.variables, append(c.args, "--images", dir)...)
		if code != c.code || !strings.Contains(out+errs, c.say) {
			t.Errorf("%v = %d, want %d and %q\n%s%s", c.args, code, c.code, c.say, out, errs)
		}
		if pushed() {
			t.Fatalf("%v pushed", c.args)
		}
	}
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"--fail-on", "critical"}, "1 high"},
		{nil, "known vulnerabilities were not looked up; --fail-on"},
	} {
		code, _, errs := mck(t, with, append([]string{"push", "--build-num", "301", "--images", dir}, c.args...)...)
		if code != 0 || !strings.Contains(errs, c.say) || !pushed() {
			t.Errorf("push %v = %d, %s", c.args, code, errs)
		}
	}
	// What the registry has is audited by its number.
	code, out, errs := mck(t, with, "audit", "--json", "--build-num", "301", "--images", "/nowhere")
	var report vuln.Report
	if code != 0 || json.Unmarshal([]byte(out), &report) != nil || len(report.Findings) != 1 || strings.Join(report.Findings[0].Images, " ") != "magento2 nginx" {
		t.Errorf("audit of the registry = %d, %s%s", code, out, errs)
	}
}
