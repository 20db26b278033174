package leak

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// scanner is a search with all that is looked for put together.
type scanner struct {
	m      *matcher
	values []value // what the matcher's first ids stand for
	key    []byte
}

// value is a form of a given value.
type value struct {
	kind string
	text []byte
}

// newScanner also names the secrets that cannot be looked for.
func newScanner(secrets []Secret, key []byte) (*scanner, []string) {
	s := &scanner{m: newMatcher(), key: key}
	unsearched := []string{}
	seen := map[string]bool{}
	for _, secret := range secrets {
		v := strings.TrimSpace(secret.Value)
		if v == "" || seen[v] || slices.Contains(conventions, v) {
			continue
		}
		seen[v] = true
		if why := unsearchable(v); why != "" {
			unsearched = append(unsearched, secret.Name+": "+why)
			continue
		}
		for _, f := range forms(v) {
			kind := "the value of " + secret.Name
			if f.how != "" {
				kind += ", " + f.how
			}
			s.m.add(f.text, len(s.values))
			s.values = append(s.values, value{kind, f.text})
		}
	}
	for i, k := range kinds {
		for _, anchor := range k.anchors {
			s.m.add([]byte(anchor), len(s.values)+i)
		}
	}
	return s, unsearched
}

// Sizes in bytes: of what of a file is looked at in one piece, and of what of it begins again in the next.
const (
	piece   = 4 << 20
	overlap = 16 << 10
)

// layer looks through a layer.
func (s *scanner) layer(ctx context.Context, l Layer) ([]Found, error) {
	t := &through{scanner: s, found: []Found{}, seen: map[Found]bool{}, buf: make([]byte, piece+overlap)}
	err := layer.Read(ctx, l.Open, l.MediaType, t.entry)
	return t.found, err
}

// through is one pass through a layer.
type through struct {
	*scanner
	found []Found
	seen  map[Found]bool
	buf   []byte
}

// add notes what was found, once a file. Forms of one value, and of the values in one auth.json, that overlap are all told.
func (t *through) add(f Found) {
	key := f
	key.Same = ""
	if !t.seen[key] {
		t.seen[key] = true
		t.found = append(t.found, f)
	}
}

func (t *through) entry(name string, h *tar.Header, content io.Reader) error {
	if at, ok := inGit(name); ok {
		t.add(Found{File: at, Kind: gitRepository})
	}
	t.text(name, []byte(h.Name+"\x00"+h.Linkname), true)
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	if err := t.file(name, content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// inGit is the outermost git repository that a path is in.
func inGit(name string) (string, bool) {
	for at := range prefixes(name) {
		if path.Base(at) == ".git" {
			return at, true
		}
	}
	return "", false
}

// prefixes yields the directories above a path, the outermost first, and the path.
func prefixes(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(name) {
			if name[i] == '/' && !yield(name[:i]) {
				return
			}
		}
		yield(name)
	}
}

// file looks through a file's content, piece by piece.
func (t *through) file(name string, content io.Reader) error {
	kept, first := 0, true
	for {
		n, err := io.ReadFull(content, t.buf[kept:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		data := t.buf[:kept+n]
		if first && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			return t.gzipped(name, io.MultiReader(bytes.NewReader(bytes.Clone(data)), content))
		}
		before := len(t.found)
		t.text(name, data, false)
		if first && last {
			t.byName(name, data)
			t.same(t.found[before:], data)
		}
		if last {
			return nil
		}
		kept, first = copy(t.buf, data[len(data)-overlap:]), false
	}
}

// unpacked is how many bytes of a compressed file are looked through.
const unpacked = 1 << 30

// gzipped looks through what was compressed. What only begins like a compressed file is passed over.
func (t *through) gzipped(name string, content io.Reader) error {
	z, err := gzip.NewReader(content)
	if err != nil {
		return nil
	}
	plain := &through{scanner: t.scanner, seen: t.seen, found: t.found, buf: make([]byte, piece+overlap)}
	err = plain.file(strings.TrimSuffix(name, ".gz"), io.LimitReader(z, unpacked))
	for i := len(t.found); i < len(plain.found); i++ {
		plain.found[i].File = name
	}
	t.found = plain.found
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return nil
	}
	return err
}

// text looks through a piece of a file, or through its name, where only given values count.
func (t *through) text(name string, data []byte, onlyGiven bool) {
	t.m.each(data, func(id, at int) {
		if id < len(t.values) {
			t.add(Found{File: name, Kind: t.values[id].kind, Given: true})
			return
		}
		if k := &kinds[id-len(t.values)]; !onlyGiven && k.at(data, at) {
			t.add(Found{File: name, Kind: k.name})
		}
	})
}

// byName judges a file by its name.
func (t *through) byName(name string, content []byte) {
	for _, f := range files {
		if f.holds(name, content) {
			t.add(Found{File: name, Kind: f.name})
		}
	}
}

// same marks what was found in a file by the file's content.
func (t *through) same(found []Found, content []byte) {
	if len(found) == 0 || len(t.key) == 0 {
		return
	}
	mac := hmac.New(sha256.New, t.key)
	mac.Write(content)
	sum := hex.EncodeToString(mac.Sum(nil)[:16])
	for i := range found {
		found[i].Same = sum
	}
}

// imageConfig is what of an image's config people can have written a secret into.
type imageConfig struct {
	Author  string `json:"author"`
	Comment string `json:"comment"`
	Config  struct {
		Env         []string          `json:"Env"`
		Labels      map[string]string `json:"Labels"`
		Cmd         []string          `json:"Cmd"`
		Entrypoint  []string          `json:"Entrypoint"`
		Healthcheck struct {
			Test []string `json:"Test"`
		} `json:"Healthcheck"`
	} `json:"config"`
	History []struct {
		CreatedBy string `json:"created_by"`
		Comment   string `json:"comment"`
		Author    string `json:"author"`
	} `json:"history"`
}

// config looks through an image's config, part by part, and then through all of it.
func (s *scanner) config(raw []byte) []Found {
	t := &through{scanner: s, seen: map[Found]bool{}}
	var c imageConfig
	if json.Unmarshal(raw, &c) == nil {
		for _, kv := range c.Config.Env {
			name, v, _ := strings.Cut(kv, "=")
			where := "environment variable " + name
			if variable.MatchString(name) && v != "" && !placeholder([]byte(v)) {
				t.add(Found{File: where, Kind: "a variable that is named like a secret, with a value"})
			}
			t.part(where, kv)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Config.Labels)) {
			t.part("label "+name, c.Config.Labels[name])
		}
		for i, h := range c.History {
			t.part(fmt.Sprintf("history, step %d", i+1), h.CreatedBy+"\n"+h.Comment+"\n"+h.Author)
		}
		t.part("author and comment", c.Author+"\n"+c.Comment)
		t.part("command", strings.Join(slices.Concat(c.Config.Entrypoint, c.Config.Cmd, c.Config.Healthcheck.Test), "\n"))
	}
	if len(t.found) == 0 {
		t.part("config", string(raw))
	}
	return t.found
}

// part looks through a text of an image's config.
func (t *through) part(where, text string) {
	t.text(where, []byte(text), false)
	for _, m := range login.FindAllStringSubmatch(text, -1) {
		if !placeholder([]byte(m[1])) {
			t.add(Found{File: where, Kind: "a URL with a password"})
		}
	}
}
