package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper/jute"
	"barnabas/broker/zookeeper/server/tree"
)

// ErrDamaged is the error of a data directory that has lost transactions which had been acknowledged.
var ErrDamaged = errors.New("zookeeper: data directory is damaged")

var (
	evRecovered = env.NewKind("zookeeper-recovered", env.Info, "zxid", "nodes", "sessions", "cut")
	evSnapshot  = env.NewKind("zookeeper-snapshot", env.Info, "zxid", "bytes")
	evBadFile   = env.NewKind("zookeeper-bad-file", env.Warn)
)

const (
	snapshotMagic  = "BZKSNAP\x01"
	snapshotHeader = len(snapshotMagic) + 8 + 4 // magic, payload length, CRC-32C of length and payload
	snapshotMax    = 4 << 30
)

// store is the data directory: snapshots and the logs behind them.
type store struct {
	e    env.Env
	dir  string
	kept int // snapshots
	wal  wal
	lock io.Closer
}

// openStore recovers the tree, and begins anew with a snapshot of it and an empty log.
//
// Why a snapshot at every start: a sync that failed in the life before may have left a batch in the page cache that is
// not on disk and, being clean now, never will be. Recovery reads it as if it were there; written once more it is.
//
// The directory is locked before it is read: two servers that write one log would each acknowledge what the other destroys.
func openStore(e env.Env, dir string, kept int) (*store, *tree.Tree, error) {
	st := &store{e: e, dir: dir, kept: kept, wal: wal{fs: e, dir: dir}}
	if err := makeDir(e, dir); err != nil {
		return nil, nil, fmt.Errorf("zookeeper data directory: %w", err)
	}
	var err error
	if st.lock, err = e.Lock(dir); errors.Is(err, env.ErrLocked) {
		return nil, nil, fmt.Errorf("zookeeper data directory %s is in use: stop the server that has it, or give this one another: %w", dir, err)
	} else if err != nil {
		return nil, nil, fmt.Errorf("zookeeper data directory: %w", err)
	}
	t, err := st.begin()
	if err != nil {
		return nil, nil, errors.Join(err, st.lock.Close())
	}
	return st, t, nil
}

// begin recovers the tree from a directory that is locked.
func (st *store) begin() (*tree.Tree, error) {
	t, cut, err := st.recover()
	if err != nil {
		return nil, err
	}
	st.e.Emit(env.Event{Kind: evRecovered, Text: st.dir,
		V: [4]int64{t.Zxid(), int64(t.Len()), int64(len(t.Sessions())), cut}})
	if err := st.checkpoint(t.Zxid(), encodeSnapshot(t)); err != nil {
		return nil, err
	}
	return t, nil
}

// close ends the log and gives the directory to the next.
func (st *store) close() error { return errors.Join(st.wal.close(), st.lock.Close()) }

// makeDir makes a directory and those above it, durably. It syncs all of them at every start: the life that made one
// may have crashed before it synced it. Those that are not ours to read were there before.
func makeDir(fsys env.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for dir != path.Dir(dir) {
		dir = path.Dir(dir)
		if err := fsys.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// checkpoint makes a snapshot durable, begins the log behind it, and removes what is no longer needed.
func (st *store) checkpoint(zxid int64, snapshot []byte) error {
	if err := env.ReplaceFile(st.e, snapshotName(st.dir, zxid), snapshot); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := st.wal.roll(zxid); err != nil {
		return err
	}
	st.e.Emit(env.Event{Kind: evSnapshot, V: [4]int64{zxid, int64(len(snapshot))}})
	return st.purge()
}

// purge removes all but the newest snapshots and the logs since the oldest of those.
func (st *store) purge() error {
	snapshots, logs, rest, err := st.list()
	if err != nil {
		return err
	}
	var old []string
	for _, name := range rest {
		old = append(old, path.Join(st.dir, name))
	}
	if extra := len(snapshots) - st.kept; extra > 0 {
		for _, zxid := range snapshots[:extra] {
			old = append(old, snapshotName(st.dir, zxid))
		}
		snapshots = snapshots[extra:]
	}
	for _, zxid := range logs {
		if zxid < snapshots[0] {
			old = append(old, logName(st.dir, zxid))
		}
	}
	for _, name := range old {
		if err := st.e.Remove(name); err != nil {
			return fmt.Errorf("purge: %w", err)
		}
	}
	return nil
}

// list reads the directory: zxids of snapshots and logs, ascending, and names of temporary files.
func (st *store) list() (snapshots, logs []int64, rest []string, err error) {
	entries, err := st.e.ReadDir(st.dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("zookeeper data directory: %w", err)
	}
	for _, entry := range entries {
		kind, number, _ := strings.Cut(entry.Name, ".")
		zxid, err := strconv.ParseInt(number, 16, 64)
		switch {
		case entry.IsDir:
		case strings.HasSuffix(entry.Name, ".tmp") && (kind == "snapshot" || kind == "log"):
			rest = append(rest, entry.Name)
		case err != nil:
		case kind == "snapshot":
			snapshots = append(snapshots, zxid)
		case kind == "log":
			logs = append(logs, zxid)
		}
	}
	slices.Sort(snapshots)
	slices.Sort(logs)
	return snapshots, logs, rest, nil
}

// recover reads the newest good snapshot and the logs behind it. cut is how many bytes of a torn tail were left out.
func (st *store) recover() (t *tree.Tree, cut int64, err error) {
	snapshots, logs, _, err := st.list()
	if err != nil {
		return nil, 0, err
	}
	if len(snapshots) == 0 {
		t = tree.New()
	}
	for _, zxid := range slices.Backward(snapshots) {
		if t, err = st.readSnapshot(zxid); err == nil {
			break
		}
		if !errors.Is(err, jute.ErrMalformed) {
			return nil, 0, err
		}
		st.e.Emit(env.Event{Kind: evBadFile, Text: err.Error()})
	}
	if t == nil {
		return nil, 0, fmt.Errorf("%w: %s: no good snapshot", ErrDamaged, st.dir)
	}
	first := 0
	for i, base := range logs {
		if base <= t.Zxid() {
			first = i
		}
	}
	for i := first; i < len(logs); i++ {
		end := int64(-1)
		if i+1 < len(logs) {
			end = logs[i+1]
		}
		if cut, err = st.replay(t, logs[i], end); err != nil {
			return nil, 0, err
		}
	}
	return t, cut, nil
}

// replay applies one log file, up to transaction end if the next file begins there. It returns how many bytes of a
// torn tail it left out.
func (st *store) replay(t *tree.Tree, base, end int64) (cut int64, err error) {
	name := logName(st.dir, base)
	if base > t.Zxid() {
		return 0, fmt.Errorf("%w: %s: transactions %#x to it are missing", ErrDamaged, name, t.Zxid()+1)
	}
	r, err := openLog(st.e, name)
	if err == errTorn && end < 0 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("recover %s: %w", name, err)
	}
	defer r.file.Close()
	if r.base != base {
		return 0, fmt.Errorf("%w: %s begins behind %#x", ErrDamaged, name, r.base)
	}
	for end < 0 || t.Zxid() < end {
		at := r.pos
		payload, _, err := r.next()
		if err == nil {
			err = replayBatch(t, payload)
		}
		switch {
		case err == io.EOF:
			return 0, nil
		case err == errTorn:
			if end >= 0 {
				return 0, fmt.Errorf("%w: %s: bad batch at byte %d", ErrDamaged, name, at)
			}
			whole, found, err := r.wholeBatchAfter(at, t.Zxid())
			if err != nil {
				return 0, fmt.Errorf("recover %s: %w", name, err)
			}
			if found {
				return 0, fmt.Errorf("%w: %s: bad batch at byte %d, a whole one at %d", ErrDamaged, name, at, whole)
			}
			return r.size - at, nil
		case err != nil:
			return 0, fmt.Errorf("recover %s: batch at byte %d: %w", name, at, err)
		}
	}
	return 0, nil
}

func replayBatch(t *tree.Tree, payload []byte) error {
	d := jute.NewDecoder(payload)
	for d.Len() > 0 {
		txn, err := tree.ParseTxn(d)
		if err != nil {
			return err
		}
		if txn.Zxid <= t.Zxid() {
			continue // in the snapshot already
		}
		if err := t.Replay(&txn); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return nil
}

func snapshotName(dir string, zxid int64) string {
	return path.Join(dir, fmt.Sprintf("snapshot.%016x", zxid))
}

func encodeSnapshot(t *tree.Tree) []byte {
	data := append(make([]byte, 0, 64<<10), snapshotMagic...)
	data = append(data, make([]byte, snapshotHeader-len(data))...)
	data = t.AppendSnapshot(data)
	binary.BigEndian.PutUint64(data[8:], uint64(len(data)-snapshotHeader))
	binary.BigEndian.PutUint32(data[16:], snapshotSum(data))
	return data
}

func snapshotSum(data []byte) uint32 {
	return crc32.Update(crc32.Checksum(data[8:16], castagnoli), castagnoli, data[snapshotHeader:])
}

// readSnapshot reads one snapshot. Errors: of env, and jute.ErrMalformed if it is not whole.
func (st *store) readSnapshot(zxid int64) (*tree.Tree, error) {
	name := snapshotName(st.dir, zxid)
	data, err := env.ReadFile(st.e, name, snapshotMax)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	if len(data) < snapshotHeader || string(data[:8]) != snapshotMagic ||
		binary.BigEndian.Uint64(data[8:]) != uint64(len(data)-snapshotHeader) ||
		binary.BigEndian.Uint32(data[16:]) != snapshotSum(data) {
		return nil, fmt.Errorf("%w: snapshot %s", jute.ErrMalformed, name)
	}
	t, err := tree.ReadSnapshot(data[snapshotHeader:])
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	if t.Zxid() != zxid {
		return nil, fmt.Errorf("%w: snapshot %s is of transaction %#x", jute.ErrMalformed, name, t.Zxid())
	}
	return t, nil
}
