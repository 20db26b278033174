package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/page"
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
	if got.Status != 200 {
		return "", &wrong{what: fmt.Sprintf("%s answers %d, not 200", path, got.Status), page: got.Body}
	}
	assets := a.assets(got.Body)
	if len(assets) == 0 {
		return "", &wrong{what: path + " names no style sheet and no script", page: got.Body, cause: "it is no page of the shop, or its static files were not found when it was made"}
	}
	n, err := a.fetchAll(ctx, path, assets)
	return fmt.Sprintf("200, %d files", n), err
}

// fetchAll asks for every file, and for what its style sheets name. from is the page that names them.
func (a *asker) fetchAll(ctx context.Context, from string, assets []string) (int, error) {
	asked := map[string]bool{}
	for len(assets) > 0 {
		file := assets[0]
		assets = assets[1:]
		if asked[file] {
			continue
		}
		asked[file] = true
		if s, ok := page.Static(file); ok && s.Version != "" && s.Version != a.Images.Version {
			return 0, &wrong{what: fmt.Sprintf("%s names static files of version %s, and the build's is %s", from, s.Version, a.Images.Version),
				cause: "the static files are of another build than the pages"}
		}
		got, err := a.get(ctx, file)
		if err != nil {
			return 0, err
		}
		if got.Status != 200 {
			return 0, &wrong{what: fmt.Sprintf("%s names %s, which answers %d", from, file, got.Status), page: got.Body, cause: a.missing(file)}
		}
		if got.IsStyleSheet() {
			assets = append(assets, a.own(page.FilesOfStyleSheet(file, got.Body))...)
		}
	}
	return len(asked), nil
}

// missing says why a static file may not be there.
func (a *asker) missing(file string) string {
	s, ok := page.Static(file)
	switch {
	case !ok:
		return ""
	case !slices.Contains(a.Images.Content[s.Theme], s.Locale):
		return "the shop uses locale " + s.Locale + " in " + s.Theme + ", and app/etc/config.php does not say so: the build left it out; add it to --locales"
	case strings.Contains(s.File, ".min."):
		return "the shop asks for minified files, and the build made none: the setting of the database is not that of the build"
	}
	return "the file is not in the static content of " + s.Theme + " in " + s.Locale + ": it was not deployed, or the images are of two builds"
}

// assets are the files of this shop that a page names.
func (a *asker) assets(html string) []string { return a.own(page.Files(a.URL+"/", html)) }

// own leaves out addresses that lead elsewhere.
func (a *asker) own(addresses []string) []string {
	return slices.DeleteFunc(addresses, func(u string) bool { return !strings.HasPrefix(u, a.URL+"/") })
}

// locales asks for the home page's files in every other locale of the store.
func (a *asker) locales(ctx context.Context) {
	a.check("files in each locale", func() (string, error) {
		got, err := a.get(ctx, "/")
		if err != nil {
			return "", err
		}
		var others, asked []string
		for _, file := range a.assets(got.Body) {
			s, ok := page.Static(file)
			if !ok || !strings.HasPrefix(s.Theme, "frontend/") {
				continue
			}
			for _, locale := range a.Images.Content[s.Theme] {
				asked = append(asked, locale)
				others = append(others, page.InLocale(file, locale))
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
	if got.Status != 200 || json.Unmarshal([]byte(got.Body), &reply) != nil || reply.Data.StoreConfig.Locale == "" {
		return found, &wrong{what: fmt.Sprintf("GraphQL answers %d, and not the shop's locale", got.Status), page: got.Body}
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
