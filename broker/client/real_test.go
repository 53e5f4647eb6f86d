package client_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/osenv"
)

// Goal: the same client is sound on real sockets and threads (run it with -race). Method: scripted brokers on loopback,
// many tasks producing, one consuming.
func TestRealWorld(t *testing.T) {
	e := osenv.New(osenv.Options{})
	f := startFakesAt(e, 2, func(int32) string { return "127.0.0.1:0" })
	n := 0
	f.script = func(_ *fake, req kmsg.Request) *act {
		if _, ok := req.(*kmsg.ProduceRequest); !ok {
			return nil
		}
		switch n++; n % 10 {
		case 3:
			return &act{code: kerr.NotEnoughReplicas.Code}
		case 6:
			return &act{hangUp: true, applied: true}
		case 8:
			f.lead("t", 0, 1+int32(n/10%2))
		}
		return nil
	}
	k := client.New(e, client.Options{Bootstrap: []string{f.brokers[0].addr}, RetryBackoff: time.Millisecond, RetryBackoffMax: 20 * time.Millisecond, Negotiate: true})
	defer k.Close()
	p, err := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll, Idempotent: true, BatchBytesMax: 200})
	if err != nil {
		t.Fatal(err)
	}
	const tasks, each = 4, 100
	g := env.NewGroup(e)
	for task := range tasks {
		g.Go("producer", func() {
			for i := range each {
				r := p.ProduceSync(client.Record{Topic: "t", Value: fmt.Appendf(nil, "%d", task*each+i)})
				if r.Outcome != client.OK {
					t.Errorf("%d: %+v", i, r)
				}
			}
		})
	}
	c := client.NewConsumer(k, client.ConsumerOptions{WaitMax: 10 * time.Millisecond})
	c.Assign(t0, client.Earliest)
	seen := 0
	poll(e, t, c, func(got client.Fetched) bool {
		if got.Truncated != nil || got.Err != nil {
			t.Errorf("%+v", got)
		}
		seen += len(got.Records)
		return seen == tasks*each
	})
	g.Wait()
	p.Close(time.Second)
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := strings.Fields(f.values(0)); len(got) != tasks*each {
		t.Errorf("%d records in the log", len(got))
	}
}

// A broker that knows only lower versions is spoken to in those.
func TestNegotiationLowersVersions(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		f.versionMax = 7
		versions := map[int16]bool{}
		f.script = func(_ *fake, req kmsg.Request) *act {
			if req.Key() == 0 {
				versions[req.GetVersion()] = true
			}
			return nil
		}
		k := client.New(e, client.Options{Bootstrap: []string{"b1:9092"}, Negotiate: true})
		defer k.Close()
		p, _ := client.NewProducer(k, client.ProducerOptions{Acks: client.AcksAll})
		if r := p.ProduceSync(client.Record{Topic: "t", Value: []byte("v")}); r.Outcome != client.OK || !versions[7] || len(versions) != 1 {
			t.Errorf("%+v, versions %v", r, versions)
		}
		p.Close(0)
	})
}

// Goal: a client may be closed in the middle of a dial (run it with -race): whoever waits for it is told at once, and no connection is left.
// Method: clients that are closed sooner or later after somebody has asked for a leader, of an address that answers and of one that refuses.
func TestCloseInTheMiddleOfADial(t *testing.T) {
	e := osenv.New(osenv.Options{})
	f := startFakesAt(e, 1, func(int32) string { return "127.0.0.1:0" })
	l, err := e.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr()
	l.Close()
	for i := range 200 {
		k := client.New(e, client.Options{Bootstrap: []string{[]string{f.brokers[0].addr, nobody}[i%2]}, RetryBackoff: time.Millisecond, Negotiate: i%4 < 2})
		g := env.NewGroup(e)
		began := e.Mono()
		g.Go("asks", func() {
			if _, err := k.Leader(t0, began.Add(20*time.Second)); err == nil && i%2 == 1 {
				t.Error("a leader where nobody is")
			}
		})
		e.Sleep(time.Duration(i/4) * 10 * time.Microsecond)
		k.Close()
		g.Wait()
		if took := e.Mono().Sub(began); took > 10*time.Second {
			t.Fatalf("who waited was told after %v", took)
		}
		if _, err := k.Conn(f.brokers[0].id); err == nil {
			t.Error("a closed client connects")
		}
	}
}
