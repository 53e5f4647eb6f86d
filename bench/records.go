package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// item is a record on its way, used again and again: making one a record would be most of the work.
type item struct {
	rec      kgo.Record
	buf      []byte // a value of the largest size; the first bytes are the stamp
	intended int64  // clock ns
	promise  func(*kgo.Record, error)
	done     func(*item, error)
}

// maker fills records. One goroutine at a time makes; any may give back.
type maker struct {
	topic string
	shape Records
	size  int // of the largest value
	rand  *rand.Rand
	zipf  *rand.Zipf
	cum   []float64
	keys  [][]byte
	done  func(*item, error)

	mu   sync.Mutex
	free []*item
}

func newMaker(topic string, shape Records, maxSize Size, seed uint64, done func(*item, error)) *maker {
	m := &maker{topic: topic, shape: shape, size: int(maxSize), rand: rand.New(rand.NewPCG(seed, 1)), done: done}
	total := 0.0
	for _, s := range shape.Sizes {
		total += s.Share
		m.cum = append(m.cum, total)
	}
	if shape.Key == "zipf" {
		m.zipf = rand.NewZipf(m.rand, shape.Zipf, 1, uint64(shape.Keys-1))
	}
	if shape.Key != "none" && shape.Keys <= 1<<20 {
		m.keys = make([][]byte, shape.Keys)
		for i := range m.keys {
			m.keys[i] = key(uint64(i))
		}
	}
	return m
}

func key(n uint64) []byte { return strconv.AppendUint([]byte("key-"), n, 10) }

// make gives a record with the intended time stamped on it.
func (m *maker) make(intended int64) *item {
	m.mu.Lock()
	var it *item
	if n := len(m.free); n > 0 {
		it = m.free[n-1]
		m.free = m.free[:n-1]
	}
	m.mu.Unlock()
	if it == nil {
		it = m.newItem()
	}
	it.intended = intended
	binary.BigEndian.PutUint64(it.buf[8:], uint64(intended))
	it.rec = kgo.Record{Topic: m.topic, Value: it.buf[:m.valueSize()], Key: m.key()}
	return it
}

func (m *maker) give(it *item) {
	m.mu.Lock()
	m.free = append(m.free, it)
	m.mu.Unlock()
}

// stampMark begins every value: a consumer that finds something else counts an error.
const stampMark = 0x6261726e61626173

func (m *maker) newItem() *item {
	it := &item{buf: make([]byte, m.size), done: m.done}
	fillPayload(it.buf, m.shape.Compressibility, m.rand)
	binary.BigEndian.PutUint64(it.buf, stampMark)
	it.promise = func(_ *kgo.Record, err error) { it.done(it, err) }
	return it
}

// fillPayload makes bytes of which a share repeats, in runs of 64 so that every codec finds them.
func fillPayload(buf []byte, compressibility float64, r *rand.Rand) {
	const run = 64
	for at := 0; at < len(buf); at += run {
		part := buf[at:min(at+run, len(buf))]
		if r.Float64() < compressibility {
			for i := range part {
				part[i] = "barnabas"[i%8]
			}
			continue
		}
		for i := range part {
			part[i] = byte(r.Uint32())
		}
	}
}

func (m *maker) valueSize() int {
	if len(m.cum) == 0 {
		return m.size
	}
	x := m.rand.Float64() * m.cum[len(m.cum)-1]
	for i, c := range m.cum {
		if x < c {
			return int(m.shape.Sizes[i].Bytes)
		}
	}
	return int(m.shape.Sizes[len(m.cum)-1].Bytes)
}

func (m *maker) key() []byte {
	var n uint64
	switch m.shape.Key {
	case "none":
		return nil
	case "zipf":
		n = m.zipf.Uint64()
	default:
		n = m.rand.Uint64N(uint64(m.shape.Keys))
	}
	if m.keys != nil {
		return m.keys[n]
	}
	return key(n)
}

// stamp reads the intended time from a value.
func stamp(value []byte) (intended int64, ok bool) {
	if len(value) < stampBytes || binary.BigEndian.Uint64(value) != stampMark {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(value[8:])), true
}
