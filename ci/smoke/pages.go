package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	tags  = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`)
	named = regexp.MustCompile(`(?:href|src|data-src)=["']([^"']*/(?:static|media)/[^"']+)["']`)
	// A style sheet's fonts and further style sheets. Not its pictures: Magento's own name some that there never were.
	inCSS = regexp.MustCompile(`url\(\s*["']?([^"')]+\.(?:css|woff2?|ttf|otf|eot)(?:[?#][^"')]*)?)["']?\s*\)`)
	// static is /static/[versionV/]AREA/VENDOR/THEME/LOCALE/FILE.
	static = regexp.MustCompile(`/static/(?:version([^/]+)/)?((?:frontend|adminhtml)/[^/]+/[^/]+)/([a-z]{2,3}(?:_[A-Za-z]+)*_[A-Z]{2,3})/(.+)$`)
)

// pages asks for a page of each kind and for all that it names.
func (a *asker) pages(ctx context.Context) {
	for _, p := range []struct{ name, path string }{
		{"home", "/"}, {"customer", "/customer/account/login/"}, {"registration", "/customer/account/create/"},
		{"checkout", "/checkout/cart/"}, {"search", "/catalogsearch/result/?q=a"}, {"admin", "/admin/"},
	} {
		a.check(p.name, func() (string, error) { return a.page(ctx, p.path) })
	}
	var found catalog
	a.check("graphql", func() (seen string, err error) {
		found, err = a.graphql(ctx)
		return fmt.Sprintf("200, %d products, %d categories", len(found.products), len(found.categories)), err
	})
	for _, p := range []struct {
		name  string
		paths []string
	}{{"category", append(a.Categories, found.categories...)}, {"product", append(a.Products, found.products...)}} {
		a.check(p.name, func() (string, error) {
			if len(p.paths) == 0 {
				return "", &skip{"the database has none"}
			}
			return a.page(ctx, p.paths[0])
		})
	}
}

// page asks for a page and for every style sheet, script, font and picture that it names.
func (a *asker) page(ctx context.Context, path string) (string, error) {
	got, err := a.get(ctx, path)
	if err != nil {
		return "", err
	}
	if got.status != 200 {
		return "", &wrong{what: fmt.Sprintf("%s answers %d, not 200", path, got.status), page: got.body}
	}
	assets, err := a.assets(got.body)
	if err != nil {
		return "", err
	}
	if len(assets) == 0 {
		return "", &wrong{what: path + " names no style sheet and no script", page: got.body, cause: "it is no page of the shop, or its static files were not found when it was made"}
	}
	n, err := a.fetchAll(ctx, path, assets)
	return fmt.Sprintf("200, %d files", n), err
}

// fetchAll asks for every file, and for what its style sheets name.
func (a *asker) fetchAll(ctx context.Context, page string, assets []string) (int, error) {
	asked := map[string]bool{}
	for len(assets) > 0 {
		file := assets[0]
		assets = assets[1:]
		if asked[file] {
			continue
		}
		asked[file] = true
		if m := static.FindStringSubmatch(file); m != nil && m[1] != "" && m[1] != a.Images.Version {
			return 0, &wrong{what: fmt.Sprintf("%s names static files of version %s, and the build's is %s", page, m[1], a.Images.Version),
				cause: "the static files are of another build than the pages"}
		}
		got, err := a.get(ctx, file)
		if err != nil {
			return 0, err
		}
		if got.status != 200 {
			return 0, &wrong{what: fmt.Sprintf("%s names %s, which answers %d", page, file, got.status), page: got.body, cause: a.missing(file)}
		}
		if strings.HasPrefix(got.header.Get("Content-Type"), "text/css") {
			for _, m := range inCSS.FindAllStringSubmatch(got.body, -1) {
				if u := a.resolve(file, m[1]); u != "" {
					assets = append(assets, u)
				}
			}
		}
	}
	return len(asked), nil
}

// missing says why a static file may not be there.
func (a *asker) missing(file string) string {
	m := static.FindStringSubmatch(file)
	switch {
	case m == nil:
		return ""
	case !slices.Contains(a.Images.Content[m[2]], m[3]):
		return "the shop uses locale " + m[3] + " in " + m[2] + ", and app/etc/config.php does not say so: the build left it out; add it to --locales"
	case strings.Contains(m[4], ".min."):
		return "the shop asks for minified files, and the build made none: the setting of the database is not that of the build"
	}
	return "the file is not in the static content of " + m[2] + " in " + m[3] + ": it was not deployed, or the images are of two builds"
}

func (a *asker) assets(html string) ([]string, error) {
	var out []string
	for _, m := range named.FindAllStringSubmatch(html, -1) {
		if u := a.resolve(a.URL+"/", strings.ReplaceAll(m[1], "&amp;", "&")); u != "" && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out, nil
}

// resolve is a reference as an address of this shop; empty: it leads elsewhere.
func (a *asker) resolve(base, ref string) string {
	from, err := url.Parse(base)
	if err != nil || strings.HasPrefix(ref, "data:") {
		return ""
	}
	u, err := from.Parse(ref)
	if err != nil {
		return ""
	}
	u.Fragment = ""
	if !strings.HasPrefix(u.String(), a.URL+"/") {
		return ""
	}
	return u.String()
}

// locales asks for the home page's files in every other locale of the store.
func (a *asker) locales(ctx context.Context) {
	a.check("files in each locale", func() (string, error) {
		got, err := a.get(ctx, "/")
		if err != nil {
			return "", err
		}
		assets, err := a.assets(got.body)
		if err != nil {
			return "", err
		}
		var others, asked []string
		for _, file := range assets {
			m := static.FindStringSubmatchIndex(file)
			if m == nil || !strings.HasPrefix(file[m[4]:m[5]], "frontend/") {
				continue
			}
			for _, locale := range a.Images.Content[file[m[4]:m[5]]] {
				asked = append(asked, locale)
				others = append(others, file[:m[6]]+locale+file[m[7]:])
			}
		}
		if len(others) == 0 {
			return "", &skip{"the home page names no files of a theme"}
		}
		n, err := a.fetchAll(ctx, "a page", others)
		return fmt.Sprintf("%d files in %s", n, strings.Join(slices.Compact(slices.Sorted(slices.Values(asked))), ", ")), err
	})
}

// catalog is what there is to look at.
type catalog struct{ products, categories []string }

const query = `{"query":"{ storeConfig { locale } categories(filters: {}) { items { url_path url_suffix } } products(search: \"\", filter: {}, pageSize: 3) { items { url_key url_suffix } } }"}`

func (a *asker) graphql(ctx context.Context) (found catalog, err error) {
	got, err := a.do(ctx, "POST", "/graphql", strings.NewReader(query))
	if err != nil {
		return found, err
	}
	var reply struct {
		Data struct {
			StoreConfig struct{ Locale string }
			Categories  struct {
				Items []struct {
					Path   string `json:"url_path"`
					Suffix string `json:"url_suffix"`
				}
			}
			Products struct {
				Items []struct {
					Key    string `json:"url_key"`
					Suffix string `json:"url_suffix"`
				}
			}
		}
	}
	if got.status != 200 || json.Unmarshal([]byte(got.body), &reply) != nil || reply.Data.StoreConfig.Locale == "" {
		return found, &wrong{what: fmt.Sprintf("GraphQL answers %d, and not the shop's locale", got.status), page: got.body}
	}
	for _, c := range reply.Data.Categories.Items {
		if c.Path != "" {
			found.categories = append(found.categories, "/"+c.Path+c.Suffix)
		}
	}
	for _, p := range reply.Data.Products.Items {
		found.products = append(found.products, "/"+p.Key+p.Suffix)
	}
	return found, nil
}
