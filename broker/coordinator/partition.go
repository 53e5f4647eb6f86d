package coordinator

import "unicode/utf16"

// PartitionFor is the partition of an internal topic that a key (a group's id, a transactional id) lives in: the absolute value of
// Java's String.hashCode of the key, modulo the number of partitions.
//
// Source: GroupMetadataManager#partitionFor, TransactionStateManager#partitionFor, Utils.abs.
func PartitionFor(key string, partitions int32) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(key)) {
		h = 31*h + int32(unit)
	}
	switch {
	case h == -1<<31:
		return 0
	case h < 0:
		h = -h
	}
	return h % partitions
}
