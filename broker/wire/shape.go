package wire

type shape struct{}

func (s shape) check(body []byte, version int16) error { panic("unfinished") }
func (s shape) flexible(version int16) bool            { panic("unfinished") }
func skipTags(b []byte) ([]byte, error)                { panic("unfinished") }

var shapeProduce, shapeFetch, shapeListOffsets, shapeMetadata, shapeLeaderAndISR, shapeStopReplica, shapeUpdateMetadata, shapeControlledShutdown, shapeAPIVersions, shapeCreateTopics, shapeDeleteTopics, shapeInitProducerID, shapeOffsetForLeaderEpoch, shapeDescribeConfigs, shapeAlterPartition, shapeDescribeCluster, shapeAllocateProducerIDs shape
