package surface

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Module is a Dagger module written in Go, as its source declares it.
type Module struct {
	types       map[string]map[string]function // by Go type ("Build", "dagger.Container"), by name on the command line
	main        string                         // Go type of the module's own object
	constructor function
}

// function is what can be called on an object.
type function struct {
	flags    Flags
	required []string
	returns  string // Go type of an object with functions of its own; empty: none
}

// daggerFlags may stand before or after the functions of `dagger call`, and
// before `call` itself (dagger call --help).
var daggerFlags = Flags{
	"--progress": true, "-o": true, "--output": true, "-m": true, "--mod": true, "-s": false, "--silent": false, "-q": false, "--quiet": false,
	"-v": false, "-y": false, "--auto-apply": false, "-j": false, "--json": false, "-i": false, "--interactive": false, "-h": false, "--help": false,
	"-d": false, "--debug": false, "-E": false, "--no-exit": false,
}

// daggerCommands are the other commands of dagger that the project names.
var daggerCommands = []string{"version", "develop", "core", "completion"}

// ReadModule reads a module with its generated client: the Go files at the root
// of fsys and internal/dagger.
func ReadModule(fsys fs.FS) (*Module, error) {
	m := &Module{types: map[string]map[string]function{}}
	fset := token.NewFileSet()
	own, err := parseDir(fset, fsys, ".")
	if err != nil {
		return nil, err
	}
	for _, f := range own {
		m.read(fset, f, "")
	}
	generated, err := parseDir(fset, fsys, "internal/dagger")
	if err != nil {
		return nil, err
	}
	for _, f := range generated {
		m.read(fset, f, "dagger.")
	}
	if m.main == "" {
		return nil, errors.New("package main has no func New: it is no Dagger module")
	}
	return m, nil
}

func parseDir(fset *token.FileSet, fsys fs.FS, dir string) ([]*ast.File, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || dir == "." && name == "dagger.gen.go" {
			continue
		}
		src, err := fs.ReadFile(fsys, path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// above is the comment that ends on the line before a node: go/parser gives
// parameters none.
func above(fset *token.FileSet, f *ast.File, n ast.Node) string {
	line := fset.Position(n.Pos()).Line
	for _, c := range f.Comments {
		if fset.Position(c.End()).Line == line-1 {
			return c.Text()
		}
	}
	return ""
}

// read reads one file; pkg is "dagger." for one of the generated client.
func (m *Module) read(fset *token.FileSet, f *ast.File, pkg string) {
	options := map[string]Flags{} // XOpts of the generated client
	for name, st := range structs(f) {
		if pkg != "" {
			options[name] = fieldFlags(st)
		} else {
			m.fields(name, st)
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !fn.Name.IsExported() {
			continue
		}
		made := function{flags: Flags{}}
		for _, p := range fn.Type.Params.List {
			made.parameter(p, above(fset, f, p), options)
		}
		if fn.Type.Results != nil && len(fn.Type.Results.List) > 0 {
			made.returns = object(fn.Type.Results.List[0].Type, pkg)
		}
		switch {
		case fn.Recv != nil:
			m.add(object(fn.Recv.List[0].Type, pkg), fn.Name.Name, made)
		case fn.Name.Name == "New" && pkg == "":
			m.main, m.constructor = made.returns, made
		}
	}
}

// structs are a file's struct types by name.
func structs(f *ast.File) map[string]*ast.StructType {
	found := map[string]*ast.StructType{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			if t, ok := s.(*ast.TypeSpec); ok {
				if st, ok := t.Type.(*ast.StructType); ok {
					found[t.Name.Name] = st
				}
			}
		}
	}
	return found
}

// fieldFlags are the flags that the options of a function of the client become.
func fieldFlags(st *ast.StructType) Flags {
	flags := Flags{}
	for _, field := range st.Fields.List {
		for _, n := range field.Names {
			flags["--"+kebab(n.Name)] = !isBool(field.Type)
		}
	}
	return flags
}

// fields adds the public fields of one of the module's objects, which are functions on the command line.
func (m *Module) fields(typ string, st *ast.StructType) {
	for _, field := range st.Fields.List {
		if strings.Contains(field.Doc.Text(), "+private") {
			continue
		}
		for _, n := range field.Names {
			if n.IsExported() {
				m.add(typ, n.Name, function{flags: Flags{}, returns: object(field.Type, "")})
			}
		}
	}
}

// parameter adds the flags of one parameter.
func (fn *function) parameter(p *ast.Field, doc string, options map[string]Flags) {
	if sel, ok := p.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
		return
	}
	if variadic, ok := p.Type.(*ast.Ellipsis); ok {
		if id, ok := variadic.Elt.(*ast.Ident); ok {
			maps.Copy(fn.flags, options[id.Name])
		}
		return
	}
	for _, n := range p.Names {
		flag := "--" + kebab(n.Name)
		fn.flags[flag] = !isBool(p.Type)
		if !strings.Contains(doc, "+optional") && !strings.Contains(doc, "+default") {
			fn.required = append(fn.required, flag)
		}
	}
}

func (m *Module) add(typ, name string, f function) {
	if m.types[typ] == nil {
		m.types[typ] = map[string]function{}
	}
	m.types[typ][kebab(name)] = f
}

// object names the type of a pointer, as seen from package main.
func object(t ast.Expr, pkg string) string {
	star, ok := t.(*ast.StarExpr)
	if !ok {
		return ""
	}
	switch x := star.X.(type) {
	case *ast.Ident:
		return pkg + x.Name
	case *ast.SelectorExpr:
		return "dagger." + x.Sel.Name
	}
	return ""
}

func isBool(t ast.Expr) bool {
	id, ok := t.(*ast.Ident)
	return ok && id.Name == "bool"
}

// kebab is a Go name as dagger's command line writes it.
func kebab(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Functions are the names of the module's own functions.
func (m *Module) Functions() []string {
	return slices.Sorted(maps.Keys(m.types[m.main]))
}

// ConstructorFlags are the flags that stand before a function's name.
func (m *Module) ConstructorFlags() Flags { return m.constructor.flags }

// Check says what of a command line of dagger (without the program's name) the
// module does not have.
func (m *Module) Check(args []string) error {
	args, _, err := daggerFlags.given(args)
	if err != nil || len(args) == 0 {
		return err
	}
	if args[0] != "call" {
		if !slices.Contains(daggerCommands, args[0]) {
			return fmt.Errorf("dagger has no command %s", args[0])
		}
		return nil
	}
	args = args[1:]
	typ, f := m.main, m.constructor
	for {
		var found []string
		if args, found, err = f.flags.with(daggerFlags).given(args); err != nil {
			return err
		}
		help := slices.Contains(found, "--help") || slices.Contains(found, "-h")
		for _, r := range f.required {
			if !help && !slices.Contains(found, r) {
				return fmt.Errorf("%s is missing", r)
			}
		}
		if len(args) == 0 {
			return nil
		}
		functions, ok := m.types[typ]
		if !ok {
			return fmt.Errorf("%s: what is called before it returns nothing that has functions", args[0])
		}
		if f, ok = functions[args[0]]; !ok {
			return fmt.Errorf("there is no function %s; there are %s", args[0], strings.Join(slices.Sorted(maps.Keys(functions)), " "))
		}
		typ, args = f.returns, args[1:]
	}
}
