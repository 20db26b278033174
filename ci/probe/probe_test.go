package probe_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/probe"
)

// web answers by address: "STATUS TYPE BODY", where a status of 3xx has the address that it leads to for its body.
type web map[string]string

func (w web) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, ok := w[r.URL.String()]
	if !ok {
		return nil, fmt.Errorf("dial %s: connection refused", r.URL.Host)
	}
	if strings.HasPrefix(answer, "401 ") {
		if user, password, ok := r.BasicAuth(); ok && user+":"+password == "visitor:hunter2" {
			answer = strings.TrimPrefix(answer, "401 ")
		}
	}
	var status int
	var kind string
	if _, err := fmt.Sscan(answer, &status, &kind); err != nil {
		return nil, err
	}
	_, body, _ := strings.Cut(answer, kind+" ")
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", kind)
	if status/100 == 3 {
		rec.Header().Set("Location", body)
	}
	rec.WriteHeader(status)
	_, _ = io.WriteString(rec, body)
	res := rec.Result()
	res.Request = r
	return res, nil
}

const (
	sheet = "/static/version7/frontend/A/b/en_US/css/a.css"
	home  = `200 text/html <html><link rel="stylesheet" type="text/css" media="all" href="https://shop.example` + sheet + `"><link rel=stylesheet href=https://fonts.example/f.css><body>Welcome</body></html>`
)

// shop is one that answers, but for what a test changes.
func shop(change web) web {
	w := web{
		"https://shop.example/": home, "https://shop.example/REVISION.txt": "200 text/plain build 301\nrevision abc\n",
		"https://shop.example" + sheet: "200 text/css a{}",
	}
	maps.Copy(w, change)
	return w
}

func TestAsk(t *testing.T) {
	question := probe.Question{URL: "https://shop.example/", Text: "Welcome", Build: "301", Styles: true}
	for name, c := range map[string]struct {
		change web
		ask    func(*probe.Question)
		ok     bool
		says   string
	}{
		"a shop that serves":               {ok: true, says: "200, build 301, 1 style sheet"},
		"an error":                         {change: web{"https://shop.example/": "500 text/html <p>SQLSTATE[HY000] [2002]</p>"}, says: "https://shop.example/ answers 500: the database cannot be reached with the given settings: SQLSTATE[HY000] [2002]"},
		"nobody there":                     {change: web{"https://shop.example/": ""}, says: "https://shop.example/ gives no answer"},
		"another page":                     {change: web{"https://shop.example/": "200 text/html <html><style></style>Sorry</html>"}, says: `answers 200, and the page lacks "Welcome"`},
		"another build":                    {change: web{"https://shop.example/REVISION.txt": "200 text/plain build 300\n"}, says: "https://shop.example/REVISION.txt is of build 300, not 301"},
		"no build":                         {change: web{"https://shop.example/REVISION.txt": "404 text/html no\n"}, says: "REVISION.txt answers 404 and names no build: something before the shop"},
		"an error page that names a build": {change: web{"https://shop.example/REVISION.txt": "500 text/html build 301\n"}, says: "answers 500 and names no build"},
		"any build":                        {change: web{"https://shop.example/REVISION.txt": "200 text/plain build 300\n"}, ask: func(q *probe.Question) { q.Build = probe.AnyBuild }, ok: true, says: "200, build 300"},
		"no build asked":                   {change: web{"https://shop.example/REVISION.txt": "404 text/html no\n"}, ask: func(q *probe.Question) { q.Build = "" }, ok: true, says: "200, 1 style sheet"},
		"a style sheet that is gone":       {change: web{"https://shop.example" + sheet: "404 text/html gone"}, says: sheet + ", which answers 404"},
		"a style sheet that is a page":     {change: web{"https://shop.example" + sheet: "200 text/html hello"}, says: "which is no style sheet but text/html"},
		"a page without style sheets":      {change: web{"https://shop.example/": "200 text/html <HTML>Welcome</HTML>"}, says: "names no style sheet"},
		"style sheets not asked":           {change: web{"https://shop.example" + sheet: "404 text/html gone"}, ask: func(q *probe.Question) { q.Styles = false }, ok: true, says: "200, build 301"},
		"no page at all":                   {change: web{"https://shop.example/": `200 application/json {"Welcome":1}`}, ok: true, says: "200, build 301, 0 style sheets"},
		"Magento's style sheets elsewhere": {change: web{"https://shop.example/": strings.ReplaceAll(home, "https://shop.example/static", "https://cdn.example/static")}, says: "https://cdn.example" + sheet + " gives no answer"},
		"led on":                           {change: web{"https://shop.example/": "302 text/html /en/", "https://shop.example/en/": home}, ok: true, says: "200, build 301, 1 style sheet"},
		"led in a circle":                  {change: web{"https://shop.example/": "302 text/html /en/", "https://shop.example/en/": "302 text/html /"}, says: "it leads back to https://shop.example/"},
	} {
		q := question
		if c.ask != nil {
			c.ask(&q)
		}
		got := probe.Client{HTTP: &http.Client{Transport: shop(c.change)}}.Ask(t.Context(), q)
		if said := strings.Join([]string{got.Detail, got.Cause, got.Page}, ": "); got.OK != c.ok || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, %s; want %v, %q", name, got.OK, said, c.ok, c.says)
		}
	}
}

// A test listener is one port of the shop's host: what the page says of the host is asked there, and what leads away is
// an answer of the listener that visitors have.
func TestPinned(t *testing.T) {
	test := web{
		"https://shop.example:8443/": "302 text/html https://shop.example/en/", "https://shop.example:8443/en/": strings.ReplaceAll(home, "https://fonts.example/f.css", "https://cdn.example"+sheet),
		"https://shop.example:8443/REVISION.txt": "200 text/plain build 301\n", "https://shop.example:8443" + sheet: "200 text/css a{}",
	}
	q := probe.Question{URL: "https://shop.example:8443/", Build: "301", Styles: true, Pinned: true}
	if got := (probe.Client{HTTP: &http.Client{Transport: test}}).Ask(t.Context(), q); !got.OK || !strings.Contains(got.Detail, "1 style sheet") {
		t.Errorf("%+v", got)
	}
	test["https://shop.example:8443/"] = "302 text/html https://www.shop.example/"
	if got := (probe.Client{HTTP: &http.Client{Transport: test}}).Ask(t.Context(), q); got.OK || !strings.Contains(got.Detail, "leads to www.shop.example, which is not the test listener") {
		t.Errorf("%+v", got)
	}
}

// The shop's own host is sent the password, no other one, and no answer tells it.
func TestAuth(t *testing.T) {
	closed := shop(web{"https://shop.example/": "401 " + home, "https://fonts.example/f.css": "401 200 text/css a{}"})
	q := probe.Question{URL: "https://shop.example/"}
	if got := (probe.Client{HTTP: &http.Client{Transport: closed}, Auth: "visitor:hunter2"}).Ask(t.Context(), q); !got.OK {
		t.Errorf("%+v", got)
	}
	q.URL = "https://fonts.example/f.css"
	if got := (probe.Client{HTTP: &http.Client{Transport: closed}}).Ask(t.Context(), q); got.OK || !strings.Contains(got.Detail, "answers 401") {
		t.Errorf("%+v", got)
	}
	closed["https://shop.example/"] = "302 text/html https://fonts.example/f.css"
	q.URL = "https://shop.example/"
	if got := (probe.Client{HTTP: &http.Client{Transport: closed}, Auth: "visitor:hunter2"}).Ask(t.Context(), q); got.OK || strings.Contains(fmt.Sprint(got), "hunter2") {
		t.Errorf("the password went on: %+v", got)
	}
}

func TestCheckURL(t *testing.T) {
	for address, says := range map[string]string{
		"https://shop.example/de/?a=b": "", "http://127.0.0.1:8080": "",
		"shop.example": "http://", "ftp://shop.example/": "http://", "https://": "a host", "https://u:hunter2@shop.example/": "MCK_PROBE_AUTH",
		"https://shop.example/#a": "#", "https://u:hunter2@[": "not a URL", "": "http://",
	} {
		err := probe.CheckURL(address)
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v, want %q", address, err, says)
		}
	}
}
