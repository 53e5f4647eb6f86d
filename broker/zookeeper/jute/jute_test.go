package jute

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"barnabas/broker/zookeeper"
)

var sampleStat = zookeeper.Stat{
	Czxid: 1, Mzxid: 2, CtimeMs: 3, MtimeMs: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8,
	DataLength: 9, NumChildren: 10, Pzxid: 11,
}

const sampleStatHex = "0000000000000001 0000000000000002 0000000000000003 0000000000000004 00000005 00000006 00000007 " +
	"0000000000000008 00000009 0000000a 000000000000000b"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// requests in their form on the wire, after ZooKeeper's zookeeper.jute.
var goldenRequests = []struct {
	name string
	r    Request
	hex  string
}{
	{"create", Request{Xid: 1, Op: Op{Code: OpCreate, Path: "/a", Data: []byte("x"), ACL: OpenACL, Mode: 3}},
		"00000032 00000001 00000001 00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000003"},
	{"create with null data", Request{Xid: 1, Op: Op{Code: OpCreate2, Path: "/a"}},
		"0000001a 00000001 0000000f 00000002 2f61 ffffffff 00000000 00000000"},
	{"delete", Request{Xid: 2, Op: Op{Code: OpDelete, Path: "/a", Version: -1}},
		"00000012 00000002 00000002 00000002 2f61 ffffffff"},
	{"set", Request{Xid: 3, Op: Op{Code: OpSetData, Path: "/a", Data: []byte{}, Version: 7}},
		"00000016 00000003 00000005 00000002 2f61 00000000 00000007"},
	{"get with watch", Request{Xid: 4, Op: Op{Code: OpGetData, Path: "/a"}, Watch: true},
		"0000000f 00000004 00000004 00000002 2f61 01"},
	{"ping", Request{Xid: XidPing, Op: Op{Code: OpPing}}, "00000008 fffffffe 0000000b"},
	{"close", Request{Xid: 5, Op: Op{Code: OpCloseSession}}, "00000008 00000005 fffffff5"},
	{"set watches", Request{Xid: XidSetWatches, Op: Op{Code: OpSetWatches}, RelativeZxid: 9, DataWatches: []string{"/a"}, ChildWatches: []string{"/b"}},
		"00000028 fffffff8 00000065 0000000000000009 00000001 00000002 2f61 00000000 00000001 00000002 2f62"},
	{"multi", Request{Xid: 6, Op: Op{Code: OpMulti}, Ops: []Op{{Code: OpCheck, Path: "/a", Version: 1}, {Code: OpDelete, Path: "/a", Version: -1}}},
		"00000037 00000006 0000000e 0000000d 00 ffffffff 00000002 2f61 00000001 00000002 00 ffffffff 00000002 2f61 ffffffff ffffffff 01 ffffffff"},
}

// Goal: requests have ZooKeeper's bytes, and come back as they were. Method: golden bytes, both ways.
func TestRequestsHaveZooKeepersBytes(t *testing.T) {
	for _, g := range goldenRequests {
		want := unhex(t, g.hex)
		if got := g.r.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded\n%x, want\n%x", g.name, got, want)
		}
		got, err := ParseRequest(want[4:])
		if err != nil || !reflect.DeepEqual(got, g.r) {
			t.Errorf("%s: parsed %+v, %v", g.name, got, err)
		}
	}
}

var goldenReplies = []struct {
	name string
	op   OpCode
	h    ReplyHeader
	r    Response
	hex  string
}{
	{"create", OpCreate, ReplyHeader{Xid: 1, Zxid: 2}, Response{Path: "/a"},
		"00000016 00000001 0000000000000002 00000000 00000002 2f61"},
	{"error", OpCreate, ReplyHeader{Xid: 1, Zxid: 2, Err: NodeExists}, Response{},
		"00000010 00000001 0000000000000002 ffffff92"},
	{"get", OpGetData, ReplyHeader{Xid: 1, Zxid: 2}, Response{Data: []byte("xy"), Stat: sampleStat},
		"0000005a 00000001 0000000000000002 00000000 00000002 7879 " + sampleStatHex},
	{"children", OpGetChildren2, ReplyHeader{Xid: 1, Zxid: 2}, Response{Children: []string{"a", "b"}, Stat: sampleStat},
		"00000062 00000001 0000000000000002 00000000 00000002 00000001 61 00000001 62 " + sampleStatHex},
	{"multi that failed", OpMulti, ReplyHeader{Xid: 1, Zxid: 2},
		Response{Results: []OpResult{{Code: OpError}, {Code: OpError, Err: BadVersion}, {Code: OpError, Err: RuntimeInconsistency}}},
		"00000040 00000001 0000000000000002 00000000 ffffffff 00 00000000 00000000 ffffffff 00 ffffff99 ffffff99 " +
			"ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff"},
	{"multi", OpMulti, ReplyHeader{Xid: 1, Zxid: 2},
		Response{Results: []OpResult{{Code: OpCreate, Path: "/a"}, {Code: OpDelete}}},
		"00000031 00000001 0000000000000002 00000000 00000001 00 00000000 00000002 2f61 00000002 00 00000000 ffffffff 01 ffffffff"},
}

// Goal: replies have ZooKeeper's bytes, and come back as they were. Method: golden bytes, both ways.
func TestRepliesHaveZooKeepersBytes(t *testing.T) {
	for _, g := range goldenReplies {
		want := unhex(t, g.hex)
		if got := AppendReply(nil, g.h, g.op, &g.r); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded\n%x, want\n%x", g.name, got, want)
		}
		h, body, err := ParseReply(want[4:])
		if err != nil || h != g.h {
			t.Errorf("%s: header %+v, %v", g.name, h, err)
		}
		if h.Err != OK {
			continue
		}
		if got, err := ParseResponse(g.op, body); err != nil || !reflect.DeepEqual(got, g.r) {
			t.Errorf("%s: parsed %+v, %v", g.name, got, err)
		}
	}
	event := unhex(t, "0000001e ffffffff ffffffffffffffff 00000000 00000003 00000003 00000002 2f61")
	want := Event{zookeeper.EventNodeDataChanged, zookeeper.StateConnected, "/a"}
	if got := AppendEvent(nil, want); !bytes.Equal(got, event) {
		t.Errorf("event: encoded %x", got)
	}
	if got, err := ParseEvent(event[4+HeaderLen:]); err != nil || got != want {
		t.Errorf("event: parsed %+v, %v", got, err)
	}
}

// Goal: the handshake is that of clients with and without the readOnly byte.
func TestHandshakeWithAndWithoutReadOnly(t *testing.T) {
	with := unhex(t, "0000001f 00000000 0000000000000001 00001770 0000000000000002 00000002 7077 01")
	for _, old := range []bool{false, true} {
		frame := with
		want := ConnectRequest{LastZxidSeen: 1, TimeoutMs: 6000, SessionID: 2, Password: []byte("pw"), ReadOnly: true}
		if old {
			frame = append([]byte{0, 0, 0, 0x1e}, with[4:len(with)-1]...)
			want.ReadOnly, want.NoReadOnly = false, true
		}
		if got := want.Append(nil); !bytes.Equal(got, frame) {
			t.Errorf("encoded %x, want %x", got, frame)
		}
		if got, err := ParseConnectRequest(frame[4:]); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parsed %+v, %v", got, err)
		}
		response := ConnectResponse{TimeoutMs: 4000, SessionID: 2, Password: []byte("pw"), NoReadOnly: old}
		if got, err := ParseConnectResponse(response.Append(nil)[4:]); err != nil || !reflect.DeepEqual(got, response) {
			t.Errorf("response parsed %+v, %v", got, err)
		}
	}
}

// Goal: a length that does not fit is an error before anything is allocated for it.
func TestLengthsBeyondTheFrameAreErrors(t *testing.T) {
	for name, frame := range map[string]string{
		"path":          "00000001 00000002 7fffffff 2f61",
		"negative path": "00000001 00000002 fffffffe 2f61",
		"data":          "00000001 00000005 00000002 2f61 000fffff 00",
		"acl count":     "00000001 00000001 00000002 2f61 00000000 7fffffff",
		"watch count":   "00000001 00000065 0000000000000000 0fffffff 00000000",
		"cut":           "00000001 000000",
		"multi op":      "00000001 0000000e 00000004 00 ffffffff 00000000",
		"endless multi": "00000001 0000000e 00000002 00 ffffffff 00000002 2f61 ffffffff",
	} {
		if r, err := ParseRequest(unhex(t, frame)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, head := range []string{"80000000", "00100000"} {
		if _, err := ReadFrame(bytes.NewReader(unhex(t, head)), MaxFrame, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("frame length %s: %v", head, err)
		}
	}
	if _, err := ReadFrame(bytes.NewReader(unhex(t, "00000003 0102")), MaxFrame, nil); err != io.ErrUnexpectedEOF {
		t.Errorf("cut frame: %v", err)
	}
	if _, err := ReadFrame(bytes.NewReader(nil), MaxFrame, nil); err != io.EOF {
		t.Errorf("no frame: %v", err)
	}
}

// Goal: paths are judged as by PathUtils#validatePath.
func TestPathsAreJudgedAsByZooKeeper(t *testing.T) {
	for _, path := range []string{"/", "/a", "/a/b", "/a.b", "/...", "/.a", "/a-0000000001", "/ü"} {
		if err := ValidatePath(path, false); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a\x00", "/a\x1f", "/\x7f", "/\uf000", "/\ufff0", "/\U0001f600", "/\xff"} {
		if err := ValidatePath(path, false); !errors.Is(err, zookeeper.ErrBadArguments) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if err := ValidatePath("/a/", true); err != nil {
		t.Error(err)
	}
}

// Goal: codes and errors stand for each other.
func TestCodesAndErrorsStandForEachOther(t *testing.T) {
	for _, code := range []Code{OK, NoNode, NodeExists, BadVersion, NotEmpty, NoChildrenForEphemerals, BadArguments, SessionExpired, Unimplemented, InvalidACL, -999} {
		if got := CodeOf(code.Err()); got != code {
			t.Errorf("%d comes back as %d", code, got)
		}
	}
	if CodeOf(io.EOF) != SystemError {
		t.Error("a foreign error is not SystemError")
	}
}

// Goal: no request from anywhere panics or takes much memory, and what parses comes back the same.
func FuzzRequest(f *testing.F) {
	for _, g := range goldenRequests {
		f.Add(g.r.Append(nil)[4:])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := ParseRequest(frame)
		if err != nil {
			return
		}
		again, err := ParseRequest(r.Append(nil)[4:])
		if r.Code == OpSetWatches2 {
			return // is never sent
		}
		if err != nil || !reflect.DeepEqual(normal(again), normal(r)) {
			t.Fatalf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}

// normal makes what differs only in nil and empty the same.
func normal(r Request) Request {
	for _, list := range []*[]string{&r.DataWatches, &r.ExistWatches, &r.ChildWatches} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return r
}

// Goal: nothing a server may send panics the client.
func FuzzReply(f *testing.F) {
	for _, g := range goldenReplies {
		f.Add(int32(g.op), AppendReply(nil, g.h, g.op, &g.r)[4:])
	}
	f.Fuzz(func(t *testing.T, op int32, frame []byte) {
		_, body, err := ParseReply(frame)
		if err != nil {
			return
		}
		ParseEvent(body)
		ParseConnectResponse(frame)
		ParseConnectRequest(frame)
		r, err := ParseResponse(OpCode(op), body)
		if err != nil {
			return
		}
		_, body, _ = ParseReply(AppendReply(nil, ReplyHeader{}, OpCode(op), &r)[4:])
		if _, err := ParseResponse(OpCode(op), body); err != nil {
			t.Fatalf("%+v does not come back: %v", r, err)
		}
	})
}
