package store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// designTypes begin the names of Magento's types that take part in deploying static content. A module that configures one
// of them (a plugin, a preference, an argument) makes static content depend on PHP code.
var designTypes = []string{
	`Magento\Deploy\`,
	`Magento\Developer\Model\View\`,
	`Magento\Framework\App\Language\`,
	`Magento\Framework\App\View\`,
	`Magento\Framework\Code\Minifier`,
	`Magento\Framework\Component\`,
	`Magento\Framework\Config\View`,
	`Magento\Framework\Css\`,
	`Magento\Framework\Filesystem`,
	`Magento\Framework\Locale\`,
	`Magento\Framework\Module\`,
	`Magento\Framework\Phrase`,
	`Magento\Framework\RequireJs\`,
	`Magento\Framework\Translate`,
	`Magento\Framework\Url`,
	`Magento\Framework\View\Asset\`,
	`Magento\Framework\View\Config`,
	`Magento\Framework\View\Design`,
	`Magento\Framework\View\File`,
	`Magento\Framework\View\Template\Html\`,
	`Magento\Framework\View\Url`,
	`Magento\RequireJs\`,
	`Magento\Theme\Model\Design`,
	`Magento\Theme\Model\Theme`,
	`Magento\Theme\Model\View\`,
	`Magento\Translation\`,
}

// StaticDependsOnPHP reports whether PHP code under app/code takes part in deploying static content, so that static
// content has to be deployed again when that code changes. It does when a di.xml there configures one of Magento's types
// that deploy, and it is taken to when such a file cannot be read.
func (s *Store) StaticDependsOnPHP() bool { return s.design }

// scanDI looks for configuration of design types in every di.xml under a module's etc directory, and for what adds the
// module to those that Hyvä's themes scan.
func (s *Store) scanDI(etc string) error {
	return fs.WalkDir(s.fsys, etc, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p == etc {
			return nil // a module that configures nothing, a library, or a suite whose modules are below it
		}
		if err != nil || d.IsDir() || path.Base(p) != "di.xml" && path.Base(p) != "events.xml" {
			return err
		}
		src, err := fs.ReadFile(s.fsys, p)
		if err != nil {
			return err
		}
		if module := path.Dir(etc); scansForHyva(src) && !slices.Contains(s.hyvaModules, module) {
			s.hyvaModules = append(s.hyvaModules, module)
		}
		if path.Base(p) != "di.xml" {
			return nil
		}
		if !s.wellFormed(p, src) {
			s.design = true
			return nil
		}
		s.findDesign(src)
		return nil
	})
}

// findDesign looks at the types that a well-formed di.xml configures.
func (s *Store) findDesign(src []byte) {
	configured := map[string]string{"type": "name", "virtualType": "type", "preference": "for"}
	d := xml.NewDecoder(bytes.NewReader(src))
	for {
		t, err := d.Token()
		if err != nil {
			return
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range e.Attr {
			if a.Name.Local == configured[e.Name.Local] {
				name := strings.TrimPrefix(a.Value, `\`)
				s.design = s.design || isDesignType(name)
				s.ownLocales = s.ownLocales || name == `Magento\Framework\Locale\Config`
			}
		}
	}
}

func isDesignType(name string) bool {
	for _, prefix := range designTypes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
