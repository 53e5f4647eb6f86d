package api

import (
	"fmt"

	"barnabas/broker/partition"
	"barnabas/broker/record"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Clients of Fetch v0 and v1 know messages of magic 0, those of v2 and v3 of magic 1 (KIP-31, KIP-32): they get copies of the
// records in that form, made when the response is sent, one response of a connection at a time. A response holds about
// oldBytesMax of them, whatever the client asks for and whatever the batches unpack to; the client comes again for the rest.
//
// Source: KafkaApis#maybeConvertFetchedData, LazyDownConversionRecords. KIP-283.
const (
	fetchOldMax = 3
	oldBytesMax = 4 << 20
	// oldShareMin is what a partition may have where many share oldBytesMax.
	oldShareMin = 16 << 10
	// fetchZstdMin is the first version whose clients know zstd (KIP-110).
	fetchZstdMin = 10
)

// checkZstd refuses a topic that is stored in zstd to clients that do not know it.
func (part *fetchPart) checkZstd() error {
	if c := part.result.Config; c == nil || c.CompressionType != record.Zstd.String() {
		return nil
	}
	part.result.Slice.Done()
	part.result = partition.ReadResult{}
	return fmt.Errorf("%s is stored in zstd, which is for fetch v%d and later: %w", part.tp, fetchZstdMin, kerr.UnsupportedCompressionType)
}

// answerOld leaves the answer to the time when it is sent: converted records would be in memory until then.
func (f *fetching) answerOld() server.Reply {
	f.release()
	return server.When(noWait{}, func(bool) server.Answer {
		f.read(true)
		f.convert()
		return f.answer()
	})
}

// noWait is a wait that is over.
type noWait struct{}

func (noWait) Done() bool { return true }
func (noWait) Wait() bool { return true }
func (noWait) Cancel()    {}

// convert puts copies in the place of the records that were read.
func (f *fetching) convert() {
	found := 0
	for i := range f.parts {
		if f.parts[i].result.Slice.Len > 0 {
			found++
		}
	}
	share := oldBytesMax / max(found, 1)
	for i := range f.parts {
		part := &f.parts[i]
		slice := part.result.Slice
		if slice.Len == 0 {
			continue
		}
		part.result.Slice = wire.Slice{}
		if c := part.result.Config; c != nil && !c.Downconversion && !f.replica {
			part.err = fmt.Errorf("message.downconversion.enable is false for %s: %w", part.tp, kerr.UnsupportedVersion)
		} else {
			most := min(max(share, oldShareMin), int(max(part.read.MaxBytes, 0)))
			part.result.Slice, part.err = f.convertSlice(slice, part.read.Offset, most)
		}
		slice.Done()
	}
}

// convertSlice makes most bytes, or one record, of the records in the slice from the given offset on. Up to v2 the client's
// bound is a hard one: a record that is larger is cut off there, which tells the client to ask for more.
func (f *fetching) convertSlice(slice wire.Slice, from int64, most int) (wire.Slice, error) {
	o := record.DownOptions{Magic: 1, From: from, BytesMax: most}
	if f.version <= 1 {
		o.Magic = 0
	}
	var out, batch []byte
	for pos := slice.Pos; pos < slice.Pos+int64(slice.Len) && len(out) < max(most, 1); {
		var header [record.HeaderSize]byte
		if n, err := slice.File.ReadAt(header[:], pos); n < len(header) {
			return wire.Slice{}, fmt.Errorf("read a batch to convert: %v: %w", err, kerr.NotLeaderForPartition) // truncated meanwhile
		}
		size, err := record.Size(header[:])
		if err != nil {
			return wire.Slice{}, err
		}
		if pos += size; record.HeaderOf(header[:]).NextOffset() <= from {
			continue
		}
		if int64(cap(batch)) < size {
			batch = make([]byte, size)
		}
		batch = batch[:size]
		if n, err := slice.File.ReadAt(batch, pos-size); n < len(batch) {
			return wire.Slice{}, fmt.Errorf("read a batch to convert: %v: %w", err, kerr.NotLeaderForPartition)
		}
		var more bool
		o.BytesMax = max(most-len(out), 1)
		if out, o.From, more, err = record.Downconvert(out, record.Batch(batch), o); err != nil {
			if len(out) > 0 {
				break // the client learns of it when it gets there
			}
			return wire.Slice{}, err
		}
		if more {
			break
		}
	}
	if f.version <= 2 && len(out) > int(most) {
		out = out[:most]
	}
	return wire.Slice{Bytes: out, Len: int32(len(out))}, nil
}
