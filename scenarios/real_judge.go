package scenarios

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"barnabas/broker/client"
	"barnabas/reports"
)

// end sets the verdict unless one stands.
func (r *realRun) end(v reports.Verdict, why string) {
	if r.report.Verdict == "" {
		r.report.Verdict, r.report.Reason = v, why
	}
}

// finish ends the clients, whatever state they are in, and what else of the run still goes on. It leaves the processes.
func (r *realRun) finish() {
	r.load.Stop()
	r.mu.Lock()
	lives := make([]Life, 0, len(r.lives))
	for _, life := range r.lives { // unordered: all are killed
		lives = append(lives, life)
	}
	r.mu.Unlock()
	for _, life := range lives {
		life.Kill()
	}
	if r.view != nil {
		r.view.stop()
	}
	r.timers.stop()
	if r.c == nil && r.created && r.report.Verdict == "" {
		c := client.New(r.e, client.Options{Bootstrap: r.plan.Load.Bootstrap, ClientID: "admin", DialTimeout: 2 * time.Second, RequestTimeout: 10 * time.Second, Negotiate: true})
		defer c.Close()
		if err := client.NewAdmin(c).DeleteTopics(10*time.Second, r.plan.topicNames()...); err != nil {
			r.report.Notes = append(r.report.Notes, fmt.Sprintf("topic %s is still there: %v", r.plan.Load.Topic, err))
		}
	}
}

// judge decides the verdict and completes the record, in the order of precedence that the simulated world has.
func (r *realRun) judge() {
	p := r.report
	p.Virtual = time.Duration(r.e.Mono())
	r.mu.Lock()
	errs := r.errs
	r.mu.Unlock()
	if len(errs) > 0 {
		r.end(reports.Error, errs[0].Error())
	}
	r.account()
	drained := r.created && len(r.recorder.History.Drains) == r.load.Drains()
	if r.created {
		if unknown := judgeHistory(p, &r.recorder.History, drained); unknown != "" {
			r.end(reports.Error, unknown)
		}
	}
	if drained && p.Verdict == "" {
		r.compareLogs()
	}
	if r.created && r.plan.meetExpectation(p) {
		r.end(reports.Vacuous, "it was expected to fail, and did not")
	}
	if len(p.Failures) > 0 {
		p.Verdict, p.Reason = reports.Safety, p.Failures[0].ID+": "+p.Failures[0].Message
	}
	if r.o.Processes != nil {
		if name, stack := r.o.Processes.Panicked(); name != "" {
			first, _, _ := strings.Cut(stack, "\n")
			p.Verdict, p.Reason, p.Stack = reports.Crash, name+": "+first, stack
		}
	}
	if p.Verdict == "" {
		p.Verdict = reports.Pass
		if why := vacuous(r.plan, p, r.load.Counts(), r.operated, r.o.Schedule != nil); why != "" {
			p.Verdict, p.Reason = reports.Vacuous, why
		}
	}
}

// account fills in what happened.
func (r *realRun) account() {
	p, c := r.report, r.load.Counts()
	p.Counts = reports.Counts{OK: c.OK, Failed: c.Failed, Unknown: c.Unknown, RecordsAcked: c.RecordsAcked, RecordsRead: c.RecordsRead, RecordsDrained: c.RecordsDrained}
	for _, s := range r.slices {
		p.Slices = append(p.Slices, s.summary())
	}
	if r.c == nil {
		return
	}
	r.mu.Lock()
	p.Nodes = r.nodes
	r.mu.Unlock()
	sort.SliceStable(p.Nodes, func(i, j int) bool { return p.Nodes[i].At < p.Nodes[j].At })
	r.view.account(p)
	if r.nemesis != nil {
		tellFaults(p, r.nemesis, &r.recorder, r.world.struck)
		p.Measures = r.measure()
	}
}
