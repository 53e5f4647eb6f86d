package osenv

import (
	"os"
	"strings"
)

// bootIDFile is where Linux names the present boot, at random (random(4)). A container sees that of its host, whose page cache it uses.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// BootID is what the kernel says. See env.Machine.
func (e *Env) BootID() string {
	data, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
