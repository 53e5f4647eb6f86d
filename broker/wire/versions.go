package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one API key with the versions that we serve, both ends included.
type API struct {
	Key      int16
	Min, Max int16

	request, response shape
}

// Versions tells which versions of key we serve; ok is false for a key that we do not serve.
func Versions(key int16) (min, max int16, ok bool) {
	if key < 0 || int(key) >= len(served) || served[key] == nil {
		return 0, 0, false
	}
	return served[key].Min, served[key].Max, true
}

// FeatureTransactionVersion is the name of the feature that transactions of KIP-890 come with, and TransactionV2 the level at
// which each ends with a new producer epoch.
const (
	FeatureTransactionVersion       = "transaction.version"
	TransactionV2             int16 = 2
)

// withoutV2 are the highest versions of requests while transaction.version is below 2: the next ones say that the client relies
// on it.
var withoutV2 = map[int16]int16{int16(kmsg.Produce): 11, int16(kmsg.EndTxn): 4, int16(kmsg.TxnOffsetCommit): 4}

// Allowed reports whether a version of a request that we serve may be used at a level of transaction.version.
func Allowed(key, version, transactionVersion int16) bool {
	max, limited := withoutV2[key]
	return !limited || transactionVersion >= TransactionV2 || version <= max
}

// Served is what ApiVersions answers at a level of transaction.version: the keys that we serve and their versions, in the order
// of the keys.
func Served(transactionVersion int16) []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, api := range served {
		if api == nil {
			continue
		}
		row := kmsg.NewApiVersionsResponseApiKey()
		row.ApiKey, row.MinVersion, row.MaxVersion = api.Key, api.Min, api.Max
		if max, limited := withoutV2[api.Key]; limited && transactionVersion < TransactionV2 {
			row.MaxVersion = max
		}
		keys = append(keys, row)
	}
	return keys
}

// served is indexed by API key. Its maxima are those of Kafka 3.9 in ZooKeeper mode, and those that come with transaction.version=2.
//
// DEVIATION(KIP-380): Kafka 3.9 reads LeaderAndIsr, StopReplica and UpdateMetadata from v0 on. Those below v2, v1 and v5 carry no broker epoch: nobody
// can tell whether such a request is meant for an earlier life of the broker. Controllers send them that are older than Kafka 2.2.
var served = index(
	API{Key: int16(kmsg.Produce), Min: 0, Max: 12, request: shapeProduce, response: answerProduce},
	API{Key: int16(kmsg.Fetch), Min: 0, Max: 17, request: shapeFetch, response: answerFetch},
	API{Key: int16(kmsg.ListOffsets), Min: 0, Max: 9, request: shapeListOffsets, response: answerListOffsets},
	API{Key: int16(kmsg.Metadata), Min: 0, Max: 12, request: shapeMetadata, response: answerMetadata},
	API{Key: int16(kmsg.LeaderAndISR), Min: 2, Max: 7, request: shapeLeaderAndISR, response: answerLeaderAndISR},
	API{Key: int16(kmsg.StopReplica), Min: 1, Max: 4, request: shapeStopReplica, response: answerStopReplica},
	API{Key: int16(kmsg.UpdateMetadata), Min: 5, Max: 8, request: shapeUpdateMetadata, response: answerUpdateMetadata},
	API{Key: int16(kmsg.ControlledShutdown), Min: 0, Max: 3, request: shapeControlledShutdown, response: answerControlledShutdown},
	API{Key: int16(kmsg.ApiVersions), Min: 0, Max: 4, request: shapeAPIVersions, response: answerAPIVersions},
	API{Key: int16(kmsg.CreateTopics), Min: 0, Max: 7, request: shapeCreateTopics, response: answerCreateTopics},
	API{Key: int16(kmsg.DeleteTopics), Min: 0, Max: 6, request: shapeDeleteTopics, response: answerDeleteTopics},
	API{Key: int16(kmsg.DeleteRecords), Min: 0, Max: 2, request: shapeDeleteRecords, response: answerDeleteRecords},
	API{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5, request: shapeInitProducerID, response: answerInitProducerID},
	API{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 0, Max: 4, request: shapeOffsetForLeaderEpoch, response: answerOffsetForLeaderEpoch},
	API{Key: int16(kmsg.DescribeConfigs), Min: 0, Max: 4, request: shapeDescribeConfigs, response: answerDescribeConfigs},
	API{Key: int16(kmsg.AlterReplicaLogDirs), Min: 0, Max: 2, request: shapeAlterReplicaLogDirs, response: answerAlterReplicaLogDirs},
	API{Key: int16(kmsg.DescribeLogDirs), Min: 0, Max: 4, request: shapeDescribeLogDirs, response: answerDescribeLogDirs},
	API{Key: int16(kmsg.AlterPartition), Min: 0, Max: 3, request: shapeAlterPartition, response: answerAlterPartition},
	API{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 1, request: shapeDescribeCluster, response: answerDescribeCluster},
	API{Key: int16(kmsg.AlterConfigs), Min: 0, Max: 2, request: shapeAlterConfigs, response: answerAlterConfigs},
	API{Key: int16(kmsg.CreatePartitions), Min: 0, Max: 3, request: shapeCreatePartitions, response: answerCreatePartitions},
	API{Key: int16(kmsg.ElectLeaders), Min: 0, Max: 2, request: shapeElectLeaders, response: answerElectLeaders},
	API{Key: int16(kmsg.IncrementalAlterConfigs), Min: 0, Max: 1, request: shapeIncrementalAlterConfigs, response: answerIncrementalAlterConfigs},
	API{Key: int16(kmsg.AlterPartitionAssignments), Min: 0, Max: 0, request: shapeAlterReassignments, response: answerAlterReassignments},
	API{Key: int16(kmsg.ListPartitionReassignments), Min: 0, Max: 0, request: shapeListReassignments, response: answerListReassignments},
	API{Key: int16(kmsg.AllocateProducerIDs), Min: 0, Max: 0, request: shapeAllocateProducerIDs, response: answerAllocateProducerIDs},
	API{Key: int16(kmsg.OffsetCommit), Min: 0, Max: 9, request: shapeOffsetCommit, response: answerOffsetCommit},
	API{Key: int16(kmsg.OffsetFetch), Min: 0, Max: 9, request: shapeOffsetFetch, response: answerOffsetFetch},
	API{Key: int16(kmsg.FindCoordinator), Min: 0, Max: 6, request: shapeFindCoordinator, response: answerFindCoordinator},
	API{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9, request: shapeJoinGroup, response: answerJoinGroup},
	API{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4, request: shapeHeartbeat, response: answerHeartbeat},
	API{Key: int16(kmsg.LeaveGroup), Min: 0, Max: 5, request: shapeLeaveGroup, response: answerLeaveGroup},
	API{Key: int16(kmsg.SyncGroup), Min: 0, Max: 5, request: shapeSyncGroup, response: answerSyncGroup},
	API{Key: int16(kmsg.DescribeGroups), Min: 0, Max: 5, request: shapeDescribeGroups, response: answerDescribeGroups},
	API{Key: int16(kmsg.ListGroups), Min: 0, Max: 5, request: shapeListGroups, response: answerListGroups},
	API{Key: int16(kmsg.DeleteGroups), Min: 0, Max: 2, request: shapeDeleteGroups, response: answerDeleteGroups},
	API{Key: int16(kmsg.AddPartitionsToTxn), Min: 0, Max: 5, request: shapeAddPartitionsToTxn, response: answerAddPartitionsToTxn},
	API{Key: int16(kmsg.AddOffsetsToTxn), Min: 0, Max: 4, request: shapeAddOffsetsToTxn, response: answerAddOffsetsToTxn},
	API{Key: int16(kmsg.EndTxn), Min: 0, Max: 5, request: shapeEndTxn, response: answerEndTxn},
	API{Key: int16(kmsg.WriteTxnMarkers), Min: 0, Max: 1, request: shapeWriteTxnMarkers, response: answerWriteTxnMarkers},
	API{Key: int16(kmsg.TxnOffsetCommit), Min: 0, Max: 5, request: shapeTxnOffsetCommit, response: answerTxnOffsetCommit},
	API{Key: int16(kmsg.DescribeProducers), Min: 0, Max: 0, request: shapeDescribeProducers, response: answerDescribeProducers},
	API{Key: int16(kmsg.DescribeTransactions), Min: 0, Max: 0, request: shapeDescribeTransactions, response: answerDescribeTransactions},
	API{Key: int16(kmsg.ListTransactions), Min: 0, Max: 1, request: shapeListTransactions, response: answerListTransactions},
	API{Key: int16(kmsg.DescribeClientQuotas), Min: 0, Max: 1, request: shapeDescribeClientQuotas, response: answerDescribeClientQuotas},
	API{Key: int16(kmsg.AlterClientQuotas), Min: 0, Max: 1, request: shapeAlterClientQuotas, response: answerAlterClientQuotas},
	API{Key: int16(kmsg.UpdateFeatures), Min: 0, Max: 1, request: shapeUpdateFeatures, response: answerUpdateFeatures},
	API{Key: int16(kmsg.OffsetDelete), Min: 0, Max: 0, request: shapeOffsetDelete, response: answerOffsetDelete},
)

func index(apis ...API) []*API {
	var table []*API
	for i := range apis {
		api := &apis[i]
		for len(table) <= int(api.Key) {
			table = append(table, nil)
		}
		if table[api.Key] != nil {
			panic(fmt.Sprintf("wire: key %d is listed twice", api.Key))
		}
		table[api.Key] = api
	}
	return table
}
