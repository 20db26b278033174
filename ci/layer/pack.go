package layer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Pack writes the layer that spec makes of the tree at root to w. The root may be empty if the spec takes nothing from a
// tree. After an error what was written to w is of no use.
func Pack(ctx context.Context, root string, spec Spec, comp Compression, w io.Writer) (Descriptor, error) {
	entries, err := plan(ctx, root, spec)
	if err != nil {
		return Descriptor{}, err
	}
	return write(ctx, spec.Name, entries, comp, w)
}

// PackFile packs into dir: the blob into dir/blobs/sha256/<digest>, its descriptor into dir/<spec.Name>.json. Both appear
// when they are complete, never half written.
func PackFile(ctx context.Context, root string, spec Spec, comp Compression, dir string) (Descriptor, error) {
	return packFile(dir, spec.Name, func(w io.Writer) (Descriptor, error) {
		return Pack(ctx, root, spec, comp, w)
	})
}

// packFile stores what pack writes.
func packFile(dir, name string, pack func(io.Writer) (Descriptor, error)) (d Descriptor, err error) {
	if !isPath(name) || strings.Contains(name, "/") {
		return Descriptor{}, fmt.Errorf("layer %q: the name is not one that a file can have", name)
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	blob, err := os.CreateTemp(blobs, ".packing-*")
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	defer os.Remove(blob.Name()) // fails, rightly, once the blob has its name
	d, err = pack(blob)
	if cerr := blob.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("packing layer %q: %w", name, cerr)
	}
	if err != nil {
		return Descriptor{}, err
	}
	if err := install(blob.Name(), BlobPath(dir, d.Digest)); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	if err := writeDescriptor(dir, d); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	return d, nil
}

// install gives a temporary file its name and the mode that other files have.
func install(tmp, name string) error {
	if err := os.Chmod(tmp, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func writeDescriptor(dir string, d Descriptor) error {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".descriptor-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(raw, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return install(f.Name(), DescriptorPath(dir, d.Name))
}
