package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// lineBytesMax bounds a line: more is no history.
const lineBytesMax = 64 << 20

// OffsetMax bounds offsets, so that counting on from one cannot overflow.
const OffsetMax = 1 << 60

// partitionsMax bounds what a header makes a judge allocate.
const partitionsMax = 1 << 20

// ValueMax is the largest value id: JSON readers everywhere hold it exactly.
const ValueMax = 1<<53 - 1

// Read reads a history. It is strict: unknown fields, impossible values, lines out of place and a missing end are
// errors, which name file (as given), line and reason: "run.jsonl:17: return 5 before call 9".
func Read(file string, r io.Reader) (*History, error) {
	p := &parser{h: &History{}, ids: make(map[int64]struct{})}
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := readLine(in)
		if err == io.EOF {
			break
		}
		p.line++
		if err == nil {
			err = p.take(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
	}
	switch {
	case p.line == 0:
		return nil, fmt.Errorf("%s:1: empty", file)
	case !p.ended:
		return nil, fmt.Errorf("%s:%d: the history is cut off: no line of type end", file, p.line)
	}
	return p.h, nil
}

// readLine returns the next line without its end; io.EOF when there is none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case len(line) > lineBytesMax:
			return nil, fmt.Errorf("line of more than %d bytes", lineBytesMax)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, errors.New("the line has no end: the history is cut off")
		default:
			return nil, err
		}
	}
}

type parser struct {
	h     *History
	line  int
	ended bool
	other int64
	ids   map[int64]struct{}
	names names
}

// names keeps one copy of each topic name.
type names map[string]string

// lineType is what every line begins with.
type lineType struct {
	Type string `json:"type"`
}

type headerLine struct {
	Type    string  `json:"type"`
	Version int     `json:"version"`
	Run     *Header `json:"run"`
}

type opLine struct {
	Type      string            `json:"type"`
	ID        int64             `json:"id"`
	Process   int32             `json:"process"`
	Kind      string            `json:"kind"`
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Call      int64             `json:"call"`
	Return    int64             `json:"return"`
	Outcome   string            `json:"outcome"`
	Acks      *int16            `json:"acks"`
	From      *int64            `json:"from"`
	Producer  *int64            `json:"producer"`
	Seq       *int64            `json:"seq"`
	Offset    *int64            `json:"offset"`
	Next      *int64            `json:"next"`
	HW        *int64            `json:"hw"`
	LSO       *int64            `json:"lso"`
	LogStart  *int64            `json:"log_start"`
	Epoch     *int32            `json:"epoch"`
	Records   []json.RawMessage `json:"records"`
	Group     string            `json:"group"`
	Gen       *int32            `json:"generation"`
	Txn       int64             `json:"txn"`
	TxnID     string            `json:"transactional_id"`
	PID       *int64            `json:"producer_id"`
	PEpoch    *int16            `json:"producer_epoch"`
	Commits   bool              `json:"commits"`
	Sources   []int64           `json:"sources"`
	Amounts   []int64           `json:"amounts"`
	Keys      []int64           `json:"keys"`
	Committed bool              `json:"committed"`
	Seek      bool              `json:"seek"`
	Drain     bool              `json:"drain"`
	Error     string            `json:"error"`
}

type faultLine struct {
	Type  string `json:"type"`
	Tag   string `json:"tag"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Text  string `json:"text"`
}

type drainLine struct {
	Type      string `json:"type"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Time      int64  `json:"time"`
	Committed bool   `json:"committed"`
}

type endLine struct {
	Type  string `json:"type"`
	Ops   int64  `json:"ops"`
	Other int64  `json:"other"`
}

func (p *parser) take(line []byte) error {
	if p.ended {
		return errors.New("more after the line of type end")
	}
	kind, err := typeOf(line)
	if err != nil {
		return err
	}
	if (p.line == 1) != (kind == "history") {
		return fmt.Errorf("line of type %q: the first line, and no other, is of type history", kind)
	}
	switch kind {
	case "history":
		return p.takeHeader(line)
	case "op":
		return p.takeOp(line)
	case "fault":
		var f faultLine
		if err := strict(line, &f); err != nil {
			return err
		}
		if f.End != None && f.End < f.Start {
			return fmt.Errorf("end %d before start %d", f.End, f.Start)
		}
		p.other++
		p.h.Faults = append(p.h.Faults, Fault{f.Tag, f.Start, f.End, f.Text})
	case "drain":
		return p.takeDrain(line)
	case "end":
		var e endLine
		if err := strict(line, &e); err != nil {
			return err
		}
		if e.Ops != int64(len(p.h.Ops)) || e.Other != p.other {
			return fmt.Errorf("%d operations and %d other lines were written, %d and %d read", e.Ops, e.Other, len(p.h.Ops), p.other)
		}
		p.ended = true
	default:
		return fmt.Errorf("type %q: not history, op, fault, drain or end", kind)
	}
	return nil
}

// typeOf reads a line's type without parsing the rest where it comes first, as the writer puts it.
func typeOf(line []byte) (string, error) {
	const head = `{"type":"`
	if bytes.HasPrefix(line, []byte(head)) {
		if end := bytes.IndexByte(line[len(head):], '"'); end >= 0 {
			return string(line[len(head) : len(head)+end]), nil
		}
	}
	var t lineType
	if err := json.Unmarshal(line, &t); err != nil {
		return "", fmt.Errorf("not a JSON object: %w", err)
	}
	return t.Type, nil
}

// strict decodes one object that fills the line.
func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one object on the line")
	}
	return nil
}

func (p *parser) takeHeader(line []byte) error {
	var head headerLine
	if err := strict(line, &head); err != nil {
		return err
	}
	if head.Version != Version {
		return fmt.Errorf("version %d: only %d is known", head.Version, Version)
	}
	if head.Run == nil {
		return errors.New("no run")
	}
	p.names = make(names)
	for _, t := range head.Run.Topics {
		if t.Name == "" || t.Partitions <= 0 || t.Partitions > partitionsMax {
			return fmt.Errorf("topic %q with %d partitions", t.Name, t.Partitions)
		}
		if _, ok := p.names[t.Name]; ok {
			return fmt.Errorf("topic %q comes twice", t.Name)
		}
		p.names[t.Name] = t.Name
	}
	for _, l := range head.Run.Pipelines {
		if err := p.pipeline(l); err != nil {
			return err
		}
	}
	p.h.Header = *head.Run
	return nil
}

func (p *parser) pipeline(l Pipeline) error {
	for _, topic := range []string{l.Input, l.Output} {
		if _, ok := p.names[topic]; !ok {
			return fmt.Errorf("pipeline of group %q: topic %q is not among the topics", l.Group, topic)
		}
	}
	if l.Delivery != AtMostOnce && l.Delivery != AtLeastOnce && l.Delivery != ExactlyOnce {
		return fmt.Errorf("pipeline of group %q: delivery %q: not %s, %s or %s", l.Group, l.Delivery, AtMostOnce, AtLeastOnce, ExactlyOnce)
	}
	return nil
}

func (p *parser) place(topic string, partition int32) (string, error) {
	known, ok := p.names[topic]
	if !ok {
		return "", fmt.Errorf("topic %q is not in the first line", topic)
	}
	for i := range p.h.Header.Topics {
		if t := &p.h.Header.Topics[i]; t.Name == topic && (partition < 0 || partition >= t.Partitions) {
			return "", fmt.Errorf("partition %d of topic %s, which has %d", partition, topic, t.Partitions)
		}
	}
	return known, nil
}

func (p *parser) takeDrain(line []byte) error {
	var d drainLine
	if err := strict(line, &d); err != nil {
		return err
	}
	topic, err := p.place(d.Topic, d.Partition)
	if err != nil {
		return err
	}
	if d.Start < 0 || d.End < d.Start || d.End > OffsetMax {
		return fmt.Errorf("drain from %d to %d", d.Start, d.End)
	}
	p.other++
	p.h.Drains = append(p.h.Drains, Drain{topic, d.Partition, d.Start, d.End, d.Time, d.Committed})
	return nil
}

func (p *parser) takeOp(line []byte) error {
	var l opLine
	if err := strict(line, &l); err != nil {
		return err
	}
	op, err := l.op()
	if err != nil {
		return err
	}
	if op.Kind.OfTransaction() {
		if l.Topic != "" || l.Partition != 0 {
			return fmt.Errorf("%s has no topic and no partition", op.Kind)
		}
	} else if op.Topic, err = p.place(l.Topic, l.Partition); err != nil {
		return err
	}
	if _, ok := p.ids[op.ID]; ok {
		return fmt.Errorf("id %d comes twice", op.ID)
	}
	p.ids[op.ID] = struct{}{}
	if err := Check(&op); err != nil {
		return err
	}
	p.h.Ops = append(p.h.Ops, op)
	return nil
}

// op converts a line, field by field.
func (l *opLine) op() (Op, error) {
	op := Op{ID: l.ID, Process: l.Process, Partition: l.Partition, Call: l.Call, Return: l.Return,
		Producer: or(l.Producer, None), Seq: or(l.Seq, 0), From: or(l.From, 0), Offset: or(l.Offset, None), Next: or(l.Next, None),
		HighWatermark: or(l.HW, None), LastStable: or(l.LSO, None), LogStart: or(l.LogStart, None), Epoch: or(l.Epoch, int32(None)),
		Committed: l.Committed, Seek: l.Seek, Drain: l.Drain, Error: l.Error, Acks: or(l.Acks, 0), Group: l.Group, Generation: or(l.Gen, int32(None)),
		Txn: l.Txn, TransactionalID: l.TxnID, ProducerID: or(l.PID, None), ProducerEpoch: or(l.PEpoch, int16(None)), Commits: l.Commits,
		Sources: l.Sources, Amounts: l.Amounts, Keys: l.Keys}
	kind, ok := find(kindNames[:], l.Kind)
	if !ok {
		return op, fmt.Errorf("kind %q: not one of %v", l.Kind, kindNames)
	}
	outcome, ok := find(outcomeNames[:], l.Outcome)
	if !ok {
		return op, fmt.Errorf("outcome %q: not ok, failed or unknown", l.Outcome)
	}
	op.Kind, op.Outcome = Kind(kind), Outcome(outcome)
	switch {
	case op.ID <= 0:
		return op, fmt.Errorf("id %d: not above 0", op.ID)
	case (op.Kind == Produce) != (l.Acks != nil):
		return op, errors.New("acks belong to a produce, and to nothing else")
	case (op.Kind == Fetch || op.Kind == ListOffsets) != (l.From != nil):
		return op, errors.New("from belongs to a fetch or list-offsets, and to nothing else")
	case (l.Producer == nil) != (l.Seq == nil):
		return op, errors.New("producer and seq come together")
	}
	for i, raw := range l.Records {
		r, err := parseRecord(raw, op.Kind)
		if err != nil {
			return op, fmt.Errorf("record %d: %w", i, err)
		}
		op.Records = append(op.Records, r)
	}
	return op, nil
}

func parseRecord(raw json.RawMessage, kind Kind) (Record, error) {
	var n []int64
	if err := json.Unmarshal(raw, &n); err != nil {
		return Record{}, err
	}
	r := Record{Offset: None}
	if kind != Produce && len(n) == 3 {
		r.Offset, n = n[0], n[1:]
	}
	if len(n) != 2 {
		return r, errors.New("not [value,sum] in a produce or [offset,value,sum] in a fetch")
	}
	if n[1] < 0 || n[1] >= 1<<32 {
		return r, fmt.Errorf("sum %d: not 32 bits", n[1])
	}
	r.Value, r.Sum = n[0], uint32(n[1])
	return r, nil
}

// Check tells what is impossible about an operation by itself; nil if nothing is. What a broker may have answered
// wrongly is not impossible.
func Check(op *Op) error {
	switch {
	case op.Return < op.Call:
		return fmt.Errorf("return %d before call %d", op.Return, op.Call)
	case op.Kind == Produce && (op.Acks < -1 || op.Acks > 1):
		return fmt.Errorf("acks %d: not -1, 0 or 1", op.Acks)
	case op.Kind == Produce && len(op.Records) == 0:
		return errors.New("produce without records")
	case op.Kind != Produce && op.Kind != Fetch && !op.Kind.OfZooKeeper() && len(op.Records) > 0:
		return fmt.Errorf("%s with records", op.Kind)
	case op.Kind.OfGroup() && op.Group == "", op.Group != "" && !op.Kind.OfGroup() && op.Kind != Fetch:
		return errors.New("a group belongs to own, commit and offset-fetch, may stand with a fetch, and nowhere else")
	case op.Generation < int32(None) || op.Generation != int32(None) && !op.Kind.OfGroup():
		return fmt.Errorf("generation %d", op.Generation)
	case op.Kind == Own && (op.Generation < 0 || op.Outcome == Failed):
		return errors.New("own is in a generation, and ends ok or unknown")
	case op.Kind == Commit && op.Offset < 0:
		return fmt.Errorf("commit of offset %d", op.Offset)
	case op.Kind != Fetch && (op.Seek || op.Next != None) || op.Drain && op.Kind != Fetch && op.Kind != OffsetFetch:
		return errors.New("drain, seek and next belong to a fetch, drain to an offset-fetch as well")
	case op.Kind == Fetch && op.From < 0:
		return fmt.Errorf("fetch from %d", op.From)
	case op.Kind == Fetch && op.Outcome == OK && op.Next == None:
		return errors.New("ok fetch without next")
	case op.Outcome != OK && (op.Kind == Fetch || op.Kind == ZKRead) && len(op.Records) > 0:
		return errors.New("records were read, so the fetch is ok")
	case (op.Kind == ZKCreate || op.Kind == ZKSet) && len(op.Records) != 1, op.Kind == ZKRead && len(op.Records) > 1,
		(op.Kind == ZKDelete || op.Kind == ZKSync) && len(op.Records) > 0:
		return fmt.Errorf("%s with %d records", op.Kind, len(op.Records))
	case op.Kind.OfZooKeeper() && op.Outcome == OK && op.Offset == None:
		return fmt.Errorf("ok %s without its zxid", op.Kind)
	}
	if err := checkTxn(op); err != nil {
		return err
	}
	for _, offset := range [...]int64{op.Offset, op.Next, op.HighWatermark, op.LastStable, op.LogStart} {
		if offset < None || offset > OffsetMax {
			return fmt.Errorf("offset %d: not from -1 to 2^60", offset)
		}
	}
	for _, r := range op.Records {
		if r.Offset < None || r.Offset > OffsetMax {
			return fmt.Errorf("offset %d: not from -1 to 2^60", r.Offset)
		}
		if r.Value < 0 || r.Value > ValueMax || op.Kind == Produce && r.Value == 0 {
			return fmt.Errorf("value %d: not from 1 to 2^53-1", r.Value)
		}
		if op.Kind == Fetch && r.Offset < 0 {
			return fmt.Errorf("record read at offset %d", r.Offset)
		}
	}
	return nil
}

// checkTxn is the part of Check about transactions.
func checkTxn(op *Op) error {
	writes := op.Kind == Produce || op.Kind == Commit || op.Kind == EndTxn
	switch {
	case op.Txn < 0 || op.Txn > 0 && !writes && op.Kind != Fetch:
		return fmt.Errorf("%s with transaction %d", op.Kind, op.Txn)
	case op.Kind == EndTxn && op.Txn == 0:
		return errors.New("end-txn without a transaction")
	case (writes && op.Txn > 0 || op.Kind == InitProducer) != (op.TransactionalID != ""):
		return errors.New("a transactional id belongs to init-producer and to what is part of a transaction, and to nothing else")
	case op.Commits && op.Kind != EndTxn:
		return errors.New("commits belongs to an end-txn")
	case op.ProducerID < None || op.ProducerEpoch < int16(None) || (op.ProducerID == None) != (op.ProducerEpoch == int16(None)):
		return fmt.Errorf("producer id %d with epoch %d", op.ProducerID, op.ProducerEpoch)
	case op.Kind == InitProducer && op.Outcome == OK && op.ProducerID == None:
		return errors.New("ok init-producer without a producer id")
	case op.Sources != nil && (op.Kind != Produce || len(op.Sources) != len(op.Records)),
		op.Amounts != nil && (op.Kind != Produce || len(op.Amounts) != len(op.Records)),
		op.Keys != nil && (op.Kind != Produce || len(op.Keys) != len(op.Records)):
		return errors.New("sources, amounts and keys belong to a produce, one for each record")
	}
	for _, k := range op.Keys {
		if k == 0 || k < -ValueMax || k > ValueMax {
			return fmt.Errorf("key %d: not from 1 to 2^53, nor the negative of one", k)
		}
	}
	for _, s := range op.Sources {
		if s < 0 || s > ValueMax {
			return fmt.Errorf("source %d: not a value, nor 0 for none", s)
		}
	}
	for _, a := range op.Amounts {
		if a < -ValueMax || a > ValueMax {
			return fmt.Errorf("amount %d: not between -2^53 and 2^53", a)
		}
	}
	return nil
}

func find(names []string, s string) (int, bool) {
	for i, n := range names {
		if n == s {
			return i, true
		}
	}
	return 0, false
}

func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
