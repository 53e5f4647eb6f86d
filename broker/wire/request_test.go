package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The shapes guard kmsg only if they are the same protocol. Random requests and responses of every served version, encoded
// by kmsg, must be walked to the very last byte, and fail when a byte is missing.
func TestShapesAgreeWithKmsg(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type message interface {
		SetVersion(int16)
		IsFlexible() bool
		AppendTo([]byte) []byte
	}
	try := func(shape shape, m message, version int16) {
		fill(r, reflect.ValueOf(m))
		m.SetVersion(version)
		body := m.AppendTo(nil)
		if shape.flexible(version) != m.IsFlexible() {
			t.Fatalf("%T v%d: flexible differs", m, version)
		}
		w := walker{left: body, version: version, flexible: m.IsFlexible()}
		if w.structure(shape.fields); w.err != nil || len(w.left) != 0 {
			t.Fatalf("%T v%d: %v, %d of %d bytes left\n%+v", m, version, w.err, len(w.left), len(body), m)
		}
		if cut := r.IntN(len(body) + 1); cut < len(body) && shape.check(body[:cut], version) == nil {
			t.Fatalf("%T v%d: %d of %d bytes pass", m, version, cut, len(body))
		}
	}
	for _, api := range served {
		if api == nil {
			continue
		}
		for version := api.Min; version <= api.Max; version++ {
			for range 200 {
				try(api.request, kmsg.RequestForKey(api.Key), version)
				try(api.response, kmsg.ResponseForKey(api.Key), version)
			}
		}
	}
}

// What AppendRequest writes ParseRequest reads, header and body, in every served version.
func TestRequestsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, api := range served {
		if api == nil {
			continue
		}
		for version := api.Min; version <= api.Max; version++ {
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(version)
			fill(r, reflect.ValueOf(req))
			frame := AppendRequest([]byte("before"), "client", 77, req)[len("before"):]
			if int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
				t.Fatalf("%T v%d: size", req, version)
			}
			h, got, err := ParseRequest(frame[4:])
			if err != nil {
				t.Fatalf("%T v%d: %v", req, version, err)
			}
			client := "client"
			if kmsg.Key(api.Key) == kmsg.ControlledShutdown && version == 0 {
				client = ""
			}
			if h != (Header{Key: api.Key, Version: version, Correlation: 77, ClientID: client}) {
				t.Fatalf("%T v%d: header %+v", req, version, h)
			}
			if !bytes.Equal(got.AppendTo(nil), req.AppendTo(nil)) {
				t.Fatalf("%T v%d: %+v became %+v", req, version, req, got)
			}
		}
	}
}

// A client that is ahead of us must learn what we speak (KIP-511); everything else that we do not know is an error.
func TestUnknownVersions(t *testing.T) {
	h, req, err := ParseRequest([]byte{0, 18, 0, 99, 0, 0, 0, 5, 1, 2, 3})
	if _, ok := req.(*kmsg.ApiVersionsRequest); err != nil || !ok || !h.Unsupported || h.Version != 0 || h.Correlation != 5 {
		t.Fatalf("ApiVersions v99: %+v %T %v", h, req, err)
	}
	for name, frame := range map[string][]byte{
		"key 1000":    {3, 232, 0, 0, 0, 0, 0, 5, 255, 255},
		"key -1":      {255, 255, 0, 0, 0, 0, 0, 5, 255, 255},
		"Produce v99": {0, 0, 0, 99, 0, 0, 0, 5, 255, 255},
		"Fetch v99":   {0, 1, 0, 99, 0, 0, 0, 5, 255, 255},
		"empty":       {},
		"half header": {0, 18, 0, 0, 0, 0},
		"long client": {0, 18, 0, 0, 0, 0, 0, 5, 0, 9, 'x'},
	} {
		if _, _, err := ParseRequest(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Counts that the frame cannot hold must be refused before anybody makes room for them. Each of these would have taken
// gigabytes, or minutes.
func TestHostileCountsAreRefused(t *testing.T) {
	header := func(key, version byte, flexible bool) []byte {
		b := []byte{0, key, 0, version, 0, 0, 0, 1, 255, 255}
		if flexible {
			b = append(b, 0)
		}
		return b
	}
	padding := make([]byte, 4<<20)
	many := []byte{0, 63, 255, 255}
	compact := []byte{0xff, 0xff, 0x7f}
	frames := map[string][]byte{
		"fetch topics":       append(append(append(header(1, 4, false), make([]byte, 17)...), many...), padding...),
		"metadata topics":    append(append(header(3, 1, false), 0x7f, 255, 255, 255), padding...),
		"produce topics":     append(append(append(header(0, 9, true), make([]byte, 7)...), compact...), padding...),
		"tags without end":   append(header(61, 0, true), 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"header tags":        append(header(61, 0, false), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"tags in tagged":     append(append(header(1, 15, true), make([]byte, 17)...), 1, 1, 1, 1, 1, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"null array":         append(header(19, 0, false), 255, 255, 255, 255, 0, 0, 0, 0),
		"null string":        append(header(20, 1, false), 0, 0, 0, 1, 255, 255, 0, 0, 0, 0),
		"uvarint of 35 bits": append(header(60, 0, true), 0, 0xff, 0xff, 0xff, 0xff, 0x7f),
	}
	for name, frame := range frames {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := ParseRequest(frame)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s: took %d bytes", name, took)
		}
	}
}

// FuzzParseRequest: no frame may panic, and what is accepted encodes to something that is accepted again.
func FuzzParseRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, api := range served {
		if api == nil {
			continue
		}
		for version := api.Min; version <= api.Max; version++ {
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(version)
			fill(r, reflect.ValueOf(req))
			f.Add(AppendRequest(nil, "c", 1, req)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, req, err := ParseRequest(frame)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if h.Unsupported {
			return
		}
		if _, _, err := ParseRequest(AppendRequest(nil, h.ClientID, h.Correlation, req)[4:]); err != nil {
			t.Fatalf("accepted once, not twice: %v\n%+v", err, req)
		}
	})
}

// FuzzParseResponse: nothing that a broker sends may panic.
func FuzzParseResponse(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, api := range served {
		if api == nil {
			continue
		}
		for version := api.Min; version <= api.Max; version++ {
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(version)
			resp := req.ResponseKind()
			fill(r, reflect.ValueOf(resp))
			resp.SetVersion(version)
			f.Add(api.Key, version, AppendResponse(nil, 1, resp)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, frame []byte) {
		low, high, ok := Versions(key)
		if !ok || version < low || version > high {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if _, _, err := ParseResponse(frame, req); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
	})
}
