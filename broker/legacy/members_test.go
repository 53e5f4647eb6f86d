package legacy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/legacy"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"
	zkclient "barnabas/broker/zookeeper/client"
	zkserver "barnabas/broker/zookeeper/server"
	"barnabas/sim/cluster"
)

// town is one ZooKeeper without a broker, in which members of group g register, claim and commit. Everything runs in one task, but for the polls
// of members on machines of their own.
type town struct {
	t       *testing.T
	w       *cluster.World
	e       env.Env
	session zookeeper.Session // of the test
	told    []string          // by members: "m1 +t-0"
	n       int
}

// inTown runs f on a machine of its own.
func inTown(t *testing.T, f func(*town)) {
	w := cluster.New(cluster.Options{Seed: 1})
	t.Cleanup(w.Close)
	w.AddNode("zk", func(e env.Env) {
		s, err := zkserver.New(e, zkserver.Config{Addr: "zk:2181", DataDir: "/zk", TickMs: 500})
		if err != nil {
			t.Error(err)
			return
		}
		s.Run()
	})
	w.Start("zk")
	done := false
	w.AddNode("test", func(e env.Env) {
		defer func() { done = true }()
		v := &town{t: t, w: w, e: e}
		v.session = v.open()
		defer v.session.Close()
		for _, path := range []string{"/brokers", "/brokers/topics"} {
			if _, _, err := v.session.Create(path, nil, zookeeper.Persistent); err != nil {
				t.Error(err)
			}
		}
		f(v)
	})
	w.Start("test")
	r := w.RunUntil(func() bool { return done || len(w.Crashes()) > 0 }, w.Now().Add(10*time.Minute))
	for _, c := range w.Crashes() {
		t.Fatal(c)
	}
	if r != cluster.Satisfied {
		t.Fatal(r)
	}
}

func (v *town) open() zookeeper.Session {
	s, err := zkclient.Open(v.e, []string{"zk:2181"}, 2000, v.e.Mono().Add(20*time.Second))
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// member makes a consumer that tells what becomes of its claims.
func (v *town) member(o legacy.Options) *legacy.Consumer {
	v.n++
	name := fmt.Sprintf("m%d", v.n)
	o.Group, o.Servers, o.SessionMs = "g", []string{"zk:2181"}, 2000
	if o.Open == nil {
		o.Open = zkclient.Open
	}
	tell := func(format string, args ...any) { v.told = append(v.told, name+" "+fmt.Sprintf(format, args...)) }
	o.Listener = legacy.Listener{
		Assigned: func(tp wire.TopicPartition, _ int64) { tell("+%s", tp) },
		Revoked: func(tp wire.TopicPartition, _ int64, orderly bool) {
			tell("-%s%s", tp, map[bool]string{false: " lost"}[orderly])
		},
		Fetched: func(tp wire.TopicPartition, offset int64, _, _ env.Instant) { tell("%s from %d", tp, offset) },
		Committed: func(tp wire.TopicPartition, offset int64, _, _ env.Instant, err error) {
			tell("%s at %d %v", tp, offset, err)
		},
	}
	c := client.New(v.e, client.Options{Bootstrap: []string{"nobody:9092"}, ClientID: name, DialTimeout: 100 * time.Millisecond, RequestTimeout: 100 * time.Millisecond})
	k, err := legacy.New(v.e, c, name, o)
	if err != nil {
		v.t.Fatal(err)
	}
	return k
}

// poll polls each member a few times, so that what one does is seen by all.
func (v *town) poll(members ...*legacy.Consumer) {
	for range 6 {
		for _, k := range members {
			if _, err := k.Poll(10 * time.Millisecond); err != nil && !errors.Is(err, legacy.ErrRebalance) {
				v.t.Error(err)
			}
		}
	}
}

// topic writes a topic's znode, with partitions on broker 1.
func (v *town) topic(name string, partitions int32) {
	a := zookeeper.TopicAssignment{Partitions: map[int32]zookeeper.ReplicaAssignment{}}
	for p := range partitions {
		a.Partitions[p] = zookeeper.ReplicaAssignment{Replicas: []int32{1}}
	}
	v.put("/brokers/topics/"+name, string(zookeeper.EncodeTopic(a)))
}

func (v *town) put(path, data string) {
	if _, err := v.session.Set(path, []byte(data), zookeeper.AnyVersion); errors.Is(err, zookeeper.ErrNoNode) {
		for i := 1; i < len(path); i++ {
			if path[i] == '/' {
				v.session.Create(path[:i], nil, zookeeper.Persistent)
			}
		}
		if _, _, err := v.session.Create(path, []byte(data), zookeeper.Persistent); err != nil {
			v.t.Error(err)
		}
	} else if err != nil {
		v.t.Error(err)
	}
}

func (v *town) get(path string) string {
	data, _, err := v.session.Get(path, false)
	if err != nil {
		return ""
	}
	return string(data)
}

// owners are who owns what: "t-0:m1", by topic and partition; the names are those of the hosts.
func (v *town) owners() (all []string) {
	topics, _, _ := v.session.Children("/consumers/g/owners", false)
	for _, topic := range topics {
		partitions, _, _ := v.session.Children("/consumers/g/owners/"+topic, false)
		for _, p := range partitions {
			owner := v.get("/consumers/g/owners/" + topic + "/" + p)
			name, _, _ := strings.Cut(strings.TrimPrefix(owner, "g_"), "-")
			all = append(all, topic+"-"+p+":"+name)
		}
	}
	slices.Sort(all)
	return all
}

// want compares what members have told since the last time, sorted, and who owns what.
func (v *town) want(what string, told, owners string) {
	v.t.Helper()
	slices.Sort(v.told)
	if got := strings.Join(v.told, ", "); told != "*" && got != told {
		v.t.Errorf("%s: members told %q, want %q", what, got, told)
	}
	if got := strings.Join(v.owners(), " "); got != owners {
		v.t.Errorf("%s: owners %q, want %q", what, got, owners)
	}
	v.told = nil
}

// Goal: members share partitions in the order of their names, hear of each other, of more partitions and of topics that come, and hand over in order. Method: one
// member, then two, a topic that is there later, partitions that are added, one that leaves, and one that dies.
func TestMembersShareAndHandOver(t *testing.T) {
	inTown(t, func(v *town) {
		v.topic("t", 3)
		a := v.member(legacy.Options{Topics: []string{"u", "t"}, Backoff: 100 * time.Millisecond})
		v.poll(a)
		v.want("alone", "m1 +t-0, m1 +t-1, m1 +t-2, m1 t-0 from -1, m1 t-1 from -1, m1 t-2 from -1", "t-0:m1 t-1:m1 t-2:m1")
		v.poll(a)
		v.want("nothing new", "", "t-0:m1 t-1:m1 t-2:m1")
		b := v.member(legacy.Options{Topics: []string{"t"}, Backoff: 100 * time.Millisecond})
		v.poll(a, b)
		v.want("two", "*", "t-0:m1 t-1:m1 t-2:m2")
		v.topic("u", 1)
		v.poll(a, b)
		v.want("a topic", "*", "t-0:m1 t-1:m1 t-2:m2 u-0:m1")
		v.topic("t", 5)
		v.poll(a, b)
		v.want("more partitions", "*", "t-0:m1 t-1:m1 t-2:m1 t-3:m2 t-4:m2 u-0:m1")
		b.Close()
		v.want("one leaves", "m2 -t-3, m2 -t-4", "t-0:m1 t-1:m1 t-2:m1 u-0:m1")
		v.poll(a)
		v.want("and the other has it", "*", "t-0:m1 t-1:m1 t-2:m1 t-3:m1 t-4:m1 u-0:m1")
		var sessions []zookeeper.Session
		c := v.member(legacy.Options{Topics: []string{"t"}, Backoff: 100 * time.Millisecond, Open: func(e env.Env, servers []string, ms int32, by env.Instant) (zookeeper.Session, error) {
			s, err := zkclient.Open(e, servers, ms, by)
			sessions = append(sessions, s)
			return s, err
		}})
		v.poll(a, c)
		v.want("three", "*", "t-0:m1 t-1:m1 t-2:m1 t-3:m3 t-4:m3 u-0:m1")
		sessions[0].Close() // as if it had expired
		v.poll(c)
		if len(v.told) < 2 || v.told[0] != "m3 -t-3 lost" || v.told[1] != "m3 -t-4 lost" || len(sessions) != 2 {
			t.Errorf("the end of a session: %q, %d sessions", v.told, len(sessions))
		}
		v.poll(a, c)
		v.want("registered again", "*", "t-0:m1 t-1:m1 t-2:m1 t-3:m3 t-4:m3 u-0:m1")
		a.Close()
		c.Close()
		v.want("nobody", "*", "")
	})
}

// Goal: a claim that another holds costs the member all it was to have, and after its retries Poll fails; the next Poll gets it once it is free. Method: an owner's
// znode of the test's own, on the second of three partitions; the time that the retries take.
func TestOwnerConflict(t *testing.T) {
	inTown(t, func(v *town) {
		v.topic("t", 3)
		v.put("/consumers/g/owners/t/1", "")
		v.session.Delete("/consumers/g/owners/t/1", zookeeper.AnyVersion)
		if _, _, err := v.session.Create("/consumers/g/owners/t/1", []byte("g_other-0"), zookeeper.Ephemeral); err != nil {
			t.Fatal(err)
		}
		k := v.member(legacy.Options{Topics: []string{"t"}, Retries: 3, Backoff: time.Second})
		began := v.e.Mono()
		_, err := k.Poll(10 * time.Millisecond)
		if took := v.e.Mono().Sub(began); !errors.Is(err, legacy.ErrRebalance) || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%v after %v, want %v after three seconds", err, took, legacy.ErrRebalance)
		}
		v.want("in vain", "", "t-1:other")
		v.e.Go("free", func() {
			v.e.Sleep(1500 * time.Millisecond)
			v.session.Delete("/consumers/g/owners/t/1", zookeeper.AnyVersion)
		})
		if _, err := k.Poll(10 * time.Millisecond); err != nil {
			t.Error(err)
		}
		v.want("at the third try", "*", "t-0:m1 t-1:m1 t-2:m1")
		k.Close()
	})
}

// forgetful is a session that loses its answer to the first deletion of a path, and does something before that is noticed.
type forgetful struct {
	zookeeper.Session
	path string
	then func()
}

func (s *forgetful) Delete(path string, version int32) error {
	err := s.Session.Delete(path, version)
	if path == s.path && s.then != nil {
		s.then()
		s.then, err = nil, zookeeper.ErrConnectionLoss
	}
	return err
}

// Goal: who was not told that its claim is gone does not take another's away when it tries again. Method: the answer to the deletion is lost, and another
// claims the partition at once.
func TestAnothersClaimIsLeftAlone(t *testing.T) {
	inTown(t, func(v *town) {
		v.topic("t", 2)
		const path = "/consumers/g/owners/t/1"
		lossy := &forgetful{path: path, then: func() {
			if _, _, err := v.session.Create(path, []byte("g_other-0"), zookeeper.Ephemeral); err != nil {
				t.Error(err)
			}
		}}
		k := v.member(legacy.Options{Topics: []string{"t"}, Retries: 2, Backoff: 100 * time.Millisecond, Open: func(e env.Env, servers []string, ms int32, by env.Instant) (s zookeeper.Session, err error) {
			lossy.Session, err = zkclient.Open(e, servers, ms, by)
			return lossy, err
		}})
		v.poll(k)
		v.want("it has both", "*", "t-0:m1 t-1:m1")
		v.member(legacy.Options{Topics: []string{"t"}}).Poll(10 * time.Millisecond) // another comes, and it has to give up what it has
		k.Poll(10 * time.Millisecond)
		if data, _, err := v.session.Get(path, false); err != nil || string(data) != "g_other-0" {
			t.Errorf("t-1 is %q's: %v", data, err)
		}
	})
}

// Goal: a member reads from what is committed, commits where it stands when it is asked to, from time to time, and before it gives a partition up; what is no offset
// is an error. Method: offsets written by the test; nothing is fetched, so it stands where it began.
func TestOffsetsInZooKeeper(t *testing.T) {
	inTown(t, func(v *town) {
		v.topic("t", 2)
		v.put("/consumers/g/offsets/t/0", "7")
		k := v.member(legacy.Options{Topics: []string{"t"}, AutoCommit: time.Minute})
		v.poll(k)
		v.want("begun", "m1 +t-0, m1 +t-1, m1 t-0 from 7, m1 t-1 from -1", "t-0:m1 t-1:m1")
		if at, ok := k.Position(wire.TopicPartition{Topic: "t"}); at != 7 || !ok {
			t.Errorf("position %d %t", at, ok)
		}
		for what, commit := range map[string]func(){
			"asked": func() {
				if err := k.Commit(); err != nil {
					t.Error(err)
				}
			},
			"in time": func() { v.e.Sleep(time.Minute); v.poll(k) },
		} {
			v.put("/consumers/g/offsets/t/0", "1")
			commit()
			if got := v.get("/consumers/g/offsets/t/0"); got != "7" {
				t.Errorf("%s: committed %q", what, got)
			}
			v.want(what, "m1 t-0 at 7 <nil>", "t-0:m1 t-1:m1")
		}
		v.session.Delete("/consumers/g/offsets/t/0", zookeeper.AnyVersion)
		v.session.Delete("/consumers/g/offsets/t", zookeeper.AnyVersion)
		k.Close()
		if got := v.get("/consumers/g/offsets/t/0"); got != "7" {
			t.Errorf("closed: committed %q", got)
		}
		v.want("closed", "m1 -t-0, m1 -t-1, m1 t-0 at 7 <nil>", "")
		v.put("/consumers/g/offsets/t/0", "seven")
		k = v.member(legacy.Options{Topics: []string{"t"}})
		if _, err := k.Poll(10 * time.Millisecond); err == nil || !strings.Contains(err.Error(), `"seven" is not an offset`) {
			t.Error(err)
		}
		v.want("no offset", "", "")
		k.Close()
	})
}

// Goal: a member with a whitelist or a blacklist reads what passes it, topics that come and go included, is not disturbed by others, and shares with members that name
// their topics. Method: topics of both kinds and Kafka's own are made and removed; what members tell says whether they rebalanced.
func TestFiltersFollowTheTopics(t *testing.T) {
	inTown(t, func(v *town) {
		v.topic("t1", 2)
		v.topic("u", 1)
		v.topic("__consumer_offsets", 1)
		a := v.member(legacy.Options{Whitelist: "t.*", Backoff: 100 * time.Millisecond})
		v.poll(a)
		v.want("whitelist", "*", "t1-0:m1 t1-1:m1")
		id := "/consumers/g/ids/" + a.ID()
		if got := v.get(id); !strings.HasPrefix(got, `{"version":1,"subscription":{"t.*":1},"pattern":"white_list",`) {
			t.Error(got)
		}
		v.topic("u2", 1)
		v.poll(a)
		v.want("a topic of others", "", "t1-0:m1 t1-1:m1")
		v.topic("t2", 1)
		v.poll(a)
		v.want("a topic that passes", "*", "t1-0:m1 t1-1:m1 t2-0:m1")
		b := v.member(legacy.Options{Topics: []string{"t1", "u"}, Backoff: 100 * time.Millisecond})
		v.poll(a, b)
		v.want("beside one that names topics", "*", "t1-0:m1 t1-1:m2 t2-0:m1 u-0:m2")
		v.session.Delete("/brokers/topics/t2", zookeeper.AnyVersion)
		v.poll(a, b)
		v.want("a topic goes", "*", "t1-0:m1 t1-1:m2 u-0:m2")
		a.Close()
		b.Close()
		v.told = nil
		c := v.member(legacy.Options{Blacklist: "t1, u2", Backoff: 100 * time.Millisecond})
		v.poll(c)
		v.want("blacklist", "*", "u-0:m3")
		v.topic("v", 1)
		v.poll(c)
		v.want("a topic that is not on it", "*", "u-0:m3 v-0:m3")
		c.Close()
		d := v.member(legacy.Options{Blacklist: "t1|u.*|v", Internal: true})
		v.poll(d)
		v.want("Kafka's own", "*", "__consumer_offsets-0:m4")
		d.Close()
	})
}
