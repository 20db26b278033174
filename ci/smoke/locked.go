package smoke

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/page"
)

// shut are paths that nobody may read, whatever is there.
var shut = []string{
	"/app/etc/env.php", "/.git/config", "/var/log/system.log", "/composer.json", "/vendor/autoload.php", "/.user.ini", "/setup/",
	"/errors/local.xml", "/fpm-status", "/fpm-ping", "/cron.php", "/media/smoke.php",
}

// Private are the directories of pub/media that nobody may read from.
func Private() []string {
	return []string{"customer", "customer_address", "custom_options", "downloadable", "import"}
}

func (a *asker) locked(ctx context.Context) {
	a.check("locked paths", func() (string, error) {
		paths := slices.Clone(shut)
		for _, p := range a.Planted {
			paths = append(paths, "/media/"+p)
		}
		var open []string
		for _, p := range paths {
			got, err := a.get(ctx, p)
			if err != nil {
				return "", err
			}
			if got.Status != 403 && got.Status != 404 {
				open = append(open, fmt.Sprintf("%s answers %d", p, got.Status))
			}
		}
		if len(open) > 0 {
			return "", &wrong{what: strings.Join(open, ", "), cause: "nginx's configuration lets the world read it: answer 404 there, as the pipeline's own template does"}
		}
		return fmt.Sprintf("%d shut", len(paths)), nil
	})
}

func (a *asker) redis(ctx context.Context) {
	a.check("redis", func() (string, error) {
		if a.Keys == nil {
			return "", &skip{"there is none"}
		}
		keys, err := a.Keys(ctx)
		if err != nil {
			return "", err
		}
		var seen []string
		for of, n := range keys {
			if n == 0 {
				return "", &wrong{what: "Redis has no key of the " + of + ", after all these pages",
					cause: "the shop was told of a Redis and does not use it: env.php names a backend that this release of Magento does not know, and then it takes files without a word"}
			}
			seen = append(seen, fmt.Sprintf("%s %d", of, n))
		}
		slices.Sort(seen)
		return strings.Join(seen, ", ") + " keys", nil
	})
}

// logs is the last check: nothing in the containers' logs that it would have to be woken up for.
func (a *asker) logs() {
	a.check("logs", func() (string, error) {
		a.newLines()
		if bad := errorsIn(a.said); len(bad) > 0 {
			return "", &wrong{what: fmt.Sprintf("%d errors, the first: %s", len(bad), bad[0]), cause: page.Cause(strings.Join(bad, "\n"))}
		}
		return fmt.Sprintf("%d lines, no error", len(a.said)), nil
	})
}

var badLine = regexp.MustCompile(`PHP (Fatal error|Parse error|Warning|Notice|Deprecated|Recoverable)|Uncaught|\b(CRITICAL|EMERGENCY|ALERT)\b|\[(crit|alert|emerg)\]|Read-only file system|Permission denied|not found$|: exit code `)

func errorsIn(lines []string) []string {
	var out []string
	for _, l := range lines {
		if badLine.MatchString(l) {
			out = append(out, l)
		}
	}
	return out
}
