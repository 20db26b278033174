// Package page reads a shop's pages as a browser would: what an address answers, which files a page names, and what of
// its text tells why it is no good. What is asked, and what follows from the answer, is others' business: of smoke for a
// build's images on this machine, of probe for a shop after a release.
package page

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Answer is what an address answered.
type Answer struct {
	// URL is where it came from, redirects followed.
	URL    *url.URL
	Status int
	Header http.Header
	Body   string // at most [MaxBytes]
}

// MaxBytes bounds what is read of an answer.
const MaxBytes = 16 << 20

// Read sends a request and reads what is answered.
func Read(client *http.Client, req *http.Request) (Answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, MaxBytes))
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: reading the answer: %w", req.Method, req.URL.Redacted(), err)
	}
	at := req.URL
	if res.Request != nil {
		at = res.Request.URL
	}
	return Answer{at, res.StatusCode, res.Header, string(raw)}, nil
}

// IsStyleSheet says that an answer is a style sheet.
func (a Answer) IsStyleSheet() bool {
	return strings.HasPrefix(a.Header.Get("Content-Type"), "text/css")
}

var tags = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`)

// Excerpt is the beginning of a page, as one line of words.
func Excerpt(body string) string {
	const most = 300
	body = strings.Join(strings.Fields(tags.ReplaceAllString(body, " ")), " ")
	if r := []rune(body); len(r) > most {
		body = string(r[:most]) + "…"
	}
	return body
}

var (
	named = regexp.MustCompile(`(?:href|src|data-src)=["']([^"']*/(?:static|media)/[^"']+)["']`)
	link  = regexp.MustCompile(`(?is)<link\b[^>]*>`)
	rel   = regexp.MustCompile(`(?i)\brel=["']?([^"'>]+)`)
	href  = regexp.MustCompile(`(?i)\bhref=(?:["']([^"']+)["']|([^"'\s>]+))`)
	// A style sheet's fonts and further style sheets. Not its pictures: Magento's own name some that there never were.
	inStyle = regexp.MustCompile(`url\(\s*["']?([^"')]+\.(?:css|woff2?|ttf|otf|eot)(?:[?#][^"')]*)?)["']?\s*\)`)
)

// Files lists the style sheets, scripts, fonts and pictures of a store's that a page of base names, as addresses.
func Files(base, html string) []string { return resolveAll(base, submatches(named, html)) }

// StyleSheets lists the style sheets that a page of base links to, whosever they are.
func StyleSheets(base, html string) []string {
	var refs []string
	for _, l := range link.FindAllString(html, -1) {
		r, h := rel.FindStringSubmatch(l), href.FindStringSubmatch(l)
		if r != nil && h != nil && slices.Contains(strings.Fields(strings.ToLower(r[1])), "stylesheet") {
			refs = append(refs, h[1]+h[2])
		}
	}
	return resolveAll(base, refs)
}

// FilesOfStyleSheet lists the fonts and the further style sheets that a style sheet of base names.
func FilesOfStyleSheet(base, css string) []string { return resolveAll(base, submatches(inStyle, css)) }

func submatches(re *regexp.Regexp, text string) []string {
	var refs []string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		refs = append(refs, m[1])
	}
	return refs
}

func resolveAll(base string, refs []string) []string {
	var out []string
	for _, ref := range refs {
		if u := resolve(base, strings.ReplaceAll(ref, "&amp;", "&")); u != "" && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

// resolve is a reference of a page as an address; empty: it is none.
func resolve(base, ref string) string {
	from, err := url.Parse(base)
	if err != nil || strings.HasPrefix(ref, "data:") {
		return ""
	}
	u, err := from.Parse(ref)
	if err != nil {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// StaticFile is a file of Magento's static content, by its address.
type StaticFile struct {
	Version string // of the content; empty: the address has none
	Theme   string // "frontend/Acme/shop"
	Locale  string
	File    string // in that theme and locale
}

var static = regexp.MustCompile(`/static/(?:version([^/]+)/)?((?:frontend|adminhtml)/[^/]+/[^/]+)/([a-z]{2,3}(?:_[A-Za-z]+)*_[A-Z]{2,3})/(.+)$`)

// Static reads an address as one of Magento's static content: /static/[versionV/]AREA/VENDOR/THEME/LOCALE/FILE.
func Static(address string) (StaticFile, bool) {
	m := static.FindStringSubmatch(address)
	if m == nil {
		return StaticFile{}, false
	}
	return StaticFile{m[1], m[2], m[3], m[4]}, true
}

// InLocale is the same file's address in another locale; the address itself if it is none of static content.
func InLocale(address, locale string) string {
	m := static.FindStringSubmatchIndex(address)
	if m == nil {
		return address
	}
	return address[:m[6]] + locale + address[m[7]:]
}
