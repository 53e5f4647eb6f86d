package bench

import (
	"os"
	"time"

	"barnabas/reports/load"
)

// watch takes the samples of a repetition.
type watch struct {
	s              *session
	r              *load.Repetition
	acked, seen    *meter
	times          *requestTimes
	began          time.Time
	last           map[int]procUse
	broker, client procUse // at the start
	b, c           procUse // at the last cut
	net, n         netUse  // the same of the brokers' connections
	busy, idle     float64
	from, at       int64
}

func newWatch(s *session, r *load.Repetition, acked, seen *meter) *watch {
	w := &watch{s: s, r: r, acked: acked, seen: seen, last: map[int]procUse{}}
	w.began = time.Now()
	r.Started = w.began.UTC().Truncate(time.Millisecond)
	w.net = s.sockets.use()
	w.n = w.net
	w.broker = usage(s.cluster.pids, w.last)
	w.client, _ = readProc(os.Getpid())
	w.b, w.c = w.broker, w.client
	w.busy, w.idle = machineUse()
	w.from = s.clock.now()
	w.at = w.from
	return w
}

func (w *watch) cut() {
	now := w.s.clock.now()
	seconds := float64(now-w.at) / 1e9
	if seconds <= 0 {
		return
	}
	i := load.Interval{At: float64(w.at-w.from) / 1e9, Seconds: seconds}
	if w.acked != nil {
		i.Produced, i.Produce, i.Errors = w.acked.cut(seconds)
	}
	var failed int64
	i.Consumed, i.EndToEnd, failed = w.seen.cut(seconds)
	i.Errors += failed
	i.Fetch, i.Commit = w.times.fetch.cut(), w.times.commit.cut()
	b := usage(w.s.cluster.pids, w.last)
	c, _ := readProc(os.Getpid())
	i.BrokerCPU, i.ClientCPU, i.BrokerRSS = (b.cpu-w.b.cpu)/seconds, (c.cpu-w.c.cpu)/seconds, b.rss
	n := w.s.sockets.use()
	i.BrokerNet, i.BrokerDsk = float64(n.in+n.out-w.n.in-w.n.out)/1e6/seconds, float64(b.wrote-w.b.wrote)/1e6/seconds
	w.n = n
	w.r.Brokers.RSSMax = max(w.r.Brokers.RSSMax, b.rss)
	w.r.Client.RSSMax = max(w.r.Client.RSSMax, c.rss)
	w.b, w.c, w.at = b, c, now
	w.r.Intervals = append(w.r.Intervals, i)
}

// end makes the sums from the first sample to the last cut.
func (w *watch) end() {
	r := w.r
	r.Seconds = float64(w.at-w.from) / 1e9
	sum := func(u *load.Usage, n int, from, to procUse) {
		u.Processes, u.Seconds, u.CPUSeconds = n, r.Seconds, to.cpu-from.cpu
		u.ReadBytes, u.WroteBytes = to.read-from.read, to.wrote-from.wrote
	}
	sum(&r.Brokers, len(w.s.cluster.pids), w.broker, w.b)
	sum(&r.Client, 1, w.client, w.c)
	r.Brokers.NetIn, r.Brokers.NetOut = w.n.in-w.net.in, w.n.out-w.net.out
	if busy, idle := machineUse(); r.Seconds > 0 {
		r.Others = max(0, (busy-w.busy-r.Brokers.CPUSeconds-r.Client.CPUSeconds)/r.Seconds)
		r.Idle = (idle - w.idle) / r.Seconds
	}
}
