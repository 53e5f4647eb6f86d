package log

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Manager owns the log directories of one broker and all logs in them. It is safe for concurrent use.
//
// Lock order: changing → log → logDir.writing → mu. Nothing is called with mu held.
//
// Source: LogManager.
type Manager struct {
	env  env.Env
	cfg  *config.Broker
	dirs []*logDir

	changing      env.Mutex // held while a log is made, moved or deleted
	reconfiguring env.Mutex // held while the cleaner is stopped and started, and when the background work ends
	config        struct {  // of the last log made, and what the log makes of it: topics mostly share theirs
		of   config.Topic
		made *config.Topic
	}
	deleted  int
	mu       env.Mutex
	logs     map[wire.TopicPartition]*held
	futures  map[wire.TopicPartition]*held    // copies on their way to another directory, see move.go
	retiring map[wire.TopicPartition]retiring // logs that have moved away, until their files go
	wanted   map[wire.TopicPartition]*logDir  // where a log shall be made that is not there yet
	hws      map[wire.TopicPartition]int64    // as the checkpoints said when opened
	recovers []Recovered
	listener func(dir string, err error)

	background *background
	cleaner    *cleaner
	intact     *intact
}

// held is a log and where it lives.
type held struct {
	log *Log
	dir *logDir
	hw  int64 // as last checkpointed, -1 if never
}

// Get returns the log of a partition, nil if there is none.
func (m *Manager) Get(tp wire.TopicPartition) *Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.logs[tp]; h != nil {
		return h.log
	}
	return nil
}

// GetOrCreate is Host for a partition that this broker may have had before.
func (m *Manager) GetOrCreate(tp wire.TopicPartition, topicID [16]byte, cfg config.Topic) (*Log, error) {
	return m.Host(tp, topicID, cfg, false)
}

// Host returns the log of a partition, making it in the directory with the fewest if there is none. An existing one takes
// the configuration. isNew says that the partition is new in the cluster: then no directory that failed can hold it.
//
// Errors: INCONSISTENT_TOPIC_ID; KAFKA_STORAGE_ERROR, also when a directory is offline that may hold it.
//
// Source: LogManager#getOrCreateLog.
func (m *Manager) Host(tp wire.TopicPartition, topicID [16]byte, cfg config.Topic, isNew bool) (*Log, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if l := m.Get(tp); l != nil {
		l.SetConfig(cfg)
		l.mu.Lock()
		defer l.unlock()
		if err := l.usable(); err != nil {
			return nil, err
		}
		return l, l.setTopicID(topicID)
	}
	m.retire(tp)
	if err := m.dropFuture(tp); err != nil { // of an earlier replica: without a log it is nobody's copy
		return nil, fmt.Errorf("create %s: %w", tp, err)
	}
	d, err := m.chooseDir(tp, isNew)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", tp, err)
	}
	m.mu.Lock()
	b := m.background
	m.mu.Unlock()
	l, _, err := Open(m.env, m.options(d, tp, Options{TopicID: topicID, Config: cfg, dirLater: b != nil}))
	if err != nil {
		d.health.tell()
		return nil, fmt.Errorf("create %s: %w", tp, err)
	}
	if m.config.made == nil || m.config.of != cfg {
		m.config.of, m.config.made = cfg, l.config.Load()
	}
	l.config.Store(m.config.made)
	m.hold(&held{log: l, dir: d, hw: -1})
	m.mu.Lock()
	delete(m.wanted, tp)
	m.mu.Unlock()
	if b != nil {
		b.homeless.TryPut(l)
	}
	return l, nil
}

// options completes the options of a log in a directory.
func (m *Manager) options(d *logDir, tp wire.TopicPartition, o Options) Options {
	o.Dir, o.TP, o.Bugs, o.ProducerIDExpiration, o.health = d.path, tp, m.cfg.Bugs, m.cfg.Live().ProducerIDExpiration, d.health
	return o
}

// hold takes an opened log in.
func (m *Manager) hold(h *held) {
	m.serve(h)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logs[h.log.tp] = h
	h.dir.logs++
}

// holdFirst is hold; false if there is a log of the partition already.
func (m *Manager) holdFirst(h *held) bool {
	m.serve(h)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs[h.log.tp] != nil {
		return false
	}
	m.logs[h.log.tp] = h
	h.dir.logs++
	return true
}

// serve connects a log with what the manager does for it. A copy is synced by whoever makes it.
func (m *Manager) serve(h *held) {
	h.log.checkpoint = func() error { return m.checkpointDir(h.dir) }
	if !h.log.copying {
		h.log.rolled = m.rolled
	}
	h.log.doom = func(l *Log, files []string) { m.doom(h.dir, l.config.Load().FileDeleteDelay, files) }
}

// chooseDir is where a log is made: where somebody wants it, else in the directory with the fewest.
func (m *Manager) chooseDir(tp wire.TopicPartition, isNew bool) (*logDir, error) {
	best, err := m.leastUsed(isNew)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	wanted := m.wanted[tp]
	m.mu.Unlock()
	if wanted == nil {
		return best, nil
	}
	markMadeInTheWantedDirectory.Hit()
	return wanted, wanted.health.err()
}

// leastUsed is the directory with the fewest logs, the first of them in the configuration, of those that are well. Where
// one is not, only a log that cannot be in it may be made elsewhere.
func (m *Manager) leastUsed(isNew bool) (*logDir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *logDir
	var failed error
	for _, d := range m.dirs {
		if err := d.health.err(); err != nil {
			failed = err
			continue
		}
		if best == nil || d.logs < best.logs {
			best = d
		}
	}
	if failed != nil && (best == nil || !isNew) {
		return nil, failed
	}
	return best, nil
}

// Delete takes the log away and removes its files. A crash half-way is finished at the next start. A log that does not
// exist is no error.
//
// The directory is renamed, durably, before anything else: from then on the partition has no log. Then the checkpoints
// forget it, lest a log of the same name inherits its offsets; then, after file.delete.delay.ms, the files go.
//
// Source: LogManager#asyncDelete, LocalLog.logDeleteDirName.
func (m *Manager) Delete(tp wire.TopicPartition) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.retire(tp)
	m.mu.Lock()
	h := m.logs[tp]
	delete(m.logs, tp)
	delete(m.wanted, tp)
	if h != nil {
		h.dir.logs--
	}
	m.mu.Unlock()
	if h == nil {
		return m.dropFuture(tp)
	}
	return errors.Join(m.discard(h), m.dropFuture(tp))
}

// discard closes a log that is in no map any more, renames its directory, has the checkpoints forget it, and its files removed. The
// caller holds changing.
func (m *Manager) discard(h *held) error {
	d, tp := h.dir, h.log.tp
	defer d.health.tell()
	h.log.abandon()
	if err := d.health.err(); err != nil {
		return err
	}
	gone := ""
	var err error
	if !h.log.homeless { // else there is nothing, and will not be: it is abandoned
		gone = path.Join(d.path, m.deletedName(tp))
		err = m.env.Rename(h.log.path, gone)
		if err == nil {
			err = m.env.SyncDir(d.path)
		}
		if err != nil {
			return d.health.fail("delete "+tp.String(), err)
		}
	}
	err = m.checkpointDir(d)
	if err == nil {
		err = m.checkpointHighWatermarks(d, nil)
	}
	if err != nil {
		return err
	}
	if gone != "" {
		m.doom(d, h.log.config.Load().FileDeleteDelay, []string{gone})
	}
	return d.health.err()
}

// deletedName is the directory's name while it is being deleted, of at most 255 bytes.
func (m *Manager) deletedName(tp wire.TopicPartition) string {
	m.deleted++
	r := m.env.Rand(fmt.Sprintf("log/delete/%s/%d", tp, m.deleted))
	suffix := fmt.Sprintf("-%d.%016x%016x%s", tp.Partition, r.Uint64(), r.Uint64(), deleteSuffix)
	return tp.Topic[:min(len(tp.Topic), 255-len(suffix))] + suffix
}

// List names all partitions that have a log, sorted.
func (m *Manager) List() []wire.TopicPartition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list(nil)
}

// list names the partitions in a directory, or in all, sorted. mu is held.
func (m *Manager) list(d *logDir) []wire.TopicPartition {
	tps := make([]wire.TopicPartition, 0, len(m.logs))
	for tp, h := range m.logs { // unordered: sorted below
		if d == nil || h.dir == d {
			tps = append(tps, tp)
		}
	}
	slices.SortFunc(tps, wire.TopicPartition.Compare)
	return tps
}

// HighWatermarks are those that the checkpoints held when the manager opened. A partition without one is missing.
func (m *Manager) HighWatermarks() map[wire.TopicPartition]int64 { return maps.Clone(m.hws) }

// CheckpointHighWatermarks writes replication-offset-checkpoint. A partition that has a log but is missing from hws
// keeps what the checkpoint said before.
//
// Source: ReplicaManager#checkpointHighWatermarks.
func (m *Manager) CheckpointHighWatermarks(hws map[wire.TopicPartition]int64) error {
	return m.eachDir(func(d *logDir) error { return m.checkpointHighWatermarks(d, hws) })
}

func (m *Manager) checkpointHighWatermarks(d *logDir, hws map[wire.TopicPartition]int64) error {
	return d.checkpoint(highWatermarkFile, func() map[wire.TopicPartition]int64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		offsets := map[wire.TopicPartition]int64{}
		for tp, h := range m.logs { // unordered: fills a map
			if h.dir != d {
				continue
			}
			if hw, ok := hws[tp]; ok {
				h.hw = hw
			}
			if h.hw >= 0 {
				offsets[tp] = h.hw
			}
		}
		for tp, h := range m.futures { // unordered: fills a map
			if h.dir == d && h.hw >= 0 {
				offsets[tp] = h.hw
			}
		}
		return offsets
	})
}

// CheckpointRecoveryPoints writes recovery-point-offset-checkpoint and log-start-offset-checkpoint.
func (m *Manager) CheckpointRecoveryPoints() error { return m.eachDir(m.checkpointDir) }

// checkpointDir writes a directory's recovery points and log starts. A start that is its first segment's base is left
// out, as Kafka does: the directory tells it.
func (m *Manager) checkpointDir(d *logDir) error {
	err := d.checkpoint(recoveryPointFile, func() map[wire.TopicPartition]int64 {
		return m.offsets(d, (*Log).verified)
	})
	if err != nil {
		return err
	}
	err = d.checkpoint(cleanerFile, func() map[wire.TopicPartition]int64 {
		cleaned := m.offsets(d, func(l *Log) int64 { return l.cleaned.Load() })
		maps.DeleteFunc(cleaned, func(_ wire.TopicPartition, offset int64) bool { return offset == 0 })
		return cleaned
	})
	if err != nil {
		return err
	}
	return d.checkpoint(startOffsetFile, func() map[wire.TopicPartition]int64 {
		starts := m.offsets(d, (*Log).StartOffset)
		maps.DeleteFunc(starts, func(_ wire.TopicPartition, start int64) bool { return start == 0 })
		return starts
	})
}

func (m *Manager) offsets(d *logDir, of func(*Log) int64) map[wire.TopicPartition]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[wire.TopicPartition]int64{}
	for _, logs := range []map[wire.TopicPartition]*held{m.logs, m.futures} {
		for tp, h := range logs { // unordered: fills a map
			if h.dir == d {
				out[tp] = of(h.log)
			}
		}
	}
	return out
}

// eachDir calls f for each directory that is well, and joins what fails.
func (m *Manager) eachDir(f func(*logDir) error) error {
	var all error
	for _, d := range m.dirs {
		if d.health.err() != nil {
			continue
		}
		all = errors.Join(all, f(d))
		d.health.tell()
	}
	return all
}

// OnFailure sets what is told, with no lock held, when a log directory goes offline. Directories that failed earlier
// are told at once.
func (m *Manager) OnFailure(f func(dir string, err error)) {
	for _, d := range m.dirs {
		d.health.listen.Store(&f)
		d.health.tell()
	}
}

// OfflineDirs lists the log directories that failed, in the order of the configuration.
func (m *Manager) OfflineDirs() []string {
	var names []string
	for _, d := range m.dirs {
		if d.health.err() != nil {
			names = append(names, d.path)
		}
	}
	return names
}

// Meta is what meta.properties of the first directory that has one says.
func (m *Manager) Meta() Meta {
	for _, d := range m.dirs {
		if d.meta != (Meta{BrokerID: -1}) {
			return d.meta
		}
	}
	return Meta{BrokerID: -1}
}

// VerifyMeta holds the directories to a cluster and a broker, and without one, -1, to each other. It returns the broker that was named or
// that they name, -1 if none does. Errors: INCONSISTENT_CLUSTER_ID when a directory belongs to another cluster, and a plain error when it
// belongs to another broker.
//
// Source: MetaPropertiesEnsemble#verify, #nodeId.
func (m *Manager) VerifyMeta(meta Meta) (brokerID int32, err error) {
	named := "this is"
	for _, d := range m.dirs {
		switch {
		case d.health.err() != nil:
		case d.meta.ClusterID != "" && d.meta.ClusterID != meta.ClusterID:
			err = errors.Join(err, fmt.Errorf("%s belongs to cluster %s, this is %s: %w", d.path, d.meta.ClusterID, meta.ClusterID, kerr.InconsistentClusterID))
		case d.meta.BrokerID < 0 || d.meta.BrokerID == meta.BrokerID:
		case meta.BrokerID < 0:
			meta.BrokerID, named = d.meta.BrokerID, d.path+" belongs to"
		default:
			err = errors.Join(err, fmt.Errorf("%s belongs to broker %d, %s %d", d.path, d.meta.BrokerID, named, meta.BrokerID))
		}
	}
	return meta.BrokerID, err
}

// SetMeta writes meta.properties where it is missing or says less, once all directories are verified (VerifyMeta).
func (m *Manager) SetMeta(meta Meta) error {
	if _, err := m.VerifyMeta(meta); err != nil {
		return err
	}
	return m.eachDir(func(d *logDir) error { return d.setMeta(meta) })
}

// Recoveries says what opening did to each log, sorted by partition.
func (m *Manager) Recoveries() []Recovered { return slices.Clone(m.recovers) }

// Recovered is what opening did to one log.
type Recovered struct {
	TP wire.TopicPartition
	Recovery
}
