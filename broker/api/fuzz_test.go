package api_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzHandle: whatever a client sends, the broker answers or closes the connection, does not panic, forgets nothing, and
// serves the next client.
func FuzzHandle(f *testing.F) {
	add := func(req kmsg.Request) { f.Add(wire.AppendRequest(nil, "c", 1, req)[4:]) }
	for _, row := range wire.Served(wire.TransactionV2) {
		low, high, _ := wire.Versions(row.ApiKey)
		for version := low; version <= high; version++ {
			req := kmsg.RequestForKey(row.ApiKey)
			req.SetVersion(version)
			add(req)
		}
	}
	var b record.Builder
	b.Append(1, []byte("k"), []byte("v"))
	records, err := b.Build(nil, record.NewBatchOptions())
	if err != nil {
		f.Fatal(err)
	}
	for _, acks := range []int16{0, 1, -1} {
		add(produce(9, acks, "t", 0, records))
	}
	add(fetch(12, "t", [16]byte{1}, 0))
	add(fetch(17, "t", [16]byte{1}, 0, 5))
	add(metadataFor(12, "t", "new"))
	add(listOffsets(9, "t", -1, 77))
	add(describe(4, kmsg.ConfigResourceTypeTopic, "t", "retention.ms"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		cluster.Test(t, 1, func(e env.Env) {
			d := newDesk(t, e)
			d.addTopic("t", topicID(1), 1)
			stream := append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
			if _, err := d.conn.Write(stream); err != nil {
				t.Fatal(err)
			}
			d.conn.SetReadDeadline(e.Mono().Add(time.Second)) // it may lawfully wait for longer
			if _, err := wire.ReadFrame(d.conn, 1<<24, nil); errors.Is(err, wire.ErrMalformed) {
				t.Fatal(err)
			}
			d.conn.Close()
			e.Sleep(time.Second)
			d.conn = d.dial()
			do[*kmsg.ApiVersionsResponse](d, kmsg.NewPtrApiVersionsRequest())
			d.close()
		})
	})
}
