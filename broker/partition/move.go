package partition

import (
	"errors"
	"fmt"
	"slices"

	"barnabas/broker/log"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A replica moves to another log directory of its broker (KIP-113): a copy, the future log, is filled there batch by batch while the
// replica works on, leading or following. When it has all, everybody is kept out for a moment, the rest is copied, and the copy
// takes the log's place.
//
// The copy is a follower of the log beside it: what was truncated here is found by leader epochs and cut there, and where the log's
// start has passed it by, it begins anew. Nobody reads it before it is the log.
//
// Source: Partition#maybeCreateFutureReplica, #maybeReplaceCurrentWithFutureReplica, ReplicaAlterLogDirsThread.

// ErrNoFuture says that there is no future log (any more).
var ErrNoFuture = errors.New("no future log")

// Future is the copy that is being made in another log directory, nil if there is none.
func (p *Partition) Future() *log.Log {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.future
}

// SetFuture begins a move: l is the future log, as far as it has come.
func (p *Partition) SetFuture(l *log.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.future = l
}

// DropFuture ends a move, and returns when nobody works on the future log any more. It reports whether there was one.
func (p *Partition) DropFuture() bool {
	p.mu.Lock()
	had := p.future != nil
	p.future = nil
	p.mu.Unlock()
	if p.beginChange() == nil { // else it is closed or offline: nobody is inside
		p.endChange()
	}
	return had
}

// LoseFuture ends a move whose directory has failed. It waits for nobody, like MarkOffline.
func (p *Partition) LoseFuture() (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.future == nil || p.future.Err() == nil {
		return false
	}
	p.future = nil
	return true
}

// Copied is what CopyFuture did.
type Copied struct {
	Bytes   int
	Reached bool // the copy has what the log had when the step began
}

// CopyFuture brings the future log up by at most so many bytes, or one batch, if it is still this one.
//
// Errors: ErrNoFuture, NOT_LEADER_OR_FOLLOWER when the replica is closed, KAFKA_STORAGE_ERROR of either directory.
// Source: ReplicaAlterLogDirsThread#processPartitionData, #truncate, LocalLeaderEndPoint.
func (p *Partition) CopyFuture(future *log.Log, bytesMax int32) (Copied, error) {
	p.mu.Lock()
	if err := p.enter(); err != nil {
		p.mu.Unlock()
		return Copied{}, p.fail("copy", err)
	}
	same := p.future == future
	p.mu.Unlock()
	var done Copied
	err := ErrNoFuture
	if same {
		done, err = p.copyStep(future, bytesMax)
	}
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
	return done, wrapped(p, "copy", err)
}

// copyStep is CopyFuture inside of the role, or of a change.
func (p *Partition) copyStep(future *log.Log, bytesMax int32) (Copied, error) {
	current := p.log()
	if err := align(future, current); err != nil {
		return Copied{}, err
	}
	start, end := current.StartOffset(), current.EndOffset()
	if future.EndOffset() >= end {
		return Copied{Reached: true}, follow(future, start)
	}
	slice, err := current.Read(future.EndOffset(), bytesMax, end, true)
	if errors.Is(err, kerr.OffsetOutOfRange) { // retention has passed it by: the next step begins anew
		return Copied{}, nil
	}
	if err != nil {
		return Copied{}, err
	}
	data, err := slice.Bytes()
	slice.Release()
	switch {
	case errors.Is(err, kerr.NotLeaderForPartition): // truncated meanwhile: the next step finds out
		return Copied{}, nil
	case err != nil:
		return Copied{}, err
	case len(data) == 0:
		return Copied{}, fmt.Errorf("nothing to read at %d, the log ends at %d: %w", future.EndOffset(), end, kerr.CorruptMessage)
	}
	if _, err := future.AppendAsFollower(data); err != nil {
		return Copied{}, err
	}
	return Copied{Bytes: len(data), Reached: future.EndOffset() >= end}, follow(future, start)
}

// follow takes the log's start over.
func follow(future *log.Log, start int64) error {
	if start <= future.StartOffset() {
		return nil
	}
	return future.AdvanceStartOffset(min(start, future.EndOffset()))
}

// align brings the future log to a point from which it can go on behind the log: its end is where the log is the same up to. Two logs
// are the same up to the end of the last leader epoch that both know, as far as the shorter one goes in it.
func align(future, current *log.Log) error {
	start, end := future.StartOffset(), future.EndOffset()
	common := commonEnd(future, current)
	switch {
	case end < current.StartOffset(), start > current.StartOffset():
		markFutureBeginsAnew.Hit()
		return future.TruncateFullyAndStartAt(current.StartOffset())
	case common >= end:
		return nil
	case common <= start:
		markFutureBeginsAnew.Hit()
		return future.TruncateFullyAndStartAt(current.StartOffset())
	}
	markFutureTruncated.Hit()
	return future.TruncateTo(common)
}

// commonEnd is the offset up to which both logs are the same.
func commonEnd(future, current *log.Log) int64 {
	end, known := future.EndOffset(), future.Epochs()
	if end == future.StartOffset() || len(known) == 0 && current.LatestEpoch() < 0 {
		return min(end, current.EndOffset())
	}
	for _, e := range slices.Backward(known) {
		if epoch, there := current.EndOffsetForEpoch(e.Epoch); epoch == e.Epoch {
			_, here := future.EndOffsetForEpoch(e.Epoch)
			return min(here, there)
		}
	}
	return -1
}

// Replace puts the future log in the log's place: it waits until nobody is inside, copies the rest, and calls promote, which returns the
// new log, or an error; with an error the log stays what it is. Whoever waits on the partition is woken.
//
// Errors: ErrNoFuture, those of CopyFuture, and promote's. Source: Partition#maybeReplaceCurrentWithFutureReplica.
func (p *Partition) Replace(future *log.Log, bytesMax int32, promote func() (*log.Log, error)) error {
	if err := p.beginChange(); err != nil {
		return p.fail("replace", err)
	}
	err := p.replace(future, bytesMax, promote)
	p.endChange()
	p.o.Notify(p.tp)
	return wrapped(p, "replace", err)
}

func (p *Partition) replace(future *log.Log, bytesMax int32, promote func() (*log.Log, error)) error {
	if p.Future() != future {
		return ErrNoFuture
	}
	for {
		done, err := p.copyStep(future, bytesMax)
		if err != nil {
			return err
		}
		if done.Reached {
			break
		}
	}
	next, err := promote()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.future = nil
	if p.offline { // the old directory failed while the new one took over: the next start finds it
		return kerr.KafkaStorageError
	}
	next.SetHighWatermark(p.hw)
	p.current.Store(next)
	p.emit(evMoved, next.Dir(), next.EndOffset(), p.hw)
	return nil
}
