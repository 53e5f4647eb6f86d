package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barnabas/broker/osenv"
	"barnabas/broker/record"
)

// Goal: replicas of a compacted log whose cleaners have taken different records are the same log, one whose records differ is not, and what
// cannot be read is told. Method: three records in one batch on either side, of which one side is changed.
func TestRecordsOfCompactedLogs(t *testing.T) {
	r := &realRun{e: osenv.New(osenv.Options{})}
	build := func(change func(b *record.Builder, o *record.BatchOptions)) record.Batch {
		var b record.Builder
		o := record.NewBatchOptions()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = 7, 1, 0
		b.Append(1000, []byte("a"), []byte("1"))
		b.Append(1001, []byte("b"), nil)
		change(&b, &o)
		if b.Count() == 2 {
			b.Append(1002, []byte("a"), []byte("2"), record.Header{Key: "h", Value: []byte("x")})
		}
		data, err := b.Build(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		batch := record.Batch(data)
		batch.SetBaseOffset(100)
		batch.SetLeaderEpoch(3)
		return batch
	}
	same := build(func(*record.Builder, *record.BatchOptions) {})
	compacted, err := record.AppendCompacted(nil, same, []record.Kept{{Offset: 101, Timestamp: 1001, Key: []byte("b")},
		{Offset: 102, Timestamp: 1002, Key: []byte("a"), Value: []byte("2"), Headers: []record.Header{{Key: "h", Value: []byte("x")}}}}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	epoch := build(func(*record.Builder, *record.BatchOptions) {})
	epoch.SetLeaderEpoch(4)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"the same":                  {same, ""},
		"cleaned, with a horizon":   {compacted, ""},
		"packed":                    {build(func(_ *record.Builder, o *record.BatchOptions) { o.Codec = record.Snappy }), ""},
		"all of it is gone":         {record.AppendEmptied(nil, same), ""},
		"the next is being written": {append(append([]byte(nil), same...), same[:30]...), ""},
		"another value": {build(func(b *record.Builder, _ *record.BatchOptions) { b.Append(1002, []byte("a"), []byte("3")) }),
			`offset 102 is [epoch 3, producer 7 epoch 1, control false, time 1002, key "a", value "2", headers [{"h" "x"}]] and [`},
		"null and empty":   {build(func(b *record.Builder, _ *record.BatchOptions) { b.Append(1002, []byte("a"), []byte{}) }), `value ""`},
		"another time":     {build(func(b *record.Builder, _ *record.BatchOptions) { b.Append(1003, []byte("a"), []byte("2")) }), "time 1003"},
		"another epoch":    {epoch, "epoch 4"},
		"another producer": {build(func(_ *record.Builder, o *record.BatchOptions) { o.ProducerID = 8 }), "producer 8"},
		"damage":           {append(append([]byte(nil), same[:16]...), append([]byte{9}, same[17:]...)...), "b.log"},
	} {
		dir := t.TempDir()
		files := map[string]map[string]string{}
		for side, data := range map[string][]byte{"a.log": same, "b.log": c.data} {
			path := filepath.Join(dir, side)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			files[side] = map[string]string{"00000000000000000100.log": path}
		}
		if got := r.differentRecords(files["a.log"], files["b.log"]); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := r.differentRecords(map[string]string{"a": filepath.Join(t.TempDir(), "gone")}, nil); got != "" {
		t.Errorf("a segment that is gone meanwhile: %q", got)
	}
}
