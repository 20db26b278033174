package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/magecloudkit/pipeline/ci/build"
)

// fileKey is a file or link of a tree with what of it matters: its content, or a
// link's target, and whether it may be executed.
type fileKey struct{ Path, Kind, Sum string }

// listing is what a tree holds, in the order of the paths.
type listing []*fileKey

// files are listings, or trees, of which parts can be had.
type files interface {
	pick(build.Files) (listing, error)
}

// hashed is a tree on disk.
type hashed string

func (h hashed) pick(sel build.Files) (listing, error) {
	var keys listing
	err := parallel(func(do func(func() error)) error {
		return walk(string(h), sel, func(p string, d fs.DirEntry) error {
			if d.IsDir() {
				return nil
			}
			k := &fileKey{Path: p}
			keys = append(keys, k)
			do(func() error { return k.read(string(h), d) })
			return nil
		})
	})
	slices.SortFunc(keys, func(a, b *fileKey) int { return strings.Compare(a.Path, b.Path) })
	return keys, err
}

func (k *fileKey) read(root string, d fs.DirEntry) (err error) {
	full := filepath.Join(root, filepath.FromSlash(k.Path))
	if d.Type() == fs.ModeSymlink {
		k.Kind = "link"
		k.Sum, err = os.Readlink(full)
		return err
	}
	f, err := os.Open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	k.file(h, st)
	return nil
}

// copy copies a file and says what it held.
func (k *fileKey) copy(from, to string) error {
	h := sha256.New()
	if err := copyFileTo(from, to, h); err != nil {
		return err
	}
	st, err := os.Stat(to)
	if err != nil {
		return err
	}
	k.file(h, st)
	return nil
}

func (k *fileKey) file(h hash.Hash, st fs.FileInfo) {
	k.Kind, k.Sum = "file", hex.EncodeToString(h.Sum(nil))
	if st.Mode()&0o111 != 0 {
		k.Kind = "program"
	}
}

func (l listing) pick(sel build.Files) (listing, error) {
	s := selectorOf(sel)
	out := listing{} // not nil, as a tree's
	left := map[string]bool{}
	for _, k := range l {
		if !s.included(k.Path) {
			continue
		}
		if !s.excluded(k.Path) && !s.below(path.Dir(k.Path), left) {
			out = append(out, k)
		}
	}
	return out, nil
}

// laid are trees of which later ones are laid over earlier ones.
type laid []files

func (ls laid) pick(sel build.Files) (listing, error) {
	var out listing
	for _, l := range ls {
		over, err := l.pick(sel)
		if err != nil {
			return nil, err
		}
		out = out.under(over)
	}
	return out, nil
}

// under is what there is once over is laid over it.
func (l listing) under(over listing) listing {
	out := make(listing, 0, len(l)+len(over))
	for len(l) > 0 && len(over) > 0 {
		switch c := strings.Compare(l[0].Path, over[0].Path); {
		case c < 0:
			out, l = append(out, l[0]), l[1:]
		case c > 0:
			out, over = append(out, over[0]), over[1:]
		default:
			l = l[1:]
		}
	}
	return append(append(out, l...), over...)
}

// find is the entry of a path; nil: there is none.
func (l listing) find(p string) *fileKey {
	i, ok := slices.BinarySearchFunc(l, p, func(k *fileKey, p string) int { return strings.Compare(k.Path, p) })
	if !ok {
		return nil
	}
	return l[i]
}

// bytes writes a listing down, below the digest of what is written.
func (l listing) bytes() []byte {
	var b []byte
	for _, k := range l {
		b = append(append(b, k.Kind...), ' ')
		b = append(strconv.AppendQuote(b, k.Sum), ' ')
		b = append(strconv.AppendQuote(b, k.Path), '\n')
	}
	return append([]byte(hexSum(b)+"\n"), b...)
}

// readListing reads what bytes wrote, and nothing else.
func readListing(file string) (listing, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum, rest, _ := bytes.Cut(raw, []byte("\n"))
	if hexSum(rest) != string(sum) {
		return nil, fmt.Errorf("%s is damaged", file)
	}
	l := make(listing, 0, bytes.Count(rest, []byte("\n")))
	for line := range strings.Lines(string(rest)) {
		kind, more, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		quoted, err := strconv.QuotedPrefix(more)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		content, err := strconv.Unquote(quoted)
		p, perr := strconv.Unquote(strings.TrimPrefix(more[len(quoted):], " "))
		if err := errors.Join(err, perr); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		l = append(l, &fileKey{Path: p, Kind: kind, Sum: content})
	}
	return l, nil
}

// selector is a selection of files, ready to match many paths.
type selector struct{ include, exclude []glob }

// glob is a pattern, and the directory that all it matches is in: most paths are
// told apart by that alone.
type glob struct{ base, pattern string }

func selectorOf(sel build.Files) selector {
	globs := func(patterns []string) (out []glob) {
		for _, p := range patterns {
			base, _ := doublestar.SplitPattern(p)
			if base == "." || strings.Contains(p, `\`) {
				base = ""
			}
			out = append(out, glob{base, p})
		}
		return out
	}
	return selector{globs(sel.Include), globs(sel.Exclude)}
}

func matches(globs []glob, p string) bool {
	for _, g := range globs {
		if strings.HasPrefix(p, g.base) && doublestar.MatchUnvalidated(g.pattern, p) {
			return true
		}
	}
	return false
}

func (s selector) excluded(p string) bool { return matches(s.exclude, p) }

// included says whether a file is asked for, if nothing excludes it.
func (s selector) included(p string) bool { return len(s.include) == 0 || matches(s.include, p) }

// below says whether a directory, or one that it is in, is excluded; known keeps
// what has been found out.
func (s selector) below(dir string, known map[string]bool) bool {
	if dir == "." {
		return false
	}
	out, ok := known[dir]
	if !ok {
		out = s.excluded(dir) || s.below(path.Dir(dir), known)
		known[dir] = out
	}
	return out
}

// walk calls fn for every selected file and link of a tree, and for the
// directories on the way, in lexical order.
func walk(root string, sel build.Files, fn func(string, fs.DirEntry) error) error {
	s := selectorOf(sel)
	return fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		if s.excluded(p) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !s.included(p) {
			if d.IsDir() && !leadsTo(sel.Include, p) {
				return fs.SkipDir
			}
			if !d.IsDir() {
				return nil
			}
		}
		return fn(p, d)
	})
}

func matchesAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pat string) bool { return doublestar.MatchUnvalidated(pat, p) })
}

// leadsTo says whether a pattern can match something below directory dir.
func leadsTo(patterns []string, dir string) bool {
	parts := strings.Split(dir, "/")
	return slices.ContainsFunc(patterns, func(pat string) bool {
		for i, seg := range strings.Split(pat, "/") {
			if seg == "**" || i == len(parts) {
				return true
			}
			if ok, err := path.Match(seg, parts[i]); err != nil || !ok {
				return false
			}
		}
		return false
	})
}
