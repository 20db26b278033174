package patch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Tree is a directory as it would be with some patches applied or undone. What is
// on the disk stays as it is.
type Tree struct {
	fsys    fs.FS
	changed map[string]*string // nil: deleted
}

// NewTree is the directory as it is.
func NewTree(fsys fs.FS) *Tree { return &Tree{fsys: fsys, changed: map[string]*string{}} }

// Changed are the files that differ from the disk's, with their content; nil for
// one that is gone.
func (t *Tree) Changed() map[string]*string { return maps.Clone(t.changed) }

// Place is where a patch's names begin: a directory of the tree, relative to its
// root, and how many of their leading parts are not a part of the name there (-p).
type Place struct {
	Dir   string
	Strip int
}

func (p Place) resolve(name string) (string, error) {
	parts := strings.Split(name, "/")
	if len(parts) <= p.Strip {
		return "", fmt.Errorf("the name %s has no %d parts to strip", name, p.Strip)
	}
	out := path.Join(append([]string{p.Dir}, parts[p.Strip:]...)...)
	if !fs.ValidPath(out) || p.Dir != "." && p.Dir != "" && !strings.HasPrefix(out, path.Clean(p.Dir)+"/") {
		return "", fmt.Errorf("it changes %s, which is outside of %s", name, p.Dir)
	}
	return out, nil
}

// maxFuzz is how many lines of context patch lets differ at each end.
const maxFuzz = 2

// Apply applies a patch, or nothing of it. fuzz is how many lines of context may
// differ at each end of a change; git lets none.
func (t *Tree) Apply(files []File, at Place, fuzz int) error {
	done, _, err := t.apply(files, at, fuzz)
	if err == nil {
		t.changed = done
	}
	return err
}

// Undo undoes a patch that the tree has, at the first of the places where it has
// it. It reports false, and changes nothing, when the tree has it at none: then it
// was not applied, or a patch that was applied after it has to be undone first.
func (t *Tree) Undo(files []File, places []Place) bool {
	back := make([]File, len(files))
	for i, f := range files {
		back[len(files)-1-i] = f.reversed()
	}
	for fuzz := 0; fuzz <= maxFuzz; fuzz++ {
		for _, at := range places {
			done, certain, err := t.apply(back, at, fuzz)
			if err != nil {
				continue
			}
			// Context alone proves nothing where the patch fits as well as its undoing.
			if !certain || fuzz > 0 {
				if _, _, err := t.apply(files, at, fuzz); err == nil {
					continue
				}
			}
			t.changed = done
			return true
		}
	}
	return false
}

// apply is the tree with the patch applied. certain is false when a change matched
// no line at all, and so would fit anywhere.
func (t *Tree) apply(files []File, at Place, fuzz int) (changed map[string]*string, certain bool, err error) {
	next := &Tree{t.fsys, maps.Clone(t.changed)}
	certain = true
	judged := false
	for _, f := range files {
		if f.Binary {
			continue
		}
		judged = true
		sure, err := next.file(f, at, fuzz)
		if err != nil {
			return nil, false, err
		}
		certain = certain && sure
	}
	if !judged {
		return nil, false, errors.New("it changes binary files alone")
	}
	return next.changed, certain, nil
}

func (t *Tree) file(f File, at Place, fuzz int) (certain bool, err error) { //nolint:cyclop // added, deleted, renamed and changed files
	from, to, err := t.names(f, at)
	if err != nil {
		return false, err
	}
	content := ""
	if from != "" {
		var ok bool
		if content, ok, err = t.read(from); err != nil {
			return false, err
		} else if !ok {
			return false, fmt.Errorf("there is no %s", from)
		}
	} else if was, _, err := t.read(to); err != nil {
		return false, err
	} else if was != "" {
		return false, fmt.Errorf("%s is there already", to)
	}
	changed, certain, err := f.change(content, fuzz)
	if err != nil {
		return false, fmt.Errorf("%s: %w", cmp.Or(from, to), err)
	}
	if to == "" && strings.TrimSpace(changed) != "" {
		return false, fmt.Errorf("%s: it holds more than what is deleted", from)
	}
	if from != "" && from != to {
		t.changed[from] = nil
	}
	if to != "" {
		t.changed[to] = &changed
	}
	return certain || f.Renamed || from == "" || to == "", nil
}

// names are a file's before and after, in the tree. Of two names for one file,
// which diff writes when it was given a copy, the one that is there counts.
func (t *Tree) names(f File, at Place) (from, to string, err error) {
	if f.Old != "" {
		if from, err = at.resolve(f.Old); err != nil && (f.Renamed || f.New == "") {
			return "", "", err
		}
	}
	if f.New != "" {
		if to, err = at.resolve(f.New); err != nil {
			if f.Renamed || from == "" {
				return "", "", err
			}
			to = from
		}
	}
	if f.Renamed || f.Old == "" || f.New == "" {
		return from, to, nil
	}
	if _, ok, err := t.read(to); err != nil || ok {
		return to, to, err
	}
	return from, from, nil
}

func (t *Tree) read(name string) (content string, ok bool, err error) {
	if c, known := t.changed[name]; known {
		if c == nil {
			return "", false, nil
		}
		return *c, true, nil
	}
	if name == "" {
		return "", false, nil
	}
	raw, err := fs.ReadFile(t.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		if info, serr := fs.Stat(t.fsys, name); serr == nil && info.IsDir() {
			return "", false, nil
		}
	}
	return string(raw), err == nil, err
}

// change is the content with the file's hunks applied.
func (f File) change(content string, fuzz int) (string, bool, error) {
	lines := strings.SplitAfter(content, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	var out []string
	done, offset, certain := 0, 0, true
	for i, h := range f.hunks {
		old, drop := h.side('-', fuzz)
		at, ok := find(lines, old, done, max(0, h.start-1+drop+offset))
		if ok && fuzz == 0 {
			ok = h.fits(lines, at, len(old))
		}
		if !ok {
			return "", false, fmt.Errorf("its change %d of %d is not that of the file", i+1, len(f.hunks))
		}
		if len(old) == 0 {
			certain = false
			at = min(max(done, h.start+offset), len(lines))
		}
		offset = at - (h.start - 1 + drop)
		out = append(out, lines[done:at]...)
		out = append(out, h.replace(lines[at:at+len(old)], fuzz)...)
		done = at + len(old)
	}
	return strings.Join(append(out, lines[done:]...), ""), certain, nil
}

// fits holds a place that a hunk was found at to what its ends tell: less context
// at its beginning than at its end is the beginning of the file, less at its end
// the end of it, and a patch that takes or gives the last newline wants it as it was.
func (h hunk) fits(lines []string, at, n int) bool {
	if h.start <= 1 && h.before < h.after && at != 0 || n > 0 && h.after < h.before && at+n != len(lines) {
		return false
	}
	if n == 0 || h.noEOLOld == h.noEOLNew {
		return true // a newline that the patch does not change is no more than context, to git as well
	}
	return h.noEOLOld == !strings.HasSuffix(lines[at+n-1], "\n")
}

// trim is how much context fuzz takes from the hunk's ends.
func (h hunk) trim(fuzz int) (before, after int) { return min(fuzz, h.before), min(fuzz, h.after) }

// side are the lines of one side of the hunk, without what fuzz lets differ, and
// how many of those stand before them.
func (h hunk) side(op byte, fuzz int) (lines []string, dropped int) {
	before, after := h.trim(fuzz)
	for _, l := range h.lines[before : len(h.lines)-after] {
		if l.op == ' ' || l.op == op {
			lines = append(lines, l.text)
		}
	}
	return lines, before
}

// replace is what the hunk makes of the lines that it matched: their context is
// kept as it is there.
func (h hunk) replace(matched []string, fuzz int) []string {
	before, after := h.trim(fuzz)
	ending := "\n"
	if len(matched) > 0 && strings.HasSuffix(matched[0], "\r\n") {
		ending = "\r\n"
	}
	var out []string
	for _, l := range h.lines[before : len(h.lines)-after] {
		switch l.op {
		case ' ':
			out, matched = append(out, matched[0]), matched[1:]
		case '-':
			matched = matched[1:]
		case '+':
			out = append(out, l.text+ending)
		}
	}
	kept := len(h.lines) > 0 && h.lines[len(h.lines)-1].op == ' ' && h.noEOLOld == h.noEOLNew
	if n := len(out); n > 0 && after == h.after && !kept {
		switch last := strings.TrimRight(out[n-1], "\r\n"); {
		case h.noEOLNew:
			out[n-1] = last
		case h.noEOLOld && out[n-1] == last:
			out[n-1] = last + ending
		}
	}
	return out
}

// find looks for lines from the place where they are expected, further and
// further away. The ends of lines do not count.
func find(lines, want []string, first, expected int) (int, bool) {
	last := len(lines) - len(want)
	if last < first {
		return 0, false
	}
	matches := func(at int) bool {
		return at >= first && at <= last && slices.EqualFunc(lines[at:at+len(want)], want, func(a, b string) bool {
			return strings.TrimRight(a, "\r\n") == strings.TrimRight(b, "\r")
		})
	}
	for away := 0; away <= max(expected-first, last-expected, 0); away++ {
		if matches(expected - away) {
			return expected - away, true
		}
		if matches(expected + away) {
			return expected + away, true
		}
	}
	return 0, false
}
