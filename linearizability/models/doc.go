// Package models holds porcupine models of a partition's log. They are pure functions of a history, search instead of
// sort, and are far slower than the gate in package check. They serve as its yardstick: a differential test holds the
// three against each other over thousands of small histories, sound and broken.
//
//   - Naive is the definition, in the plainest terms: the state is the log's content, an append of unknown end may happen
//     or not, a fetch returns what the state holds. It is exponential.
//   - Counted resolves unknown ends first and then needs two integers of state: the length of the log, and how many reads
//     of exactly that length are done. An append may not leave a length before all its reads are done, which is what
//     keeps the search from straying. It cuts the history into windows in the order of the log.
//
// Besides, TransactionalID is the life of one transactional id: producer id, epoch, and whether a transaction is ongoing or complete;
// CommittedOffset is a group's offset of a partition, a register that does not go back.
//
// Naive and Counted cover produce with acks=all and fetch. Porcupine runs goroutines of its own and looks at the wall clock for its
// time-out alone.
package models
