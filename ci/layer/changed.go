package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Snapshot is what a root file system was at one time: the state of every entry by its path, relative to the root. It can
// be kept as JSON between the two processes that take it and use it.
type Snapshot map[string]State

// State tells whether an entry has changed. Times are in nanoseconds of Unix time.
type State struct {
	Mode  uint32 `json:"m"` // as lstat gives it: type and permission bits
	UID   uint32 `json:"u"`
	GID   uint32 `json:"g"`
	Size  int64  `json:"s"`
	MTime int64  `json:"t"`
	CTime int64  `json:"c"`
	Inode uint64 `json:"i"`
}

// Take records the state of the file system at root, without what skip matches (doublestar patterns relative to the root)
// and without directories on which another file system is mounted.
func Take(root string, skip []string) (Snapshot, error) {
	m, err := newMatcher(skip)
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot: skip: %w", err)
	}
	s := Snapshot{}
	if err := scan(root, m, func(rel string, st State) error {
		s[rel] = st
		return nil
	}); err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	return s, nil
}

// scan calls fn for every entry below root.
func scan(root string, skip matcher, fn func(rel string, st State) error) error {
	var top unix.Stat_t
	if err := unix.Stat(root, &top); err != nil {
		return &fs.PathError{Op: "stat", Path: root, Err: err}
	}
	var walk func(rel string) error
	walk = func(dir string) error {
		list, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		for _, d := range list {
			rel := path.Join(dir, d.Name())
			if skip.match(rel) {
				continue
			}
			var st unix.Stat_t
			full := filepath.Join(root, rel)
			if err := unix.Lstat(full, &st); errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return &fs.PathError{Op: "lstat", Path: full, Err: err}
			}
			// On an overlay file system only directories tell reliably which device they are on.
			if d.IsDir() && st.Dev != top.Dev {
				continue
			}
			err := fn(rel, State{
				Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Size: st.Size,
				MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Inode: st.Ino,
			})
			if err != nil {
				return err
			}
			if d.IsDir() {
				if err := walk(rel); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(".")
}

// same reports whether an entry is as it was. A directory is when it has the same owner and mode: what is in it speaks for
// itself.
func (s State) same(o State) bool {
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		return s.Mode == o.Mode && s.UID == o.UID && s.GID == o.GID
	}
	return s == o
}

// PackChanged writes a layer of what has changed at root since before was taken: new and changed files, links and
// directories with their own owners and modes, deletions as whiteouts. Only times are fixed. The skip patterns must be
// those that before was taken with.
//
// It is meant for what "apt-get install" and the like do to a root file system in a container, and is as reproducible as
// they are. Hard links become files of their own; sockets, named pipes and devices are left out, being the business of
// whatever made them; extended attributes, file capabilities with them, are lost.
func PackChanged(ctx context.Context, name, root string, before Snapshot, skip []string, comp Compression, w io.Writer) (Descriptor, error) { //nolint:revive // as Pack, and what was there before
	entries, err := planChanged(name, root, before, skip)
	if err != nil {
		return Descriptor{}, err
	}
	return write(ctx, name, entries, comp, w)
}

// PackChangedFile packs into dir, as PackFile does.
func PackChangedFile(ctx context.Context, name, root string, before Snapshot, skip []string, comp Compression, dir string) (Descriptor, error) { //nolint:revive // as Pack, and what was there before
	return packFile(dir, name, func(w io.Writer) (Descriptor, error) {
		return PackChanged(ctx, name, root, before, skip, comp, w)
	})
}

func planChanged(name, root string, before Snapshot, skip []string) ([]entry, error) {
	m, err := newMatcher(skip)
	if err != nil {
		return nil, fmt.Errorf("packing layer %q: skip: %w", name, err)
	}
	var entries []entry
	isDir := map[string]bool{".": true} // of what is there now
	err = scan(root, m, func(rel string, st State) error {
		isDir[rel] = st.Mode&unix.S_IFMT == unix.S_IFDIR
		old, had := before[rel]
		e := entry{name: rel, mode: int64(st.Mode & 0o7777), uid: int(st.UID), gid: int(st.GID), lazy: had && st.same(old)}
		full := filepath.Join(root, rel)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			e.typ = tar.TypeDir
			entries = append(entries, e)
			return nil
		case unix.S_IFREG:
			e.typ, e.src = tar.TypeReg, full
		case unix.S_IFLNK:
			e.typ, e.mode = tar.TypeSymlink, 0o777
		default:
			return nil
		}
		if e.lazy {
			return nil
		}
		if strings.HasPrefix(path.Base(rel), whiteout) {
			return fmt.Errorf("%s cannot be packed: in a layer its name says that another file is deleted", full)
		}
		if e.typ == tar.TypeSymlink {
			if e.link, err = os.Readlink(full); err != nil {
				return gone(full, err)
			}
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("packing layer %q: %w", name, err)
	}
	for rel := range before {
		// Below a deleted directory, or one that became a file, nothing needs saying.
		up := path.Dir(rel)
		if _, is := isDir[rel]; !is && isDir[up] {
			entries = append(entries, entry{name: path.Join(up, whiteout+path.Base(rel)), typ: tar.TypeReg, mode: 0o644})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return compareNames(a.name, b.name) })
	return entries, nil
}
