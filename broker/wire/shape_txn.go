package wire

// Shapes of what transactional producers, transaction coordinators and those who look after them say; the notation is that of shape.go.
var (
	shapeAddPartitionsToTxn   = newShape(3, "-3:str -3:i64 -3:i16 -3:[ str []i32 ] 4:[ str i64 i16 bool [ str []i32 ] ]")
	shapeAddOffsetsToTxn      = newShape(3, "str i64 i16 str")
	shapeEndTxn               = newShape(3, "str i64 i16 bool")
	shapeWriteTxnMarkers      = newShape(1, "[ i64 i16 bool [ str []i32 ] i32 ]")
	shapeTxnOffsetCommit      = newShape(3, "str str i64 i16 3:i32 3:str 3:nstr [ str [ i32 i64 2:i32 nstr ] ]")
	shapeDescribeProducers    = newShape(0, "[ str []i32 ]")
	shapeDescribeTransactions = newShape(0, "[]str")
	shapeListTransactions     = newShape(0, "[]str []i64 1:i64")

	answerAddPartitionsToTxn   = newShape(3, "i32 4:i16 4:[ str [ str [ i32 i16 ] ] ] -3:[ str [ i32 i16 ] ]")
	answerAddOffsetsToTxn      = newShape(3, "i32 i16")
	answerEndTxn               = newShape(3, "i32 i16 5:i64 5:i16")
	answerWriteTxnMarkers      = newShape(1, "[ i64 [ str [ i32 i16 ] ] ]")
	answerTxnOffsetCommit      = newShape(3, "i32 [ str [ i32 i16 ] ]")
	answerDescribeProducers    = newShape(0, "i32 [ str [ i32 i16 nstr [ i64 i32 i32 i64 i32 i64 ] ] ]")
	answerDescribeTransactions = newShape(0, "i32 [ i16 str str i32 i64 i64 i16 [ str []i32 ] ]")
	answerListTransactions     = newShape(0, "i32 i16 []str [ str i64 str ]")
)
