package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/bug"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/log"
	"barnabas/broker/record"
	"barnabas/broker/wire"
	"barnabas/sim/cluster"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
)

// One partition of broker 1 over a real log on a simulated disk, driven by scripts: the test plays the controller, the
// followers and the leader. Run with -rewrite to refresh the expected output, and read the difference.

// TestScripts runs every script in testdata.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		cluster.Test(t, 1, func(e env.Env) {
			s := &script{t: t, env: e, alive: []int32{1, 2, 3, 4, 5}}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				s.d, s.out = d, &strings.Builder{}
				s.do()
				return s.out.String()
			})
		})
	})
}

type script struct {
	t     *testing.T
	env   env.Env
	d     *datadriven.TestData
	out   *strings.Builder
	p     *Partition
	log   *log.Log
	alive []int32
	wants int // RequestAlter calls not shown yet
	value int // the next record's
	last  *Change
}

func (s *script) do() {
	switch s.d.Cmd {
	case "open":
		s.open()
	case "alive":
		s.alive = s.ids("ids", nil)
	case "sleep":
		d, err := time.ParseDuration(s.text("for", "1s"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.env.Sleep(d)
	case "role":
		s.role()
	case "append":
		s.append()
	case "replicated":
		done, err := s.p.Replicated(s.num("to", 0), int32(s.num("epoch", 0)))
		s.say("done=%v%s", done, failure(err))
	case "fetch":
		s.fetch(int32(s.num("replica", 2)))
	case "read-replicas":
		for _, r := range s.p.ReadReplicas(s.num("at", 0)) {
			s.say("broker=%d leo=%d", r.Broker, r.LogEndOffset)
		}
	case "consume":
		s.fetch(-1)
	case "shrink":
		s.p.ShrinkISR()
	case "answer":
		s.answer()
	case "list":
		r, err := s.p.ListOffset(ListOptions{Timestamp: s.num("at", -1), CurrentLeaderEpoch: int32(s.num("epoch", -1)), Replica: s.d.HasArg("replica")})
		s.say("offset=%d epoch=%d%s", r.Offset, r.LeaderEpoch, failure(err))
	case "epoch-end":
		r, err := s.p.OffsetForLeaderEpoch(int32(s.num("current", -1)), int32(s.num("epoch", 0)))
		s.say("epoch=%d end=%d%s", r.Epoch, r.EndOffset, failure(err))
	case "min-isr":
		s.p.SetMinInsyncReplicas(int(s.num("n", 1)))
	case "begin":
		s.say("%s", failure(s.p.BeginFollowing(int32(s.num("epoch", 0)))))
	case "position":
		pos, err := s.p.Position(int32(s.num("epoch", 0)))
		s.say("offset=%d last=%d%s", pos.Offset, pos.LastEpoch, failure(err))
	case "fetched":
		s.fetched()
	case "diverged":
		progress, err := s.p.TruncateToEpochEnd(int32(s.num("epoch", 0)), s.num("from", s.log.EndOffset()),
			EpochEnd{int32(s.num("at", 0)), s.num("end", 0)})
		s.say("progress=%v%s", progress, failure(err))
	case "reset":
		progress, err := s.p.ResetTo(int32(s.num("epoch", 0)), s.num("start", 0), s.num("end", 0))
		s.say("progress=%v%s", progress, failure(err))
	case "delete-records":
		offset, err := s.p.DeleteRecords(s.num("to", -1))
		s.say("offset=%d start=%d%s", offset, s.log.StartOffset(), failure(err))
	case "low":
		low, err := s.p.LowWatermark()
		s.say("low=%d%s", low, failure(err))
	case "close":
		s.p.Close()
	case "offline":
		s.p.MarkOffline()
	default:
		s.t.Fatalf("%s: unknown command %s", s.d.Pos, s.d.Cmd)
	}
	s.state()
}

func (s *script) open() {
	bugs, err := bug.Parse(s.text("bug", ""))
	if err == nil && s.p == nil {
		err = s.env.MkdirAll("data")
	}
	if err == nil && s.p != nil {
		err = s.log.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	tp := wire.TopicPartition{Topic: s.text("topic", "t")}
	s.log, _, err = log.Open(s.env, log.Options{Dir: "data", TP: tp, TopicID: [16]byte{7}, Config: topicConfig(), CleanShutdown: true, Bugs: bugs})
	if err != nil {
		s.t.Fatal(err)
	}
	s.p = New(Options{Env: s.env, TP: tp, Log: s.log, Bugs: bugs, BrokerID: 1, BrokerEpoch: func() int64 { return 100 },
		Alive:         func(id int32) bool { return slices.Contains(s.alive, id) },
		HighWatermark: s.num("hw", 0), ReplicaLagTimeMax: 10 * time.Second, MinInsyncReplicas: int(s.num("min-isr", 1)),
		Notify: func(wire.TopicPartition) {}, RequestAlter: func(wire.TopicPartition) { s.wants++ }})
}

func topicConfig() config.Topic {
	return config.Topic{SegmentBytes: 1 << 30, Segment: 168 * time.Hour, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		RetentionBytes: -1, Retention: 168 * time.Hour, CleanupPolicyDelete: true, MessageBytesMax: 1 << 20,
		FlushMessages: 1 << 62, Flush: 1 << 62, MinInsyncReplicas: 1, CompressionType: "producer"}
}

func (s *script) role() {
	a := Assignment{Leader: int32(s.num("leader", 1)), LeaderEpoch: int32(s.num("epoch", 0)), PartitionEpoch: int32(s.num("pepoch", 0)),
		ControllerEpoch: 1, Replicas: s.ids("replicas", []int32{1, 2, 3}), ISR: s.ids("isr", []int32{1, 2, 3}), ISRMin: int(s.num("number", 0))}
	if a.Leader == 1 {
		s.say("%s", failure(s.p.BecomeLeader(a)))
		return
	}
	newEpoch, err := s.p.BecomeFollower(a)
	s.say("new-epoch=%v%s", newEpoch, failure(err))
}

// batches makes n batches of one record each.
func (s *script) batches(n int, offset int64, epoch int32) []byte {
	var b []byte
	for i := range n {
		var builder record.Builder
		builder.Append(1000+int64(s.value), nil, fmt.Appendf(nil, "v%d", s.value))
		s.value++
		o := record.NewBatchOptions()
		o.BaseOffset, o.LeaderEpoch = offset+int64(i), epoch
		batch, err := builder.Build(nil, o)
		if err != nil {
			s.t.Fatal(err)
		}
		b = append(b, batch...)
	}
	return b
}

func (s *script) append() {
	o := AppendOptions{Acks: int16(s.num("acks", 1)), LeaderEpoch: int32(s.num("epoch", -1))}
	for range s.num("n", 1) {
		r, err := s.p.AppendAsLeader(s.batches(1, 0, -1), o)
		if err != nil {
			s.say("log-start=%d%s", r.LogStartOffset, failure(err))
			continue
		}
		s.say("offset=%d required=%d epoch=%d", r.BaseOffset, r.RequiredOffset, r.LeaderEpoch)
	}
}

func (s *script) fetch(replica int32) {
	o := ReadOptions{Offset: s.num("from", 0), MaxBytes: 1 << 20, MinOne: true, CurrentLeaderEpoch: int32(s.num("epoch", -1)),
		LastFetchedEpoch: int32(s.num("last", -1)), ReplicaID: replica, ReplicaEpoch: s.num("broker-epoch", 200+int64(replica)), Again: s.d.HasArg("again"),
		LogStartOffset: s.num("start", 0)}
	bytes, now := s.p.Available(o, 1<<20)
	r, err := s.p.Read(o)
	if err != nil {
		s.say("now=%v%s", now, failure(err))
		return
	}
	defer r.Slice.Done()
	if (bytes > 0) != (r.Slice.Len > 0) || now != (r.Diverging != nil) {
		s.t.Errorf("%s: available says %d bytes, %v; read says %d, %v", s.d.Pos, bytes, now, r.Slice.Len, r.Diverging)
	}
	if r.Diverging != nil {
		s.say("diverging epoch=%d end=%d", r.Diverging.Epoch, r.Diverging.EndOffset)
		return
	}
	data := make([]byte, r.Slice.Len)
	if len(data) > 0 {
		if _, err := r.Slice.File.ReadAt(data, r.Slice.Pos); err != nil {
			s.t.Fatal(err)
		}
	}
	var offsets []string
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil {
			s.t.Fatal(err)
		}
		offsets = append(offsets, fmt.Sprintf("%d@%d", b.BaseOffset(), b.LeaderEpoch()))
		data = rest
	}
	s.say("read [%s] hw=%d", strings.Join(offsets, " "), r.HighWatermark)
}

// answer gives the controller's answer to the last change asked for.
func (s *script) answer() {
	if !s.d.HasArg("late") {
		s.last = s.p.PendingChange()
	}
	if s.last == nil {
		s.say("nothing is asked for")
		return
	}
	r := AlterResult{LeaderEpoch: int32(s.num("epoch", int64(s.last.LeaderEpoch))), PartitionEpoch: int32(s.num("pepoch", int64(s.last.PartitionEpoch+1))), ISRMin: int(s.num("number", 0))}
	for _, m := range s.last.ISR {
		r.ISR = append(r.ISR, m.Broker)
	}
	r.ISR = s.ids("isr", r.ISR)
	if name := s.text("error", ""); name != "" {
		r = AlterResult{Code: codeOf(s.t, name)}
	}
	s.say("again=%v", s.p.CompleteChange(s.last, r))
}

func (s *script) fetched() {
	from := s.num("from", s.log.EndOffset())
	n, err := s.p.AppendAsFollower(Fetched{LeaderEpoch: int32(s.num("epoch", 0)), Offset: from,
		Batches:       s.batches(int(s.num("n", 0)), from, int32(s.num("batch-epoch", s.num("epoch", 0)))),
		HighWatermark: s.num("hw", 0), LogStartOffset: s.num("start", 0)})
	s.say("appended=%v%s", n > 0, failure(err))
}

// state says how the partition stands after each command, and what it asks of the controller.
func (s *script) state() {
	if s.p == nil {
		return
	}
	st := s.p.Snapshot()
	s.say("%s epoch=%d.%d hw=%d leo=%d last-epoch=%d", st.Role, st.LeaderEpoch, st.PartitionEpoch, st.HighWatermark, st.LogEndOffset, st.LatestEpoch)
	if st.Role == Leader {
		s.out.WriteString(fmt.Sprintf("  isr=%v", st.ISR))
		if !slices.Equal(st.ISR, st.ISRMaximal) {
			s.out.WriteString(fmt.Sprintf(" maximal=%v", st.ISRMaximal))
		}
		s.out.WriteString("\n")
	}
	if s.wants > 0 {
		s.wants = 0
		if s.last = s.p.PendingChange(); s.last != nil {
			emptied := ""
			if s.last.EmptyELR {
				emptied = ", without eligible replicas"
			}
			s.say("  asks for isr=%v at %d.%d%s", s.last.ISR, s.last.LeaderEpoch, s.last.PartitionEpoch, emptied)
		}
	}
}

func (s *script) say(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	if !strings.HasPrefix(text, "  ") {
		text = strings.TrimLeft(text, " ")
	}
	if text != "" {
		s.out.WriteString(text + "\n")
	}
}

func (s *script) num(name string, or int64) int64 {
	if s.d.HasArg(name) {
		s.d.ScanArgs(s.t, name, &or)
	}
	return or
}

func (s *script) text(name, or string) string {
	if s.d.HasArg(name) {
		s.d.ScanArgs(s.t, name, &or)
	}
	return or
}

func (s *script) ids(name string, or []int32) []int32 {
	for _, arg := range s.d.CmdArgs {
		if arg.Key != name {
			continue
		}
		or = nil
		for i := range arg.Vals {
			var id int32
			arg.Scan(s.t, i, &id)
			or = append(or, id)
		}
	}
	return or
}

func failure(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, ErrMoved) {
		return " error=moved"
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return " error=" + k.Message
	}
	return " error=" + err.Error()
}

func codeOf(t *testing.T, name string) int16 {
	for code := int16(-1); code < 130; code++ {
		if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && err.Message == name {
			return code
		}
	}
	t.Fatalf("no error is called %s", name)
	return 0
}
