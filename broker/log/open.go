package log

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evDirOpened = env.NewKind("log-dir-opened", env.Info, "logs", "clean", "cut")
	evLogFailed = env.NewKind("log-open-failed", env.Error)
)

// closeTasks is how many logs of a directory are closed at once: all that takes time is waiting for syncs, and what waits together
// shares the device's flushes and the file system's commits.
const closeTasks = 16

// eachOf calls f for 0 to n-1 in several tasks, each taking the next, and returns when all are done.
func (m *Manager) eachOf(n, tasks int, name string, f func(i int)) {
	next := 0
	group := env.NewGroup(m.env)
	for task := range min(tasks, n) {
		group.Go(fmt.Sprintf("%s-%d", name, task), func() {
			for {
				m.mu.Lock()
				i := next
				next++
				m.mu.Unlock()
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	group.Wait()
}

// recoveryTasks is how many logs of a directory are opened at once, at least (num.recovery.threads.per.data.dir is 1 by default in 3.9; ours
// are cheap).
const recoveryTasks = 4

// OpenManager opens the log directories, making those that are missing, loads all logs, and recovers those of
// directories that were not shut down cleanly. A directory that fails is offline; when all do, it is an error. What else is wrong with one is an error
// too, and leaves the clean-shutdown markers of all where they were. The directories are
// locked until Shutdown: env.ErrLocked when another has one, and then nothing in it has been touched.
//
// Source: LogManager#lockLogDirs, #loadLogs.
func OpenManager(e env.Env, cfg *config.Broker) (m *Manager, err error) {
	if len(cfg.LogDirs) == 0 {
		return nil, errors.New("log.dirs names no directory")
	}
	m = &Manager{env: e, cfg: cfg, changing: e.NewMutex(), reconfiguring: e.NewMutex(), mu: e.NewMutex(), logs: map[wire.TopicPartition]*held{}, hws: map[wire.TopicPartition]int64{},
		futures: map[wire.TopicPartition]*held{}, wanted: map[wire.TopicPartition]*logDir{}, retiring: map[wire.TopicPartition]retiring{}, intact: newIntact(e, cfg.EligibleLeaderReplicas)}
	defer func() {
		if err != nil {
			m.closeFiles()
			m.release()
			m = nil
		}
	}()
	var first error
	// bearable says that a directory's error, if any, is the disk's fault: else somebody must look.
	bearable := func(d *logDir, err error) bool {
		if err != nil && first == nil {
			first = err
		}
		return err == nil || d.health.err() != nil
	}
	in := make([]inDir, len(cfg.LogDirs))
	for i, name := range cfg.LogDirs {
		d := newLogDir(e, name, m.intact)
		m.dirs = append(m.dirs, d)
		m.intact.watch(d)
		var err error
		if in[i], err = m.lookInto(d); !bearable(d, err) {
			return m, err
		}
	}
	if err := m.intact.opened(); err != nil && first == nil {
		first = err
	}
	if len(m.dirs) > 1 {
		m.settleMoves(in)
	}
	for i, err := range m.openDirs(in) {
		if !bearable(m.dirs[i], err) {
			return m, err
		}
	}
	for _, d := range m.dirs { // the markers go once nothing can keep the broker from starting but the disks
		if err := m.takeOver(d); !bearable(d, err) {
			return m, err
		}
	}
	if len(m.OfflineDirs()) == len(m.dirs) {
		return m, first
	}
	m.intact.doubt(m.recovers)
	slices.SortFunc(m.recovers, func(a, b Recovered) int { return a.TP.Compare(b.TP) })
	return m, nil
}

// lookInto lists one directory. A failing disk takes it offline; anything else comes back as it is.
func (m *Manager) lookInto(d *logDir) (inDir, error) {
	in, err := d.open()
	if errors.Is(err, env.ErrIO) || errors.Is(err, env.ErrNoSpace) {
		err = d.health.fail("open "+d.path, err)
	}
	return in, err
}

// openDirs loads the logs of all directories, of each on the same terms, and returns what failed in each. They are opened at the same time:
// each is a device of its own, most likely.
func (m *Manager) openDirs(in []inDir) []error {
	errs, said := make([]error, len(in)), make([]saidOffsets, len(in))
	load := func(i int) {
		if errs[i] = m.dirs[i].health.err(); errs[i] != nil {
			return
		}
		if said[i], errs[i] = m.dirs[i].readOffsets(); errs[i] == nil {
			errs[i] = m.loadLogs(m.dirs[i], in[i].tps, said[i])
		}
	}
	if len(in) == 1 {
		load(0)
	} else {
		m.eachOf(len(in), len(in), "log-dir-open", load)
	}
	for i, d := range m.dirs {
		if errs[i] != nil {
			continue
		}
		for _, tp := range in[i].tps {
			if hw, ok := said[i].hws[tp]; ok {
				m.hws[tp], m.logs[tp].hw = hw, hw
			}
		}
		errs[i] = m.loadFutures(d, in[i], said[i])
	}
	return errs
}

// saidOffsets are what the checkpoints of a directory say.
type saidOffsets struct {
	recoveryPoints, starts, hws, cleaned map[wire.TopicPartition]int64
}

func (d *logDir) readOffsets() (said saidOffsets, err error) {
	for _, file := range []struct {
		name string
		to   *map[wire.TopicPartition]int64
	}{{recoveryPointFile, &said.recoveryPoints}, {startOffsetFile, &said.starts}, {highWatermarkFile, &said.hws}, {cleanerFile, &said.cleaned}} {
		if *file.to, err = d.read(file.name); err != nil {
			return said, d.health.fail("read "+file.name, err)
		}
	}
	return said, nil
}

// takeOver begins to write in a directory whose logs are open. With everything vouched for anew the marker goes, and checkpoints forget partitions
// that are gone.
func (m *Manager) takeOver(d *logDir) error {
	if err := d.health.err(); err != nil {
		return err
	}
	if err := d.unmark(); err != nil {
		return d.health.fail("remove clean-shutdown marker", err)
	}
	if err := d.trust(); err != nil {
		return d.health.fail("remove "+doubtFile, err)
	}
	if err := m.checkpointDir(d); err != nil {
		return err
	}
	return m.checkpointHighWatermarks(d, nil)
}

// loadLogs opens the logs in several tasks, each taking the next.
func (m *Manager) loadLogs(d *logDir, tps []wire.TopicPartition, said saidOffsets) error {
	var failed error
	var cut int64
	m.eachOf(len(tps), max(recoveryTasks, m.cfg.Live().NumRecoveryThreads), "log-recovery", func(i int) {
		m.mu.Lock()
		stop := failed != nil
		m.mu.Unlock()
		if stop {
			return
		}
		tp := tps[i]
		l, r, err := Open(m.env, m.options(d, tp, Options{
			Config: m.cfg.Topic, RecoveryPoint: said.recoveryPoints[tp], StartOffset: said.starts[tp], Cleaned: said.cleaned[tp], CleanShutdown: d.clean, rewrite: d.suspect, foreign: d.foreign,
		}))
		if err == nil && !m.holdFirst(&held{log: l, dir: d, hw: -1}) {
			l.abandon()
			err = fmt.Errorf("%s is in %s and in another log directory", tp, d.path)
		}
		m.mu.Lock()
		if err != nil && failed == nil {
			failed = err
		}
		cut += r.CutBytes
		m.recovers = append(m.recovers, Recovered{tp, r})
		m.mu.Unlock()
		if err != nil {
			m.env.Emit(env.Event{Kind: evLogFailed, Topic: tp.Topic, Partition: tp.Partition, Text: err.Error()})
		}
	})
	clean := int64(0)
	if d.clean {
		clean = 1
	}
	m.env.Emit(env.Event{Kind: evDirOpened, V: [4]int64{int64(len(tps)), clean, cut}, Text: d.path})
	return failed
}

// Shutdown ends the background work and closes all logs. If clean, everything is synced first and a marker says so: the
// next start recovers nothing.
//
// Source: LogManager#shutdown.
func (m *Manager) Shutdown(clean bool) error {
	return m.closeDirs(func(d *logDir) (bool, int64) { return clean, d.intact.stopEpoch() })
}

// Abandon is Shutdown of a broker that could not start, and has written nothing: a directory that was found shut down cleanly is left so, with
// the marker as it was, and any other as after a crash.
func (m *Manager) Abandon() error {
	return m.closeDirs(func(d *logDir) (bool, int64) { return d.clean, d.cleanEpoch })
}

// closeDirs closes all logs; how tells of each directory whether it is to be left clean, and what its marker is to say.
func (m *Manager) closeDirs(how func(*logDir) (clean bool, epoch int64)) error {
	m.reconfiguring.Lock()
	m.stopCleaner()
	m.stopBackground()
	m.reconfiguring.Unlock()
	m.changing.Lock()
	defer m.changing.Unlock()
	defer m.release()
	var all error
	for _, d := range m.dirs {
		clean, epoch := how(d)
		if err := m.closeDir(d, clean, epoch); err != nil {
			all = errors.Join(all, fmt.Errorf("close %s: %w", d.path, err))
		}
		d.health.tell()
	}
	return all
}

// closeFiles closes the logs of a manager that has come to nothing. Nobody else has it, so that no lock is needed.
func (m *Manager) closeFiles() {
	for _, logs := range []map[wire.TopicPartition]*held{m.logs, m.futures} {
		for _, tp := range slices.SortedFunc(maps.Keys(logs), wire.TopicPartition.Compare) {
			logs[tp].log.closeFiles()
		}
	}
}

// release unlocks the directories.
func (m *Manager) release() {
	for _, d := range m.dirs {
		d.release()
	}
}

func (m *Manager) closeDir(d *logDir, clean bool, epoch int64) error {
	logs := m.inside(d)
	var failed error
	m.eachOf(len(logs), closeTasks, "log-close", func(i int) {
		l := logs[i]
		if !clean || d.health.err() != nil {
			l.abandon()
			return
		}
		if err := l.Close(); err != nil && !errors.Is(err, kerr.KafkaStorageError) {
			m.mu.Lock()
			failed = err
			m.mu.Unlock()
		}
	})
	if failed != nil {
		return failed
	}
	if err := d.health.err(); err != nil || !clean {
		return err
	}
	if err := m.checkpointDir(d); err != nil {
		return err
	}
	if err := d.mark(epoch); err != nil {
		return d.health.fail("write clean-shutdown marker", err)
	}
	return nil
}
