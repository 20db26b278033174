package smoke_test

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/smoke/search"
)

// pages answers like a small shop, but for what a test says otherwise.
func pages(other map[string]string) http.Handler {
	const page = `<link href="/static/version7/frontend/A/b/en_US/css/a.css"><a href="https://elsewhere.example/static/x.js">`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := other[r.URL.Path]; ok {
			if status, text, ok := strings.Cut(body, " "); ok && status == "500" {
				w.WriteHeader(500)
				body = text
			}
			_, _ = w.Write([]byte(body))
			return
		}
		switch {
		case r.URL.Path == "/setup/":
			http.NotFound(w, r)
		case r.URL.Path == "/REVISION.txt":
			_, _ = w.Write([]byte("build 7\n"))
		case r.URL.Path == "/graphql":
			_, _ = w.Write([]byte(`{"data":{"storeConfig":{"locale":"en_US"},"categories":{"items":[]},"products":{"items":[{"url_key":"mug","url_suffix":".html"}]}}}`))
		case strings.HasSuffix(r.URL.Path, ".css"):
			w.Header().Set("Content-Type", "text/css")
			_, _ = w.Write([]byte(`@font-face { src: url("../fonts/f.woff2") } a { background: url(data:image/png;base64,AA) } b { background: url(../none.gif) }`))
		case strings.HasSuffix(r.URL.Path, ".woff2"), r.URL.Path == "/heartbeat", r.URL.Path == "/health_check.php":
		case strings.HasSuffix(r.URL.Path, "/"), strings.HasSuffix(r.URL.Path, ".html"):
			_, _ = w.Write([]byte(page))
		default:
			http.NotFound(w, r)
		}
	})
}

func ask(t *testing.T, other map[string]string, log []string) smoke.Report {
	t.Helper()
	server := httptest.NewServer(pages(other))
	t.Cleanup(server.Close)
	said := false
	report, err := smoke.Shop{
		URL: server.URL, Client: server.Client(), Now: time.Now, Planted: []string{"customer/a.txt"},
		Images: smoke.Images{Revision: "build 7\n", Version: "7", Content: map[string][]string{"frontend/A/b": {"en_US", "de_DE"}}},
		Logs: func() []string {
			if said {
				return nil
			}
			said = true
			return log
		},
		Keys: func(context.Context) (map[string]int, error) { return map[string]int{"caches": 3}, nil },
	}.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAsk(t *testing.T) {
	if r := ask(t, nil, nil); !r.OK() || strings.Count(r.String(), "skipped") != 1 {
		t.Errorf("a shop that serves, with no category:\n%s", r)
	}
	const static = "/static/version7/frontend/A/b/"
	for name, c := range map[string]struct {
		other map[string]string
		log   []string
		says  []string
	}{
		"a font":              {map[string]string{static + "en_US/fonts/f.woff2": "500 gone"}, nil, []string{"fonts/f.woff2, which answers 500", "not in the static content of frontend/A/b in en_US"}},
		"another locale":      {map[string]string{static + "de_DE/css/a.css": "500 gone"}, nil, []string{"files in each locale", "de_DE/css/a.css, which answers 500"}},
		"a locale unknown":    {map[string]string{"/": `<script src="` + static + `nl_NL/a.js"></script>`}, nil, []string{"the shop uses locale nl_NL"}},
		"another version":     {map[string]string{"/": `<script src="/static/version6/frontend/A/b/en_US/a.css"></script>`}, nil, []string{"static files of version 6, and the build's is 7"}},
		"another build":       {map[string]string{"/REVISION.txt": "build 6\n"}, nil, []string{"image nginx is of another build"}},
		"an open path":        {map[string]string{"/media/customer/a.txt": "a letter"}, nil, []string{"/media/customer/a.txt answers 200"}},
		"an error":            {map[string]string{"/admin/": "500 <p>sorry</p>"}, []string{`PHP Fatal error: Uncaught Error: Call to undefined function bcadd()`, `Class "Redis" not found`}, []string{"/admin/ answers 500", "begins: sorry", `Class "Redis" not found; add it to the php base`}},
		"a word in the log":   {nil, []string{"main.CRITICAL: out of stock"}, []string{"1 errors, the first: main.CRITICAL"}},
		"a write elsewhere":   {nil, []string{"PHP Warning: file_put_contents(/x): Failed to open stream: Read-only file system"}, []string{"written outside the volumes"}},
		"no database":         {map[string]string{"/health_check.php": "500 SQLSTATE[HY000] [2002] Connection refused"}, nil, []string{"the database cannot be reached"}},
		"a page with nothing": {map[string]string{"/": "hello"}, nil, []string{"names no style sheet"}},
		"no GraphQL":          {map[string]string{"/graphql": "<html>"}, nil, []string{"GraphQL answers 200, and not the shop's locale"}},
	} {
		r := ask(t, c.other, c.log)
		if r.OK() {
			t.Errorf("%s is not noticed:\n%s", name, r)
		}
		for _, want := range c.says {
			if !strings.Contains(r.String(), want) {
				t.Errorf("%s: it does not say %q:\n%s", name, want, r)
			}
		}
	}
}

// CI systems show a failure by what they find in JUnit's XML.
func TestJUnit(t *testing.T) {
	report := ask(t, map[string]string{"/admin/": "500 <p>sorry</p>"}, []string{"PHP Fatal error: \x1b[31mClass \"Redis\" not found"})
	raw, err := report.JUnit("build 7")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(raw, &got); err != nil || len(got.Suites) != 1 {
		t.Fatalf("%v\n%s", err, raw)
	}
	suite, failed, skipped := got.Suites[0], 0, 0
	for i, c := range suite.Cases {
		check := report.Checks[i]
		if (c.Failure != nil) != (check.Status == smoke.Failed) || (c.Skipped != nil) != (check.Status == smoke.Skipped) || c.Name != check.Name {
			t.Errorf("case %d is %+v, of the check %+v", i, c, check)
		}
		if c.Skipped != nil {
			skipped++
		}
		if c.Failure == nil {
			continue
		}
		failed++
		if check.Name == "admin" && (!strings.Contains(c.Failure.Message, "/admin/ answers 500") || !strings.Contains(c.Failure.Text, "the page begins: sorry")) {
			t.Errorf("the failure is %+v", c.Failure)
		}
	}
	if suite.Name != "build 7" || suite.Tests != len(report.Checks) || suite.Failures != failed || suite.Skipped != skipped || failed == 0 {
		t.Errorf("the suite counts %d tests, %d failures, %d skipped, not %d, %d, %d:\n%s", suite.Tests, suite.Failures, suite.Skipped, len(report.Checks), failed, skipped, raw)
	}
}

func TestInspect(t *testing.T) {
	good := smoke.Images{
		Users: map[string]string{"magento2": "33:33"}, Static: map[string][]string{"magento2": {"a"}, "nginx": {"a"}},
		Content: map[string][]string{"frontend/A/b": {"en_US"}}, Files: fstest.MapFS{"frontend/A/b/en_US/a.css": {}},
	}
	for says, change := range map[string]func(*smoke.Images){
		"":                                 func(*smoke.Images) {},
		"image magento2 runs as root":      func(i *smoke.Images) { i.Users = map[string]string{"magento2": "root:root"} },
		"anybody may write to pub/media":   func(i *smoke.Images) { i.Writable = []string{"pub/media"} },
		"content of different builds":      func(i *smoke.Images) { i.Static = map[string][]string{"magento2": {"a"}, "nginx": {"b"}} },
		"no static files of frontend/A/b/": func(i *smoke.Images) { i.Files = fstest.MapFS{} },
	} {
		images := good
		change(&images)
		r := smoke.Report{Checks: smoke.Inspect(images, time.Now)}
		if r.OK() != (says == "") || !strings.Contains(r.String(), says) {
			t.Errorf("want %q:\n%s", says, r)
		}
	}
}

func TestSearch(t *testing.T) {
	server := httptest.NewServer(search.Handler())
	defer server.Close()
	for _, c := range []struct{ method, path, says string }{
		{"GET", "/", `"distribution":"opensearch"`},
		{"POST", "/magento2_product_1/_search", `"hits":[]`},
		{"POST", "/_bulk", `"errors":false`},
		{"PUT", "/magento2_product_1_v1", `"index":"magento2_product_1_v1"`},
		{"GET", "/_cluster/health", "green"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body strings.Builder
		if err := res.Write(&body); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || !strings.Contains(body.String(), c.says) {
			t.Errorf("%s %s: %s", c.method, c.path, &body)
		}
	}
	res, err := http.Head(server.URL + "/no_index")
	if err != nil || res.StatusCode != 404 {
		t.Errorf("an index that there is not: %v, %v", res, err)
	}
}
