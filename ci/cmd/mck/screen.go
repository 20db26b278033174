package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// screen shows a release on a terminal: lines as in a log, and below them one line for
// each service that rolls, which is drawn again as it goes. When the step ends, those
// lines stay where they are.
type screen struct {
	w     io.Writer
	width func() int // columns
	start time.Time
	now   func() time.Time

	rows  []ecs.Progress
	step  string
	drawn int // lines of the block that are on the screen
}

// Colours, and what ends them. Source: ECMA-48, SGR.
const (
	red, yellow, green, dim, plain = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
	erased                         = "\x1b[J" // from here to the end of the screen
)

func (s *screen) show(n release.Note) {
	if n.Rollout != nil {
		s.step = n.Step
		s.put(*n.Rollout)
		s.erase()
		s.draw()
		return
	}
	if n.Level == release.LevelStep {
		s.rows, s.drawn = nil, 0 // they stay
		return
	}
	s.erase()
	colour := map[release.Level]string{release.LevelWarning: yellow, release.LevelError: red, release.LevelLog: dim}[n.Level]
	if colour != "" {
		fmt.Fprint(s.w, colour)
	}
	printNote(s.w, n, s.now().Sub(s.start))
	if colour != "" {
		fmt.Fprint(s.w, plain)
	}
	s.draw()
}

// put keeps where a service stands.
func (s *screen) put(p ecs.Progress) {
	for i := range s.rows {
		if s.rows[i].Service == p.Service {
			s.rows[i] = p
			return
		}
	}
	s.rows = append(s.rows, p)
}

// erase takes the block off the screen.
func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\r%s", s.drawn, erased)
		s.drawn = 0
	}
}

// draw puts the block below everything else. A line that would take two is cut.
func (s *screen) draw() {
	name := 0
	for _, p := range s.rows {
		name = max(name, len(p.Service))
	}
	for _, p := range s.rows {
		line := []rune(stamp(s.now().Sub(s.start), s.step) + fmt.Sprintf("%-*s %s", name, p.Service, stands(p)))
		if most := s.width() - 1; len(line) > most {
			line = line[:most]
		}
		colour := ""
		switch {
		case p.Failed > 0:
			colour = yellow
		case p.Running == p.Desired && p.Old == 0:
			colour = green
		}
		if colour != "" {
			fmt.Fprintln(s.w, colour+string(line)+plain)
		} else {
			fmt.Fprintln(s.w, string(line))
		}
	}
	s.drawn = len(s.rows)
}

// bar is how many characters the tasks of a service take.
const bar = 10

// stands says where a service stands: "[#####.....] 2 of 4 new, 1 pending, 2 old, at BAKE_TIME, about 40s to go".
func stands(p ecs.Progress) string {
	full := bar
	if p.Desired > 0 {
		full = min(bar, bar*int(p.Running)/int(p.Desired))
	}
	text := fmt.Sprintf("[%s%s] %d of %d new", strings.Repeat("#", full), strings.Repeat(".", bar-full), p.Running, p.Desired)
	for _, more := range []struct {
		n    int32
		what string
	}{{p.Pending, "pending"}, {p.Sample.Failed, "failed"}, {p.Old, "old"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	if p.Stage != "" {
		text += ", at " + p.Stage
	}
	if p.ETA > 0 {
		text += fmt.Sprintf(", about %s to go", p.ETA)
	}
	return text
}

// terminalWidth is how wide the terminal is at which stderr is shown; 80 if it does not say.
func terminalWidth() int {
	size, err := unix.IoctlGetWinsize(int(os.Stderr.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}
