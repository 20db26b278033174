package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/config"
)

// settings says what is set and by what, and which of it cannot be meant.
func settings(_ context.Context, v *visit) {
	for _, s := range v.Settings {
		if fix, message := unlikely(s); message != "" {
			v.err(s.Name, fix, "%s (from %s)", message, s.From)
			continue
		}
		shown := s.Value
		if s.Secret {
			shown = "set"
		}
		v.ok(s.Name, "%s, from %s", shown, s.From)
	}
	v.wrong(v.Wrong)
	v.wrong(v.NoAWS)
	v.combinations()
	v.misspelt()
	v.unplaced()
}

var (
	regionName = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)
	keyID      = regexp.MustCompile(`^A[A-Z0-9]{4,127}$`)
	registry   = regexp.MustCompile(`^(https://)?[A-Za-z0-9.-]+(:[0-9]+)?/?$`)
	rolesARN   = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/.+$`)
)

// forms are what values look like: message says what is wrong with one that does not, and shows no value that may be a
// secret in the wrong place.
var forms = map[string]struct {
	form         *regexp.Regexp
	message, fix string
}{
	"AWS_REGION":        {regionName, "is no region's name", "name a region such as eu-central-1, not one of its zones"},
	"AWS_ACCESS_KEY_ID": {keyID, "is no access key's id, so it is not shown", "an id is in capitals, as in AKIA…; the key itself goes into AWS_SECRET_ACCESS_KEY"},
	"AWS_ECR_URL":       {registry, "is no registry's address", "give the host alone, without a repository's path: 'mck get-ecr' prints it"},
	"AWS_ROLE_ARN":      {rolesARN, "is no role's ARN", "copy the ARN of the role from IAM: arn:aws:iam::ACCOUNT:role/NAME"},
}

// unlikely says what is wrong with a value, and what to do about it; two empty texts: nothing.
func unlikely(s Setting) (fix, message string) {
	v := s.Value
	if s.Name == "COMPOSER_AUTH" {
		return "", "" // JSON, around which blanks mean nothing
	}
	switch quoted := len(v) > 1 && strings.ContainsAny(v[:1], `"'`) && v[0] == v[len(v)-1]; {
	case v != strings.TrimSpace(v):
		return "set it again without them; a pasted secret often ends with a line break", "has blanks or line breaks around its value"
	case quoted:
		return "set it again without them", "has quotation marks around its value, which are taken for a part of it"
	}
	if f, ok := forms[s.Name]; ok && !f.form.MatchString(v) {
		return f.fix, f.message
	}
	return "", ""
}

const showsConfig = "correct it where it is set: 'mck config --all' lists every setting with its flag"

// wrong says why settings cannot be taken, in a line for each.
func (v *visit) wrong(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			v.wrong(one)
		}
		return
	}
	var e *config.Error
	if errors.As(err, &e) {
		for _, s := range e.Missing {
			v.err(s.Name, s.How(), "is not set: %s", s.Doc)
		}
		for _, s := range e.Invalid {
			v.err(s.Name, s.How(), "cannot be read: it must be %s", s.Expected)
		}
		return
	}
	message, fix, ok := strings.Cut(strings.ReplaceAll(err.Error(), "\n", "; "), ": set ")
	if ok {
		v.err("settings", "set "+fix, "%s", message)
		return
	}
	v.err("settings", showsConfig, "%s", message)
}

// value is what a setting is set to.
func (v *visit) value(name string) string {
	for _, s := range v.Settings {
		if s.Name == name {
			return strings.TrimSpace(s.Value)
		}
	}
	return ""
}

// combinations are settings that do not go together.
func (v *visit) combinations() {
	key := v.value("AWS_ACCESS_KEY_ID")
	if strings.HasPrefix(key, "ASIA") && v.value("AWS_SESSION_TOKEN") == "" {
		v.err("AWS_SESSION_TOKEN", "set all three that were handed out together", "is not set, and the access key is a temporary one, which needs it")
	}
	static := key != "" && v.value("AWS_SECRET_ACCESS_KEY") != ""
	if static && v.value("AWS_ROLE_ARN") != "" && v.value("MCK_AWS_PROFILE") == "" {
		v.warn("AWS_ROLE_ARN", "unset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to have the role assumed, or unset AWS_ROLE_ARN", "is not used: the access key goes before it")
	}
	token := v.value("AWS_WEB_IDENTITY_TOKEN_FILE") + v.value("CIRCLE_OIDC_TOKEN_V2")
	if !static && v.value("AWS_ROLE_ARN") != "" && token == "" && v.value("MCK_AWS_PROFILE") == "" {
		v.warn("AWS_ROLE_ARN", "a CircleCI job has CIRCLE_OIDC_TOKEN_V2 if it uses a context; elsewhere set AWS_WEB_IDENTITY_TOKEN_FILE", "is not used: there is no web identity token to assume it with")
	}
}

// prefixes are those of variables that may be meant to be settings.
var prefixes = []string{"MCK_", "AWS_", "ECS_", "MAGENTO_", "CIRCLE_OIDC_"}

// misspelt tells of variables that are nearly settings.
func (v *visit) misspelt() {
	names := slices.Sorted(slices.Values(v.Variables))
	for _, name := range slices.Compact(names) {
		if slices.Contains(v.Known, name) || !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		for _, known := range v.Known {
			if nearly(name, known) {
				v.warn(name, "rename it to "+known+", or unset it", "is set and is no setting; %s is one", known)
				break
			}
		}
	}
}

// nearly reports whether names differ by one or two letters.
func nearly(a, b string) bool {
	const most = 2
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return false
	}
	row := make([]int, len(b)+1) // Levenshtein's distance of what of a was looked at and of each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)] <= most
}

// unplaced says that it is not known what a release would be about.
func (v *visit) unplaced() {
	how := "name an environment of magecloudkit.yaml (mck doctor production; 'mck init --cluster C' writes it)"
	if len(v.Environments) > 0 {
		how = fmt.Sprintf("name an environment of magecloudkit.yaml: mck doctor %s", strings.Join(v.Environments, ", or mck doctor "))
	}
	if v.Request.Cluster == "" {
		v.err("MCK_CLUSTER", how+", or set MCK_CLUSTER, or pass --cluster", "is not set, so nothing can be released, and no part of it was looked at")
	}
	if len(v.Request.Services) == 0 {
		v.err("MCK_SERVICES", how+", or set MCK_SERVICES, or pass --service", "is not set, so nothing can be released, and no part of it was looked at")
	}
}
