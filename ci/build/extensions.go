package build

import (
	"fmt"
	"slices"
	"strings"
)

// extension says how a PHP extension gets into an official php image, where it is
// not already (https://hub.docker.com/_/php, "How to install more PHP
// extensions").
type extension struct {
	dev       []string // Debian packages to compile it with
	configure []string // flags of docker-php-ext-configure
	pecl      bool     // it is not a part of PHP's own source
}

// extensions are those that Magento stores ask for and official images lack.
var extensions = map[string]extension{
	"amqp":      {dev: []string{"librabbitmq-dev"}, pecl: true},
	"apcu":      {pecl: true},
	"bcmath":    {},
	"bz2":       {dev: []string{"libbz2-dev"}},
	"calendar":  {},
	"exif":      {},
	"ftp":       {dev: []string{"libssl-dev"}, configure: []string{"--with-openssl-dir=/usr"}},
	"gd":        {dev: []string{"libfreetype6-dev", "libjpeg62-turbo-dev", "libpng-dev", "libwebp-dev"}, configure: []string{"--with-freetype", "--with-jpeg", "--with-webp"}},
	"gettext":   {},
	"gmp":       {dev: []string{"libgmp-dev"}},
	"igbinary":  {pecl: true},
	"imagick":   {dev: []string{"libmagickwand-dev"}, pecl: true},
	"intl":      {dev: []string{"libicu-dev"}},
	"ldap":      {dev: []string{"libldap2-dev"}},
	"mysqli":    {},
	"opcache":   {},
	"pcntl":     {},
	"pdo_mysql": {},
	"redis":     {pecl: true},
	"soap":      {dev: []string{"libxml2-dev"}},
	"sockets":   {},
	"sysvmsg":   {},
	"sysvsem":   {},
	"sysvshm":   {},
	"xsl":       {dev: []string{"libxslt1-dev"}},
	"zip":       {dev: []string{"libzip-dev"}},
}

// Installable says whether InstallExtensions knows an extension.
func Installable(name string) bool {
	_, ok := extensions[strings.ToLower(name)]
	return ok
}

// InstallExtensions is a shell script that compiles extensions in an official php
// image and leaves of the packages that it needs for that only the libraries that
// the extensions use. An extension that is not Installable is an error.
func InstallExtensions(names []string) (string, error) {
	var dev, bundled, pecl []string
	var configure strings.Builder
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		name = strings.ToLower(name)
		ext, ok := extensions[name]
		if !ok {
			return "", fmt.Errorf("no way is known to install the PHP extension %s into an official php image: give a --php-image that has it", name)
		}
		dev = append(dev, ext.dev...)
		if ext.pecl {
			pecl = append(pecl, name)
			continue
		}
		bundled = append(bundled, name)
		if len(ext.configure) > 0 {
			fmt.Fprintf(&configure, "docker-php-ext-configure %s %s\n", name, strings.Join(ext.configure, " "))
		}
	}
	var b strings.Builder
	b.WriteString("set -eu\nexport DEBIAN_FRONTEND=noninteractive\nmanual=$(apt-mark showmanual)\n")
	if len(dev) > 0 {
		slices.Sort(dev)
		fmt.Fprintf(&b, "apt-get update\napt-get install -y --no-install-recommends %s\n", strings.Join(slices.Compact(dev), " "))
	}
	b.WriteString(configure.String())
	if len(bundled) > 0 {
		fmt.Fprintf(&b, "docker-php-ext-install -j\"$(nproc)\" %s\n", strings.Join(bundled, " "))
	}
	for _, p := range pecl {
		fmt.Fprintf(&b, "pecl install %s </dev/null\n", p)
	}
	if len(pecl) > 0 {
		fmt.Fprintf(&b, "docker-php-ext-enable %s\nrm -rf /tmp/pear\n", strings.Join(pecl, " "))
	}
	// As the official images of WordPress and Drupal do: what the extensions are
	// linked with stays, what they were compiled with goes.
	if len(dev) > 0 {
		b.WriteString(`apt-mark auto '.*' >/dev/null
[ -z "$manual" ] || apt-mark manual $manual >/dev/null
ldd "$(php -r 'echo ini_get("extension_dir");')"/*.so \
  | awk '/=>/ { so = $(NF-1); if (index(so, "/usr/local/") == 1) next; gsub("^/(usr/)?", "", so); printf "*%s\n", so }' \
  | sort -u | xargs -r dpkg-query --search | cut -d: -f1 | sort -u | xargs -r apt-mark manual >/dev/null
apt-get purge -y --auto-remove -o APT::AutoRemove::RecommendsImportant=false
rm -rf /var/lib/apt/lists/*
`)
	}
	for _, name := range append(bundled, pecl...) {
		fmt.Fprintf(&b, "php -r 'exit(extension_loaded(\"%s\") || extension_loaded(\"Zend OPcache\") && \"%s\" === \"opcache\" ? 0 : 1);' || { echo 'the PHP extension %s was installed and does not load' >&2; exit 1; }\n", name, name, name)
	}
	return b.String(), nil
}
