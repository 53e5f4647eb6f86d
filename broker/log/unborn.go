package log

import (
	"io"
	"path"

	"barnabas/broker/assert"
	"barnabas/broker/env"
)

// # Logs that nothing was written to
//
// A new log is in memory, and soon a directory, and nothing else: no file, no descriptor, no sync. Topic id and leader epochs are
// kept in memory, and the directory is made when nobody waits for it. Before its first byte is written it is born: partition.metadata, leader-epoch-checkpoint and the first segment are made, and
// they and the directory's own name are durable before a record is. So thousands of partitions are created while
// a file system would make a few hundred directories, and a broker holds no descriptor for one that is never used.
//
// What a crash, power loss or stop takes away before that is an empty log's identity, and it gets it again:
//
//   - the directory: the controller asks for the partition again, and it is made again, perhaps in another log directory
//   - the topic id: an empty directory takes the id that the controller names. It cannot hold another topic's records: those
//     came behind a durable partition.metadata
//   - the leader epochs: none of them has a record here. A leader assigns its new epoch before it serves, and a follower that has
//     nothing has nothing to cut
//
// Source: UnifiedLog#assignTopicId and #maybeFlushMetadataFile, by which Kafka, too, writes partition.metadata with the first
// append at the latest. DEVIATION(Kafka): it makes the files of the first segment, and leader-epoch-checkpoint, at once.

// isUnborn says of a directory with these files that nothing was ever written to it.
func isUnborn(o Options, files []string) bool {
	if o.StartOffset > 0 || o.RecoveryPoint > 0 {
		return false
	}
	for _, name := range files {
		if _, _, ok := parseFileName(name); ok || name == partitionFile || name == epochsFile {
			return false
		}
	}
	return true
}

// unbornSegment is the first segment of a log without a file. Its indexes are empty and stay so, which is why all such logs share
// them: another segment takes its place before anything is written.
func unbornSegment(e env.Env, dir string) *segment {
	g := &segment{
		fs: e, dir: dir, firstTime: -1, maxTime: -1, maxTimeKnown: true, createdMs: e.Now().UnixMilli(),
		file: unmade{}, places: &unbornPlaces, times: &unbornTimes, aborted: &unbornAborted,
	}
	g.refs.Store(1)
	return g
}

var (
	unbornPlaces  = index{width: offsetEntrySize, loaded: true}
	unbornTimes   = index{width: timeEntrySize, loaded: true}
	unbornAborted = txnIndex{loaded: true}
)

// bear gives the log its files, durably. It comes before anything is written.
func (l *Log) bear() error {
	if !l.unborn {
		return nil
	}
	if err := l.give(); err != nil {
		return l.fail("create", err)
	}
	l.unborn, l.epochsBehind = false, false
	return nil
}

// house makes the log's directory. Its name is not durable yet.
func (l *Log) house() error {
	if !l.homeless {
		return nil
	}
	if err := l.env.MkdirAll(l.path); err != nil {
		return err
	}
	l.homeless = false
	return nil
}

// makeDir is house for who has not the lock. A failure takes the log directory offline.
func (l *Log) makeDir() {
	l.mu.Lock()
	defer l.unlock()
	if l.closed || l.health.err() != nil {
		return
	}
	if err := l.house(); err != nil {
		l.fail("create", err)
	}
}

func (l *Log) give() error {
	if err := l.house(); err != nil {
		return err
	}
	if err := l.env.SyncDir(path.Dir(l.path)); err != nil {
		return err
	}
	if l.topicID != [16]byte{} {
		if err := writeAside(l.env, path.Join(l.path, partitionFile), encodePartition(l.topicID)); err != nil {
			return err
		}
	}
	if e := *l.epochs.Load(); len(e) > 0 {
		if err := writeAside(l.env, path.Join(l.path, epochsFile), e.encode()); err != nil {
			return err
		}
	}
	g, err := createSegment(l.env, l.path, 0, l.env.Now().UnixMilli()) // and syncs the directory, for all three
	if err != nil {
		return err
	}
	old := l.segments[0]
	l.segments[0] = g
	old.release()
	return nil
}

// writeAside is env.ReplaceFile without the sync of the directory, for which the caller sees.
func writeAside(fsys env.FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeFile(fsys, tmp, data, true); err != nil {
		return err
	}
	return fsys.Rename(tmp, name)
}

// unmade stands for the file of a segment that has none yet: it is empty.
type unmade struct{}

func (unmade) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (unmade) Size() (int64, error)              { return 0, nil }
func (unmade) Sync() error                       { return nil }
func (unmade) Close() error                      { return nil }
func (unmade) Name() string                      { return "the segment of a log that nothing was written to" }

func (unmade) WriteAt([]byte, int64) (int, error) {
	assert.That(false, "INV-UNBORN: write to a log that has no file yet")
	return 0, io.ErrUnexpectedEOF
}

func (unmade) Truncate(size int64) error {
	assert.That(size == 0, "INV-UNBORN: truncation to %d bytes of a log that has no file yet", size)
	return nil
}
