package wire

// Shapes of what administrators ask about partitions and configs, and of the answers; the notation is that of shape.go.
var (
	shapeAlterConfigs            = newShape(2, "[ i8 str [ str nstr ] ] bool")
	shapeIncrementalAlterConfigs = newShape(1, "[ i8 str [ str i8 nstr ] ] bool")
	shapeCreatePartitions        = newShape(2, "[ str i32 ?[ []i32 ] ] i32 bool")
	shapeElectLeaders            = newShape(2, "1:i8 ?[ str []i32 ] i32")
	shapeAlterReassignments      = newShape(0, "i32 [ str [ i32 ?[]i32 ] ]")
	shapeListReassignments       = newShape(0, "i32 ?[ str []i32 ]")

	shapeUpdateFeatures = newShape(0, "i32 [ str i16 0-0:bool 1:i8 ] 1:bool")

	answerUpdateFeatures          = newShape(0, "i32 i16 nstr [ str i16 nstr ]")
	answerAlterConfigs            = newShape(2, "i32 [ i16 nstr i8 str ]")
	answerIncrementalAlterConfigs = newShape(1, "i32 [ i16 nstr i8 str ]")
	answerCreatePartitions        = newShape(2, "i32 [ str i16 nstr ]")
	answerElectLeaders            = newShape(2, "i32 1:i16 [ str [ i32 i16 nstr ] ]")
	answerAlterReassignments      = newShape(0, "i32 i16 nstr [ str [ i32 i16 nstr ] ]")
	answerListReassignments       = newShape(0, "i32 i16 nstr [ str [ i32 []i32 []i32 []i32 ] ]")
)
