package machine_test

import (
	"syscall"
	"testing"

	"github.com/magecloudkit/pipeline/ci/machine"
)

// The kernel tells by another way how much there is; a container may have less.
func TestMemory(t *testing.T) {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	total := int64(info.Totalram) * int64(info.Unit)
	// /proc/meminfo counts in KiB.
	if got := machine.Memory(); got < 16<<20 || got > total+1024 {
		t.Errorf("Memory() = %d, and the kernel has %d", got, total)
	}
}
