package network

import (
	"hash/crc32"
	"time"

	"barnabas/broker/env"
	"barnabas/sim/sched"
)

// pipe is one direction of a connection: what src has sent and dst has not got, in order.
type pipe struct {
	n        *Network
	id       int64
	link     *link
	src, dst *endpoint
	accept   *listener // where the first segment asks to be let in; nil towards the client

	queue   []segment
	head    int
	arrival sched.Timer // of the first segment; a later one that could overtake it arrives with it
	ahead   int         // bytes src has sent and dst's process not read, as far as src knows
	unknown int         // bytes read whose acknowledgement cannot come back

	// A stuck pipe waits for kick: a partition's heal, or the host's return. giveUp breaks src if that takes too long.
	stuck  bool
	held   env.Instant // HoldBack: nothing is delivered before
	since  env.Instant
	giveUp sched.Timer
	pos    int // in link.pipes; -1: nothing left to do
}

type segment struct {
	kind segmentKind
	lost bool // sent into a partition: does not arrive before a kick
	sent env.Instant
	at   env.Instant
	data []byte
}

type segmentKind uint8

const (
	data segmentKind = iota
	open
	finish
	reset
	probe // of a closed window: only to be acknowledged
)

const (
	segmentBytesMax = 64 << 10
	retransmitMax   = 2 * time.Second // after a heal, at the latest
)

func newPipe(n *Network, id int64, l *link) *pipe {
	p := &pipe{n: n, id: id, link: l, pos: len(l.pipes)}
	p.arrival.Init(p.deliver)
	p.giveUp.Init(p.breakSource)
	l.pipes = append(l.pipes, p)
	return p
}

// send queues a segment. The pipe owns data from now on.
func (p *pipe) send(bytes []byte, kind segmentKind) {
	if p.pos < 0 {
		return
	}
	now := p.n.s.Now()
	if kind == reset && p.link.cut() { // nobody sends a RST again
		p.link.cutFired()
		if p.idle() {
			p.retire()
		}
		return
	}
	sent, at := p.link.transmit(len(bytes) + headerBytes)
	p.ahead += len(bytes)
	seg := segment{kind: kind, sent: sent, at: at, data: bytes}
	if p.link.cut() {
		seg.lost = true
		p.link.cutFired()
		if !p.stuck {
			p.stall(now)
		}
	}
	if p.head > 64 && p.head*2 > len(p.queue) {
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, seg)
	if len(p.queue)-p.head == 1 && !seg.lost {
		p.n.s.Arm(&p.arrival, at)
	}
}

const headerBytes = 66 // Ethernet, IP and TCP, for the bandwidth

// deliver hands over what has arrived; it runs when the first segment does.
func (p *pipe) deliver() {
	now := p.n.s.Now()
	for p.head < len(p.queue) {
		seg := &p.queue[p.head]
		switch {
		case seg.at > now:
			p.n.s.Arm(&p.arrival, seg.at)
			return
		case p.link.clogged > now:
			p.n.fired[KindClog]++
			p.n.s.Arm(&p.arrival, p.link.clogged)
			return
		case p.held > now:
			p.n.fired[KindHoldBack]++
			p.n.s.Arm(&p.arrival, p.held)
			return
		case seg.lost || p.link.cut():
			if !seg.lost {
				p.link.cutFired()
			}
			if seg.kind == reset {
				p.pop()
				continue
			}
			p.hold(now)
			return
		case !p.link.to.up:
			p.n.fired[KindHostDown]++
			p.hold(now)
			return
		}
		if !p.take(seg, now) {
			return
		}
	}
	if p.src.gone || p.src.closed {
		p.retire()
	}
}

// take gives one segment to the destination. It reports false if the pipe has come to a stop.
func (p *pipe) take(seg *segment, now env.Instant) bool {
	dst, kind, bytes := p.dst, seg.kind, seg.data
	if kind == open && (p.accept.closed || dst.gone) {
		dst.forget()
		dst.gone = true
	}
	if dead := dst.gone || dst.closed; dead && kind != finish && kind != reset {
		// The kernel answers with a RST. If that gets lost, the segment comes again after the next kick.
		p.n.fired[KindHalfOpen]++
		p.hold(now)
		if !dst.out.link.cut() {
			dst.out.revive()
			dst.out.send(nil, reset)
		}
		return false
	}
	p.pop()
	switch kind {
	case open:
		p.n.event(p.link.to.name, evConnect, p.id)
		p.accept.backlog = append(p.accept.backlog, dst)
		p.n.s.WakeOne(&p.accept.waiters)
	case data:
		p.n.event(p.link.to.name, evDeliver, p.id, int64(len(bytes)), int64(crc32.Checksum(bytes, castagnoli)))
		dst.received = append(dst.received, bytes)
		dst.unread += len(bytes)
	case finish:
		p.n.event(p.link.to.name, evFinish, p.id)
		dst.finished = true
		p.n.s.WakeAll(&dst.readers)
		p.retire()
		return false
	case reset:
		p.n.event(p.link.to.name, evReset, p.id)
		p.retire()
		dst.breakWith(env.ErrReset)
		return false
	}
	p.n.s.WakeAll(&dst.readers)
	if p.link.back().cut() { // the acknowledgement does not get through
		p.armGiveUp()
	} else if !p.stuck {
		p.n.s.Disarm(&p.giveUp)
	}
	return true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// idle reports whether everything sent has been delivered.
func (p *pipe) idle() bool { return p.head == len(p.queue) }

func (p *pipe) pop() {
	p.queue[p.head] = segment{}
	p.head++
	if p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
	}
}

// hold stops the pipe at its first segment.
func (p *pipe) hold(now env.Instant) {
	p.n.event(p.link.from.name, evHold, p.id, int64(len(p.queue)-p.head))
	p.n.s.Disarm(&p.arrival)
	if !p.stuck {
		p.stall(now)
	}
}

func (p *pipe) stall(now env.Instant) {
	p.stuck = true
	p.since = now
	p.armGiveUp()
}

func (p *pipe) armGiveUp() {
	if !p.giveUp.Armed() {
		p.n.s.Arm(&p.giveUp, p.n.s.Now().Add(p.n.profile.GiveUp))
	}
}

// kick lets a stuck pipe try again, as the next retransmission does: the longer it was stuck, the later.
func (p *pipe) kick() {
	if p.pos < 0 {
		return
	}
	if !p.link.back().cut() {
		if !p.stuck {
			p.n.s.Disarm(&p.giveUp)
		}
		p.acknowledge(0)
	}
	if !p.stuck || p.link.cut() || !p.link.to.up {
		return
	}
	p.stuck = false
	now := p.n.s.Now()
	wait := min(now.Sub(p.since), retransmitMax)
	at := now.Add(time.Duration(p.link.rand.Int64N(int64(wait)+1)) + p.link.delay())
	for i := p.head; i < len(p.queue); i++ {
		p.queue[i].lost = false
	}
	if !p.idle() {
		first := &p.queue[p.head]
		first.at = max(first.at, at)
		p.n.s.Arm(&p.arrival, first.at)
	}
}

// acknowledge tells src that dst's process has read bytes more, unless the way back is cut.
func (p *pipe) acknowledge(bytes int) {
	p.unknown += bytes
	if p.unknown == 0 || p.link.back().cut() {
		return
	}
	p.ahead -= p.unknown
	p.unknown = 0
	p.n.s.WakeAll(&p.src.writers)
}

// breakSource is what src's kernel does when nothing was acknowledged for too long.
func (p *pipe) breakSource() {
	p.n.event(p.link.from.name, evGiveUp, p.id)
	p.n.fired[KindGiveUp]++
	p.src.breakWith(env.ErrTimeout)
	p.retire()
}

// dropUnsent forgets what has not left the host; what has does not get a second try.
func (p *pipe) dropUnsent() {
	now := p.n.s.Now()
	keep := p.queue[:p.head]
	for _, seg := range p.queue[p.head:] {
		if !p.stuck && !seg.lost && seg.sent <= now {
			keep = append(keep, seg)
		}
	}
	clear(p.queue[len(keep):])
	p.queue = keep
	p.n.s.Disarm(&p.giveUp)
	p.stuck = false
	if p.idle() {
		p.retire()
	}
}

// retire takes the pipe off its link: nothing will ever arrive through it.
func (p *pipe) retire() {
	if p.pos < 0 {
		return
	}
	p.queue, p.head = nil, 0
	p.stuck = false
	p.n.s.Disarm(&p.arrival)
	p.n.s.Disarm(&p.giveUp)
	l := p.link
	last := l.pipes[len(l.pipes)-1]
	l.pipes[p.pos] = last
	last.pos = p.pos
	l.pipes[len(l.pipes)-1] = nil
	l.pipes = l.pipes[:len(l.pipes)-1]
	p.pos = -1
}

// revive puts a retired pipe back on its link, for a RST from a kernel that has forgotten the connection.
func (p *pipe) revive() {
	if p.pos < 0 {
		p.pos = len(p.link.pipes)
		p.link.pipes = append(p.link.pipes, p)
	}
}

// buffers keeps the memory of read segments for the next ones, in powers of two.
type buffers struct{ free [17][][]byte }

const (
	bufferBitsMin = 8
	buffersKept   = 64
)

func (b *buffers) get(n int) []byte {
	bits := bufferBitsMin
	for 1<<bits < n {
		bits++
	}
	if free := b.free[bits]; len(free) > 0 {
		buf := free[len(free)-1]
		b.free[bits] = free[:len(free)-1]
		return buf[:n]
	}
	return make([]byte, n, 1<<bits)
}

func (b *buffers) put(buf []byte) {
	for bits := bufferBitsMin; bits < len(b.free); bits++ {
		if cap(buf) == 1<<bits && len(b.free[bits]) < buffersKept {
			b.free[bits] = append(b.free[bits], buf)
		}
	}
}
