package jute

import "barnabas/broker/zookeeper"

// OpCode is the type of a request (ZooDefs.OpCode).
type OpCode int32

const (
	OpCreate            OpCode = 1
	OpDelete            OpCode = 2
	OpExists            OpCode = 3
	OpGetData           OpCode = 4
	OpSetData           OpCode = 5
	OpGetACL            OpCode = 6
	OpSetACL            OpCode = 7
	OpGetChildren       OpCode = 8
	OpSync              OpCode = 9
	OpPing              OpCode = 11
	OpGetChildren2      OpCode = 12
	OpCheck             OpCode = 13
	OpMulti             OpCode = 14
	OpCreate2           OpCode = 15
	OpRemoveWatches     OpCode = 18
	OpAuth              OpCode = 100
	OpSetWatches        OpCode = 101
	OpGetEphemerals     OpCode = 103
	OpAllChildrenNumber OpCode = 104
	OpSetWatches2       OpCode = 105
	OpCloseSession      OpCode = -11
	OpError             OpCode = -1 // in a multi's answer
)

// Xids that are not a client's own counting.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
	XidAuth         int32 = -4
	XidSetWatches   int32 = -8
)

// ACL is one entry of an access control list.
type ACL struct {
	Perms  int32
	Scheme string
	ID     string
}

// PermAll is every permission: read, write, create, delete, admin.
const PermAll int32 = 31

// OpenACL lets everybody do everything (ZooDefs.Ids.OPEN_ACL_UNSAFE).
var OpenACL = []ACL{{Perms: PermAll, Scheme: "world", ID: "anyone"}}

// Op is what an operation works on, alone or inside a multi; which fields count depends on Code.
type Op struct {
	Code    OpCode
	Path    string
	Data    []byte               // create, setData: a slice of the frame
	ACL     []ACL                // create, setACL
	Mode    zookeeper.CreateMode // create: flags as on the wire
	Version int32                // delete, setData, setACL, check
}

// Request is one request; which fields count depends on Code.
type Request struct {
	Xid int32
	Op
	Watch bool // exists, getData, getChildren
	Ops   []Op // multi: create, create2, delete, setData or check

	RelativeZxid int64 // setWatches: the last zxid the client saw
	DataWatches  []string
	ExistWatches []string
	ChildWatches []string

	WatcherType int32 // removeWatches: 1 children, 2 data, 3 any
}

// Append appends the request as a frame.
func (r *Request) Append(dst []byte) []byte {
	e := Encoder{dst}
	start := e.begin()
	e.Int(r.Xid)
	e.Int(int32(r.Code))
	switch r.Code {
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		e.String(r.Path)
		e.Bool(r.Watch)
	case OpSync, OpGetACL, OpGetEphemerals, OpAllChildrenNumber:
		e.String(r.Path)
	case OpRemoveWatches:
		e.String(r.Path)
		e.Int(r.WatcherType)
	case OpSetWatches:
		e.Long(r.RelativeZxid)
		e.Strings(r.DataWatches)
		e.Strings(r.ExistWatches)
		e.Strings(r.ChildWatches)
	case OpMulti:
		for i := range r.Ops {
			e.multiHeader(r.Ops[i].Code, false, -1)
			r.Ops[i].append(&e)
		}
		e.multiHeader(-1, true, -1)
	default:
		r.Op.append(&e)
	}
	e.end(start)
	return e.Buf
}

func (o *Op) append(e *Encoder) {
	switch o.Code {
	case OpCreate, OpCreate2:
		e.String(o.Path)
		e.Buffer(o.Data)
		e.acl(o.ACL)
		e.Int(int32(o.Mode))
	case OpDelete, OpCheck:
		e.String(o.Path)
		e.Int(o.Version)
	case OpSetData:
		e.String(o.Path)
		e.Buffer(o.Data)
		e.Int(o.Version)
	case OpSetACL:
		e.String(o.Path)
		e.acl(o.ACL)
		e.Int(o.Version)
	}
}

// ParseRequest reads a frame's content. Data is a slice of it. A Code that is not listed here comes back with its Xid
// and nothing else: the server answers Unimplemented.
func ParseRequest(frame []byte) (Request, error) {
	d := NewDecoder(frame)
	r := Request{Xid: d.Int()}
	r.Code = OpCode(d.Int())
	switch r.Code {
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		r.Path, r.Watch = d.String(), d.Bool()
	case OpSync, OpGetACL, OpGetEphemerals, OpAllChildrenNumber:
		r.Path = d.String()
	case OpRemoveWatches:
		r.Path, r.WatcherType = d.String(), d.Int()
	case OpSetWatches, OpSetWatches2:
		r.RelativeZxid = d.Long()
		r.DataWatches, r.ExistWatches, r.ChildWatches = d.Strings(), d.Strings(), d.Strings()
		if r.Code == OpSetWatches2 && len(d.Strings())+len(d.Strings()) > 0 && d.err == nil {
			d.err = malformed("persistent watches, which this server never gave out")
		}
	case OpMulti:
		r.Ops = d.multi()
	default:
		r.Op.parse(d)
	}
	return r, d.Err()
}

func (o *Op) parse(d *Decoder) {
	switch o.Code {
	case OpCreate, OpCreate2:
		o.Path, o.Data, o.ACL = d.String(), d.Buffer(), d.acl()
		o.Mode = zookeeper.CreateMode(d.Int())
	case OpDelete, OpCheck:
		o.Path, o.Version = d.String(), d.Int()
	case OpSetData:
		o.Path, o.Data, o.Version = d.String(), d.Buffer(), d.Int()
	case OpSetACL:
		o.Path, o.ACL, o.Version = d.String(), d.acl(), d.Int()
	}
}

func (d *Decoder) multi() []Op {
	var ops []Op
	for {
		code, done, _ := d.multiHeader()
		if done || d.Err() != nil {
			return ops
		}
		switch code {
		case OpCreate, OpCreate2, OpDelete, OpSetData, OpCheck:
			op := Op{Code: code}
			op.parse(d)
			ops = append(ops, op)
		default:
			d.err = malformed("operation %d inside a multi", code)
		}
	}
}

func (e *Encoder) multiHeader(op OpCode, done bool, err Code) {
	e.Int(int32(op))
	e.Bool(done)
	e.Int(int32(err))
}

func (d *Decoder) multiHeader() (OpCode, bool, Code) {
	return OpCode(d.Int()), d.Bool(), Code(d.Int())
}

func (e *Encoder) acl(v []ACL) {
	e.Int(int32(len(v)))
	for _, a := range v {
		e.Int(a.Perms)
		e.String(a.Scheme)
		e.String(a.ID)
	}
}

func (d *Decoder) acl() []ACL {
	n := d.Count(12)
	if n == 0 {
		return nil
	}
	v := make([]ACL, 0, n)
	for range n {
		v = append(v, ACL{d.Int(), d.String(), d.String()})
	}
	return v
}
