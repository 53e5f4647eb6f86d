// Goal: every request ends exactly once, with its own answer or with an error that tells rightly whether the broker may
// have received it. Method: scripted brokers in the simulator that answer late, never, wrongly, or hang up.
package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/env"
	"barnabas/broker/wire"
)

func metadataRequest() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	return req
}

func TestConnPipelinesAndKeepsAnswersApart(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		f.script = func(*fake, kmsg.Request) *act { return &act{late: 10 * time.Millisecond} }
		c, err := client.Dial(e, "b1:9092", client.ConnOptions{ClientID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		g := env.NewGroup(e)
		for i := range 20 {
			g.Go("asker", func() {
				var req kmsg.Request = metadataRequest()
				if i%2 == 0 {
					p := kmsg.NewPtrInitProducerIDRequest()
					p.SetVersion(4)
					req = p
				}
				resp, err := c.Do(req, 0)
				if err != nil || resp.Key() != req.Key() {
					t.Errorf("request %d: %v, %v", i, resp, err)
				}
			})
		}
		g.Wait()
		c.Close()
		if _, err := c.Do(metadataRequest(), 0); err == nil || client.MaybeSent(err) || !errors.Is(err, client.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestConnTimeoutBreaksItAndAllInFlight(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		f := startFakes(e, 1)
		f.script = func(*fake, kmsg.Request) *act { return &act{late: time.Hour} }
		c, err := client.Dial(e, "b1:9092", client.ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start := e.Mono()
		g := env.NewGroup(e)
		for i := range 3 {
			g.Go("asker", func() {
				_, err := c.Do(metadataRequest(), time.Duration(3+i)*time.Second)
				if !client.MaybeSent(err) || !errors.Is(err, client.ErrBroken) || !errors.Is(err, env.ErrTimeout) {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		g.Wait()
		if waited := e.Mono().Sub(start); waited < 3*time.Second || waited > 3500*time.Millisecond {
			t.Errorf("waited %v for the shortest time-out", waited)
		}
		if !c.Broken() {
			t.Error("not broken")
		}
	})
}

func TestConnToNobodyWasNeverSent(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		_, err := client.Dial(e, "b1:1", client.ConnOptions{DialTimeout: time.Second})
		if err == nil || client.MaybeSent(err) {
			t.Errorf("dial: %v", err)
		}
	})
}

func TestConnAnswersOutOfOrderOrGarbageBreakIt(t *testing.T) {
	for name, answer := range map[string][]byte{
		"correlation": wire.AppendResponse(nil, 99, metadataRequest().ResponseKind()),
		"size":        {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"huge":        {0x7f, 0xff, 0xff, 0xff, 1, 2, 3},
		"short":       {0, 0, 0, 2, 0, 0},
		"body":        {0, 0, 0, 6, 0, 0, 0, 1, 0, 9},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, e env.Env) {
				l, err := e.Listen("b1:7000")
				if err != nil {
					t.Fatal(err)
				}
				e.Go("liar", func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					wire.ReadFrame(c, wire.MaxFrame, nil)
					c.Write(answer)
				})
				c, err := client.Dial(e, "b1:7000", client.ConnOptions{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Do(metadataRequest(), time.Second)
				if !client.MaybeSent(err) || !errors.Is(err, client.ErrBroken) || errors.Is(err, env.ErrTimeout) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestConnSendBehindABlockedWriteWasNeverSent(t *testing.T) {
	simulate(t, func(t *testing.T, e env.Env) {
		l, err := e.Listen("b1:7000")
		if err != nil {
			t.Fatal(err)
		}
		e.Go("deaf", func() { l.Accept() }) // and reads nothing
		c, err := client.Dial(e, "b1:7000", client.ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// The first fills every buffer on the way and blocks the writer; the second stays behind it.
		big := kmsg.NewPtrMetadataRequest()
		big.SetVersion(12)
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(string(make([]byte, 32<<20)))
		big.Topics = append(big.Topics, topic)
		ends := env.NewQueue[error](e, 0)
		c.Send(big, 2*time.Second, func(_ kmsg.Response, err error) { ends.Put(err) })
		e.Sleep(time.Second)
		c.Send(metadataRequest(), 2*time.Second, func(_ kmsg.Response, err error) { ends.Put(err) })
		first, _ := ends.Get()
		second, _ := ends.Get()
		if !client.MaybeSent(first) || client.MaybeSent(second) {
			t.Errorf("first: %v; second: %v", first, second)
		}
	})
}
