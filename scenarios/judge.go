package scenarios

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"barnabas/broker/client"
	"barnabas/faults"
	"barnabas/faults/nemesis"
	"barnabas/linearizability/check"
	"barnabas/linearizability/history"
	"barnabas/reports"
	"barnabas/scenarios/workload"
)

// judge decides the verdict and completes the record. A crash comes before a broken promise, that before a cluster
// that did not converge, and that before a run that proves nothing.
func (r *run) judge() {
	p := r.report
	p.Virtual = time.Duration(r.w.Now())
	if len(r.c.errs) > 0 {
		r.end(reports.Error, r.c.errs[0].Error())
	}
	p.Hash, p.Events = fmt.Sprintf("%016x", r.w.Hash()), r.w.Events()
	r.account()
	for _, v := range r.oracle.Violations() {
		p.Failures = append(p.Failures, reports.Failure{ID: v.ID, Message: v.Message, At: v.At})
	}
	drained := len(r.recorder.History.Drains) == r.load.Drains()
	if p.Verdict != reports.Crash {
		r.judgeHistory(drained)
	}
	r.meetExpectation()
	p.Masked = r.o.Masked
	masked := func(f reports.Failure) int { return min(1, 1+slices.Index(r.o.Masked, f.ID)) }
	slices.SortStableFunc(p.Failures, func(a, b reports.Failure) int { return masked(a) - masked(b) })
	if len(p.Failures) > 0 && (p.Verdict == "" || masked(p.Failures[0]) == 0) {
		p.Verdict, p.Reason = reports.Safety, p.Failures[0].ID+": "+p.Failures[0].Message
	}
	if crashes := r.w.Crashes(); len(crashes) > 0 {
		c := crashes[0]
		p.Verdict = reports.Crash
		p.Reason = fmt.Sprintf("%s, task %s, at %.3fs: %s", c.Node, c.Task, time.Duration(c.At).Seconds(), c.Value)
		p.Stack = c.Stack
	}
	if p.Verdict == "" {
		p.Verdict = reports.Pass
		if why := r.vacuous(); why != "" {
			p.Verdict, p.Reason = reports.Vacuous, why
		}
	}
}

func (r *run) judgeHistory(drained bool) {
	if !drained {
		r.load.Abandoned(r.w.Now()) // what was read of it is no phantom
	}
	if unknown := judgeHistory(r.report, &r.recorder.History, drained); unknown != "" {
		r.end(reports.Error, unknown)
	}
	if v := r.online.First(); v != nil && len(r.report.Failures) == 0 { // the whole history shows all that one operation does, and more
		r.report.Failures = append(r.report.Failures, reports.Failure{ID: v.Invariant, Anomaly: v.Anomaly, Message: v.Message, At: time.Duration(v.At), Witness: v.Lines()})
	}
}

// judgeHistory adds what the history breaks to the record. It returns why the checker could not decide, or "".
func judgeHistory(p *reports.Run, h *history.History, drained bool) string {
	verdict := check.Judge(h, check.Options{DrainOptional: !drained})
	for _, v := range verdict.Violations {
		p.Failures = append(p.Failures, reports.Failure{ID: v.Invariant, Anomaly: v.Anomaly, Message: v.Message, At: time.Duration(v.At), Witness: v.Lines()})
	}
	if len(verdict.Unknown) > 0 {
		return "the checker could not decide: " + strings.Join(verdict.Unknown, "; ")
	}
	return ""
}

// vacuous says why the run proves nothing, or "".
func (r *run) vacuous() string {
	return vacuous(r.plan, r.report, r.load.Counts(), r.operated, r.o.Schedule != nil)
}

// vacuous says why a run proves nothing, or "". chosen faults are somebody's own choice, and may be
// none, but if there are any, one has to strike.
func vacuous(p *Plan, report *reports.Run, of workload.Counts, operated int, chosen bool) string {
	c, least := &report.Counts, &p.Least
	if c.RecordsAcked < least.Acked {
		return fmt.Sprintf("only %d records were acked; at least %d were expected", c.RecordsAcked, least.Acked)
	}
	if c.RecordsRead < least.Read {
		return fmt.Sprintf("only %d records were read; at least %d were expected", c.RecordsRead, least.Read)
	}
	if p.Load.Acks == client.AcksAll && !p.Retention && !p.Compacted && !p.Beyond && c.RecordsDrained < c.RecordsAcked {
		return fmt.Sprintf("the final drain read %d records, fewer than the %d acked", c.RecordsDrained, c.RecordsAcked)
	}
	if gone := c.RecordsAcked - c.RecordsDrained; least.Cleaned > 0 && gone < least.Cleaned {
		return fmt.Sprintf("compaction took %d records; at least %d were expected", gone, least.Cleaned)
	}
	if of.Commits < least.Commits || of.Owned < least.Owned {
		return fmt.Sprintf("only %d offsets were committed and %d ownerships ended; at least %d and %d were expected", of.Commits, of.Owned, least.Commits, least.Owned)
	}
	if of.Kept < least.Kept || of.Expired < least.Expired {
		return fmt.Sprintf("%d static members came back to what they had and %d offsets expired; at least %d and %d were expected", of.Kept, of.Expired, least.Kept, least.Expired)
	}
	if of.Transactions < least.Transactions || of.Processed < least.Processed {
		return fmt.Sprintf("only %d transactions were committed and %d records processed; at least %d and %d were expected", of.Transactions, of.Processed,
			least.Transactions, least.Processed)
	}
	any, planned := 0, 0
	fired := map[string]int{}
	for _, count := range report.Fired {
		any += count.Fired
		planned += count.Planned
		fired[count.Kind] = count.Fired
	}
	if chosen {
		if planned > 0 && any == 0 {
			return fmt.Sprintf("of the schedule's %d faults none fired", planned)
		}
		return ""
	}
	for _, kind := range least.Fired {
		if fired[kind.String()] == 0 {
			return fmt.Sprintf("no fault of the kind %s fired", kind)
		}
	}
	if operated < least.Operations {
		return fmt.Sprintf("operators did %d operations; at least %d were expected", operated, least.Operations)
	}
	if any < least.FiredAny {
		return "no fault fired"
	}
	if report.Counts.ISRChanges < least.ISRChanges || report.Counts.Elections < least.Elections {
		return fmt.Sprintf("%d ISR changes and %d elections; at least %d and %d were expected", report.Counts.ISRChanges, report.Counts.Elections, least.ISRChanges, least.Elections)
	}
	if lost := racksLost(p, report); lost < least.Racks {
		return fmt.Sprintf("%d racks were lost as a whole; at least %d were expected", lost, least.Racks)
	}
	return ""
}

// account fills in what happened.
func (r *run) account() {
	p, c := r.report, r.load.Counts()
	p.Counts = reports.Counts{OK: c.OK, Failed: c.Failed, Unknown: c.Unknown, RecordsAcked: c.RecordsAcked, RecordsRead: c.RecordsRead,
		RecordsDrained: c.RecordsDrained, Elections: r.view.elections, ISRChanges: r.view.isrChanges, Heirs: r.view.heirsLed, Controllers: r.view.controllers}
	p.Leaders, p.Nodes = r.view.history, r.c.nodes
	sort.SliceStable(p.Nodes, func(i, j int) bool { return p.Nodes[i].At < p.Nodes[j].At })
	tellFaults(p, r.nemesis, &r.recorder, r.world.struck)
	for _, s := range r.slices {
		p.Slices = append(p.Slices, s.summary())
	}
}

// tellFaults writes what became of the faults into the record and the history.
func tellFaults(p *reports.Run, n *nemesis.Nemesis, recorder *history.Recorder, struck func(faults.Fault) []string) {
	for _, e := range n.Timeline() {
		f := reports.Fault{Text: e.Fault.String(), Kind: e.Fault.Kind.String(), Start: time.Duration(e.Start), End: min(time.Duration(e.End), p.Virtual), Why: e.Note, Outcome: "applied", Nodes: struck(e.Fault)}
		switch {
		case e.Status == nemesis.Withheld:
			f.Outcome = "withheld"
		case e.Status == nemesis.NoEffect || !e.Fired:
			f.Outcome = "void"
		}
		for _, l := range e.Links {
			f.Links = append(f.Links, nodeName(l[0])+">"+nodeName(l[1]))
		}
		p.Faults = append(p.Faults, f)
		recorder.Fault(history.Fault{Tag: e.Fault.Kind.String(), Start: int64(e.Start), End: int64(f.End), Text: f.Text})
	}
	for kind, count := range n.Counts() {
		if count.Planned > 0 {
			p.Fired = append(p.Fired, reports.FaultCount{Kind: faults.Kind(kind).String(), Planned: count.Planned, Fired: count.Fired,
				Applied: count.Planned - count.NoEffect - count.Withheld, Withheld: count.Withheld})
		}
	}
	sort.Slice(p.Fired, func(i, j int) bool { return p.Fired[i].Kind < p.Fired[j].Kind })
}

// slice gathers what clients were told in one stretch of time.
type slice struct {
	ok, failed, unknown int
	latencies           []time.Duration
}

func (s *slice) summary() reports.Slice {
	out := reports.Slice{OK: s.ok, Failed: s.failed, Unknown: s.unknown}
	if len(s.latencies) > 0 {
		sort.Slice(s.latencies, func(i, j int) bool { return s.latencies[i] < s.latencies[j] })
		out.LatencyP50, out.LatencyMax = s.latencies[len(s.latencies)/2], s.latencies[len(s.latencies)-1]
	}
	return out
}

// observe counts an operation into its slice, and judges it by itself.
func (r *run) observe(op history.Op) {
	r.slices = intoSlice(r.slices, op)
	r.online.Op(op)
}

// intoSlice counts an operation into its slice: by when it ended, and with its latency if it is a produce.
func intoSlice(list []slice, op history.Op) []slice {
	i := int(time.Duration(op.Return) / reports.SliceLength)
	for len(list) <= i {
		list = append(list, slice{})
	}
	s := &list[i]
	switch op.Outcome {
	case history.OK:
		s.ok++
	case history.Failed:
		s.failed++
	default:
		s.unknown++
	}
	if op.Kind == history.Produce && op.Outcome == history.OK {
		s.latencies = append(s.latencies, time.Duration(op.Return-op.Call))
	}
	return list
}
