package scenarios

import (
	"barnabas/broker/metadata"
	"barnabas/broker/zookeeper"
	"barnabas/scenarios/oracle"
)

// namedTopic is who has a topic's name now.
type namedTopic struct {
	mzxid int64 // of the znode that was read
	id    [16]byte
}

// promised is v without the replicas of topics whose deletion was asked for: Kafka promises nothing of them any more. Brokers hear of a
// deletion one after the other, and a controller that comes into office in the middle of one tells them all to lead and follow once more,
// those that have deleted theirs too (as Kafka's, whose replica state machine starts before its topic deletion goes on): followers then cut
// their logs to that of an empty leader. What was once asked to be deleted stays so, also when its name is another's.
//
// While ZooKeeper is down nobody can tell, and all topics that may come and go are left out.
func (r *registry) promised(v oracle.View) oracle.View {
	kept := 0
	for i := range v.Replicas {
		if s := &v.Replicas[i].State; !r.watched[s.TP.Topic] && !metadata.IsInternal(s.TP.Topic) && !r.lives(s.TP.Topic, s.TopicID) {
			continue
		}
		if kept < i { // each is large: slices.DeleteFunc hands them over by value
			v.Replicas[kept] = v.Replicas[i]
		}
		kept++
	}
	v.Replicas = v.Replicas[:kept]
	return v
}

// lives tells whether the topic of that id has its name, and is to keep it.
func (r *registry) lives(name string, id [16]byte) bool {
	if r.c.zk == nil || r.gone[id] {
		return false
	}
	data, stat, ok := r.c.zk.Get(zookeeper.PathTopic(name))
	if ok {
		named := r.named[name]
		if named.mzxid != stat.Mzxid {
			t, err := zookeeper.DecodeTopic(name, data)
			if err != nil {
				r.c.errs = append(r.c.errs, err)
				return false
			}
			named = namedTopic{stat.Mzxid, t.ID}
			r.named[name] = named
		}
		_, _, deleting := r.c.zk.Get(zookeeper.PathDeleteTopic(name))
		ok = named.id == id && !deleting
	}
	if !ok {
		r.gone[id] = true
	}
	return ok
}
