// Package leak looks for secrets in images: in every file and name of their layers, in their configs, labels and
// histories.
//
// It looks for two things. The very values that a build was given may be nowhere, in none of the forms that programs write
// values in (see [Secret]). And what is a secret by its kind, whosever it is, such as a private key or a .env file with
// values (see kinds.go), may be nowhere but in the files that composer's packages and the base's distribution publish to
// everybody.
//
// What is found is told by file, layer and kind, never by value. A store's allow-list excuses what looks like a secret and
// is none; a value that the build was given is never excused.
package leak

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/store"
)

// Image is an image to look through.
type Image struct {
	Name   string
	Config []byte // its config, as JSON
	Layers []Layer
}

// Layer is a layer of an image.
type Layer struct {
	Name      string // as the image's history has it
	Digest    string
	MediaType string
	// Base says that the layer is of the image's base and not of the build.
	Base bool
	Open func() (io.ReadCloser, error)
}

// Found is what looks like a secret, or is one, in a layer.
type Found struct {
	File string `json:"file"` // as the layer has it: "var/www/html/app/code/.env"
	Kind string `json:"kind"`
	// Given says that it is a value that the build was given.
	Given bool `json:"given,omitempty"`
	// Same is equal for files with the same content; empty: not known. It tells nobody of the content who does not have
	// the search's key.
	Same string `json:"same,omitempty"`
}

// Finding is a secret in an image.
type Finding struct {
	Images []string `json:"images"`
	Layer  string   `json:"layer,omitempty"` // its name; empty: the image's config
	Digest string   `json:"digest,omitempty"`
	// Where is the file, or the part of the config.
	Where string `json:"where"`
	Kind  string `json:"kind"`
	// Reason is why the store allows it; empty: it does not.
	Reason string `json:"reason,omitempty"`
}

// Result is what a search has found.
type Result struct {
	Findings []Finding `json:"findings"` // that fail a build
	Allowed  []Finding `json:"allowed"`  // that the store's allow-list excuses
	// Unused are entries of the allow-list that excuse nothing.
	Unused []store.Allowed `json:"unused"`
	// Unsearched names the given values that cannot be looked for, and why.
	Unsearched []string `json:"unsearched"`
	// Layers is how many were looked through, Known how many of them by an earlier search.
	Layers int `json:"layers"`
	Known  int `json:"known"`
}

// Cache keeps what was found in a layer. Its keys tell nothing of what was looked for.
type Cache interface {
	Get(key string) (found []Found, ok bool)
	Put(key string, found []Found)
}

// Search looks through images. Its zero value looks for known kinds alone.
type Search struct {
	// Secrets are the values that the build was given.
	Secrets []Secret
	// Allowed is the store's allow-list.
	Allowed []store.Allowed
	// Root is where the store stands in the images: "var/www/html".
	Root string
	// Published says of a path below Root that a package which others publish brings it. nil: none does.
	Published func(path string) bool
	// Cache keeps results by layer; nil: every layer is looked through. Key, random bytes that nobody else knows, keeps
	// what is in it from telling of the secrets.
	Cache Cache
	Key   []byte
	// Jobs is how many layers are looked through at a time; at least 1.
	Jobs int
}

// version changes when the same layer would give other findings.
const version = "1"

// Images looks through images. A layer that several of them have is looked through once.
func (s *Search) Images(ctx context.Context, images []Image) (Result, error) {
	sc, unsearched := newScanner(s.Secrets, s.Key)
	var layers []*searched
	at := map[string]*searched{}
	for _, im := range images {
		for _, l := range im.Layers {
			if at[l.Digest] == nil {
				at[l.Digest] = &searched{Layer: l}
				layers = append(layers, at[l.Digest])
			}
			at[l.Digest].images = append(at[l.Digest].images, im.Name)
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, s.Jobs))
	for _, l := range layers {
		group.Go(func() error { return s.layer(gctx, sc, l) })
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	r := Result{Findings: []Finding{}, Allowed: []Finding{}, Unused: []store.Allowed{}, Unsearched: unsearched, Layers: len(layers)}
	for _, l := range layers {
		if l.known {
			r.Known++
		}
	}
	s.judge(&r, layers)
	for _, im := range images {
		for _, f := range sc.config(im.Config) {
			r.Findings = append(r.Findings, Finding{Images: []string{im.Name}, Where: f.File, Kind: f.Kind})
		}
	}
	return r, nil
}

// searched is a layer and what was found in it.
type searched struct {
	Layer
	images []string
	found  []Found
	known  bool
}

// layer looks through a layer, unless an earlier search did.
func (s *Search) layer(ctx context.Context, sc *scanner, l *searched) error {
	key := ""
	if s.Cache != nil && len(s.Key) > 0 {
		key = s.cacheKey(l.Digest)
		if l.found, l.known = s.Cache.Get(key); l.known {
			return nil
		}
	}
	var err error
	if l.found, err = sc.layer(ctx, l.Layer); err != nil {
		return fmt.Errorf("looking for secrets in layer %s (%s): %w", cmp.Or(l.Name, "without a name"), l.Digest, err)
	}
	if key != "" {
		s.Cache.Put(key, l.found)
	}
	return nil
}

// cacheKey names what was looked for in which layer.
func (s *Search) cacheKey(digest string) string {
	mac := hmac.New(sha256.New, s.Key)
	values := []string{version, digest}
	for _, secret := range s.Secrets {
		values = append(values, secret.Name, secret.Value)
	}
	for _, v := range values {
		fmt.Fprintf(mac, "%d:%s", len(v), v)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// judge tells what fails a build from what is published and from what the store allows.
func (s *Search) judge(r *Result, layers []*searched) {
	published := s.publishedContents(layers)
	used := map[store.Allowed]bool{}
	for _, l := range layers {
		for _, f := range l.found {
			if !f.Given && (s.published(l.Layer, f.File) || f.Same != "" && published[f.Same]) {
				continue
			}
			finding := Finding{Images: l.images, Layer: l.Name, Digest: l.Digest, Where: s.shown(f.File), Kind: f.Kind}
			i := slices.IndexFunc(s.Allowed, func(a store.Allowed) bool { return a.Match(finding.Where) })
			if i < 0 || f.Given {
				r.Findings = append(r.Findings, finding)
				continue
			}
			used[s.Allowed[i]] = true
			finding.Reason = s.Allowed[i].Reason
			r.Allowed = append(r.Allowed, finding)
		}
	}
	for _, a := range s.Allowed {
		if !used[a] {
			r.Unused = append(r.Unused, a)
		}
	}
}

// publishedContents are those that packages publish, wherever composer's plugins have copied them.
func (s *Search) publishedContents(layers []*searched) map[string]bool {
	published := map[string]bool{}
	for _, l := range layers {
		for _, f := range l.found {
			if !f.Given && f.Same != "" && s.published(l.Layer, f.File) {
				published[f.Same] = true
			}
		}
	}
	return published
}

// shown is a file as people name it: relative to the store, or absolute outside of it.
func (s *Search) shown(file string) string {
	if rel, ok := strings.CutPrefix(file, s.Root+"/"); ok && s.Root != "" {
		return rel
	}
	return "/" + file
}

// distribution is where a base's distribution puts its own files, the same for everybody: test certificates and examples
// of manuals are among them.
var distribution = []string{"usr/share/", "usr/lib/"}

func (s *Search) published(l Layer, file string) bool {
	if rel, ok := strings.CutPrefix(file, s.Root+"/"); ok && s.Root != "" {
		return s.Published != nil && s.Published(rel)
	}
	return l.Base && slices.ContainsFunc(distribution, func(dir string) bool { return strings.HasPrefix(file, dir) })
}

// Err is an error that names all findings; nil if there are none.
func (r Result) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return &Error{Findings: r.Findings}
}

// Error says which secrets are in images.
type Error struct{ Findings []Finding }

// most is how many findings an error names.
const most = 50

// Error names files, layers and kinds, never a value.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "there are secrets in the images, in %d places:", len(e.Findings))
	for _, f := range e.Findings[:min(most, len(e.Findings))] {
		fmt.Fprintf(&b, "\n  %s: %s", f.Where, f.Kind)
		if f.Layer+f.Digest != "" {
			fmt.Fprintf(&b, " (layer %s, %.19s, of %s)", cmp.Or(f.Layer, "of the base"), f.Digest, strings.Join(f.Images, " and "))
		} else {
			fmt.Fprintf(&b, " (config of %s)", strings.Join(f.Images, " and "))
		}
	}
	if more := len(e.Findings) - most; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	fmt.Fprintf(&b, "\nWhoever may pull an image can read them: take them out of the store, and give them to the containers as secrets. "+
		"One that was pushed before has to be replaced. What only looks like a secret can be named, with the reason, in the store's %s", store.AllowFile)
	return b.String()
}
