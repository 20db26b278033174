package config

import (
	"cmp"
	"reflect"
	"strings"
	"time"
)

// Kind is what a setting's value looks like.
type Kind string

// The kinds of values.
const (
	Text     Kind = "text"
	Number   Kind = "number"
	Bool     Kind = "bool"
	Duration Kind = "duration"
	List     Kind = "list"
	Other    Kind = "other" // what only a variable can hold
)

// Setting describes a setting: to its user in a message, and to a program that writes another surface for it.
type Setting struct {
	Struct  string   // of the field
	Name    string   // of the variable; empty: the setting is one of a command line alone
	Others  []string // variables that serve as well
	Flag    string   // of mck, without dashes; empty if there is none
	Letter  string   // of that flag
	Doc     string   // what it is for
	Default string
	OneOf   []string // the values allowed; nil: any
	Kind    Kind
	Secret  bool
	// Required says that mck wants it, DaggerRequired that a Dagger function does. Unless is the flag of a setting in
	// whose place it is wanted.
	Required, DaggerRequired bool
	Unless                   string
	// Dagger is the parameter of a Dagger function; empty: there is none. A name after ^ is one of the constructor's.
	// It is made of the flag, or of the variable, unless the tag dagger names it (or says "-").
	Dagger string
	// Make is a further variable that make takes the setting from.
	Make string
}

// Names are all its variables.
func (s Setting) Names() []string { return append([]string{s.Name}, s.Others...) }

// Alternatives are the values allowed, in words; empty if any is.
func (s Setting) Alternatives() string {
	last := len(s.OneOf) - 1
	if last < 1 {
		return strings.Join(s.OneOf, "")
	}
	return strings.Join(s.OneOf[:last], ", ") + " or " + s.OneOf[last]
}

// Settings describes the settings of the struct that target points to, in its order.
func Settings(target any) []Setting {
	var all []Setting
	err := walk(target, func(f field) error {
		all = append(all, f.setting())
		return nil
	})
	if err != nil {
		panic(err) // target is not a pointer to a struct: a mistake in this program
	}
	return all
}

// setting describes the field.
func (f field) setting() Setting {
	get := f.tag.Tag.Get
	s := Setting{Struct: f.in, Name: f.name, Others: f.others, Doc: get("doc"), Default: get("default"), Make: get("make")}
	s.Flag, s.Letter, _ = strings.Cut(get("flag"), ",")
	if _, d, ok := strings.Cut(f.options, "default="); ok {
		s.Default = d
	}
	s.Required, s.Unless = f.options == "required", get("unless")
	if oneof := get("oneof"); oneof != "" {
		s.OneOf = strings.Split(oneof, "|")
	}
	switch t := f.tag.Type; {
	case t == reflect.TypeFor[Secret]():
		s.Kind, s.Secret = Text, true
	case t == reflect.TypeFor[time.Duration]():
		s.Kind = Duration
	case t.Kind() == reflect.String:
		s.Kind = Text
	case t.Kind() == reflect.Bool:
		s.Kind = Bool
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		s.Kind = Number
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		s.Kind = List
	default:
		s.Kind = Other
	}
	name, option, _ := strings.Cut(get("dagger"), ",")
	s.DaggerRequired = option == "required" || s.Required
	s.Dagger = cmp.Or(name, camel(cmp.Or(s.Flag, strings.TrimPrefix(s.Name, "MCK_"))))
	if name == "-" {
		s.Dagger = ""
	}
	return s
}

// camel writes build-num and BUILD_NUM as buildNum.
func camel(name string) string {
	var b strings.Builder
	for i, word := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' }) {
		if i > 0 {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		b.WriteString(word)
	}
	return b.String()
}
