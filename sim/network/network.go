package network

import (
	"math/rand/v2"
	"strconv"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/rng"
	"barnabas/sim/sched"
	"barnabas/sim/trace"
)

// Network joins the hosts of one world.
type Network struct {
	s       *sched.Scheduler
	src     rng.Source
	profile Profile
	log     *trace.Log
	hosts   []*Host
	byName  map[string]*Host
	faults  []*Fault
	fired   [kindCount]int64
	connSeq int64
	buffers buffers
}

// New makes a network without hosts.
func New(s *sched.Scheduler, src rng.Source, p Profile, log *trace.Log) *Network {
	return &Network{s: s, src: src, profile: p, log: log, byName: map[string]*Host{}}
}

// Host is a machine with a kernel that outlives the processes on it.
type Host struct {
	n         *Network
	name      string
	index     int
	up        bool
	refuse    int // faults that refuse dials
	links     []*link
	listeners []*listener
	ends      []*endpoint // those the kernel knows, in no special but a deterministic order
	port      int         // the next ephemeral one
	rand      *rand.Rand
}

// AddHost adds a host that is down.
func (n *Network) AddHost(name string) *Host {
	if n.byName[name] != nil {
		panic("network: two hosts named " + name)
	}
	h := &Host{n: n, name: name, index: len(n.hosts), port: portFirst, rand: n.src.Stream("host/" + name)}
	n.hosts = append(n.hosts, h)
	n.byName[name] = h
	for _, other := range n.hosts {
		h.links = append(h.links, newLink(n, h, other))
		if other != h {
			other.links = append(other.links, newLink(n, other, h))
		}
	}
	return h
}

// Ephemeral ports are Linux's.
const (
	portFirst = 32768
	portLast  = 60999
)

// Boot brings the host up, if it is down, and returns the network as one process sees it.
func (h *Host) Boot() *Stack {
	if !h.up {
		h.up = true
		for _, other := range h.n.hosts {
			h.n.kick(other.links[h.index])
		}
	}
	return &Stack{h: h}
}

// Crash is the death of the process: its host's kernel closes its listeners and its connections, each with a FIN, or
// with a RST, as it must when there is unread data. A RST into a partition is lost.
func (h *Host) Crash() { h.closeAll(true) }

// Exit is the process's orderly end: connections are closed with a FIN, or with a RST if there is unread data.
func (h *Host) Exit() { h.closeAll(false) }

func (h *Host) closeAll(crash bool) {
	h.dropListeners()
	ends := h.ends
	h.ends = nil
	for _, e := range ends {
		e.pos = -1
		if e.closed || e.err != nil {
			continue
		}
		e.closed = true
		if e.unread > 0 || crash && h.rand.IntN(2) == 0 {
			e.abort()
		} else {
			e.out.send(nil, finish)
		}
	}
}

// PowerLoss takes the host down without a word. What is on the wire still arrives; nothing is sent again.
func (h *Host) PowerLoss() {
	h.up = false
	h.dropListeners()
	ends := h.ends
	h.ends = nil
	for _, e := range ends {
		e.pos = -1
		e.closed, e.gone = true, true
	}
	// Closed connections linger in the kernel until their last segments are acknowledged: no longer.
	for _, l := range h.links {
		for _, p := range append([]*pipe(nil), l.pipes...) {
			p.src.gone = true
			if p.dropUnsent(); l.to == h {
				p.retire()
			}
		}
	}
}

func (h *Host) dropListeners() {
	for _, l := range h.listeners {
		l.closed = true
		l.backlog = nil
	}
	h.listeners = nil
}

// ephemeral picks the next port nobody listens on.
func (h *Host) ephemeral() int {
	for {
		p := h.port
		if h.port++; h.port > portLast {
			h.port = portFirst
		}
		if h.listener(p) == nil {
			return p
		}
	}
}

func (h *Host) listener(port int) *listener {
	for _, l := range h.listeners {
		if l.port == port {
			return l
		}
	}
	return nil
}

func (h *Host) address(port int) string { return h.name + ":" + strconv.Itoa(port) }

// Events of the network in the world's hash.
var (
	evConnect = env.NewKind("connect", env.Debug, "conn")
	evDeliver = env.NewKind("deliver", env.Debug, "conn", "bytes", "crc")
	evFinish  = env.NewKind("finish", env.Debug, "conn")
	evReset   = env.NewKind("reset", env.Debug, "conn")
	evHold    = env.NewKind("hold", env.Debug, "conn", "segments")
	evGiveUp  = env.NewKind("give-up", env.Debug, "conn")
	evForget  = env.NewKind("forget", env.Debug, "conn")
	evRefuse  = env.NewKind("refuse", env.Debug, "port")
)

func (n *Network) event(node string, kind *env.Kind, v ...int64) {
	ev := env.Event{Kind: kind}
	copy(ev.V[:], v)
	n.log.Add(n.s.Now(), trace.Net, node, "", ev)
}

// link is one direction between two hosts.
type link struct {
	n        *Network
	from, to *Host
	rand     *rand.Rand
	free     env.Instant // when the wire has sent all that was given to it
	clogged  env.Instant // nothing is delivered before
	cuts     []*Fault
	slows    []*Fault
	pipes    []*pipe // connection directions with something left to do
	own      Condition
	capped   env.Instant // when own.BytesPerSecond has let through all that was given to it
	hurt     int64       // what own has touched
}

func newLink(n *Network, from, to *Host) *link {
	return &link{n: n, from: from, to: to, rand: n.src.Stream("link/" + from.name + ">" + to.name)}
}

func (l *link) back() *link { return l.to.links[l.from.index] }

func (l *link) cut() bool { return len(l.cuts) > 0 || l.own.Cut }

// cutFired counts a segment or a SYN that met a partition.
func (l *link) cutFired() {
	for _, f := range l.cuts {
		f.fired++
	}
	if l.own.Cut {
		l.hurt++
	}
	l.n.fired[KindPartition]++
}

// transmit reserves the wire for a segment and draws when it has left and when it arrives.
func (l *link) transmit(bytes int) (sent, arrives env.Instant) {
	sent = max(l.n.s.Now(), l.free)
	if bps := l.n.profile.BytesPerSecond; bps > 0 && l.from != l.to {
		sent = sent.Add(time.Duration(int64(bytes) * int64(time.Second) / bps))
		l.free = sent
	}
	if bps := l.own.BytesPerSecond; bps > 0 {
		if busy := l.capped.Sub(sent); busy > 0 {
			sent = l.capped
		}
		sent = sent.Add(time.Duration(float64(bytes) / float64(bps) * float64(time.Second)))
		l.capped = sent
		l.hurt++
		l.n.fired[KindBandwidth]++
	}
	return sent, sent.Add(l.delay())
}

// retransmitFirst is when a segment that a Condition lost is sent again for the first time; Linux's least.
const retransmitFirst = 200 * time.Millisecond

const loopback = 10 * time.Microsecond

// delay draws the time a segment is under way, retransmissions included.
func (l *link) delay() time.Duration {
	if l.from == l.to {
		return loopback
	}
	p := &l.n.profile
	d := p.LatencyMin
	if spread := p.LatencyMax - p.LatencyMin; spread > 0 {
		d += time.Duration(l.rand.Int64N(int64(spread)))
	}
	if p.SlowOneIn > 0 && l.rand.IntN(p.SlowOneIn) == 0 {
		d += time.Duration(l.rand.ExpFloat64() * float64(p.SlowMean))
		l.n.fired[KindTail]++
	}
	if p.LossOneIn > 0 {
		for again := p.Retransmit; l.rand.IntN(p.LossOneIn) == 0 && again < p.Retransmit<<6; again *= 2 {
			d += again
			l.n.fired[KindLoss]++
		}
	}
	if one := l.own.LossOneIn; one > 0 {
		for again := retransmitFirst; l.rand.IntN(one) == 0 && again < retransmitFirst<<6; again *= 2 {
			d += again
			l.hurt++
			l.n.fired[KindLoss]++
		}
	}
	for _, f := range l.slows {
		d = time.Duration(float64(d) * f.factor)
		f.fired++
		l.n.fired[KindSlow]++
	}
	if l.own.Delay > 0 {
		d += l.own.Delay
		l.hurt++
		l.n.fired[KindSlow]++
	}
	return d
}
