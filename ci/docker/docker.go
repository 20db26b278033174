// Package docker holds the files that the pipeline's images add to their bases:
// entrypoints, and the settings of php-fpm and nginx. A store that has a docker/
// directory of its own is built with that instead.
package docker

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
)

//go:embed all:php all:nginx
var files embed.FS

// Directory is where an image's files stand below docker/: DIRECTORY/rootfs is
// laid over the base's root.
func Directory(image string) string {
	if image == build.Magento {
		return "php"
	}
	return image
}

// Files are the files that an image adds to its base. Embedded files have no
// modes: what stands in a bin directory may be executed.
func Files(image string) ([]layer.File, error) {
	root, err := fs.Sub(files, Directory(image)+"/rootfs")
	if err != nil {
		return nil, err
	}
	var out []layer.File
	err = fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, p)
		out = append(out, layer.File{Path: p, Content: content, Executable: path.Base(path.Dir(p)) == "bin"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the files of image %s: %w", image, err)
	}
	return out, nil
}
