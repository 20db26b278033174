package store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"path"
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
	`Magento\Theme\Model\`,
	`Magento\Translation\`,
}

// StaticDependsOnPHP reports whether PHP code under app/code takes part in deploying static content, so that static
// content has to be deployed again when that code changes. It does when a di.xml there configures one of Magento's types
// that deploy, and it is taken to when such a file cannot be read.
func (s *Store) StaticDependsOnPHP() bool { return s.design }

// scanDI looks for configuration of design types in every di.xml under a module's etc directory.
func (s *Store) scanDI(etc string) error {
	return fs.WalkDir(s.fsys, etc, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(p) != "di.xml" {
			return err
		}
		src, err := fs.ReadFile(s.fsys, p)
		if err != nil {
			return err
		}
		found, err := configuresDesign(src)
		if err != nil {
			s.brokenXML = append(s.brokenXML, component{p, err.Error()})
		}
		s.design = s.design || found || err != nil
		return nil
	})
}

func configuresDesign(src []byte) (bool, error) {
	d := xml.NewDecoder(bytes.NewReader(src))
	elements := 0
	for {
		t, err := d.Token()
		if err != nil {
			if elements == 0 && errors.Is(err, io.EOF) {
				return false, errors.New("there is no XML in it")
			}
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		elements++
		name := map[string]string{"type": "name", "virtualType": "type", "preference": "for"}[e.Name.Local]
		for _, a := range e.Attr {
			if name != "" && a.Name.Local == name && isDesignType(a.Value) {
				return true, nil
			}
		}
	}
}

func isDesignType(name string) bool {
	name = strings.TrimPrefix(name, `\`)
	for _, prefix := range designTypes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
