package wire

// The shapes of responses, in the notation of shape.go. Those who call brokers (replica fetchers, the controller, clients) are
// guarded as the server is.
var (
	answerProduce              = newShape(9, "[ str [ i32 i16 i64 2:i64 5:i64 8:[ i32 nstr ] 8:nstr tag0=( i32 i32 ) ] ] 1:i32 tag0=[ i32 str i32 nstr ]")
	answerFetch                = newShape(12, "1:i32 7:i16 7:i32 [ -12:str 13:uuid [ i32 i16 i64 4:i64 5:i64 4:?[ i64 i64 ] 11:i32 nbytes tag0=( i32 i64 ) tag1=( i32 i32 ) tag2=( i64 i32 ) ] ] tag0=[ i32 str i32 nstr ]")
	answerListOffsets          = newShape(6, "2:i32 [ str [ i32 i16 0-0:[]i64 1:i64 1:i64 4:i32 ] ]")
	answerMetadata             = newShape(9, "3:i32 [ i32 str i32 1:nstr ] 2:nstr 1:i32 [ i16 -11:str 12:nstr 10:uuid 1:bool [ i16 i32 i32 7:i32 []i32 []i32 5:[]i32 ] 8:i32 ] 8-10:i32")
	answerLeaderAndISR         = newShape(4, "i16 -4:[ str i32 i16 ] 5:[ uuid [ i32 i16 ] ]")
	answerStopReplica          = newShape(2, "i16 [ str i32 i16 ]")
	answerUpdateMetadata       = newShape(6, "i16")
	answerControlledShutdown   = newShape(3, "i16 [ str i32 ]")
	answerAPIVersions          = newShape(3, "i16 [ i16 i16 i16 ] 1:i32 tag0=[ str i16 i16 ] tag1=i64 tag2=[ str i16 i16 ] tag3=bool")
	answerCreateTopics         = newShape(5, "2:i32 [ str 7:uuid i16 1:nstr 5:i32 5:i16 5:?[ str nstr bool i8 bool ] tag0=i16 ]")
	answerDeleteTopics         = newShape(4, "1:i32 [ -5:str 6:nstr 6:uuid i16 5:nstr ]")
	answerDeleteRecords        = newShape(2, "i32 [ str [ i32 i64 i16 ] ]")
	answerDescribeLogDirs      = newShape(2, "i32 3:i16 [ i16 str [ str [ i32 i64 i64 bool ] ] 4:i64 4:i64 ]")
	answerInitProducerID       = newShape(2, "i32 i16 i64 i16")
	answerOffsetForLeaderEpoch = newShape(4, "2:i32 [ str [ i16 i32 1:i32 i64 ] ]")
	answerDescribeConfigs      = newShape(4, "i32 [ i16 nstr i8 str [ str nstr bool 0-0:bool 1:i8 bool 1:[ str nstr i8 ] 3:i8 3:nstr ] ]")
	answerDescribeCluster      = newShape(0, "i32 i16 nstr 1:i8 str i32 [ i32 str i32 nstr ] i32")
	answerAlterPartition       = newShape(0, "i32 i16 [ -1:str 2:uuid [ i32 i16 i32 i32 []i32 1:i8 i32 ] ]")
	answerAllocateProducerIDs  = newShape(0, "i32 i16 i64 i32")
)
