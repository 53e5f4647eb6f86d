package scenarios

import (
	"barnabas/broker/env"
	"barnabas/faults"
)

func (w *realWorld) SetDisk(n faults.Node, d faults.Disk) faults.Outcome {
	name := nodeName(n)
	if !w.p.Hooked(name) {
		return refused("%s has no hook", name)
	}
	var broken []string
	dirs := w.r.c.logDirs(name)
	for _, number := range d.FailDirs {
		if number <= len(dirs) {
			broken = append(broken, dirs[number-1])
		}
	}
	order := diskOrder(d, broken)
	return w.stands(w.disks, name, order)
}

func (w *realWorld) DiskHurt(n faults.Node) faults.DiskHurt {
	name := nodeName(n)
	of := func(what string) int64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		f := w.feltOf(name)
		return f.before["disk "+what] + f.now["disk "+what]
	}
	w.ask(name)
	return faults.DiskHurt{Slow: of("slow"), FailSync: of("sync"), FailRead: of("read"), FailWrite: of("write"), Full: of("full"), Torn: of("torn"), Stall: of("stall"), FailDir: of("dir")}
}

func (w *realWorld) Wipe(n faults.Node) faults.Outcome {
	name := nodeName(n)
	w.CrashProcess(n)
	if err := w.p.Wipe(name); err != nil {
		return refused("%v", err)
	}
	return applied("")
}

// LoseEntry takes away the newest segment of a log.
func (w *realWorld) LoseEntry(n faults.Node) faults.Outcome {
	name := nodeName(n)
	w.CrashProcess(n)
	path := w.r.aSegment(int32(n))
	if path == "" {
		return refused("%s has no log", name)
	}
	if err := w.r.e.Remove(path); err != nil {
		return refused("%v", err)
	}
	return applied("%s", path)
}

// FlipBits turns bits behind the broker's back.
func (w *realWorld) FlipBits(n faults.Node, bits int) faults.Outcome {
	path := w.r.aSegment(int32(n))
	if path == "" {
		return refused("%s has no log", nodeName(n))
	}
	f, err := w.r.e.Open(path, env.ReadWrite)
	if err != nil {
		return refused("%v", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 {
		return refused("%s is empty", path)
	}
	draw := w.r.e.Rand("bits")
	for range bits {
		at := draw.Int64N(size)
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return refused("%v", err)
		}
		b[0] ^= 1 << draw.IntN(8)
		if _, err := f.WriteAt(b[:], at); err != nil {
			return refused("%v", err)
		}
	}
	w.bad[nodeName(n)] = true
	return applied("%d bits in %s", bits, path)
}

// mendDisks empties the disks that hold other bytes than were written, as an operator does who is told of records that cannot
// be read; the brokers then have it all from the others.
func (w *realWorld) mendDisks() {
	for _, n := range w.Brokers() {
		if name := nodeName(n); w.bad[name] {
			w.bad[name] = false
			w.Wipe(n)
			w.r.c.tryStart(name)
		}
	}
}

// SwapDisks exchanges the directories of two nodes.
func (w *realWorld) SwapDisks(a, b faults.Node) faults.Outcome {
	w.CrashProcess(a)
	w.CrashProcess(b)
	x, y := w.p.Dir(nodeName(a)), w.p.Dir(nodeName(b))
	e := w.r.e
	for _, r := range [][2]string{{x, x + ".swap"}, {y, x}, {x + ".swap", y}} {
		if err := e.Rename(r[0], r[1]); err != nil {
			return refused("%v", err)
		}
	}
	return applied("")
}
