package replica

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/partition"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evMove       = env.NewKind("move-begun", env.Info)
	evMoveFailed = env.NewKind("move-failed", env.Warn)
)

// rareLateReplace lets time pass before a copy takes its log's place, rareLateRetire before the old log goes.
var rareLateReplace, rareLateRetire = env.NewRare("replica-replaced-late"), env.NewRare("replica-retired-late")

// Move is what AlterReplicaLogDirs asks for: a replica in that log directory.
type Move struct {
	TP  wire.TopicPartition
	Dir string
}

// AlterReplicaLogDirs begins moves of replicas to other log directories of this broker, and answers at once, an error for each. A replica
// that is on its way elsewhere turns to the new directory; one that is told to be where it is stays there. For a replica that is
// not here yet the directory is remembered, and the answer is REPLICA_NOT_AVAILABLE, or UNKNOWN_TOPIC_OR_PARTITION if nobody told of it.
//
// Errors: INVALID_TOPIC_EXCEPTION, LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR, REPLICA_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION.
// Source: ReplicaManager#alterReplicaLogDirs, KIP-113.
func (m *Manager) AlterReplicaLogDirs(moves []Move) []error {
	m.changes.Lock()
	defer m.changes.Unlock()
	errs := make([]error, len(moves))
	for i, mv := range moves {
		errs[i] = m.move(mv)
	}
	return errs
}

// move begins one move. The caller holds changes.
func (m *Manager) move(mv Move) error {
	if err := m.o.Logs.CheckDir(mv.TP, mv.Dir); err != nil {
		return fmt.Errorf("move %s: %w", mv.TP, err)
	}
	h := (*m.hosted.Load())[mv.TP]
	if h == nil {
		m.o.Logs.Prefer(mv.TP, mv.Dir)
		if m.o.Metadata.Snapshot().Partition(mv.TP) == nil {
			markMoveUnknownTopicOrPartition.Hit()
			return fmt.Errorf("move %s: %w", mv.TP, kerr.UnknownTopicOrPartition)
		}
		markMoveReplicaNotAvailable.Hit()
		return fmt.Errorf("move %s: it is not here: %w", mv.TP, kerr.ReplicaNotAvailable)
	}
	if h.p == nil || h.p.Log().Err() != nil {
		return fmt.Errorf("move %s: %w", mv.TP, kerr.KafkaStorageError)
	}
	there := path.Clean(h.p.Log().Dir()) == path.Clean(mv.Dir)
	if future := h.p.Future(); future != nil {
		if path.Clean(future.Dir()) == path.Clean(mv.Dir) {
			return nil
		}
		markMoveCancelled.Hit()
		if h.p.DropFuture() {
			if err := m.o.Logs.DeleteFuture(mv.TP); err != nil {
				return err
			}
		}
		// The move may have ended while we waited for it.
		there = path.Clean(h.p.Log().Dir()) == path.Clean(mv.Dir)
	}
	if there {
		return nil
	}
	future, err := m.o.Logs.CreateFuture(mv.TP, mv.Dir)
	if err != nil {
		return err
	}
	m.begin(h.p, future)
	return nil
}

// begin has a partition's future log filled.
func (m *Manager) begin(p *partition.Partition, future *log.Log) {
	p.SetFuture(future)
	m.o.Env.Emit(env.Event{Kind: evMove, Topic: p.TP().Topic, Partition: p.TP().Partition, Text: future.Dir()})
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return
	}
	v := m.movers[future.Dir()]
	if v == nil {
		v = newMover(m)
		m.movers[future.Dir()] = v
		m.tasks.Go("mover-"+path.Base(future.Dir()), v.run)
	}
	m.mu.Unlock()
	v.add(&moving{p: p, future: future})
}

// resumeMove goes on with a move that an earlier life began. Source: ReplicaManager#maybeAddLogDirFetchers.
func (m *Manager) resumeMove(p *partition.Partition, c config.Topic) {
	future := m.o.Logs.Future(p.TP())
	if future == nil {
		return
	}
	if id := future.TopicID(); id != ([16]byte{}) && p.TopicID() != ([16]byte{}) && id != p.TopicID() {
		markMoveOfAnotherTopicDropped.Hit()
		if err := m.o.Logs.DeleteFuture(p.TP()); err != nil {
			m.moveFailed(p, err)
		}
		return
	}
	markMoveResumed.Hit()
	future.SetConfig(c)
	m.begin(p, future)
}

func (m *Manager) moveFailed(p *partition.Partition, err error) {
	m.o.Env.Emit(env.Event{Kind: evMoveFailed, Topic: p.TP().Topic, Partition: p.TP().Partition, Text: err.Error()})
}

func (m *Manager) sortedMovers() []*mover {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.movers, strings.Compare)
}

// mover fills the future logs in one log directory, one partition after the other.
//
// Source: ReplicaAlterLogDirsThread, ReplicaAlterLogDirsManager (num.replica.alter.log.dirs.threads, by default one a directory).
type mover struct {
	m      *Manager
	mu     env.Mutex
	wake   env.Cond
	parts  []*moving // by topic and partition
	closed bool
}

// moving is one move: a partition and the log that is to take its log's place.
type moving struct {
	p      *partition.Partition
	future *log.Log
	due    env.Instant // not to be worked on before
}

// over says that nothing can come of it: it was given up, the replica is closed, or a directory has failed.
func (n *moving) over(err error) bool {
	return errors.Is(err, partition.ErrNoFuture) || errors.Is(err, kerr.NotLeaderForPartition) || n.p.Log().Err() != nil || n.future.Err() != nil
}

func newMover(m *Manager) *mover {
	mu := m.o.Env.NewMutex()
	return &mover{m: m, mu: mu, wake: m.o.Env.NewCond(mu)}
}

func (v *mover) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.wake.Broadcast()
}

func (v *mover) add(n *moving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = append(v.parts, n)
	slices.SortStableFunc(v.parts, func(a, b *moving) int { return a.p.TP().Compare(b.p.TP()) })
	v.wake.Broadcast()
}

// run is the mover's task.
func (v *mover) run() {
	for n := v.take(); n != nil; n = v.take() {
		done, err := v.work(n)
		if err != nil && !errors.Is(err, partition.ErrNoFuture) {
			v.m.moveFailed(n.p, err)
		}
		switch {
		case done || err != nil && n.over(err):
			v.drop(n)
		case err != nil:
			v.delay(n)
		}
	}
}

// take waits for a partition that is due: the first in order. nil once the mover is closed.
func (v *mover) take() *moving {
	v.mu.Lock()
	defer v.mu.Unlock()
	for !v.closed {
		now, next := v.m.o.Env.Mono(), env.Never
		for _, n := range v.parts {
			if n.due <= now {
				return n
			}
			next = min(next, n.due)
		}
		v.wake.WaitUntil(next)
	}
	return nil
}

func (v *mover) drop(n *moving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = slices.DeleteFunc(v.parts, func(other *moving) bool { return other == n })
}

func (v *mover) delay(n *moving) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n.due = v.m.o.Env.Mono().Add(v.m.o.Config.ReplicaFetchBackoff)
}

// work does a step of one move. done says that it has come to its end.
func (v *mover) work(n *moving) (done bool, err error) {
	if q := v.m.o.MoveThrottle; q != nil && q.Exceeded() {
		markMoveThrottled.Hit()
		v.delay(n)
		return false, nil
	}
	size := v.m.o.Config.ReplicaFetchBytesMax
	step, err := n.p.CopyFuture(n.future, size)
	if q := v.m.o.MoveThrottle; q != nil && step.Bytes > 0 {
		q.Record(int64(step.Bytes))
	}
	if err != nil || !step.Reached {
		return false, err
	}
	if err := n.future.Flush(); err != nil { // so that little is left to sync while everybody waits
		if n.p.Future() != n.future { // given up meanwhile, and perhaps renamed
			err = partition.ErrNoFuture
		}
		return false, err
	}
	if rareLateReplace.Strikes(v.m.o.Env) {
		v.m.sleep(v.m.o.Config.ReplicaFetchBackoff)
	}
	var retire func()
	err = n.p.Replace(n.future, size, func() (next *log.Log, err error) {
		next, retire, err = v.m.o.Logs.Promote(n.p.TP(), n.p.HighWatermark())
		return next, err
	})
	if err != nil {
		return false, err
	}
	if rareLateRetire.Strikes(v.m.o.Env) {
		v.m.sleep(v.m.o.Config.ReplicaFetchBackoff)
	}
	retire()
	if err := n.p.Log().Err(); err != nil { // its directory failed before anybody could know that the log is there
		v.m.unfollow(n.p.TP())
		n.p.MarkOffline()
	}
	return true, nil
}
