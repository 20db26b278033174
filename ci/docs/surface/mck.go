package surface

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// ReadMck asks a compiled mck for its verbs and their flags: what --help shows.
func ReadMck(ctx context.Context, program string) (Verbs, error) {
	v := Verbs{}
	return v, v.read(ctx, program, "")
}

func (v Verbs) read(ctx context.Context, program, verb string) error {
	help, err := exec.CommandContext(ctx, program, append(strings.Fields(verb), "--help")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mck %s --help: %w\n%s", verb, err, help)
	}
	flags, verbs := parseHelp(string(help))
	if verb != "" {
		v[verb] = flags
	}
	for _, sub := range verbs {
		if sub == "help" || sub == "completion" {
			continue
		}
		if err := v.read(ctx, program, strings.TrimSpace(verb+" "+sub)); err != nil {
			return err
		}
	}
	return nil
}

var (
	helpFlag = regexp.MustCompile(`^ +(?:(-\w), )?(--[a-z][a-z0-9-]*)( \S+)?(?:  |$)`)
	helpVerb = regexp.MustCompile(`^  ([a-z][a-z-]*) `)
)

// parseHelp reads what cobra prints. Flags are nil when it shows none: the verb
// reads its arguments itself.
func parseHelp(help string) (flags Flags, verbs []string) {
	section := ""
	for lines := bufio.NewScanner(strings.NewReader(help)); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, " ") {
			section = line
			continue
		}
		switch section {
		case "Flags:", "Global Flags:":
			if m := helpFlag.FindStringSubmatch(line); m != nil {
				if flags == nil {
					flags = Flags{}
				}
				for _, name := range m[1:3] {
					if name != "" {
						flags[name] = m[3] != ""
					}
				}
			}
		case "Available Commands:":
			if m := helpVerb.FindStringSubmatch(line); m != nil {
				verbs = append(verbs, m[1])
			}
		}
	}
	return flags, verbs
}
