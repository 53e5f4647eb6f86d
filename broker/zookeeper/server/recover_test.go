package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/server/tree"
)

// disk is a data directory under test, with the trees it has held.
type disk struct {
	t     *testing.T
	dir   string
	store *store
	tree  *tree.Tree
	at    map[int64][]byte // snapshots of the tree by zxid
}

func newDisk(t *testing.T) *disk {
	d := &disk{t: t, dir: filepath.Join(t.TempDir(), "a", "zk"), at: map[int64][]byte{}}
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *disk) open() (err error) {
	if d.store != nil {
		d.store.close()
	}
	if d.store, d.tree, err = openStore(osenv.New(osenv.Options{}), d.dir, 3); err == nil {
		d.at[d.tree.Zxid()] = d.tree.AppendSnapshot(nil)
	}
	return err
}

// batch logs n transactions in one batch and returns where in the log it ends.
func (d *disk) batch(n int) int64 {
	d.t.Helper()
	batch := make([]byte, batchHeader)
	for range n {
		txn := d.tree.OpenSession(1, 1000, []byte("password"))
		if len(d.tree.Sessions()) > 1 {
			var err error
			path := fmt.Sprintf("/n%d", d.tree.Zxid())
			next, _, _, err := d.tree.Do(txn.Session, 2, []zookeeper.Op{zookeeper.CreateOp(path, []byte("data"), zookeeper.Ephemeral)})
			if err != nil {
				d.t.Fatal(err)
			}
			batch = next.Append(txn.Append(batch))
		} else {
			batch = txn.Append(batch)
		}
	}
	if err := d.store.wal.append(batch, d.tree.Zxid()); err != nil {
		d.t.Fatal(err)
	}
	d.at[d.tree.Zxid()] = d.tree.AppendSnapshot(nil)
	return d.store.wal.offset
}

func (d *disk) checkpoint() {
	if err := d.store.checkpoint(d.tree.Zxid(), encodeSnapshot(d.tree)); err != nil {
		d.t.Fatal(err)
	}
}

// change edits a file.
func (d *disk) change(name string, edit func(data []byte) []byte) {
	data, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, edit(data), 0o600)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) files() []string {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != ".lock" {
			names = append(names, entry.Name())
		}
	}
	return names
}

// recovers requires that the directory opens with the tree of transaction zxid, byte for byte.
func (d *disk) recovers(zxid int64, what string) {
	d.t.Helper()
	if err := d.open(); err != nil {
		d.t.Errorf("%s: %v", what, err)
	} else if d.tree.Zxid() != zxid || !bytes.Equal(d.tree.AppendSnapshot(nil), d.at[zxid]) {
		d.t.Errorf("%s: recovered transaction %d, want %d, or another tree", what, d.tree.Zxid(), zxid)
	}
}

func (d *disk) damaged(what string) {
	d.t.Helper()
	if err := d.open(); !errors.Is(err, ErrDamaged) {
		d.t.Errorf("%s: error %v, want ErrDamaged", what, err)
	}
}

// Goal: whatever of the last batch is missing, the batches before it are recovered, and the next start is clean.
// Method: the log cut at every third length.
func TestTornTailIsCutAtTheLastWholeBatch(t *testing.T) {
	d := newDisk(t)
	ends := []int64{int64(logHeader)}
	zxids := []int64{0}
	for n := range 3 {
		ends = append(ends, d.batch(n+1))
		zxids = append(zxids, d.tree.Zxid())
	}
	log, err := os.ReadFile(logName(d.dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size <= len(log); size += 3 {
		cut := &disk{t: t, dir: t.TempDir(), at: d.at}
		snapshot, err := os.ReadFile(snapshotName(d.dir, 0))
		if err == nil {
			err = os.WriteFile(snapshotName(cut.dir, 0), snapshot, 0o600)
		}
		if err == nil {
			err = os.WriteFile(logName(cut.dir, 0), log[:size], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := slices.BinarySearch(ends, int64(size)+1)
		zxid := zxids[max(0, whole-1)]
		cut.recovers(zxid, fmt.Sprintf("log of %d bytes", size))
		cut.batch(2)
		cut.recovers(cut.tree.Zxid(), "written and opened again")
	}
}

// Goal: a damaged batch that cannot be a torn tail is not silently cut. Method: every seventh byte of the log changed in turn.
func TestDamageIsToldFromATornTail(t *testing.T) {
	d := newDisk(t)
	first := d.batch(2)
	zxid := d.tree.Zxid()
	last := d.batch(2)
	log, err := os.ReadFile(logName(d.dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(logHeader); i < last; i += 7 {
		bad := bytes.Clone(log)
		bad[i] ^= 0x10
		r := &disk{t: t, dir: t.TempDir(), at: d.at}
		if err := os.WriteFile(logName(r.dir, 0), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if i < first {
			r.damaged(fmt.Sprintf("byte %d of the first batch", i))
		} else {
			r.recovers(zxid, fmt.Sprintf("byte %d of the last batch", i))
		}
	}
}

// Goal: a damaged snapshot is passed over for an older one and the logs since, and missing transactions are noticed.
func TestOlderSnapshotStandsInForADamagedOne(t *testing.T) {
	flip := func(data []byte) []byte {
		data[len(data)/2] ^= 1
		return data
	}
	d := newDisk(t)
	var zxids []int64
	for range 4 {
		d.batch(2)
		d.checkpoint()
		zxids = append(zxids, d.tree.Zxid())
	}
	d.batch(1)
	end := d.tree.Zxid()
	if got := len(d.files()); got != 6 {
		t.Fatalf("files %v, want three snapshots and three logs", d.files())
	}
	d.change(snapshotName(d.dir, zxids[3]), flip)
	d.recovers(end, "newest snapshot damaged") // and writes a new one
	d.change(snapshotName(d.dir, end), func(data []byte) []byte { return data[:len(data)-1] })
	d.change(logName(d.dir, zxids[2]), func(data []byte) []byte { return data[:len(data)-1] })
	d.damaged("two snapshots damaged, and the log between them cut")
	d.change(snapshotName(d.dir, zxids[2]), flip)
	d.damaged("all snapshots damaged")
}

func TestMissingLogIsNoticed(t *testing.T) {
	d := newDisk(t)
	d.batch(2)
	d.checkpoint()
	first := d.tree.Zxid()
	d.batch(2)
	d.checkpoint()
	if err := errors.Join(os.Remove(logName(d.dir, first)), os.Remove(snapshotName(d.dir, d.tree.Zxid()))); err != nil {
		t.Fatal(err)
	}
	d.damaged("log missing")
}

// Goal: what is no longer needed goes, leftovers of a crash too, and what is not ours stays.
func TestOldFilesArePurged(t *testing.T) {
	d := newDisk(t)
	for _, name := range []string{"snapshot.00000000000000ff.tmp", "log.00000000000000ff.tmp", "notes.txt", "log.notes"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		d.batch(1)
		d.checkpoint()
	}
	zxid := d.tree.Zxid()
	d.recovers(zxid, "after six snapshots")
	files := d.files()
	if len(files) != 8 || !slices.Contains(files, "notes.txt") || !slices.Contains(files, "log.notes") {
		t.Errorf("files %v, want three snapshots, three logs, and two that are not ours", files)
	}
}

// Goal: two servers never have one directory, and the second changes nothing in it.
func TestDataDirectoryHasOneServer(t *testing.T) {
	d := newDisk(t)
	d.batch(2)
	before := d.files()
	if _, _, err := openStore(osenv.New(osenv.Options{}), d.dir, 3); !errors.Is(err, env.ErrLocked) {
		t.Fatalf("a second store: %v, want ErrLocked", err)
	}
	if after := d.files(); !slices.Equal(before, after) {
		t.Errorf("files %v, before the second store %v", after, before)
	}
	d.recovers(d.tree.Zxid(), "closed and opened again")
}
