package host_test

import (
	"archive/tar"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type header = tar.Header

// entry is an entry of a layer.
type entry struct {
	*header
	content string
}

// setMachine changes what of the machine a file's mode and the order of work may
// depend on; the result sets it back.
func setMachine(umask, processors int) (back func()) {
	oldMask, oldProcs := syscall.Umask(umask), runtime.GOMAXPROCS(processors)
	return func() {
		syscall.Umask(oldMask)
		runtime.GOMAXPROCS(oldProcs)
	}
}

func mkfifo(name string) error { return syscall.Mkfifo(name, 0o644) }

// watch looks at a running process; gone waits for its end, for so long at most.
func watch(pid int) (gone func(time.Duration) bool, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return func(most time.Duration) bool {
		defer unix.Close(fd)
		// It becomes readable when the process has ended.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err := unix.Poll(fds, int(most.Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			return err == nil && n == 1
		}
	}, nil
}
