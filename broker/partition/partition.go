package partition

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Options are what a Partition needs. Functions are called with no lock held and must not wait, but for BrokerEpoch and
// Alive, which are called with the partition's lock held and must not take locks that somebody may hold for long.
type Options struct {
	Env  env.Env
	TP   wire.TopicPartition
	Log  *log.Log
	Bugs bug.Set

	BrokerID    int32
	BrokerEpoch func() int64            // this broker's epoch, -1 before registration
	Alive       func(broker int32) bool // whether the broker may enter an ISR (KIP-841)

	HighWatermark     int64         // as the checkpoint has it; it is bounded by what the log holds
	ReplicaLagTimeMax time.Duration // replica.lag.time.max.ms
	MinInsyncReplicas int           // min.insync.replicas

	// Notify is called when the log end, the high watermark, the ISR or the role has changed: whoever waits on the
	// partition looks again.
	Notify func(wire.TopicPartition)
	// RequestAlter is called when PendingChange has something new for the controller.
	RequestAlter func(wire.TopicPartition)
}

// Partition is one partition on this broker. Safe for use by many tasks.
type Partition struct {
	o       Options
	tp      wire.TopicPartition
	topicID atomic.Pointer[[16]byte]
	// current is the log, replaced under mu inside of a change, when the replica has moved to another log directory.
	current atomic.Pointer[log.Log]

	mu       env.Mutex
	turn     env.Cond // users left, or a role change ended
	users    int      // operations in the log that rely on the role
	changing bool     // a role change waits for users, or is under way: nobody enters
	offline  bool     // the log directory failed
	closed   bool     // the broker stops, or the replica was deleted

	role            Role
	leaderID        int32 // -1 for none
	leaderEpoch     int32
	leaderSince     int32 // leader: the epoch in which this uninterrupted leadership began
	epochStart      int64 // leader: the log end offset when leaderEpoch began
	partitionEpoch  int32
	controllerEpoch int32
	replicas        []int32   // in order of preference
	followers       []replica // leader: the other replicas, by ascending id
	isr             inSync
	minISR          int   // min.insync.replicas
	acked           int64 // leader: what is below was acknowledged with acks=all in leaderEpoch
	hw              int64 // the high watermark
	cutBelow        Cut   // the last truncation below the high watermark
	epochless       bool  // follower: bug.TruncateToHW, fetch without epochs

	future *log.Log // the copy in another log directory that will take the log's place; nil for none
}

// Epochs and broker ids before anybody told better.
const (
	noEpoch  int32 = -1
	noLeader int32 = -1
)

// New makes a partition without a role over its open log.
func New(o Options) *Partition {
	mu := o.Env.NewMutex()
	id := o.Log.TopicID()
	p := &Partition{o: o, tp: o.TP, mu: mu, turn: o.Env.NewCond(mu),
		leaderID: noLeader, leaderEpoch: noEpoch, leaderSince: noEpoch, epochStart: -1, partitionEpoch: noEpoch,
		controllerEpoch: noEpoch, minISR: o.MinInsyncReplicas}
	p.topicID.Store(&id)
	p.current.Store(o.Log)
	p.hw = min(max(o.HighWatermark, p.log().StartOffset()), p.log().EndOffset())
	p.log().SetHighWatermark(p.hw)
	return p
}

// TP names the partition.
func (p *Partition) TP() wire.TopicPartition { return p.tp }

// TopicID is the topic's id, zero if it has none. It takes no lock.
func (p *Partition) TopicID() [16]byte { return *p.topicID.Load() }

// AssignTopicID gives the partition, and its log, the id of its topic, where none is known: topics that are older than ids get theirs from a
// controller that knows ids, and no new leader epoch comes with it (KIP-516).
//
// Errors: those of log.Log.AssignTopicID.
func (p *Partition) AssignTopicID(id [16]byte) error {
	if err := p.beginChange(); err != nil {
		return p.fail("assign topic id", err)
	}
	err := p.log().AssignTopicID(id)
	if err == nil {
		p.topicID.Store(&id)
	}
	p.endChange()
	return wrapped(p, "assign topic id", err)
}

// Log is the partition's log, for those who look at it (retention, checkers): appends and truncations go through here.
// It is another one after the replica has moved to another log directory: do not keep it.
func (p *Partition) Log() *log.Log { return p.current.Load() }

// log is Log. Inside of the role, and with the lock held, it stays the same.
func (p *Partition) log() *log.Log { return p.current.Load() }

// LeaderEpoch is the epoch of the last role given, -1 before the first.
func (p *Partition) LeaderEpoch() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaderEpoch
}

// Leader tells who leads, -1 for nobody, and in which epoch.
func (p *Partition) Leader() (id, epoch int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaderID, p.leaderEpoch
}

// HighWatermark is the offset below which everything is committed, as far as this replica knows.
func (p *Partition) HighWatermark() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hw
}

// SetMinInsyncReplicas changes min.insync.replicas, which may let the high watermark go on.
func (p *Partition) SetMinInsyncReplicas(n int) {
	var asked *Change
	p.mu.Lock()
	p.minISR = n
	if p.role == Leader && !p.changing {
		p.advanceHW(p.o.Env.Mono())
		asked = p.proposeEmptyELR()
	}
	p.mu.Unlock()
	p.o.Notify(p.tp)
	if asked != nil {
		p.proposed(asked)
	}
}

// enter begins an operation that relies on the role and goes to the log without the lock: the role stays until leave. The caller
// holds the lock.
func (p *Partition) enter() error {
	if err := p.await(); err != nil {
		return err
	}
	p.users++
	return nil
}

// await waits until no role change is under way. The caller holds the lock.
func (p *Partition) await() error {
	for p.changing {
		p.turn.Wait()
	}
	return p.usable()
}

// leave ends what enter began. The caller holds the lock.
func (p *Partition) leave() {
	if p.users <= 0 { // asked first: the arguments cost an allocation a read and append
		assert.That(false, "INV-PARTITION-USERS: %s left more often than entered", p.tp)
	}
	p.users--
	if p.users == 0 && p.changing {
		p.turn.Broadcast()
	}
}

// beginChange waits until everybody has left and keeps all out. The lock is held neither before nor after: a change may
// do I/O. It fails, with nothing to end, if the partition is closed or offline.
func (p *Partition) beginChange() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.changing {
		p.turn.Wait()
	}
	if err := p.usable(); err != nil {
		return err
	}
	p.changing = true
	for p.users > 0 {
		p.turn.Wait()
	}
	return nil
}

// endChange lets everybody in again.
func (p *Partition) endChange() {
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.That(p.changing && p.users == 0, "INV-PARTITION-CHANGE: %s changed with %d users inside", p.tp, p.users)
	p.changing = false
	p.turn.Broadcast()
}

func (p *Partition) usable() error {
	switch {
	case p.offline:
		markUsableKafkaStorageError.Hit()
		return kerr.KafkaStorageError
	case p.closed:
		markUsableNotLeaderForPartition.Hit()
		return kerr.NotLeaderForPartition
	}
	return nil
}

// checkEpoch compares the leader epoch that a caller names, -1 for none, with ours.
// Source: Partition#checkCurrentLeaderEpoch, KIP-320.
func (p *Partition) checkEpoch(named int32) error {
	switch {
	case named < 0 || named == p.leaderEpoch:
		return nil
	case named < p.leaderEpoch:
		markCheckEpochFencedLeaderEpoch.Hit()
		return fmt.Errorf("leader epoch %d is older than %d: %w", named, p.leaderEpoch, kerr.FencedLeaderEpoch)
	default:
		markCheckEpochUnknownLeaderEpoch.Hit()
		return fmt.Errorf("leader epoch %d is newer than %d: %w", named, p.leaderEpoch, kerr.UnknownLeaderEpoch)
	}
}

// checkRole is checkEpoch, and that we lead, or with follower, that we lead or follow.
func (p *Partition) checkRole(namedEpoch int32, follower bool) error {
	if err := p.checkEpoch(namedEpoch); err != nil {
		return err
	}
	if p.role == Leader || (follower && p.role == Follower) {
		return nil
	}
	return kerr.NotLeaderForPartition
}

// fail names the operation and the partition.
func (p *Partition) fail(operation string, err error) error {
	return fmt.Errorf("%s %s: %w", operation, p.tp, err)
}

// minISRNow is min.insync.replicas, or the number of replicas if there are fewer (Partition#effectiveMinIsr).
func (p *Partition) minISRNow() int {
	if p.o.Bugs.Has(bug.MinISRIgnored) {
		return 1
	}
	return min(p.minISR, len(p.replicas))
}

// leastNow is how many must be in the ISR for anything to be committed.
func (p *Partition) leastNow() int { return max(p.minISRNow(), p.isr.least) }

// follower finds what is known of a replica; nil if it is not assigned.
func (p *Partition) follower(id int32) *replica {
	i, ok := slices.BinarySearchFunc(p.followers, id, func(r replica, id int32) int { return int(r.id) - int(id) })
	if !ok {
		return nil
	}
	return &p.followers[i]
}
