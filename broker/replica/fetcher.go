package replica

import (
	"fmt"
	"strconv"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetcher fetches partitions from one leader, in rounds: what is due goes into one request; its answer is worked off; what
// failed backs off. It keeps no offsets: a follower's next offset is its log's end, whoever moved that.
//
// Source: AbstractFetcherThread, ReplicaFetcherThread, RemoteLeaderEndPoint.
type fetcher struct {
	m   *Manager
	key fetcherKey

	mu     env.Mutex
	wake   env.Cond
	parts  []*following // by topic and partition
	turn   int          // the part to begin the next request with: all get their share of its bytes
	conn   *client.Conn
	closed bool

	// Of the task alone, kept between rounds to save allocations.
	round   []*following
	wanted  []client.FetchPart
	session client.FetchSession
	req     kmsg.FetchRequest
}

var (
	evFetcherConnected = env.NewKind("fetcher-connected", env.Info, "leader")
	evFetcherFailed    = env.NewKind("fetcher-failed", env.Warn, "leader", "partitions")
	evFetchRefused     = env.NewKind("fetch-refused", env.Warn, "leader", "epoch", "code")
	evFetchFailed      = env.NewKind("fetch-failed", env.Warn, "leader", "epoch", "offset")
)

// listener is the name of the one listener that brokers have for each other.
const listener = "PLAINTEXT"

func newFetcher(m *Manager, key fetcherKey) *fetcher {
	mu := m.o.Env.NewMutex()
	return &fetcher{m: m, key: key, mu: mu, wake: m.o.Env.NewCond(mu)}
}

// close ends the fetcher's task, now or when its present call comes back.
func (f *fetcher) close() {
	f.mu.Lock()
	f.closed = true
	conn := f.conn
	f.conn = nil
	f.wake.Broadcast()
	f.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

// run is the fetcher's task.
func (f *fetcher) run() {
	for f.takeDue() {
		if err := f.fetch(); err != nil {
			f.m.o.Env.Emit(env.Event{Kind: evFetcherFailed, V: [4]int64{int64(f.key.leader), int64(len(f.round))}, Text: err.Error()})
			f.delay(f.round...)
		}
	}
}

// takeDue waits until partitions are due, and puts them into the round, beginning with the one whose turn it is. It reports
// false once the fetcher is closed.
func (f *fetcher) takeDue() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.closed {
		now, next := f.m.o.Env.Mono(), env.Never
		f.round = f.round[:0]
		for i := range f.parts {
			n := f.parts[(f.turn+i)%len(f.parts)]
			if n.due <= now {
				f.round = append(f.round, n)
			}
			next = min(next, n.due)
		}
		if len(f.round) > 0 {
			f.turn = (f.turn + 1) % len(f.parts)
			return true
		}
		f.wake.WaitUntil(next)
	}
	return false
}

// fetch does one round. An error is one of the whole: of the connection or the answer.
func (f *fetcher) fetch() error {
	f.takePositions()
	if len(f.round) == 0 {
		return nil
	}
	conn, err := f.connect()
	if err != nil {
		return err
	}
	f.buildRequest()
	r, err := conn.Do(&f.req, f.m.o.Config.ReplicaSocketTimeout)
	if err != nil {
		f.session.Failed()
		f.disconnect(conn)
		return err
	}
	resp, ok := r.(*kmsg.FetchResponse)
	if !ok {
		f.session.Failed()
		f.disconnect(conn)
		return fmt.Errorf("fetch answered with %T", r)
	}
	incremental := f.session.Incremental()
	if !f.session.Answered(resp) {
		markFetchSessionLost.Hit()
		return nil // the next request is a full one
	}
	if resp.ErrorCode != 0 {
		return kerr.ErrorForCode(resp.ErrorCode)
	}
	f.processAll(conn, resp, incremental)
	return nil
}

// takePositions asks each partition of the round where it is, and drops those that do not follow any more.
func (f *fetcher) takePositions() {
	rest := f.round[:0]
	for _, n := range f.round {
		pos, err := n.p.Position(n.leaderEpoch)
		if err != nil {
			f.drop(n)
			continue
		}
		if f.throttled(n) {
			f.delay(n)
			continue
		}
		n.asked = pos
		rest = append(rest, n)
	}
	f.round = rest
}

// connect returns the connection to the leader, dialling if there is none.
func (f *fetcher) connect() (*client.Conn, error) {
	f.mu.Lock()
	conn := f.conn
	f.mu.Unlock()
	if conn != nil && !conn.Broken() {
		return conn, nil
	}
	addr, err := f.m.address(f.key.leader)
	if err != nil {
		return nil, err
	}
	c := f.m.o.Config
	conn, err = client.Dial(f.m.o.Env, addr, client.ConnOptions{
		ClientID:       "broker-" + strconv.Itoa(int(c.BrokerID)) + "-fetcher-" + strconv.Itoa(f.key.number),
		RequestTimeout: c.ReplicaSocketTimeout})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.conn = conn
	}
	f.mu.Unlock()
	if closed {
		conn.Close()
		return nil, client.ErrClosed
	}
	f.m.o.Env.Emit(env.Event{Kind: evFetcherConnected, V: [4]int64{int64(f.key.leader)}, Text: addr})
	return conn, nil
}

// disconnect gives up a connection that failed or said nothing in time.
func (f *fetcher) disconnect(conn *client.Conn) {
	conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == conn {
		f.conn = nil
	}
}

// address is where a broker is, as the controller told last. Errors: BROKER_NOT_AVAILABLE.
func (m *Manager) address(broker int32) (string, error) {
	b := m.o.Metadata.Snapshot().Broker(broker)
	if b == nil {
		markAddressBrokerNotAvailable.Hit()
		return "", fmt.Errorf("broker %d is not alive: %w", broker, kerr.BrokerNotAvailable)
	}
	ep := b.Endpoint(listener)
	if ep == nil {
		markAddressBrokerNotAvailable2.Hit()
		return "", fmt.Errorf("broker %d has no listener %s: %w", broker, listener, kerr.BrokerNotAvailable)
	}
	return config.JoinHostPort(ep.Host, ep.Port), nil
}
