package broker

import (
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/metadata"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// peerDialTimeout bounds a dial: whoever leads a partition instead of a broker that does not answer is asked soon.
const peerDialTimeout = 3 * time.Second

// peers sends this broker's requests to other brokers, or to itself, over one connection each, made when it is needed. It retries nothing.
//
// Source: InterBrokerSendThread.
type peers struct {
	e     env.Env
	cfg   *config.Broker
	cache *metadata.Cache

	mu     env.Mutex
	conns  map[int32]*peer
	closed bool
}

// peer is the way to one broker. While it is being dialled, what is to be sent waits.
type peer struct {
	conn    *client.Conn
	dialing bool
	waiting []func(*client.Conn, error)
}

func newPeers(e env.Env, cfg *config.Broker, cache *metadata.Cache) *peers {
	return &peers{e: e, cfg: cfg, cache: cache, mu: e.NewMutex(), conns: map[int32]*peer{}}
}

// send sends req to a broker and returns at once. done is called once, by some task, with no lock held, and must not wait.
func (p *peers) send(broker int32, req kmsg.Request, timeout time.Duration, done func(kmsg.Response, error)) {
	addr, err := p.address(broker)
	if err != nil {
		done(nil, err)
		return
	}
	use := func(conn *client.Conn, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		conn.Send(req, timeout, done)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		done(nil, env.ErrClosed)
		return
	}
	to := p.conns[broker]
	if to == nil {
		to = &peer{}
		p.conns[broker] = to
	}
	if to.dialing {
		to.waiting = append(to.waiting, use)
		p.mu.Unlock()
		return
	}
	old := to.conn
	if old != nil && old.Addr() == addr && !old.Broken() {
		p.mu.Unlock()
		use(old, nil)
		return
	}
	to.conn, to.dialing, to.waiting = nil, true, append(to.waiting, use)
	p.mu.Unlock()
	if old != nil {
		old.Close()
	}
	p.e.Go("peer-dial", func() { p.dial(to, addr) })
}

func (p *peers) address(broker int32) (string, error) {
	b := p.cache.Snapshot().Broker(broker)
	if b == nil || b.Endpoint(listenerName) == nil {
		return "", fmt.Errorf("broker %d is not known", broker)
	}
	endpoint := b.Endpoint(listenerName)
	return config.JoinHostPort(endpoint.Host, endpoint.Port), nil
}

func (p *peers) dial(to *peer, addr string) {
	conn, err := client.Dial(p.e, addr, client.ConnOptions{ClientID: fmt.Sprintf("broker-%d", p.cfg.BrokerID),
		DialTimeout: peerDialTimeout, RequestTimeout: p.cfg.ControllerSocketTimeout})
	p.mu.Lock()
	if err == nil && p.closed {
		defer conn.Close()
		err = env.ErrClosed
	}
	if err == nil {
		to.conn = conn
	}
	waiting := to.waiting
	to.dialing, to.waiting = false, nil
	p.mu.Unlock()
	for _, use := range waiting {
		use(conn, err)
	}
}

func (p *peers) close() {
	p.mu.Lock()
	p.closed = true
	var conns []*client.Conn
	for _, to := range p.conns { // unordered: they only close
		if to.conn != nil {
			conns = append(conns, to.conn)
		}
	}
	p.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}
