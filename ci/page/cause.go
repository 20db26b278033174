package page

import (
	"regexp"
	"strings"
)

// causes are what pages and log lines tell of why something failed; the first that fits counts.
var causes = []struct {
	says *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`Invalid template file: .*view_preprocessed`), "minified HTML: the setting dev/template/minify_html is on, and the image has no minified templates in var/view_preprocessed: build with that setting in config.php, or turn it off"},
	{regexp.MustCompile(`could not find driver`), "a missing PHP extension: pdo_mysql; add it to the php base"},
	{regexp.MustCompile(`undefined function ([a-z]+)_|Class "([A-Za-z]+)" not found|requires? the [a-z]+ extension|PHP extension`), "a missing PHP extension: $0; add it to the php base"},
	{regexp.MustCompile(`The environment lacks ([A-Z_, ]+)`), "the environment of the container lacks variables: $1"},
	{regexp.MustCompile(`Connection to Redis|RedisException`), "Redis cannot be reached with the given settings"},
	{regexp.MustCompile(`SQLSTATE\[HY000\] \[\d+\]`), "the database cannot be reached with the given settings"},
	{regexp.MustCompile(`Base table or view not found`), "the database is not this build's: setup:upgrade has not run"},
	{regexp.MustCompile(`Read-only file system|failed to open stream: (Permission|Read)`), "something is written outside the volumes (var, pub/media, app/etc, /tmp)"},
	{regexp.MustCompile(`-entrypoint.*(not found|No such file|Permission denied)|[Ee]xec format error|cannot execute`), "a broken entrypoint: it or what it calls is not in the image"},
	{regexp.MustCompile(`502 Bad Gateway`), "php-fpm does not answer: it ended, or listens elsewhere"},
}

// Cause is the likely cause of what a page or log lines say; empty: they do not tell.
func Cause(text string) string {
	for _, c := range causes {
		if m := c.says.FindStringSubmatch(text); m != nil {
			why := strings.ReplaceAll(c.why, "$0", m[0])
			if len(m) > 1 {
				why = strings.ReplaceAll(why, "$1", strings.TrimSpace(m[1]))
			}
			return why
		}
	}
	return ""
}
