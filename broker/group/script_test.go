package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The machine by script: the test plays members, clock and log. Every answer is shown when it comes, with who asked. Run with -rewrite to
// refresh the expected output, and read the difference.

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.do(t, d)
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

type script struct {
	g      *Group
	at     Now
	writes []Write
	ids    int
	out    strings.Builder
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func arg(d *datadriven.TestData, key, otherwise string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, ",")
		}
	}
	return otherwise
}

func number[N int16 | int32 | int64 | int](d *datadriven.TestData, key string, otherwise N) N {
	var n N
	if _, err := fmt.Sscan(arg(d, key, fmt.Sprint(otherwise)), &n); err != nil {
		panic(err)
	}
	return n
}

func span(d *datadriven.TestData, key, otherwise string) time.Duration {
	v, err := time.ParseDuration(arg(d, key, otherwise))
	if err != nil {
		panic(err)
	}
	return v
}

func instance(d *datadriven.TestData) *string {
	if v := arg(d, "instance", ""); v != "" {
		return &v
	}
	return nil
}

func name(err *kerr.Error) string {
	if err == nil {
		return "ok"
	}
	return err.Message
}

func (s *script) do(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "group":
		s.at = Now{Wall: 1000}
		s.ids, s.writes = 0, nil
		s.g = New("g", Limits{SizeMax: number(d, "max", 100), InitialDelay: span(d, "delay", "0s")}, s.at)
	case "join":
		s.join(d)
	case "sync":
		s.sync(d)
	case "heartbeat":
		s.say("%s", name(s.g.Heartbeat(s.at, arg(d, "member", ""), instance(d), number[int32](d, "generation", 0))))
	case "leave":
		s.say("%s", name(s.g.Leave(s.at, arg(d, "member", ""), instance(d))))
	case "commit":
		s.commit(d)
	case "fetch":
		key := wire.TopicPartition{Topic: arg(d, "topic", "t")}
		o, ok, err := s.g.Offset(key, d.HasArg("stable"))
		s.say("%s found=%t offset=%d", name(err), ok, o.Offset)
	case "delete-offset":
		had, err := s.g.mayDeleteOffset(wire.TopicPartition{Topic: arg(d, "topic", "t")})
		s.say("%s had=%t", name(err), had)
	case "expired":
		s.say("%v", s.g.Expired(s.at, span(d, "retention", "1h").Milliseconds()))
	case "sleep":
		s.sleep(span(d, "for", "1s"))
	case "written":
		s.written(d)
	case "unload":
		s.g.Unload(s.at)
	case "reload":
		s.reload(t, d)
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	s.after()
}

// after shows what is to be written, and the state.
func (s *script) after() {
	for _, w := range s.g.TakeWrites() {
		var members []string
		for _, m := range w.Value.Members {
			text := fmt.Sprintf("%s=%q", m.MemberID, m.Assignment)
			if m.SessionTimeoutMillis == goneSession {
				text += "(gone)"
			}
			members = append(members, text)
		}
		s.say("write generation=%d members=%v", w.Value.Generation, members)
		s.writes = append(s.writes, w)
	}
	s.say("%s generation=%d size=%d leader=%s", s.g.state, s.g.generation, len(s.g.members), s.g.leader)
}

func (s *script) join(d *datadriven.TestData) {
	s.ids++
	r := JoinRequest{MemberID: arg(d, "member", ""), InstanceID: instance(d), NewID: fmt.Sprintf("m%d", s.ids), ProtocolType: arg(d, "type", "consumer"),
		Session: span(d, "session", "10s"), Rebalance: span(d, "rebalance", "30s"), RequireKnownID: d.HasArg("known"), SkipAssignment: d.HasArg("skip")}
	who := r.MemberID
	if who == "" {
		who = r.NewID
	}
	said := kmsg.NewConsumerMemberMetadata()
	said.Topics = strings.Split(arg(d, "topics", "t"), ",")
	for _, p := range strings.Split(arg(d, "protocols", "range"), ",") {
		r.Protocols = append(r.Protocols, Protocol{Name: p, Metadata: said.AppendTo(nil)})
	}
	s.g.Join(s.at, r, func(res JoinResult) {
		var members []string
		for _, m := range res.Members {
			members = append(members, m.MemberID)
		}
		line := fmt.Sprintf("join %s: %s member=%s generation=%d protocol=%s leader=%s members=%v", who, name(res.Err), res.MemberID, res.Generation, res.Protocol, res.Leader, members)
		if res.SkipAssignment {
			line += " skip"
		}
		s.say("%s", line)
	})
}

func (s *script) sync(d *datadriven.TestData) {
	r := SyncRequest{MemberID: arg(d, "member", ""), InstanceID: instance(d), Generation: number[int32](d, "generation", 0), Assignments: map[string][]byte{}}
	for _, a := range d.CmdArgs {
		if rest, ok := strings.CutPrefix(a.Key, "to-"); ok {
			r.Assignments[rest] = []byte(a.Vals[0])
		}
	}
	if v := arg(d, "protocol", ""); v != "" {
		r.Protocol = &v
	}
	s.g.Sync(s.at, r, func(res SyncResult) { s.say("sync %s: %s %q", r.MemberID, name(res.Err), res.Assignment) })
}

func (s *script) commit(d *datadriven.TestData) {
	if err := s.g.ValidateCommit(s.at, arg(d, "member", ""), instance(d), number[int32](d, "generation", -1)); err != nil {
		s.say("%s", name(err))
		return
	}
	list := []Offset{{TP: wire.TopicPartition{Topic: arg(d, "topic", "t")}, Offset: number[int64](d, "offset", 0), Committed: s.at.Wall, Expires: -1, at: number[int64](d, "at", 0)}}
	s.g.BeginCommit(list)
	if !d.HasArg("pending") {
		s.g.EndCommit(list, !d.HasArg("fails"))
	}
	s.say("ok")
}

// sleep lets time pass, and ticks when the group asked for it.
func (s *script) sleep(d time.Duration) {
	end := s.at.Mono.Add(d)
	wall := s.at.Wall - int64(s.at.Mono)/1e6
	for s.g.Deadline() <= end {
		at := max(s.g.Deadline(), s.at.Mono)
		s.at = Now{Mono: at, Wall: wall + int64(at)/1e6}
		s.g.Tick(s.at)
		if s.g.Deadline() <= at && s.g.Deadline() != env.Never {
			panic("the group wants a tick for a time that is over")
		}
	}
	s.at = Now{Mono: end, Wall: wall + int64(end)/1e6}
}

func (s *script) written(d *datadriven.TestData) {
	w := s.writes[0]
	s.writes = s.writes[1:]
	var err *kerr.Error
	if d.HasArg("fails") {
		err = kerr.NotCoordinator
	}
	w.Done(s.at, err)
}

// reload makes the group from its record, as the next coordinator would.
func (s *script) reload(t *testing.T, d *datadriven.TestData) {
	assignments := map[string][]byte{}
	for _, m := range s.g.members {
		assignments[m.id] = m.assignment
	}
	value := s.g.value(assignments)
	if d.HasArg("record") {
		value = s.g.written // what the last coordinator has written, and not what it knew
	}
	value.Version = number(d, "version", value.Version) // an older Kafka's knows less
	limits := s.g.limits
	limits.SizeMax = number(d, "max", limits.SizeMax)
	g, err := load("g", value.AppendTo(nil), limits, s.at)
	if err != nil {
		t.Fatal(err)
	}
	g.offsets = s.g.offsets
	s.g = g
	g.loaded(s.at)
}
