package zookeeper

import (
	"strconv"
	"strings"

	"barnabas/broker/wire"
)

// Paths of Kafka's znodes (kafka.zk.ZkData). None ends in a slash; all are below the chroot, which Store adds.
const (
	PathController         = "/controller"       // ephemeral, who the controller is
	PathControllerEpoch    = "/controller_epoch" // counts the controllers; its version fences their writes
	PathBrokerIDs          = "/brokers/ids"
	PathTopics             = "/brokers/topics"
	PathBrokerSequence     = "/brokers/seqid"
	PathDeleteTopics       = "/admin/delete_topics"
	PathReassignPartitions = "/admin/reassign_partitions"
	PathPreferredElection  = "/admin/preferred_replica_election"
	PathISRChanges         = "/isr_change_notification"
	PathLogDirEvents       = "/log_dir_event_notification"
	PathConfigChanges      = "/config/changes"
	PathClusterID          = "/cluster/id"
	PathProducerIDBlock    = "/latest_producer_id_block"
	PathFeature            = "/feature"
	PathConsumers          = "/consumers"
	PathReign              = "/barnabas_reign" // ours: Reign

	// Prefixes of sequential znodes; ZooKeeper appends ten digits.
	PrefixISRChange    = PathISRChanges + "/isr_change_"
	PrefixLogDirEvent  = PathLogDirEvents + "/log_dir_event_"
	PrefixConfigChange = PathConfigChanges + "/config_change_"
)

// Types of entities that have a configuration (ConfigType).
const (
	ConfigTopics  = "topics"
	ConfigClients = "clients"
	ConfigUsers   = "users"
	ConfigBrokers = "brokers"
	ConfigIPs     = "ips"
)

// ConfigDefaultEntity is the name under which a type's cluster-wide default stands (ZooKeeperInternals.DEFAULT_STRING).
const ConfigDefaultEntity = "<default>"

// PersistentPaths are the znodes that Kafka makes at start-up where they are missing (ZkData.PersistentZkPaths).
var PersistentPaths = []string{PathConsumers, PathBrokerIDs, PathTopics, PathConfigChanges, PathDeleteTopics,
	PathBrokerSequence, PathISRChanges, PathProducerIDBlock, PathLogDirEvents, PathConfigType(ConfigTopics),
	PathConfigType(ConfigClients), PathConfigType(ConfigUsers), PathConfigType(ConfigBrokers), PathConfigType(ConfigIPs),
	PathConfigType("client-metrics"), PathConfigType("groups")}

// PathBrokerID is where a broker registers. Its czxid is the broker epoch.
func PathBrokerID(id int32) string { return PathBrokerIDs + "/" + strconv.Itoa(int(id)) }

// PathTopic holds a topic's id and assignment.
func PathTopic(topic string) string { return PathTopics + "/" + topic }

// PathPartitions is the parent of a topic's partitions.
func PathPartitions(topic string) string { return PathTopic(topic) + "/partitions" }

// PathPartition is the parent of a partition's state.
func PathPartition(tp wire.TopicPartition) string {
	return PathPartitions(tp.Topic) + "/" + strconv.Itoa(int(tp.Partition))
}

// PathPartitionState holds a partition's leader and ISR. Its version is the partition epoch.
func PathPartitionState(tp wire.TopicPartition) string { return PathPartition(tp) + "/state" }

// PathDeleteTopic marks a topic for deletion.
func PathDeleteTopic(topic string) string { return PathDeleteTopics + "/" + topic }

// PathConfigType is the parent of the configurations of one type of entity.
func PathConfigType(entityType string) string { return "/config/" + entityType }

// PathConfig holds the configuration of one entity.
func PathConfig(entityType, entity string) string { return PathConfigType(entityType) + "/" + entity }

// parentPath is the path of a znode's parent, "" for one at the top.
func parentPath(path string) string { return path[:strings.LastIndexByte(path, '/')] }
