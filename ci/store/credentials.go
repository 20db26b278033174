package store

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Credentials say which hosts there are credentials for. They never hold the credentials themselves.
type Credentials struct {
	Hosts []string
}

// For reports whether there are credentials for a host.
func (c Credentials) For(host string) bool {
	return slices.ContainsFunc(c.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// AuthSections are the members of an auth.json that hold credentials by host.
func AuthSections() []string {
	return []string{"http-basic", "bearer", "github-oauth", "gitlab-oauth", "gitlab-token",
		"bitbucket-oauth", "forgejo-token", "custom-headers", "client-certificate"}
}

// ParseAuth reads which hosts an auth.json (or the content of COMPOSER_AUTH) has credentials for. An error never tells of
// the content.
func ParseAuth(auth []byte) (Credentials, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(auth, &sections); err != nil {
		return Credentials{}, errors.New("the composer credentials are not a JSON object; " +
			`expected auth.json's form: {"http-basic": {"repo.magento.com": {"username": …, "password": …}}}`)
	}
	hosts := map[string]bool{}
	for _, section := range AuthSections() {
		var byHost map[string]json.RawMessage
		if raw, ok := sections[section]; !ok || json.Unmarshal(raw, &byHost) != nil {
			continue
		}
		for host := range byHost {
			hosts[strings.ToLower(host)] = true
		}
	}
	return Credentials{Hosts: slices.Sorted(maps.Keys(hosts))}, nil
}

// magentoHost is Adobe's composer repository, which answers to nobody without keys.
const magentoHost = "repo.magento.com"

// publicHosts answer without credentials.
var publicHosts = map[string]bool{
	"packagist.org": true, "repo.packagist.org": true, "asset-packagist.org": true, "github.com": true,
	"api.github.com": true, "codeload.github.com": true, "raw.githubusercontent.com": true, "gitlab.com": true,
	"bitbucket.org": true, "repo.mage-os.org": true, "mirror.mage-os.org": true, "mage-os.hypernode.com": true,
	"upgrade.mage-os.org": true, "wpackagist.org": true, "getcomposer.org": true,
	"packages.drupal.org": true, "packages.firegento.com": true,
}

// source is a host that composer is sent to.
type source struct {
	host    string
	secret  bool     // the address itself carries a password
	dists   []string // packages of the lock that are downloaded from it
	listed  bool     // composer.json has it as a repository
	overSSH bool
}

// sources are the hosts that composer is sent to by composer.json's repositories and by the lock's downloads, sorted.
func (s *Store) sources() []*source { //nolint:cyclop // a kind of repository a case
	byHost := map[string]*source{}
	at := func(address string) *source {
		host, secret, ssh := hostOf(address)
		if host == "" {
			return nil
		}
		if byHost[host] == nil {
			byHost[host] = &source{host: host}
		}
		byHost[host].secret = byHost[host].secret || secret
		byHost[host].overSSH = byHost[host].overSSH || ssh
		return byHost[host]
	}
	if s.manifest != nil {
		for _, r := range s.manifest.Repositories {
			if r.Type == "path" || r.Type == "artifact" {
				continue
			}
			if src := at(r.URL); src != nil {
				src.listed = true
			}
		}
	}
	if s.lock != nil {
		for _, p := range s.lock.Packages {
			address := p.Dist.URL
			if address == "" {
				address = p.Source.URL
			}
			if p.Dist.Type == "path" || p.Type == "metapackage" {
				continue
			}
			if src := at(address); src != nil {
				src.dists = append(src.dists, p.Name)
			}
		}
	}
	out := make([]*source, 0, len(byHost))
	for _, host := range slices.Sorted(maps.Keys(byHost)) {
		out = append(out, byHost[host])
	}
	return out
}

// hostOf is the host of a repository's or a package's address: a URL or git's user@host:path.
func hostOf(address string) (host string, secret, ssh bool) {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		_, secret = u.User.Password()
		return strings.ToLower(u.Hostname()), secret, u.Scheme == "ssh"
	}
	if user, rest, ok := strings.Cut(address, "@"); ok && !strings.Contains(user, "/") {
		if host, _, ok := strings.Cut(rest, ":"); ok {
			return strings.ToLower(host), false, true
		}
	}
	return "", false, false
}

// fetched reports whether `composer install` goes to the host: with a lock it goes where the locked packages are, without
// one it asks every repository.
func (s *Store) fetched(src *source) bool {
	if s.lock != nil {
		return len(src.dists) > 0
	}
	return src.listed
}

// NeedsMagentoKeys reports whether installing the store downloads from repo.magento.com.
func (s *Store) NeedsMagentoKeys() bool {
	return slices.ContainsFunc(s.sources(), func(src *source) bool { return src.host == magentoHost && s.fetched(src) })
}

// ComposerRepository is a composer repository of a store that is not known to answer everybody.
type ComposerRepository struct {
	Host, URL string // the URL may carry a password
	Needed    bool   // `composer install` goes there
}

// ComposerRepositories are those that composer.json lists, each host once, without those that answer everybody.
func (s *Store) ComposerRepositories() []ComposerRepository {
	var list []ComposerRepository
	if s.manifest == nil {
		return nil
	}
	for _, src := range s.sources() {
		for _, r := range s.manifest.Repositories {
			if host, _, ssh := hostOf(r.URL); r.Type == "composer" && host == src.host && !ssh && !publicHosts[host] {
				list = append(list, ComposerRepository{host, r.URL, s.fetched(src)})
				break
			}
		}
	}
	return list
}
