package client

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/wire"
)

// Options says how a Client finds and uses its cluster. The zero value of every field but Bootstrap has a default.
type Options struct {
	Bootstrap       []string      // "host:port" of brokers to ask first; at least one
	ClientID        string        // client.id
	DialTimeout     time.Duration // 0 means 10 s
	RequestTimeout  time.Duration // 0 means 30 s
	MetadataAgeMax  time.Duration // 0 means 5 minutes (metadata.max.age.ms)
	RetryBackoff    time.Duration // 0 means 100 ms (retry.backoff.ms); doubles with each failure in a row
	RetryBackoffMax time.Duration // 0 means 1 s (retry.backoff.max.ms)
	Negotiate       bool          // ask each broker for its API versions first; needed with foreign brokers only
	RandStream      string        // the stream of chance for jitter and choice; "" means "client/" and the client id
}

func (o Options) withDefaults() Options {
	setDefault(&o.DialTimeout, 10*time.Second)
	setDefault(&o.RequestTimeout, 30*time.Second)
	setDefault(&o.MetadataAgeMax, 5*time.Minute)
	setDefault(&o.RetryBackoff, 100*time.Millisecond)
	setDefault(&o.RetryBackoffMax, time.Second)
	if o.RandStream == "" {
		o.RandStream = "client/" + o.ClientID
	}
	return o
}

func setDefault[T ~int64 | ~int32 | ~int](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Client is one application's view of a cluster: connections to its brokers, made on demand, and the metadata. Producer,
// Consumer and Admin share it. It is safe for many tasks.
type Client struct {
	e env.Env
	o Options
	// metadata is replaced whole by the updater, so that reading it costs no lock.
	metadata atomic.Pointer[Metadata]

	mu        env.Mutex
	changed   env.Cond // metadata came, a dial ended, or the client closed
	wake      env.Cond // of the updater: somebody wants metadata, or the client closed
	rand      *rand.Rand
	topics    []string // those to ask for, sorted
	wanted    bool     // a refresh is wanted
	asked     []string // what the last good refresh asked for, sorted
	lastErr   error    // of the last refresh
	links     []*link  // by broker id, sorted
	listeners []func()
	closed    bool
}

// link is the one connection to one broker.
type link struct {
	id       int32 // below zero: a bootstrap address
	addr     string
	conn     *Conn
	dialing  bool
	failures int         // dials that failed in a row
	retryAt  env.Instant // no dial before
	err      error       // of the last dial
}

// New makes a client. It does not connect yet.
func New(e env.Env, o Options) *Client {
	o = o.withDefaults()
	mu := e.NewMutex()
	c := &Client{e: e, o: o, mu: mu, changed: e.NewCond(mu), wake: e.NewCond(mu), rand: e.Rand(o.RandStream)}
	c.metadata.Store(&Metadata{Controller: -1})
	e.Go("client-metadata", c.update)
	return c
}

// Close breaks all connections and ends the client's tasks. Close producers and consumers first.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	var conns []*Conn // a link's own may change until its dial has ended
	for _, l := range c.links {
		if l.conn != nil {
			conns = append(conns, l.conn)
		}
	}
	c.links = nil
	c.changed.Broadcast()
	c.wake.Broadcast()
	c.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}

// Conn returns the connection to a broker, dialling if there is none. Right after a failed dial it fails at once with
// the same error until a back-off has passed. Every error says by MaybeSent that nothing was sent.
func (c *Client) Conn(broker int32) (*Conn, error) {
	addr, ok := c.Metadata().Addr(broker)
	if !ok {
		return nil, &Error{API: "Dial", Err: errNoBroker}
	}
	return c.connect(broker, addr)
}

func (c *Client) connect(id int32, addr string) (*Conn, error) {
	c.mu.Lock()
	l := c.link(id, addr)
	for l.dialing && !c.closed {
		c.changed.Wait()
	}
	if c.closed {
		c.mu.Unlock()
		return nil, &Error{Addr: addr, API: "Dial", Err: ErrClosed}
	}
	if l.conn != nil && l.conn.Addr() == l.addr && !l.conn.Broken() {
		defer c.mu.Unlock()
		return l.conn, nil
	}
	old := l.conn
	l.conn = nil
	if c.e.Mono() < l.retryAt {
		defer c.mu.Unlock()
		return nil, l.err
	}
	l.dialing = true
	c.mu.Unlock()
	if old != nil {
		old.Close()
	}
	conn, err := Dial(c.e, addr, ConnOptions{ClientID: c.o.ClientID, DialTimeout: c.o.DialTimeout,
		RequestTimeout: c.o.RequestTimeout, Negotiate: c.o.Negotiate})
	return c.dialled(l, conn, err)
}

// dialled takes note of how a dial ended.
func (c *Client) dialled(l *link, conn *Conn, err error) (*Conn, error) {
	c.mu.Lock()
	l.dialing = false
	l.conn, l.err = conn, err
	if err != nil {
		l.retryAt = c.e.Mono().Add(c.backoff(l.failures))
		l.failures++
	} else {
		l.failures = 0
	}
	c.changed.Broadcast()
	closed, addr := c.closed, l.addr
	c.mu.Unlock()
	if closed && conn != nil {
		conn.Close()
		return nil, &Error{Addr: addr, API: "Dial", Err: ErrClosed}
	}
	return conn, err
}

// link finds or makes the link to a broker. c.mu is held.
func (c *Client) link(id int32, addr string) *link {
	i, found := slices.BinarySearchFunc(c.links, id, func(l *link, id int32) int { return int(l.id) - int(id) })
	if !found {
		c.links = slices.Insert(c.links, i, &link{id: id, addr: addr})
	}
	l := c.links[i]
	if l.addr != addr { // the broker moved: what is known of the old address says nothing
		l.addr, l.failures, l.retryAt = addr, 0, 0
	}
	return l
}

// backoff is the pause after so many failures in a row, with a fifth of chance so that clients do not march in step.
// c.mu is held.
func (c *Client) backoff(failures int) time.Duration {
	d := c.o.RetryBackoff << min(failures, 20)
	if d > c.o.RetryBackoffMax || d <= 0 {
		d = c.o.RetryBackoffMax
	}
	return time.Duration(float64(d) * (0.8 + 0.4*c.rand.Float64()))
}

// Leader returns the leader of a partition, waiting for metadata up to the deadline. Errors: env.ErrTimeout, ErrClosed.
func (c *Client) Leader(tp wire.TopicPartition, deadline env.Instant) (Leader, error) {
	for {
		m := c.Metadata()
		if l, ok := m.Leader(tp); ok {
			return l, nil
		}
		if err := c.await(m, []string{tp.Topic}, deadline); err != nil {
			return Leader{}, err
		}
	}
}
