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
	KindLoss                    // retransmissions of the profile
	kindCount
)

func (k Kind) String() string {
	return [...]string{"partition", "reset", "half-open", "host-down", "refuse", "dial-timeout", "backlog", "slow",
		"clog", "give-up", "tail", "loss", "?"}[min(k, kindCount)]
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
