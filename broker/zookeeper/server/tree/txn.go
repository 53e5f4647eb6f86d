package tree

import (
	"bytes"
	"fmt"

	"barnabas/broker/zookeeper"
	"barnabas/broker/zookeeper/jute"
)

// Kind is what a transaction is about.
type Kind int32

const (
	KindOps          Kind = 1
	KindOpenSession  Kind = 2
	KindCloseSession Kind = 3
)

// Txn is one transaction as it is logged: its effect, not the request. A create has its final path, versions have been
// checked, and operations that change nothing are left out.
type Txn struct {
	Kind    Kind
	Zxid    int64
	TimeMs  int64 // wall clock, milliseconds
	Session int64

	Ops []zookeeper.Op // KindOps

	TimeoutMs int32  // KindOpenSession
	Password  []byte // KindOpenSession
}

// Append appends the transaction's form in the log; docs/formats/zookeeper-log.md.
func (t *Txn) Append(dst []byte) []byte {
	e := jute.Encoder{Buf: dst}
	e.Int(int32(t.Kind))
	e.Long(t.Zxid)
	e.Long(t.TimeMs)
	e.Long(t.Session)
	switch t.Kind {
	case KindOpenSession:
		e.Int(t.TimeoutMs)
		e.Buffer(t.Password)
	case KindOps:
		e.Int(int32(len(t.Ops)))
		for _, op := range t.Ops {
			e.Int(int32(op.Kind))
			e.String(op.Path)
			switch op.Kind {
			case zookeeper.OpCreate:
				e.Int(int32(op.Mode))
				e.Buffer(op.Data)
			case zookeeper.OpSet:
				e.Buffer(op.Data)
			}
		}
	}
	return e.Buf
}

// ParseTxn reads one transaction, with copies of its data. Errors: jute.ErrMalformed, an unknown kind.
func ParseTxn(d *jute.Decoder) (Txn, error) {
	t := Txn{Kind: Kind(d.Int()), Zxid: d.Long(), TimeMs: d.Long(), Session: d.Long()}
	switch t.Kind {
	case KindOpenSession:
		t.TimeoutMs, t.Password = d.Int(), bytes.Clone(d.Buffer())
	case KindCloseSession:
	case KindOps:
		for range d.Count(8) {
			op := zookeeper.Op{Kind: zookeeper.OpKind(d.Int()), Path: d.String()}
			switch op.Kind {
			case zookeeper.OpCreate:
				op.Mode, op.Data = zookeeper.CreateMode(d.Int()), bytes.Clone(d.Buffer())
			case zookeeper.OpSet:
				op.Data = bytes.Clone(d.Buffer())
			}
			t.Ops = append(t.Ops, op)
		}
	default:
		if d.Err() == nil {
			return t, fmt.Errorf("%w: transaction of kind %d", jute.ErrMalformed, t.Kind)
		}
	}
	return t, d.Err()
}
