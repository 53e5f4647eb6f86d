package partition

import (
	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/env"
)

// advanceHW raises a leader's high watermark as far as the ISR allows, and reports whether it moved: then the caller
// notifies, without the lock. The caller holds the lock.
//
// It counts the maximal ISR (see inSync), and besides those followers who are caught up and will join presently: else the
// watermark would run ahead of them with each append, and keep them out. It rests while the ISR is below
// min.insync.replicas, because what fewer replicas hold is not committed (KAFKA-15583, KIP-966); and while it is below the
// number that the controller says goes with it, since others rely on that (decision 001, rule 4).
//
// Source: Partition#maybeIncrementLeaderHW.
func (p *Partition) advanceHW(now env.Instant) (moved bool) {
	if p.role != Leader { // asked first, as below: the arguments cost allocations an append
		assert.That(false, "INV-HW-LEADER: %s: %s cannot advance the high watermark", p.tp, p.role)
	}
	if len(p.isr.committed) < p.leastNow() {
		markWatermarkHeldBelowMinIsr.Hit()
		return false
	}
	end := p.log().EndOffset()
	hw := watermark(end, p.followers, func(r *replica) bool {
		if p.o.Bugs.Has(bug.ShrinkUnconfirmed) && p.isr.leaving(r.id) {
			return false
		}
		return p.isr.maximal(r.id) || (r.caughtUp(end, now, p.o.ReplicaLagTimeMax) && p.o.Alive(r.id))
	})
	if hw <= p.hw {
		return false // it never goes back: a follower may have lost its tail, but what was committed stays so
	}
	p.setHW(hw)
	return true
}

// setHW moves the high watermark. The caller holds the lock.
func (p *Partition) setHW(hw int64) {
	end := p.log().EndOffset()
	if hw > end || hw < 0 {
		assert.That(false, "INV-HW-LEO: %s: hw %d is negative or above leo %d", p.tp, hw, end)
	}
	p.hw = hw
	p.log().SetHighWatermark(hw)
	p.emit(evHighWatermark, "", hw, end)
}
