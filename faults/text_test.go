package faults

import (
	_ "embed"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/every-kind.txt
var everyKind string

// Goal: every kind has a text form that is read and written the same. Method: a golden file with all of them.
func TestEveryKindRoundTrips(t *testing.T) {
	file, err := Parse("every-kind.txt", []byte(everyKind))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(file.Format()); got != everyKind {
		t.Errorf("formats as:\n%s", got)
	}
	var seen [KindCount]bool
	for _, f := range file.Schedule {
		seen[f.Kind] = true
	}
	for k := range KindCount {
		if !seen[k] {
			t.Errorf("%s is not in the file", k)
		}
		if again, ok := KindNamed(k.String()); again != k || !ok {
			t.Errorf("%s is not the name of its kind", k)
		}
	}
	if file.Header != (Header{Scenario: "isr-shrink", Seed: 8812, Commit: "ab12cd3"}) {
		t.Errorf("header %+v", file.Header)
	}
	want := Fault{At: 3200 * time.Millisecond, Kind: PartitionOneWay, From: []Node{2}, To: []Node{1, 3}, For: 4 * time.Second}
	if !reflect.DeepEqual(file.Schedule[3], want) {
		t.Errorf("parsed %+v", file.Schedule[3])
	}
}

// Goal: what a person writes is understood: any order of words and lines, comments, blank lines, unsorted nodes.
func TestParseIsLenientWhereNothingIsLost(t *testing.T) {
	file, err := Parse("x", []byte("# a note\r\n\n  5s  crash   for=1s node=2\n# seed=7 scenario=steady\n"+
		"1.5s partition oneway to=3,1,3 from=2\n1.500s pause node=1\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := "# scenario=steady seed=7\n1.500s partition from=2 to=1,3 oneway\n1.500s pause node=1\n5.000s crash node=2 for=1s\n"
	if got := string(file.Format()); got != want {
		t.Errorf("formats as:\n%s", got)
	}
	if !reflect.DeepEqual(file.Lines, []int{5, 6, 3}) {
		t.Errorf("the faults were read from lines %v", file.Lines)
	}
	if got := file.Wrong(2, "it is not so", "do otherwise").Error(); got != "x:3: it is not so; do otherwise" {
		t.Errorf("wrong is %q", got)
	}
}

// Goal: a mistake is told with file, line, reason and remedy.
func TestParseNamesTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"3.2 crash node=1":                   `"3.2" is not a time; write seconds with the unit, such as "3.200s"`,
		"-1s crash node=1":                   `"-1s" is not a time; write seconds with the unit, such as "3.200s"`,
		"1m crash node=1":                    `"1m" is not a time; write seconds with the unit, such as "3.200s"`,
		"9999999s crash node=1":              `"9999999s" is not a time; write seconds with the unit, such as "3.200s"`,
		"1s":                                 `a time and no fault; write one of crash, power, pause, partition, isolate, link, disk, zookeeper expire, zookeeper restart, zookeeper outage, zookeeper cut, clog, reset, refuse, halves, ring, wipe, clock, client crash, client pause, client twin, blackout, swap-disks, loss, half-open, bandwidth, hold-back, lose-entry, zookeeper pause, zookeeper lose-watches behind it`,
		"1s partitoin from=1 to=2":           `unknown fault "partitoin from=1 to=2"; write one of crash, power, pause, partition, isolate, link, disk, zookeeper expire, zookeeper restart, zookeeper outage, zookeeper cut, clog, reset, refuse, halves, ring, wipe, clock, client crash, client pause, client twin, blackout, swap-disks, loss, half-open, bandwidth, hold-back, lose-entry, zookeeper pause, zookeeper lose-watches`,
		"1s zookeeper":                       `unknown fault "zookeeper"; write one of crash, power, pause, partition, isolate, link, disk, zookeeper expire, zookeeper restart, zookeeper outage, zookeeper cut, clog, reset, refuse, halves, ring, wipe, clock, client crash, client pause, client twin, blackout, swap-disks, loss, half-open, bandwidth, hold-back, lose-entry, zookeeper pause, zookeeper lose-watches`,
		"1s crash":                           `crash without node=; write it like "crash node=2 for=3s"`,
		"1s crash node=one":                  `node=one is no node; write a broker's id, from 1 on, or one of zk, clients, leader, controller, others`,
		"1s crash node=-1":                   `node=-1 is no node; write a broker's id, from 1 on, or one of zk, clients, leader, controller, others`,
		"1s crash node=0":                    `node=0 is no node; write a broker's id, from 1 on, or one of zk, clients, leader, controller, others`,
		"1s partition from=0 to=1":           `from=0 is no node; write a broker's id, from 1 on, or one of zk, clients, leader, controller, others`,
		"1s crash node=clients":              `node=clients is not one node; name a broker by its id, zk, leader or controller`,
		"1s crash node=1 node=2":             `crash does not take "node=2", or not twice; write it like "crash node=2 for=3s"`,
		"1s crash node=1 keep=all":           `crash does not take "keep=all", or not twice; write it like "crash node=2 for=3s"`,
		"1s crash node=1 for=3":              `for=3 is not a duration; write a positive one with its unit, such as "4s" or "50ms"`,
		"1s crash node=1 for=-3s":            `for=-3s is not a duration; write a positive one with its unit, such as "4s" or "50ms"`,
		"1s power node=1":                    `power without keep=; write it like "power node=3 keep=random for=6s"`,
		"1s power node=1 keep=some":          `keep=some is unknown; write one of random, none, all`,
		"1s partition from=1,2 to=2,3":       `2 is on both sides; leave it out of from= or to=`,
		"1s partition from=others to=others": `others is on both sides; leave it out of from= or to=`,
		"1s partition from=1":                `partition without to=; write it like "partition from=2 to=1,3 for=4s"`,
		"1s partition from=1 to=":            `to= is no node; write a broker's id, from 1 on, or one of zk, clients, leader, controller, others`,
		"1s disk node=1 op=meta fail":        `op=meta does not go with this fault; write it like "disk node=1 op=all slow=20 for=4s"`,
		"1s disk node=1 op=all slow=1":       `slow=1 is not a factor; write a whole number from 2 to 1000000`,
		"1s link from=1 to=2 delay=forever":  `delay=forever is not a duration; write a positive one with its unit, such as "4s" or "50ms"`,
		"1s zookeeper expire node=zk":        `node=zk has no session; name a broker, leader or controller`,
		"1s zookeeper restart for=1s":        `zookeeper restart does not take "for=1s", or not twice; write it like "zookeeper restart"`,
		"1s disk node=1 op=read torn":        `op=read does not go with this fault; write it like "disk node=1 op=write torn for=2s"`,
		"1s disk node=1 flip=0":              `flip=0 is not a number of bits; write a whole number from 1 to 1000`,
		"1s disk node=1 flip=1 for=1s":       `disk does not take "for=1s", or not twice; write it like "disk node=2 flip=3"`,
		"1s swap-disks from=1,2 to=3":        `disks are swapped between two brokers; write it like "swap-disks from=1 to=2 for=3s"`,
		"1s blackout nodes=clients keep=all": `nodes=… with clients; name brokers by their ids, zk, leader or controller`,
		"1s loss from=1 to=2 one-in=1":       `one-in=1 is not a number of segments; write a whole number from 2 to 1000000`,
		"1s bandwidth from=1 to=2 bytes=9":   `bytes=9 is not a number of bytes a second; write a whole number from 1024 to 1099511627776`,
		"# seed=x":                           `seed "x" is not a number; write a number from 0 to 2^64-1`,
		"# scenario=a sede=1":                `unknown header field "sede=1"; the header has scenario=, seed=, commit=, bugs=, invariant=, brokers=, partitions=, producers=, consumers=, transactional=, processors=, members=, legacy=, operators=, records=, pause=, beyond=, begin=, heal=, settle=, redraw=, redraw-at=`,
		"1s crash node=1" + strings.Repeat(" ", 1) + strings.Repeat("x", lineMax): `a line of 4112 bytes; keep lines below 4096 bytes`,
	} {
		_, err := Parse("a.schedule", []byte("# first line\n"+text+"\n"))
		var perr *ParseError
		if !errors.As(err, &perr) || err.Error() != "a.schedule:2: "+want {
			t.Errorf("%s\n got %v\nwant a.schedule:2: %s", text, err, want)
		}
	}
	if _, err := Parse("x", []byte("# seed=1\n# seed=2")); err == nil || !strings.HasPrefix(err.Error(), "x:2: a second header") {
		t.Errorf("two headers: %v", err)
	}
	if _, err := Parse("x", []byte(strings.Repeat("1s crash node=1\n", faultsMax+1))); err == nil {
		t.Error("a schedule without bound was taken")
	}
}

// FuzzParse: nothing makes Parse panic, and what it takes it writes and reads back to the same value.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everyKind))
	for line := range strings.Lines(everyKind) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz", data)
		if err != nil {
			if perr := new(ParseError); !errors.As(err, &perr) || perr.Line < 1 || perr.Reason == "" || perr.Remedy == "" {
				t.Fatalf("an error that does not say enough: %v", err)
			}
			return
		}
		again, err := Parse("again", file.Format())
		if err != nil {
			t.Fatalf("does not read its own text: %v\n%s", err, file.Format())
		}
		if again.Header != file.Header || !reflect.DeepEqual(again.Schedule, file.Schedule) {
			t.Fatalf("changed from\n%s to\n%s", file.Format(), again.Format())
		}
	})
}
