package log

import "barnabas/broker/env"

// The points that a trial should reach, by the function they are in.
var (
	markAddInvalidTxnState                      = env.NewMark("add-invalid-txn-state")
	markAddMarkerTransactionCoordinatorFenced   = env.NewMark("add-marker-transaction-coordinator-fenced")
	markAdvanceStartOffsetOffsetOutOfRange      = env.NewMark("advance-start-offset-offset-out-of-range")
	markAppendAsFollowerOffsetOutOfRange        = env.NewMark("append-as-follower-offset-out-of-range")
	markAppendAsLeaderFencedLeaderEpoch         = env.NewMark("append-as-leader-fenced-leader-epoch")
	markAppendAsLeaderRecordListTooLarge        = env.NewMark("append-as-leader-record-list-too-large")
	markBeginReadOffsetOutOfRange               = env.NewMark("begin-read-offset-out-of-range")
	markBytesKafkaStorageError                  = env.NewMark("bytes-kafka-storage-error")
	markBytesNotLeaderForPartition              = env.NewMark("bytes-not-leader-for-partition")
	markCheckEpochInvalidProducerEpoch          = env.NewMark("check-epoch-invalid-producer-epoch")
	markCheckSequenceOutOfOrderSequenceNumber   = env.NewMark("check-sequence-out-of-order-sequence-number")
	markCheckSequenceOutOfOrderSequenceNumber2  = env.NewMark("check-sequence-out-of-order-sequence-number-2")
	markCheckVerifiedInvalidTxnState            = env.NewMark("check-verified-invalid-txn-state")
	markCheckVerifiedOutOfOrder                 = env.NewMark("check-verified-out-of-order")
	markCleanerReconfigured                     = env.NewMark("cleaner-reconfigured")
	markJudgeCorruptMessage                     = env.NewMark("judge-corrupt-message")
	markJudgeCorruptMessage2                    = env.NewMark("judge-corrupt-message-2")
	markMadeInTheWantedDirectory                = env.NewMark("made-in-the-wanted-directory")
	markNoSuchLogDir                            = env.NewMark("no-such-log-dir")
	markPerhapsElsewhere                        = env.NewMark("perhaps-elsewhere")
	markReadCorruptMessage                      = env.NewMark("read-corrupt-message")
	markSearchBatchCorruptMessage               = env.NewMark("search-batch-corrupt-message")
	markSearchTimeCorruptMessage                = env.NewMark("search-time-corrupt-message")
	markTruncateFullyAndStartAtOffsetOutOfRange = env.NewMark("truncate-fully-and-start-at-offset-out-of-range")
	markTruncateToOffsetOutOfRange              = env.NewMark("truncate-to-offset-out-of-range")
	markTwoLogsSettled                          = env.NewMark("two-logs-settled")
	markUsableNotLeaderForPartition             = env.NewMark("usable-not-leader-for-partition")
)
