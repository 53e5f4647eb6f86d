package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// releaseStartup gives back the memory that only starting needed: garbage, and the pages of the program file that were read
// meanwhile. The program holds much that a broker never runs (plots, reports, the simulator), whose package variables are
// made at the start; what is needed again comes back from the page cache. It is a hint: failures do not matter.
func releaseStartup() {
	debug.FreeOSMemory()
	self, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		var rights string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); n != 3 || !strings.HasSuffix(lines.Text(), self) {
			continue
		}
		if strings.Contains(rights, "w") { // its content is not the file's any more
			continue
		}
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(nil, from)), to-from), unix.MADV_DONTNEED)
	}
}
