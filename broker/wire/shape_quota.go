package wire

var (
	shapeDescribeClientQuotas = newShape(1, "[ str i8 nstr ] bool")
	shapeAlterClientQuotas    = newShape(1, "[ [ str nstr ] [ str i64 bool ] ] bool") // the i64 is a float64

	answerDescribeClientQuotas = newShape(1, "i32 i16 nstr ?[ [ str nstr ] [ str i64 ] ]")
	answerAlterClientQuotas    = newShape(1, "i32 [ i16 nstr [ str nstr ] ]")
)
