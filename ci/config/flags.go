package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/pflag"
)

// Bind adds a flag for every setting of the struct that target points to that has a flag tag. The help text is made of
// the setting's doc, its variable and its default. A struct that has a flag of a type that no flag can hold, or a flag
// for a secret (the process list shows arguments to everyone on the machine), is a programming error: Bind panics.
func Bind(flags *pflag.FlagSet, target any) {
	err := walk(target, func(f field) error {
		s := f.setting()
		switch {
		case s.Flag == "":
			return nil
		case s.Secret:
			return fmt.Errorf("config: %s is a secret and cannot be a flag", cmp.Or(f.name, f.tag.Name))
		case f.name == "":
			return f.bind(flags, s)
		}
		usage := fmt.Sprintf("%s (env %s)", s.Doc, strings.Join(s.Names(), ", "))
		if s.OneOf != nil {
			usage += ": " + s.Alternatives()
		}
		if s.Default != "" {
			usage += fmt.Sprintf(" (default %s)", s.Default)
		}
		switch s.Kind {
		case Duration:
			flags.DurationP(s.Flag, s.Letter, 0, usage)
		case Text:
			flags.StringP(s.Flag, s.Letter, "", usage)
		case Bool:
			flags.BoolP(s.Flag, s.Letter, false, usage)
		case Number:
			flags.Int64P(s.Flag, s.Letter, 0, usage)
		case List:
			flags.StringSliceP(s.Flag, s.Letter, nil, usage)
		default:
			return fmt.Errorf("config: %s is a %s, which no flag can hold", f.name, f.tag.Type)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
}

// bind makes a flag of a field that has no variable.
func (f field) bind(flags *pflag.FlagSet, s Setting) error {
	if v := f.tag.Tag.Get("value"); v != "" { // pflag's help takes what is quoted for the value's name
		s.Doc = strings.Replace(s.Doc, v, "`"+v+"`", 1)
	}
	if s.OneOf != nil {
		s.Doc += ": " + s.Alternatives()
	}
	switch p := f.value.Addr().Interface().(type) {
	case *string:
		flags.StringVarP(p, s.Flag, s.Letter, "", s.Doc)
	case *bool:
		flags.BoolVarP(p, s.Flag, s.Letter, false, s.Doc)
	case *int:
		flags.IntVarP(p, s.Flag, s.Letter, 0, s.Doc)
	case *float64:
		flags.Float64VarP(p, s.Flag, s.Letter, 0, s.Doc)
	case *[]string:
		var byDefault []string
		if s.Default != "" {
			byDefault = strings.Split(s.Default, ",")
		}
		if f.tag.Tag.Get("split") != "" {
			flags.StringSliceVarP(p, s.Flag, s.Letter, byDefault, s.Doc)
		} else {
			flags.StringArrayVarP(p, s.Flag, s.Letter, byDefault, s.Doc)
		}
		return nil
	default:
		return fmt.Errorf("config: --%s is a %s, which no flag can hold", s.Flag, f.tag.Type)
	}
	if s.Default == "" {
		return nil
	}
	flag := flags.Lookup(s.Flag)
	if err := flag.Value.Set(s.Default); err != nil {
		return fmt.Errorf("config: --%s: its default: %w", s.Flag, err)
	}
	flag.DefValue = s.Default
	return nil
}

// Flags is the Lookuper of the flags that [Bind] added for the same struct and that were given on the command line.
func Flags(flags *pflag.FlagSet, target any) Lookuper {
	given := map[string]string{}
	err := walk(target, func(f field) error {
		flag := flags.Lookup(f.setting().Flag)
		if f.name == "" || flag == nil || !flag.Changed {
			return nil
		}
		given[f.name] = flag.Value.String()
		if slice, ok := flag.Value.(pflag.SliceValue); ok {
			given[f.name] = strings.Join(slice.GetSlice(), ",")
		}
		return nil
	})
	if err != nil {
		panic(err) // target is not a pointer to a struct, and Bind has said so
	}
	return envconfig.MapLookuper(given)
}
