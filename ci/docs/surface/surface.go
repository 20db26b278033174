// Package surface reads from the source what the pipeline can be asked: the
// functions and flags of the Dagger module, the verbs and flags of mck, and the
// targets of make. Tests hold the README, the Makefile and the CI configuration
// against it, so that none of them names what is not there.
package surface

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Surface is what can be typed. A nil part is not checked.
type Surface struct {
	Module *Module
	Mck    Verbs
	Make   []string // targets
}

// Check says what of a command cannot be typed. Commands of other programs pass.
func (s Surface) Check(c Command) error {
	if len(c.Args) == 0 {
		return nil
	}
	args := c.Args[1:]
	var err error
	switch name := c.Args[0]; {
	case name == "dagger" && s.Module != nil:
		err = s.Module.Check(args)
	case (name == "mck" || strings.HasSuffix(name, "/mck")) && s.Mck != nil:
		err = s.Mck.Check(args)
	case name == "go" && len(args) > 1 && args[0] == "run" && args[1] == "./ci/cmd/mck" && s.Mck != nil:
		err = s.Mck.Check(args[2:])
	case name == "make" && s.Make != nil:
		err = s.checkMake(args)
	}
	if err != nil {
		return fmt.Errorf("`%s`: %w", c, err)
	}
	return nil
}

func (s Surface) checkMake(args []string) error {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") && !strings.Contains(a, "=") && !slices.Contains(s.Make, a) {
			return fmt.Errorf("make has no target %s", a)
		}
	}
	return nil
}

// Flags are a command's flags by their names with dashes; true: it takes a value.
type Flags map[string]bool

// given reads flags off the front of args and returns what is left from the first
// word that is none, and the flags found.
func (f Flags) given(args []string) (rest []string, found []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" && args[0] != "--" {
		name, _, inline := strings.Cut(args[0], "=")
		takes, ok := f[name]
		if !ok && !strings.HasPrefix(name, "--") && len(name) > 2 { // -ooutput
			if takes, ok = f[name[:2]]; ok {
				name, inline = name[:2], true
			}
		}
		if !ok {
			return nil, nil, fmt.Errorf("there is no flag %s; there are %s", name, strings.Join(slices.Sorted(maps.Keys(f)), " "))
		}
		found = append(found, name)
		args = args[1:]
		if takes && !inline {
			if len(args) == 0 {
				return nil, nil, fmt.Errorf("%s needs a value", name)
			}
			args = args[1:]
		}
	}
	return args, found, nil
}

func (f Flags) with(others ...Flags) Flags {
	all := maps.Clone(f)
	for _, o := range others {
		maps.Copy(all, o)
	}
	return all
}

// Verbs are mck's verbs, by their names after mck ("env set"), with their flags.
type Verbs map[string]Flags

// Check says what of a command line of mck (without the program's name) is not
// there.
func (v Verbs) Check(args []string) error {
	if len(args) == 0 {
		return nil
	}
	verb := args[0]
	if verb == "--help" || verb == "completion" || verb == "help" {
		return nil
	}
	flags, ok := v[verb]
	if !ok {
		return fmt.Errorf("mck has no verb %s", verb)
	}
	args = args[1:]
	if len(args) > 0 {
		if deeper, ok := v[verb+" "+args[0]]; ok {
			flags, args = deeper, args[1:]
		}
	}
	if flags == nil { // it reads its arguments itself
		return nil
	}
	for len(args) > 0 {
		if args[0] == "--" {
			return nil
		}
		rest, _, err := flags.given(args)
		if err != nil {
			return err
		}
		if len(rest) > 0 && rest[0] != "--" { // a word of the verb's own
			rest = rest[1:]
		}
		args = rest
	}
	return nil
}
