package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
)

// module is what package main has by hand.
type module struct {
	functions map[string]map[string]string // the main object's: Go type by parameter; New is its constructor
	build     buildParameters
}

// buildParameters are those of the function Build, after the build's number.
type buildParameters struct {
	source string // as they stand there, comments included
	names  []string
}

func readModule(file string) (module, error) {
	m := module{functions: map[string]map[string]string{}}
	src, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments)
	if err != nil {
		return m, err
	}
	text := func(from, to token.Pos) string {
		return string(src[fset.Position(from).Offset:fset.Position(to).Offset])
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		params := fn.Type.Params
		if fn.Recv == nil && fn.Name.Name != "New" || fn.Recv != nil && text(fn.Recv.List[0].Type.Pos(), fn.Recv.List[0].Type.End()) != "*Magecloudkit" {
			continue
		}
		types := map[string]string{}
		for _, p := range params.List {
			types[p.Names[0].Name] = text(p.Type.Pos(), p.Type.End())
		}
		m.functions[fn.Name.Name] = types
		if fn.Name.Name == "Build" {
			m.build.source = strings.TrimLeft(text(params.List[1].End(), params.Closing), ",\n")
			for _, p := range params.List[2:] {
				m.build.names = append(m.build.names, p.Names[0].Name)
			}
		}
	}
	if m.functions["New"] == nil || len(m.build.names) == 0 {
		return m, fmt.Errorf("%s has no New or no Build", file)
	}
	return m, nil
}
