package store

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// IgnoredPaths are what never goes into a build or an image, as patterns relative to the store: what a build makes, what
// belongs to one machine, and secrets.
func IgnoredPaths() []string {
	return []string{
		"**/.git", ".idea", ".vscode", "**/.DS_Store", "**/node_modules",
		"app/etc/env.*", "**/auth.json", ".env", ".env.*",
		"generated", "pub/media", "pub/static", "var", "vendor",
	}
}

// ReadPaths are patterns of the files that Open and Check read, relative to the store, for whoever has to fetch them first.
// Of IgnoredPaths only the presence of env.php and auth.json matters, and vendor when the store is installed.
func ReadPaths() []string {
	return []string{
		AllowFile, "*.json", "**/*patches*.json", "*/composer.json", "composer.lock", "app/etc/config.php", "app/etc/env.php",
		cloudBuildFile, "**/*.patch", "**/*.diff", patchesDir + "/**", Hotfixes + "/**",
		"**/registration.php", "**/theme.xml", "**/etc/module.xml", "**/etc/**/di.xml", "**/etc/**/events.xml",
		"**/web/tailwind/*", "**/web/**/*.css", "**/package.json", "**/package-lock.json", "**/npm-shrinkwrap.json", "**/.nvmrc", "**/.node-version",
	}
}

// Inputs say which files of the store a step can depend on.
type Inputs struct {
	Exclude []string // paths relative to the store; everything else is an input
}

// notComposers are the parts of a store that installing its packages does not read.
var notComposers = []string{
	"app/code", "app/design", "app/i18n", "app/etc/config.php", "docker", ".circleci", ".github", "pub/media",
}

// ComposerInputs are the files that `composer install` may read: a change to any other file does not make it run again.
// A part that composer.json refers to (a path repository, patches, scripts) is one of them.
func (s *Store) ComposerInputs() Inputs {
	refs := s.references()
	out := Inputs{Exclude: IgnoredPaths()}
	for _, dir := range notComposers {
		if !slices.ContainsFunc(refs, func(ref string) bool { return refersTo(ref, dir) }) {
			out.Exclude = append(out.Exclude, dir)
		}
	}
	slices.Sort(out.Exclude)
	out.Exclude = slices.Compact(out.Exclude)
	return out
}

// references are all texts in composer.json that may name files that composer or its plugins read, and those in the
// patch lists that it names.
func (s *Store) references() []string {
	if s.manifest == nil {
		return nil
	}
	var out []string
	for _, r := range s.manifest.Repositories {
		if r.Type == "path" || r.Type == "artifact" || r.Type == "vcs" || r.Type == "git" {
			out = append(out, strings.TrimPrefix(r.URL, "file://"))
		}
	}
	var autoload struct {
		Classmap json.RawMessage `json:"classmap"`
	}
	if len(s.manifest.Autoload) > 0 && json.Unmarshal(s.manifest.Autoload, &autoload) == nil {
		out = append(out, texts(autoload.Classmap)...)
	}
	extra := texts(withoutOwn(s.manifest.Extra))
	out = append(append(out, texts(s.manifest.Scripts)...), extra...)
	for _, t := range extra {
		if !strings.HasSuffix(t, ".json") {
			continue
		}
		if src, ok, err := s.read(path.Clean(t)); err == nil && ok {
			out = append(out, texts(src)...)
		}
	}
	return out
}

// withoutOwn is composer.json's extra without what stands there for this pipeline, which composer does not read.
func withoutOwn(extra json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(extra, &fields) != nil || fields["magecloudkit"] == nil {
		return extra
	}
	delete(fields, "magecloudkit")
	rest, err := json.Marshal(fields)
	if err != nil {
		return extra
	}
	return rest
}

// texts are all strings in a JSON value, the keys of objects included.
func texts(raw json.RawMessage) []string {
	if len(raw) == 0 {
		return nil
	}
	v, err := decodeOrdered(raw)
	if err != nil {
		return nil
	}
	var out []string
	var walk func(ordered)
	walk = func(o ordered) {
		if o.kind == '"' {
			out = append(out, o.text)
		}
		for _, f := range o.fields {
			out = append(out, f.key)
			walk(f.value)
		}
		for _, i := range o.items {
			walk(i)
		}
	}
	walk(v)
	return out
}

// refersTo reports whether a text names dir or something in it: as a part of it ("php app/code/x.php") or, where the
// whole text is a path or a glob, by matching it ("app/*/*/*").
func refersTo(text, dir string) bool {
	if strings.Contains(text, dir+"/") || strings.HasSuffix(text, dir) {
		return true
	}
	if strings.ContainsAny(text, " \t") {
		return false
	}
	pattern := strings.Split(path.Clean(strings.TrimPrefix(text, "./")), "/")
	parts := strings.Split(dir, "/")
	if !strings.ContainsAny(text, "*?[") {
		return false
	}
	for i, p := range pattern {
		if i == len(parts) {
			return true
		}
		if ok, err := path.Match(p, parts[i]); err != nil || !ok {
			return false
		}
	}
	return len(pattern) >= len(parts)
}
