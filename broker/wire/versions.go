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

// Served is what ApiVersions answers: the keys that we serve and their versions, in the order of the keys.
func Served() []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, api := range served {
		if api == nil {
			continue
		}
		row := kmsg.NewApiVersionsResponseApiKey()
		row.ApiKey, row.MinVersion, row.MaxVersion = api.Key, api.Min, api.Max
		keys = append(keys, row)
	}
	return keys
}

// served is indexed by API key. Its maxima are those of Kafka 3.9 in ZooKeeper mode.
var served = index(
	API{Key: int16(kmsg.Produce), Min: 0, Max: 11, request: shapeProduce, response: answerProduce},
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
