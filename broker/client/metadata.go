package client

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/wire"
)

var errNoBroker = errors.New("no such broker in the metadata")

// Broker is one broker of the cluster.
type Broker struct {
	ID   int32
	Addr string // host:port
	Rack string
}

// Leader names who leads a partition, and since which election.
type Leader struct {
	Broker int32
	Epoch  int32 // -1 where the broker told none
}

// Topic is what the metadata says of one topic.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions []Partition // index is the partition id
}

// Partition is what the metadata says of one partition.
type Partition struct {
	Leader   Leader // Broker is -1 while there is none
	Replicas []int32
	ISR      []int32
}

// Metadata is what some broker said of the cluster, at one moment. It never changes. Source: MetadataCache.
type Metadata struct {
	ClusterID  string
	Controller int32    // -1 where unknown
	Brokers    []Broker // by id
	Topics     []Topic  // those asked for and found, by name
}

// Addr is the address of a broker.
func (m *Metadata) Addr(broker int32) (string, bool) {
	for _, b := range m.Brokers {
		if b.ID == broker {
			return b.Addr, true
		}
	}
	return "", false
}

// Topic finds a topic by name; nil where it is unknown.
func (m *Metadata) Topic(name string) *Topic {
	i, ok := slices.BinarySearchFunc(m.Topics, name, func(t Topic, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return &m.Topics[i]
}

// Leader finds the leader of a partition.
func (m *Metadata) Leader(tp wire.TopicPartition) (Leader, bool) {
	t := m.Topic(tp.Topic)
	if t == nil || tp.Partition < 0 || int(tp.Partition) >= len(t.Partitions) {
		return Leader{}, false
	}
	l := t.Partitions[tp.Partition].Leader
	_, known := m.Addr(l.Broker)
	return l, known
}

// merge makes the metadata that follows old once resp has come. What old knows of a later election is kept: a broker
// that has not heard of it must not send us back to the old leader (KIP-320, Metadata#updateLatestMetadata).
func merge(old *Metadata, resp *kmsg.MetadataResponse) *Metadata {
	m := &Metadata{Controller: resp.ControllerID}
	if resp.ClusterID != nil {
		m.ClusterID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		broker := Broker{ID: b.NodeID, Addr: joinAddr(b.Host, b.Port)}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		m.Brokers = append(m.Brokers, broker)
	}
	slices.SortFunc(m.Brokers, func(a, b Broker) int { return int(a.ID) - int(b.ID) })
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 || t.Topic == nil {
			continue
		}
		m.Topics = append(m.Topics, mergeTopic(old.Topic(*t.Topic), t))
	}
	slices.SortFunc(m.Topics, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func mergeTopic(old *Topic, t kmsg.MetadataResponseTopic) Topic {
	topic := Topic{Name: *t.Topic, ID: t.TopicID}
	for _, p := range t.Partitions {
		if p.Partition < 0 || int(p.Partition) >= len(t.Partitions) {
			continue // ids run from 0 without gaps; a broker that says otherwise is not followed
		}
		for len(topic.Partitions) <= int(p.Partition) {
			topic.Partitions = append(topic.Partitions, Partition{Leader: Leader{Broker: -1, Epoch: -1}})
		}
		part := Partition{Leader: Leader{Broker: p.Leader, Epoch: p.LeaderEpoch}, Replicas: p.Replicas, ISR: p.ISR}
		if p.ErrorCode != 0 && p.ErrorCode != kerr.ReplicaNotAvailable.Code {
			part.Leader.Broker = -1
		}
		if old != nil && old.ID == topic.ID && int(p.Partition) < len(old.Partitions) {
			if was := old.Partitions[p.Partition]; was.Leader.Epoch > part.Leader.Epoch && part.Leader.Epoch >= 0 {
				part = was
			}
		}
		topic.Partitions[p.Partition] = part
	}
	return topic
}

func joinAddr(host string, port int32) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}
