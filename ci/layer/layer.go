// Package layer packs a tree of files as an OCI image layer, and reads layers back.
//
// What it packs is the same, bit for bit, wherever and whenever the same content is packed: entries are sorted, times and
// owners are fixed, modes are reduced to "may be executed or not", extended attributes are left out, and the compressors are
// run so that the number of processors changes nothing. A digest therefore names the content, and a registry that has seen
// the content before is sent nothing.
//
// The tar stream, its digest, its compression and the compressed stream's digest are made in one pass.
package layer

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Epoch is the modification time of every entry: 1980-01-01 00:00:00 UTC, the earliest time that zip files can hold too.
// It is not the Unix epoch because PHP's opcache takes a modification time of 0 for "cannot be read" and then does not
// cache the file (zend_accelerator.c, opcache_compile_file).
var Epoch = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// The media types of layers, from the OCI image specification.
const (
	MediaTypeZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
	MediaTypeGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
	MediaTypeTar  = "application/vnd.oci.image.layer.v1.tar"
)

// Compression says how a layer is compressed.
type Compression string

// Zstd is read by containerd 1.5, Docker 23 and every current ECS host and Fargate; Gzip by everything.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
)

// ParseCompression reads a compression's name; the empty string is Zstd.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case "":
		return Zstd, nil
	case Zstd, Gzip:
		return c, nil
	}
	return "", fmt.Errorf("compression %q is not known: use zstd or gzip", s)
}

// MediaType is the OCI media type of a layer compressed so.
func (c Compression) MediaType() string {
	if c == Gzip {
		return MediaTypeGzip
	}
	return MediaTypeZstd
}

// Spec says what of a tree becomes a layer, and how. All paths are slash-separated and relative to the tree's root.
type Spec struct {
	// Name names the layer for people ("vendor"). It stands in the image's history.
	Name string
	// Include are the paths to pack: a file, a link, or a directory with everything below it. One that does not exist is
	// an error. With neither Include nor Optional everything is packed.
	Include []string
	// Optional are paths as in Include that may be absent.
	Optional []string
	// Exclude are doublestar patterns ("vendor/*/*/Test/**", "**/*.md"). A directory that matches is left out with
	// everything below it; "a/**" matches a itself too. Exclude wins over Include.
	Exclude []string
	// Keep are paths that stay although a pattern of Exclude matches them. What is below them is matched by itself.
	Keep []string
	// Prefix is where the tree's root stands in the image: "var/www/html", or "" for /. The directories leading to it
	// belong to root.
	Prefix string
	// UID and GID own every entry that Owned does not name.
	UID, GID int
	// Owned are the paths with other owners. One that the layer would not have is made, as a directory.
	Owned []Owned
	// Files are files given by content. They replace files of the tree that have the same path.
	Files []File
	// GzipSiblings packs, instead of the tree's files, the pre-compressed "<file>.gz" that nginx's gzip_static serves,
	// of each file that is of a compressible type, at least SiblingMinSize long, and smaller when compressed. Files that
	// have a .gz beside them already are passed over. Nothing is written to the tree.
	GzipSiblings bool
}

// Owned gives a path, and everything packed below it, an owner. The longest path that matches decides.
type Owned struct {
	Path     string
	UID, GID int
	// DirMode are the permission bits of the directories ("0o2775", as chmod takes them); 0 stands for 0755.
	DirMode uint32
}

// File is a file given by content.
type File struct {
	Path    string
	Content []byte
	// Executable makes its mode 0755 instead of 0644.
	Executable bool
}

// Descriptor names a packed layer.
type Descriptor struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	// Digest is the digest of the compressed blob, DiffID that of the tar stream in it ("sha256:…").
	Digest string `json:"digest"`
	DiffID string `json:"diffID"`
	// Size is the length of the blob in bytes, UncompressedSize that of the tar stream.
	Size             int64 `json:"size"`
	UncompressedSize int64 `json:"uncompressedSize"`
	// Files counts what the layer holds except directories.
	Files int `json:"files"`
}

// validate reports what is wrong with a spec before anything is read.
func (s Spec) validate() error {
	bad := func(field, p, why string) error {
		return fmt.Errorf("layer %q: %s %q %s", s.Name, field, p, why)
	}
	if s.Prefix != "" && !isPath(s.Prefix) {
		return bad("Prefix", s.Prefix, "is not a clean relative path (\"var/www/html\", or \"\" for the root)")
	}
	for _, p := range append(append([]string{}, s.Include...), s.Optional...) {
		if !fs.ValidPath(p) {
			return bad("Include", p, "is not a clean relative path")
		}
	}
	for _, o := range s.Owned {
		if !fs.ValidPath(o.Path) {
			return bad("Owned", o.Path, "is not a clean relative path")
		}
	}
	for _, f := range s.Files {
		if !isPath(f.Path) {
			return bad("Files", f.Path, "is not a clean relative path")
		}
	}
	return nil
}

// isPath reports whether p names something below a root.
func isPath(p string) bool { return p != "." && fs.ValidPath(p) }

// BlobPath is where PackFile puts the blob with this digest: as in an OCI image layout.
func BlobPath(dir, digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return filepath.Join(dir, "blobs", algorithm, hex)
}

// DescriptorPath is where PackFile puts the descriptor of the layer with this name.
func DescriptorPath(dir, name string) string { return filepath.Join(dir, name+".json") }

// ReadDescriptor reads the descriptor of a layer that PackFile packed into dir.
func ReadDescriptor(dir, name string) (Descriptor, error) {
	file := DescriptorPath(dir, name)
	raw, err := os.ReadFile(file)
	if err != nil {
		return Descriptor{}, fmt.Errorf("reading the descriptor of layer %q: %w", name, err)
	}
	var d Descriptor
	if err := json.Unmarshal(raw, &d); err != nil {
		return Descriptor{}, fmt.Errorf("reading the descriptor of layer %q: %s: %w", name, file, err)
	}
	if !validDigest(d.Digest) || !validDigest(d.DiffID) {
		return Descriptor{}, fmt.Errorf("reading the descriptor of layer %q: %s holds no sha256 digests", name, file)
	}
	return d, nil
}

// Blobs opens the blobs that PackFile left in dir.
func Blobs(dir string) func(Descriptor) (io.ReadCloser, error) {
	return func(d Descriptor) (io.ReadCloser, error) {
		if !validDigest(d.Digest) {
			return nil, fmt.Errorf("layer %q: %q is not a sha256 digest", d.Name, d.Digest)
		}
		f, err := os.Open(BlobPath(dir, d.Digest))
		if err != nil {
			return nil, fmt.Errorf("opening layer %q: %w", d.Name, err)
		}
		return f, nil
	}
}

// validDigest keeps what is read from a file from leading a path astray.
func validDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}
