package leak

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Secret is a value that a build was given. It is looked for as it is, as JSON, PHP and HTML write it, URL-encoded, as hex,
// and in base64 at each of the three places that it can have in what was encoded.
type Secret struct {
	Name  string // for messages: "COMPOSER_AUTH: password for repo.magento.com"
	Value string
}

// Auth lists the secrets in the content of an auth.json, each with the place that it has there. Without the JSON that it
// should be, the whole text is the secret.
func Auth(name, content string) []Secret {
	if strings.TrimSpace(content) == "" {
		return nil
	}
	var sections map[string]any
	if json.Unmarshal([]byte(content), &sections) != nil {
		return []Secret{{Name: name, Value: content}}
	}
	var out []Secret
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		hosts, _ := sections[section].(map[string]any)
		for _, host := range slices.Sorted(maps.Keys(hosts)) {
			out = append(out, credentials(name+": "+section+" of "+host, hosts[host])...)
		}
	}
	return out
}

// credentials are the secrets that an auth.json has for a host.
func credentials(name string, v any) []Secret {
	switch v := v.(type) {
	case string:
		return []Secret{{Name: name, Value: v}}
	case []any:
		var out []Secret
		for _, item := range v {
			if header, ok := item.(string); ok { // "Name: value"
				_, value, _ := strings.Cut(header, ":")
				out = append(out, Secret{Name: name, Value: strings.TrimSpace(cmp.Or(value, header))})
			}
		}
		return out
	case map[string]any:
		var out []Secret
		for _, key := range slices.Sorted(maps.Keys(v)) {
			text, _ := v[key].(string)
			// A user's name is no secret, unless it is a token or Magento's public key.
			if text != "" && (key != "username" || len(text) >= 16) {
				out = append(out, Secret{Name: name + ", " + key, Value: text})
			}
		}
		user, _ := v["username"].(string)
		if password, _ := v["password"].(string); password != "" {
			pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
			out = append(out, Secret{Name: name + ", as HTTP sends it", Value: pair})
		}
		return out
	}
	return nil
}

// conventions stand where a password should where the user's name is a token. They are in the sources of composer itself.
var conventions = []string{"x-oauth-basic", "x-token-auth", "x-access-token", "gitlab-ci-token", "private-token", "bitbucket-oauth"}

// shortest is the length in bytes below which a value would be found by chance.
const shortest = 8

// unsearchable says why a value cannot be looked for; empty: it can.
func unsearchable(value string) string {
	switch {
	case len(value) < shortest:
		return "it is shorter than 8 characters"
	case len(value) < 16 && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz") == "":
		return "it is like a word"
	case len(value) < 16 && strings.Trim(value, "0123456789") == "":
		return "it is a number"
	}
	return ""
}

// form is a way to write a value.
type form struct {
	text []byte
	how  string // "" for the value as it is
}

// forms are the ways to write a value, each once.
func forms(value string) []form {
	var out []form
	add := func(how string, texts ...string) {
		for _, text := range texts {
			if len(text) >= shortest && !slices.ContainsFunc(out, func(f form) bool { return string(f.text) == text }) {
				out = append(out, form{[]byte(text), how})
			}
		}
	}
	add("", value)
	add("as JSON", jsonText(value), strings.ReplaceAll(jsonText(value), "/", `\/`))
	add("as PHP", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value), strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value))
	add("as HTML", html.EscapeString(value), strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#039;").Replace(value))
	for _, text := range []string{url.QueryEscape(value), url.PathEscape(value), strings.ReplaceAll(url.QueryEscape(value), "+", "%20")} {
		add("URL-encoded", text, lowerEscapes(text))
	}
	add("as hex", hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))))
	for at := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			add("in base64", inBase64(value, at, encoding))
		}
	}
	return out
}

func jsonText(value string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return value
	}
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(text string) string {
	out := []byte(text)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], bytes.ToLower(out[i+1:i+3]))
		}
	}
	return string(out)
}

// inBase64 is what of a value's base64 does not depend on what stands around it, where at bytes of three are before it.
func inBase64(value string, at int, encoding *base64.Encoding) string {
	text := encoding.EncodeToString(append(make([]byte, at), value...))
	bits := 8 * (at + len(value))
	return text[(8*at+5)/6 : bits/6]
}
