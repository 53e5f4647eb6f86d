package bench

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"barnabas/reports/load"
)

// thisMachine tells where the client runs.
func thisMachine() load.Machine {
	m := load.Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGB = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	m.CPU = fieldOf("/proc/cpuinfo", "model name")
	m.Clock = firstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if average, _, ok := strings.Cut(firstLine("/proc/loadavg"), " "); ok {
		m.LoadAtRun, _ = strconv.ParseFloat(average, 64)
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			if d.Path == "github.com/twmb/franz-go" {
				m.Client = "franz-go " + d.Version
			}
		}
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				m.Commit = s.Value[:min(12, len(s.Value))] + m.Commit
			}
			if s.Key == "vcs.modified" && s.Value == "true" {
				m.Commit += " with changes"
			}
		}
	}
	return m
}

func firstLine(file string) string {
	data, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

func fieldOf(file, name string) string {
	data, _ := os.ReadFile(file)
	for _, line := range strings.Split(string(data), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
