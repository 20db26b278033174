package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/pflag"
)

// Bind adds a flag for every setting of the struct that target points to that has a flag tag. The help text is made of
// the setting's doc, its variable and its default. A struct that has a flag of a type that no flag can hold, or a flag
// for a secret (the process list shows arguments to everyone on the machine), is a programming error: Bind panics.
func Bind(flags *pflag.FlagSet, target any) {
	err := walk(target, func(f field) error {
		name := f.tag.Tag.Get("flag")
		if name == "" {
			return nil
		}
		usage := fmt.Sprintf("%s (env %s)", f.tag.Tag.Get("doc"), strings.Join(append([]string{f.name}, f.others...), ", "))
		if oneof := f.tag.Tag.Get("oneof"); oneof != "" {
			usage += ": " + strings.ReplaceAll(oneof, "|", ", ")
		}
		if _, byDefault, ok := strings.Cut(f.options, "default="); ok {
			usage += fmt.Sprintf(" (default %s)", byDefault)
		}
		switch t := f.tag.Type; {
		case t == reflect.TypeFor[Secret]():
			return fmt.Errorf("config: %s is a secret and cannot be a flag", f.name)
		case t == reflect.TypeFor[time.Duration]():
			flags.Duration(name, 0, usage)
		case t.Kind() == reflect.String:
			flags.String(name, "", usage)
		case t.Kind() == reflect.Bool:
			flags.Bool(name, false, usage)
		case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
			flags.Int64(name, 0, usage)
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
			flags.StringSlice(name, nil, usage)
		default:
			return fmt.Errorf("config: %s is a %s, which no flag can hold", f.name, t)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
}

// Flags is the Lookuper of the flags that [Bind] added for the same struct and that were given on the command line.
func Flags(flags *pflag.FlagSet, target any) Lookuper {
	given := map[string]string{}
	err := walk(target, func(f field) error {
		flag := flags.Lookup(f.tag.Tag.Get("flag"))
		if flag == nil || !flag.Changed {
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
