package client

import (
	"cmp"
	"slices"

	"barnabas/broker/wire"
)

// reads reports whether the member wants the topic.
func (s *subscriber) reads(topic string) bool { return slices.Contains(s.topics, topic) }

// assignRange gives each topic's partitions, in order, to its readers in order, the first ones one more where it does not come out
// even: 5 partitions and members a, b make a 0-2, b 3-4. Source: RangeAssignor.
func assignRange(members []*subscriber, topics []string, partitions []wire.TopicPartition) {
	for _, topic := range topics {
		var readers []*subscriber
		for _, s := range members {
			if s.reads(topic) {
				readers = append(readers, s)
			}
		}
		var of []wire.TopicPartition
		for _, tp := range partitions {
			if tp.Topic == topic {
				of = append(of, tp)
			}
		}
		for i, s := range readers {
			s.assigned = append(s.assigned, rangeShare(of, i, len(readers))...)
		}
	}
}

// rangeShare is the i-th of n members' run of partitions.
func rangeShare[T any](of []T, i, n int) []T {
	each, more := len(of)/n, len(of)%n
	start := i*each + min(i, more)
	end := start + each
	if i < more {
		end++
	}
	return of[start:end]
}

// assignRoundRobin deals all partitions out, in order, one to each member in turn; who does not read a topic is passed over.
// Source: RoundRobinAssignor.
func assignRoundRobin(members []*subscriber, partitions []wire.TopicPartition) {
	next := 0
	for _, tp := range partitions {
		for range members {
			s := members[next%len(members)]
			next++
			if s.reads(tp.Topic) {
				s.assigned = append(s.assigned, tp)
				break
			}
		}
	}
}

// assignSticky lets members keep what they own as far as that is even, gives the rest to those with least, and moves partitions until no
// move makes it more even: no member has two more than another that could have one of them. Of two that say they own a
// partition the later generation is believed; of one generation, neither.
//
// Source: AbstractStickyAssignor (constrainedAssign where all read the same, else generalAssign). Kafka breaks ties by the order of its
// collections; here all goes in the order of members and partitions.
func assignSticky(members []*subscriber, partitions []wire.TopicPartition) {
	owner := owners(members)
	partitions = slices.DeleteFunc(slices.Clone(partitions), func(tp wire.TopicPartition) bool {
		return !slices.ContainsFunc(members, func(s *subscriber) bool { return s.reads(tp.Topic) })
	})
	least, more := len(partitions)/len(members), len(partitions)%len(members)
	same := !slices.ContainsFunc(members, func(s *subscriber) bool { return !slices.Equal(sortedTopics(s), sortedTopics(members[0])) })
	var free []wire.TopicPartition
	for _, tp := range partitions {
		s := owner[tp]
		switch {
		case s == nil || !s.reads(tp.Topic):
			free = append(free, tp)
		case same && len(s.assigned) >= least && !(more > 0 && len(s.assigned) == least):
			free = append(free, tp) // over its share
		default:
			s.assigned = append(s.assigned, tp)
			if same && len(s.assigned) == least+1 {
				more--
			}
		}
	}
	if !same { // the partitions that fewest can have first
		readers := func(tp wire.TopicPartition) (n int) {
			for _, s := range members {
				if s.reads(tp.Topic) {
					n++
				}
			}
			return n
		}
		slices.SortStableFunc(free, func(a, b wire.TopicPartition) int { return cmp.Compare(readers(a), readers(b)) })
	}
	for _, tp := range free {
		if to := leastLoaded(members, tp.Topic); to != nil {
			to.assigned = append(to.assigned, tp)
		}
	}
	if !same {
		level(members)
	}
}

// owners says whom of the members each partition belonged to.
func owners(members []*subscriber) map[wire.TopicPartition]*subscriber {
	owner := map[wire.TopicPartition]*subscriber{}
	since := map[wire.TopicPartition]int32{}
	for _, s := range members {
		for _, tp := range s.owned {
			switch other, said := owner[tp]; {
			case !said || s.generation > since[tp]:
				owner[tp], since[tp] = s, s.generation
			case other != nil && s.generation == since[tp] && s != other:
				owner[tp] = nil // both must prove it by joining again
			}
		}
	}
	return owner
}

func sortedTopics(s *subscriber) []string {
	topics := slices.Clone(s.topics)
	slices.Sort(topics)
	return slices.Compact(topics)
}

func leastLoaded(members []*subscriber, topic string) (to *subscriber) {
	for _, s := range members {
		if s.reads(topic) && (to == nil || len(s.assigned) < len(to.assigned)) {
			to = s
		}
	}
	return to
}

// level moves partitions from members to others with at least two fewer. Every move makes the sum of the squares of their numbers smaller, so it ends.
func level(members []*subscriber) {
	for moved := true; moved; {
		moved = false
		for _, s := range members {
			for i := 0; i < len(s.assigned); i++ {
				tp := s.assigned[i]
				if to := leastLoaded(members, tp.Topic); to != nil && len(to.assigned)+1 < len(s.assigned) {
					s.assigned = slices.Delete(s.assigned, i, i+1)
					to.assigned = append(to.assigned, tp)
					moved = true
					i--
				}
			}
		}
	}
}

// withholdOwned makes an assignment cooperative: what is taken from one member goes to nobody in this generation. Its owner gives it up and joins
// again, and only then is it given away (KIP-429). The owner is whom assignSticky believes: what members of older generations claim as well is not
// withheld from it (KIP-792), while what two of one generation claim is withheld from all.
//
// DEVIATION(KIP-792): where members read different topics Kafka believes, here, everybody who claims a partition, and gives it at once to any of them.
// Two would own it.
//
// Source: CooperativeStickyAssignor#adjustAssignment, AbstractStickyAssignor.ConstrainedAssignmentBuilder.
func withholdOwned(members []*subscriber) {
	owner := owners(members)
	for _, s := range members {
		s.assigned = slices.DeleteFunc(s.assigned, func(tp wire.TopicPartition) bool {
			of, claimed := owner[tp]
			return claimed && of != s
		})
	}
}
