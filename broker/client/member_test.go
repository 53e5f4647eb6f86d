package client_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The group member against a coordinator that does what the test says: it lets one member at a time have everything.

// fakeGroup is a group of one: broker 1 coordinates it.
type fakeGroup struct {
	generation int32
	joins      []kmsg.JoinGroupRequest // as they came
	committed  map[wire.TopicPartition]int64
	fail       map[kmsg.Key]*kerr.Error // what is answered, by API, in place of doing it
}

// answer answers what belongs to groups; nil for the rest.
func (g *fakeGroup) answer(req kmsg.Request) kmsg.Response {
	code := int16(0)
	if err := g.fail[kmsg.Key(req.Key())]; err != nil {
		code = err.Code
	}
	switch r := req.(type) {
	case *kmsg.FindCoordinatorRequest:
		resp := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.NodeID, resp.Host, resp.Port = 1, "b1", 9092
		return resp
	case *kmsg.JoinGroupRequest:
		g.joins = append(g.joins, *r)
		resp := r.ResponseKind().(*kmsg.JoinGroupResponse)
		if resp.ErrorCode = code; code != 0 {
			return resp
		}
		if r.MemberID == "" && r.InstanceID == nil {
			resp.ErrorCode, resp.MemberID = kerr.MemberIDRequired.Code, "m"
			return resp
		}
		g.generation++
		kind, protocol := "consumer", r.Protocols[0].Name
		resp.Generation, resp.ProtocolType, resp.Protocol, resp.MemberID, resp.LeaderID = g.generation, &kind, &protocol, "m", "m"
		resp.Members = []kmsg.JoinGroupResponseMember{{MemberID: "m", InstanceID: r.InstanceID, ProtocolMetadata: r.Protocols[0].Metadata}}
		return resp
	case *kmsg.SyncGroupRequest:
		resp := r.ResponseKind().(*kmsg.SyncGroupResponse)
		if resp.ErrorCode = code; code == 0 {
			resp.MemberAssignment = r.GroupAssignment[0].MemberAssignment
		}
		return resp
	case *kmsg.HeartbeatRequest:
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.LeaveGroupRequest:
		resp := r.ResponseKind().(*kmsg.LeaveGroupResponse)
		resp.Members = []kmsg.LeaveGroupResponseMember{{MemberID: r.Members[0].MemberID}}
		return resp
	case *kmsg.OffsetFetchRequest:
		resp := r.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, t := range r.Topics {
			out := kmsg.NewOffsetFetchResponseTopic()
			out.Topic = t.Topic
			for _, n := range t.Partitions {
				p := kmsg.NewOffsetFetchResponseTopicPartition()
				p.Partition, p.Offset = n, -1
				if at, ok := g.committed[wire.TopicPartition{Topic: t.Topic, Partition: n}]; ok {
					p.Offset = at
				}
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	case *kmsg.OffsetCommitRequest:
		resp := r.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range r.Topics {
			out := kmsg.NewOffsetCommitResponseTopic()
			out.Topic = t.Topic
			for _, p := range t.Partitions {
				if code == 0 {
					g.committed[wire.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
				}
				out.Partitions = append(out.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	}
	return nil
}

// seen is what a member told its interceptors and its listener.
type seen struct {
	commits [][]client.CommitOffset // OnCommit
	failed  int                     // commits that ended with an error
	revoked []bool                  // orderly?
}

func (s *seen) OnConsume(f []client.Fetched) []client.Fetched { return f }
func (s *seen) OnCommit(o []client.CommitOffset)              { s.commits = append(s.commits, o) }

// onMember runs body with a member that owns t-0, which has three records.
func onMember(t *testing.T, change func(*client.GroupOptions), body func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup, s *seen)) {
	t.Helper()
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		g := &fakeGroup{committed: map[wire.TopicPartition]int64{}, fail: map[kmsg.Key]*kerr.Error{}}
		f.group = g
		k := newClient(e)
		defer k.Close()
		p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll})
		for range 3 {
			if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("v")}); r.Outcome != client.OK {
				t.Fatalf("%+v", r)
			}
		}
		p.Close(0)
		s := &seen{}
		o := client.GroupOptions{Group: "g", Topics: []string{"t"}, Session: 3 * time.Second, Consumer: client.ConsumerOptions{Interceptors: []client.ConsumerInterceptor{s}},
			Listener: client.GroupListener{
				Revoked: func(_ int32, _ []wire.TopicPartition, orderly bool) { s.revoked = append(s.revoked, orderly) },
				Committed: func(_ int32, _ []client.CommitOffset, _, _ env.Instant, err error) {
					if err != nil {
						s.failed++
					}
				}}}
		if change != nil {
			change(&o)
		}
		m := client.NewMember(k, o)
		n := 0
		for deadline := e.Mono().Add(10 * time.Second); n < 3 && e.Mono() < deadline; {
			fetched, err := m.Poll(time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for i := range fetched {
				n += len(fetched[i].Records)
			}
		}
		if n != 3 || !slices.Equal(m.Owned(), []wire.TopicPartition{{Topic: "t"}}) {
			t.Fatalf("%d records, owns %v", n, m.Owned())
		}
		body(t, e, m, g, s)
		m.Close(time.Second)
	})
}

func static(o *client.GroupOptions) { o.InstanceID = "i" }

// Goal: a member joins with the id it is given, reads, commits and tells its interceptors of what was committed, and of nothing else.
func TestMemberCommits(t *testing.T) {
	onMember(t, nil, func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup, s *seen) {
		if len(g.joins) != 2 || g.joins[0].MemberID != "" || g.joins[1].MemberID != "m" {
			t.Errorf("joins %+v", g.joins)
		}
		tp := wire.TopicPartition{Topic: "t"}
		want := []client.CommitOffset{{TP: tp, Offset: 3}}
		if err := m.Commit(want, time.Second); err != nil || g.committed[tp] != 3 {
			t.Errorf("%v, %v", err, g.committed)
		}
		if len(s.commits) != 1 || !slices.Equal(s.commits[0], want) || s.failed != 0 {
			t.Errorf("told of %v, %d failures", s.commits, s.failed)
		}
		g.fail[kmsg.OffsetCommit] = kerr.CoordinatorLoadInProgress
		if err := m.Commit(want, time.Second); !errors.Is(err, kerr.CoordinatorLoadInProgress) || !client.MaybeSent(err) {
			t.Errorf("%v", err)
		}
		if len(s.commits) != 1 || s.failed != 1 {
			t.Errorf("told of %v, %d failures", s.commits, s.failed)
		}
	})
}

// Goal: a member that is told it is none joins anew and has lost what it owned: under a new id where the group does not know it, under its own where only its
// generation is over.
func TestMemberThatIsNoneJoinsAnew(t *testing.T) {
	for refusal, ids := range map[*kerr.Error][]string{kerr.UnknownMemberID: {"", "m"}, kerr.IllegalGeneration: {"m"}} {
		onMember(t, nil, func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup, s *seen) {
			before := len(g.joins)
			g.fail[kmsg.Heartbeat] = refusal
			e.Sleep(2 * time.Second)
			delete(g.fail, kmsg.Heartbeat)
			if _, err := m.Poll(time.Second); err != nil {
				t.Errorf("%v: %v", refusal, err)
			}
			var joined []string
			for _, r := range g.joins[before:] {
				joined = append(joined, r.MemberID)
			}
			if !slices.Equal(joined, ids) || len(m.Owned()) != 1 || !slices.Contains(s.revoked, false) {
				t.Errorf("%v: joins as %q, owns %v, revoked %v", refusal, joined, m.Owned(), s.revoked)
			}
		})
	}
}

// Goal: a member whose instance somebody else has taken ends, however it hears of it: Poll and Commit say so from then on, nothing more is sent,
// and the other one keeps the instance. It owns nothing any more.
func TestFencedInstanceEndsTheMember(t *testing.T) {
	tp := wire.TopicPartition{Topic: "t"}
	offsets := []client.CommitOffset{{TP: tp, Offset: 3}}
	rejoin := func(e env.Env, m *client.Member, g *fakeGroup) {
		g.fail[kmsg.Heartbeat] = kerr.RebalanceInProgress
		e.Sleep(2 * time.Second)
		delete(g.fail, kmsg.Heartbeat)
	}
	for what, hear := range map[string]func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup){
		"heartbeat": func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup) {
			g.fail[kmsg.Heartbeat] = kerr.FencedInstanceID
			e.Sleep(2 * time.Second)
		},
		"commit": func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup) {
			g.fail[kmsg.OffsetCommit] = kerr.FencedInstanceID
			if err := m.Commit(offsets, time.Second); !errors.Is(err, kerr.FencedInstanceID) {
				t.Errorf("commit: %v", err)
			}
		},
		"join": func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup) {
			rejoin(e, m, g)
			g.fail[kmsg.JoinGroup] = kerr.FencedInstanceID
		},
		"sync": func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup) {
			rejoin(e, m, g)
			g.fail[kmsg.SyncGroup] = kerr.FencedInstanceID
		},
		"commit before the join": func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup) {
			rejoin(e, m, g)
			g.fail[kmsg.OffsetCommit] = kerr.FencedInstanceID
		},
	} {
		onMember(t, func(o *client.GroupOptions) {
			static(o)
			if what == "commit before the join" {
				o.AutoCommit = time.Hour
			}
		}, func(t *testing.T, e env.Env, m *client.Member, g *fakeGroup, s *seen) {
			hear(t, e, m, g)
			if _, err := m.Poll(time.Second); !errors.Is(err, kerr.FencedInstanceID) {
				t.Errorf("%s: poll: %v", what, err)
			}
			clear(g.fail)
			joins := len(g.joins)
			for range 3 {
				if _, err := m.Poll(time.Second); !errors.Is(err, kerr.FencedInstanceID) {
					t.Errorf("%s: poll again: %v", what, err)
				}
				if err := m.Commit(offsets, time.Second); !errors.Is(err, kerr.FencedInstanceID) || client.MaybeSent(err) {
					t.Errorf("%s: commit: %v", what, err)
				}
				e.Sleep(2 * time.Second)
			}
			if len(g.joins) != joins || len(g.committed) != 0 || len(m.Owned()) != 0 {
				t.Errorf("%s: %d joins more, committed %v, owns %v", what, len(g.joins)-joins, g.committed, m.Owned())
			}
			if len(s.revoked) == 0 || (what != "join" && what != "sync" && s.revoked[len(s.revoked)-1]) {
				t.Errorf("%s: revoked %v", what, s.revoked)
			}
		})
	}
}
