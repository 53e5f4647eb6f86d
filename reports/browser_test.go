package reports

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Goal: the timeline works in a real browser, from disk and without a network: it opens at the moments of its address,
// zooms, shows what is under the pointer, and filters. Method: Chromium runs the page with a script behind it that plays a
// person; what the page says then is in the document it dumps. Skipped where Chromium is not installed.
func TestTimelineOpensInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	r := sample(Safety)
	r.Failures = []Failure{{ID: "INV-NO-LOST-WRITE", Message: "operation 3 wrote value 42; </script> it is gone", At: 9 * time.Second}}
	ops := []Op{{Client: "p1", What: "produce", Partition: "t-0", Call: 4e9, Return: 8e9, Outcome: "ok", Offset: 7, Next: -1, Values: []int64{42}},
		{Client: "p1", What: "produce", Partition: "t-0", Call: 8.5e9, Return: 8.6e9, Outcome: "unknown", Offset: -1, Next: -1, Values: []int64{43}, Error: "timed <out>"}}
	var page bytes.Buffer
	if err := Explore(&page, r, ops); err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(src|href)="|https?://|@import|url\(`).FindString(page.String()); m != "" {
		t.Errorf("the page asks for more than itself: %s", m)
	}
	const person = `<script>
const seen = [], lane = document.getElementById('lanes'), range = document.getElementById('range');
const fire = (type, x, y, more) => lane.dispatchEvent(new (type === 'wheel' ? WheelEvent : MouseEvent)(type, { clientX: lane.getBoundingClientRect().left + x, clientY: lane.getBoundingClientRect().top + y, bubbles: true, cancelable: true, ...more }));
seen.push('opened ' + range.textContent);
fire('wheel', 600, 100, { deltaY: -1 }); seen.push('zoomed ' + range.textContent);
document.getElementById('all').click(); seen.push('whole ' + range.textContent);
const touch = (type, id, x) => lane.dispatchEvent(new PointerEvent(type, { pointerId: id, pointerType: 'touch', clientX: lane.getBoundingClientRect().left + x, clientY: 300, bubbles: true }));
touch('pointerdown', 1, 500); touch('pointerdown', 2, 600); touch('pointermove', 2, 700); touch('pointerup', 2, 700); const pinched = range.textContent; touch('pointermove', 1, 400); touch('pointerup', 1, 400);
seen.push('pinched ' + (pinched !== '0.0s to 24.480s of 24.480s') + ', moved ' + (range.textContent !== pinched)); document.getElementById('all').click();
let tips = new Set(); for (let y = 20; y < lane.offsetHeight; y += 2) { fire('mousemove', GUTTERX(6), y); const tip = document.getElementById('tip'); if (tip.style.display === 'block') tips.add(tip.textContent); }
function GUTTERX(t) { return 118 + t / 24.48 * (lane.clientWidth - 130); }
seen.push('tips ' + [...tips].join(' | '));
document.querySelector('#jumps .hot').click(); seen.push('violation ' + range.textContent); document.getElementById('all').click();
const tipAt = () => { let all = ''; for (let y = 20; y < lane.offsetHeight; y += 2) { fire('mousemove', GUTTERX(8.55), y); all += document.getElementById('tip').style.display === 'block' ? document.getElementById('tip').textContent : ''; } return all.includes('#43'); };
const find = document.getElementById('find'), outcome = document.getElementById('outcome'), look = (e, v) => { e.value = v; e.dispatchEvent(new Event('input')); const hit = tipAt(); e.value = ''; e.dispatchEvent(new Event('input')); return hit; };
seen.push('unknown shown ' + look(outcome, 'unknown') + ', hidden among ok ' + !look(outcome, 'ok') + ', found ' + look(find, '43') + ', lost ' + !look(find, '99'));
const p = document.getElementById('partition'); p.value = 't-1'; const before = lane.height; p.dispatchEvent(new Event('input')); seen.push('filtered ' + (lane.height < before));
document.body.append(Object.assign(document.createElement('pre'), { id: 'seen', textContent: seen.join('\n') }));
</script></body>`
	name := filepath.Join(t.TempDir(), "timeline.html")
	if err := os.WriteFile(name, []byte(strings.Replace(page.String(), "</body>", person, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--user-data-dir="+t.TempDir(),
		"--window-size=1300,900", "--dump-dom", "file://"+name+"#t=4,10")
	dump, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v", err)
	}
	_, seen, _ := strings.Cut(string(dump), `<pre id="seen">`)
	for _, want := range []string{"opened 4.0s to 10.0s of 24.480s", "zoomed", "whole 0.0s to 24.480s", "pinched true, moved true", "crash node=1 for=5s", "b1 is down since", "leader 1 in epoch 0", "p1 produce t-0 #42", "named by the violation", "b1 → b2\n6.000s partition", "violation 7.6s to 9.6s", "unknown shown true, hidden among ok true, found true, lost true", "filtered true"} {
		if !strings.Contains(seen, want) {
			t.Errorf("no %q in what was seen:\n%s", want, seen[:min(len(seen), 1500)])
		}
	}
	if strings.Contains(seen, "zoomed 4.0s to 10.0s") {
		t.Error("the wheel did not zoom")
	}
	if !strings.Contains(string(dump), `data-ready="yes"`) || !strings.Contains(string(dump), "timed &lt;out&gt;") {
		t.Error("the page did not come to its end")
	}
}
