// Package probe asks a shop from outside whether it answers: by an address of it, as a visitor would. Tasks that count as
// healthy prove less, since a health check rarely asks the shop itself.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/page"
	"github.com/magecloudkit/pipeline/ci/words"
)

// Client is how a shop is reached.
type Client struct {
	// HTTP sends the requests. How long one may take is its own business.
	HTTP *http.Client
	// Auth is user:password of HTTP Basic authentication, which the shop's own host is sent; empty: none.
	Auth string
}

// Question is what must be true of an address.
type Question struct {
	URL string
	// Text must stand in the page; empty: any page will do.
	Text string
	// Build must be what /REVISION.txt of the same host names. [AnyBuild] asks for that file alone; empty: it is not asked.
	Build string
	// Styles asks for the style sheets that the page links to: those of its own host, and Magento's wherever they are.
	Styles bool
	// Pinned keeps to the address's host and port, as a load balancer's test listener wants it: what the shop says of
	// its host is asked there, and what leads to another host is not followed.
	Pinned bool
}

// AnyBuild stands for a build that is not known.
const AnyBuild = "*"

// Answer is what came of a question.
type Answer struct {
	OK bool `json:"ok"`
	// Detail is what was seen: "200, build 301, 2 style sheets", or what is wrong.
	Detail string `json:"detail"`
	// Cause is the likely one of a failure, and Page the beginning of what was answered.
	Cause string `json:"cause,omitempty"`
	Page  string `json:"page,omitempty"`
}

// CheckURL says what is wrong with an address.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is not a URL") // url's own error quotes it, a password in it included
	case u.User != nil:
		return errors.New("it has a user or a password, which would stand in logs and lists of processes: MCK_PROBE_AUTH takes them")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("it does not begin with http:// or https:// and a host")
	case u.Fragment != "":
		return errors.New("what follows # never reaches a server")
	}
	return nil
}

// Ask asks once.
func (c Client) Ask(ctx context.Context, q Question) Answer {
	a := &asking{Client: c, Question: q, ctx: ctx}
	seen, err := a.all()
	var w *wrong
	switch {
	case err == nil:
		return Answer{OK: true, Detail: strings.Join(seen, ", ")}
	case errors.As(err, &w):
		if w.cause == "" {
			w.cause = page.Cause(w.body)
		}
		return Answer{Detail: w.what, Cause: w.cause, Page: page.Excerpt(w.body)}
	}
	return Answer{Detail: err.Error()}
}

// wrong is what an answer is not as it must be in, with its likely cause and the page where those help.
type wrong struct{ what, cause, body string }

func (w *wrong) Error() string { return w.what }

// asking is one question being asked.
type asking struct {
	Client
	Question
	ctx context.Context
}

func (a *asking) all() (seen []string, err error) {
	got, err := a.page()
	if err != nil {
		return nil, err
	}
	seen = append(seen, fmt.Sprint(got.Status))
	if a.Build != "" {
		build, err := a.build()
		if err != nil {
			return nil, err
		}
		seen = append(seen, "build "+build)
	}
	if a.Styles {
		n, err := a.styles(got)
		if err != nil {
			return nil, err
		}
		seen = append(seen, words.Plural(n, "style sheet"))
	}
	return seen, nil
}

// page asks for the page itself.
func (a *asking) page() (page.Answer, error) {
	got, err := a.get(a.URL)
	switch {
	case err != nil:
		return got, err
	case !good(got):
		return got, &wrong{what: fmt.Sprintf("%s answers %d", a.URL, got.Status), body: got.Body}
	case !strings.Contains(got.Body, a.Text):
		return got, &wrong{what: fmt.Sprintf("%s answers %d, and the page lacks %q", a.URL, got.Status, a.Text), body: got.Body}
	}
	return got, nil
}

func good(got page.Answer) bool { return got.Status >= 200 && got.Status < 300 }

// build asks which build answers.
func (a *asking) build() (string, error) {
	u, err := url.Parse(a.URL)
	if err != nil {
		return "", err
	}
	address := u.ResolveReference(&url.URL{Path: "/REVISION.txt"}).String()
	got, err := a.get(address)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(got.Body) {
		build, ok := strings.CutPrefix(strings.TrimSpace(line), "build ")
		switch {
		case !ok || !good(got):
			continue
		case a.Build != AnyBuild && build != a.Build:
			return "", &wrong{what: fmt.Sprintf("%s is of build %s, not %s", address, build, a.Build), body: got.Body,
				cause: "something before the shop keeps the old file or leads to other tasks, or the image is not of the build that its tag says"}
		}
		return build, nil
	}
	return "", &wrong{what: fmt.Sprintf("%s answers %d and names no build", address, got.Status), body: got.Body,
		cause: "something before the shop does not pass it on, or the images were not built by mck: --probe-build=false leaves it out"}
}

// styles asks for a page's style sheets and counts them.
func (a *asking) styles(from page.Answer) (int, error) {
	if !strings.HasPrefix(from.Header.Get("Content-Type"), "text/html") {
		return 0, nil
	}
	all := page.StyleSheets(from.URL.String(), from.Body)
	low := strings.ToLower(from.Body)
	if len(all) == 0 && strings.Contains(low, "<html") && !strings.Contains(low, "<style") {
		return 0, &wrong{what: a.URL + " names no style sheet", body: from.Body, cause: "it is no page of the shop, or its static files were not found when it was made"}
	}
	n := 0
	for _, sheet := range all {
		if sheet = a.own(from.URL, sheet); sheet == "" {
			continue
		}
		n++
		got, err := a.get(sheet)
		switch {
		case err != nil:
			return n, err
		case !good(got):
			return n, &wrong{what: fmt.Sprintf("%s names %s, which answers %d", a.URL, sheet, got.Status), body: got.Body,
				cause: "the static files are not of the build that made the page: the two images are of two builds, or a theme or locale was left out of the build"}
		case !got.IsStyleSheet():
			return n, &wrong{what: fmt.Sprintf("%s names %s, which is no style sheet but %s", a.URL, sheet, got.Header.Get("Content-Type")), body: got.Body}
		}
	}
	return n, nil
}

// own is where to ask for a style sheet; empty: nowhere, since it is somebody else's.
func (a *asking) own(from *url.URL, sheet string) string {
	u, err := url.Parse(sheet)
	if err != nil {
		return ""
	}
	_, magento := page.Static(sheet)
	switch {
	case u.Hostname() == from.Hostname():
		a.pin(u)
		return u.String()
	case magento && !a.Pinned:
		return sheet
	}
	return ""
}

// pin leads an address of the question's host to its port.
func (a *asking) pin(u *url.URL) {
	if to, err := url.Parse(a.URL); err == nil && a.Pinned {
		u.Scheme, u.Host = to.Scheme, to.Host
	}
}

// get asks for an address.
func (a *asking) get(address string) (page.Answer, error) {
	req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, address, nil)
	if err != nil {
		return page.Answer{}, err
	}
	req.Header.Set("User-Agent", "mck (release probe)")
	asked, err := url.Parse(a.URL)
	if err != nil {
		return page.Answer{}, err
	}
	if user, password, ok := strings.Cut(a.Auth, ":"); ok && req.URL.Host == asked.Host {
		req.SetBasicAuth(user, password)
	}
	client := *a.HTTP
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= 10:
			return errors.New("it leads on and on, ten times")
		case a.Pinned && next.URL.Hostname() != asked.Hostname():
			return fmt.Errorf("it leads to %s, which is not the test listener", next.URL.Host)
		case next.URL.Hostname() == asked.Hostname():
			a.pin(next.URL)
		}
		if slices.ContainsFunc(via, func(r *http.Request) bool { return r.URL.String() == next.URL.String() }) {
			return fmt.Errorf("it leads back to %s", next.URL)
		}
		return nil
	}
	got, err := page.Read(&client, req)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
		if failed.Timeout() {
			err = errors.New("nothing came in time")
		}
	}
	if err != nil {
		return got, fmt.Errorf("%s gives no answer: %w", address, err)
	}
	return got, nil
}
