// Goal: what is written is what is read, and what is not a history is refused with file, line and reason. Method: round
// trips, bad lines one by one, and fuzzing.
package history_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"barnabas/linearizability/history"
)

func sample() *history.History {
	h := &history.History{Header: history.Header{Scenario: "isr-shrink", Seed: 1<<64 - 1, Commit: "ab12cd3",
		Topics: []history.Topic{history.Promised("t", 2), {Name: "u", Partitions: 1, Fresh: true, Retention: true, HighWatermarkMonotonic: true}}}}
	p := history.NewOp(history.Produce, "t", 1)
	p.ID, p.Process, p.Call, p.Return, p.Outcome, p.Acks, p.Offset = 1, 3, 10, 20, history.OK, -1, 7
	p.Producer, p.Seq = 3, 0
	p.Records = []history.Record{{Offset: history.None, Value: 1, Sum: 1<<32 - 1}, {Offset: history.None, Value: history.ValueMax}}
	u := history.NewOp(history.Produce, "u", 0)
	u.ID, u.Call, u.Return, u.Acks, u.Error = 2, 11, 12, 1, "timed out \"…\"\n"
	u.Records = []history.Record{{Offset: history.None, Value: 2, Sum: 5}}
	f := history.NewOp(history.Fetch, "t", 1)
	f.ID, f.Process, f.Call, f.Return, f.Outcome, f.From, f.Next = 3, 4, 21, 22, history.OK, 7, 9
	f.HighWatermark, f.LastStable, f.LogStart, f.Epoch = 9, 9, 0, 0
	f.Records = []history.Record{{Offset: 7, Value: 1, Sum: 3}, {Offset: 8, Value: 0, Sum: 4}}
	f.Committed, f.Seek, f.Drain = true, true, true
	l := history.NewOp(history.ListOffsets, "t", 0)
	l.ID, l.Call, l.Return, l.Outcome, l.From, l.Offset = 4, 30, 30, history.OK, -1, 9
	i := history.NewOp(history.InitProducer, "", 0)
	i.ID, i.Process, i.Call, i.Return, i.Outcome, i.TransactionalID, i.ProducerID, i.ProducerEpoch = 5, 3, 1, 2, history.OK, "x", 7, 1
	x := p
	x.ID, x.Txn, x.TransactionalID, x.ProducerID, x.ProducerEpoch, x.Sources, x.Amounts = 6, 9, "x", 7, 1, []int64{4, 0}, []int64{-3, 3}
	x.Keys = []int64{5, -5}
	x.Records = []history.Record{{Offset: history.None, Value: 11, Sum: 1}, {Offset: history.None, Value: 12}}
	n := history.NewOp(history.EndTxn, "", 0)
	n.ID, n.Process, n.Call, n.Return, n.Outcome, n.Txn, n.TransactionalID, n.ProducerID, n.ProducerEpoch, n.Commits = 7, 3, 30, 31, history.OK, 9, "x", 7, 1, true
	o := history.NewOp(history.OffsetFetch, "t", 1)
	o.ID, o.Call, o.Return, o.Outcome, o.Group, o.Drain = 8, 50, 51, history.OK, "g", true
	h.Header.Pipelines = []history.Pipeline{{Group: "g", Input: "t", Output: "u", Delivery: history.ExactlyOnce}}
	h.Ops = []history.Op{p, u, f, l, i, x, n, o}
	h.Faults = []history.Fault{{Tag: "net", Start: 5, End: 9, Text: "partition from=2 to=1,3"}, {Tag: "disk", Start: 6, End: history.None}}
	h.Drains = []history.Drain{{Topic: "t", Partition: 1, Start: 0, End: 9, Time: 40}, {Topic: "t", Partition: 1, Start: 0, End: 9, Time: 41, Committed: true}}
	return h
}

func TestRoundTrip(t *testing.T) {
	var text bytes.Buffer
	if err := history.Write(&text, sample()); err != nil {
		t.Fatal(err)
	}
	got, err := history.Read("x", bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v\nwant\n%+v", got, sample())
	}
}

func TestBadHistoriesNameFileLineAndReason(t *testing.T) {
	const head = `{"type":"history","version":1,"run":{"scenario":"s","seed":1,"topics":[{"name":"t","partitions":1,"durable":true,"once":true,"ordered":true}]}}` + "\n"
	op := func(rest string) string {
		return head + `{"type":"op","id":1,"process":1,"kind":"fetch","topic":"t","partition":0,"call":1,"return":2,"outcome":"ok","from":0,"next":0` + rest + "}\n"
	}
	for _, c := range []struct{ text, want string }{
		{"", "x:1: empty"},
		{"{}\n", "x:1: line of type \"\""},
		{"nonsense\n", "x:1: not a JSON object"},
		{head, "x:1: the history is cut off"},
		{head + head, "x:2: line of type \"history\""},
		{strings.Replace(head, `"version":1`, `"version":9`, 1), "x:1: version 9"},
		{strings.Replace(head, `"durable"`, `"duable"`, 1), "x:1: json: unknown field \"duable\""},
		{strings.Replace(head, `"partitions":1`, `"partitions":0`, 1), "x:1: topic \"t\" with 0 partitions"},
		{op(""), "x:2: the history is cut off"},
		{op("") + `{"type":"end","ops":2,"other":0}` + "\n", "x:3: 2 operations"},
		{op("") + `{"type":"end","ops":1,"other":0}`, "x:3: the line has no end"},
		{op("") + `{"type":"end","ops":1,"other":0}` + "\n\n", "x:4: more after"},
		{op(`,"x":1`), "x:2: json: unknown field"},
		{op(`} {`), "x:2: more than one object"},
		{op(`,"acks":1`), "x:2: acks belong to a produce"},
		{op(`,"records":[[1,2]]`), "x:2: record read at offset -1"},
		{op(`,"records":[[1,2,3,4]]`), "x:2: record 0: not"},
		{op(`,"records":[[1,2,-3]]`), "x:2: record 0: sum -3"},
		{op(`,"records":[[1,-2,3]]`), "x:2: value -2"},
		{op(`,"producer":2`), "x:2: producer and seq"},
		{strings.Replace(op(""), `"return":2`, `"return":0`, 1), "x:2: return 0 before call 1"},
		{strings.Replace(op(""), `"fetch"`, `"fetsh"`, 1), "x:2: kind \"fetsh\""},
		{strings.Replace(op(""), `"ok"`, `"okay"`, 1), "x:2: outcome \"okay\""},
		{strings.Replace(op(""), `"partition":0`, `"partition":1`, 1), "x:2: partition 1 of topic t, which has 1"},
		{strings.Replace(op(""), `"topic":"t"`, `"topic":"v"`, 1), "x:2: topic \"v\""},
		{strings.Replace(op(""), `"id":1`, `"id":0`, 1), "x:2: id 0"},
		{op("") + op("")[len(head):], "x:3: id 1 comes twice"},
		{op(`,"txn":-1`), "x:2: fetch with transaction -1"},
		{op(`,"commits":true`), "x:2: commits belongs to"},
		{op(`,"transactional_id":"x"`), "x:2: a transactional id"},
		{op(`,"producer_id":5`), "x:2: producer id 5 with epoch -1"},
		{op(`,"sources":[1]`), "x:2: sources, amounts"},
		{strings.Replace(op(""), `"fetch"`, `"init-producer"`, 1), "x:2: from belongs"},
		{head + `{"type":"op","id":1,"process":1,"kind":"end-txn","call":1,"return":2,"outcome":"ok","transactional_id":"x"}` + "\n", "x:2: end-txn without a transaction"},
		{head + `{"type":"op","id":1,"process":1,"kind":"end-txn","topic":"t","call":1,"return":2,"outcome":"ok","txn":1,"transactional_id":"x"}` + "\n", "x:2: end-txn has no topic"},
		{head + `{"type":"op","id":1,"process":1,"kind":"init-producer","call":1,"return":2,"outcome":"ok","transactional_id":"x"}` + "\n", "x:2: ok init-producer without"},
		{strings.Replace(head, `"topics":`, `"pipelines":[{"group":"g","input":"t","output":"v","delivery":"exactly-once"}],"topics":`, 1), "x:1: pipeline of group \"g\": topic \"v\""},
		{strings.Replace(head, `"topics":`, `"pipelines":[{"group":"g","input":"t","output":"t","delivery":"twice"}],"topics":`, 1), "x:1: pipeline of group \"g\": delivery \"twice\""},
		{head + `{"type":"drain","topic":"t","partition":0,"start":5,"end":4,"time":0}` + "\n", "x:2: drain from 5 to 4"},
		{head + `{"type":"fault","tag":"net","start":5,"end":4,"text":""}` + "\n", "x:2: end 4 before start 5"},
		{head + `{"type":"else"}` + "\n", "x:2: type \"else\""},
	} {
		_, err := history.Read("x", strings.NewReader(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s…\n%s", err, c.want, c.text)
		}
	}
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w := history.NewWriter(full{}, history.Header{})
	for range 10_000 {
		w.Op(sample().Ops[0])
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

// FuzzRead: whatever comes in, Read gives a history or an error; a history that was read, written and read again is the
// same.
func FuzzRead(f *testing.F) {
	var text bytes.Buffer
	history.Write(&text, sample())
	f.Add(text.Bytes())
	for i := range 20 { // damaged in one place
		r := rand.New(rand.NewPCG(uint64(i), 1))
		bad := bytes.Clone(text.Bytes())
		bad[r.IntN(len(bad))] = byte(r.IntN(256))
		f.Add(bad)
	}
	f.Add(text.Bytes()[:text.Len()/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := history.Read("f", bytes.NewReader(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("no line: %v", err)
			}
			return
		}
		var out bytes.Buffer
		if err := history.Write(&out, h); err != nil {
			t.Fatal(err)
		}
		again, err := history.Read("g", &out)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if !reflect.DeepEqual(h.Ops, again.Ops) {
			t.Fatalf("%+v\n%+v", h.Ops, again.Ops)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	h := sample()
	op := h.Ops[0]
	for i := range 100_000 {
		op.ID = int64(i + 10)
		h.Ops = append(h.Ops, op)
	}
	var text bytes.Buffer
	history.Write(&text, h)
	for b.Loop() {
		if _, err := history.Read("x", bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// What a flipped bit makes of an offset must not make the history unreadable.
func TestBound(t *testing.T) {
	op := history.NewOp(history.Fetch, "t", 0)
	op.Outcome, op.From, op.Next, op.HighWatermark = history.OK, 7, 1<<61|8, -1<<63
	op.Records = []history.Record{{Offset: 7, Value: 1}, {Offset: 1<<61 | 7, Value: 2}}
	op.Bound()
	if op.From != 7 || op.Next != history.OffsetMax || op.HighWatermark != history.OffsetMax || op.LastStable != history.None ||
		op.Records[0].Offset != 7 || op.Records[1].Offset != history.OffsetMax {
		t.Errorf("bound to %+v", op)
	}
	d := history.Drain{Start: 3, End: 1 << 62}
	if d.Bound(); d.Start != 3 || d.End != history.OffsetMax {
		t.Errorf("bound to %+v", d)
	}
}
