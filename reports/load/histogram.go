package load

import (
	"encoding/json"
	"fmt"
	"io"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram is an HDR histogram, three significant digits. Latencies are whole µs from 1 µs to 10 minutes; slip is ns up to
// ten seconds. The zero pointer counts as empty.
type Histogram struct {
	*hdr.Histogram
	Unit string
}

// NewLatency is an empty histogram of µs.
func NewLatency() *Histogram { return &Histogram{hdr.New(1, 600_000_000, 3), "us"} }

// NewSlip is an empty histogram of ns.
func NewSlip() *Histogram { return &Histogram{hdr.New(1, 10_000_000_000, 3), "ns"} }

// Record counts a value, held to the range: what takes longer than ten minutes took ten minutes.
func (h *Histogram) Record(v int64) {
	h.RecordValue(min(max(v, 1), h.HighestTrackableValue()))
}

// Count is how many values there are.
func (h *Histogram) Count() int64 {
	if h == nil || h.Histogram == nil {
		return 0
	}
	return h.TotalCount()
}

// At is the value at a percentile, 0 if there is none.
func (h *Histogram) At(percentile float64) int64 {
	if h.Count() == 0 {
		return 0
	}
	return h.ValueAtPercentile(percentile)
}

// Add merges another of the same unit.
func (h *Histogram) Add(o *Histogram) {
	if h != nil && o.Count() > 0 {
		h.Merge(o.Histogram)
	}
}

// Bars is every class of values that holds any; none for an empty histogram.
func (h *Histogram) Bars() []hdr.Bar {
	if h.Count() == 0 {
		return nil
	}
	var bars []hdr.Bar
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			bars = append(bars, b)
		}
	}
	return bars
}

type histogramJSON struct {
	Unit  string  `json:"unit"`
	Count int64   `json:"count"`
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p99.9"`
	P9999 int64   `json:"p99.99"`
	Max   int64   `json:"max"`
	HDR   string  `json:"hdr"` // V2, compressed, base64: any HDR tool reads it
}

// MarshalJSON writes the summary and the whole histogram.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	if h.Count() == 0 {
		return []byte("null"), nil
	}
	packed, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(histogramJSON{h.Unit, h.Count(), h.Min(), h.Mean(), h.At(50), h.At(90), h.At(99), h.At(99.9), h.At(99.99), h.Max(), string(packed)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	inner, err := hdr.Decode([]byte(j.HDR))
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	if inner.TotalCount() != j.Count {
		return fmt.Errorf("histogram: holds %d values, says %d", inner.TotalCount(), j.Count)
	}
	h.Histogram, h.Unit = inner, j.Unit
	return nil
}

// WriteHGRM writes the percentile distribution in the form that HdrHistogram's plotter reads, in ms.
func (h *Histogram) WriteHGRM(w io.Writer) error {
	_, err := h.PercentilesPrint(w, 5, 1000)
	return err
}
