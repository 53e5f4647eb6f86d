package jute

import "barnabas/broker/zookeeper"

// ReplyHeader begins every frame from the server but the first.
type ReplyHeader struct {
	Xid  int32
	Zxid int64 // the last transaction the server had applied
	Err  Code
}

// HeaderLen is the length of a ReplyHeader in bytes.
const HeaderLen = 16

// Response is the body of a reply; which fields count depends on the request's code.
type Response struct {
	Path     string // create, sync
	Data     []byte // getData
	Stat     zookeeper.Stat
	Children []string // getChildren, getEphemerals
	ACL      []ACL
	Count    int32 // allChildrenNumber
	Results  []OpResult
}

// OpResult is the outcome of one operation of a multi. If one failed, Code is OpError for all: Err is OK for those before
// the one that failed, and RuntimeInconsistency for those behind it.
type OpResult struct {
	Code OpCode
	Err  Code
	Path string // create, create2
	Stat zookeeper.Stat
}

// Event is a fired watch.
type Event struct {
	Type  zookeeper.EventType
	State zookeeper.State
	Path  string
}

// AppendReply appends a reply as a frame. A body follows only if h.Err is OK.
func AppendReply(dst []byte, h ReplyHeader, op OpCode, r *Response) []byte {
	e := Encoder{dst}
	start := e.begin()
	e.header(h)
	if h.Err == OK {
		r.body(&e, op)
	}
	e.end(start)
	return e.Buf
}

// AppendEvent appends a fired watch as a frame.
func AppendEvent(dst []byte, ev Event) []byte {
	e := Encoder{dst}
	start := e.begin()
	e.header(ReplyHeader{Xid: XidNotification, Zxid: -1})
	e.Int(int32(ev.Type))
	e.Int(int32(ev.State))
	e.String(ev.Path)
	e.end(start)
	return e.Buf
}

func (e *Encoder) header(h ReplyHeader) {
	e.Int(h.Xid)
	e.Long(h.Zxid)
	e.Int(int32(h.Err))
}

func (r *Response) body(e *Encoder, op OpCode) {
	switch op {
	case OpCreate, OpSync:
		e.String(r.Path)
	case OpCreate2:
		e.String(r.Path)
		e.Stat(&r.Stat)
	case OpExists, OpSetData, OpSetACL, OpCheck:
		e.Stat(&r.Stat)
	case OpGetData:
		e.Buffer(r.Data)
		e.Stat(&r.Stat)
	case OpGetACL:
		e.acl(r.ACL)
		e.Stat(&r.Stat)
	case OpGetChildren, OpGetEphemerals:
		e.Strings(r.Children)
	case OpGetChildren2:
		e.Strings(r.Children)
		e.Stat(&r.Stat)
	case OpAllChildrenNumber:
		e.Int(r.Count)
	case OpMulti:
		for i := range r.Results {
			r.Results[i].append(e)
		}
		e.multiHeader(-1, true, -1)
	}
}

func (r *OpResult) append(e *Encoder) {
	e.multiHeader(r.Code, false, r.Err)
	switch r.Code {
	case OpCreate:
		e.String(r.Path)
	case OpCreate2:
		e.String(r.Path)
		e.Stat(&r.Stat)
	case OpSetData:
		e.Stat(&r.Stat)
	case OpError:
		e.Int(int32(r.Err))
	}
}

// ParseReply reads a frame's header; the body follows in rest.
func ParseReply(frame []byte) (h ReplyHeader, rest []byte, err error) {
	d := NewDecoder(frame)
	h = ReplyHeader{Xid: d.Int(), Zxid: d.Long(), Err: Code(d.Int())}
	return h, d.buf, d.Err()
}

// ParseEvent reads the body of a frame with XidNotification.
func ParseEvent(body []byte) (Event, error) {
	d := NewDecoder(body)
	ev := Event{zookeeper.EventType(d.Int()), zookeeper.State(d.Int()), d.String()}
	return ev, d.Err()
}

// ParseResponse reads the body of a reply without error to a request of type op. Data is a slice of body.
func ParseResponse(op OpCode, body []byte) (Response, error) {
	d := NewDecoder(body)
	var r Response
	switch op {
	case OpCreate, OpSync:
		r.Path = d.String()
	case OpCreate2:
		r.Path, r.Stat = d.String(), d.Stat()
	case OpExists, OpSetData, OpSetACL, OpCheck:
		r.Stat = d.Stat()
	case OpGetData:
		r.Data, r.Stat = d.Buffer(), d.Stat()
	case OpGetACL:
		r.ACL, r.Stat = d.acl(), d.Stat()
	case OpGetChildren, OpGetEphemerals:
		r.Children = d.Strings()
	case OpGetChildren2:
		r.Children, r.Stat = d.Strings(), d.Stat()
	case OpAllChildrenNumber:
		r.Count = d.Int()
	case OpMulti:
		r.Results = d.results()
	}
	return r, d.Err()
}

func (d *Decoder) results() []OpResult {
	var results []OpResult
	for {
		op, done, code := d.multiHeader()
		if done || d.Err() != nil {
			return results
		}
		r := OpResult{Code: op, Err: code}
		switch op {
		case OpCreate:
			r.Path = d.String()
		case OpCreate2:
			r.Path, r.Stat = d.String(), d.Stat()
		case OpSetData:
			r.Stat = d.Stat()
		case OpError:
			r.Err = Code(d.Int())
		case OpDelete, OpCheck:
		default:
			d.err = malformed("result of type %d inside a multi", op)
		}
		results = append(results, r)
	}
}

// Stat appends a Stat: 68 bytes.
func (e *Encoder) Stat(s *zookeeper.Stat) {
	e.Long(s.Czxid)
	e.Long(s.Mzxid)
	e.Long(s.CtimeMs)
	e.Long(s.MtimeMs)
	e.Int(s.Version)
	e.Int(s.Cversion)
	e.Int(s.Aversion)
	e.Long(s.EphemeralOwner)
	e.Int(s.DataLength)
	e.Int(s.NumChildren)
	e.Long(s.Pzxid)
}

// Stat reads a Stat.
func (d *Decoder) Stat() zookeeper.Stat {
	return zookeeper.Stat{
		Czxid: d.Long(), Mzxid: d.Long(), CtimeMs: d.Long(), MtimeMs: d.Long(),
		Version: d.Int(), Cversion: d.Int(), Aversion: d.Int(), EphemeralOwner: d.Long(),
		DataLength: d.Int(), NumChildren: d.Int(), Pzxid: d.Long(),
	}
}
