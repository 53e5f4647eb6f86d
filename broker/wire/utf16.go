package wire

// UTF16Len is how long text is to Java, in UTF-16 units: limits that Kafka sets to a String's length count these.
func UTF16Len(text string) int {
	n := 0
	for _, c := range text {
		n++
		if c >= 0x10000 {
			n++
		}
	}
	return n
}
