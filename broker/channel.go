package broker

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/env"
	"barnabas/broker/metadata"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var evControlledShutdown = env.NewKind("controlled-shutdown", env.Info, "remaining")

// errNoController is what a request to the controller fails with while nobody is known to be it.
var errNoController = errors.New("no controller is known")

// controllerChannel sends this broker's requests to the controller, wherever the metadata say it is.
//
// Source: BrokerToControllerChannelManager.
type controllerChannel struct {
	e     env.Env
	cfg   *config.Broker
	cache *metadata.Cache

	mu     env.Mutex
	conn   *client.Conn
	closed bool
}

func newControllerChannel(e env.Env, cfg *config.Broker, cache *metadata.Cache) *controllerChannel {
	return &controllerChannel{e: e, cfg: cfg, cache: cache, mu: e.NewMutex()}
}

// do sends req and waits for the answer. It retries nothing: who asks knows whether that is safe.
func (c *controllerChannel) do(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	conn, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("to the controller: %w", err)
	}
	return conn.Do(req, timeout)
}

// connect returns the connection to the present controller, dialling if there is none.
func (c *controllerChannel) connect() (*client.Conn, error) {
	snapshot := c.cache.Snapshot()
	broker := snapshot.Broker(snapshot.ControllerID)
	if broker == nil {
		return nil, errNoController
	}
	endpoint := broker.Endpoint(listenerName)
	if endpoint == nil {
		return nil, errNoController
	}
	addr := config.JoinHostPort(endpoint.Host, endpoint.Port)
	c.mu.Lock()
	old := c.conn
	if old != nil && old.Addr() == addr && !old.Broken() {
		defer c.mu.Unlock()
		return old, nil
	}
	c.conn = nil
	closed := c.closed
	c.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if closed {
		return nil, env.ErrClosed
	}
	conn, err := client.Dial(c.e, addr, client.ConnOptions{ClientID: fmt.Sprintf("broker-%d", c.cfg.BrokerID),
		DialTimeout: c.cfg.ControllerSocketTimeout, RequestTimeout: c.cfg.ControllerSocketTimeout})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, env.ErrClosed
	}
	if c.conn != nil { // another task was faster; its requests are under way
		conn.Close()
		return c.conn, nil
	}
	c.conn = conn
	return conn, nil
}

func (c *controllerChannel) close() {
	c.mu.Lock()
	conn := c.conn
	c.conn, c.closed = nil, true
	c.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

func (c *controllerChannel) alterPartition(req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	resp, err := c.do(req, c.cfg.ControllerSocketTimeout)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.AlterPartitionResponse), nil
}

// controlledShutdown asks the controller to move every leadership away, a few times, and then leaves it.
//
// Source: KafkaServer#controlledShutdown.
func (c *controllerChannel) controlledShutdown(broker int32, epoch int64) {
	for try := 1; try <= c.cfg.ControlledShutdownRetriesMax; try++ {
		req := kmsg.NewPtrControlledShutdownRequest()
		req.Version = 3
		req.BrokerID, req.BrokerEpoch = broker, epoch
		resp, err := c.do(req, c.cfg.ControllerSocketTimeout)
		if err == nil {
			answer := resp.(*kmsg.ControlledShutdownResponse)
			err = kerr.ErrorForCode(answer.ErrorCode)
			c.e.Emit(env.Event{Kind: evControlledShutdown, V: [4]int64{int64(len(answer.PartitionsRemaining))}, Text: text(err)})
			if err == nil && len(answer.PartitionsRemaining) == 0 || errors.Is(err, kerr.StaleBrokerEpoch) {
				return
			}
		} else {
			c.e.Emit(env.Event{Kind: evControlledShutdown, V: [4]int64{-1}, Text: text(err)})
		}
		if try < c.cfg.ControlledShutdownRetriesMax {
			c.e.Sleep(c.cfg.ControlledShutdownRetryBackoff)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
