// Package config reads a verb's settings: from flags, from the environment and from an env file, in that order.
//
// A verb's settings are a small struct. Its tags say everything that there is to say about a setting, once: what
// [Load] reads, what [Bind] offers as flags, and what an error tells the user.
//
//	type Push struct {
//		AWS
//		BuildNum string `env:"BUILD_NUM,required" or:"CIRCLE_BUILD_NUM" flag:"build-num" doc:"number of the build"`
//	}
//
// The tags are
//
//   - env: the variable, with the options of github.com/sethvargo/go-envconfig (required, default=…, prefix=…);
//   - or: further variables, separated by commas, that are looked at when the first one is not set;
//   - flag: the name of the command-line flag, if there is one, and after a comma its letter;
//   - oneof: the values allowed, separated by |;
//   - unless: the flag of another setting of the struct; one of the two is required;
//   - doc: what the setting is for, in a few words;
//   - dagger, make: what the setting is called there (see [Setting]).
//
// A setting without a variable is one of a single command line, such as --yes: [Bind] binds its field itself, with the
// value of the tag default. A list of it keeps its values whole, commas included, unless it has the tag split:",".
package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/joho/godotenv"
	"github.com/sethvargo/go-envconfig"
)

// Lookuper answers the value of a variable, and whether it is set.
type Lookuper = envconfig.Lookuper

// Environment makes a Lookuper of a function such as os.LookupEnv.
func Environment(lookup func(string) (string, bool)) Lookuper {
	return envconfig.LookuperFunc(lookup)
}

// EnvFile reads a file of NAME=value lines (the .env format). The error names the file and never quotes it, since what
// stands in it may be secret.
func EnvFile(path string) (Lookuper, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the env file: %w", err)
	}
	defer f.Close()
	values, err := godotenv.Parse(f)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			return nil, fmt.Errorf("cannot read the env file: %w", err)
		}
		return nil, fmt.Errorf("cannot read the env file %s: it is not in the .env format; each line must be NAME=value, with quotes around a value that has spaces", path)
	}
	return envconfig.MapLookuper(values), nil
}

// Chain asks each Lookuper in turn. The first value that is not empty wins: a variable that is set to nothing, as CI
// systems do for an unset secret, counts as missing.
func Chain(lookupers ...Lookuper) Lookuper {
	return envconfig.LookuperFunc(func(key string) (string, bool) {
		for _, l := range lookupers {
			if l == nil {
				continue
			}
			if value, ok := l.Lookup(key); ok && strings.TrimSpace(value) != "" {
				return value, true
			}
		}
		return "", false
	})
}

// Load fills the struct that target points to from the lookupers, the first of which takes precedence. A field that
// already has a value keeps it unless its setting is set. The error, if settings are missing or unreadable, is an
// *[Error] with all of them; it never contains a value.
func Load(ctx context.Context, target any, lookupers ...Lookuper) error {
	chain := Chain(lookupers...)
	var wrong Error
	err := walk(target, func(f field) error {
		if f.name == "" {
			return nil // the command line alone
		}
		return f.load(ctx, chain, &wrong)
	})
	if err != nil {
		return err
	}
	if err := wrong.lookForAlternatives(target); err != nil {
		return err
	}
	return wrong.OrNil()
}

// lookForAlternatives adds the settings that are wanted in the place of others where neither is set.
func (e *Error) lookForAlternatives(target any) error {
	set := map[string]bool{}
	err := walk(target, func(f field) error {
		s := f.setting()
		set[s.Flag] = !f.value.IsZero() || slices.ContainsFunc(e.Invalid, func(i Invalid) bool { return i.Name == s.Name && s.Name != "" })
		return nil
	})
	if err != nil {
		return err
	}
	return walk(target, func(f field) error {
		if s := f.setting(); s.Unless != "" && !set[s.Flag] && !set[s.Unless] {
			e.Missing = append(e.Missing, s)
		}
		return nil
	})
}

// field is one setting of a struct.
type field struct {
	value   reflect.Value
	tag     reflect.StructField
	name    string   // of the variable, prefix included
	others  []string // variables looked at when the first one is not set
	options string   // of the env tag
	in      string   // the struct that it is in
}

// walk calls fn for every setting of the struct that target points to, those of nested structs included.
func walk(target any, fn func(field) error) error {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: settings must be a pointer to a struct, not %T", target)
	}
	return walkStruct(v.Elem(), "", fn)
}

func walkStruct(v reflect.Value, prefix string, fn func(field) error) error {
	for i := range v.NumField() {
		tag := v.Type().Field(i)
		env := tag.Tag.Get("env")
		if tag.Type.Kind() == reflect.Struct && (env == "" || strings.HasPrefix(env, ",")) {
			_, nested, _ := strings.Cut(env, "prefix=")
			if err := walkStruct(v.Field(i), prefix+nested, fn); err != nil {
				return err
			}
			continue
		}
		if env == "" && tag.Tag.Get("flag") == "" {
			continue
		}
		if !v.Field(i).CanSet() {
			return fmt.Errorf("config: %s.%s is a setting and cannot be set: it must be exported", v.Type(), tag.Name)
		}
		name, options, _ := strings.Cut(env, ",")
		f := field{value: v.Field(i), tag: tag, options: options, in: v.Type().Name()}
		if name != "" {
			f.name = prefix + name
		}
		if or := tag.Tag.Get("or"); or != "" {
			f.others = strings.Split(or, ",")
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// load reads one field. It hands envconfig a struct of this field alone: envconfig stops at the first error, and a user
// wants to know all of them.
func (f field) load(ctx context.Context, chain Lookuper, wrong *Error) error {
	lookup := envconfig.LookuperFunc(func(key string) (string, bool) {
		if key != f.name {
			return chain.Lookup(key) // a variable that a default refers to
		}
		for _, name := range append([]string{f.name}, f.others...) {
			if value, ok := chain.Lookup(name); ok {
				return value, true
			}
		}
		return "", false
	})
	alone := f.tag
	alone.Anonymous, alone.Offset, alone.Index = false, 0, nil
	alone.Tag = reflect.StructTag(fmt.Sprintf("env:%q", strings.TrimSuffix(f.name+","+f.options, ",")))
	target := reflect.New(reflect.StructOf([]reflect.StructField{alone}))
	target.Elem().Field(0).Set(f.value)

	err := envconfig.ProcessWith(ctx, &envconfig.Config{
		Target: target.Interface(), Lookuper: lookup, DefaultOverwrite: true,
	})
	for _, mistake := range []error{
		envconfig.ErrInvalidEnvvarName, envconfig.ErrUnknownOption, envconfig.ErrRequiredAndDefault,
		envconfig.ErrNoInitNotPtr, envconfig.ErrPrefixNotStruct, envconfig.ErrPrivateField,
	} {
		if errors.Is(err, mistake) { // ours, in the struct: nothing that a user can do about it
			return fmt.Errorf("config: %w", err)
		}
	}
	switch {
	case errors.Is(err, envconfig.ErrMissingRequired):
		if f.value.IsZero() {
			wrong.Missing = append(wrong.Missing, f.setting())
		}
		return nil
	case err != nil:
		// envconfig's error quotes the value, which may be a secret that stands in the wrong variable.
		wrong.Invalid = append(wrong.Invalid, Invalid{f.setting(), expected(f.tag.Type)})
		return nil
	}
	got := target.Elem().Field(0)
	if oneof := f.tag.Tag.Get("oneof"); oneof != "" && !got.IsZero() {
		allowed := strings.Split(oneof, "|")
		if !slices.Contains(allowed, fmt.Sprint(got.Interface())) {
			wrong.Invalid = append(wrong.Invalid, Invalid{f.setting(), "one of " + strings.Join(allowed, ", ")})
			return nil
		}
	}
	f.value.Set(got)
	return nil
}

// expected says what a value of this type looks like.
func expected(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 90s, 6m or 48h"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Map:
		return "name:value pairs, separated by commas"
	case reflect.Slice:
		return "values separated by commas, each " + expected(t.Elem())
	}
	return "a valid value"
}
