package log

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// logDir is one log directory: its health, its checkpoints, its marker.
type logDir struct {
	env    env.Env
	path   string
	health *health
	meta   Meta
	clean  bool // it was shut down cleanly
	// foreign says that somebody else has written meta.properties: a broker of Apache Kafka's.
	foreign bool
	// suspect says that it failed in an earlier life of this boot, doubted that it failed in this one.
	suspect  bool
	doubting env.Mutex
	doubted  bool      // guarded by doubting
	lock     io.Closer // nil before open, and after release
	intact   *intact
	// cleanEpoch is what the clean-shutdown marker says, -1 for none; vouched tells that intactFile is there. Both are looked at only if
	// the broker keeps account of what it has lost.
	cleanEpoch int64
	vouched    bool
	logs       int // in it; guarded by the manager's mu

	writing env.Mutex         // held while a checkpoint is written, so that an older one never replaces a newer
	written map[string][]byte // by file name: what was last written, or read
}

func newLogDir(e env.Env, name string, k *intact) *logDir {
	return &logDir{env: e, path: name, intact: k, health: newHealth(e, name), meta: Meta{BrokerID: -1}, cleanEpoch: -1, writing: e.NewMutex(), written: map[string][]byte{},
		doubting: e.NewMutex()}
}

// deleteSuffix marks a partition's directory that is being deleted: orders-3.0123456789abcdef0123456789abcdef-delete.
const deleteSuffix = "-delete"

// inDir is what a log directory holds of partitions: their logs, and by partition the names of copies on their way here.
type inDir struct {
	tps     []wire.TopicPartition
	futures map[wire.TopicPartition]string
}

// open makes the directory if it is missing, locks it, finishes interrupted deletions, and lists the partitions in it.
func (d *logDir) open() (in inDir, err error) {
	// A marker was written behind everything else, durably: then all of this is done.
	if _, err := d.env.Stat(path.Join(d.path, cleanFile)); err != nil {
		if err := makeDir(d.env, d.path); err != nil {
			return in, err
		}
		if err := d.env.SyncDir(d.path); err != nil {
			return in, err
		}
	}
	if d.lock, err = d.env.Lock(d.path); errors.Is(err, env.ErrLocked) {
		return in, fmt.Errorf("log directory %s is in use, by another process or under another name in log.dirs: stop the broker that has it, or give this one other log.dirs: %w", d.path, err)
	} else if err != nil {
		return in, err
	}
	entries, err := d.env.ReadDir(d.path)
	if err != nil {
		return in, err
	}
	in.futures = map[wire.TopicPartition]string{}
	for _, e := range entries {
		name := path.Join(d.path, e.Name)
		switch {
		case e.IsDir && strings.HasSuffix(e.Name, deleteSuffix):
			if err := env.RemoveAll(d.env, name); err != nil {
				return in, err
			}
		case e.IsDir:
			if tp, ok := parseDirName(e.Name); ok {
				in.tps = append(in.tps, tp)
			} else if tp, ok := parseFutureName(e.Name); ok {
				in.futures[tp] = e.Name
			}
		case e.Name == cleanFile:
			d.clean = true
			if d.intact.on {
				if d.cleanEpoch, err = readClean(d.env, d.path); err != nil {
					return in, err
				}
			}
		case e.Name == doubtFile:
			d.suspect = true
		case e.Name == intactFile && d.intact.on:
			d.vouched = true
		case e.Name == intactFile: // from now on nobody keeps account
			if err := d.env.Remove(name); err != nil {
				return in, err
			}
		}
	}
	data, err := env.ReadFile(d.env, path.Join(d.path, metaFile), smallFile)
	if errors.Is(err, env.ErrNotExist) {
		return in, nil
	}
	if err != nil {
		return in, err
	}
	// Not to know whose disk this is, is no state to go on in.
	if d.meta, err = parseMeta(data); err != nil {
		return in, fmt.Errorf("%s: %w", path.Join(d.path, metaFile), err)
	}
	d.foreign = !bytes.Equal(data, d.meta.encode())
	return in, nil
}

// release gives the directory to the next. Nothing may be written behind it.
func (d *logDir) release() {
	if d.lock != nil {
		d.lock.Close()
		d.lock = nil
	}
}

// makeDir makes a directory and those above it, durably: also if an earlier life made them and crashed before it could
// say so to the device.
func makeDir(fsys env.FS, name string) error {
	if err := fsys.MkdirAll(name); err != nil {
		return err
	}
	for ; path.Dir(name) != name; name = path.Dir(name) {
		err := fsys.SyncDir(path.Dir(name))
		if err != nil && (errors.Is(err, env.ErrIO) || errors.Is(err, env.ErrNoSpace)) {
			return err
		}
		if err != nil {
			break // not ours to open, so not ours to have made
		}
	}
	return nil
}

// unmark removes the clean-shutdown marker, durably, before anything is written that it does not vouch for.
func (d *logDir) unmark() error {
	if !d.clean {
		return nil
	}
	if err := d.env.Remove(path.Join(d.path, cleanFile)); err != nil {
		return err
	}
	return d.env.SyncDir(d.path)
}

// mark writes the marker, as CleanShutdownFileHandler does.
func (d *logDir) mark(epoch int64) error {
	data, err := json.Marshal(cleanJSON{BrokerEpoch: epoch})
	if err != nil {
		return err
	}
	return env.ReplaceFile(d.env, path.Join(d.path, cleanFile), data)
}

// checkpoint writes a checkpoint, unless the file says the same already. collect is called when no other is being
// written.
func (d *logDir) checkpoint(name string, collect func() map[wire.TopicPartition]int64) error {
	if err := d.health.err(); err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	data := encodeOffsets(collect())
	if bytes.Equal(data, d.written[name]) {
		return nil
	}
	if err := env.ReplaceFile(d.env, path.Join(d.path, name), data); err != nil {
		return d.health.fail("write "+name, err)
	}
	d.written[name] = data
	return nil
}

// read reads a checkpoint and remembers its content. One that is missing is as good as an empty one, which need not be written.
func (d *logDir) read(name string) (map[wire.TopicPartition]int64, error) {
	file := path.Join(d.path, name)
	offsets, err := readOffsets(d.env, file)
	if err != nil {
		return nil, err
	}
	data, err := env.ReadFile(d.env, file, smallFile)
	if errors.Is(err, env.ErrNotExist) {
		d.written[name] = encodeOffsets(nil)
	} else if err == nil && bytes.Equal(data, encodeOffsets(offsets)) {
		d.written[name] = data
	}
	return offsets, nil
}

// setMeta writes meta.properties.
func (d *logDir) setMeta(m Meta) error {
	if d.meta == m {
		return nil
	}
	if err := env.ReplaceFile(d.env, path.Join(d.path, metaFile), m.encode()); err != nil {
		return d.health.fail("write "+metaFile, err)
	}
	d.meta = m
	return nil
}
