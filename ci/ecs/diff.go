package ecs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"unicode"

	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
)

// Change is one difference between two task definitions.
type Change struct {
	// Path leads to what changed, container and variable by name:
	// "containerDefinitions.web.environment.PHP_PORT.value".
	Path   string `json:"path"`
	Before string `json:"before,omitempty"` // empty: it was not there
	After  string `json:"after,omitempty"`  // empty: it is no longer there
	// Hidden: the values are not shown, because the name says that they may be
	// secret. Before and After then hold a placeholder.
	Hidden bool `json:"hidden,omitempty"`
}

// Changes is the difference between two task definitions, sorted by path.
type Changes []Change

const hiddenValue = "(hidden)"

var sensitive = regexp.MustCompile(`(?i)(?:passw|passphrase|secret|token|credential|api_?key|private|crypt|salt|auth|access_?key|_key$|^key$|__key$|dsn|signature)`)

// Sensitive reports whether the value of an environment variable must not be
// shown: its name speaks of a secret, or it is a URL with a password inside.
func Sensitive(name, value string) bool {
	return sensitive.MatchString(name) || urlPassword.MatchString(value)
}

var urlPassword = regexp.MustCompile(`://[^/@\s]*:[^/@\s]+@`)

// Diff compares two registrations. Lists whose items have a name (containers,
// variables, secrets, volumes, tags) are compared by name and not by position:
// ECS gives environment variables back in another order. An empty list is the
// same as none.
func Diff(before, after *awsecs.RegisterTaskDefinitionInput) Changes {
	a, b := flatten(before), flatten(after)
	var out Changes
	for p, v := range a {
		if w, ok := b[p]; !ok || w != v {
			out = append(out, change(p, v, w))
		}
	}
	for p, w := range b {
		if _, ok := a[p]; !ok {
			out = append(out, change(p, "", w))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// Without leaves out the changes below a path.
func (c Changes) Without(prefix string) Changes {
	var out Changes
	for _, ch := range c {
		if ch.Path != prefix && !strings.HasPrefix(ch.Path, prefix+".") {
			out = append(out, ch)
		}
	}
	return out
}

// String prints one line a change.
func (c Changes) String() string {
	var b strings.Builder
	for _, ch := range c {
		switch {
		case ch.Before == "":
			fmt.Fprintf(&b, "+ %s: %s\n", ch.Path, ch.After)
		case ch.After == "":
			fmt.Fprintf(&b, "- %s: %s\n", ch.Path, ch.Before)
		default:
			fmt.Fprintf(&b, "~ %s: %s -> %s\n", ch.Path, ch.Before, ch.After)
		}
	}
	return b.String()
}

func change(path, before, after string) Change {
	c := Change{Path: path, Before: before, After: after}
	if name := valueName(path); name != "" {
		c.Hidden = Sensitive(name, before) || Sensitive(name, after)
	}
	if c.Hidden {
		if c.Before != "" {
			c.Before = hiddenValue
		}
		if c.After != "" {
			c.After = hiddenValue
		}
	}
	return c
}

// valueName is the name that a free-form value goes by: an environment
// variable's, a label's, a log option's.
func valueName(path string) string {
	for _, within := range []string{".environment.", ".dockerLabels.", ".options.", "tags."} {
		if _, name, ok := strings.Cut(path, within); ok {
			return strings.TrimSuffix(name, ".value")
		}
	}
	return ""
}

// flatten gives every set value of a registration by its path.
func flatten(in *awsecs.RegisterTaskDefinitionInput) map[string]string {
	out := map[string]string{}
	if in != nil {
		flattenValue(out, "", reflect.ValueOf(in))
	}
	return out
}

//nolint:cyclop // one case a kind of value
func flattenValue(out map[string]string, path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			// A pointer that is set counts even when it points at zero:
			// readonlyRootFilesystem false is not the same as not set.
			if e := v.Elem(); e.Kind() == reflect.Struct {
				flattenValue(out, path, e)
			} else {
				out[path] = leaf(e)
			}
		}
	case reflect.Struct:
		flattenFields(out, path, v, "")
	case reflect.Map:
		for _, k := range v.MapKeys() {
			out[join(path, k.String())] = leaf(v.MapIndex(k))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		if v.Type().Elem().Kind() != reflect.Struct {
			out[path] = leaf(v)
			return
		}
		seen := map[string]int{}
		for i := range v.Len() {
			item, field := v.Index(i), nameField(v.Index(i))
			if field == "" {
				flattenValue(out, join(path, fmt.Sprint(i)), item)
				continue
			}
			name := leaf(reflect.Indirect(item.FieldByName(field)))
			key := name
			if seen[key]++; seen[key] > 1 {
				key = fmt.Sprintf("%s#%d", key, seen[key])
			}
			n := len(out)
			flattenFields(out, join(path, key), item, field)
			if len(out) == n { // it has nothing but its name
				out[join(path, key)] = name
			}
		}
	default:
		if !v.IsZero() {
			out[path] = leaf(v)
		}
	}
}

func flattenFields(out map[string]string, path string, v reflect.Value, except string) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Name != except {
			flattenValue(out, join(path, lowerFirst(f.Name)), v.Field(i))
		}
	}
}

// nameField is the field that a list's item is known by, or "".
func nameField(v reflect.Value) string {
	for _, field := range []string{"Name", "Key"} {
		f := v.FieldByName(field)
		if f.IsValid() {
			f = reflect.Indirect(f)
		}
		if f.Kind() == reflect.String && f.String() != "" {
			return field
		}
	}
	return ""
}

func leaf(v reflect.Value) string {
	if v.Kind() == reflect.String {
		if s := v.String(); s != "" {
			return s
		}
		return `""`
	}
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return string(b)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func lowerFirst(s string) string {
	r := []rune(s)
	r[0] = unicode.ToLower(r[0])
	return string(r)
}
