package broker

import (
	"errors"
	"fmt"
	"time"

	"barnabas/broker/env"
	"barnabas/broker/zookeeper"
)

// sessionRetry is the pause between tries to open a ZooKeeper session.
const sessionRetry = 500 * time.Millisecond

// keepRegistered lives through one ZooKeeper session after the other: register in it, take part in the election of
// the controller, hear its events until it is over. It returns when the broker is stopping.
//
// A new session is a new registration and so a new broker epoch: the controller treats the broker as bounced, which is
// what makes requests that were meant for the old registration stale (KAFKA-7235).
// Source: KafkaController's StateChangeHandler, before- and afterInitializingSession.
func (b *Broker) keepRegistered(store *zookeeper.Store) {
	for {
		ended := store.Run()
		b.controller.Stop()
		b.registered.Store(false) // the epoch stays until there is a newer one: it still tells old requests from new
		if ended == zookeeper.StateClosed || b.stopping() {
			return
		}
		b.e.Emit(env.Event{Kind: evSessionExpired})
		store = b.openStoreAgain()
		if store == nil {
			return
		}
	}
}

// openStoreAgain opens a session and registers in it, as often as it takes. nil when the broker is stopping.
func (b *Broker) openStoreAgain() *zookeeper.Store {
	for !b.stopping() {
		store, err := b.openStore(env.Never)
		if err == nil {
			if err = b.register(store, false); err == nil {
				return store
			}
			store.Close()
		}
		b.e.Emit(env.Event{Kind: evSessionRetry, Text: err.Error()})
		b.e.Sleep(sessionRetry)
	}
	return nil
}

// openFirstStore opens the session of the start, which must not take for ever.
//
// Source: KafkaServer#initZkClient, ZooKeeperClient#waitUntilConnected.
func (b *Broker) openFirstStore() (*zookeeper.Store, error) {
	if b.connectTimeout <= 0 {
		return b.openStore(b.e.Mono().Add(startTimeout))
	}
	store, err := b.openStore(b.e.Mono().Add(b.connectTimeout))
	if err != nil && err != errStopped {
		err = fmt.Errorf("%w: it did not answer in %v (zookeeper.connection.timeout.ms); start it, or correct zookeeper.connect", err, b.connectTimeout)
	}
	return store, err
}

// openStore opens a session by the deadline.
func (b *Broker) openStore(deadline env.Instant) (*zookeeper.Store, error) {
	timeout := time.Duration(b.cfg.ZookeeperSessionMs) * time.Millisecond
	for {
		session, err := b.openSession(b.e, b.cfg.ZookeeperConnect, b.cfg.ZookeeperSessionMs, min(deadline, b.e.Mono().Add(timeout)))
		if err == nil {
			store := zookeeper.NewStore(b.e, session, zookeeper.StoreOptions{Chroot: b.cfg.ZookeeperChroot, SessionTimeout: timeout, Bugs: b.cfg.Bugs, Reigns: b.cfg.EligibleLeaderReplicas, Next: b.nextSession})
			return store, nil
		}
		if b.stopping() {
			return nil, errStopped
		}
		if b.e.Mono() >= deadline {
			return nil, fmt.Errorf("no ZooKeeper session with %v: %w", b.cfg.ZookeeperConnect, err)
		}
		b.e.Sleep(sessionRetry)
	}
}

// register writes /brokers/ids/N and joins the election of the controller. It waits out this broker's own node of an
// earlier session (KAFKA-7165). starting tells that it is the first time, and nobody is served yet.
func (b *Broker) register(store *zookeeper.Store, starting bool) error {
	info := zookeeper.BrokerInfo{
		Since: b.firstEpoch.Load(), ID: b.cfg.BrokerID, Rack: b.cfg.Rack, JmxPort: -1, Version: 5, Timestamp: b.e.Now().UnixMilli(),
		Endpoints: []zookeeper.Endpoint{{Listener: listenerName, Protocol: listenerName, Host: b.host, Port: b.port}},
	}
	if err := b.obeyFeatures(store); err != nil {
		return err
	}
	if b.cfg.EligibleLeaderReplicas {
		info.Intact = b.intactSince()
	}
	epoch, err := store.RegisterBroker(info)
	if err != nil {
		return fmt.Errorf("register broker %d: %w", b.cfg.BrokerID, err)
	}
	b.epoch.Store(epoch)
	b.registered.Store(true)
	b.firstEpoch.CompareAndSwap(0, epoch)
	b.setStore(store)
	b.e.Emit(env.Event{Kind: evRegistered, V: [4]int64{int64(b.cfg.BrokerID), epoch}})
	if b.cfg.EligibleLeaderReplicas {
		b.vouch(info.Intact, epoch)
	}
	b.keepConfigs(store, starting)
	b.controller.Start(store)
	return nil
}

// intactSince is the epoch since which this broker has lost nothing, as a registration says it.
func (b *Broker) intactSince() int64 {
	since, kept := b.logs.Intact()
	switch {
	case !kept: // a directory has failed in this life
		return zookeeper.IntactSinceNow
	case b.intact > 0:
		return b.intact
	case since > 0:
		return since
	}
	return zookeeper.IntactSinceNow
}

// vouch leaves word for the next life of what a registration said, which got that epoch. Nobody waits for it: without it the next life
// is not believed.
func (b *Broker) vouch(since, epoch int64) {
	if since == zookeeper.IntactSinceNow {
		since = epoch
	}
	b.intact = since
	b.e.Emit(env.Event{Kind: evIntact, V: [4]int64{int64(b.cfg.BrokerID), epoch, since}})
	b.e.Go("vouch", func() {
		if err := b.logs.Vouch(since, epoch); err != nil {
			b.e.Emit(env.Event{Kind: evIntactTrouble, Text: err.Error()}) // the directory is offline by now
		}
	})
}

// nextSession waits for the session after one that has expired, nil if the broker stops. It is for bug.ZKUnfenced alone.
func (b *Broker) nextSession(old zookeeper.Session) zookeeper.Session {
	for !b.stopping() {
		b.mu.Lock()
		store := b.store
		b.mu.Unlock()
		if store != nil && store.Session() != old && b.registered.Load() {
			return store.Session()
		}
		b.e.Sleep(sessionRetry / 10)
	}
	return nil
}

func (b *Broker) setStore(store *zookeeper.Store) {
	b.mu.Lock()
	b.store = store
	b.mu.Unlock()
}

var errStopped = errors.New("the broker is stopping")
