package group

import (
	"testing"

	"barnabas/broker/wire"
)

// Goal: a commit that was under way when its offset was removed does not count when it is replicated; one that began later does, and the group is not taken
// for empty before.
func TestDroppedCommitsDoNotCount(t *testing.T) {
	tp, other := wire.TopicPartition{Topic: "t"}, wire.TopicPartition{Topic: "t", Partition: 1}
	g := New("g", Limits{}, Now{})
	g.SetOffset(Offset{TP: tp, Offset: 3, at: 1})
	before, after := []Offset{{TP: tp, Offset: 5, at: 2}, {TP: other, Offset: 6, at: 3}}, []Offset{{TP: tp, Offset: 4, at: 7}}
	g.BeginCommit(before)
	g.addTxnOffset(9, Offset{TP: tp, Offset: 8, at: 4})
	if g.nothingLeftWithout([]wire.TopicPartition{tp}) || g.nothingLeftWithout([]wire.TopicPartition{other, tp}) {
		t.Error("a commit under way, or an open transaction, is not seen")
	}
	g.dropOffset(tp)
	g.dropUnderWay(tp)
	if _, _, err := g.Offset(tp, true); err != nil {
		t.Errorf("what was dropped is unstable: %v", err)
	}
	g.BeginCommit(after)
	g.EndCommit(before, true)
	g.EndTxn(9, true, 10)
	if o, ok, _ := g.Offset(tp, false); ok {
		t.Errorf("%+v came back", o)
	}
	if o, _, _ := g.Offset(other, true); o.Offset != 6 {
		t.Errorf("the other partition's is %+v", o)
	}
	if _, _, err := g.Offset(tp, true); err == nil {
		t.Error("the later commit is not under way")
	}
	g.EndCommit(after, true)
	if o, _, err := g.Offset(tp, true); o.Offset != 4 || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
}
