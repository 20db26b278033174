package surface

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Setting is a variable that a verb reads, as the tags of its struct describe it
// (see package config).
type Setting struct {
	Struct, Name, Flag, Default, Doc string
	Others                           []string // variables that serve as well
}

// ReadSettings reads the settings that structs in the Go files of a directory
// declare, in the order in which they stand there.
func ReadSettings(fsys fs.FS, files ...string) ([]Setting, error) {
	var all []Setting
	for _, name := range files {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			t, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				if f.Tag == nil {
					continue
				}
				raw, _ := strconv.Unquote(f.Tag.Value)
				tag := reflect.StructTag(raw)
				name, options, _ := strings.Cut(tag.Get("env"), ",")
				if name == "" {
					continue
				}
				set := Setting{Struct: t.Name.Name, Name: name, Flag: tag.Get("flag"), Doc: tag.Get("doc")}
				if _, d, ok := strings.Cut(options, "default="); ok {
					set.Default = d
				}
				if options == "required" {
					set.Default = "required"
				}
				if or := tag.Get("or"); or != "" {
					set.Others = strings.Split(or, ",")
				}
				if oneof := tag.Get("oneof"); oneof != "" {
					set.Doc += ": " + strings.ReplaceAll(oneof, "|", ", ")
				}
				all = append(all, set)
			}
			return false
		})
	}
	return all, nil
}

// Table is a Markdown table of settings; one that several structs declare stands
// there once.
func Table(settings []Setting) string {
	var b strings.Builder
	b.WriteString("| Variable | Flag | Default | Meaning |\n| --- | --- | --- | --- |\n")
	var seen []Setting
	for _, s := range settings {
		same := func(o Setting) bool { return o.Name == s.Name && o.Flag == s.Flag }
		if slices.ContainsFunc(seen, same) {
			continue
		}
		seen = append(seen, s)
		names := "`" + s.Name + "`"
		for _, o := range s.Others {
			names += " or `" + o + "`"
		}
		flag := ""
		if s.Flag != "" {
			flag = "`--" + s.Flag + "`"
		}
		byDefault := s.Default
		if byDefault != "" && byDefault != "required" {
			byDefault = "`" + byDefault + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", names, flag, byDefault, strings.ReplaceAll(cmp.Or(s.Doc, "-"), "|", "\\|"))
	}
	return b.String()
}
