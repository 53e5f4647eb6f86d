package txn

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The machine by script: the test plays producers, clock, log and partitions. Every answer is shown when it comes. Run with -rewrite to
// refresh the expected output, and read the difference.

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.do(t, d)
			return s.out.String()
		})
	})
}

type script struct {
	t      *Txn
	at     Now
	v2     bool
	writes []Write
	record *Metadata // the last that is in the log
	gone   bool
	out    strings.Builder
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func arg(d *datadriven.TestData, key, otherwise string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, ",")
		}
	}
	return otherwise
}

func number[N int16 | int32 | int64](d *datadriven.TestData, key string, otherwise N) N {
	var n N
	if _, err := fmt.Sscan(arg(d, key, fmt.Sprint(otherwise)), &n); err != nil {
		panic(err)
	}
	return n
}

func span(d *datadriven.TestData, key, otherwise string) time.Duration {
	v, err := time.ParseDuration(arg(d, key, otherwise))
	if err != nil {
		panic(err)
	}
	return v
}

func partitions(d *datadriven.TestData) (list []wire.TopicPartition) {
	for _, text := range strings.Split(arg(d, "to", "t-0"), ",") {
		list = append(list, partitionNamed(text))
	}
	return list
}

func partitionNamed(text string) wire.TopicPartition {
	topic, n, _ := strings.Cut(text, "-")
	p, err := strconv.Atoi(n)
	if err != nil {
		panic(err)
	}
	return wire.TopicPartition{Topic: topic, Partition: int32(p)}
}

func name(err *kerr.Error) string {
	if err == nil {
		return "ok"
	}
	return err.Message
}

func (s *script) do(t *testing.T, d *datadriven.TestData) {
	producer, epoch := number(d, "id", int64(-1)), number(d, "epoch", int16(-1))
	switch d.Cmd {
	case "txn":
		bugs, err := bug.Parse(arg(d, "bug", ""))
		if err != nil {
			t.Fatal(err)
		}
		*s = script{at: Now{Wall: 1000}, v2: d.HasArg("v2")}
		s.t = New("x", 7, 0, bugs, s.at)
		s.t.at.Epoch = number(d, "at", int16(-1))
	case "init":
		r := InitRequest{TimeoutMs: int32(span(d, "timeout", "60s").Milliseconds()), ProducerID: producer, Epoch: epoch, NewID: number(d, "new", int64(-1))}
		if s.t.NeedsID(r) != (r.NewID >= 0) {
			t.Errorf("%s: new=%d, needs it: %t", d.Pos, r.NewID, s.t.NeedsID(r))
		}
		s.t.Init(s.at, r, func(res InitResult) { s.say("init: %s id=%d epoch=%d", name(res.Err), res.ProducerID, res.Epoch) })
	case "add":
		s.t.AddPartitions(s.at, producer, epoch, partitions(d), func(err *kerr.Error) { s.say("add: %s", name(err)) })
	case "verify":
		for i, err := range s.t.Verify(producer, epoch, partitions(d)) {
			s.say("verify %s: %s", partitions(d)[i], name(err))
		}
	case "commit", "abort":
		r := EndRequest{ProducerID: producer, Epoch: epoch, Commit: d.Cmd == "commit", V2: s.v2 && !d.HasArg("v1"), NewID: number(d, "new", int64(-1))}
		if s.t.NeedsEndID(r) != (r.NewID >= 0) {
			t.Errorf("%s: new=%d, needs it: %t", d.Pos, r.NewID, s.t.NeedsEndID(r))
		}
		s.t.End(s.at, r, func(res EndResult) { s.say("end: %s id=%d epoch=%d", name(res.Err), res.ProducerID, res.Epoch) })
	case "written":
		s.written(d)
	case "marked":
		for _, tp := range partitions(d) {
			s.t.Marked(s.at, s.t.at.ProducerID, number(d, "epoch", s.t.at.Epoch), tp)
		}
	case "sleep":
		s.sleep(span(d, "for", "1s"))
	case "reload":
		s.reload(t)
	case "expire":
		s.say("expires: %t", s.t.Expire(s.at, span(d, "retention", "1h").Milliseconds(), func() { s.gone = true }))
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	s.after()
}

// after shows what is to be written and sent, and the state.
func (s *script) after() {
	for _, w := range s.t.TakeWrites() {
		if w.Value == nil {
			s.say("write a tombstone")
		} else {
			s.say("write %s", show(*w.Value))
		}
		s.writes = append(s.writes, w)
	}
	for _, m := range s.t.TakeMarkers() {
		s.say("markers id=%d epoch=%d commit=%t to=%v", m.ProducerID, m.Epoch, m.Commit, m.Partitions)
	}
	state := show(s.t.at)
	if s.t.Pending() {
		state += " pending=" + s.t.pending.State.String()
	}
	if at := s.t.Deadline(); at != env.Never {
		state += fmt.Sprintf(" due=%s", time.Duration(at))
	}
	if s.gone {
		state = "gone"
	}
	s.say("%s", state)
}

func show(m Metadata) string {
	text := fmt.Sprintf("%s id=%d epoch=%d", m.State, m.ProducerID, m.Epoch)
	if m.LastEpoch >= 0 {
		text += fmt.Sprintf(" last=%d", m.LastEpoch)
	}
	if m.PreviousID >= 0 && m.PreviousID != m.ProducerID {
		text += fmt.Sprintf(" previous=%d", m.PreviousID)
	}
	if m.NextID >= 0 {
		text += fmt.Sprintf(" next=%d", m.NextID)
	}
	if len(m.Partitions) > 0 {
		text += fmt.Sprintf(" %v", m.Partitions)
	}
	return text
}

// sleep lets time pass, and ticks when the machine asked for it.
func (s *script) sleep(d time.Duration) {
	end := s.at.Mono.Add(d)
	for n := 0; s.t.Deadline() <= end; n++ {
		s.to(max(s.t.Deadline(), s.at.Mono))
		s.t.Tick(s.at)
		if n > 10 {
			panic("the machine wants tick after tick")
		}
	}
	s.to(end)
}

func (s *script) to(at env.Instant) {
	s.at = Now{Mono: at, Wall: s.at.Wall + time.Duration(at-s.at.Mono).Milliseconds()}
}

// written says what has become of the first write: it is in the log; or it fails; it takes too long; or it is in the log but on too few
// replicas.
func (s *script) written(d *datadriven.TestData) {
	w := s.writes[0]
	if d.HasArg("late") {
		w.Late(kerr.CoordinatorNotAvailable)
		return
	}
	s.writes = s.writes[1:]
	if !d.HasArg("fails") {
		s.record = w.Value
	}
	switch {
	case d.HasArg("fails"):
		w.Done(s.at, false, kerr.CoordinatorNotAvailable)
	case d.HasArg("doubtful"):
		w.Done(s.at, true, kerr.CoordinatorNotAvailable)
	default:
		w.Done(s.at, true, nil)
	}
}

// reload makes the machine from its record, as the next coordinator would.
func (s *script) reload(t *testing.T) {
	version := int16(0)
	if s.v2 {
		version = wire.TransactionV2
	}
	m, err := decodeValue("x", encodeValue(s.record, version))
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.writes = load("x", m, s.t.bugs), nil
	s.t.loaded(s.at)
}
