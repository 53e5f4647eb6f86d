package broker

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"barnabas/broker/api"
	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/controller"
	"barnabas/broker/env"
	"barnabas/broker/group"
	"barnabas/broker/log"
	"barnabas/broker/metadata"
	"barnabas/broker/partition"
	"barnabas/broker/purgatory"
	"barnabas/broker/quota"
	"barnabas/broker/replica"
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"
	"barnabas/broker/zookeeper"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	listenerName = "PLAINTEXT"
	noEpoch      = -1

	// startTimeout bounds the wait for ZooKeeper at the start, unless Options.ConnectTimeout does.
	startTimeout = 30 * time.Second
	// settleMax bounds the wait for brokers to hear what this one, if it is the controller, has told them at last.
	settleMax = time.Second
	// drainTimeout bounds the wait for replies in flight at the stop.
	drainTimeout = 2 * time.Second
)

var (
	evBrokerID       = env.NewKind("broker-id-found", env.Info, "broker")
	evStarted        = env.NewKind("broker-started", env.Info, "broker", "partitions", "start_ms")
	evRegistered     = env.NewKind("broker-registered", env.Info, "broker", "epoch")
	evIntact         = env.NewKind("broker-intact", env.Info, "broker", "epoch", "since")
	evIntactTrouble  = env.NewKind("broker-intact-trouble", env.Warn)
	evSessionExpired = env.NewKind("zookeeper-session-expired", env.Warn)
	evSessionRetry   = env.NewKind("zookeeper-session-retry", env.Warn)
	evStopping       = env.NewKind("broker-stopping", env.Info, "broker")
	evStopped        = env.NewKind("broker-stopped", env.Info, "broker")
	evTopicConfig    = env.NewKind("topic-config-ignored", env.Warn)
	evFailed         = env.NewKind("broker-failed", env.Error)
)

// Options are what a broker needs.
type Options struct {
	Env         env.Env
	Config      *config.Broker
	OpenSession zookeeper.Opener
	// ConnectTimeout bounds the wait for ZooKeeper at the start; 0 takes startTimeout. A command sets it from the configuration
	// (zookeeper.connection.timeout.ms); scenarios, which start brokers while ZooKeeper is out, leave it.
	ConnectTimeout time.Duration
	// ControllerEnv is the world in which this broker, as the controller, reaches brokers; nil takes Env. The simulator holds
	// these connections back apart from all others.
	ControllerEnv env.Env
	// ChannelEnv is the world in which this broker reaches the controller; nil takes Env.
	ChannelEnv env.Env
}

// Broker is one broker, for one life.
type Broker struct {
	e              env.Env
	cfg            *config.Broker
	openSession    zookeeper.Opener
	connectTimeout time.Duration // 0 takes startTimeout
	control        env.Env       // for the controller's connections
	toControl      env.Env       // for those to the controller

	logs       *log.Manager
	metadata   *metadata.Cache
	purgatory  *purgatory.Purgatory[wire.TopicPartition]
	replicas   *replica.Manager
	quotas     *quota.Clients
	addresses  atomic.Pointer[quota.Addresses]                      // nil before ZooKeeper was asked
	throttles  struct{ leader, follower, moves *quota.Replication } // of replication
	groups     *group.Coordinator
	txns       *txn.Coordinator
	peers      *peers
	controller *controller.Controller
	channel    *controllerChannel
	api        *api.API
	server     *server.Server
	listening  atomic.Pointer[server.Server] // the same, for those who may ask before it is there

	clusterID  string
	host       string // advertised
	port       int32
	epoch      atomic.Int64 // broker epoch of the last registration; noEpoch before the first
	registered atomic.Bool  // in a session that lives, as far as we know
	// firstEpoch is the broker epoch of this life's first registration, 0 before it.
	firstEpoch atomic.Int64
	intact     int64 // broker epoch since which nothing was lost, 0 before the first registration; of the task that registers
	ready      atomic.Bool
	features   atomic.Int64 // version of /feature, noFeatures for none

	mu     env.Mutex
	ended  env.Cond
	store  *zookeeper.Store
	stop   bool
	failed error

	configSeen int64 // number of the last note in /config/changes that was obeyed; of the task that keeps configs
}

// New makes a broker that has not started.
func New(o Options) *Broker {
	b := &Broker{e: o.Env, cfg: o.Config, openSession: o.OpenSession, connectTimeout: o.ConnectTimeout, control: o.ControllerEnv, toControl: o.ChannelEnv}
	if b.control == nil {
		b.control = b.e
	}
	if b.toControl == nil {
		b.toControl = b.e
	}
	b.mu = b.e.NewMutex()
	b.ended = b.e.NewCond(b.mu)
	b.epoch.Store(noEpoch)
	b.features.Store(noFeatures)
	b.configSeen = -1
	return b
}

// Run starts the broker and returns when it has stopped: nil after Stop, else why it could not go on. A broker whose
// log directories have all failed, and one that cannot keep its registration, stop by themselves.
func (b *Broker) Run() error {
	began := b.e.Mono()
	store, err := b.start()
	if err != nil {
		b.e.Emit(env.Event{Kind: evFailed, Text: err.Error()})
		b.abandon(store)
		return err
	}
	b.ready.Store(true)
	b.e.Emit(env.Event{Kind: evStarted, V: [4]int64{int64(b.cfg.BrokerID), int64(len(b.logs.List())), b.e.Mono().Sub(began).Milliseconds()}})
	b.e.Go("zookeeper-session", func() { b.keepRegistered(store) })
	err = b.awaitEnd()
	b.ready.Store(false)
	if err != nil {
		b.e.Emit(env.Event{Kind: evFailed, Text: err.Error()})
	}
	b.shutdown(err == nil)
	b.e.Emit(env.Event{Kind: evStopped, V: [4]int64{int64(b.cfg.BrokerID)}})
	return err
}

// Stop asks the broker to hand its leaderships over and stop; Run returns when it has.
func (b *Broker) Stop() {
	b.mu.Lock()
	b.stop = true
	b.ended.Broadcast()
	b.mu.Unlock()
}

// Ready reports whether the broker is registered and serves.
func (b *Broker) Ready() bool { return b.ready.Load() && b.registered.Load() }

// Replicas is the state of every replica on this broker, sorted, for an all-seeing checker; nil before the start. It
// takes no lock.
func (b *Broker) Replicas() []partition.State {
	if b.replicas == nil {
		return nil
	}
	return b.replicas.Snapshot()
}

// AppendReplicas is Replicas into room that is there.
func (b *Broker) AppendReplicas(states []partition.State) []partition.State {
	if b.replicas == nil {
		return states
	}
	return b.replicas.AppendSnapshot(states)
}

// Controlling reports whether this broker is the active controller, and in which epoch.
func (b *Broker) Controlling() (active bool, epoch int32) {
	if b.controller == nil {
		return false, -1
	}
	return b.controller.Active(), b.controller.Epoch()
}

// fail ends the broker because of err.
func (b *Broker) fail(err error) {
	b.mu.Lock()
	if b.failed == nil {
		b.failed = err
	}
	b.ended.Broadcast()
	b.mu.Unlock()
}

func (b *Broker) stopping() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stop || b.failed != nil
}

func (b *Broker) awaitEnd() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.stop && b.failed == nil {
		b.ended.Wait()
	}
	return b.failed
}

// start brings the parts up in Kafka's order: logs are recovered before anybody is told that the broker is there, and
// requests are served only once it is registered.
func (b *Broker) start() (*zookeeper.Store, error) {
	var err error
	if b.logs, err = log.OpenManager(b.e, b.cfg); err != nil {
		return nil, err
	}
	store, err := b.openFirstStore()
	if err != nil {
		return nil, err
	}
	if err := b.identify(store); err != nil {
		return store, err
	}
	b.metadata = metadata.New(b.e)
	b.purgatory = purgatory.New[wire.TopicPartition](b.e, "purgatory")
	b.quotas = quota.NewClients(b.e, quota.Windows(b.cfg.Quotas), quota.Windows(b.cfg.ControllerQuotas))
	replication := quota.Windows(b.cfg.ReplicationQuotas)
	b.throttles.leader, b.throttles.follower = quota.NewReplication(b.e, replication), quota.NewReplication(b.e, replication)
	b.throttles.moves = quota.NewReplication(b.e, quota.Windows(b.cfg.MoveQuotas))
	b.controller = controller.New(controller.Options{Env: b.e, Config: b.cfg, Metadata: b.metadata, Dial: b.dialBroker, Fatal: b.fail})
	b.channel = newControllerChannel(b.toControl, b.cfg, b.metadata)
	b.replicas = replica.NewManager(replica.Options{
		Env: b.e, Config: b.cfg, Logs: b.logs, Metadata: b.metadata, Purgatory: b.purgatory, BrokerEpoch: b.epoch.Load,
		AlterPartition: b.channel.alterPartition, TopicConfig: b.topicConfig, OnDirFailed: b.dirFailed, OnOffline: b.fail,
		LeaderThrottle: b.throttles.leader, FollowerThrottle: b.throttles.follower, MoveThrottle: b.throttles.moves,
		OnRole: b.roleChanged, OnDeleted: func(gone []wire.TopicPartition) { b.groups.TopicsDeleted(gone) },
	})
	b.groups = group.NewCoordinator(group.Options{Env: b.e, Config: b.cfg, Purgatory: b.purgatory, Partition: b.replicas.Partition,
		Partitions: b.offsetsPartitions})
	b.peers = newPeers(b.e, b.cfg, b.metadata)
	b.txns = txn.NewCoordinator(txn.Options{Env: b.e, Config: b.cfg, Purgatory: b.purgatory, Metadata: b.metadata, Partition: b.replicas.Partition,
		BrokerEpoch: b.epoch.Load, AllocateProducerIDs: b.allocateProducerIDs, Send: b.peers.send})
	b.api = api.New(api.Deps{
		Env: b.e, Config: b.cfg, ClusterID: b.clusterID, Listener: listenerName, Replicas: api.FromManager(b.replicas), Metadata: b.metadata,
		Controller: b.controller, Groups: b.groups, Txns: b.txns, Purgatory: b.purgatory, BrokerEpoch: b.epoch.Load, ToController: b.channel.do, TopicConfig: b.topicOverrides, Configs: b, Offsets: b, FeaturesEpoch: b.featuresEpoch,
		Quotas: b.quotas, LeaderThrottle: b.throttles.leader,
	})
	if _, port, err := config.SplitHostPort(b.cfg.ListenAddr); err == nil && port == 0 {
		if err := b.listen(); err != nil { // nobody can know the port yet, and we must tell it when we register
			return store, err
		}
	}
	if err := b.advertise(); err != nil {
		return store, err
	}
	b.logs.Start()
	b.replicas.Start()
	b.groups.Start()
	b.txns.Start()
	if err := b.register(store, true); err != nil {
		return store, err
	}
	if b.server == nil {
		if err := b.listen(); err != nil {
			return store, err
		}
	}
	b.server.Start()
	return store, nil
}

// listen binds the address. A known port is bound last, when requests can be served: who connects to a broker that is
// still starting, or waits for its old registration to go, is refused and turns to another at once (SocketServer).
func (b *Broker) listen() error {
	s, err := server.Listen(server.Options{
		Env: b.e, Addr: b.cfg.ListenAddr, Handle: b.api.Handle, FrameBytesMax: b.cfg.RequestBytesMax,
		InFlightMax: b.cfg.RequestsInFlightMax, IdleMax: b.cfg.ConnectionsIdleMax, Limits: b.connectionLimits, RateWindows: quota.Windows(b.cfg.Quotas),
	})
	if err == nil {
		b.server = s
		b.listening.Store(s)
	}
	return err
}

// connectionLimits are the bounds of connections as they are now.
func (b *Broker) connectionLimits() server.Limits {
	c := b.cfg.Live()
	return server.Limits{Connections: c.ConnectionsMax, PerAddress: c.ConnectionsPerAddressMax, Overrides: c.AddressOverrides(), Rate: c.ConnectionRateMax,
		AddressRate: func(address string) int { return b.addresses.Load().Bound(address) }}
}

// identify finds out which cluster and, if the configuration does not tell, which broker this is, and holds the log directories to it.
//
// Source: KafkaServer#startup, #getOrGenerateBrokerId.
func (b *Broker) identify(store *zookeeper.Store) error {
	if err := store.EnsurePersistentPaths(); err != nil {
		return err
	}
	proposed := b.cfg.ClusterID
	if proposed == "" {
		proposed = newClusterID(b.e.Rand("cluster-id"))
	}
	id, err := store.ClusterID(proposed)
	if err != nil {
		return err
	}
	b.clusterID = id
	broker, err := b.logs.VerifyMeta(log.Meta{ClusterID: id, BrokerID: b.cfg.BrokerID})
	if err != nil {
		return err
	}
	if broker < 0 {
		if broker, err = store.GenerateBrokerID(b.cfg.ReservedBrokerIDMax); err != nil {
			return fmt.Errorf("generate a broker.id: %w", err)
		}
	}
	if b.cfg.BrokerID < 0 {
		b.cfg.FoundBrokerID(broker)
		b.e.Emit(env.Event{Kind: evBrokerID, V: [4]int64{int64(broker)}})
	}
	return b.logs.SetMeta(log.Meta{ClusterID: id, BrokerID: b.cfg.BrokerID})
}

// newClusterID makes a random id in Kafka's form, 22 characters of base64url (Uuid).
func newClusterID(r *rand.Rand) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return zookeeper.FormatTopicID(id)
}

// advertise decides what others are told to connect to.
func (b *Broker) advertise() error {
	host, port, err := config.SplitHostPort(b.cfg.ListenAddr)
	if err != nil {
		return err
	}
	if b.server != nil {
		bound, boundPort, err := config.SplitHostPort(b.server.Addr())
		if err != nil {
			return err
		}
		if port = boundPort; host == "" {
			host = bound
		}
	}
	if b.cfg.AdvertisedHost != "" {
		host = b.cfg.AdvertisedHost
	}
	if b.cfg.AdvertisedPort != 0 {
		port = b.cfg.AdvertisedPort
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		return fmt.Errorf("listeners names no host to tell others; set advertised.listeners")
	}
	b.host, b.port = strings.Trim(host, "[]"), port
	return nil
}

// roleChanged tells the coordinators which of their partitions this broker leads.
func (b *Broker) roleChanged(tp wire.TopicPartition, leader bool, epoch int32) {
	switch {
	case tp.Topic == group.Topic && leader:
		b.groups.Elected(tp.Partition, epoch)
	case tp.Topic == group.Topic:
		b.groups.Resigned(tp.Partition)
	case tp.Topic == txn.Topic && leader:
		b.txns.Elected(tp.Partition, epoch)
	case tp.Topic == txn.Topic:
		b.txns.Resigned(tp.Partition)
	}
}

// allocateProducerIDs asks the controller, wherever it is, for a block of producer ids.
func (b *Broker) allocateProducerIDs(req *kmsg.AllocateProducerIDsRequest, timeout time.Duration) (*kmsg.AllocateProducerIDsResponse, error) {
	if b.controller.Active() {
		return b.controller.AllocateProducerIDs(req), nil
	}
	resp, err := b.channel.do(req, timeout)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.AllocateProducerIDsResponse), nil
}

// offsetsPartitions is how many partitions the groups' topic has, or will have when it is created.
func (b *Broker) offsetsPartitions() int32 {
	if t := b.metadata.Snapshot().Topic(group.Topic); t != nil {
		return int32(len(t.Partitions))
	}
	return b.cfg.OffsetsTopicPartitions
}

// shutdown stops the parts. A clean one hands leaderships over first, and leaves nothing to recover.
func (b *Broker) shutdown(clean bool) {
	b.e.Emit(env.Event{Kind: evStopping, V: [4]int64{int64(b.cfg.BrokerID)}})
	b.replicas.Leave()
	if clean && b.cfg.ControlledShutdownEnable {
		b.channel.controlledShutdown(b.cfg.BrokerID, b.epoch.Load())
		b.controller.Settle(b.e.Mono().Add(settleMax))
	}
	b.txns.Stop()
	b.groups.Stop()
	b.server.StopReading()
	b.replicas.Resign()
	b.server.Close(drainTimeout)
	b.controller.Stop()
	b.replicas.Shutdown()
	b.purgatory.Close()
	if err := b.logs.Shutdown(clean); err != nil {
		b.e.Emit(env.Event{Kind: evFailed, Text: err.Error()})
	}
	b.peers.close()
	b.channel.close()
	b.mu.Lock()
	b.stop = true
	store := b.store
	b.mu.Unlock()
	if store != nil {
		store.Close()
	}
}

// abandon undoes a start that failed half-way.
func (b *Broker) abandon(store *zookeeper.Store) {
	b.mu.Lock()
	b.stop = true
	b.mu.Unlock()
	if b.groups != nil {
		b.txns.Stop()
		b.groups.Stop()
		b.peers.close()
	}
	if b.server != nil {
		b.server.Close(0)
	}
	if b.logs != nil {
		if err := b.logs.Abandon(); err != nil {
			b.e.Emit(env.Event{Kind: evFailed, Text: err.Error()})
		}
	}
	if store != nil {
		store.Close()
	}
}

// dialBroker connects the controller to a broker.
func (b *Broker) dialBroker(addr string) (controller.Conn, error) {
	return client.Dial(b.control, addr, client.ConnOptions{
		ClientID:    fmt.Sprintf("controller-%d", b.cfg.BrokerID),
		DialTimeout: b.cfg.ControllerSocketTimeout, RequestTimeout: b.cfg.ControllerSocketTimeout,
	})
}

// topicOverrides reads a topic's own configuration from ZooKeeper, waiting for a session while there is none.
func (b *Broker) topicOverrides(topic string) (map[string]string, error) {
	return b.EntityConfig(zookeeper.ConfigTopics, topic)
}

// topicConfig is a topic's whole configuration: the broker's defaults with the topic's own over them. What cannot be
// read, or does not hold, leaves the defaults, and says so.
func (b *Broker) topicConfig(topic string) config.Topic {
	overrides, err := b.topicOverrides(topic)
	if err == nil {
		var t config.Topic
		if t, err = b.cfg.TopicDefaults().WithOverrides(overrides); err == nil {
			return t
		}
	}
	b.e.Emit(env.Event{Kind: evTopicConfig, Topic: topic, Text: err.Error()})
	return b.cfg.TopicDefaults()
}
