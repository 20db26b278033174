package leak

import (
	"bytes"
	"encoding/base64"
	"path"
	"regexp"
	"slices"
	"strings"
)

// kind is a kind of secret that is known by its text.
type kind struct {
	name string
	// anchors are texts that it begins with, or has.
	anchors []string
	// word says that what stands before the anchor is no part of a word.
	word bool
	// is matches the secret from its anchor on. What its group holds, or else all of it, must not be a placeholder.
	is *regexp.Regexp
	// more, if set, has the last word.
	more func(match []byte) bool
}

// reach is how many bytes from its anchor on decide whether a text is a secret.
const reach = 1024

const (
	privateKey    = "private key"
	awsKey        = "AWS access key"
	composerLogin = "composer's credentials (auth.json)"
	magentoKeys   = "keys of Adobe's Marketplace (repo.magento.com)"
	npmToken      = "npm's credentials"
)

// body is the beginning of a key's base64, in a file or in a string of some language: a marker without it, as in a manual
// or in the code that reads keys, is no key.
const body = `(?:\s|\\[nrt]|["'+.,;]|[A-Za-z-]+: [^\n\\"']{1,100})*[A-Za-z0-9+/=]{40}`

// kinds are known by their text, wherever it stands. The forms of tokens are those that their issuers document:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
// https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
// https://docs.gitlab.com/security/tokens/#token-prefixes
// https://circleci.com/docs/managing-api-tokens/
// https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/
var kinds = []kind{
	{name: privateKey, anchors: []string{"-----BEGIN "}, is: regexp.MustCompile(`^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----` + body)},
	{name: privateKey + ", in base64", anchors: []string{"LS0tLS1CRUdJTi"}, is: regexp.MustCompile(`^[A-Za-z0-9+/]{100}`), more: encodesKey},
	{name: privateKey, anchors: []string{"PuTTY-User-Key-File-"}, is: regexp.MustCompile(`^PuTTY-User-Key-File-\d: \S+\r?\n`)},
	{name: awsKey, anchors: []string{"AKIA", "ASIA"}, word: true, is: regexp.MustCompile(`^(A[KS]IA[A-Z2-7]{16})(?:[^A-Za-z0-9_/+=]|$)`), more: mixed},
	{name: "AWS secret key", anchors: []string{"aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "secretAccessKey", "SecretAccessKey"},
		is: regexp.MustCompile(`^[A-Za-z_]+["']?\s*(?:=>|[:=,])\s*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)`), more: mixed},
	{name: magentoKeys, anchors: []string{"repo.magento.com"},
		is: regexp.MustCompile(`^repo\.magento\.com["']?\s*:\s*\{\s*["']username["']\s*:\s*["'][0-9a-f]{32}["']\s*,\s*["']password["']\s*:\s*["']([0-9a-f]{32})["']`)},
	{name: magentoKeys, anchors: []string{"MAGENTO_PRIVATE_KEY"}, is: regexp.MustCompile(`^MAGENTO_PRIVATE_KEY["']?\s*(?:=>|[:=])\s*["']?([0-9a-f]{32})\b`)},
	{name: composerLogin, anchors: []string{`"http-basic"`},
		is: regexp.MustCompile(`^"http-basic"\s*:\s*\{\s*"[^"]+"\s*:\s*\{\s*"username"\s*:\s*"[^"]+"\s*,\s*"password"\s*:\s*"([^"]{4,})"`)},
	{name: composerLogin, anchors: []string{`"github-oauth"`, `"gitlab-token"`, `"gitlab-oauth"`, `"bearer"`, `"forgejo-token"`},
		is: regexp.MustCompile(`^"[a-z-]+"\s*:\s*\{\s*"[a-z0-9.-]+\.[a-z]+"\s*:\s*"([^"]{8,})"`)},
	{name: "GitHub token", anchors: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, word: true, is: regexp.MustCompile(`^gh[pousr]_([A-Za-z0-9]{36,})`), more: mixed},
	{name: "GitHub token", anchors: []string{"github_pat_"}, word: true, is: regexp.MustCompile(`^github_pat_([A-Za-z0-9_]{60,})`), more: mixed},
	{name: "GitLab token", anchors: []string{"glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"}, word: true, is: regexp.MustCompile(`^gl[a-z]+-([A-Za-z0-9_.-]{20,})`), more: mixed},
	{name: "CircleCI token", anchors: []string{"CCIPAT_", "CCIPRJ_"}, word: true, is: regexp.MustCompile(`^CCIP(?:AT|RJ)_[A-Za-z0-9]{10,}_([0-9a-f]{40})`)},
	{name: npmToken, anchors: []string{"npm_"}, word: true, is: regexp.MustCompile(`^npm_([A-Za-z0-9]{36})(?:[^A-Za-z0-9_]|$)`), more: mixed},
	{name: npmToken, anchors: []string{":_authToken", ":_password"}, is: regexp.MustCompile(`^:_[a-zA-Z]+\s*=\s*"?([^\s"$]{8,})`)},
	{name: "Packagist token", anchors: []string{"packagist_o", "packagist_u"}, word: true, is: regexp.MustCompile(`^packagist_[ou][ruw]t_([0-9a-f]{40,})`)},
	{name: "Slack token", anchors: []string{"xoxb-", "xoxp-", "xoxa-", "xoxs-"}, word: true, is: regexp.MustCompile(`^xox[abps]-([0-9]{10,}-[A-Za-z0-9-]{20,})`), more: mixed},
	{name: "Stripe key", anchors: []string{"sk_live_", "rk_live_"}, word: true, is: regexp.MustCompile(`^[rs]k_live_([A-Za-z0-9]{20,})`), more: mixed},
	{name: "New Relic key", anchors: []string{"NRAK-"}, word: true, is: regexp.MustCompile(`^NRAK-([A-Z0-9]{27})`), more: mixed},
	{name: "Magento's encryption key (env.php)", anchors: []string{"'crypt'", `"crypt"`},
		is: regexp.MustCompile(`^["']crypt["']\s*=>\s*(?:array\s*\(|\[)\s*["']key["']\s*=>\s*["']([^"'$]{16,})`)},
}

// mixed says that a token is not one letter over and over, as examples have them.
func mixed(match []byte) bool {
	seen := map[byte]bool{}
	for _, c := range match {
		seen[c] = true
	}
	return len(seen) >= 8
}

// encodesKey says that base64 is that of a private key and not of a certificate.
func encodesKey(match []byte) bool {
	plain, err := base64.StdEncoding.DecodeString(string(match[:len(match)/4*4]))
	return err == nil && bytes.Contains(plain, []byte("PRIVATE KEY"))
}

// placeholders are parts of what manuals and samples have in a secret's place.
var placeholders = [][]byte{[]byte("example"), []byte("xxxx"), []byte("your"), []byte("changeme"), []byte("change_me"), []byte("placeholder"),
	[]byte("${"), []byte("{{"), []byte("<"), []byte("%env("), []byte("getenv"), []byte("****"), []byte("...")}

func placeholder(secret []byte) bool {
	low := bytes.ToLower(secret)
	return slices.ContainsFunc(placeholders, func(p []byte) bool { return bytes.Contains(low, p) })
}

// at says whether the kind's secret begins at a position of the data.
func (k *kind) at(data []byte, i int) bool {
	if k.word && i > 0 && wordByte(data[i-1]) {
		return false
	}
	m := k.is.FindSubmatch(data[i:min(len(data), i+reach)])
	if m == nil {
		return false
	}
	secret := m[len(m)-1]
	return !placeholder(secret) && (k.more == nil || k.more(secret))
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// file is a kind of file that is a secret by its name, if its content is not that of a template.
type file struct {
	name string
	is   func(name string) bool // of the file's path
	has  *regexp.Regexp         // what its content has; nil: anything
}

func named(patterns ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, path.Base(name)); return err == nil && ok })
	}
}

// templates are endings of files that show how another one is to be written.
var templates = []string{".example", ".sample", ".dist", ".template", ".tpl", ".md"}

// gitRepository is what is said of a .git, which has a store's whole history and often a token in its config.
const gitRepository = "a git repository, with its history and its remotes"

// files are known by their names.
var files = []file{
	{name: "values in a .env file", is: named(".env", ".env.*"), has: regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=[ \t]*["']?([^\s"'#]+)`)},
	{name: composerLogin, is: named("auth.json", "auth.json.*"), has: regexp.MustCompile(`"(?:password|consumer-secret|token)"\s*:\s*"([^"]+)"|"(?:github-oauth|gitlab-oauth|gitlab-token|bearer|custom-headers)"\s*:\s*\{\s*"[^"]+"\s*:\s*["\[]([^"]*)`)},
	{name: "a database's password (env.php)", is: named("env.php", "env.php.*", "env.*.php", "env.*"), has: regexp.MustCompile(`["']password["']\s*=>\s*["']([^"']+)["']`)},
	{name: "a key store", is: named("*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx")},
	{name: "a login of netrc", is: named(".netrc", "_netrc"), has: regexp.MustCompile(`\bpassword\s+(\S+)`)},
	{name: "a database's login", is: named(".my.cnf", ".pgpass", ".mylogin.cnf"), has: regexp.MustCompile(`(?m)^\s*password\s*=\s*(\S+)|^(?:[^:\s]*:){4}(\S+)`)},
	{name: "a registry's login (docker)", is: func(name string) bool {
		return strings.HasSuffix(name, ".docker/config.json") || path.Base(name) == ".dockercfg" || path.Base(name) == ".dockerconfigjson"
	}, has: regexp.MustCompile(`"auth"\s*:\s*"([^"]+)"`)},
	{name: npmToken, is: named(".npmrc", ".yarnrc", ".yarnrc.yml"), has: regexp.MustCompile(`(?m)^\s*(?:_auth|_authToken|_password|npmAuthToken|npmAuthIdent)\s*[=:]\s*"?([^\s"$]+)`)},
}

// holds says whether a file of such a name holds a secret.
func (f file) holds(name string, content []byte) bool {
	if !f.is(name) || slices.ContainsFunc(templates, func(t string) bool { return strings.HasSuffix(name, t) }) {
		return false
	}
	if f.has == nil {
		return len(content) > 0
	}
	for _, m := range f.has.FindAllSubmatch(content, -1) {
		for _, group := range m[1:] {
			if len(group) > 0 && !placeholder(group) {
				return true
			}
		}
	}
	return false
}

// variable is the name of an environment variable whose value is a secret.
var variable = regexp.MustCompile(`(?i)(?:PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE_KEY|CRYPT_KEY|ACCESS_KEY|API_KEY|COMPOSER_AUTH|CREDENTIALS)$`)

// login is a URL with a password in it.
var login = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s/:@"']*:([^\s/@"']+)@`)
