package log

import (
	"path"

	"barnabas/broker/env"
)

// A sync that fails drops what it should have written: the page cache still has it, counts it as written, and the next sync says that all is
// well. The directory is offline from then on. But the next life of the broker, in the same boot of the machine, would find in the page
// cache what the device has not, raise the recovery point above it, and lose it with the next power loss, below the recovery point, where
// nobody looks.
//
// So a directory that fails gets a file that says so, doubtFile, and the next life writes what it recovers over itself, byte for byte: then
// the page cache has it to write again. The file need not be durable. If the power goes, the page cache goes with it, and recovery sees
// what there is. It is removed once all logs are recovered. A clean stop's
// marker counts as ever: it was written behind syncs that did not fail, and goes before anything else is written.
//
// What is left is a process that is killed between a sync that fails and this file, or a device that does not let it be made.
//
// DEVIATION(KIP-112): Kafka recovers from the page cache and believes it.
//
// Source: none in Kafka. "Can Applications Recover from fsync Failures?", Rebello et al., ATC 2020.

// doubtFile says that a log directory has failed. Kafka looks at directories alone there.
const doubtFile = ".barnabas_failed"

// doubt leaves word for the next life that the directory has failed.
func (d *logDir) doubt() {
	d.doubting.Lock()
	defer d.doubting.Unlock()
	if d.doubted {
		return
	}
	d.doubted = true
	if f, err := d.env.Open(path.Join(d.path, doubtFile), env.Create); err == nil { // as far as the device lets us
		f.Close()
	}
}

// trust removes the word of an earlier life, whose logs are recovered.
func (d *logDir) trust() error {
	if !d.suspect {
		return nil
	}
	markRewrittenAfterAFailure.Hit()
	return d.env.Remove(path.Join(d.path, doubtFile))
}

// rewrite writes part of a segment over itself.
func (g *segment) rewrite(from, to int64) error {
	buf := make([]byte, min(recoverWindow, max(0, to-from)))
	for ; from < to; from += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), to-from)]
		if _, err := g.file.ReadAt(buf, from); err != nil {
			return err
		}
		if _, err := g.file.WriteAt(buf, from); err != nil {
			return err
		}
	}
	return nil
}
