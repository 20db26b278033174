package smoke

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Images is what is known of a build's images without running them.
type Images struct {
	// NotRun are the platforms that the machine cannot run.
	NotRun []string
	// Users are the users that the containers run as, by image ("33:33").
	Users map[string]string
	// Static are the digests of the layers of static content, by image.
	Static map[string][]string
	// Revision is pub/REVISION.txt of the php image, Version its pub/static/deployed_version.txt.
	Revision, Version string
	// Content is what the store uses: the locales of each theme ("frontend/Acme/shop").
	Content map[string][]string
	// Files is pub/static of the nginx image.
	Files fs.FS
	// Writable are directories that anybody on the machine could write to.
	Writable []string
}

// images checks what needs no request.
func (a *asker) images() {
	a.check("users", func() (string, error) {
		var seen []string
		for name, user := range a.Images.Users {
			if u, _, _ := strings.Cut(user, ":"); u == "" || u == "0" || u == "root" {
				return "", &wrong{what: fmt.Sprintf("image %s runs as root (user %q)", name, user),
					cause: "its config, or that of a base, sets no other user: set Config.User"}
			}
			seen = append(seen, name+" "+user)
		}
		slices.Sort(seen)
		return strings.Join(seen, ", "), nil
	})
	a.check("modes", func() (string, error) {
		if len(a.Images.Writable) > 0 {
			return "", &wrong{what: "anybody may write to " + strings.Join(a.Images.Writable, ", "),
				cause: "a file or a step gave it mode 0777 or 0666: what a container writes to is a volume of its own user"}
		}
		return "nothing is everybody's", nil
	})
	a.check("static content of one build", func() (string, error) {
		var all []string
		for name, digests := range a.Images.Static {
			if all != nil && !slices.Equal(all, digests) {
				return "", &wrong{what: fmt.Sprintf("the two images have static content of different builds (image %s differs)", name),
					cause: "they were built or tagged apart: build both again, in one build"}
			}
			all = digests
		}
		return fmt.Sprintf("%d layers", len(all)), nil
	})
	a.check("locales", func() (string, error) {
		var missing []string
		n := 0
		for theme, locales := range a.Images.Content {
			for _, locale := range locales {
				n++
				if entries, err := fs.ReadDir(a.Images.Files, theme+"/"+locale); err != nil || len(entries) == 0 {
					missing = append(missing, theme+"/"+locale)
				}
			}
		}
		slices.Sort(missing)
		if len(missing) > 0 {
			return "", &wrong{what: "no static files of " + strings.Join(missing, ", "),
				cause: "a locale or theme that the store uses was left out of the build: its pages would have no styles and scripts; see --locales and --themes"}
		}
		return fmt.Sprintf("%d of theme and locale", n), nil
	})
}

// build checks that what answers is this build.
func (a *asker) build(ctx context.Context) {
	a.check("/heartbeat", func() (string, error) { return a.page200(ctx, "/heartbeat") })
	a.check("/REVISION.txt", func() (string, error) {
		got, err := a.get(ctx, "/REVISION.txt")
		if err != nil {
			return "", err
		}
		if got.Status != 200 || got.Body != a.Images.Revision {
			return "", &wrong{what: fmt.Sprintf("%d: it is %q, and the php image is %q", got.Status, got.Body, a.Images.Revision), page: got.Body,
				cause: "image nginx is of another build than image magento2: release the two together"}
		}
		return strings.ReplaceAll(strings.TrimSpace(got.Body), "\n", ", "), nil
	})
	a.check("/health_check.php", func() (string, error) { return a.page200(ctx, "/health_check.php") })
}

func (a *asker) page200(ctx context.Context, path string) (string, error) {
	got, err := a.get(ctx, path)
	if err != nil {
		return "", err
	}
	if got.Status != 200 {
		return "", &wrong{what: fmt.Sprintf("it answers %d, not 200", got.Status), page: got.Body}
	}
	return "200", nil
}
