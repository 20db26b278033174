package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A NodeBuild is something that Node makes of a store's source before static content is deployed: the style sheet of a
// theme, or whatever composer.json declares.
type NodeBuild struct {
	Theme string `json:"theme,omitempty"` // "frontend/Acme/shop"; empty: declared
	// Path is the directory of the installed store that the commands run in.
	Path string `json:"path"`
	// Commands are programs with their arguments.
	Commands [][]string `json:"commands"`
	// Outputs are the files and directories of the installed store that they make.
	Outputs []string `json:"outputs"`
	// Node is the constraint that package.json has on Node (engines.node), NodeVersion the version that a .nvmrc or
	// .node-version asks for, as it stands there. Empty: none.
	Node        string `json:"node,omitempty"`
	NodeVersion string `json:"nodeVersion,omitempty"`
}

// Node is a Node to build with.
type Node struct {
	Version string `json:"version"` // "20.11.1"; empty: there is none
}

const (
	tailwindDir = "web/tailwind" // of a Hyvä theme
	styleSheet  = "web/css/styles.css"
)

// nodeTheme is a theme with a package.json in web/tailwind.
type nodeTheme struct {
	theme     Theme
	dir       string // of the theme in the installed store
	source    string // of the theme in what was read
	own       bool   // it is the store's own, not a package's
	invalid   error  // its package.json cannot be read
	script    string // the script that builds it; empty: none
	outputs   []string
	lock      bool
	otherLock string // of a package manager that is not npm
	committed bool   // what it builds is in the source
	node      string
	version   string
	readsPHP  bool
}

// packageJSON is what of a package.json matters here.
type packageJSON struct {
	Scripts map[string]string `json:"scripts"`
	Engines object            `json:"engines"`
}

// scanNode notes what Node builds of the theme in dir, which is at the path at in the installed store.
func (s *Store) scanNode(t Theme, dir, at string) error {
	in := path.Join(dir, tailwindDir)
	src, ok, err := s.read(path.Join(in, "package.json"))
	if err != nil || !ok {
		return err
	}
	n := nodeTheme{theme: t, dir: at, source: dir, own: !strings.HasPrefix(dir, s.VendorDir()+"/")}
	var p packageJSON
	if n.invalid = parseJSON(src, &p); n.invalid == nil {
		n.script, n.node = p.buildScript(), p.Engines.text("node")
		for _, out := range p.outputs(n.script) {
			if out = path.Join(tailwindDir, out); fs.ValidPath(out) && !strings.HasPrefix(out, tailwindDir+"/") {
				n.outputs = append(n.outputs, out)
			}
		}
	}
	if len(n.outputs) == 0 {
		n.outputs = []string{styleSheet}
	}
	n.committed = true
	for _, out := range n.outputs {
		there, err := s.exists(path.Join(dir, out))
		if err != nil {
			return err
		}
		n.committed = n.committed && there
	}
	if n.lock, n.otherLock, err = s.nodeLock(in); err != nil {
		return err
	}
	if n.version, err = s.nodeVersion(in, dir, "."); err != nil {
		return err
	}
	if n.readsPHP, err = s.scansPHP(in); err != nil {
		return err
	}
	s.nodeThemes = append(s.nodeThemes, n)
	return nil
}

// buildScript is the script that makes what is deployed: Hyvä 1 and 2 call it build-prod, Hyvä 3 build.
func (p packageJSON) buildScript() string {
	for _, name := range []string{"build-prod", "build"} {
		if p.Scripts[name] != "" {
			return name
		}
	}
	return ""
}

var (
	outputFlag = regexp.MustCompile(`(?:^|\s)(?:-o|--output)(?:\s+|=)["']?([^\s"';&|]+)`)
	npmRun     = regexp.MustCompile(`\bnpm\s+(?:run|run-script)\s+(?:-\S+\s+)*([\w:.-]+)`)
)

// outputs are the files that a script, and those that it runs, name as their output.
func (p packageJSON) outputs(script string) []string {
	var out []string
	seen := map[string]bool{}
	var look func(string)
	look = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, text := range []string{p.Scripts["pre"+name], p.Scripts[name], p.Scripts["post"+name]} {
			for _, m := range outputFlag.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(out, m[1]) {
					out = append(out, m[1])
				}
			}
			for _, m := range npmRun.FindAllStringSubmatch(text, -1) {
				look(m[1])
			}
		}
	}
	look(script)
	return out
}

// nodeLock looks for npm's lock in dir, and for another package manager's.
func (s *Store) nodeLock(dir string) (npm bool, other string, err error) {
	for _, name := range []string{"package-lock.json", "npm-shrinkwrap.json"} {
		there, err := s.exists(path.Join(dir, name))
		if err != nil {
			return false, "", err
		}
		npm = npm || there
	}
	for _, name := range []string{"yarn.lock", "pnpm-lock.yaml", "bun.lock"} {
		there, err := s.exists(path.Join(dir, name))
		if err != nil {
			return false, "", err
		}
		if there && other == "" {
			other = name
		}
	}
	return npm, other, nil
}

// nodeVersion is the version that the first .nvmrc or .node-version of the directories asks for.
func (s *Store) nodeVersion(dirs ...string) (string, error) {
	for _, dir := range dirs {
		for _, name := range []string{".nvmrc", ".node-version"} {
			src, ok, err := s.read(path.Join(dir, name))
			if err != nil {
				return "", err
			}
			for line := range strings.Lines(string(src)) {
				line, _, _ = strings.Cut(line, "#")
				if line = strings.TrimSpace(line); ok && line != "" {
					return line, nil
				}
			}
		}
	}
	return "", nil
}

var (
	phpWord    = regexp.MustCompile(`\bphp\b`)
	codeSource = regexp.MustCompile(`@source[^;]*\bcode\b[^;]*;`)
	codeTree   = regexp.MustCompile(`"src"\s*:\s*"/?app/code`)
)

// scansPHP reports whether a theme's configuration of Tailwind has it look for class names in PHP files of app/code.
func (s *Store) scansPHP(dir string) (bool, error) {
	entries, err := fs.ReadDir(s.fsys, dir)
	if err != nil {
		return false, fmt.Errorf("read the store: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		ext := path.Ext(name)
		if e.IsDir() || !strings.HasPrefix(name, "tailwind") && name != "hyva.config.json" {
			continue
		}
		src, _, err := s.read(path.Join(dir, name))
		if err != nil {
			return false, err
		}
		if phpWord.Match(src) || codeTree.Match(src) {
			return true, nil
		}
		for _, m := range codeSource.FindAll(src, -1) {
			if ext == ".css" && !strings.Contains(string(m), ".phtml") && !strings.Contains(string(m), ".xml") {
				return true, nil
			}
		}
	}
	return false, nil
}

// scansForHyva reports whether a module's events.xml or di.xml adds it to app/etc/hyva-themes.json: Tailwind 4 then scans
// all of the module.
func scansForHyva(src []byte) bool {
	return strings.Contains(string(src), "hyva_config_generate_before") || strings.Contains(string(src), "CompatModuleRegistry")
}

// declaredNode is an entry of extra.magecloudkit.node in composer.json.
type declaredNode struct {
	Path   string          `json:"path"`
	Run    json.RawMessage `json:"run"`    // a shell command; false: nothing is built there
	Output json.RawMessage `json:"output"` // a path or a list, relative to the store
}

const nodeSetting = "extra.magecloudkit.node"

// readNodeSetting reads what composer.json declares of Node.
func (s *Store) readNodeSetting() {
	var extra struct {
		Own object `json:"magecloudkit"`
	}
	if s.manifest == nil || json.Unmarshal(s.manifest.Extra, &extra) != nil {
		return
	}
	raw, ok := extra.Own["node"]
	if !ok {
		return
	}
	if string(raw) == "false" {
		s.nodeOff = true
		return
	}
	if json.Unmarshal(raw, &s.nodeDeclared) != nil {
		s.nodeInvalid = errors.New("it is neither false nor a list of objects")
		return
	}
	for i, d := range s.nodeDeclared {
		if d.Path = path.Clean(strings.TrimSuffix(d.Path, "/")); !fs.ValidPath(d.Path) || s.nodeDeclared[i].Path == "" {
			s.nodeInvalid = fmt.Errorf("entry %d: path %q is no directory inside of the store", i+1, s.nodeDeclared[i].Path)
			return
		}
		s.nodeDeclared[i].Path = d.Path
		if _, err := d.build(); err != nil {
			s.nodeInvalid = fmt.Errorf("entry %d, %s: %w", i+1, d.Path, err)
			return
		}
	}
}

// build is the build that an entry declares; nil: none.
func (d declaredNode) build() (*NodeBuild, error) {
	if string(d.Run) == "false" {
		return nil, nil
	}
	run := npmCommands("build")
	if len(d.Run) > 0 {
		var text string
		if json.Unmarshal(d.Run, &text) != nil || strings.TrimSpace(text) == "" {
			return nil, errors.New(`run is a shell command, such as "npm ci && npm run build", or false`)
		}
		run = [][]string{{"sh", "-euc", text}}
	}
	var outputs []string
	var one string
	if json.Unmarshal(d.Output, &one) == nil {
		outputs = []string{one}
	} else if json.Unmarshal(d.Output, &outputs) != nil || len(outputs) == 0 {
		return nil, errors.New("output names the file or directory that it makes, or a list of them, relative to the store")
	}
	for i, o := range outputs {
		if outputs[i] = path.Clean(strings.TrimSuffix(o, "/")); !fs.ValidPath(outputs[i]) || outputs[i] == "." {
			return nil, fmt.Errorf("output %q is no path inside of the store", o)
		}
	}
	return &NodeBuild{Path: d.Path, Commands: run, Outputs: outputs}, nil
}

func npmCommands(script string) [][]string {
	return [][]string{{"npm", "ci", "--no-audit", "--no-fund"}, {"npm", "run", script}}
}

// declares reports whether composer.json says itself what is built in a theme.
func (s *Store) declares(n nodeTheme) bool {
	return slices.ContainsFunc(s.nodeDeclared, func(d declaredNode) bool {
		return slices.Contains([]string{n.dir, n.source, path.Join(n.dir, tailwindDir), path.Join(n.source, tailwindDir)}, d.Path)
	})
}

// builds reports whether a theme is built: the store's own, and a package's that brings no style sheet, where npm can.
func (s *Store) builds(n nodeTheme) bool {
	return !s.nodeOff && n.invalid == nil && n.script != "" && n.lock && (n.own || !n.committed) && !s.declares(n)
}

// nodeThemesOf are the themes with a package.json that a build of the given themes deploys, or that these build on.
func (s *Store) nodeThemesOf(themes []string) []nodeTheme {
	wanted := map[string]bool{}
	known := s.knownThemes()
	for _, st := range s.Static(themes, nil) {
		for t := st.Theme; !wanted[t.String()]; {
			wanted[t.String()] = true
			i := slices.IndexFunc(known, func(k Theme) bool { return k.Area == t.Area && k.Code == t.Code })
			if i < 0 || known[i].Parent == "" {
				break
			}
			t = Theme{Area: t.Area, Code: known[i].Parent}
		}
	}
	return slices.DeleteFunc(slices.Clone(s.nodeThemes), func(n nodeTheme) bool { return !wanted[n.theme.String()] })
}

// NodeBuilds are what Node has to make before the given themes are deployed; none given: the store's own.
func (s *Store) NodeBuilds(themes []string) []NodeBuild {
	var out []NodeBuild
	for _, n := range s.nodeThemesOf(themes) {
		if !s.builds(n) {
			continue
		}
		b := NodeBuild{
			Theme: n.theme.String(), Path: path.Join(n.dir, tailwindDir), Commands: npmCommands(n.script), Node: n.node, NodeVersion: n.version,
		}
		for _, o := range n.outputs {
			b.Outputs = append(b.Outputs, path.Join(n.dir, o))
		}
		out = append(out, b)
	}
	if s.nodeOff || s.nodeInvalid != nil {
		return out
	}
	for _, d := range s.nodeDeclared {
		b, err := d.build()
		if err != nil || b == nil {
			continue
		}
		if src, ok, err := s.read(path.Join(d.Path, "package.json")); err == nil && ok {
			var p packageJSON
			if parseJSON(src, &p) == nil {
				b.Node = p.Engines.text("node")
			}
		}
		b.NodeVersion, _ = s.nodeVersion(d.Path, ".") // what cannot be read asks for nothing
		out = append(out, *b)
	}
	return out
}

// NodeScansPHP are patterns of the files with PHP classes under app/code that Tailwind looks into: those of the modules
// that add themselves to app/etc/hyva-themes.json, or all where a theme's configuration says so.
func (s *Store) NodeScansPHP() []string {
	if slices.ContainsFunc(s.nodeThemes, func(n nodeTheme) bool { return n.readsPHP }) {
		return []string{"app/code/**"}
	}
	var out []string
	for _, dir := range s.hyvaModules {
		out = append(out, dir+"/**")
	}
	return out
}

// HasHyva reports whether the store has Hyvä's theme module, which writes app/etc/hyva-themes.json.
func (s *Store) HasHyva() bool {
	if enabled, listed := s.Modules()["Hyva_Theme"]; listed {
		return enabled
	}
	if s.modules["Hyva_Theme"] {
		return true
	}
	_, ok := s.lockedPackage("hyva-themes/magento2-theme-module")
	return ok
}

// nodeLines are the release lines of Node that are built with where nothing says otherwise, the preferred first.
var nodeLines = []string{"22", "24", "20", "18"}

var major = regexp.MustCompile(`^v?(\d+)(?:\.|$)`)

// ltsLines are the release lines that a .nvmrc can name by their word.
var ltsLines = map[string]string{"lts/hydrogen": "18", "lts/iron": "20", "lts/jod": "22", "lts/krypton": "24"}

// nodeLine is the release line that a .nvmrc asks for; "": it leaves that open.
func nodeLine(version string) string {
	if m := major.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ltsLines[strings.ToLower(version)]
}

// NodeLine is the release line of Node ("22") to run builds with when none is given: the one that a .nvmrc asks for, else
// the first that every package.json allows.
func NodeLine(builds []NodeBuild) string {
	lines := slices.Clone(nodeLines)
	for _, b := range slices.Backward(builds) {
		if line := nodeLine(b.NodeVersion); line != "" {
			lines = append([]string{line}, lines...)
		}
	}
	for _, line := range lines {
		if !slices.ContainsFunc(builds, func(b NodeBuild) bool { return !nodeSatisfies(b.Node, latest(line)) }) {
			return line
		}
	}
	return lines[0]
}

var (
	bareNode  = regexp.MustCompile(`(^|[\s|])v?(\d+(?:\.\d+)?)(\s|\||$)`)
	tildeNode = regexp.MustCompile(`~\s*v?(\d+)(\.\d+)?(\s|\||$)`)
)

// nodeSatisfies reports whether a version is in a range as npm reads it. Of what composer reads in another way only bare
// and tilde versions are usual. What cannot be understood counts as satisfied: npm is the judge of it.
func nodeSatisfies(constraint string, v version) bool {
	if constraint == "" {
		return true
	}
	if !strings.Contains(constraint, " - ") {
		constraint = tildeNode.ReplaceAllStringFunc(constraint, func(s string) string {
			m := tildeNode.FindStringSubmatch(s)
			if m[2] == "" {
				return "^" + m[1] + m[3]
			}
			return "~" + m[1] + m[2] + ".0" + m[3]
		})
		constraint = bareNode.ReplaceAllString(constraint, "$1$2.*$3")
	}
	return satisfies(constraint, v)
}
