package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

// Format is the version of the JSON form. A reader takes this one alone.
const Format = 1

const kind = "barnabas-bench"

// Run is one workload against one cluster: every repetition and, with steps, every rate.
type Run struct {
	Kind        string       `json:"kind"`   // "barnabas-bench"
	Format      int          `json:"format"` // Format
	Workload    string       `json:"workload"`
	Title       string       `json:"title"`
	Question    string       `json:"question,omitempty"`
	Label       string       `json:"label"` // whose cluster
	Started     time.Time    `json:"started"`
	Settings    string       `json:"settings"` // the workload, as run, in YAML
	Target      Target       `json:"target"`
	Machine     Machine      `json:"machine"`         // where the client ran
	World       string       `json:"world,omitempty"` // "sim" for a simulated cluster; else a real one
	Scenario    string       `json:"scenario,omitempty"`
	Goal        *Goal        `json:"goal,omitempty"`
	Drift       []Drift      `json:"drift,omitempty"`      // of a soak
	Prediction  []Predicted  `json:"prediction,omitempty"` // of a calibration
	Repetitions []Repetition `json:"repetitions"`
	Interrupted bool         `json:"interrupted,omitempty"` // what follows is partial
	File        string       `json:"-"`

	pairedWith string // of Joined: the label in the other report that this run is compared with
}

// Goal is what a capacity search was after, and found.
type Goal struct {
	P99Millis float64 `json:"p99_ms"`
	Rate      float64 `json:"rate"` // the highest confirmed rate, records/s; 0: none
	Confirmed int     `json:"confirmed"`
	Note      string  `json:"note,omitempty"`
}

// Drift is how one figure moved through a soak.
type Drift struct {
	Figure   string  `json:"figure"`
	First    float64 `json:"first"`    // median of the first quarter
	Last     float64 `json:"last"`     // of the last
	PerHour  float64 `json:"per_hour"` // Theil and Sen's slope, as a share of the median
	Trend    bool    `json:"trend"`    // Mann and Kendall's test finds one (95 %)
	Exceeded bool    `json:"exceeded"` // a trend for the worse beyond the limit
}

// Predicted is one workload of a calibration: what the model said and what the machine did.
type Predicted struct {
	Workload  string  `json:"workload"`
	Rate      float64 `json:"rate"` // records/s
	Figure    string  `json:"figure"`
	Measured  float64 `json:"measured"`
	Predicted float64 `json:"predicted"`
	Fitted    bool    `json:"fitted,omitempty"` // the model was fitted to this figure
}

// Off is by how much the prediction is off, as a share of the measured.
func (p Predicted) Off() float64 { return ratio(p.Predicted-p.Measured, p.Measured) }

// Target is the cluster.
type Target struct {
	Bootstrap string   `json:"bootstrap"`
	ClusterID string   `json:"cluster_id,omitempty"`
	Brokers   []string `json:"brokers"`            // id host:port
	Local     []string `json:"local,omitempty"`    // pid, command line of broker processes on the client's machine
	Software  string   `json:"software,omitempty"` // as the API versions tell
	Config    []string `json:"config,omitempty"`   // KEY=VALUE of the first broker's configuration, where it is not the default
}

// Machine is where the client ran, and with a cluster on loopback the brokers too.
type Machine struct {
	Host      string   `json:"host"`
	CPU       string   `json:"cpu"`
	Cores     int      `json:"cores"`
	MemoryGB  float64  `json:"memory_gb"`
	Kernel    string   `json:"kernel"`
	Clock     string   `json:"clock"` // clock source
	Disk      string   `json:"disk,omitempty"`
	Go        string   `json:"go"`
	Client    string   `json:"client"` // franz-go's version
	Commit    string   `json:"commit,omitempty"`
	LoadAtRun float64  `json:"load_average"`
	Notes     []string `json:"notes,omitempty"`
}

// Flow is what went through.
type Flow struct {
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"` // keys and values
	Seconds float64 `json:"seconds"`
}

// MBs is megabytes (10^6) a second.
func (f Flow) MBs() float64 { return ratio(float64(f.Bytes)/1e6, f.Seconds) }

// Rate is records a second.
func (f Flow) Rate() float64 { return ratio(float64(f.Records), f.Seconds) }

// Usage is what processes used over some time.
type Usage struct {
	Processes  int     `json:"processes"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Seconds    float64 `json:"seconds"`
	RSSMax     int64   `json:"rss_max_bytes"` // summed over processes, the largest sample
	ReadBytes  int64   `json:"disk_read_bytes"`
	WroteBytes int64   `json:"disk_write_bytes"`
	NetIn      int64   `json:"net_in_bytes,omitempty"` // over the connections that the brokers accepted; 0: not known
	NetOut     int64   `json:"net_out_bytes,omitempty"`
}

// Cores is how many cores were busy on average.
func (u Usage) Cores() float64 { return ratio(u.CPUSeconds, u.Seconds) }

// NetMBs is what went over the brokers' connections in both directions, DiskMBs what they wrote to devices.
func (u Usage) NetMBs() float64  { return ratio(float64(u.NetIn+u.NetOut)/1e6, u.Seconds) }
func (u Usage) DiskMBs() float64 { return ratio(float64(u.WroteBytes)/1e6, u.Seconds) }

// Repetition is one measured stretch.
type Repetition struct {
	Started    time.Time    `json:"started"`
	Mode       string       `json:"mode"`       // open, closed or none
	Offered    float64      `json:"offered"`    // records/s of the schedule; 0 for closed and none
	Seconds    float64      `json:"seconds"`    // of the measured stretch
	Produced   Flow         `json:"produced"`   // acknowledged within it
	Consumed   Flow         `json:"consumed"`   // by all consumers
	Produce    *Histogram   `json:"produce"`    // µs from the intended time (open) or the send (closed) to the ack
	EndToEnd   *Histogram   `json:"end_to_end"` // µs from the same to the consumer's hands
	Fetch      *Histogram   `json:"fetch"`      // µs of fetch requests, waiting included
	Commit     *Histogram   `json:"commit"`     // µs of transactions' commits and of groups' offset commits
	Slip       *Histogram   `json:"slip"`       // ns by which the generator was late by its own fault
	Blocked    float64      `json:"blocked"`    // seconds in which the client's buffer was full
	Intervals  []Interval   `json:"intervals"`
	Brokers    Usage        `json:"brokers"`
	Client     Usage        `json:"client"`
	Others     float64      `json:"others"` // cores used by other processes of the machine
	Idle       float64      `json:"idle"`   // cores that were idle
	Errors     []ErrorCount `json:"errors,omitempty"`
	Unfinished int64        `json:"unfinished,omitempty"` // records never answered; they count as old as they were
	Void       []string     `json:"void,omitempty"`       // why the latencies do not count
	Caveats    []string     `json:"caveats,omitempty"`
	Events     []Event      `json:"events,omitempty"`
	Fault      *FaultCost   `json:"fault,omitempty"` // of a run through a fault
}

// Event is something that happened while it was measured: a leader change, a fault, a garbage collection.
type Event struct {
	At   float64 `json:"at"`   // seconds from the start of the stretch
	Kind string  `json:"kind"` // fault, heal, leader or gc
	Text string  `json:"text"`
}

// Happened is the events but for collections of garbage, of which there are many.
func (r *Repetition) Happened() []Event {
	return slices.DeleteFunc(slices.Clone(r.Events), func(e Event) bool { return e.Kind == "gc" })
}

// FaultCost is what a fault cost.
type FaultCost struct {
	At         float64 `json:"at"`          // seconds from the start of the stretch, of the first fault
	Before     float64 `json:"before_p99"`  // µs, over the intervals before it
	Worst      float64 `json:"worst"`       // µs, the largest latency of a record meant for the time from the fault on
	Silent     float64 `json:"silent"`      // seconds without any acknowledgement, the longest stretch
	Recovered  float64 `json:"recovered"`   // seconds from the fault until throughput and p99 were back for good; -1: not within the run
	Failed     int64   `json:"failed"`      // records that were given up
	LostBudget float64 `json:"late_budget"` // share of the records that took over ten times the p99 from before
}

// CPUPerGB is the brokers' CPU seconds per gigabyte (10^9) that went through, in both directions together.
func (r *Repetition) CPUPerGB() float64 {
	return ratio(r.Brokers.CPUSeconds, float64(r.Produced.Bytes+r.Consumed.Bytes)/1e9)
}

// Sentence is the cost in words.
func (f *FaultCost) Sentence() string {
	text := fmt.Sprintf("fault at %.1f s: p99 before %s, worst %s, %.1f s without an acknowledgement, %.2f %% of the records late", f.At, micros(f.Before), micros(f.Worst), f.Silent, 100*f.LostBudget)
	if f.Failed > 0 {
		text += fmt.Sprintf(", %d given up", f.Failed)
	}
	if f.Recovered < 0 {
		return text + "; not recovered within the run"
	}
	return text + fmt.Sprintf("; back to normal after %.1f s", f.Recovered)
}

// ErrorCount is one kind of error.
type ErrorCount struct {
	Error string `json:"error"`
	Count int64  `json:"count"`
}

// Interval is a slice of time of a repetition.
type Interval struct {
	At        float64    `json:"at"` // seconds from the start of the stretch
	Seconds   float64    `json:"seconds"`
	Produced  Flow       `json:"produced"`
	Consumed  Flow       `json:"consumed"`
	Produce   *Histogram `json:"produce,omitempty"`
	EndToEnd  *Histogram `json:"end_to_end,omitempty"`
	Fetch     *Histogram `json:"fetch,omitempty"`
	Commit    *Histogram `json:"commit,omitempty"`
	BrokerCPU float64    `json:"broker_cores"`
	ClientCPU float64    `json:"client_cores"`
	BrokerRSS int64      `json:"broker_rss_bytes"`
	BrokerNet float64    `json:"broker_net_mb_s,omitempty"`  // both directions
	BrokerDsk float64    `json:"broker_disk_mb_s,omitempty"` // written
	Errors    int64      `json:"errors,omitempty"`
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Valid is the repetitions that count.
func (r *Run) Valid() []*Repetition {
	var valid []*Repetition
	for i := range r.Repetitions {
		if len(r.Repetitions[i].Void) == 0 {
			valid = append(valid, &r.Repetitions[i])
		}
	}
	return valid
}

// Save writes the run to a file that appears whole or not at all.
func (r *Run) Save(file string) error {
	r.Kind, r.Format, r.File = kind, Format, file
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".tmp", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// ErrNotRun marks a JSON file that is not the record of a run.
var ErrNotRun = errors.New("not the record of a load test")

// Load reads one file.
func Load(file string) (*Run, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var head struct {
		Kind   string
		Format int
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("%s: %w: %v", file, ErrNotRun, err)
	}
	if head.Kind != kind {
		return nil, fmt.Errorf("%s: %w", file, ErrNotRun)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("%s: format %d, this program reads %d", file, head.Format, Format)
	}
	r := &Run{File: file}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// LoadDir reads every run of a directory, oldest first; other JSON files are passed over.
func LoadDir(dir string) ([]*Run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	var runs []*Run
	for _, file := range files {
		r, err := Load(file)
		if errors.Is(err, ErrNotRun) {
			continue
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("%s holds no record of a load test (*.json made by 'barnabas bench')", dir)
	}
	sort.SliceStable(runs, func(i, j int) bool { return runs[i].Started.Before(runs[j].Started) })
	return runs, nil
}
