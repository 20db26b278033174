package surface

import (
	"bufio"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// ReadMck asks a compiled mck for its verbs and their flags: what --help shows.
func ReadMck(program string) (Verbs, error) {
	v := Verbs{}
	return v, v.read(program, "")
}

func (v Verbs) read(program, verb string) error {
	help, err := exec.Command(program, append(strings.Fields(verb), "--help")...).CombinedOutput()
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
		if err := v.read(program, strings.TrimSpace(verb+" "+sub)); err != nil {
			return err
		}
	}
	return nil
}

var (
	helpFlag = regexp.MustCompile(`^ +(?:(-\w), )?(--[a-z][a-z0-9-]*)( \S+)?(?:  |$)`)
	helpVerb = regexp.MustCompile(`^  ([a-z][a-z-]*) `)
)

// parseHelp reads what cobra prints. Flags are nil when there are none: the verb
// reads its arguments itself, or has none.
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
	if len(flags) == 2 { // -h and --help, which cobra adds by itself
		return nil, verbs
	}
	return flags, verbs
}
