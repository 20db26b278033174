package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	chunkSize = 512 << 10
	chunks    = 8
	// gzipLevel is zlib's default: above it layers shrink by 1 % and take twice as long.
	gzipLevel = 6
	// zstdWindow bounds how far back a match may lie, and with it what a layer costs to unpack in memory. The encoder
	// hands out work in pieces of four windows.
	zstdWindow = 4 << 20
	// maxEncoders bounds memory: each holds a piece of work and its output. More would wait for the tar stream.
	maxEncoders = 4
)

// newCompressor wraps w. What it writes depends on what is written to it alone: the parameters are constants, and the zstd
// encoder cuts its input into jobs of a fixed size whatever the number of goroutines, as long as that is more than one
// (with one it takes another path, with another result).
func newCompressor(c Compression, w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Zstd:
		return zstd.NewWriter(w,
			zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderCRC(true),
			zstd.WithConcurrentBlocks(true),
			zstd.WithEncoderConcurrency(min(max(2, runtime.GOMAXPROCS(0)), maxEncoders)),
		)
	case Gzip:
		return newGzip(w, gzipLevel)
	}
	return nil, fmt.Errorf("compression %q is not known: use zstd or gzip", string(c))
}

// newGzip writes a header that names no file and no time. The package is not Go's own, which may compress differently from
// one Go version to the next; this one's version is fixed by go.mod.
func newGzip(w io.Writer, level int) (*gzip.Writer, error) {
	z, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	z.ModTime = time.Unix(0, 0) // the zero time.Time would be written as some year
	return z, nil
}

// digester hashes and counts what passes to w.
type digester struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func newDigester(w io.Writer) *digester { return &digester{w: w, hash: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.hash.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *digester) digest() string { return "sha256:" + hex.EncodeToString(d.hash.Sum(nil)) }

// chunk is a piece of the tar stream that the hash and the compressor both read.
type chunk struct {
	buf  []byte
	refs atomic.Int32
}

// stream takes a tar stream, and hashes it, compresses it and hashes the compressed stream, each beside the others.
type stream struct {
	plain    *digester // the tar stream's digest
	packed   *digester // the blob's digest; passes on to the caller's writer
	current  *chunk
	free     chan *chunk
	branches [2]chan *chunk
	done     sync.WaitGroup
	failed   atomic.Pointer[error]
}

func newStream(c Compression, w io.Writer) (*stream, error) {
	s := &stream{plain: newDigester(io.Discard), packed: newDigester(w), free: make(chan *chunk, chunks)}
	compressor, err := newCompressor(c, s.packed)
	if err != nil {
		return nil, err
	}
	for range chunks {
		s.free <- &chunk{buf: make([]byte, 0, chunkSize)}
	}
	s.current = <-s.free
	s.branch(0, s.plain, func() error { return nil })
	s.branch(1, compressor, compressor.Close)
	return s, nil
}

// branch feeds w from its own goroutine. After an error it only drains, so that the producer never hangs.
func (s *stream) branch(i int, w io.Writer, finish func() error) {
	in := make(chan *chunk, chunks)
	s.branches[i] = in
	s.done.Go(func() {
		var err error
		for c := range in {
			if err == nil {
				if _, err = w.Write(c.buf); err != nil {
					s.failed.CompareAndSwap(nil, &err)
				}
			}
			if c.refs.Add(-1) == 0 {
				c.buf = c.buf[:0]
				s.free <- c
			}
		}
		// Also after an error: it ends the compressor's goroutines.
		if ferr := finish(); err == nil && ferr != nil {
			s.failed.CompareAndSwap(nil, &ferr)
		}
	})
}

func (s *stream) Write(p []byte) (int, error) {
	if err := s.failed.Load(); err != nil {
		return 0, *err
	}
	n := 0
	for len(p) > 0 {
		k := min(len(p), chunkSize-len(s.current.buf))
		s.current.buf = append(s.current.buf, p[:k]...)
		p, n = p[k:], n+k
		if len(s.current.buf) == chunkSize {
			s.flush()
			s.current = <-s.free
		}
	}
	return n, nil
}

func (s *stream) flush() {
	s.current.refs.Store(int32(len(s.branches)))
	for _, b := range s.branches {
		b <- s.current
	}
}

// Close ends the stream; the digests hold after it. It must be called exactly once.
func (s *stream) Close() error {
	if len(s.current.buf) > 0 {
		s.flush()
	}
	for _, b := range s.branches {
		close(b)
	}
	s.done.Wait()
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}
