package server_test

import (
	"bytes"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/purgatory"
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shelf is a file with known content, cut into slices that count their releases.
type shelf struct {
	file    env.File
	content []byte
	out     int // slices given out and not given back
}

func newShelf(t *testing.T, e env.Env) *shelf {
	if err := e.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	file, err := e.Open("/d/log", env.Create)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{file: file, content: make([]byte, 300_000)}
	for i := range s.content {
		s.content[i] = byte(i * 7)
	}
	if _, err := file.WriteAt(s.content, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) slice(pos int64, n int32) wire.Slice {
	s.out++
	released := false
	return wire.Slice{File: s.file, Pos: pos, Len: n, Release: func() {
		if released {
			panic("released twice")
		}
		released = true
		s.out--
	}}
}

// fetched is a response whose partitions hold the given slices.
func fetched(version int16, slices []wire.Slice) server.Answer {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	topic := kmsg.NewFetchResponseTopic()
	for i := range slices {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition = int32(i)
		topic.Partitions = append(topic.Partitions, p)
	}
	resp.Topics = append(resp.Topics, topic)
	return server.Answer{Message: resp, Records: slices}
}

func fetchRequest(version int16) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	return req
}

// Slices of all sizes, mixed, arrive whole and in their places, by copy or by SendFile, and each is given back.
func TestRecordsArriveWhole(t *testing.T) {
	layouts := [][][2]int{
		{{0, 100}}, {{5, 100_000}}, {{0, 0}}, {},
		{{0, 100}, {100, 20_000}, {7, 0}, {200, 300}, {9, 50_000}, {1, 1}},
		{{0, 20_000}, {20_000, 20_000}, {40_000, 10}},
		{{3, 16 << 10}, {3, 16<<10 + 1}, {5, 200_000}},
	}
	inWorlds(t, 4, func(e env.Env) {
		s := newShelf(t, e)
		for _, version := range []int16{4, 11, 12, 17} {
			for _, layout := range layouts {
				b := start(t, e, server.Options{}, func(*server.Request) server.Reply {
					var records []wire.Slice
					for _, piece := range layout {
						records = append(records, s.slice(int64(piece[0]), int32(piece[1])))
					}
					return server.With(fetched(version, records))
				})
				c := b.dial()
				b.send(c, fetchRequest(version))
				frame, err := wire.ReadFrame(c, 1<<30, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, resp, err := wire.ParseResponse(frame, fetchRequest(version))
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range resp.(*kmsg.FetchResponse).Topics[0].Partitions {
					want := s.content[layout[i][0] : layout[i][0]+layout[i][1]]
					if !bytes.Equal(p.RecordBatches, want) {
						t.Errorf("v%d %v: slice %d differs", version, layout, i)
					}
				}
				b.server.Close(time.Second)
				if s.out != 0 {
					t.Errorf("%d slices not given back", s.out)
				}
			}
		}
	})
}

// Whenever a client goes away, before, while or after it is answered, every slice is given back, and every connection ends.
func TestSlicesAreGivenBackWhenClientsVanish(t *testing.T) {
	inWorlds(t, 150, func(e env.Env) {
		p := purgatory.New[int32](e, "test")
		s := newShelf(t, e)
		random := e.Rand("test")
		held := 0
		b := start(t, e, server.Options{InFlightMax: 3}, func(r *server.Request) server.Reply {
			records := []wire.Slice{s.slice(0, 100), s.slice(0, 250_000)}
			if random.IntN(2) == 0 {
				return server.With(fetched(17, records))
			}
			held++
			deadline := e.Mono().Add(time.Duration(random.IntN(3000)) * time.Microsecond)
			return server.When(p.Watch([]int32{1}, deadline, func(purgatory.Set) bool { return false }), func(bool) server.Answer {
				held--
				return fetched(17, records)
			}).OrElse(func() {
				held--
				for _, slice := range records {
					slice.Done()
				}
			})
		})
		for range 4 {
			c := b.dial()
			for range 6 {
				b.send(c, fetchRequest(17))
			}
			for range random.IntN(4) {
				if _, err := b.receive(c); err != nil {
					t.Error(err)
				}
			}
			e.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
			c.Close()
		}
		e.Sleep(time.Minute)
		if s.out != 0 || held != 0 || b.server.Connections() != 0 || p.Waiting() != 0 {
			t.Errorf("%d slices, %d replies, %d connections, %d waiters left", s.out, held, b.server.Connections(), p.Waiting())
		}
		b.server.Close(time.Second)
		p.Close()
	})
}

// Records that cannot be read (the log was truncated meanwhile) cost the connection, and nothing else.
func TestUnreadableRecordsCloseTheConnection(t *testing.T) {
	inWorlds(t, 10, func(e env.Env) {
		s := newShelf(t, e)
		b := start(t, e, server.Options{}, func(r *server.Request) server.Reply {
			return server.With(fetched(12, []wire.Slice{s.slice(299_000, 5000), s.slice(200_000, 150_000)}))
		})
		c := b.dial()
		b.send(c, fetchRequest(12))
		if _, err := wire.ReadFrame(c, 1<<30, nil); err == nil {
			t.Error("answered")
		}
		e.Sleep(time.Second)
		if s.out != 0 || b.server.Connections() != 0 {
			t.Errorf("%d slices, %d connections left", s.out, b.server.Connections())
		}
		b.server.Close(time.Second)
	})
}
