// Package jute is ZooKeeper's wire codec: frames, the connect handshake, request and reply headers, the bodies of the
// operations served here, multi, watch events, Stat and ACL, and the error codes. It owns nothing and waits for
// nothing. What it decodes may come from anybody: a length that does not fit its frame is an error, and never a panic
// or an allocation larger than the frame.
//
// Its source is zookeeper.jute, org.apache.jute.BinaryInputArchive and BinaryOutputArchive, and org.apache.zookeeper's
// MultiOperationRecord and MultiResponse. All numbers are big-endian; a buffer, a string and a vector begin with their
// length as int32, where -1 stands for null.
package jute
