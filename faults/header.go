package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Header says where a schedule comes from, and what else it takes to reproduce its run. Empty fields are not written.
type Header struct {
	Scenario  string
	Seed      uint64
	Commit    string
	Bugs      string // switches of the bug zoo, comma-separated
	Invariant string // what breaks: an invariant's id, or a verdict ("crash", "liveness")
	Changes   Changes
}

// None as a count in Changes: not one. Zero means as drawn.
const None = -1

// Changes are what a run does otherwise than its seed says, to be smaller or to take another way. The zero value
// changes nothing. In the header each is a word: "brokers=3 partitions=1 producers=1 consumers=0 records=12".
type Changes struct {
	Brokers, Partitions, Producers, Consumers  int
	Transactional, Processors, Members, Legacy int           // clients of these kinds
	Operators                                  int           // administrators at work
	Records                                    int           // handed over by all producers together
	Pause                                      time.Duration // mean time between two records of one producer
	Begin                                      time.Duration // no client starts before
	Heal                                       time.Duration // when the faults end
	Settle                                     time.Duration // how long clients go on once the cluster is well again
	// Beyond, if not zero, lets the faults do more than Kafka promises to bear.
	Beyond int
	// Redraw, if not zero, redraws every random choice but the plan and the schedule: another way through the same
	// trial. It does so at the instant RedrawAt, from which on the run is another; zero is from the start.
	Redraw   uint64
	RedrawAt time.Duration
}

// changeField is one word of Changes.
type changeField struct {
	key      string
	count    *int
	duration *time.Duration
	number   *uint64
}

func (c *Changes) fields() []changeField {
	return []changeField{
		{key: "brokers", count: &c.Brokers}, {key: "partitions", count: &c.Partitions}, {key: "producers", count: &c.Producers},
		{key: "consumers", count: &c.Consumers}, {key: "transactional", count: &c.Transactional}, {key: "processors", count: &c.Processors},
		{key: "members", count: &c.Members}, {key: "legacy", count: &c.Legacy}, {key: "operators", count: &c.Operators},
		{key: "records", count: &c.Records}, {key: "pause", duration: &c.Pause},
		{key: "beyond", count: &c.Beyond},
		{key: "begin", duration: &c.Begin}, {key: "heal", duration: &c.Heal}, {key: "settle", duration: &c.Settle},
		{key: "redraw", number: &c.Redraw}, {key: "redraw-at", duration: &c.RedrawAt},
	}
}

// String is the words of the header, "" if nothing is changed.
func (c Changes) String() string {
	var words []string
	for _, f := range c.fields() {
		switch {
		case f.count != nil && *f.count != 0:
			words = append(words, fmt.Sprintf("%s=%d", f.key, max(0, *f.count)))
		case f.duration != nil && *f.duration != 0:
			words = append(words, f.key+"="+f.duration.String())
		case f.number != nil && *f.number != 0:
			words = append(words, f.key+"="+strconv.FormatUint(*f.number, 10))
		}
	}
	return strings.Join(words, " ")
}

// headerKeys are the words that a header may begin with.
func headerKeys() []string {
	keys := []string{"scenario", "seed", "commit", "bugs", "invariant"}
	for _, f := range new(Changes).fields() {
		keys = append(keys, f.key)
	}
	return keys
}

// isHeader tells the header from other comments: its first word is one of the header's keys.
func isHeader(text string) bool {
	if !strings.HasPrefix(text, "#") {
		return false
	}
	words := strings.Fields(text[1:])
	if len(words) == 0 {
		return false
	}
	key, _, ok := strings.Cut(words[0], "=")
	return ok && slices.Contains(headerKeys(), key)
}

func parseHeader(text string) (h Header, err *ParseError) {
	for _, word := range strings.Fields(text[1:]) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "scenario":
			h.Scenario = value
		case "commit":
			h.Commit = value
		case "bugs":
			h.Bugs = value
		case "invariant":
			h.Invariant = value
		case "seed":
			seed, perr := strconv.ParseUint(value, 10, 64)
			if perr != nil {
				return h, wrong("seed %q is not a number", value)("write a number from 0 to 2^64-1")
			}
			h.Seed = seed
		default:
			if err := h.Changes.parse(key, value); err != nil {
				return h, err
			}
		}
	}
	return h, nil
}

const countMax = 1_000_000

// mayBeNone tells whether a trial can do without.
func mayBeNone(key string) bool {
	return !slices.Contains([]string{"brokers", "partitions", "records", "beyond"}, key)
}

func (c *Changes) parse(key, value string) *ParseError {
	for _, f := range c.fields() {
		switch {
		case f.key != key:
		case f.duration != nil:
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 || d > timeMax {
				return wrong("%s=%s is not a duration", key, value)(`write a positive one with its unit, such as "4s" or "50ms"`)
			}
			*f.duration = d
			return nil
		case f.number != nil:
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil || n == 0 {
				return wrong("%s=%s is not a number from 1 on", key, value)("write a number from 1 to 2^64-1")
			}
			*f.number = n
			return nil
		default:
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > countMax || n == 0 && !mayBeNone(key) {
				return wrong("%s=%s is not such a number", key, value)("write a number from 1 to %d", countMax)
			}
			if *f.count = n; n == 0 {
				*f.count = None
			}
			return nil
		}
	}
	return wrong("unknown header field %q", key+"="+value)("the header has %s", strings.Join(headerKeys(), "=, ")+"=")
}

// format is the header's line, "" if it is empty.
func (h Header) format() string {
	if h == (Header{}) {
		return ""
	}
	words := []string{"#"}
	add := func(key, value string) {
		if value != "" {
			words = append(words, key+"="+value)
		}
	}
	add("scenario", h.Scenario)
	add("seed", strconv.FormatUint(h.Seed, 10))
	add("commit", h.Commit)
	add("bugs", h.Bugs)
	add("invariant", h.Invariant)
	if c := h.Changes.String(); c != "" {
		words = append(words, c)
	}
	return strings.Join(words, " ") + "\n"
}
