package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"barnabas/broker/env"
	"barnabas/broker/osenv"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"
)

// pieces gives a stream out in pieces of random size.
type pieces struct {
	data   []byte
	random *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:1+p.random.IntN(len(b))], p.data)
	p.data = p.data[n:]
	return n, nil
}

func frames(bodies ...[]byte) []byte {
	var stream []byte
	for _, body := range bodies {
		stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(body))), body...)
	}
	return stream
}

// Frames of all sizes, around the buffer's and far above it, come out as they went in, however the stream is cut.
func TestFrameReaderCutsAnyStream(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		for seed := range uint64(30) {
			random := rand.New(rand.NewPCG(seed, 1))
			var bodies [][]byte
			for range 40 {
				sizes := []int{0, 1, 100, readBufferBytes - 5, readBufferBytes - 4, readBufferBytes - 3, readBufferBytes, 100_000}
				body := make([]byte, sizes[random.IntN(len(sizes))])
				for i := range body {
					body[i] = byte(random.Uint32())
				}
				bodies = append(bodies, body)
			}
			pool := newBufferPool(e)
			r := frameReader{source: &pieces{frames(bodies...), random}, max: 1 << 20, pool: pool}
			for i, want := range bodies {
				got, err := r.next()
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("seed %d frame %d: %d bytes, want %d: %v", seed, i, len(got), len(want), err)
				}
				if !r.atBoundary() && r.start == r.end {
					t.Fatalf("seed %d frame %d: not at a boundary", seed, i)
				}
			}
			if _, err := r.next(); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
			if len(pool.free) > 2 { // one that was too small for a later frame
				t.Fatalf("%d buffers in the pool", len(pool.free))
			}
		}
	})
}

// The pool keeps no more than its bound.
func TestBufferPoolIsBounded(t *testing.T) {
	cluster.Test(t, 1, func(e env.Env) {
		pool := newBufferPool(e)
		for range 100 {
			pool.put(make([]byte, 1<<20))
		}
		pool.put(make([]byte, poolBufferBytesMax+1))
		if pool.bytes > poolBytesMax || len(pool.free) != poolBytesMax>>20 {
			t.Errorf("%d bytes, %d buffers", pool.bytes, len(pool.free))
		}
		if b := pool.get(50 << 20); cap(b) > 1<<20 {
			t.Errorf("%d bytes for a frame that has not come yet", cap(b))
		}
	})
}

// FuzzFrameReader: any stream in any pieces gives the frames that wire.ReadFrame gives, and ends in the same way.
func FuzzFrameReader(f *testing.F) {
	f.Add(frames([]byte("abc"), nil, make([]byte, 20_000)), uint64(1))
	f.Add([]byte{255, 255, 255, 255}, uint64(2))
	f.Add([]byte{0, 0, 1}, uint64(3))
	e := osenv.New(osenv.Options{}) // for a mutex alone
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		const limit = 100_000
		r := frameReader{source: &pieces{stream, rand.New(rand.NewPCG(seed, 2))}, max: limit, pool: newBufferPool(e)}
		reference := bytes.NewReader(stream)
		for {
			want, wantErr := wire.ReadFrame(reference, limit, nil)
			got, err := r.next()
			if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
				t.Fatalf("%x %v, want %x %v", got, err, want, wantErr)
			}
			if err != nil {
				if err != io.EOF && !errors.Is(err, wire.ErrMalformed) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}
