package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/env"
)

// Metadata is the newest metadata; never nil, empty at first.
func (c *Client) Metadata() *Metadata { return c.metadata.Load() }

// Refresh asks for metadata that also covers topics, and waits for it up to the deadline. Errors: env.ErrTimeout with
// what went wrong last, ErrClosed.
func (c *Client) Refresh(deadline env.Instant, topics ...string) error {
	return c.await(c.Metadata(), topics, deadline)
}

// RequestUpdate asks for new metadata without waiting for it.
func (c *Client) RequestUpdate(topics ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want(topics)
}

// onUpdate registers f to be called after each refresh that succeeded, with no lock held.
func (c *Client) onUpdate(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(slices.Clip(c.listeners), f)
}

// await waits until there is newer metadata than m.
func (c *Client) await(m *Metadata, topics []string, deadline env.Instant) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return ErrClosed
		}
		if c.metadata.Load() != m && c.covers(topics) {
			return nil
		}
		c.want(topics)
		if !c.changed.WaitUntil(deadline) {
			if c.lastErr != nil {
				return fmt.Errorf("metadata: %w: %w", env.ErrTimeout, c.lastErr)
			}
			return fmt.Errorf("metadata: %w", env.ErrTimeout)
		}
	}
}

// covers reports whether the refresh that ended last had asked for all of topics. c.mu is held.
func (c *Client) covers(topics []string) bool {
	for _, t := range topics {
		if _, ok := slices.BinarySearch(c.asked, t); !ok {
			return false
		}
	}
	return true
}

// want asks the updater for a refresh. c.mu is held.
func (c *Client) want(topics []string) {
	for _, t := range topics {
		if i, ok := slices.BinarySearch(c.topics, t); !ok {
			c.topics = slices.Insert(c.topics, i, t)
		}
	}
	if !c.wanted {
		c.wanted = true
		c.wake.Signal()
	}
}

// update is the updater task: it refreshes the metadata when somebody wants it and when it has grown old, never twice
// within a back-off.
func (c *Client) update() {
	failures := 0
	earliest, latest := env.Instant(0), env.Never
	for {
		topics, ok := c.awaitWanted(earliest, latest)
		if !ok {
			return
		}
		resp, err := c.askMetadata(topics)
		if err != nil {
			failures++
		} else {
			failures = 0
		}
		now := c.e.Mono()
		latest = now.Add(c.o.MetadataAgeMax)

		c.mu.Lock()
		earliest = now.Add(c.backoff(max(0, failures-1)))
		c.lastErr = err
		if err == nil {
			c.metadata.Store(merge(c.metadata.Load(), resp))
			c.asked = topics
		} else {
			c.wanted = true // try again
		}
		c.changed.Broadcast()
		listeners := c.listeners
		c.mu.Unlock()
		if err == nil {
			for _, f := range listeners {
				f()
			}
		}
	}
}

// awaitWanted waits until a refresh is wanted, or due at latest, but not before earliest.
func (c *Client) awaitWanted(earliest, latest env.Instant) (topics []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && !c.wanted && c.wake.WaitUntil(latest) {
	}
	for !c.closed && c.e.Mono() < earliest {
		c.wake.WaitUntil(earliest)
	}
	c.wanted = false
	return slices.Clone(c.topics), !c.closed
}

// askMetadata asks one broker after another until one answers: those connected, then the others, then the bootstrap
// addresses.
func (c *Client) askMetadata(topics []string) (*kmsg.MetadataResponse, error) {
	var lastErr error = errNoBroker
	for _, l := range c.candidates() {
		conn, err := c.connect(l.id, l.addr)
		if err == nil {
			var r kmsg.Response
			if r, err = conn.Do(metadataRequest(topics), 0); err == nil {
				resp := r.(*kmsg.MetadataResponse)
				if len(resp.Brokers) > 0 {
					return resp, nil
				}
				err = fmt.Errorf("%s: metadata without brokers: %w", l.addr, kerr.BrokerNotAvailable)
			}
		}
		lastErr = err
	}
	return nil, lastErr
}

type candidate struct {
	id        int32
	addr      string
	connected bool
}

// candidates lists whom to ask, in an order that chance has a hand in.
func (c *Client) candidates() []candidate {
	brokers := c.Metadata().Brokers
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []candidate
	start := 0
	if len(brokers) > 0 {
		start = c.rand.IntN(len(brokers))
	}
	for i := range brokers {
		b := brokers[(start+i)%len(brokers)]
		l := c.link(b.ID, b.Addr)
		list = append(list, candidate{b.ID, b.Addr, l.conn != nil})
	}
	if n := len(c.o.Bootstrap); n > 0 {
		start = c.rand.IntN(n)
		for i := range n {
			at := (start + i) % n
			list = append(list, candidate{int32(-1 - at), c.o.Bootstrap[at], false})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		switch {
		case a.connected == b.connected:
			return 0
		case a.connected:
			return -1
		}
		return 1
	})
	return list
}

// metadataRequest asks for topics by name. No topics means none, not all. Topics are never created by asking.
func metadataRequest(topics []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	req.Topics = make([]kmsg.MetadataRequestTopic, 0, len(topics))
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// Any sends req to whichever broker answers first, trying one after another: only while the request was certainly not
// received does it go on to the next. timeout is for each.
func (c *Client) Any(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	var lastErr error = &Error{API: kmsg.NameForKey(req.Key()), Err: errNoBroker}
	for _, l := range c.candidates() {
		conn, err := c.connect(l.id, l.addr)
		if err == nil {
			var resp kmsg.Response
			if resp, err = conn.Do(req, timeout); err == nil || MaybeSent(err) {
				return resp, err
			}
		}
		lastErr = err
	}
	return nil, lastErr
}
