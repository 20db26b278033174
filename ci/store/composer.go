package store

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// manifest is what of composer.json matters here.
type manifest struct {
	Name         string             `json:"name"`
	Version      string             `json:"version"`
	Require      links              `json:"require"`
	Provide      links              `json:"provide"`
	Replace      links              `json:"replace"`
	Repositories repositories       `json:"repositories"`
	Config       object             `json:"config"`
	Extra        json.RawMessage    `json:"extra"`
	Scripts      json.RawMessage    `json:"scripts"`
	Autoload     json.RawMessage    `json:"autoload"`
	content      map[string]ordered // top-level keys, for the content hash
}

// object is a JSON object whose values are read when they are needed. Whatever else stands in its place counts as empty:
// PHP writes an empty one as [].
type object map[string]json.RawMessage

func (o *object) UnmarshalJSON(b []byte) error {
	var m map[string]json.RawMessage
	if json.Unmarshal(b, &m) == nil {
		*o = m
	}
	return nil
}

// object is the object at a key; empty when there is none.
func (o object) object(key string) object {
	var inner object
	if raw, ok := o[key]; ok && json.Unmarshal(raw, &inner) != nil {
		return nil
	}
	return inner
}

func (o object) text(key string) string {
	var s string
	if raw, ok := o[key]; ok && json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// links maps a package's name to a constraint.
type links map[string]string

func (l *links) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("[]")) { // how PHP writes an empty object
		return nil
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return errors.New("requirements must be a JSON object of package names and version constraints")
	}
	*l = make(links, len(raw))
	for name, v := range raw {
		var c string
		if err := json.Unmarshal(v, &c); err != nil {
			return fmt.Errorf("the version constraint of %q must be a string", name)
		}
		(*l)[name] = c
	}
	return nil
}

type repository struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// repositories is composer's list of repositories, which may also be an object keyed by name.
type repositories []repository

func (r *repositories) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		var byName map[string]json.RawMessage
		if json.Unmarshal(b, &byName) != nil {
			return errors.New("repositories must be a JSON list or object")
		}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			list = append(list, byName[name])
		}
	}
	for _, raw := range list {
		var one repository
		if json.Unmarshal(raw, &one) == nil && one.URL != "" {
			*r = append(*r, one)
		}
	}
	return nil
}

// lockFile is what of composer.lock matters here.
type lockFile struct {
	ContentHash string          `json:"content-hash"`
	Packages    []lockedPackage `json:"packages"`
	Development []lockedPackage `json:"packages-dev"`
	Platform    links           `json:"platform"`
}

type lockedPackage struct {
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Type     string     `json:"type"`
	Require  links      `json:"require"`
	Provide  links      `json:"provide"`
	Replace  links      `json:"replace"`
	Dist     repository `json:"dist"`
	Source   repository `json:"source"`
	Autoload object     `json:"autoload"`
	Extra    object     `json:"extra"`
}

// parseJSON decodes a whole file and says where it is wrong, as "line L, column C".
func parseJSON(src []byte, into any) error {
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return errors.New("line 1, column 1: the file begins with a byte order mark; save it as UTF-8 without one")
	}
	if err := conflict(src); err != nil {
		return err
	}
	err := json.Unmarshal(src, into)
	if err == nil {
		return nil
	}
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
		err = fmt.Errorf("%s must not be a JSON %s", kind.Field, kind.Value)
		if kind.Field == "" {
			err = fmt.Errorf("a JSON %s does not belong here", kind.Value)
		}
	}
	if offset < 0 || offset > int64(len(src)) {
		return err
	}
	before := src[:max(offset-1, 0)]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

// conflict finds what git leaves in a file that could not be merged.
func conflict(src []byte) error {
	at := bytes.Index(src, []byte("<<<<<<< "))
	if at < 0 || at > 0 && src[at-1] != '\n' {
		return nil
	}
	return &syntaxError{line: 1 + bytes.Count(src[:at], []byte("\n")), msg: "a merge conflict was never resolved (<<<<<<<)"}
}

// pretends reports whether config.platform tells composer that the extension is there.
func (m *manifest) pretends(ext string) bool {
	return m != nil && m.Config.object("platform").text("ext-"+ext) != ""
}

// allowsPlugin reports whether config.allow-plugins lets the package's plugin run; told is false when it says nothing.
func (m *manifest) allowsPlugin(name string) (allowed, told bool) {
	raw, ok := m.Config["allow-plugins"]
	if !ok {
		return false, false
	}
	rules, err := decodeOrdered(raw)
	if err != nil {
		return false, false
	}
	if rules.kind == 'b' {
		return rules.text == "true", true
	}
	for _, rule := range rules.fields { // the first that matches decides
		pattern := strings.ReplaceAll(regexp.QuoteMeta(rule.key), `\*`, ".*")
		if ok, err := regexp.MatchString("(?i)^"+pattern+"$", name); err == nil && ok {
			return rule.value.kind == 'b' && rule.value.text == "true", true
		}
	}
	return false, false
}

func parseManifest(src []byte) (*manifest, error) {
	m := &manifest{}
	if err := parseJSON(src, m); err != nil {
		return nil, err
	}
	root, err := decodeOrdered(src)
	if err != nil {
		return nil, err
	}
	m.content = map[string]ordered{}
	for _, f := range root.fields {
		m.content[f.key] = f.value
	}
	return m, nil
}

// contentHash is composer's hash of what in composer.json decides what is installed: the MD5 of these keys, sorted, as
// PHP's json_encode writes them (Composer\Package\Locker::getContentHash).
func (m *manifest) contentHash() string {
	relevant := ordered{kind: '{'}
	for _, key := range []string{"config", "conflict", "extra", "minimum-stability", "name", "prefer-stable", "provide",
		"replace", "repositories", "require", "require-dev", "version"} {
		v, ok := m.content[key]
		if !ok {
			continue
		}
		if key == "config" {
			platform, ok := v.field("platform")
			if !ok || platform.kind == 'n' {
				continue
			}
			v = ordered{kind: '{', fields: []orderedField{{"platform", platform}}}
		}
		relevant.fields = append(relevant.fields, orderedField{key, v})
	}
	sum := md5.Sum(relevant.appendPHP(nil))
	return hex.EncodeToString(sum[:])
}

// ordered is a JSON value that keeps the order of its keys, as PHP's arrays do.
type ordered struct {
	kind   byte // '{', '[', '"', '0' a number, 'b' true or false, 'n' null
	fields []orderedField
	items  []ordered
	text   string // string, or number as written, or "true" or "false"
}

type orderedField struct {
	key   string
	value ordered
}

func (o ordered) field(key string) (ordered, bool) {
	for _, f := range o.fields {
		if f.key == key {
			return f.value, true
		}
	}
	return ordered{}, false
}

func decodeOrdered(src []byte) (ordered, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := decodeValue(d)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

func decodeValue(d *json.Decoder) (ordered, error) {
	t, err := d.Token()
	if err != nil {
		return ordered{}, err
	}
	switch t := t.(type) {
	case nil:
		return ordered{kind: 'n'}, nil
	case bool:
		return ordered{kind: 'b', text: strconv.FormatBool(t)}, nil
	case string:
		return ordered{kind: '"', text: t}, nil
	case json.Number:
		return ordered{kind: '0', text: t.String()}, nil
	case json.Delim:
		o := ordered{kind: byte(t)}
		for d.More() {
			if t == '[' {
				v, err := decodeValue(d)
				if err != nil {
					return o, err
				}
				o.items = append(o.items, v)
				continue
			}
			key, err := d.Token()
			if err != nil {
				return o, err
			}
			v, err := decodeValue(d)
			if err != nil {
				return o, err
			}
			o.set(key.(string), v)
		}
		_, err := d.Token()
		return o, err
	}
	return ordered{}, fmt.Errorf("unexpected %v", t)
}

// set keeps a repeated key where it stood first, with its last value, as PHP does.
func (o *ordered) set(key string, v ordered) {
	for i := range o.fields {
		if o.fields[i].key == key {
			o.fields[i].value = v
			return
		}
	}
	o.fields = append(o.fields, orderedField{key, v})
}

// appendPHP writes the value as PHP's json_encode does, without flags, after json_decode into arrays: an object that is
// empty or keyed 0, 1, 2… has become a list, slashes and everything beyond ASCII are escaped.
func (o ordered) appendPHP(b []byte) []byte {
	switch o.kind {
	case 'n':
		return append(b, "null"...)
	case 'b':
		return append(b, o.text...)
	case '"':
		return appendPHPString(b, o.text)
	case '0':
		return append(b, phpNumber(o.text)...)
	}
	items := o.items
	if o.kind == '{' {
		list := true
		for i, f := range o.fields {
			list = list && f.key == strconv.Itoa(i)
			items = append(items, f.value)
		}
		if !list {
			b = append(b, '{')
			for i, f := range o.fields {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendPHPString(b, f.key)
				b = append(b, ':')
				b = f.value.appendPHP(b)
			}
			return append(b, '}')
		}
	}
	b = append(b, '[')
	for i, v := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.appendPHP(b)
	}
	return append(b, ']')
}

func phpNumber(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	short := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exp, _ := strings.Cut(short, "e")
	e, _ := strconv.Atoi(exp)
	if e < -4 || e >= 17 {
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return fmt.Sprintf("%se%+d", mantissa, e)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func appendPHPString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	unit := func(b []byte, r rune) []byte {
		return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20 || r >= 0x80 && r < 0x10000:
			b = unit(b, r)
		case r >= 0x10000:
			b = unit(b, 0xd800+(r-0x10000)>>10)
			b = unit(b, 0xdc00+(r-0x10000)&0x3ff)
		default:
			b = append(b, byte(r))
		}
	}
	return append(b, '"')
}
