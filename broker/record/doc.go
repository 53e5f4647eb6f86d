// Package record is the record batch, version 2: a view over its bytes, CRC-32C, validation, compression, the builder
// that clients use, the iterator over its records, and control records; and what old clients send and get instead (old.go).
//
// It owns the meaning of a batch's bytes and the errors that say what is wrong with them. It never does I/O, keeps no
// state between calls but pools of codecs, and never copies a batch: accessors read, and setters write, in place.
//
//	 0  base offset             int64   set by the leader, outside the CRC
//	 8  batch length            int32   bytes that follow it
//	12  partition leader epoch  int32   set by the leader, outside the CRC
//	16  magic                   int8    2
//	17  CRC                     uint32  CRC-32C of everything from 21 to the end
//	21  attributes              int16   bits 0-2 codec, 3 log-append time, 4 transactional, 5 control, 6 delete horizon
//	23  last offset delta       int32
//	27  base timestamp          int64   ms
//	35  max timestamp           int64   ms
//	43  producer id             int64   -1: none
//	51  producer epoch          int16
//	53  base sequence           int32
//	57  records count           int32
//	61  records                         compressed as a whole, if at all
//
// Source in Kafka: org.apache.kafka.common.record (DefaultRecordBatch, DefaultRecord, MemoryRecordsBuilder,
// EndTransactionMarker, ControlRecordType) and org.apache.kafka.storage.internals.log.LogValidator. KIP-98.
package record
