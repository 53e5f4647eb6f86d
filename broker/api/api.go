package api

import (
	"sync/atomic"
	"time"

	"barnabas/broker/assert"
	"barnabas/broker/config"
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

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Deps is what the handlers work with. All fields are required but TopicConfig.
type Deps struct {
	Env       env.Env
	Config    *config.Broker
	ClusterID string
	// Listener is the name of the listener that clients come in by ("PLAINTEXT"): responses name endpoints of it.
	Listener   string
	Replicas   Replicas
	Metadata   *metadata.Cache
	Controller Controller
	// Purgatory is the one that the replicas notify.
	Purgatory *purgatory.Purgatory[wire.TopicPartition]
	// Groups coordinates the groups of this broker.
	Groups *group.Coordinator
	// Txns coordinates the transactions of this broker, verifies those that its partitions are part of, and hands out producer ids.
	Txns *txn.Coordinator
	// BrokerEpoch is this broker's epoch, -1 before registration.
	BrokerEpoch func() int64
	// ToController sends a request to the controller, wherever it is, and waits for the answer; timeout is in all.
	ToController func(req kmsg.Request, timeout time.Duration) (kmsg.Response, error)
	// TopicConfig reads the configs set for a topic (/config/topics), none if there are none. nil: there never are.
	TopicConfig func(topic string) (map[string]string, error)
	Configs     Configs
	// Quotas are the client quotas. nil: there are none.
	Quotas *quota.Clients
	// LeaderThrottle bounds what followers that catch up are sent (KIP-73). nil: nothing does.
	LeaderThrottle *quota.Replication
	Offsets        ConsumerOffsets
	// FeaturesEpoch is the version of /feature, -1 without one. No features are finalized there that this broker could tell of: it supports
	// none. nil: there is none.
	FeaturesEpoch func() int64
}

// Configs is where configs set at run time are kept (/config in ZooKeeper): *zookeeper.Store is nearly one. Both methods wait for
// ZooKeeper.
type Configs interface {
	// EntityConfig reads what is set for an entity, empty if nothing is.
	EntityConfig(entityType, entity string) (map[string]string, error)
	// SetEntityConfig replaces it and tells all brokers.
	SetEntityConfig(entityType, entity string, configs map[string]string) error
	// QuotaEntities reads the bounds of all users, clients and IP addresses.
	QuotaEntities() (map[quota.Entity]map[string]string, error)
}

// Replicas is this broker's partitions: FromManager makes one.
type Replicas interface {
	// Partition returns a hosted partition. Errors: those of replica.Manager.
	Partition(tp wire.TopicPartition) (Partition, error)
	BecomeLeaderOrFollower(*kmsg.LeaderAndISRRequest) *kmsg.LeaderAndISRResponse
	StopReplicas(*kmsg.StopReplicaRequest) *kmsg.StopReplicaResponse
	UpdateMetadata(*kmsg.UpdateMetadataRequest) *kmsg.UpdateMetadataResponse
	LogDirs() []log.DirInfo
	// AlterReplicaLogDirs begins moves, and returns an error, or nil, for each.
	AlterReplicaLogDirs([]replica.Move) []error
}

// Partition is one partition as the handlers need it: a *partition.Partition.
type Partition interface {
	TopicID() [16]byte
	Leader() (id, epoch int32)
	AppendAsLeader(batches []byte, o partition.AppendOptions) (partition.AppendResult, error)
	Replicated(requiredOffset int64, leaderEpoch int32) (done bool, err error)
	Read(partition.ReadOptions) (partition.ReadResult, error)
	Available(o partition.ReadOptions, wanted int64) (bytes int64, done bool)
	OffsetForLeaderEpoch(currentLeaderEpoch, epoch int32) (partition.EpochEnd, error)
	ListOffset(partition.ListOptions) (partition.ListResult, error)
	BeginVerification(producer int64, epoch int16, sequence int32) (*log.Guard, error)
	ActiveProducers() ([]log.ActiveProducer, error)
	DeleteRecords(offset int64) (int64, error)
	LowWatermark() (int64, error)
	InSync(broker int32) bool
	ReadReplicas(offset int64) []partition.ReadReplica
}

// Controller decides about the cluster: a *controller.Controller. Its methods wait for the decision.
type Controller interface {
	Active() bool
	CreateTopics(*kmsg.CreateTopicsRequest, func(partitions int) bool) *kmsg.CreateTopicsResponse
	DeleteTopics(*kmsg.DeleteTopicsRequest, func(partitions int) bool) *kmsg.DeleteTopicsResponse
	AlterPartition(*kmsg.AlterPartitionRequest) *kmsg.AlterPartitionResponse
	ControlledShutdown(*kmsg.ControlledShutdownRequest) *kmsg.ControlledShutdownResponse
	AllocateProducerIDs(*kmsg.AllocateProducerIDsRequest) *kmsg.AllocateProducerIDsResponse
	CreatePartitions(*kmsg.CreatePartitionsRequest, func(partitions int) bool) *kmsg.CreatePartitionsResponse
	AlterPartitionReassignments(*kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse
	ListPartitionReassignments(*kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse
	ElectLeaders(*kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse
	UpdateFeatures(*kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse
}

// API answers requests. Its Handle is what a server.Server calls; many tasks may be in it at once.
type API struct {
	Deps
	sessions  *sessionCache
	creations *creations

	patience atomic.Int64 // until when clients wait for the first metadata (env.Instant), 0 before the first asks
}

// New makes the handlers.
func New(d Deps) *API {
	return &API{Deps: d, sessions: newSessionCache(d.Env, d.Config.FetchSessionSlots), creations: newCreations(d)}
}

// Handle runs the ordered part of a request (server.Handler).
func (a *API) Handle(r *server.Request) server.Reply {
	handle := routes[r.Header.Key]
	assert.That(handle != nil, "INV-API-ROUTE: key %d is served", r.Header.Key)
	if !wire.Allowed(r.Header.Key, r.Header.Version, a.Config.TransactionVersion) {
		return server.HangUp() // as with every version that is not served
	}
	a.awaitMetadata(r.Body)
	return a.metered(r, handle)
}

// metadataPatience bounds how long clients of a broker that has just started wait until the controller has told it what there is.
const metadataPatience = 5 * time.Second

// awaitMetadata has clients of a broker that has just started wait until it knows what there is.
//
// DEVIATION(KIP-500): Kafka's brokers answer at once, out of an empty cache: that every topic is unknown, and every coordinator not
// available, of which clients give up on the spot. Its brokers of KRaft mode serve no client before they have caught up with the metadata
// (BrokerLifecycleManager#initialCatchUpFuture); so do ours, for as long as a controller may be expected to speak.
func (a *API) awaitMetadata(req kmsg.Request) {
	if a.Metadata.Snapshot().ControllerID != metadata.NoController || ofBroker(req) {
		return
	}
	if _, ok := req.(*kmsg.ApiVersionsRequest); ok {
		return
	}
	a.patience.CompareAndSwap(0, int64(a.Env.Mono().Add(metadataPatience)))
	a.Metadata.WaitUntil(env.Instant(a.patience.Load()), func(s *metadata.Snapshot) bool { return s.ControllerID != metadata.NoController })
}

// routes is indexed by API key; what is served but not here would be a mistake of ours (TestEveryServedKeyHasAHandler).
var routes = index(
	produceRoute, fetchRoute, listOffsetsRoute, metadataRoute, leaderAndISRRoute, stopReplicaRoute, updateMetadataRoute,
	controlledShutdownRoute, apiVersionsRoute, createTopicsRoute, deleteTopicsRoute, initProducerIDRoute,
	offsetForLeaderEpochRoute, describeConfigsRoute, alterPartitionRoute, describeClusterRoute, allocateProducerIDsRoute,
	offsetCommitRoute, offsetFetchRoute, findCoordinatorRoute, joinGroupRoute, heartbeatRoute, leaveGroupRoute, syncGroupRoute,
	describeGroupsRoute, listGroupsRoute, deleteGroupsRoute, offsetDeleteRoute,
	createPartitionsRoute, alterReassignmentsRoute, listReassignmentsRoute, electLeadersRoute, updateFeaturesRoute, alterConfigsRoute,
	incrementalAlterConfigsRoute,
	deleteRecordsRoute, describeLogDirsRoute, alterReplicaLogDirsRoute,
	addPartitionsToTxnRoute, addOffsetsToTxnRoute, endTxnRoute, writeTxnMarkersRoute, txnOffsetCommitRoute,
	describeClientQuotasRoute, alterClientQuotasRoute,
	describeProducersRoute, describeTransactionsRoute, listTransactionsRoute,
)

type handler func(*API, *server.Request) server.Reply

// route is an API key with its handler; versions are wire's matter, and named at the head of each handler's file.
type route struct {
	key    kmsg.Key
	handle handler
}

// on makes a route of a handler of one kind of request.
func on[R kmsg.Request](key kmsg.Key, handle func(*API, *server.Request, R) server.Reply) route {
	return route{key: key, handle: func(a *API, r *server.Request) server.Reply { return handle(a, r, r.Body.(R)) }}
}

func index(all ...route) []handler {
	var table []handler
	for _, r := range all {
		for len(table) <= int(r.key) {
			table = append(table, nil)
		}
		assert.That(table[r.key] == nil, "INV-API-ROUTE: key %d has one handler", r.key)
		table[r.key] = r.handle
	}
	return table
}

// millis is a duration from the wire; negative means none.
func millis(ms int32) time.Duration { return time.Duration(max(ms, 0)) * time.Millisecond }

// text is a nullable string with err's words, null for nil.
func text(err error) *string {
	if err == nil {
		return nil
	}
	words := err.Error()
	return &words
}
