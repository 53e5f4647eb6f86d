package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"

	"barnabas/broker/assert"
	"barnabas/broker/env"
)

// The log's format, in short (docs/formats/zookeeper-log.md): a file begins with a header that names the last
// transaction before it; then follow batches. A batch is what one sync covers, and it is whole or it is not there: its
// checksum covers all of it. The next batch is written only after the sync of this one returned, so a damaged batch
// with a whole one behind it is not a torn tail but lost data.
const (
	logMagic    = "BZKLOG\x00\x01"
	logHeader   = len(logMagic) + 8 + 4 // magic, zxid before the first transaction, CRC-32C of both
	batchMagic  = 0x425a4b42            // "BZKB"
	batchHeader = 4 + 4 + 8 + 4         // magic, payload length, zxid before the batch, CRC-32C of length, zxid, payload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wal appends batches to the current log file.
type wal struct {
	fs     env.FS
	dir    string
	file   env.File
	offset int64 // where the next batch goes, bytes
	last   int64 // zxid of the last transaction written
}

func logName(dir string, zxid int64) string { return path.Join(dir, fmt.Sprintf("log.%016x", zxid)) }

// roll begins a new file behind transaction zxid, in place of one of that name, which can only hold what recovery cut.
func (w *wal) roll(zxid int64) error {
	name := logName(w.dir, zxid)
	header := binary.BigEndian.AppendUint64([]byte(logMagic), uint64(zxid))
	header = binary.BigEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
	if err := env.ReplaceFile(w.fs, name, header); err != nil {
		return fmt.Errorf("begin log: %w", err)
	}
	file, err := w.fs.Open(name, env.ReadWrite)
	if err != nil {
		return fmt.Errorf("begin log: %w", err)
	}
	if err := w.close(); err != nil {
		return err
	}
	w.file, w.offset, w.last = file, int64(len(header)), zxid
	return nil
}

// append writes a batch, whose first batchHeader bytes it fills in, and syncs it. After an error the log must not be
// used any more: what is on disk is unknown.
func (w *wal) append(batch []byte, last int64) error {
	assert.That(len(batch) > batchHeader, "INV-ZK-BATCH: empty batch")
	assert.That(last > w.last, "INV-ZK-BATCH: batch to %#x behind %#x", last, w.last)
	binary.BigEndian.PutUint32(batch, batchMagic)
	binary.BigEndian.PutUint32(batch[4:], uint32(len(batch)-batchHeader))
	binary.BigEndian.PutUint64(batch[8:], uint64(w.last))
	binary.BigEndian.PutUint32(batch[16:], batchSum(batch))
	if _, err := w.file.WriteAt(batch, w.offset); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	w.offset += int64(len(batch))
	w.last = last
	return nil
}

func (w *wal) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}

func batchSum(batch []byte) uint32 {
	sum := crc32.Update(0, castagnoli, batch[4:16])
	return crc32.Update(sum, castagnoli, batch[batchHeader:])
}

// errTorn is the end of what a log file holds in one piece.
var errTorn = errors.New("torn")

// logReader reads a log file's batches in order.
type logReader struct {
	file   env.File
	size   int64
	pos    int64  // of the next batch
	base   int64  // from the header
	chunk  []byte // of the file
	chunk0 int64  // where chunk begins
}

// openLog opens a log file. errTorn if its header is not whole: the file has never been used.
func openLog(fs env.FS, name string) (*logReader, error) {
	file, err := fs.Open(name, env.ReadOnly)
	if err != nil {
		return nil, err
	}
	r := &logReader{file: file, pos: int64(logHeader)}
	if r.size, err = file.Size(); err != nil {
		file.Close()
		return nil, err
	}
	header, err := r.bytes(0, logHeader)
	if err == nil && (string(header[:len(logMagic)]) != logMagic ||
		crc32.Checksum(header[:logHeader-4], castagnoli) != binary.BigEndian.Uint32(header[logHeader-4:])) {
		err = errTorn
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	r.base = int64(binary.BigEndian.Uint64(header[len(logMagic):]))
	return r, nil
}

// next returns the next batch's payload, valid until the next call, and the zxid before it. io.EOF behind the last
// batch, errTorn at one that is not whole.
func (r *logReader) next() (payload []byte, before int64, err error) {
	if r.pos == r.size {
		return nil, 0, io.EOF
	}
	batch, err := r.batchAt(r.pos)
	if err != nil {
		return nil, 0, err
	}
	r.pos += int64(len(batch))
	return batch[batchHeader:], int64(binary.BigEndian.Uint64(batch[8:])), nil
}

func (r *logReader) batchAt(pos int64) ([]byte, error) {
	header, err := r.bytes(pos, batchHeader)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(header) != batchMagic {
		return nil, errTorn
	}
	length := int64(binary.BigEndian.Uint32(header[4:]))
	if length > r.size-pos-batchHeader {
		return nil, errTorn
	}
	batch, err := r.bytes(pos, batchHeader+int(length))
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(batch[16:]) != batchSum(batch) {
		return nil, errTorn
	}
	return batch, nil
}

// wholeBatchAfter looks for a whole batch of transactions behind zxid anywhere behind pos, where one is damaged.
func (r *logReader) wholeBatchAfter(pos, zxid int64) (at int64, found bool, err error) {
	for pos++; pos+batchHeader <= r.size; pos++ {
		word, err := r.bytes(pos, 4)
		if err != nil {
			return 0, false, err
		}
		if binary.BigEndian.Uint32(word) != batchMagic {
			continue
		}
		batch, err := r.batchAt(pos)
		if err == nil && int64(binary.BigEndian.Uint64(batch[8:])) >= zxid {
			return pos, true, nil
		}
		if err != nil && err != errTorn {
			return 0, false, err
		}
	}
	return 0, false, nil
}

const logChunk = 256 << 10

// bytes reads n bytes at pos through the chunk; errTorn if the file ends before.
func (r *logReader) bytes(pos int64, n int) ([]byte, error) {
	if pos+int64(n) > r.size {
		return nil, errTorn
	}
	if pos < r.chunk0 || pos+int64(n) > r.chunk0+int64(len(r.chunk)) {
		want := int(min(int64(max(n, logChunk)), r.size-pos))
		if cap(r.chunk) < want {
			r.chunk = make([]byte, want)
		}
		r.chunk, r.chunk0 = r.chunk[:want], pos
		got, err := r.file.ReadAt(r.chunk, pos)
		if got < want {
			r.chunk = r.chunk[:0]
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	at := int(pos - r.chunk0)
	return r.chunk[at : at+n], nil
}
