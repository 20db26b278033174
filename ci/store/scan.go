package store

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// registration finds what a registration.php registers. Magento knows a component by this name alone.
var registration = regexp.MustCompile(`ComponentRegistrar::(MODULE|THEME)\s*,\s*['"]([^'"]+)['"]`)

// registered are the names of a kind ("MODULE", "THEME") that a registration.php registers.
func registered(src []byte, kind string) []string {
	var out []string
	for _, m := range registration.FindAllSubmatch(src, -1) {
		if string(m[1]) == kind {
			out = append(out, string(m[2]))
		}
	}
	return out
}

// scanCode finds the modules of app/code, and whether they take part in deploying static content.
func (s *Store) scanCode() error {
	vendors, err := s.dirs("app/code")
	if err != nil {
		return err
	}
	for _, vendor := range vendors {
		modules, err := s.dirs(vendor)
		if err != nil {
			return err
		}
		for _, dir := range modules {
			if err := s.scanModule(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) scanModule(dir string) error {
	file := path.Join(dir, "etc/module.xml")
	src, isModule, err := s.read(file)
	if err != nil {
		return err
	}
	reg, isRegistered, err := s.read(path.Join(dir, "registration.php"))
	if err != nil {
		return err
	}
	if !isRegistered {
		if isModule {
			s.unregistered = append(s.unregistered, dir)
		}
		return nil
	}
	for _, name := range registered(reg, "MODULE") {
		s.codeModules = append(s.codeModules, component{name, dir})
	}
	if isModule {
		s.wellFormed(file, src)
	}
	if err := s.scanDI(path.Join(dir, "etc")); err != nil {
		return err
	}
	return s.scanSuite(dir)
}

// scanSuite finds the modules below a directory of app/code whose registration.php registers more than itself. Which it
// registers can be told by running it alone, so all that are there count.
func (s *Store) scanSuite(dir string) error {
	return fs.WalkDir(s.fsys, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		parent := path.Dir(path.Dir(p))
		if d.IsDir() || parent == dir || path.Base(p) != "module.xml" || path.Base(path.Dir(p)) != "etc" {
			return nil
		}
		src, err := fs.ReadFile(s.fsys, p)
		if err != nil || !s.wellFormed(p, src) {
			return err
		}
		var module struct {
			Module struct {
				Name string `xml:"name,attr"`
			} `xml:"module"`
		}
		if err := xml.Unmarshal(src, &module); err != nil || module.Module.Name == "" {
			return nil
		}
		s.codeModules = append(s.codeModules, component{module.Module.Name, parent})
		return s.scanDI(path.Dir(p))
	})
}

// wellFormed notes a file that is not well-formed XML, and reports whether it is.
func (s *Store) wellFormed(file string, src []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(src))
	elements := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && elements == 0 {
			err = errors.New("there is no XML in it")
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			s.broken = append(s.broken, component{err.Error(), file})
			return false
		}
		if _, ok := t.(xml.StartElement); ok {
			elements++
		}
	}
}

// scanDesign finds the themes of app/design.
func (s *Store) scanDesign() error {
	for _, area := range []string{adminhtml, frontend} {
		vendors, err := s.dirs("app/design/" + area)
		if err != nil {
			return err
		}
		for _, vendor := range vendors {
			themes, err := s.dirs(vendor)
			if err != nil {
				return err
			}
			for _, dir := range themes {
				if err := s.scanTheme(dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Store) scanTheme(dir string) error {
	isTheme, err := s.exists(path.Join(dir, "theme.xml"))
	if err != nil || !isTheme {
		return err
	}
	src, isRegistered, err := s.read(path.Join(dir, "registration.php"))
	if err != nil {
		return err
	}
	if !isRegistered {
		s.unregistered = append(s.unregistered, dir)
		return nil
	}
	return s.addThemes(dir, dir, src)
}

// addThemes notes the themes that the registration.php in dir registers, which is at the path at in the installed store.
func (s *Store) addThemes(dir, at string, src []byte) error {
	names := registered(src, "THEME")
	if len(names) == 0 {
		return nil
	}
	file := path.Join(dir, "theme.xml")
	about, ok, err := s.read(file)
	if err != nil {
		return err
	}
	var doc struct {
		Parent string `xml:"parent"`
	}
	if ok && s.wellFormed(file, about) {
		if err := xml.Unmarshal(about, &doc); err != nil {
			s.broken = append(s.broken, component{err.Error(), file})
		}
	}
	for _, name := range names {
		area, code, ok := strings.Cut(name, "/")
		t := Theme{Area: area, Code: code, Parent: strings.TrimSpace(doc.Parent)}
		if !ok || containsTheme(s.themes, t) {
			continue
		}
		s.themes = append(s.themes, t)
		if err := s.scanNode(t, dir, at); err != nil {
			return err
		}
	}
	return nil
}

// scanPackages finds the modules and themes of the lock's packages, as far as their code is in the source: those of path
// repositories, and, when the store is installed, those in vendor. It returns the packages whose code is not there.
func (s *Store) scanPackages(installed bool) (modules map[string]bool, unread []lockedPackage, err error) {
	modules = map[string]bool{}
	if s.lock == nil {
		return modules, nil, nil
	}
	for _, p := range s.lock.Packages {
		files := p.registrations()
		if len(files) == 0 {
			continue
		}
		var dir string
		switch {
		case installed:
			dir = path.Join(s.VendorDir(), p.Name)
		case p.Dist.Type == "path":
			dir = path.Clean(p.Dist.URL)
		}
		there := dir != "" && fs.ValidPath(dir)
		for _, file := range files {
			if !there {
				break
			}
			name, file := file, path.Join(dir, file)
			src, ok, err := s.read(file)
			if err != nil {
				return nil, nil, err
			}
			there = ok
			for _, module := range registered(src, "MODULE") {
				modules[module] = true
			}
			if err := s.addThemes(path.Dir(file), path.Join(s.VendorDir(), p.Name, path.Dir(name)), src); err != nil {
				return nil, nil, err
			}
		}
		if !there {
			unread = append(unread, p)
		}
	}
	return modules, unread, nil
}

// registrations are the package's files that composer loads and that register components.
func (p lockedPackage) registrations() []string {
	var files []string
	if raw, ok := p.Autoload["files"]; !ok || json.Unmarshal(raw, &files) != nil {
		return nil
	}
	var out []string
	for _, f := range files {
		if strings.HasSuffix(f, "registration.php") && fs.ValidPath(path.Clean(f)) {
			out = append(out, f)
		}
	}
	return out
}
