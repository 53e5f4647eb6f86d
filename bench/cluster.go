package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/reports/load"
)

// cluster is what the bench asks of a cluster besides load.
type cluster struct {
	seeds []string
	adm   *kadm.Client
	info  load.Target
	pids  []int // of brokers on this machine
	addrs []string
}

// connect finds the cluster. Errors say in a sentence that it cannot be reached.
func connect(ctx context.Context, bootstrap string) (*cluster, error) {
	seeds := strings.Split(bootstrap, ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.DialTimeout(3*time.Second), kgo.RetryTimeout(10*time.Second), kgo.MetadataMinAge(20*time.Millisecond)) // it would answer from a cache else, and leader changes be seen 5 s late
	if err != nil {
		return nil, fmt.Errorf("--bootstrap %s: %w", bootstrap, err)
	}
	c := &cluster{seeds: seeds, adm: kadm.NewClient(client)}
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	meta, err := c.adm.BrokerMetadata(within)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("no Kafka-compatible cluster answers at %s: %w", bootstrap, err)
	}
	c.info = load.Target{Bootstrap: bootstrap, ClusterID: meta.Cluster}
	var addrs []string
	sort.Slice(meta.Brokers, func(i, j int) bool { return meta.Brokers[i].NodeID < meta.Brokers[j].NodeID })
	for _, b := range meta.Brokers {
		addr := fmt.Sprintf("%s:%d", b.Host, b.Port)
		addrs = append(addrs, addr)
		c.info.Brokers = append(c.info.Brokers, fmt.Sprintf("%d %s", b.NodeID, addr))
	}
	c.addrs = addrs
	c.pids = listeners(addrs)
	for _, pid := range c.pids {
		c.info.Local = append(c.info.Local, commandLine(pid))
	}
	if len(meta.Brokers) > 0 {
		c.info.Config = c.brokerConfig(within, meta.Brokers[0].NodeID)
	}
	if versions, err := c.adm.ApiVersions(within); err == nil {
		for _, v := range versions.Sorted() {
			if c.info.Software = v.VersionGuess(); !strings.HasPrefix(c.info.Software, "v") && !strings.HasPrefix(c.info.Software, "at least") { // "between v0.9.0 and v0.10.0" of what serves Fetch v17 says nothing true
				produce, _ := v.KeyMaxVersion(int16(kmsg.Produce))
				fetch, _ := v.KeyMaxVersion(int16(kmsg.Fetch))
				c.info.Software = fmt.Sprintf("no release of Kafka has exactly (Produce to v%d, Fetch to v%d)", produce, fetch)
			}
		}
	}
	return c, nil
}

// brokerConfig is what a broker's configuration has that is not the default, but for where it stands and keeps its files. A cluster that
// does not tell has none: it is for the reader of the report, and decides nothing.
func (c *cluster) brokerConfig(ctx context.Context, id int32) (list []string) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	described, err := c.adm.DescribeBrokerConfigs(within, id)
	if err != nil || len(described) != 1 || described[0].Err != nil {
		return nil
	}
	for _, e := range described[0].Configs {
		where := strings.HasPrefix(e.Key, "log.dir") || strings.Contains(e.Key, "listeners") || strings.HasSuffix(e.Key, ".location") || strings.HasSuffix(e.Key, ".path") || e.Key == "zookeeper.connect" || e.Key == "broker.id"
		if e.Value != nil && !e.Sensitive && !where && e.Source != kmsg.ConfigSourceDefaultConfig && e.Source != kmsg.ConfigSourceUnknown {
			list = append(list, e.Key+"="+*e.Value)
		}
	}
	slices.Sort(list)
	return list
}

func (c *cluster) close() { c.adm.Close() }

// prepare makes the topic, or checks that the named one is as the workload says. made tells whether to drop it.
func (c *cluster) prepare(ctx context.Context, name string, t Topic) (made bool, err error) {
	within, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if t.Name != "" {
		topics, err := c.adm.ListTopics(within, t.Name)
		if err != nil {
			return false, err
		}
		if d, ok := topics[t.Name]; ok && d.Err == nil {
			if err := sameTopic(d, t); err != nil {
				return false, err
			}
			return false, c.sameConfig(within, t)
		}
	}
	configs := map[string]*string{}
	for k, v := range t.Config {
		configs[k] = &v
	}
	resp, err := c.adm.CreateTopic(within, t.Partitions, t.Replication, configs, name)
	if err != nil {
		if resp.ErrMessage != "" {
			err = fmt.Errorf("%w (%s)", err, resp.ErrMessage)
		}
		return false, fmt.Errorf("create topic %s with %d partitions, replication %d: %w", name, t.Partitions, t.Replication, err)
	}
	return t.Name == "", c.awaitLeaders(within, name, t)
}

func sameTopic(d kadm.TopicDetail, t Topic) error {
	if len(d.Partitions) != int(t.Partitions) {
		return fmt.Errorf("topic %s exists with %d partitions, the workload wants %d", t.Name, len(d.Partitions), t.Partitions)
	}
	if n := d.Partitions.NumReplicas(); n != int(t.Replication) {
		return fmt.Errorf("topic %s exists with replication %d, the workload wants %d", t.Name, n, t.Replication)
	}
	return nil
}

// sameConfig sees to it that a topic that exists has the settings that the workload gives.
func (c *cluster) sameConfig(ctx context.Context, t Topic) error {
	if len(t.Config) == 0 {
		return nil
	}
	listed, err := c.adm.DescribeTopicConfigs(ctx, t.Name)
	if err == nil && len(listed) == 1 {
		err = listed[0].Err
	}
	if err != nil {
		return fmt.Errorf("settings of topic %s: %w", t.Name, err)
	}
	if len(listed) != 1 {
		return fmt.Errorf("settings of topic %s: the cluster describes %d topics", t.Name, len(listed))
	}
	has := map[string]string{}
	for _, e := range listed[0].Configs {
		if e.Value != nil {
			has[e.Key] = *e.Value
		}
	}
	for _, k := range slices.Sorted(maps.Keys(t.Config)) {
		if v, known := has[k]; !known {
			return fmt.Errorf("topic %s exists, and knows no %s, which the workload wants to be %s", t.Name, k, t.Config[k])
		} else if v != t.Config[k] {
			return fmt.Errorf("topic %s exists with %s=%s, the workload wants %s", t.Name, k, v, t.Config[k])
		}
	}
	return nil
}

// awaitLeaders waits until every partition has a leader and a full ISR.
func (c *cluster) awaitLeaders(ctx context.Context, name string, t Topic) error {
	for {
		topics, err := c.adm.ListTopics(ctx, name)
		if err == nil {
			d := topics[name]
			ready := d.Err == nil && len(d.Partitions) == int(t.Partitions)
			for _, p := range d.Partitions {
				ready = ready && p.Err == nil && p.Leader >= 0 && len(p.ISR) == int(t.Replication)
			}
			if ready {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %s: not every partition has a leader and a full ISR after a minute", name)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *cluster) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := c.adm.DeleteTopic(ctx, name)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	return err
}

// ends gives every partition's log end.
func (c *cluster) ends(ctx context.Context, name string, partitions int32) ([]int64, error) {
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	listed, err := c.adm.ListEndOffsets(within, name)
	if err == nil {
		err = listed.Error()
	}
	for err != nil && within.Err() == nil && kerr.IsRetriable(err) { // a topic that one broker knows may be news to its leader
		select {
		case <-within.Done():
		case <-time.After(50 * time.Millisecond):
		}
		if listed, err = c.adm.ListEndOffsets(within, name); err == nil {
			err = listed.Error()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("end offsets of %s: %w", name, err)
	}
	ends := make([]int64, partitions)
	listed.Each(func(o kadm.ListedOffset) {
		if o.Partition < partitions {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, nil
}
