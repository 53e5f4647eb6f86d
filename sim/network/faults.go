package network

import (
	"time"

	"barnabas/broker/env"
)

// Kind is a kind of trouble that is counted when it touches a segment or a dial.
type Kind uint8

const (
	KindPartition   Kind = iota // segments and SYNs held by a partition
	KindReset                   // connections reset by ResetLinks
	KindHalfOpen                // segments that reached a host which knows the connection no more
	KindHostDown                // segments and SYNs to a host without power
	KindRefuse                  // dials refused by Refuse
	KindDialTimeout             // dials that timed out
	KindBacklog                 // SYNs dropped because too many connections waited to be accepted
	KindSlow                    // segments slowed by Slow
	KindClog                    // segments that waited for the end of Clog
	KindGiveUp                  // connections that broke because nothing was acknowledged
	KindTail                    // segments in the slow mode of the profile
	KindLoss                    // retransmissions, of the profile or of a Condition
	KindBandwidth               // segments that waited for a Condition's bandwidth
	KindForget                  // connections that HalfOpen made a host forget
	KindHoldBack                // segments that HoldBack held back
	kindCount
)

func (k Kind) String() string {
	return [...]string{"partition", "reset", "half-open", "host-down", "refuse", "dial-timeout", "backlog", "slow",
		"clog", "give-up", "tail", "loss", "bandwidth", "forget", "hold-back", "?"}[min(k, kindCount)]
}

// Kinds are all of them, in order.
func Kinds() []Kind {
	kinds := make([]Kind, kindCount)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// Fired is how often the kind touched something.
func (n *Network) Fired(k Kind) int64 { return n.fired[k] }

// Fault is a lasting fault in force, until Heal.
type Fault struct {
	n      *Network
	kind   Kind
	factor float64
	links  []*link
	host   *Host
	fired  int64
	healed bool
}

// Fired is how often this fault touched something.
func (f *Fault) Fired() int64 { return f.fired }

// Partition cuts the links from the hosts in from to those in to, and unless oneWay the links back. A link that
// several partitions cut is whole when all have healed.
func (n *Network) Partition(from, to []string, oneWay bool) *Fault {
	f := n.newFault(KindPartition, from, to, oneWay)
	for _, l := range f.links {
		l.cuts = append(l.cuts, f)
	}
	return f
}

// Slow multiplies the latency of the links between these hosts, both ways.
func (n *Network) Slow(from, to []string, factor float64) *Fault {
	f := n.newFault(KindSlow, from, to, false)
	f.factor = factor
	for _, l := range f.links {
		l.slows = append(l.slows, f)
	}
	return f
}

// Refuse makes a host refuse all new connections.
func (n *Network) Refuse(host string) *Fault {
	f := &Fault{n: n, kind: KindRefuse, host: n.host(host)}
	f.host.refuse++
	n.faults = append(n.faults, f)
	return f
}

// Condition is what SetLink does to a directed link.
type Condition struct {
	Cut   bool          // nothing passes
	Delay time.Duration // added to everything that passes
	// LossOneIn is how often a segment is lost, and sent again; 0: no more often than the profile says.
	LossOneIn int
	// BytesPerSecond bounds what passes; 0: no more than the profile does.
	BytesPerSecond int64
}

// SetLink gives one directed link its own condition, besides all Faults; the zero Condition is a healthy link.
func (n *Network) SetLink(from, to string, c Condition) {
	l := n.host(from).links[n.host(to).index]
	if l.from == l.to {
		return
	}
	l.own = c
	if !l.cut() {
		n.kick(l)
	}
}

// LinkHurt counts the segments and SYNs that SetLink's conditions held up or slowed on the link.
func (n *Network) LinkHurt(from, to string) int64 { return n.host(from).links[n.host(to).index].hurt }

// Severed tells whether nothing passes at this moment on the link from one host to the other, or on the way back.
func (n *Network) Severed(from, to string) bool {
	l := n.host(from).links[n.host(to).index]
	now := n.s.Now()
	return l.cut() || l.clogged > now || l.back().cut() || l.back().clogged > now
}

// Clog delivers nothing between these hosts, either way, for d; then everything at once.
func (n *Network) Clog(from, to []string, d time.Duration) {
	until := n.s.Now().Add(d)
	for _, l := range n.between(from, to, false) {
		l.clogged = max(l.clogged, until)
	}
}

// Reset breaks all connections between these hosts and returns how many it were.
func (n *Network) Reset(from, to []string) int {
	count := 0
	for _, l := range n.between(from, to, true) {
		for _, e := range append([]*endpoint(nil), l.from.ends...) {
			if e.out.link == l && e.err == nil {
				e.out.dst.breakWith(env.ErrReset)
				e.breakWith(env.ErrReset)
				n.event(l.from.name, evReset, e.out.id)
				n.fired[KindReset]++
				count++
			}
		}
	}
	return count
}

// HalfOpen makes the host from forget its connections with the host to, and returns how many it were: its processes see
// them broken, and the other side learns of it when it next sends something.
func (n *Network) HalfOpen(from, to string) int {
	h, peer := n.host(from), n.host(to)
	if h == peer {
		return 0
	}
	count := 0
	for _, e := range append([]*endpoint(nil), h.ends...) {
		if e.out.link.to == peer && e.err == nil && !e.closed {
			n.event(h.name, evForget, e.out.id)
			e.breakWith(env.ErrReset)
			n.fired[KindForget]++
			count++
		}
	}
	return count
}

// HoldBack delivers nothing for d of what the connections that are open now carry from one host to the other. Those
// opened later are free, so what is held back comes after what was said since.
func (n *Network) HoldBack(from, to string, d time.Duration) {
	h, peer := n.host(from), n.host(to)
	if h == peer {
		return
	}
	until := n.s.Now().Add(d)
	for _, p := range h.links[peer.index].pipes {
		p.held = max(p.held, until)
	}
	for _, e := range h.ends { // and what has nothing to do just now
		if e.out.link.to == peer {
			e.out.held = max(e.out.held, until)
		}
	}
}

// Heal ends the fault. Healing twice does nothing.
func (f *Fault) Heal() {
	if f.healed {
		return
	}
	f.healed = true
	f.n.faults = without(f.n.faults, f)
	if f.host != nil {
		f.host.refuse--
	}
	for _, l := range f.links {
		l.slows = without(l.slows, f)
		l.cuts = without(l.cuts, f)
		if f.kind == KindPartition && !l.cut() {
			f.n.kick(l)
		}
	}
}

// Heal ends all faults, clogs and conditions too.
func (n *Network) Heal() {
	for len(n.faults) > 0 {
		n.faults[0].Heal()
	}
	for _, h := range n.hosts {
		for _, l := range h.links {
			l.clogged = 0
			for _, p := range l.pipes {
				p.held = 0
			}
			if l.own != (Condition{}) {
				n.SetLink(l.from.name, l.to.name, Condition{})
			}
		}
	}
}

// kick wakes what was stuck on a link: segments, and acknowledgements of those the other way.
func (n *Network) kick(l *link) {
	for _, p := range l.pipes {
		p.kick()
	}
	for _, p := range l.back().pipes {
		p.kick()
	}
}

func (n *Network) newFault(kind Kind, from, to []string, oneWay bool) *Fault {
	f := &Fault{n: n, kind: kind, links: n.between(from, to, oneWay)}
	n.faults = append(n.faults, f)
	return f
}

// between lists the links from the hosts in from to those in to, each once. A host has no link to itself here.
func (n *Network) between(from, to []string, oneWay bool) []*link {
	var links []*link
	add := func(a, b *Host) {
		if a == b {
			return
		}
		l := a.links[b.index]
		for _, other := range links {
			if other == l {
				return
			}
		}
		links = append(links, l)
	}
	for _, a := range from {
		for _, b := range to {
			add(n.host(a), n.host(b))
			if !oneWay {
				add(n.host(b), n.host(a))
			}
		}
	}
	return links
}

func (n *Network) host(name string) *Host {
	h := n.byName[name]
	if h == nil {
		panic("network: no host " + name)
	}
	return h
}

func without(list []*Fault, f *Fault) []*Fault {
	for i, other := range list {
		if other == f {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}
