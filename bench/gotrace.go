package bench

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"barnabas/reports/load"
)

const (
	goCollectedMin = 1.0 // ms; a Go broker works on while it collects, but has fewer cores for it
	goMarksMax     = 40  // of a repetition: more would hide the curve
)

// goTrace is what a broker's Go runtime says of its garbage collections: lines on stderr, where GODEBUG=gctrace=1 is in its environment
// ('barnabas up --gc-trace') and stderr is a file.
type goTrace struct {
	pid     int
	file    string
	started time.Time // of the process; the lines count from there
	from    int64     // where the file ended when the stretch began
}

// goTraces finds the traces of the processes that write one.
func goTraces(pids []int) []goTrace {
	var list []goTrace
	for _, pid := range pids {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		traced := slices.ContainsFunc(strings.Split(string(environ), "\x00"), func(v string) bool {
			return strings.HasPrefix(v, "GODEBUG=") && strings.Contains(v, "gctrace=1")
		})
		file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", pid))
		started, ok := processStart(pid)
		if !traced || err != nil || !ok {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			list = append(list, goTrace{pid, file, started, info.Size()})
		}
	}
	return list
}

// processStart is when a process began, to some 10 ms.
func processStart(pid int) (time.Time, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, false
	}
	now := time.Now()
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from field 3, the state, on
	up, _, _ := strings.Cut(firstLine("/proc/uptime"), " ")
	uptime, err := strconv.ParseFloat(up, 64)
	if err != nil || len(f) < 20 {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseFloat(f[19], 64)
	return now.Add(-time.Duration((uptime - ticks/userHz) * float64(time.Second))), err == nil
}

// goCollection is a line such as "gc 7 @1.234s 2%: 0.018+1.3+0.076 ms clock, …": when it began, and how long it swept up and stopped,
// marked along with the program, and stopped again.
var goCollection = regexp.MustCompile(`^gc \d+ @([0-9.]+)s \d+%: ([0-9.]+)\+([0-9.]+)\+([0-9.]+) ms clock`)

// events are the collections within a stretch that are worth a mark. Lines of another process in the file (a broker that was started
// again) are passed over: their times count from another start.
func (g goTrace) events(began time.Time, seconds float64) []load.Event {
	f, err := os.Open(g.file)
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := f.Seek(g.from, 0); err != nil {
		return nil
	}
	var events []load.Event
	last := 0.0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := goCollection.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		var v [4]float64
		for i := range v {
			v[i], _ = strconv.ParseFloat(m[i+1], 64)
		}
		if v[0] < last {
			break
		}
		last = v[0]
		at := g.started.Add(time.Duration(v[0] * float64(time.Second))).Sub(began).Seconds()
		if whole := v[1] + v[2] + v[3]; at >= 0 && at < seconds && whole >= goCollectedMin {
			events = append(events, load.Event{At: at, Kind: "gc", Text: fmt.Sprintf("the broker with pid %d collected garbage for %.1f ms, and stood still for %.2f ms of it", g.pid, whole, v[1]+v[3])})
		}
	}
	return events
}

// brokerCollections are the brokers' collections within a stretch, of JVMs and of Go; of very many every n-th.
func brokerCollections(logs []string, traces []goTrace, began time.Time, seconds float64) []load.Event {
	events := collections(logs, began, seconds)
	for _, t := range traces {
		events = append(events, t.events(began, seconds)...)
	}
	if n := (len(events) + goMarksMax - 1) / goMarksMax; n > 1 {
		thin := events[:0]
		for i := 0; i < len(events); i += n {
			events[i].Text += fmt.Sprintf(" (one of %d such is marked)", n)
			thin = append(thin, events[i])
		}
		events = thin
	}
	return events
}
