package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one API key with the versions that we serve, both ends included.
type API struct {
	Key      int16
	Min, Max int16
	shape    shape
}

// Versions tells which versions of key we serve; ok is false for a key that we do not serve.
func Versions(key int16) (min, max int16, ok bool) {
	if key < 0 || int(key) >= len(served) || served[key] == nil {
		return 0, 0, false
	}
	return served[key].Min, served[key].Max, true
}

// Served is what ApiVersions answers: the keys that we serve and their versions, in the order of the keys.
//
// Produce is told from version 0 although the old message formats of 0 to 2 are not served: librdkafka takes a higher
// minimum to mean that the broker knows no compression (KAFKA-18659, ApiKeys#PRODUCE_API_VERSIONS_RESPONSE_MIN_VERSION).
func Served() []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, api := range served {
		if api == nil {
			continue
		}
		row := kmsg.NewApiVersionsResponseApiKey()
		row.ApiKey, row.MinVersion, row.MaxVersion = api.Key, api.Min, api.Max
		if kmsg.Key(api.Key) == kmsg.Produce {
			row.MinVersion = 0
		}
		keys = append(keys, row)
	}
	return keys
}

// served is indexed by API key. Its maxima are those of Kafka 3.9 in ZooKeeper mode.
var served = index(
	API{Key: int16(kmsg.Produce), Min: 3, Max: 11, shape: shapeProduce},
	API{Key: int16(kmsg.Fetch), Min: 4, Max: 17, shape: shapeFetch},
	API{Key: int16(kmsg.ListOffsets), Min: 1, Max: 9, shape: shapeListOffsets},
	API{Key: int16(kmsg.Metadata), Min: 0, Max: 12, shape: shapeMetadata},
	API{Key: int16(kmsg.LeaderAndISR), Min: 2, Max: 7, shape: shapeLeaderAndISR},
	API{Key: int16(kmsg.StopReplica), Min: 1, Max: 4, shape: shapeStopReplica},
	API{Key: int16(kmsg.UpdateMetadata), Min: 5, Max: 8, shape: shapeUpdateMetadata},
	API{Key: int16(kmsg.ControlledShutdown), Min: 0, Max: 3, shape: shapeControlledShutdown},
	API{Key: int16(kmsg.ApiVersions), Min: 0, Max: 4, shape: shapeAPIVersions},
	API{Key: int16(kmsg.CreateTopics), Min: 0, Max: 7, shape: shapeCreateTopics},
	API{Key: int16(kmsg.DeleteTopics), Min: 0, Max: 6, shape: shapeDeleteTopics},
	API{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5, shape: shapeInitProducerID},
	API{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 0, Max: 4, shape: shapeOffsetForLeaderEpoch},
	API{Key: int16(kmsg.DescribeConfigs), Min: 0, Max: 4, shape: shapeDescribeConfigs},
	API{Key: int16(kmsg.AlterPartition), Min: 0, Max: 3, shape: shapeAlterPartition},
	API{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 1, shape: shapeDescribeCluster},
	API{Key: int16(kmsg.AllocateProducerIDs), Min: 0, Max: 0, shape: shapeAllocateProducerIDs},
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
