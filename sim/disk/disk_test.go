package disk

import (
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/env/envtest"
	"barnabas/sim/rng"
)

// host is a world of one task: time passes when it sleeps. at runs once at the given scheduling point.
type host struct {
	now    env.Instant
	points int
	at     int
	then   func()
	events uint64
}

func (h *host) Yield() { h.point() }
func (h *host) Sleep(d time.Duration) {
	h.now = h.now.Add(d)
	h.point()
}
func (h *host) Now() env.Instant    { return h.now }
func (h *host) WallTime() time.Time { return time.Unix(1_700_000_000, int64(h.now)) }
func (h *host) Event(kind uint64, a, b int64) {
	h.events = (h.events^kind)*0x100000001b3 + uint64(a)*31 + uint64(b)
}

func (h *host) point() {
	h.points++
	if h.points == h.at && h.then != nil {
		h.then()
	}
}

func newDisk(t *testing.T, seed uint64, p Profile) *Disk {
	t.Helper()
	d := New("1", rng.New(seed), p)
	must(t, d.Prepare("/data"))
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write opens the file, writes at the offset, and gives the handle back.
func write(t *testing.T, fsys env.FS, name string, off int64, data string) env.File {
	t.Helper()
	f, err := fsys.Open(name, env.Create)
	must(t, err)
	_, err = f.WriteAt([]byte(data), off)
	must(t, err)
	return f
}

func whole(t *testing.T, fsys env.FS, name string) string {
	t.Helper()
	data, err := env.ReadFile(fsys, name, 1<<30)
	must(t, err)
	return string(data)
}

// Goal: the simulated disk is a file system like the real one. Method: env's conformance suite.
func TestConformsToEnv(t *testing.T) {
	for _, c := range envtest.FS() {
		t.Run(c.Name, func(t *testing.T) {
			d := newDisk(t, 1, NVMe)
			if err := c.Run(d.FS(&host{}), "/data"); err != nil {
				t.Error(err)
			}
		})
	}
}
