package doctor

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/magecloudkit/pipeline/ci/store"
)

// Composer is what composer is sent to for a store, and with what.
type Composer struct {
	Source string // of the store, as it was given
	Wrong  error  // why the store cannot be read; nil: it can
	// Repositories are those that may ask who comes.
	Repositories []store.ComposerRepository
	Auth         string       // the content of an auth.json; empty: there is none. Never shown
	NoAuth       error        // why that cannot be read; nil: it can
	Web          *http.Client // asks the repositories; nil: they are not asked
}

const giveKeys = `set MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY for repo.magento.com, and COMPOSER_AUTH or the store's auth.json for others: {"http-basic": {"HOST": {"username": …, "password": …}}}`

// composer asks the store's repositories whether they take the credentials.
func composer(ctx context.Context, v *visit) {
	c := v.Composer
	switch {
	case c == nil:
		return
	case c.Wrong != nil:
		v.warn(c.Source, "name the store with --source", "is not a store that can be read, so composer's credentials were not looked at: %s", say(c.Wrong))
		return
	case c.NoAuth != nil:
		v.err("credentials", giveKeys, "%s", say(c.NoAuth))
		return
	case len(c.Repositories) == 0:
		v.ok(c.Source, "no repository of its composer.json asks for credentials")
	}
	for _, r := range c.Repositories {
		v.repository(ctx, r)
	}
}

func (v *visit) repository(ctx context.Context, r store.ComposerRepository) {
	header, value := authFor(v.Composer.Auth, r.Host)
	given := header != "" || strings.Contains(r.URL, "@")
	report := v.err
	if !r.Needed {
		report = v.warn // no build goes there
	}
	if v.Composer.Web == nil {
		if given {
			v.ok(r.Host, "there are credentials; it was not asked about them")
		} else {
			report(r.Host, giveKeys, "there are no credentials")
		}
		return
	}
	if !strings.HasPrefix(r.URL, "https://") {
		report(r.Host, "give its address as https:// in composer.json", "has an address that is not https, which composer refuses")
		return
	}
	status, err := v.ask(ctx, r.URL, header, value)
	switch refused := status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusPaymentRequired; {
	case err != nil:
		v.warn(r.Host, "see that this machine reaches it, by a proxy if there is one", "was not looked at: it cannot be reached")
	case refused && !given:
		report(r.Host, giveKeys, "asks for credentials (%d), and there are none", status)
	case refused:
		report(r.Host, "copy the keys again, both of one pair, and see that they are active and that the account may have the packages", "does not take the credentials (%d)", status)
	case status >= http.StatusBadRequest:
		v.warn(r.Host, "check its address in composer.json; try again later", "answers %d, so whether it takes the credentials is not known", status)
	case given:
		v.ok(r.Host, "takes the credentials")
	default:
		v.ok(r.Host, "asks for none")
	}
}

// ask fetches a repository's list of packages, of which the status alone is looked at.
func (v *visit) ask(ctx context.Context, address, header, value string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/packages.json", nil)
	if err != nil {
		return 0, err
	}
	if header != "" {
		req.Header.Set(header, value)
	}
	res, err := v.Composer.Web.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// authFor is the header by which an auth.json's credentials are given to a host; empty: it has none of a kind that is known
// here.
func authFor(auth, host string) (header, value string) {
	var sections struct {
		Basic  json.RawMessage `json:"http-basic"`
		Bearer json.RawMessage `json:"bearer"`
		GitLab json.RawMessage `json:"gitlab-token"`
	}
	if json.Unmarshal([]byte(auth), &sections) != nil {
		return "", ""
	}
	var basic map[string]struct{ Username, Password string }
	if json.Unmarshal(sections.Basic, &basic) == nil { // PHP writes an empty one as a list
		if c, ok := basic[host]; ok {
			r := http.Request{Header: http.Header{}}
			r.SetBasicAuth(c.Username, c.Password)
			return "Authorization", r.Header.Get("Authorization")
		}
	}
	var bearer, gitlab map[string]string
	if json.Unmarshal(sections.Bearer, &bearer) == nil && bearer[host] != "" {
		return "Authorization", "Bearer " + bearer[host]
	}
	if json.Unmarshal(sections.GitLab, &gitlab) == nil && gitlab[host] != "" {
		return "Private-Token", gitlab[host]
	}
	return "", ""
}
