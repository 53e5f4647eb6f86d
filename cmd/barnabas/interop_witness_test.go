package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// falseLoss is what franz-go 1.22.2 says when it takes an aborted transaction for lost records. Its cursor notes the leader epoch of the last record
// that it kept (source.go, processRespPartition), and the offset behind the last that it read (maybeKeepRecord), kept or not. If a leader's epoch
// began with records of a transaction that was aborted, and the next leader comes before any other was read, the client asks where the epoch before
// ended, is behind that, and reports a loss (topics_and_partitions.go, migrateCursorTo). It says so against every broker that keeps to KIP-320; the Java
// client notes the epoch of every batch (CompletedFetch#nextFetchedRecord).
const falseLoss = "lost records; the client consumed to offset"

// lossReport is all that it says. Where it does not tell to which offset it went back, nothing can be proved.
var lossReport = regexp.MustCompile(`topic (\S+) partition (\d+) lost records; the client consumed to offset (\d+) epoch -?\d+(?: but was reset to offset (\d+) epoch)?`)

// witness reads everything that the topics of a cluster hold, while others write and read it: aborted records and markers too, so that it never
// meets falseLoss. It knows by that whether a loss which another client reports is one.
type witness struct {
	mu   sync.Mutex
	read map[witnessed][]seen // of each partition, by offset
	lost []error              // losses that the witness met itself
}

type witnessed struct {
	topic     string
	partition int32
}

// seen is a record that the witness has read.
type seen struct {
	producer int64
	kind     seenKind
}

type seenKind uint8

const (
	seenPlain  seenKind = iota // of no transaction
	seenInTxn                  // of one
	seenAbort                  // its end
	seenCommit                 // its end
	seenOther                  // another control record
)

// startWitness has one read all topics that there are, and those that come, until the test or stop ends it.
func startWitness(t *testing.T, bootstrap string) (w *witness, stop func()) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.AlwaysRetryEOF(), kgo.ConsumeRegex(), kgo.ConsumeTopics("^[^_].*"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	w = &witness{read: map[witnessed][]seen{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			w.take(client.PollFetches(ctx))
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done; client.Close() })
	t.Cleanup(stop)
	return w, stop
}

func (w *witness) take(fetches kgo.Fetches) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fetches.EachError(func(_ string, _ int32, err error) {
		if loss := (*kgo.ErrDataLoss)(nil); errors.As(err, &loss) { // others pass: leaders move, topics are deleted
			w.lost = append(w.lost, err)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		at := witnessed{r.Topic, r.Partition}
		if next := int64(len(w.read[at])); r.Offset != next {
			w.lost = append(w.lost, fmt.Errorf("%s-%d: offset %d where %d was to come", r.Topic, r.Partition, r.Offset, next))
		}
		w.read[at] = append(w.read[at], seen{r.ProducerID, kindOf(r)})
	})
}

func kindOf(r *kgo.Record) seenKind {
	switch {
	case r.Attrs.IsControl() && len(r.Key) == 4 && string(r.Key[2:]) == "\x00\x00":
		return seenAbort
	case r.Attrs.IsControl() && len(r.Key) == 4 && string(r.Key[2:]) == "\x00\x01":
		return seenCommit
	case r.Attrs.IsControl():
		return seenOther
	case r.Attrs.IsTransactional():
		return seenInTxn
	}
	return seenPlain
}

// provesFalse returns nil if every loss that text reports is falseLoss: the witness has read all that is said to be lost, in one piece from the
// first record of the partition on, without meeting any loss itself; and all of it is markers and records of transactions that were aborted. It
// waits for what it has not read yet, within patience. Otherwise the error says what is not proved.
func (w *witness) provesFalse(text string, patience time.Duration) error {
	reports := lossReport.FindAllStringSubmatch(text, -1)
	if len(reports) == 0 || len(reports) != strings.Count(text, falseLoss) {
		return fmt.Errorf("%d of %d reports can be read", len(reports), strings.Count(text, falseLoss))
	}
	for _, r := range reports {
		if r[4] == "" {
			return fmt.Errorf("%q: from where on?", r[0])
		}
		partition, err1 := strconv.ParseInt(r[2], 10, 32)
		to, err2 := strconv.ParseInt(r[3], 10, 64)
		from, err3 := strconv.ParseInt(r[4], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		var err error
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			if err = w.aborted(witnessed{r[1], int32(partition)}, from, to); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%q: %w", r[0], err)
		}
	}
	return nil
}

// aborted checks that the records from one offset up to another are of aborted transactions, or markers.
func (w *witness) aborted(at witnessed, from, to int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := errors.Join(w.lost...); err != nil {
		return fmt.Errorf("the witness met a loss: %w", err)
	}
	read := w.read[at]
	if from >= to || to > int64(len(read)) {
		return fmt.Errorf("the witness has read %d records, of which %d to %d are in question", len(read), from, to-1)
	}
	for offset := from; offset < to; offset++ {
		switch s := read[offset]; s.kind {
		case seenPlain:
			return fmt.Errorf("offset %d is of no transaction", offset)
		case seenInTxn:
			if end := endOf(read[offset:], s.producer); end != seenAbort {
				return fmt.Errorf("offset %d is of a transaction that was not aborted", offset)
			}
		}
	}
	return nil
}

// endOf is the marker that ends a producer's transaction, seenInTxn for none.
func endOf(read []seen, producer int64) seenKind {
	for _, s := range read {
		if s.producer == producer && (s.kind == seenAbort || s.kind == seenCommit) {
			return s.kind
		}
	}
	return seenInTxn
}

// Goal: a loss is only called false where the witness has seen what is said to be lost, and that nobody was to read it.
func TestWitnessProvesOnlyWhatItSaw(t *testing.T) {
	plain, one, two := seen{-1, seenPlain}, seen{1, seenInTxn}, seen{2, seenInTxn}
	w := &witness{read: map[witnessed][]seen{{"t", 3}: {plain, plain, one, one, two, {1, seenAbort}, one, {2, seenCommit}, {1, seenCommit}, one}}}
	report := func(from, to int) string {
		return (&kgo.ErrDataLoss{Topic: "t", Partition: 3, ConsumedTo: int64(to), ResetTo: int64(from)}).Error()
	}
	for text, proved := range map[string]bool{
		report(2, 4):                       true,
		report(5, 6):                       true,  // a marker alone
		report(2, 5):                       false, // offset 4 was committed
		report(1, 4):                       false, // offset 1 is of no transaction
		report(6, 7):                       false, // its producer aborted before, and committed then
		report(9, 10):                      false, // not ended
		report(2, 11):                      false, // not read so far
		report(4, 4):                       false, // from nobody knows where
		report(2, 4) + "\n" + report(1, 4): false, // one of two
		"t lost records":                   false,
		report(2, 4) + "\n… " + falseLoss:  false, // one cannot be read
		strings.Replace(report(2, 4), "partition 3", "partition 4", 1): false,
	} {
		if err := w.provesFalse(text, 0); (err == nil) != proved {
			t.Errorf("%q: %v", text, err)
		}
	}
	w.take(kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "t", Partitions: []kgo.FetchPartition{{Partition: 3, Records: []*kgo.Record{{Topic: "t", Partition: 3, Offset: 11}}}}}}}})
	if err := w.provesFalse(report(2, 4), 0); err == nil {
		t.Error("proved by a witness that missed offset 10")
	}
}
