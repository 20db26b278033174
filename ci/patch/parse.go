// Package patch reads patches as diff and git write them, and tells whether a tree has them. It works on a tree in memory
// and needs neither git nor patch.
package patch

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// File is what a patch does to one file.
type File struct {
	// Old and New are its names as the patch writes them, prefixes such as a/ and
	// b/ included. Old is empty for a file that the patch makes, New for one that
	// it deletes; they differ otherwise only where it is renamed or diff was given
	// a copy.
	Old, New string
	// Renamed says that the file moves from Old to New.
	Renamed bool
	// Binary says that its change is in a form that is not read here.
	Binary bool

	hunks []hunk
}

// hunk is one change of a file: the lines that it replaces, with their context,
// where they stood, and the lines that they become.
type hunk struct {
	start         int // of the old lines, from 1; 0: there are none
	lines         []line
	noEOLOld      bool // the old side's last line has no newline
	noEOLNew      bool
	before, after int // lines of context at its ends
}

type line struct {
	op   byte // ' ', '-' or '+'
	text string
}

var hunkHeader = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

// Parse reads a patch. What stands around the changes, such as the head of a mail
// or "Index:" lines, is left out. A patch without a change is an error.
func Parse(src []byte) ([]File, error) {
	p := parser{lines: strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")}
	var out []File
	for p.at < len(p.lines) {
		f, ok, err := p.file()
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no change in it that could be read: it is no patch as diff or git write them")
	}
	return out, nil
}

type parser struct {
	lines []string
	at    int
}

// file reads the next change of a file, or goes on by a line.
func (p *parser) file() (f File, ok bool, err error) {
	l := p.lines[p.at]
	switch {
	case strings.HasPrefix(l, "diff --git "):
		return p.git()
	case strings.HasPrefix(l, "--- ") && p.at+2 < len(p.lines) && strings.HasPrefix(p.lines[p.at+1], "+++ ") && hunkHeader.MatchString(p.lines[p.at+2]):
		err := p.unified(&f)
		return f, err == nil, err
	}
	p.at++
	return f, false, nil
}

// git reads git's head of a file, and its changes if there are some.
func (p *parser) git() (f File, ok bool, err error) {
	names := p.lines[p.at]
	created, deleted := false, false
	for p.at++; p.at < len(p.lines); p.at++ {
		l := p.lines[p.at]
		switch {
		case strings.HasPrefix(l, "new file mode"):
			created = true
		case strings.HasPrefix(l, "deleted file mode"):
			deleted = true
		case strings.HasPrefix(l, "rename from "):
			f.Old, f.Renamed = "a/"+unquote(l[len("rename from "):]), true
		case strings.HasPrefix(l, "rename to "):
			f.New = "b/" + unquote(l[len("rename to "):])
		case strings.HasPrefix(l, "GIT binary patch"), strings.HasPrefix(l, "Binary files "):
			f.Binary = true
			f.Old, f.New = gitNames(names)
			p.at++
			return f, true, nil
		case strings.HasPrefix(l, "--- "):
			renamed := f
			if err := p.unified(&f); err != nil {
				return f, false, err
			}
			if renamed.Renamed {
				f.Old, f.New = renamed.Old, renamed.New
			}
			return f, true, nil
		case strings.HasPrefix(l, "diff --git "):
			return p.empty(f, names, created, deleted)
		}
	}
	return p.empty(f, names, created, deleted)
}

// empty is a change without lines: a rename, an empty file that comes or goes, or
// a mode, which does not matter here.
func (p *parser) empty(f File, names string, created, deleted bool) (File, bool, error) {
	if created || deleted {
		f.Old, f.New = gitNames(names)
	}
	switch {
	case created:
		f.Old = ""
	case deleted:
		f.New = ""
	}
	return f, f.Renamed || created || deleted, nil
}

// gitNames are the names of a "diff --git" line, as far as spaces let them be told.
func gitNames(l string) (string, string) {
	l = strings.TrimPrefix(l, "diff --git ")
	if i := strings.Index(l, " b/"); i >= 0 {
		return unquote(l[:i]), unquote(l[i+1:])
	}
	a, b, _ := strings.Cut(l, " ")
	return unquote(a), unquote(b)
}

// unified reads "---", "+++" and the hunks that follow.
func (p *parser) unified(f *File) error {
	f.Old, f.New = name(p.lines[p.at]), ""
	if p.at++; p.at >= len(p.lines) || !strings.HasPrefix(p.lines[p.at], "+++ ") {
		return fmt.Errorf("line %d: there is no +++ line", p.at+1)
	}
	f.New = name(p.lines[p.at])
	for p.at++; p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], "@@ "); {
		if err := p.hunk(f); err != nil {
			return err
		}
	}
	if len(f.hunks) == 0 {
		return fmt.Errorf("line %d: no change of %s follows", p.at, f.New)
	}
	return nil
}

// name is the file that a "---" or "+++" line names; "" for /dev/null.
func name(l string) string {
	l, _, _ = strings.Cut(l[len("--- "):], "\t")
	if l = unquote(strings.TrimSpace(l)); l == "/dev/null" {
		return ""
	}
	return l
}

// unquote undoes git's quoting of names that are not plain ASCII.
func unquote(s string) string {
	if plain, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return plain
	}
	return s
}

func (p *parser) hunk(f *File) error { //nolint:cyclop // a parser: a line a case
	m := hunkHeader.FindStringSubmatch(p.lines[p.at])
	if m == nil {
		return fmt.Errorf("line %d: %q is no head of a change", p.at+1, p.lines[p.at])
	}
	number := func(s string, otherwise int) int {
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		return otherwise
	}
	h := hunk{start: number(m[1], 0)}
	oldLeft, newLeft := number(m[2], 1), number(m[4], 1)
	if oldLeft == 0 && h.start == 0 {
		f.Old = ""
	}
	if newLeft == 0 && number(m[3], 0) == 0 {
		f.New = ""
	}
	for p.at++; (oldLeft > 0 || newLeft > 0) && p.at < len(p.lines); p.at++ {
		l := p.lines[p.at]
		if l == "" { // a context line whose one space an editor has taken
			l = " "
		}
		switch l[0] {
		case '\\':
			h.noEOL()
			continue
		case ' ':
			oldLeft, newLeft = oldLeft-1, newLeft-1
		case '-':
			oldLeft--
		case '+':
			newLeft--
		default:
			return fmt.Errorf("line %d: %q is no line of a change", p.at+1, l)
		}
		h.lines = append(h.lines, line{l[0], l[1:]})
	}
	if oldLeft != 0 || newLeft != 0 {
		return fmt.Errorf("line %d: the change is cut off", p.at)
	}
	for p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], `\`) {
		h.noEOL()
		p.at++
	}
	h.measure()
	f.hunks = append(f.hunks, h)
	return nil
}

// noEOL notes that the line before "\ No newline at end of file" has none.
func (h *hunk) noEOL() {
	if len(h.lines) == 0 {
		return
	}
	op := h.lines[len(h.lines)-1].op
	h.noEOLOld = h.noEOLOld || op != '+'
	h.noEOLNew = h.noEOLNew || op != '-'
}

// measure counts the context at the hunk's ends.
func (h *hunk) measure() {
	h.before, h.after = 0, 0
	isChange := func(l line) bool { return l.op != ' ' }
	if i := slices.IndexFunc(h.lines, isChange); i >= 0 {
		h.before = i
		for h.lines[len(h.lines)-1-h.after].op == ' ' {
			h.after++
		}
	}
}

// reversed is what undoes the change.
func (f File) reversed() File {
	out := f
	out.Old, out.New = f.New, f.Old
	out.hunks = make([]hunk, len(f.hunks))
	shift := 0
	for i, h := range f.hunks {
		r := h
		r.noEOLOld, r.noEOLNew = h.noEOLNew, h.noEOLOld
		r.lines = make([]line, len(h.lines))
		grown := 0
		for j, l := range h.lines {
			switch l.op {
			case '+':
				l.op, grown = '-', grown+1
			case '-':
				l.op, grown = '+', grown-1
			}
			r.lines[j] = l
		}
		r.start = max(1, h.start+shift)
		shift += grown
		out.hunks[i] = r
	}
	return out
}
