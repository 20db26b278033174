package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

// terminal is what somebody sees of what is written: it knows of the control sequences
// those that a screen uses, and fails at any other.
func terminal(t *testing.T, written string, width int) []string {
	t.Helper()
	var lines []string
	row := 0
	for rest := written; rest != ""; {
		if !strings.HasPrefix(rest, "\x1b[") {
			text, more, found := strings.Cut(rest, "\n")
			if i := strings.Index(text, "\x1b["); i >= 0 {
				text, more, found = rest[:i], rest[i:], false
			}
			text = strings.TrimPrefix(text, "\r")
			for len(lines) <= row {
				lines = append(lines, "")
			}
			if lines[row] += text; len(lines[row]) >= width && strings.Contains(text, "new") {
				t.Errorf("a line of the block takes more than one of the terminal: %q", lines[row])
			}
			if found {
				row++
			}
			rest = more
			continue
		}
		end := strings.IndexAny(rest[2:], "AJm") + 2
		switch rest[end] {
		case 'A':
			var n int
			if _, err := fmt.Sscanf(rest, "\x1b[%dA", &n); err != nil || n > row {
				t.Fatalf("the cursor is moved up by %q, from line %d", rest[:end+1], row)
			}
			row -= n
		case 'J':
			lines = lines[:row]
		}
		rest = rest[end+1:]
	}
	return lines
}

// On a terminal a rolling service has one line, which stays with its last state; a log
// has a line for each look.
func TestScreen(t *testing.T) {
	s, err := rehearse.Find("healthy roll of 10 tasks")
	if err != nil {
		t.Fatal(err)
	}
	var tty, log bytes.Buffer
	var now time.Time
	show := screen{w: &tty, width: func() int { return 90 }, now: func() time.Time { return now }}
	if _, err := rehearse.Run(context.Background(), s, func(n release.Note) {
		if now = n.At; show.start.IsZero() {
			show.start = now
		}
		show.show(n)
		printNote(&log, n, now.Sub(show.start))
	}); err != nil {
		t.Fatal(err)
	}
	seen := terminal(t, tty.String(), 90)
	count := func(lines []string, text string) (n int) {
		for _, l := range lines {
			if strings.Contains(l, text) {
				n++
			}
		}
		return n
	}
	if n := count(seen, rehearse.Web+"       ["); n != 1 {
		t.Errorf("the web service has %d lines of its own, not one:\n%s", n, strings.Join(seen, "\n"))
	}
	if count(seen, "10 of 10 new") == 0 || count(seen, "new, ") != 0 {
		t.Errorf("the last state is not what stays:\n%s", strings.Join(seen, "\n"))
	}
	if n := count(strings.Split(log.String(), "\n"), "of 10 running"); n < 4 {
		t.Errorf("a log has %d lines of the roll", n)
	}
	if strings.Contains(log.String(), "\x1b") {
		t.Error("a log has control sequences")
	}
}
