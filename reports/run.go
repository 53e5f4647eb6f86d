package reports

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Verdict is how a run ended. The order is that of precedence: a crash explains everything after it.
type Verdict string

const (
	Pass           Verdict = "pass"
	Crash          Verdict = "crash"          // the broker panicked
	Safety         Verdict = "safety"         // it broke a promise
	Liveness       Verdict = "liveness"       // healed, it did not converge
	Nondeterminism Verdict = "nondeterminism" // the same seed gave two hashes
	Vacuous        Verdict = "vacuous"        // too little happened to prove anything
	Error          Verdict = "error"          // the harness itself failed
)

// ExitCode is the process's exit code for the verdict: 0 pass, 1 error, 10 crash, 11 liveness, 12 safety,
// 13 nondeterminism, 14 vacuous. (2 is for usage.)
func (v Verdict) ExitCode() int {
	switch v {
	case Pass:
		return 0
	case Crash:
		return 10
	case Liveness:
		return 11
	case Safety:
		return 12
	case Nondeterminism:
		return 13
	case Vacuous:
		return 14
	}
	return 1
}

// Run is the record of one judged run. Moments are virtual nanoseconds since the run began. It holds nothing that
// differs between two runs of the same seed and commit but Wall.
type Run struct {
	Scenario string   `json:"scenario"`
	Summary  string   `json:"summary"` // of the scenario, one line
	Seed     uint64   `json:"seed"`
	World    string   `json:"world"` // sim or real
	Commit   string   `json:"commit,omitempty"`
	Bugs     string   `json:"bugs,omitempty"`    // switches that were on, comma-separated
	Changes  string   `json:"changes,omitempty"` // what is otherwise than the seed says, as in a schedule's header
	Masked   []string `json:"masked,omitempty"`  // invariants that did not end the run, and come last in what it broke
	Verdict  Verdict  `json:"verdict"`
	Reason   string   `json:"reason,omitempty"` // one line, for every verdict but pass
	// Expected is what the run was expected to come to, where that is not simply a pass: a protocol known to be unsafe is to be seen
	// so. Met are the violations that were expected, and came.
	Expected  string        `json:"expected,omitempty"`
	Met       []Failure     `json:"met,omitempty"`
	Hash      string        `json:"hash"`
	Events    uint64        `json:"events"`
	Virtual   time.Duration `json:"virtual_ns"`
	Wall      time.Duration `json:"wall_ns"`
	HealedAt  time.Duration `json:"healed_at_ns"`       // faults over
	Converged time.Duration `json:"converged_ns"`       // from HealedAt until leaders, ISR and lag were well; -1 never
	Settings  []Setting     `json:"settings"`           // cluster, topic, workload, as drawn
	Counts    Counts        `json:"counts"`             // what the clients did
	Schedule  string        `json:"schedule,omitempty"` // digest of the schedule file beside the record, to know it from an edited one
	Faults    []Fault       `json:"faults"`             // the schedule, as it played
	Fired     []FaultCount  `json:"fault_counts"`       // per kind, sorted
	Failures  []Failure     `json:"violations"`         // every broken invariant
	Stack     string        `json:"stack,omitempty"`
	Leaders   []Leadership  `json:"leadership"`         // every change, in order
	Nodes     []NodeChange  `json:"nodes"`              // every change, in order
	Slices    []Slice       `json:"slices"`             // what clients saw, SliceLength each
	Measures  []Measure     `json:"measures,omitempty"` // of the real world
	LeftOut   []string      `json:"left_out,omitempty"` // faults of the schedule that this world cannot do, and why
	Notes     []string      `json:"notes,omitempty"`    // what else there is to know, a line each
	Logs      []LogTail     `json:"-"`                  // of the real world's processes, for the page
	Dir       string        `json:"-"`                  // where the run's files are, "" if nowhere
}

// LogTail is the end of a process's log.
type LogTail struct {
	Node  string
	Lines []string
}

// Measure is a time that a run measured over and over.
type Measure struct {
	Name    string        `json:"name"`
	Samples int           `json:"samples"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
	// Limit is what is promised of the 99th percentile, or of the longest if OfMax; 0 for nothing.
	Limit time.Duration `json:"limit_ns,omitempty"`
	OfMax bool          `json:"of_max,omitempty"`
}

// Within reports whether the measure keeps its limit.
func (m *Measure) Within() bool {
	if m.OfMax {
		return m.Limit == 0 || m.Max <= m.Limit
	}
	return m.Limit == 0 || m.P99 <= m.Limit
}

// SliceLength is the virtual time one Slice covers.
const SliceLength = 100 * time.Millisecond

// Setting is one drawn setting, for the record.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Counts sums up what the clients did.
type Counts struct {
	OK             int `json:"ok"`      // operations
	Failed         int `json:"failed"`  // certainly without effect
	Unknown        int `json:"unknown"` // may have had an effect
	RecordsAcked   int `json:"records_acked"`
	RecordsRead    int `json:"records_read"`
	RecordsDrained int `json:"records_drained"` // by the final drain
	Elections      int `json:"elections"`       // leader changes of partitions
	ISRChanges     int `json:"isr_changes"`
	Heirs          int `json:"heirs,omitempty"` // elections of eligible leader replicas, from outside of the ISR
	Controllers    int `json:"controllers"`     // controllers elected
}

// Fault is one fault of the schedule and what became of it.
type Fault struct {
	Text    string        `json:"text"`
	Kind    string        `json:"kind"`
	Start   time.Duration `json:"start_ns"`
	End     time.Duration `json:"end_ns"`
	Outcome string        `json:"outcome"`         // applied, withheld, or void
	Nodes   []string      `json:"nodes,omitempty"` // whom it strikes
	Links   []string      `json:"links,omitempty"` // which it strikes, directed: b1>b2
	Why     string        `json:"why,omitempty"`
}

// FaultCount counts a kind of fault.
type FaultCount struct {
	Kind     string `json:"kind"`
	Planned  int    `json:"planned"`
	Applied  int    `json:"applied"`
	Fired    int    `json:"fired"` // times it really hit something
	Withheld int    `json:"withheld"`
}

// Failure is one broken invariant.
type Failure struct {
	ID      string        `json:"id"`      // INV-…, see docs/invariants.md
	Anomaly string        `json:"anomaly"` // Jepsen's name, where there is one
	Message string        `json:"message"`
	At      time.Duration `json:"at_ns"`
	Witness []string      `json:"witness,omitempty"` // the operations that show it, a line each
}

// Leadership is a change of a partition's leader or ISR, as the cluster's ZooKeeper saw it.
type Leadership struct {
	At        time.Duration `json:"at_ns"`
	Partition string        `json:"partition"`
	Leader    int32         `json:"leader"` // -1 nobody
	Epoch     int32         `json:"epoch"`
	ISR       []int32       `json:"isr"`
}

// NodeChange is a node's coming or going.
type NodeChange struct {
	At    time.Duration `json:"at_ns"`
	Node  string        `json:"node"`
	State string        `json:"state"` // up, down, paused
}

// Slice is what clients saw in one SliceLength of virtual time.
type Slice struct {
	OK         int           `json:"ok"`
	Failed     int           `json:"failed"`
	Unknown    int           `json:"unknown"`
	LatencyP50 time.Duration `json:"p50_ns"`
	LatencyMax time.Duration `json:"max_ns"`
}

// Trim forgets what only the run's own picture shows, and keeps what tables and sums are made of.
func (r *Run) Trim() {
	r.Settings, r.Faults, r.Leaders, r.Nodes, r.Slices, r.Notes, r.Logs, r.Stack = nil, nil, nil, nil, nil, nil, nil, ""
}

// ID names the run's directory.
func (r *Run) ID() string {
	id := fmt.Sprintf("%s-%d", r.Scenario, r.Seed)
	if r.Bugs != "" {
		id += "-" + strings.ReplaceAll(r.Bugs, ",", "+")
	}
	return id
}

// Title is the line a failure is known by: "FAIL safety INV-NO-LOST-WRITE isr-shrink seed=8812 at=9.317s".
func (r *Run) Title() string {
	if r.Verdict == Pass {
		return fmt.Sprintf("PASS %s seed=%d", r.Scenario, r.Seed)
	}
	id, at := "", ""
	if len(r.Failures) > 0 {
		id, at = " "+r.Failures[0].ID, fmt.Sprintf(" at=%s", seconds(r.Failures[0].At))
	}
	return fmt.Sprintf("FAIL %s%s %s seed=%d%s", r.Verdict, id, r.Scenario, r.Seed, at)
}

// JSON is the record's lasting form.
func (r *Run) JSON() ([]byte, error) { return json.MarshalIndent(r, "", " ") }

func seconds(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }

// Broken names what a failing run broke: its first invariant, or its verdict. It is "" for a pass.
func (r *Run) Broken() string {
	switch {
	case r.Verdict == Pass:
		return ""
	case r.Verdict == Safety && len(r.Failures) > 0:
		return r.Failures[0].ID
	}
	return string(r.Verdict)
}

// Top tells failures apart that broke the same: of a crash the function that panicked, of a cluster that did not get well what
// it lacked, without the numbers; "" for a broken invariant.
func (r *Run) Top() string {
	switch r.Verdict {
	case Crash:
		return topFrame(r.Stack)
	case Liveness, Error:
		return wordsOf(r.Reason)
	}
	return ""
}

// topFrame is the first function of ours in a stack that is not the assertion itself.
func topFrame(stack string) string {
	panicked := strings.LastIndex(stack, "\npanic(")
	for _, line := range strings.Split(stack[max(0, panicked):], "\n") {
		name, _, call := strings.Cut(line, "(0x")
		if !call {
			name, _, call = strings.Cut(line, "(...)")
		}
		if !call {
			name, call = strings.CutSuffix(line, "()")
		}
		if call && strings.HasPrefix(name, "barnabas/") && !strings.HasPrefix(name, "barnabas/broker/assert.") {
			return name
		}
	}
	return ""
}

// wordsOf is a text without the words that hold a number, and no more of it than tells what it is about.
func wordsOf(s string) string {
	var out []string
	for _, w := range strings.Fields(s) {
		if !strings.ContainsAny(w, "0123456789[]") && len(out) < 8 {
			out = append(out, strings.Trim(w, ",.:"))
		}
	}
	return strings.Join(out, " ")
}

// Breaks reports whether the run broke that invariant, or ended in that verdict.
func (r *Run) Breaks(what string) bool {
	for _, f := range r.Failures {
		if f.ID == what {
			return true
		}
	}
	return string(r.Verdict) == what
}
