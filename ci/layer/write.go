package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

const (
	// readAhead is how many entries may be read before the one being written; smallFile is the size in bytes up to which
	// a file is read ahead. Together they bound memory.
	readAhead = 128
	smallFile = 256 << 10

	// SiblingMinSize is the size in bytes below which a file gets no .gz sibling: what fits one packet gains nothing.
	SiblingMinSize = 1024
)

// write packs entries that are in order.
func write(ctx context.Context, name string, entries []entry, comp Compression, w io.Writer) (Descriptor, error) {
	if comp == "" {
		comp = Zstd
	}
	s, err := newStream(comp, w)
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	files, err := writeTar(ctx, entries, s)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	return Descriptor{
		Name: name, MediaType: comp.MediaType(), Files: files,
		Digest: s.packed.digest(), DiffID: s.plain.digest(),
		Size: s.packed.n, UncompressedSize: s.plain.n,
	}, nil
}

// loaded is an entry whose content is at hand, or about to be.
type loaded struct {
	*entry
	ready chan struct{}
	data  []byte   // the content, unless
	file  *os.File // the file is read while it is written, being large
	info  fs.FileInfo
	drop  bool
	err   error
}

// writeTar writes the entries while a few goroutines read files ahead of it. It returns how many are not directories.
func writeTar(ctx context.Context, entries []entry, w io.Writer) (files int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	ordered := make(chan *loaded, readAhead)
	work := make(chan *loaded, readAhead)
	group.Go(func() error { return announce(ctx, entries, ordered, work) })
	for range min(max(2, runtime.GOMAXPROCS(0)), 16) {
		group.Go(func() error {
			for l := range work {
				l.load()
				close(l.ready)
			}
			return nil
		})
	}
	group.Go(func() (err error) {
		files, err = writeOrdered(ctx, ordered, w)
		return err
	})
	err = group.Wait()
	for l := range ordered { // what an error left behind
		l.close()
	}
	return files, err
}

// announce hands the entries on in their order, and those to read to whoever reads them.
func announce(ctx context.Context, entries []entry, ordered, work chan<- *loaded) error {
	defer close(ordered)
	defer close(work)
	for i := range entries {
		l := &loaded{entry: &entries[i], ready: make(chan struct{})}
		if l.src == "" {
			l.data = l.content
			close(l.ready)
		}
		select {
		case ordered <- l:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.src == "" {
			continue
		}
		select {
		case work <- l:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// writeOrdered writes the entries as they become ready. Directories that are lazy are written with the first of what is in
// them.
func writeOrdered(ctx context.Context, ordered <-chan *loaded, w io.Writer) (files int, err error) {
	tw := tar.NewWriter(w)
	var pending []*entry
	for l := range ordered {
		select {
		case <-l.ready:
		case <-ctx.Done():
			return files, ctx.Err()
		}
		if l.err != nil {
			return files, l.err
		}
		if l.drop {
			continue
		}
		for len(pending) > 0 && !strings.HasPrefix(l.name, pending[len(pending)-1].name+"/") {
			pending = pending[:len(pending)-1]
		}
		if l.lazy {
			pending = append(pending, l.entry)
			continue
		}
		for _, dir := range pending {
			if err := tw.WriteHeader(dir.header(0)); err != nil {
				return files, fmt.Errorf("%s: %w", dir.name, err)
			}
		}
		pending = pending[:0]
		if err := l.write(tw); err != nil {
			return files, err
		}
		if l.typ != tar.TypeDir {
			files++
		}
	}
	if err := ctx.Err(); err != nil {
		return files, err
	}
	return files, tw.Close()
}

func (e *entry) header(size int64) *tar.Header {
	h := &tar.Header{Typeflag: e.typ, Name: e.name, Linkname: e.link, Size: size, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: Epoch}
	if e.typ == tar.TypeDir {
		h.Name += "/"
	}
	return h
}

// write writes an entry with its content.
func (l *loaded) write(tw *tar.Writer) error {
	defer l.close()
	size := int64(len(l.data))
	if l.file != nil {
		size = l.info.Size()
	}
	if err := tw.WriteHeader(l.header(size)); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.file == nil {
		if _, err := tw.Write(l.data); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		return nil
	}
	n, err := io.Copy(tw, io.LimitReader(l.file, size))
	if err != nil {
		return fmt.Errorf("%s: %w", l.src, err)
	}
	if n != size {
		return changed(l.src)
	}
	return unchanged(l.file, l.info)
}

func (l *loaded) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// load opens the file and reads it, unless it is large.
func (l *loaded) load() {
	f, err := os.OpenFile(l.src, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		l.err = gone(l.src, err)
		return
	}
	l.file = f
	l.err = l.read()
	if l.err != nil || l.info.Size() <= smallFile || l.gzip {
		l.close()
	}
}

func (l *loaded) read() (err error) {
	if l.info, err = l.file.Stat(); err != nil {
		return err
	}
	if !l.info.Mode().IsRegular() {
		return changed(l.src)
	}
	if l.mode < 0 {
		l.mode = 0o644
		if l.info.Mode()&0o111 != 0 {
			l.mode = 0o755
		}
	}
	size := l.info.Size()
	if l.gzip && size < SiblingMinSize {
		l.drop = true
		return nil
	}
	if size > smallFile && !l.gzip {
		return nil
	}
	// One byte more shows whether the file has grown.
	buf := make([]byte, size+1)
	n, err := io.ReadFull(l.file, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if int64(n) != size {
		return changed(l.src)
	}
	l.data = buf[:n]
	if err := unchanged(l.file, l.info); err != nil {
		return err
	}
	if !l.gzip {
		return nil
	}
	l.data, err = compressSibling(l.data)
	l.drop = int64(len(l.data)) >= size
	return err
}

// compressSibling is what nginx sends for a file to clients that take gzip. The header names no file and no time.
func compressSibling(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := newGzip(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unchanged reports an error if the file is not what it was when it was opened.
func unchanged(f *os.File, before fs.FileInfo) error {
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return changed(f.Name())
	}
	return nil
}

func changed(file string) error {
	return fmt.Errorf("%s changed while it was being packed: let nothing write to the tree, and pack again", file)
}

// gone explains an error of opening what a directory listed a moment ago.
func gone(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s vanished while it was being packed: let nothing write to the tree, and pack again", file)
	}
	if errors.Is(err, syscall.ELOOP) {
		return changed(file)
	}
	return err
}
