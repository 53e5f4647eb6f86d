package load

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Goal: the percentile file and the interval log stay byte for byte what HdrHistogram's own tools were seen to read (its
// HistogramLogProcessor gives the same percentiles from the log). Method: a run of known latencies against golden files; the log's
// compressed payloads are compared by what they hold, since compressors may change.
func TestHistogramFilesAreGolden(t *testing.T) {
	run := sample("A", 1)
	run.Repetitions = run.Repetitions[:1]
	var hgrm, log bytes.Buffer
	if err := run.Repetitions[0].EndToEnd.WriteHGRM(&hgrm); err != nil {
		t.Fatal(err)
	}
	if err := IntervalLog(&log, run); err != nil {
		t.Fatal(err)
	}
	golden := func(name string, got []byte) []byte {
		file := filepath.Join("testdata", name)
		if *update {
			os.MkdirAll("testdata", 0o755)
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return want
	}
	if want := golden("end-to-end.hgrm", hgrm.Bytes()); !bytes.Equal(want, hgrm.Bytes()) {
		t.Errorf("the percentile file is another:\n%s", hgrm.String())
	}
	read := func(data []byte) (heads []string, all *hdr.Histogram) {
		all = hdr.New(1, 600_000_000, 3)
		for _, line := range strings.Split(string(data), "\n") {
			if at := strings.LastIndexByte(line, ','); at > 0 && !strings.HasPrefix(line, "\"") {
				line = line[:at]
			}
			heads = append(heads, line)
		}
		reader := hdr.NewHistogramLogReader(bytes.NewReader(data))
		for {
			h, err := reader.NextIntervalHistogram()
			if err != nil {
				t.Fatal(err)
			}
			if h == nil {
				return heads, all
			}
			all.Merge(h)
		}
	}
	wantHeads, want := read(golden("intervals.hlog", log.Bytes()))
	heads, got := read(log.Bytes())
	if strings.Join(heads, "\n") != strings.Join(wantHeads, "\n") || !got.Equals(want) {
		t.Errorf("the interval log is another:\n%s", strings.Join(heads, "\n"))
	}
	if n := got.TotalCount(); n != 2*5*1000 {
		t.Errorf("the log holds %d values", n)
	}
}
