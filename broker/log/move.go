package log

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"barnabas/broker/assert"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A log moves to another directory of this broker (KIP-113) in three steps, the first and second of which package partition drives:
//
//  1. CreateFuture makes a log named orders-3.0123456789abcdef0123456789abcdef-future there, and it is filled
//  2. Promote, with nobody in either log: the copy is made durable and takes its final name, durably
//  3. what Promote returns renames the old directory for deletion, as Delete does
//
// A crash before the rename of step 2 leaves the log and a copy, which goes on; one behind step 3 leaves the moved log. In
// between there are two logs of one partition, and so there are, for good, if a directory fails in between and comes back later:
// then a note in each, written before the rename, says which one is to be believed. See moveNote.
//
// DEVIATION(KIP-113): Kafka does not start when it finds two logs of one partition, and somebody must delete one by hand.
//
// Source: LogManager#getOrCreateLog (isFuture), #replaceCurrentWithFutureLog, #maybeUpdatePreferredLogDir, UnifiedLog.logFutureDirName.

// futureSuffix marks a partition's directory that is being filled.
const futureSuffix = "-future"

var (
	evFutureMade    = env.NewKind("log-future-made", env.Info, "end")
	evFutureDropped = env.NewKind("log-future-dropped", env.Info)
	evPromoted      = env.NewKind("log-moved", env.Info, "end", "number")
	evTwoLogs       = env.NewKind("log-in-two-dirs", env.Warn, "number")
	evUnsure        = env.NewKind("log-perhaps-elsewhere", env.Error)
)

// parseFutureName finds the partition of "orders-3.0123456789abcdef0123456789abcdef-future".
func parseFutureName(name string) (tp wire.TopicPartition, ok bool) {
	name, ok = strings.CutSuffix(name, futureSuffix)
	dot := strings.LastIndexByte(name, '.')
	if !ok || dot < 0 {
		return tp, false
	}
	return parseDirName(name[:dot])
}

// futureNameBytes is the length of a future log's directory name, which must not be more than 255 (KAFKA-4893).
func futureNameBytes(tp wire.TopicPartition) int {
	return len(tp.String()) + 1 + 32 + len(futureSuffix)
}

// dir finds a log directory by its path. Errors: LOG_DIR_NOT_FOUND; KAFKA_STORAGE_ERROR if it is offline.
func (m *Manager) dir(name string) (*logDir, error) {
	for _, d := range m.dirs {
		if path.Clean(d.path) == path.Clean(name) {
			return d, d.health.err()
		}
	}
	markNoSuchLogDir.Hit()
	return nil, fmt.Errorf("log directory %s is not in log.dirs: %w", name, kerr.LogDirNotFound)
}

// CheckDir tells whether a partition can move to a directory. Errors: INVALID_TOPIC_EXCEPTION for a name that leaves no room for the
// suffix, LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR.
func (m *Manager) CheckDir(tp wire.TopicPartition, dir string) error {
	if futureNameBytes(tp) > 255 {
		return fmt.Errorf("the topic name is too long: %w", kerr.InvalidTopicException)
	}
	_, err := m.dir(dir)
	return err
}

// Prefer has a log that is not there yet made in that directory, which CheckDir has passed. A log or a copy that is there already makes
// it mean nothing.
func (m *Manager) Prefer(tp wire.TopicPartition, dir string) {
	d, err := m.dir(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && m.logs[tp] == nil {
		m.wanted[tp] = d
	}
}

// Future returns the copy that a partition has in another directory, nil if there is none.
func (m *Manager) Future(tp wire.TopicPartition) *Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.futures[tp]; h != nil {
		return h.log
	}
	return nil
}

// CreateFuture makes an empty copy of a partition's log in another directory.
//
// Errors: those of CheckDir, and KAFKA_STORAGE_ERROR while any directory is offline, as for every log that is not new.
func (m *Manager) CreateFuture(tp wire.TopicPartition, dir string) (*Log, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.retire(tp)
	d, err := m.dir(dir)
	if err != nil {
		return nil, err
	}
	if _, err := m.leastUsed(false); err != nil {
		return nil, fmt.Errorf("move %s: %w", tp, err)
	}
	m.mu.Lock()
	from, there := m.logs[tp], m.futures[tp]
	m.mu.Unlock()
	assert.That(from != nil && there == nil && from.dir != d, "INV-FUTURE: %s: a copy is made in %s", tp, dir)
	m.deleted++
	r := m.env.Rand(fmt.Sprintf("log/future/%s/%d", tp, m.deleted))
	name := fmt.Sprintf("%s.%016x%016x%s", tp, r.Uint64(), r.Uint64(), futureSuffix)
	l, _, err := Open(m.env, m.options(d, tp, Options{TopicID: from.log.TopicID(), Config: from.log.Config(), future: name}))
	if err != nil {
		d.health.tell()
		return nil, fmt.Errorf("move %s: %w", tp, err)
	}
	h := &held{log: l, dir: d, hw: -1}
	m.holdFuture(h)
	m.env.Emit(env.Event{Kind: evFutureMade, Topic: tp.Topic, Partition: tp.Partition, Text: d.path})
	return l, nil
}

// holdFuture takes an opened copy in, releaseFuture lets it out again: nil if there was none.
func (m *Manager) holdFuture(h *held) {
	m.serve(h)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.futures[h.log.tp] = h
	h.dir.logs++
}

func (m *Manager) releaseFuture(tp wire.TopicPartition) *held {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.futures[tp]
	if h != nil {
		delete(m.futures, tp)
		h.dir.logs--
	}
	return h
}

// DeleteFuture gives a copy up. None is no error. Nobody may be using it.
func (m *Manager) DeleteFuture(tp wire.TopicPartition) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.dropFuture(tp)
}

// dropFuture is DeleteFuture with changing held. In a directory that has failed the copy stays; the next start goes on with it.
func (m *Manager) dropFuture(tp wire.TopicPartition) error {
	h := m.releaseFuture(tp)
	if h == nil {
		return nil
	}
	m.env.Emit(env.Event{Kind: evFutureDropped, Topic: tp.Topic, Partition: tp.Partition, Text: h.dir.path})
	if h.dir.health.err() != nil {
		h.log.abandon()
		return nil
	}
	return m.discard(h)
}

// Promote puts the copy in the place of the log. Nobody may be in either, and both have the same content; hw is the partition's high
// watermark. It returns the new log, and what removes the old one, to be called when all have turned to the new. With an error the
// log is what it was, unless its own directory has failed.
//
// The steps, each durable before the next, and what a crash behind it leaves:
//
//  1. the copy takes the log's leader epochs and start, its high watermark is checkpointed, it is closed as at a clean stop: two
//     logs, of which the copy is called a copy
//  2. the notes are written: the same
//  3. the copy takes its final name: two logs, of which the notes tell the new one
//  4. retire: the old one is renamed for deletion: one log
//
// Errors: KAFKA_STORAGE_ERROR, also while any directory is offline: nothing is moved then.
func (m *Manager) Promote(tp wire.TopicPartition, hw int64) (l *Log, retire func(), err error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if _, err := m.leastUsed(false); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	from, to := m.logs[tp], m.futures[tp]
	m.mu.Unlock()
	assert.That(from != nil && to != nil && from.log.EndOffset() == to.log.EndOffset(),
		"INV-PROMOTE: %s: a copy that is not the same takes the log's place", tp)
	from.log.hold(true) // or retention could raise its start behind our back
	defer func() {
		if err != nil {
			from.log.hold(false)
		}
	}()
	if err := m.finishCopy(from, to, hw); err != nil {
		return nil, nil, err
	}
	number, err := m.exchange(from, to)
	if err == nil {
		l, err = m.openMoved(from, to)
	}
	if err != nil {
		// Whatever is in the other directory by now, it is not the log.
		m.forgetFuture(tp)
		m.writeNote(from.dir, from.log.path, moveNote{number: number + 1})
		return nil, nil, err
	}
	m.env.Emit(env.Event{Kind: evPromoted, Topic: tp.Topic, Partition: tp.Partition, V: [4]int64{l.EndOffset(), number}, Text: to.dir.path})
	return l, func() {
		m.changing.Lock()
		defer m.changing.Unlock()
		m.mu.Lock()
		still := m.retiring[tp].log == l // else it was done, and another move may be under way
		m.mu.Unlock()
		if still {
			m.retire(tp)
		}
	}, nil
}

// hold keeps retention from the log, or lets it go on.
func (l *Log) hold(on bool) {
	l.mu.Lock()
	defer l.unlock()
	l.held = on
}

// finishCopy makes the copy all that the log is, durably.
func (m *Manager) finishCopy(from, to *held, hw int64) error {
	for _, l := range []*Log{from.log, to.log} { // there must be directories to rename, and to put notes into
		l.mu.Lock()
		err := l.usable()
		if err == nil {
			err = l.bear()
		}
		l.unlock()
		if err != nil {
			return err
		}
	}
	if start := from.log.StartOffset(); start > to.log.StartOffset() {
		if err := to.log.AdvanceStartOffset(start); err != nil {
			return err
		}
	}
	if err := to.log.adoptEpochs(*from.log.epochs.Load()); err != nil {
		return err
	}
	to.hw = hw
	if err := m.checkpointHighWatermarks(to.dir, nil); err != nil {
		return err
	}
	if err := to.log.Close(); err != nil {
		return err
	}
	if err := m.checkpointDir(to.dir); err != nil {
		return err
	}
	return to.dir.health.err()
}

// adoptEpochs takes over the leader epochs of a log with the same records: epochs without any are not learned from batches.
func (l *Log) adoptEpochs(e epochs) error {
	l.mu.Lock()
	defer l.unlock()
	if slices.Equal(e, *l.epochs.Load()) {
		return nil
	}
	return l.storeEpochs(e)
}

// exchange writes the notes and gives the copy its final name. number is the larger one of the two notes in any case.
func (m *Manager) exchange(from, to *held) (number int64, err error) {
	old, err := m.readNote(from.dir, from.log.path)
	number = old.number + 1
	if err == nil {
		err = m.writeNote(to.dir, to.log.path, moveNote{number: number})
	}
	if err == nil {
		err = m.writeNote(from.dir, from.log.path, moveNote{number: old.number, to: to.dir.path})
	}
	if err != nil {
		return number, err
	}
	err = m.env.Rename(to.log.path, path.Join(to.dir.path, from.log.tp.String()))
	if err == nil {
		err = m.env.SyncDir(to.dir.path)
	}
	if err != nil {
		err = to.dir.health.fail("move "+from.log.tp.String(), err)
	}
	return number, err
}

// openMoved opens the log in its new place and takes it in.
//
// DEVIATION(KIP-113): Kafka takes the cleaner's offset along. Ours begins anew: the cleaner may have been at work while the copy began.
func (m *Manager) openMoved(from, to *held) (*Log, error) {
	end := to.log.EndOffset()
	l, _, err := Open(m.env, m.options(to.dir, from.log.tp, Options{TopicID: from.log.TopicID(), Config: from.log.Config(),
		RecoveryPoint: end, StartOffset: to.log.StartOffset(), CleanShutdown: true}))
	if err != nil {
		return nil, err
	}
	assert.That(l.EndOffset() == from.log.EndOffset() && l.StartOffset() == from.log.StartOffset(), "INV-PROMOTE: %s: moved [%d, %d), it is [%d, %d)",
		l.tp, from.log.StartOffset(), from.log.EndOffset(), l.StartOffset(), l.EndOffset())
	// Opening has cut the epochs without records at the end; the leader of the last one goes on in it.
	if err := l.adoptEpochs(*from.log.epochs.Load()); err != nil {
		return nil, err
	}
	from.log.mu.Lock()
	verifying := maps.Clone(from.log.verifying)
	from.log.mu.Unlock()
	l.mu.Lock()
	l.verifying = verifying // transactions that the coordinator is being asked about
	l.mu.Unlock()
	m.releaseFuture(l.tp)
	m.hold(&held{log: l, dir: to.dir, hw: to.hw})
	m.mu.Lock()
	from.dir.logs--
	m.retiring[l.tp] = retiring{from, to.dir, l}
	m.mu.Unlock()
	return l, nil
}

// retiring is a log that has moved away and whose files are still there.
type retiring struct {
	from *held
	to   *logDir
	log  *Log // the moved one
}

// retire removes the log that has moved away, if it has not been done. Whoever makes a log or a copy of the same partition, moves it again
// or deletes it, does this first: the old directory may be the one that it needs. The caller holds changing.
func (m *Manager) retire(tp wire.TopicPartition) {
	m.mu.Lock()
	r, there := m.retiring[tp]
	delete(m.retiring, tp)
	m.mu.Unlock()
	if !there || m.discard(r.from) != nil {
		return // nothing to do; or its directory has failed: should it come back, the note tells
	}
	if m.Get(tp) == r.log && r.to.health.err() == nil {
		m.removeNote(r.to, r.log.path)
	}
	r.to.health.tell()
}

func (m *Manager) forgetFuture(tp wire.TopicPartition) {
	if h := m.releaseFuture(tp); h != nil {
		h.log.abandon()
	}
}

// LoseFutures forgets the copies in directories that have failed: what is left of them, the next start finds. It waits for nobody.
func (m *Manager) LoseFutures() {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.futures, func(_ wire.TopicPartition, h *held) bool { return h.dir.health.err() != nil })
}

// loadFutures opens the copies in a directory. One whose log is in the same directory, or that is the second, is of no use and goes.
func (m *Manager) loadFutures(d *logDir, in inDir, said saidOffsets) error {
	for _, tp := range slices.SortedFunc(maps.Keys(in.futures), wire.TopicPartition.Compare) {
		if slices.Contains(in.tps, tp) || m.Future(tp) != nil {
			if err := env.RemoveAll(m.env, path.Join(d.path, in.futures[tp])); err != nil {
				return d.health.fail("remove "+in.futures[tp], err)
			}
			continue
		}
		l, _, err := Open(m.env, m.options(d, tp, Options{Config: m.cfg.Topic, RecoveryPoint: said.recoveryPoints[tp], StartOffset: said.starts[tp],
			CleanShutdown: d.clean, rewrite: d.suspect, future: in.futures[tp]}))
		if err != nil {
			return err
		}
		m.holdFuture(&held{log: l, dir: d, hw: -1})
	}
	return nil
}

// inside lists the logs in a directory, copies too, sorted by partition.
func (m *Manager) inside(d *logDir) []*Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	var logs []*Log
	for _, tp := range m.list(d) {
		logs = append(logs, m.logs[tp].log)
	}
	for _, tp := range slices.SortedFunc(maps.Keys(m.futures), wire.TopicPartition.Compare) {
		if h := m.futures[tp]; h.dir == d {
			logs = append(logs, h.log)
		}
	}
	return logs
}
