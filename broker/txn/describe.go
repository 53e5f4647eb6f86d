package txn

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Describe tells what is known of a transactional id (KIP-664).
//
// Errors: INVALID_REQUEST, TRANSACTIONAL_ID_NOT_FOUND, and those of a coordinator that is not, or not yet, one. Source:
// TransactionCoordinator#handleDescribeTransactions.
func (c *Coordinator) Describe(id string) (Metadata, *kerr.Error) {
	s, t, err := c.enter(id)
	if err == kerr.InvalidProducerIDMapping {
		err = kerr.TransactionalIDNotFound
	}
	if err != nil {
		return Metadata{}, err
	}
	defer s.Unlock()
	return t.at, nil
}

// Listed is a transactional id as ListTransactions tells of it.
type Listed struct {
	ID         string
	ProducerID int64
	State      State
}

// Filter says which transactional ids are wanted; nil filters let all pass.
type Filter struct {
	States      []string
	ProducerIDs []int64
	// DurationMs wants those alone whose transaction began longer ago; negative wants all.
	DurationMs int64
}

func (f Filter) passes(m *Metadata, now Now) bool {
	switch {
	case len(f.ProducerIDs) > 0 && !slices.Contains(f.ProducerIDs, m.ProducerID):
	case len(f.States) > 0 && !slices.Contains(f.States, m.State.String()):
	case f.DurationMs >= 0 && now.Wall-m.StartMs <= f.DurationMs:
	default:
		return true
	}
	return false
}

// List lists the transactional ids of this broker, by name. loading says that more will come; the answer is then
// COORDINATOR_LOAD_IN_PROGRESS.
//
// Source: TransactionStateManager#listTransactionStates.
func (c *Coordinator) List(f Filter) (list []Listed, loading bool) {
	loading = c.r.Each(func(s *shard, now Now) {
		for _, id := range slices.Sorted(maps.Keys(s.State)) {
			if t := s.State[id]; f.passes(&t.at, now) {
				list = append(list, Listed{ID: id, ProducerID: t.at.ProducerID, State: t.at.State})
			}
		}
	})
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.ID, b.ID) })
	return list, loading
}
