package load

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Goal: the report opens in a real browser, from disk and without a network, with no error; at a phone's width nothing is cut off, and it
// prints. Method: Chromium runs the page with a script behind it that measures it, in a frame of 390 pixels and in one of 1240; what it
// finds is in the document that it dumps. Skipped where Chromium is not installed.
func TestReportOpensInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	dir := t.TempDir()
	a, b := sample("Apache Kafka 3.9.1", 2), sample("Barnabas", 1)
	a.File, b.File = filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")
	b.Scenario, b.Drift = "leader-failover", []Drift{{Figure: "p99 µs", First: 1, Last: 2, PerHour: .5, Trend: true, Exceeded: true}}
	b.Prediction = []Predicted{{Workload: "near saturation", Rate: 90_000, Figure: "p99 µs", Measured: 3000, Predicted: 2500}}
	b.Repetitions[0].Fault = &FaultCost{At: 1, Before: 500, Worst: 5e6, Silent: 5, Recovered: -1}
	b.Repetitions[0].Events = []Event{{1, "fault", "b1 is <killed>"}, {2, "leader", "partition 0: leader 2"}, {3, "gc", "stopped"}, {3.5, "heal", "back"}}
	if err := Write(dir, []*Run{a, b}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	const look = `<script>
const errors = []; addEventListener('error', e => errors.push(e.message));
addEventListener('load', () => {
 document.querySelectorAll('details').forEach(d => d.open = true);
 const wide = [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + ' ' + e.className);
 const svg = [...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().width > 0), small = [...document.querySelectorAll('td')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length;
 parent.document.getElementById('out').textContent += '\n[' + innerWidth + '] errors=' + errors.length + ' cut=' + wide.slice(0, 5).join(',') + ' pictures=' + svg.length + ' text=' + Math.min(...svg.map(e => 9 * e.getBoundingClientRect().width / e.viewBox.baseVal.width)).toFixed(1) + ' tiny=' + small + ' fetched=' + performance.getEntriesByType('resource').length;
}); </script></body>`
	os.WriteFile(filepath.Join(dir, "looked.html"), []byte(strings.Replace(string(page), "</body>", look, 1)), 0o644)
	os.WriteFile(filepath.Join(dir, "frames.html"), []byte(`<pre id="out"></pre><iframe src="looked.html" style="width:390px;height:900px;border:0"></iframe><iframe src="looked.html" style="width:1240px;height:900px;border:0"></iframe>`), 0o644)
	browse := func(args ...string) []byte {
		out, err := exec.Command(chromium, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--allow-file-access-from-files",
			"--user-data-dir=" + filepath.Join(dir, "profile"), "--virtual-time-budget=10000"}, args...)...).Output()
		if err != nil {
			t.Skipf("chromium does not run here: %v", err)
		}
		return out
	}
	dump := string(browse("--dump-dom", "file://"+filepath.Join(dir, "frames.html")))
	for _, width := range []string{"390", "1240"} {
		m := regexp.MustCompile(`\[` + width + `\] errors=(\d+) cut=(.*) pictures=(\d+) text=([0-9.]+) tiny=\d+ fetched=(\d+)`).FindStringSubmatch(dump)
		if m == nil {
			t.Errorf("%s pixels: nothing was seen:\n%.600s", width, dump)
			continue
		}
		if m[1] != "0" || m[2] != "" || m[3] < "3" || m[5] != "0" || len(m[4]) < 4 && m[4] < "8.5" {
			t.Errorf("%s pixels: %s", width, m[0])
		}
	}
	browse("--print-to-pdf="+filepath.Join(dir, "r.pdf"), "file://"+filepath.Join(dir, "report.html"))
	pdf, err := os.ReadFile(filepath.Join(dir, "r.pdf"))
	if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF")) {
		t.Errorf("it does not print: %v", err)
	}
	browse("--window-size=1240,900", "--screenshot="+filepath.Join(dir, "r.png"), "file://"+filepath.Join(dir, "report.html"))
	shot, err := os.ReadFile(filepath.Join(dir, "r.png"))
	if _, err2 := png.Decode(bytes.NewReader(shot)); err != nil || err2 != nil {
		t.Errorf("no picture of it: %v %v", err, err2)
	}
}
