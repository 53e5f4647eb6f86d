package bench

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"barnabas/reports/load"
)

// Workload is what to do to a cluster. The YAML keys are the form that people write; a key that is not here is an error
// with its line. See docs/benchmarks/README.md.
type Workload struct {
	Name      string     `yaml:"name"`
	Title     string     `yaml:"title"`
	Question  string     `yaml:"question,omitempty"`
	Topic     Topic      `yaml:"topic"`
	Records   Records    `yaml:"records"`
	Producers Producers  `yaml:"producers"`
	Load      Load       `yaml:"load"`
	Consumers []Consumer `yaml:"consumers,omitempty"`
	Phases    Phases     `yaml:"phases"`
}

// Topic is where the records go. Each repetition makes its own and deletes it, unless Name says which to use.
type Topic struct {
	Name        string            `yaml:"name,omitempty"`
	Partitions  int32             `yaml:"partitions"`
	Replication int16             `yaml:"replication"`
	Config      map[string]string `yaml:"config,omitempty"`
}

// Records is what they look like.
type Records struct {
	Size            Size        `yaml:"size,omitempty"`  // of the value, every record's
	Sizes           []SizeShare `yaml:"sizes,omitempty"` // or drawn from these
	Key             string      `yaml:"key"`             // none, uniform or zipf
	Keys            int         `yaml:"keys,omitempty"`  // how many different ones
	Zipf            float64     `yaml:"zipf,omitempty"`  // exponent, above 1
	Compressibility float64     `yaml:"compressibility"` // share of each value that repeats: 0 is random bytes
}

// SizeShare is one size of a distribution.
type SizeShare struct {
	Bytes Size    `yaml:"bytes"`
	Share float64 `yaml:"share"`
}

// Producers is who sends.
type Producers struct {
	Count      int      `yaml:"count"`
	Acks       string   `yaml:"acks"` // 0, 1 or all
	Idempotent bool     `yaml:"idempotent"`
	Batch      Size     `yaml:"batch"`
	Linger     Duration `yaml:"linger"`
	Codec      string   `yaml:"codec"`     // none, gzip, snappy, lz4, zstd
	InFlight   int      `yaml:"in_flight"` // requests to a broker; idempotent producers always have 5
	Buffer     Size     `yaml:"buffer"`    // how much all producers hold before sending waits
	// Transaction is how many records make a transaction; 0: none. A record then counts as acknowledged when its transaction
	// has committed.
	Transaction int `yaml:"transaction,omitempty"`
}

// Load is how much.
type Load struct {
	Mode     string    `yaml:"mode"`               // open, closed, or none
	Arrivals string    `yaml:"arrivals,omitempty"` // constant or poisson
	Rate     float64   `yaml:"rate,omitempty"`     // records/s over all producers
	Steps    []float64 `yaml:"steps,omitempty"`    // or several rates, one after the other
	Ramp     *Ramp     `yaml:"ramp,omitempty"`     // or a rate that rises or falls evenly through the measured stretch
}

// Ramp is a rate that changes evenly: the warm-up runs at From, the cool-down at To.
type Ramp struct {
	From float64 `yaml:"from"` // records/s
	To   float64 `yaml:"to"`
}

// Consumer is one kind of consumer.
type Consumer struct {
	Mode     string   `yaml:"mode"`              // tail: along with the producers; catchup: a backlog written before
	Fanout   int      `yaml:"fanout"`            // how many read everything
	Members  int      `yaml:"members"`           // how many share the partitions of one of those
	Group    bool     `yaml:"group,omitempty"`   // as a consumer group; else partitions are dealt out
	Backlog  Size     `yaml:"backlog,omitempty"` // of catchup
	MaxWait  Duration `yaml:"max_wait"`
	MaxBytes Size     `yaml:"max_bytes"`
	MinBytes Size     `yaml:"min_bytes"`
	// Isolation is read_uncommitted, or read_committed: only what committed transactions wrote.
	Isolation string `yaml:"isolation,omitempty"`
	// Commit is how often each member of a group commits its offsets.
	Commit Duration `yaml:"commit,omitempty"`
}

// Phases is how long.
type Phases struct {
	Warmup      Duration `yaml:"warmup"`
	Measure     Duration `yaml:"measure"`
	Cooldown    Duration `yaml:"cooldown"`
	Interval    Duration `yaml:"interval"`
	Repetitions int      `yaml:"repetitions"`
}

func defaults() Workload {
	return Workload{
		Topic:     Topic{Partitions: 1, Replication: 1},
		Records:   Records{Key: "none", Keys: 10_000, Zipf: 1.1},
		Producers: Producers{Count: 1, Acks: "all", Idempotent: true, Batch: 1 << 20, Codec: "none", InFlight: 5, Buffer: 64 << 20},
		Load:      Load{Mode: "closed", Arrivals: "constant"},
		Phases:    Phases{Warmup: sec(3), Measure: sec(10), Cooldown: sec(1), Interval: sec(1), Repetitions: 3},
	}
}

func sec(n int) Duration { return Duration(time.Duration(n) * time.Second) }

func (c *Consumer) fill() {
	if c.Fanout == 0 {
		c.Fanout = 1
	}
	if c.Members == 0 {
		c.Members = 1
	}
	if c.MaxWait == 0 {
		c.MaxWait = Duration(500 * time.Millisecond)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 16 << 20
	}
	if c.MinBytes == 0 {
		c.MinBytes = 1
	}
	if c.Isolation == "" {
		c.Isolation = "read_uncommitted"
	}
	if c.Group && c.Commit == 0 {
		c.Commit = Duration(time.Second)
	}
}

// Unfit is a workload or a setting that the question which was asked makes no sense with, in a sentence.
type Unfit string

func (u Unfit) Error() string { return string(u) }

func unfit(format string, args ...any) error { return Unfit(fmt.Sprintf(format, args...)) }

//go:embed workloads/*.yaml
var embedded embed.FS

// calibrateWorkload is what 'bench calibrate' runs; as a workload by itself its name would be the command's.
const calibrateWorkload = "calibrate"

// Names lists the workloads that come with the program, for people.
func Names() []string {
	entries, _ := embedded.ReadDir("workloads")
	var names []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".yaml"); name != calibrateWorkload {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Read finds a workload: a file, or one that comes with the program by its name. sets are KEY=VALUE with dotted keys
// (producers.batch=64KiB), applied before anything is checked.
func Read(name string, sets []string) (*Workload, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		var inner error
		if data, inner = embedded.ReadFile(path.Join("workloads", name+".yaml")); inner != nil {
			if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			return nil, fmt.Errorf("%s: no such file, and none of the ready-made workloads: %s", name, strings.Join(Names(), ", "))
		}
	}
	if len(sets) > 0 {
		if _, err := Parse(name, data); err != nil {
			return nil, err
		}
		if data, err = override(data, sets); err != nil {
			return nil, err
		}
		w, err := Parse(name, data)
		if err != nil { // lines are those of a document that nobody has seen
			return nil, errors.New(strings.Replace(lineNumber.ReplaceAllString(err.Error(), ": "), name, name+" with --set", 1))
		}
		return w, nil
	}
	return Parse(name, data)
}

var lineNumber = regexp.MustCompile(`:\d+: `)

// Parse reads one workload. Errors name the file and the line.
func Parse(file string, data []byte) (*Workload, error) {
	w := defaults()
	if err := load.Strict(file, data, &w); err != nil {
		return nil, err
	}
	for i := range w.Consumers {
		w.Consumers[i].fill()
	}
	if field, err := w.check(); err != nil {
		return nil, fmt.Errorf("%s:%s %s: %w", file, line(data, field), strings.TrimPrefix(field, "$."), err)
	}
	return &w, nil
}

// line finds where a field stands, as "12:", or "" for one that was left out.
func line(data []byte, field string) string {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return ""
	}
	p, err := yaml.PathString(field)
	if err != nil {
		return ""
	}
	node, err := p.FilterFile(file)
	if err != nil || node == nil || node.GetToken() == nil {
		return ""
	}
	return fmt.Sprintf("%d:", node.GetToken().Position.Line)
}

// override sets dotted keys in a document.
func override(data []byte, sets []string) ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %s: not KEY=VALUE", set)
		}
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			return nil, fmt.Errorf("--set %s: %v", set, err)
		}
		parts := strings.Split(key, ".")
		at := doc
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				if at[part] != nil {
					return nil, fmt.Errorf("--set %s: %s holds no keys", set, part)
				}
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = v
	}
	return yaml.Marshal(doc)
}

// YAML is the whole workload, defaults and all.
func (w *Workload) YAML() string {
	data, err := yaml.Marshal(w)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
