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
	constructor map[string]string // parameters of New: Go type by name
	build       buildParameters
}

// buildParameters are those of the function Build, after the build's number.
type buildParameters struct {
	source string // as they stand there, comments included
	names  []string
}

func readModule(file string) (module, error) {
	m := module{constructor: map[string]string{}}
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
		switch {
		case fn.Name.Name == "New":
			for _, p := range params.List {
				m.constructor[p.Names[0].Name] = text(p.Type.Pos(), p.Type.End())
			}
		case fn.Name.Name == "Build" && fn.Recv != nil:
			m.build.source = strings.TrimLeft(text(params.List[1].End(), params.Closing), ",\n")
			for _, p := range params.List[2:] {
				m.build.names = append(m.build.names, p.Names[0].Name)
			}
		}
	}
	if len(m.constructor) == 0 || len(m.build.names) == 0 {
		return m, fmt.Errorf("%s has no New or no Build", file)
	}
	return m, nil
}
