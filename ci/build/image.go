package build

import "strings"

// The images of a build, by the names that they are pushed and exported under.
const (
	Magento = "magento2"
	Nginx   = "nginx"
)

// NginxImage is the default base of image nginx.
const NginxImage = "nginx:stable-bookworm"

// PHPImage is the default base of image magento2: the official php-fpm image of a
// PHP release line ("8.3").
func PHPImage(minor string) string { return "php:" + minor + "-fpm-bookworm" }

// The users that the containers run as: www-data of the official php image and
// nginx of the official nginx image.
const (
	PHPUser   = 33
	NginxUser = 101
)

// LayerExtensions holds PHP extensions that the base image lacks. Only the
// Dagger module makes it; elsewhere the base has them already.
const LayerExtensions = "php-extensions"

// ConfigPrefix starts the names of the layers of an image's own files: its
// entrypoint and the settings of php-fpm or nginx.
const ConfigPrefix = "config-"

// OnlyServed says of a layer that only nginx has a use for it: files compressed
// beforehand. A store's own tree does not hold them.
func OnlyServed(layer string) bool { return strings.HasPrefix(layer, gzipPrefix) }

// IsStatic and IsGzip tell the static content's layers from the others by name.
func IsStatic(layer string) bool { return strings.HasPrefix(layer, Static+"-") }
