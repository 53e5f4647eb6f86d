package log

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/record"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	evCleaned     = env.NewKind("log-cleaned", env.Info, "from", "to", "bytes-read", "bytes-written")
	evUncleanable = env.NewKind("log-uncleanable", env.Warn, "base", "position")
)

// errCleaning says that a pass was given up because the log changed under it, or the broker stops. Nothing was lost:
// the next pass begins again.
var errCleaning = errors.New("cleaning was given up")

// CleanOptions bound one pass of the cleaner.
type CleanOptions struct {
	MapBytes    int64   // of memory for the keys; 0: 128 MiB
	MapLoad     float64 // how much of it may be used; 0: 0.9
	BufferBytes int64   // read at once; 0: 512 KiB
	// Throttle is told of bytes read and written, and may take its time. Stop is asked now and then. Both may be nil.
	Throttle func(bytes int64)
	Stop     func() bool
}

// CleanStats say what a pass did.
type CleanStats struct {
	From, To                 int64 // offsets: what was dirty and is clean now
	BatchesRead              int64
	RecordsRead, RecordsKept int64
	BytesRead, BytesWritten  int64 // of batches, when filtering
	Segments, SegmentsAfter  int
}

// cleanState is what the cleaner must know of a log to choose among logs, and to begin.
type cleanState struct {
	from, to    int64 // offsets: the dirty part that may be cleaned; nothing if from == to
	clean       int64 // bytes in segments wholly below from
	dirty       int64 // bytes in the others below to
	overdue     bool  // a record is dirty for longer than max.compaction.lag.ms
	earliest    int64 // ms, of the dirty segments' first batches, if somebody wants to know; -1 if none
	lastStable  int64
	uncleanable bool
}

// ratio is how much of what could be cleaned is dirty.
func (s cleanState) ratio() float64 {
	if s.clean+s.dirty == 0 {
		return 0
	}
	return float64(s.dirty) / float64(s.clean+s.dirty)
}

// cleanable looks at what there is to clean. The bound is the least of: the last stable offset, which is not above the
// high watermark; the active segment; the first dirty segment with a record younger than min.compaction.lag.ms.
//
// Source: LogCleanerManager#cleanableOffsets, LogToClean, #maxCompactionDelay.
func (l *Log) cleanable() (cleanState, error) {
	l.mu.Lock()
	defer l.unlock()
	return l.cleanableLocked()
}

func (l *Log) cleanableLocked() (s cleanState, err error) {
	if err := l.usable(); err != nil {
		return s, err
	}
	cfg := l.config.Load()
	start := l.start.Load()
	s.uncleanable = l.uncleanable
	s.from = l.cleaned.Load()
	if s.from < start || s.from > l.end { // Kafka, too, begins anew then
		s.from = start
	}
	s.lastStable = l.LastStableOffset(l.hw.Load())
	s.to = min(s.lastStable, l.active().base)
	now := l.env.Now().UnixMilli()
	s.earliest = -1
	bounded := cfg.MaxCompactionLag > 0 && cfg.MaxCompactionLag != math.MaxInt64
	for i, g := range l.segments[:len(l.segments)-1] {
		if l.segments[i+1].base <= s.from || g.base >= s.to {
			continue
		}
		if err := l.ensureIndexed(g); err != nil {
			return s, err
		}
		if lag := cfg.MinCompactionLag; lag > 0 && g.maxTime > now-lag.Milliseconds() {
			s.to = min(s.to, g.base)
			break
		}
		if !bounded {
			continue
		}
		first, err := g.firstTimestamp()
		if err != nil {
			return s, l.wrapIO("read", err)
		}
		if first > 0 && (s.earliest < 0 || first < s.earliest) {
			s.earliest = first
		}
	}
	s.to = max(s.to, s.from)
	for i, g := range l.segments[:len(l.segments)-1] {
		switch {
		case l.segments[i+1].base <= s.from:
			s.clean += g.size
		case g.base < s.to:
			s.dirty += g.size
		}
	}
	s.overdue = s.earliest >= 0 && s.to > s.from && now-s.earliest > cfg.MaxCompactionLag.Milliseconds()
	return s, nil
}

// firstTimestamp is the largest timestamp of the segment's first batch, -1 if it has none.
func (g *segment) firstTimestamp() (int64, error) {
	s := newScanner(g.file, 0, g.size, walkWindow)
	defer s.done()
	b, err := s.header()
	if err == io.EOF || err != nil && isBad(err) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	return b.MaxTimestamp(), nil
}

// pass is one run of the cleaner over one log. What it needs is taken down at the beginning, under the lock; the
// reading and writing comes without, and before a group of segments is replaced, the log must still be the same.
type pass struct {
	log        *Log
	o          CleanOptions
	state      cleanState
	segments   []*segment // sealed, in order, up to state.to; referenced
	ends       []int64    // the offset where each ends
	sizes      []int64    // in bytes, then: the segments' own belong to the lock
	generation uint64
	segBytes   int64
	filter     filter
}

// Clean compacts the log as far as it may be, whatever its dirty ratio: of each key the last record remains. It is safe
// at any moment, and to call while others append, read, truncate or delete; only one Clean may run on a log at a time.
//
// Errors: none if there was nothing to do or the log changed meanwhile; KAFKA_STORAGE_ERROR; CORRUPT_MESSAGE when a
// batch cannot be read: then the log is left alone from then on.
//
// Source: Cleaner#doClean.
func (l *Log) Clean(o CleanOptions) (CleanStats, error) {
	if o.MapBytes <= 0 {
		o.MapBytes = 128 << 20
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = 512 << 10
	}
	p, err := l.beginClean(o)
	if err != nil || p == nil {
		return CleanStats{}, err
	}
	defer func() {
		for _, g := range p.segments {
			g.release()
		}
	}()
	err = p.run()
	stats := p.filter.stats
	switch {
	case err == nil:
		l.env.Emit(env.Event{Kind: evCleaned, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{stats.From, stats.To, stats.BytesRead, stats.BytesWritten}})
		return stats, nil
	case errors.Is(err, errCleaning):
		return stats, nil
	default:
		return stats, fmt.Errorf("clean %s: %w", l.tp, err)
	}
}

var rareSmallMap = env.NewRare("cleaner-map-small")

const rareMapKeys = 16

func (l *Log) beginClean(o CleanOptions) (*pass, error) {
	l.mu.Lock()
	defer l.unlock()
	s, err := l.cleanableLocked()
	if err != nil || s.from >= s.to || s.uncleanable {
		return nil, err
	}
	cfg := l.config.Load()
	p := &pass{log: l, o: o, state: s, generation: l.generation.Load(), segBytes: int64(cfg.SegmentBytes)}
	for i, g := range l.segments[:len(l.segments)-1] {
		if g.base >= s.to {
			break
		}
		g.acquire()
		p.segments, p.ends = append(p.segments, g), append(p.ends, l.segments[i+1].base)
		p.sizes = append(p.sizes, g.size)
	}
	if rareSmallMap.Strikes(l.env) {
		o.MapBytes = min(o.MapBytes, rareMapKeys*offsetSlotSize)
	}
	p.filter = filter{
		keys: newOffsetMap(o.MapBytes, o.MapLoad), producers: l.producers.lastRecords(l.hw.Load()),
		now: l.env.Now().UnixMilli(), retention: cfg.DeleteRetention.Milliseconds(), bugs: l.bugs,
	}
	return p, nil
}

// lastRecords is what compaction must keep of each producer (UnifiedLog#lastRecordsOfActiveProducers). Of one whose last
// batches are all above the high watermark, committed is unknown: it must be looked for.
//
// DEVIATION(KIP-98): Kafka keeps the last batch alone; if that is truncated, the producer is taken for one that stopped
// earlier, and refused.
func (ps *producers) lastRecords(hw int64) map[int64]lastRecord {
	out := make(map[int64]lastRecord, len(ps.byID))
	for id, p := range ps.byID { // unordered: fills a map
		last := lastRecord{offset: -1, committed: -1, epoch: p.epoch}
		if p.n > 0 {
			last.offset, last.committed = p.batches[p.n-1].lastOffset, unknownOffset
		}
		for _, s := range p.batches[:p.n] {
			if s.lastOffset < hw {
				last.committed = s.lastOffset
			}
		}
		out[id] = last
	}
	return out
}

// unknownOffset says that an offset must be looked for.
const unknownOffset = -2

// findCommitted finds the last batch below the bound of the producers for which lastRecords could not tell.
func (p *pass) findCommitted() error {
	unknown := 0
	for _, last := range p.filter.producers { // unordered: counting
		if last.committed == unknownOffset {
			unknown++
		}
	}
	if unknown == 0 {
		return nil
	}
	found := map[int64]int64{}
	for i, g := range p.segments {
		sealed := segment{base: g.base, file: g.file, size: p.sizes[i]}
		err := sealed.walk(0, func(b record.Batch, pos int64) error {
			last, ok := p.filter.producers[b.ProducerID()]
			if ok && b.HasProducerID() && !b.IsControl() && last.committed == unknownOffset && b.LastOffset() < p.state.to {
				found[b.ProducerID()] = b.LastOffset()
			}
			return p.pause(0)
		})
		if err != nil {
			return p.failed(g, 0, err)
		}
	}
	for id, last := range p.filter.producers { // unordered: each by itself
		if last.committed == unknownOffset {
			last.committed = -1
			if offset, ok := found[id]; ok {
				last.committed = offset
			}
			p.filter.producers[id] = last
		}
	}
	return nil
}

func (p *pass) run() error {
	if err := p.findCommitted(); err != nil {
		return err
	}
	if err := p.buildMap(); err != nil {
		return err
	}
	end := p.filter.keys.latest + 1
	if end <= p.state.from {
		return nil
	}
	p.filter.stats.From, p.filter.stats.To = p.state.from, end
	upper := end
	for i, g := range p.segments { // the last may reach beyond, and its index is written anew too
		if g.base < end {
			upper = max(upper, p.ends[i])
		}
	}
	aborted, err := p.aborted(p.segments[0].base, upper)
	if err != nil {
		return err
	}
	p.filter.txns = newCleanedTxns(aborted)
	for i := 0; i < len(p.segments) && p.segments[i].base < end; {
		n := p.group(i, end)
		if err := p.cleanGroup(i, i+n); err != nil {
			return err
		}
		i += n
	}
	return p.finish(end)
}

func (p *pass) aborted(from, to int64) ([]AbortedTxn, error) {
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if err := p.same(); err != nil {
		return nil, err
	}
	return l.abortedIn(from, to)
}

// same is nil if the log is still the one that the pass began with. The log's lock is held.
func (p *pass) same() error {
	if err := p.log.health.err(); err != nil {
		return err
	}
	if p.log.closed || p.log.generation.Load() != p.generation {
		return errCleaning
	}
	return nil
}

// pause is called for every batch: it waits as the throttle wants, and says when to give up.
func (p *pass) pause(bytes int64) error {
	if p.o.Throttle != nil {
		p.o.Throttle(bytes)
	}
	if p.o.Stop != nil && p.o.Stop() || p.log.generation.Load() != p.generation {
		return errCleaning
	}
	return nil
}

// failed says what an error in reading a segment means: that it was cut meanwhile, that its bytes are damaged, or that
// the disk is.
func (p *pass) failed(g *segment, pos int64, err error) error {
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if errors.Is(err, errCleaning) {
		return err
	}
	if same := p.same(); same != nil {
		return same
	}
	if !isBad(err) && !errors.Is(err, kerr.InvalidRecord) && !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.UnsupportedCompressionType) {
		return l.fail("clean", err)
	}
	l.uncleanable = true
	l.env.Emit(env.Event{Kind: evUncleanable, Topic: l.tp.Topic, Partition: l.tp.Partition, V: [4]int64{g.base, pos}, Text: err.Error()})
	return fmt.Errorf("segment %d at position %d: %w", g.base, pos, err)
}

// each calls f with every batch of segment i, whole and checked.
func (p *pass) each(i int, f func(b record.Batch) error) error {
	g := p.segments[i]
	s := newScanner(g.file, 0, p.sizes[i], p.o.BufferBytes)
	for ; ; s.next() {
		b, err := s.batch()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = b.Check()
		}
		if err == nil {
			err = p.pause(int64(len(b)))
		}
		if err == nil {
			err = f(b)
		}
		if err == errEnough {
			return err
		}
		if err != nil {
			return p.failed(g, s.pos, err)
		}
	}
}

var errEnough = errors.New("enough was read")

// buildMap reads the dirty part and remembers each key's last offset, up to the bound or until the map is full.
//
// Source: Cleaner#buildOffsetMap.
func (p *pass) buildMap() error {
	aborted, err := p.aborted(p.state.from, p.state.to)
	if err != nil {
		return err
	}
	txns := newCleanedTxns(aborted)
	for i := range p.segments {
		if p.ends[i] <= p.state.from {
			continue
		}
		err := p.each(i, func(b record.Batch) error { return p.mapBatch(b, txns) })
		if err == errEnough {
			return nil
		}
		if err != nil {
			return err
		}
		if p.ends[i] <= p.state.to { // a gap behind the last batch is known too
			p.filter.keys.latest = max(p.filter.keys.latest, p.ends[i]-1)
		}
	}
	return nil
}

func (p *pass) mapBatch(b record.Batch, txns *cleanedTxns) error {
	keys := p.filter.keys
	switch {
	case b.LastOffset() < p.state.from:
		return nil
	case b.LastOffset() >= p.state.to:
		return errEnough
	}
	discard, err := txns.read(b)
	if err != nil {
		return err
	}
	if !discard && !b.IsControl() {
		it := record.NewIterator(b, 0)
		for it.Next() {
			r := it.Record()
			if r.Key == nil || r.Offset < p.state.from {
				continue
			}
			if !keys.put(r.Key, r.Offset) {
				return errEnough
			}
			keys.latest = max(keys.latest, r.Offset)
		}
		if err := it.Err(); err != nil {
			return err
		}
	}
	keys.latest = max(keys.latest, b.LastOffset())
	return nil
}

// group counts the segments from i on that go into one: as many as give no more than segment.bytes before cleaning.
//
// Source: Cleaner#groupSegmentsBySize.
func (p *pass) group(i int, end int64) (n int) {
	first, size := p.segments[i], p.sizes[i]
	for n = 1; i+n < len(p.segments); n++ {
		g := p.segments[i+n]
		if size += p.sizes[i+n]; g.base >= end || size > p.segBytes || p.ends[i+n]-1-first.base > math.MaxInt32 {
			break
		}
	}
	return n
}

// finish makes what was cleaned known, in the checkpoint too.
func (p *pass) finish(end int64) error {
	l := p.log
	l.mu.Lock()
	defer l.unlock()
	if err := p.same(); err != nil {
		return err
	}
	l.cleaned.Store(end)
	return l.saveCheckpoint()
}

// throttle lets bytes go by at a rate of so many a second; what was not used in the last second is lost. It belongs to
// the cleaner's lock.
type throttle struct {
	env  env.Env
	rate float64 // bytes a second
	due  env.Instant
}

// take counts bytes and returns how long to wait for them.
func (t *throttle) take(bytes int64) time.Duration {
	now := t.env.Mono()
	t.due = max(t.due, now.Add(-time.Second)).Add(time.Duration(float64(bytes) / t.rate * float64(time.Second)))
	return t.due.Sub(now)
}
