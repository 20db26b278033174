package store

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// AllowFile names, in the store, what in its images looks like a secret and is none.
const AllowFile = ".magecloudkit-allow"

// Allowed is an entry of the allow-list: a file that may be in an image although it looks like a secret.
type Allowed struct {
	// Path is a doublestar pattern, relative to the store ("app/code/Acme/*/Test/**"), or absolute for what is outside
	// of it in an image ("/etc/ssl/private/*").
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Match reports whether the entry is about a file.
func (a Allowed) Match(file string) bool { return doublestar.MatchUnvalidated(a.Path, file) }

// ParseAllowed reads an allow-list: a line an entry, a pattern and, after white space, the reason. Empty lines and lines
// that begin with # say nothing. problems tells of lines that cannot be taken.
func ParseAllowed(src []byte) (entries []Allowed, problems []string) {
	lines := bufio.NewScanner(bytes.NewReader(src))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " ")
		switch {
		case reason == "":
			problems = append(problems, fmt.Sprintf("line %d gives no reason", n))
		case !doublestar.ValidatePattern(pattern):
			problems = append(problems, fmt.Sprintf("line %d: %q is not a valid pattern", n, pattern))
		case strings.Trim(pattern, "*/") == "":
			problems = append(problems, fmt.Sprintf("line %d: %q allows everything", n, pattern))
		default:
			entries = append(entries, Allowed{pattern, reason})
		}
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, err.Error())
	}
	return entries, problems
}

// Allowed are the entries of the store's allow-list.
func (s *Store) Allowed() []Allowed { return s.allowed }
