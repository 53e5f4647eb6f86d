package api_test

import (
	"testing"
	"time"

	"barnabas/broker/partition"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseMarkers answers WriteTxnMarkers in the brokers' stead, times times: every marker with the code, or with a nil one with nothing at all. It returns the count of
// requests that there have been.
func (d *desk) refuseMarkers(times int, code *kerr.Error) (asked *int) {
	asked = new(int)
	d.intercept = func(req kmsg.Request) kmsg.Response {
		in, ok := req.(*kmsg.WriteTxnMarkersRequest)
		if !ok {
			return nil
		}
		if *asked++; *asked > times {
			return nil
		}
		resp := in.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
		for i := range in.Markers {
			out := kmsg.NewWriteTxnMarkersResponseMarker()
			out.ProducerID = in.Markers[i].ProducerID
			for _, topic := range in.Markers[i].Topics {
				t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
				t.Topic = topic.Topic
				for _, n := range topic.Partitions {
					p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
					if p.Partition = n; code != nil {
						p.ErrorCode = code.Code
						t.Partitions = append(t.Partitions, p)
					}
				}
				out.Topics = append(out.Topics, t)
			}
			resp.Markers = append(resp.Markers, out)
		}
		return resp
	}
	return asked
}

// Goal: markers that a leader cannot take just now are sent again until it has them; those that are fenced are not, for another coordinator or an administrator has
// decided; and a partition that can have none, as no transactional record can be in it, is not waited for. Method: every code that Kafka's coordinator knows, given twice
// for both partitions of a transaction; how often they were sent, and what has become of the transaction after three seconds.
func TestRefusedMarkers(t *testing.T) {
	for _, c := range []struct {
		code  *kerr.Error
		asked int
		state string
	}{
		{kerr.UnknownTopicOrPartition, 3, "CompleteCommit"},
		{kerr.NotLeaderForPartition, 3, "CompleteCommit"},
		{kerr.NotEnoughReplicas, 3, "CompleteCommit"},
		{kerr.NotEnoughReplicasAfterAppend, 3, "CompleteCommit"},
		{kerr.RequestTimedOut, 3, "CompleteCommit"},
		{kerr.KafkaStorageError, 3, "CompleteCommit"},
		{nil, 3, "CompleteCommit"},
		{kerr.TransactionCoordinatorFenced, 1, "PrepareCommit"},
		{kerr.InvalidProducerEpoch, 1, "PrepareCommit"},
		{kerr.UnsupportedForMessageFormat, 1, "CompleteCommit"},
		{kerr.UnsupportedVersion, 1, "CompleteCommit"},
	} {
		onTxns(t, 1, nil, func(d *desk, p *producer) {
			wants(t, "add", p.add(3, "t", 0, 1)[0], nil)
			wants(t, "produce", p.produce(11, 0, "v"), nil)
			wants(t, "produce", p.produce(11, 1, "w"), nil)
			asked := d.refuseMarkers(2, c.code)
			wants(t, "commit", p.end(4, true).ErrorCode, nil)
			d.e.Sleep(3 * time.Second)
			if state := p.state(); state != c.state || *asked != c.asked {
				t.Errorf("%v: %s after %d requests, want %s after %d", c.code, state, *asked, c.state, c.asked)
			}
			if values, _ := d.committed(0); (len(values) == 1) != (c.asked == 3) {
				t.Errorf("%v: %v can be read", c.code, values)
			}
		})
	}
}

// Goal: a marker that its followers do not get is told as REQUEST_TIMED_OUT after request.timeout.ms, and not before; beside one that is replicated. Method: one of two
// partitions has a follower in its ISR that never fetches; the time is virtual.
func TestMarkerThatIsNotReplicated(t *testing.T) {
	onTxns(t, 1, nil, func(d *desk, p *producer) {
		wants(t, "add", p.add(3, "t", 0, 1)[0], nil)
		wants(t, "produce", p.produce(11, 0, "v"), nil)
		wants(t, "produce", p.produce(11, 1, "w"), nil)
		if err := d.real[wire.TopicPartition{Topic: "t", Partition: 1}].BecomeLeader(partition.Assignment{Leader: 1, LeaderEpoch: 6, ControllerEpoch: 1, PartitionEpoch: 1,
			Replicas: []int32{1, 2}, ISR: []int32{1, 2}}); err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		req.Version = 1
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Committed = p.id, p.epoch, 5, true
		mt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		mt.Topic, mt.Partitions = "t", []int32{0, 1}
		m.Topics = append(m.Topics, mt)
		req.Markers = append(req.Markers, m)
		began := d.e.Mono()
		got := do[*kmsg.WriteTxnMarkersResponse](d, req).Markers[0].Topics[0].Partitions
		wants(t, "replicated", got[0].ErrorCode, nil)
		wants(t, "not replicated", got[1].ErrorCode, kerr.RequestTimedOut)
		if took := d.e.Mono().Sub(began); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("told after %v", took)
		}
	})
}
