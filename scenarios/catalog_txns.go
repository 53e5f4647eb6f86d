package scenarios

import (
	"fmt"
	"math/rand/v2"
	"time"

	"barnabas/broker/client"
	"barnabas/broker/config"
	"barnabas/broker/group"
	"barnabas/broker/txn"
	"barnabas/faults"
	"barnabas/linearizability/check"
	"barnabas/scenarios/workload"
)

// txnCatalog lists the scenarios of transactions.
var txnCatalog = []*Scenario{
	{
		Name:    "exactly-once",
		Summary: "processors read, process and write in transactions while they and the brokers crash; each input has one result",
		Draw: func(r *rand.Rand, p *Plan) {
			p.group(r)
			p.transactions(r, 2)
			p.Processors = 2 + r.IntN(2)
			p.Producers, p.Consumers = 2, 2
			p.Transactional = r.IntN(2)
			p.Load.Groups.StayMean = time.Duration(6+r.IntN(8)) * time.Second
			p.Load.Groups.Rebalance = time.Duration(1500+r.IntN(1500)) * time.Millisecond
			p.Load.Txns.Output, p.Load.Txns.OutputPartitions = output, 1+r.Int32N(3)
			p.Load.Txns.StallEvery, p.Load.Txns.Stall = 12, 2*p.Load.Groups.Rebalance
			p.Load.Txns.Timeout = p.Load.Txns.Stall * 4
			p.weigh(map[faults.Kind]int{faults.Crash: 5, faults.ClientCrash: 6, faults.Pause: 2, faults.PartitionOneWay: 1, faults.SlowLink: 1})
			p.Faults.Must = []faults.Kind{faults.ClientCrash}
			p.Least.FiredAny, p.Least.Processed, p.Least.Acked, p.Least.Read = 1, 100, 100, 100
			p.Least.Commits, p.Least.Owned, p.Least.Transactions = 5, 1, 5
			if r.IntN(4) == 0 { // what the coordinators keep moves under them
				p.LogDirs = 2
				p.Operators = append(p.Operators, movesDirs(300*time.Millisecond, group.Topic, txn.Topic))
			}
		},
	},
	{
		Name:    "zombie-producer",
		Summary: "producers of one transactional id stall, are timed out or replaced, and go on as if nothing had been: nothing of that is taken",
		Draw: func(r *rand.Rand, p *Plan) {
			level := int16(2)
			calm := r.IntN(3) == 0
			if calm {
				level = 0
			}
			p.transactions(r, level)
			p.Producers, p.Consumers, p.Transactional = 1, 2, 4
			p.Load.Txns.Shared = []int{1, 2, 2}[r.IntN(3)]
			p.Load.Txns.StallEvery, p.Load.Txns.Stall = 4, time.Duration(2500+r.IntN(2000))*time.Millisecond
			p.Load.Txns.Timeout = time.Duration(1500+r.IntN(2500)) * time.Millisecond
			p.weigh(map[faults.Kind]int{faults.Crash: 4, faults.ClientCrash: 3})
			if !calm { // a request that is only late is what transaction.version=0 cannot bear: see delayed-end-txn
				p.weigh(map[faults.Kind]int{faults.Pause: 3, faults.Isolate: 1, faults.PartitionOneWay: 2, faults.SlowLink: 2})
			}
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Least.FiredAny, p.Least.Transactions, p.Least.Acked, p.Least.Read = 1, 4, 100, 100
		},
	},
	{
		Name:    "bank",
		Summary: "transfers between partitions, in transactions, while brokers crash and links break; the total stays what it was",
		Weight:  2,
		Draw: func(r *rand.Rand, p *Plan) {
			p.transactions(r, 2)
			p.Partitions = max(p.Partitions, 2+r.Int32N(4))
			p.Load.Partitions = p.Partitions
			p.Producers, p.Consumers, p.Transactional = 0, 4, 4
			p.Load.Txns.Bank, p.Load.Txns.RecordsMax = true, 2
			p.Load.Pause = 30 * time.Millisecond
			p.Load.SeekEvery = 300
			p.weigh(map[faults.Kind]int{faults.Crash: 3, faults.Pause: 7, faults.Isolate: 2, faults.PartitionOneWay: 3, faults.Partition: 2, faults.SlowLink: 2, faults.ClientCrash: 2})
			p.Faults.Must = []faults.Kind{faults.Crash}
			p.Least.FiredAny, p.Least.Transactions = 1, 25
			p.Least.Acked, p.Least.Read = 100, 100
		},
	},
	{
		Name:    "delayed-end-txn",
		Summary: "an EndTxn that was given up arrives late: with transaction.version=0 it ends the next transaction, with 2 it is refused",
		Draw: func(r *rand.Rand, p *Plan) {
			level := int16(2 * r.IntN(2))
			p.transactions(r, level)
			p.Producers, p.Consumers, p.Transactional = 0, 2, 7
			p.Partitions = max(p.Partitions, 2)
			p.Load.Partitions = p.Partitions
			p.Load.RequestTimeout = time.Second
			p.Load.Txns.RecordsMax, p.Load.Txns.AbortEvery = 12, 2
			p.LateEnds = LateEnds{Every: 3, Delay: 2500 * time.Millisecond}
			p.weigh(map[faults.Kind]int{faults.SlowDisk: 1})
			p.Faults.Gap = 8 * time.Second
			p.WhyExpected = "transaction.version=2 gives each transaction an epoch of its own (KIP-890)"
			if level == 0 {
				p.WhyExpected = "transaction.version=0 does not tell a late EndTxn from that of the next transaction (KAFKA-17754)"
				// Once a late EndTxn has ended a transaction, readers see its beginning while its producer, knowing nothing, goes on in it.
				p.Expect = []string{check.TxnAbortedRead, check.TxnAtomic, check.TxnEarlyRead, check.TxnFenced}
			}
			p.Least.Transactions = 20
			p.Least.Acked, p.Least.Read = 100, 20
		},
	},
}

// transactions makes the plan one with transactional producers, at a level of transaction.version. One partition holds all
// transactional ids, so that whoever crashes is likely to be their coordinator.
func (p *Plan) transactions(r *rand.Rand, level int16) {
	p.Load.Acks, p.Load.Idempotent, p.Load.Linger = client.AcksAll, true, 0
	p.Load.Txns = workload.Txns{Timeout: time.Duration(4+r.IntN(4)) * time.Second, RecordsMax: 6, AbortEvery: 4}
	replicas := p.Replicas
	p.Configure = append(p.Configure, func(c *config.Broker) {
		c.TransactionVersion = level
		c.TransactionTopicPartitions, c.TransactionTopicReplicationFactor = 1, replicas
		c.TransactionTopicMinISR = min(2, int(replicas))
	})
	p.Settings = append(p.Settings, fmt.Sprintf("transaction.version=%d, transaction.timeout.ms about %d", level, p.Load.Txns.Timeout.Milliseconds()))
}
