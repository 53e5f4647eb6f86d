package history

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Version is the version of the file form.
const Version = 1

// Writer writes a history as JSON lines, one at a time, into a buffer of its own. Errors stick, and Close tells them.
type Writer struct {
	w    io.Writer
	buf  []byte
	ops  int64
	rest int64 // faults and drains
	err  error
}

// NewWriter writes the header.
func NewWriter(w io.Writer, h Header) *Writer {
	out := &Writer{w: w}
	head, err := json.Marshal(h)
	if err != nil {
		out.err = err
		return out
	}
	out.buf = append(out.buf, `{"type":"history","version":`...)
	out.buf = strconv.AppendInt(out.buf, Version, 10)
	out.buf = append(out.buf, `,"run":`...)
	out.buf = append(out.buf, head...)
	out.line()
	return out
}

// Op writes an operation. One without an id gets the next one.
func (w *Writer) Op(op Op) {
	w.ops++
	if op.ID == 0 {
		op.ID = w.ops
	}
	w.buf = appendOp(w.buf, &op)
	w.line()
}

// Fault writes a fault.
func (w *Writer) Fault(f Fault) {
	w.rest++
	w.object("fault")
	w.text("tag", f.Tag)
	w.int("start", f.Start)
	w.int("end", f.End)
	w.text("text", f.Text)
	w.line()
}

// Drain writes that a partition was read out.
func (w *Writer) Drain(d Drain) {
	w.rest++
	w.object("drain")
	w.text("topic", d.Topic)
	w.int("partition", int64(d.Partition))
	w.int("start", d.Start)
	w.int("end", d.End)
	w.int("time", d.Time)
	if d.Committed {
		w.buf = appendTrue(w.buf, "committed")
	}
	w.line()
}

// Close writes the last line, by which a reader knows that nothing was cut off, and returns the first error.
func (w *Writer) Close() error {
	w.object("end")
	w.int("ops", w.ops)
	w.int("other", w.rest)
	w.line()
	w.flush()
	return w.err
}

func (w *Writer) object(kind string) {
	w.buf = append(append(append(w.buf, `{"type":"`...), kind...), '"')
}
func (w *Writer) int(key string, v int64) {
	w.buf = appendInt(w.buf, key, v)
}
func (w *Writer) text(key, v string) { w.buf = appendText(w.buf, key, v) }

func (w *Writer) line() {
	w.buf = append(w.buf, '}', '\n')
	if len(w.buf) > 64<<10 {
		w.flush()
	}
}

func (w *Writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		if _, err := w.w.Write(w.buf); err != nil {
			w.err = fmt.Errorf("history: %w", err)
		}
	}
	w.buf = w.buf[:0]
}

// Write writes a whole history.
func Write(w io.Writer, h *History) error {
	out := NewWriter(w, h.Header)
	for _, f := range h.Faults {
		out.Fault(f)
	}
	for _, op := range h.Ops {
		out.Op(op)
	}
	for _, d := range h.Drains {
		out.Drain(d)
	}
	return out.Close()
}

func appendInt(dst []byte, key string, v int64) []byte {
	dst = append(append(append(dst, ',', '"'), key...), '"', ':')
	return strconv.AppendInt(dst, v, 10)
}

func appendText(dst []byte, key, v string) []byte {
	dst = append(append(append(dst, ',', '"'), key...), '"', ':')
	quoted, err := json.Marshal(v)
	if err != nil { // cannot be: strings always marshal
		quoted = []byte(`""`)
	}
	return append(dst, quoted...)
}

func appendTrue(dst []byte, key string) []byte {
	return append(append(append(dst, ',', '"'), key...), `":true`...)
}

// appendOp appends the line of an operation without its end. What is none or false is left out.
func appendOp(dst []byte, op *Op) []byte {
	dst = append(dst, `{"type":"op"`...)
	dst = appendInt(dst, "id", op.ID)
	dst = appendInt(dst, "process", int64(op.Process))
	dst = appendText(dst, "kind", op.Kind.String())
	if !op.Kind.OfTransaction() {
		dst = appendText(dst, "topic", op.Topic)
		dst = appendInt(dst, "partition", int64(op.Partition))
	}
	dst = appendInt(dst, "call", op.Call)
	dst = appendInt(dst, "return", op.Return)
	dst = appendText(dst, "outcome", op.Outcome.String())
	if op.Kind == Produce {
		dst = appendInt(dst, "acks", int64(op.Acks))
	} else if op.Kind == Fetch || op.Kind == ListOffsets {
		dst = appendInt(dst, "from", op.From)
	}
	if op.Txn != 0 {
		dst = appendInt(dst, "txn", op.Txn)
	}
	if op.TransactionalID != "" {
		dst = appendText(dst, "transactional_id", op.TransactionalID)
	}
	if op.Group != "" {
		dst = appendText(dst, "group", op.Group)
	}
	if op.Producer != None {
		dst = appendInt(dst, "producer", op.Producer)
		dst = appendInt(dst, "seq", op.Seq)
	}
	for _, f := range [...]struct {
		key string
		v   int64
	}{{"offset", op.Offset}, {"next", op.Next}, {"hw", op.HighWatermark}, {"lso", op.LastStable},
		{"log_start", op.LogStart}, {"epoch", int64(op.Epoch)}, {"generation", int64(op.Generation)},
		{"producer_id", op.ProducerID}, {"producer_epoch", int64(op.ProducerEpoch)}} {
		if f.v != None {
			dst = appendInt(dst, f.key, f.v)
		}
	}
	if len(op.Records) > 0 {
		dst = appendRecords(dst, op)
	}
	dst = appendList(dst, "sources", op.Sources)
	dst = appendList(dst, "amounts", op.Amounts)
	dst = appendList(dst, "keys", op.Keys)
	if op.Commits {
		dst = appendTrue(dst, "commits")
	}
	if op.Committed {
		dst = appendTrue(dst, "committed")
	}
	if op.Seek {
		dst = appendTrue(dst, "seek")
	}
	if op.Drain {
		dst = appendTrue(dst, "drain")
	}
	if op.Error != "" {
		dst = appendText(dst, "error", op.Error)
	}
	return dst
}

func appendList(dst []byte, key string, list []int64) []byte {
	if list == nil {
		return dst
	}
	dst = append(append(append(dst, ',', '"'), key...), '"', ':', '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, v, 10)
	}
	return append(dst, ']')
}

// appendRecords writes [value,sum] for what was sent, and [offset,value,sum] for what was read.
func appendRecords(dst []byte, op *Op) []byte {
	dst = append(dst, `,"records":[`...)
	for i, r := range op.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		if op.Kind != Produce {
			dst = append(strconv.AppendInt(dst, r.Offset, 10), ',')
		}
		dst = append(strconv.AppendInt(dst, r.Value, 10), ',')
		dst = append(strconv.AppendUint(dst, uint64(r.Sum), 10), ']')
	}
	return append(dst, ']')
}
