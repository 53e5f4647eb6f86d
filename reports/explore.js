'use strict';
(() => {
const RUN = DATA.run, NS = 1e3; // everything below is in microseconds of virtual time
const END = Math.max(RUN.virtual_ns / NS * 1.02, 1); // a little room behind the end
const BROKER = ['#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#B8A800', '#777777'];
const OUTCOME = { ok: '#0072B2', failed: '#8a939b', unknown: '#D55E00' };
const GUTTER = innerWidth < 640 ? 88 : 118, FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif';
const $ = id => document.getElementById(id);
const lanes = $('lanes'), map = $('map'), tip = $('tip');
const secs = us => (us / 1e6).toFixed(us % 1e5 ? 3 : 1) + 's';
const span = us => us < 1000 ? us.toFixed(0) + 'µs' : us < 1e6 ? (us / 1e3).toFixed(2) + 'ms' : (us / 1e6).toFixed(2) + 's';

// What there is to draw.
const ops = DATA.ops.map(o => ({ client: o[0], part: o[1], what: o[2], call: o[3], ret: o[4], outcome: o[5], offset: o[6], next: o[7], count: o[8], values: o[9], err: o[10] }));
const byClient = DATA.clients.map(() => []);
ops.forEach(o => byClient[o.client].push(o));
const order = DATA.clients.map((name, i) => ({ name, i })).sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name, 'en', { numeric: true }));
function rank(name) { return name === 'drain' ? 9 : Math.max(0, 'pcxfm'.indexOf(name[0])); }
const DOES = { p: ' produces', c: ' reads', x: ' transacts', f: ' processes' };
byClient.forEach(list => list.sort((a, b) => a.call - b.call));
const longest = byClient.map(list => list.reduce((m, o) => Math.max(m, o.ret - o.call), 0));
const faults = (RUN.faults || []).map(f => ({ ...f, from: f.start_ns / NS, to: Math.max(f.end_ns, f.start_ns) / NS })).sort((a, b) => a.from - b.from);
const broken = (RUN.violations || []).map(v => ({ ...v, at: v.at_ns / NS }));
const healed = RUN.healed_at_ns / NS;
const nodeChanges = {}; (RUN.nodes || []).forEach(c => (nodeChanges[c.node] = nodeChanges[c.node] || []).push({ at: c.at_ns / NS, state: c.state }));
const nodes = Object.keys(nodeChanges).sort((a, b) => (a === 'zk') - (b === 'zk') || a.localeCompare(b, 'en', { numeric: true }));
const led = {}; (RUN.leadership || []).forEach(l => (led[l.partition] = led[l.partition] || []).push({ at: l.at_ns / NS, leader: l.leader, epoch: l.epoch, isr: l.isr || [] }));
const partitions = Object.keys(led).sort();
// A link is a pair of nodes that some fault struck, with what struck each way; of very many those that were struck longest.
const byLink = {};
faults.filter(f => f.outcome === 'applied').forEach(f => (f.links || []).forEach(l => {
  const [a, b] = l.split('>'), forth = a.localeCompare(b, 'en', { numeric: true }) < 0, key = forth ? a + ' ' + b : b + ' ' + a;
  (byLink[key] = byLink[key] || { ends: key.split(' '), struck: [] }).struck.push({ f, forth });
}));
const links = Object.values(byLink).map(l => ({ ...l, name: l.ends.join(' – '), time: l.struck.reduce((t, s) => t + s.f.to - s.f.from, 0) }))
  .sort((a, b) => b.time - a.time).slice(0, 28).sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
const brokers = [...new Set((RUN.leadership || []).flatMap(l => l.isr || []))].sort((a, b) => a - b);

// The view, and what is filtered.
let from = 0, to = END, width = 0, ratio = 1, rows = [], height = 0;
const chosen = { partition: '', outcome: '', find: '' };
partitions.forEach(p => $('partition').append(new Option(p, p)));
const x = t => GUTTER + (t - from) / (to - from) * (width - GUTTER - 12);
const time = px => from + (px - GUTTER) / (width - GUTTER - 12) * (to - from);
const shown = o => (!chosen.partition || DATA.partitions[o.part] === chosen.partition) && (!chosen.outcome || o.outcome === chosen.outcome) && (!chosen.find || matches(o));
function matches(o) {
  const n = Number(chosen.find);
  if (chosen.find !== '' && !Number.isNaN(n)) return o.offset === n || o.values.includes(n) || (o.what === 'fetch' && n >= o.offset && n < o.next);
  return (o.err || '').toLowerCase().includes(chosen.find.toLowerCase());
}
// The values that a violation names are followed through the whole picture.
const suspects = new Set(); broken.slice(0, 1).forEach(v => (v.message.match(/value (\d+)/g) || []).forEach(m => suspects.add(Number(m.slice(6)))));
const accused = broken.length ? (/^(\S+-\d+): /.exec(broken[0].message) || [])[1] : undefined; // the partition that an invariant names
const suspect = o => o.values.some(v => suspects.has(v));

// rows are laid out once a size: faults packed, then nodes, partitions, clients.
function layout() {
  rows = [];
  let y = 24;
  const busy = [];
  faults.forEach(f => {
    let r = 0;
    while (r < busy.length && busy[r] > f.from) r++;
    busy[r] = f.to + END * 0.004;
    f.row = r;
  });
  rows.push({ kind: 'faults', name: 'faults', y, h: Math.max(1, busy.length) * 17 }); y += Math.max(1, busy.length) * 17 + 8;
  nodes.forEach(n => { rows.push({ kind: 'node', name: n, y, h: 15 }); y += 18; });
  y += 4;
  links.forEach(l => { rows.push({ kind: 'link', name: l.name, link: l, y, h: 9 }); y += 11; });
  y += 6;
  partitions.forEach(p => {
    if (chosen.partition && p !== chosen.partition) return;
    rows.push({ kind: 'partition', name: p, y, h: brokers.length * 10 }); y += brokers.length * 10 + 8;
  });
  y += 2;
  order.forEach(c => { rows.push({ kind: 'client', name: c.name, client: c.i, y, h: 20 }); y += 24; });
  height = y + 6;
}

function size(canvas, h) {
  ratio = window.devicePixelRatio || 1;
  width = canvas.clientWidth || document.documentElement.clientWidth;
  canvas.style.height = h + 'px';
  canvas.width = width * ratio; canvas.height = h * ratio;
  const g = canvas.getContext('2d');
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, h);
  return g;
}

function text(g, s, px, py, colour, align, font) {
  g.font = font || '12px ' + FONT; g.fillStyle = colour || '#1b1f24'; g.textAlign = align || 'left'; g.fillText(s, px, py);
}

function bar(g, a, b, y, h, colour, alpha) {
  const x0 = Math.max(x(a), GUTTER), x1 = Math.min(x(b), width - 12);
  if (x1 < GUTTER || x0 > width - 12) return false;
  g.globalAlpha = alpha === undefined ? 1 : alpha; g.fillStyle = colour; g.fillRect(x0, y, Math.max(x1 - x0, 1), h); g.globalAlpha = 1;
  return true;
}

function draw() {
  layout();
  const g = size(lanes, height);
  grid(g);
  bands(g);
  rows.forEach(r => ({ faults: drawFaults, node: drawNode, link: drawLink, partition: drawPartition, client: drawClient })[r.kind](g, r));
  moments(g);
  drawMap();
  $('range').textContent = secs(from) + ' to ' + secs(to) + ' of ' + secs(END);
}

function step() {
  const want = (to - from) / Math.max(4, (width - GUTTER) / 110);
  const base = Math.pow(10, Math.floor(Math.log10(want)));
  return [1, 2, 5, 10].map(m => m * base).find(s => s >= want);
}

function grid(g) {
  const s = Math.max(1, step());
  for (let t = Math.ceil(from / s) * s; t <= to; t += s) {
    g.strokeStyle = '#e8ecef'; g.beginPath(); g.moveTo(x(t), 18); g.lineTo(x(t), height); g.stroke();
    text(g, s >= 1e6 ? (t / 1e6).toFixed(0) + 's' : s >= 1e3 ? (t / 1e6).toFixed(s >= 1e5 ? 1 : 3) + 's' : (t / 1e6).toFixed(6) + 's', x(t), 13, '#6b7680', 'center', '11px ' + FONT);
  }
}

// bands shade, behind everything, the nodes a fault strikes for as long as it lasts.
function bands(g) {
  faults.forEach(f => {
    if (f.outcome !== 'applied') return;
    (f.nodes || []).forEach(name => rows.filter(r => (r.kind === 'node' || r.kind === 'client') && r.name === name).forEach(r => bar(g, f.from, f.to, r.y - 2, r.h + 4, '#f2b187', 0.55)));
  });
}

function name(g, r, s) { const small = r.kind === 'link'; text(g, s || r.name, GUTTER - (r.kind === 'partition' ? 16 : 10), r.y + (r.kind === 'faults' ? 16 : r.h) / 2 + (small ? 3 : 4), small ? '#6b7680' : '#1b1f24', 'right', small ? '9.5px ' + FONT : undefined); }

function drawFaults(g, r) {
  name(g, r);
  faults.forEach(f => {
    const y = r.y + f.row * 17, ok = f.outcome === 'applied';
    if (!bar(g, f.from, f.to, y, 14, ok ? '#f2b187' : '#fff')) return;
    const x0 = Math.max(x(f.from), GUTTER), x1 = Math.min(Math.max(x(f.to), x0 + 2), width - 12);
    g.strokeStyle = ok ? '#c9713a' : '#d9a27e'; g.setLineDash(ok ? [] : [3, 2]); g.strokeRect(x0 + .5, y + .5, Math.max(1, x1 - x0 - 1), 13); g.setLineDash([]);
    const label = f.text.replace(/^\S+\s+/, '').replace(/\s*for=\S+/, '');
    g.save(); g.beginPath(); g.rect(x0, y, Math.max(x1 - x0 - 3, 0), 14); g.clip(); text(g, label, x0 + 4, y + 11, ok ? '#3a2416' : '#a2764f', 'left', '11px ' + FONT); g.restore();
  });
}

function drawNode(g, r) {
  name(g, r);
  const list = nodeChanges[r.name];
  g.strokeStyle = '#d5dbe0'; g.setLineDash([2, 2]); g.beginPath(); g.moveTo(GUTTER, r.y + r.h / 2); g.lineTo(width - 12, r.y + r.h / 2); g.stroke(); g.setLineDash([]);
  list.forEach((c, i) => {
    const until = i + 1 < list.length ? list[i + 1].at : END;
    if (c.state === 'down') return;
    const n = Number(r.name.slice(1));
    bar(g, c.at, until, r.y + 3, r.h - 6, c.state === 'paused' ? '#e9c46a' : r.name[0] === 'b' ? BROKER[(n - 1) % 8] : '#6b7680', c.state === 'paused' ? 1 : 0.75);
  });
}

// A link has two halves: above what its first end says, below what the other does. What is cut is dark, what is only slow pale.
const CUTS = /^(partition|partition-oneway|isolate|halves|ring|zookeeper-cut|reset|half-open)$/;
function drawLink(g, r) {
  name(g, r);
  bar(g, 0, END, r.y, 9, '#eef2f0');
  r.link.struck.forEach(s => bar(g, s.f.from, Math.max(s.f.to, s.f.from + (to - from) / 600), s.forth ? r.y : r.y + 4.5, 4.5, CUTS.test(s.f.kind) ? '#a4501f' : '#e0a472'));
}

function drawPartition(g, r) {
  name(g, r);
  if (r.name === accused) { g.strokeStyle = '#b3000c'; g.lineWidth = 1.5; g.strokeRect(GUTTER - 1, r.y - 2, width - 12 - GUTTER + 2, r.h + 3); g.lineWidth = 1; }
  const list = led[r.name];
  brokers.forEach((id, i) => {
    const y = r.y + i * 10;
    text(g, String(id), GUTTER - 2, y + 8, '#8a939b', 'right', '9px ' + FONT);
    bar(g, 0, END, y, 9, '#f1f3f5');
    list.forEach((l, k) => {
      const until = k + 1 < list.length ? list[k + 1].at : END, colour = BROKER[(id - 1) % 8];
      if (l.leader === id) {
        if (bar(g, l.at, until, y, 9, colour) && x(until) - x(l.at) > 34) text(g, 'e' + l.epoch, Math.max(x(l.at), GUTTER) + 3, y + 8, '#fff', 'left', 'bold 8px ' + FONT);
      } else if (l.isr.includes(id)) bar(g, l.at, until, y, 9, colour, 0.28);
    });
  });
}

// first operation of a client that may reach into the view.
function firstIn(list, client) {
  let lo = 0, hi = list.length;
  const t = from - longest[client];
  while (lo < hi) { const m = (lo + hi) >> 1; if (list[m].call < t) lo = m + 1; else hi = m; }
  return lo;
}

function drawClient(g, r) {
  const list = byClient[r.client];
  name(g, r, r.name === 'drain' ? 'final drain' : r.name + (DOES[r.name[0]] && /\d$/.test(r.name) ? DOES[r.name[0]] : ''));
  bar(g, 0, END, r.y, r.h, '#f2f5f7', 0.55);
  const late = [];
  for (let i = firstIn(list, r.client); i < list.length && list[i].call <= to; i++) {
    const o = list[i];
    if (o.ret < from || !shown(o)) continue;
    if (o.outcome !== 'ok' || suspect(o)) { late.push(o); continue; }
    mark(g, r, o);
  }
  late.forEach(o => mark(g, r, o));
}

function mark(g, r, o) {
  const x0 = x(o.call), w = Math.max(1.2, x(o.ret) - x0), odd = suspect(o);
  g.globalAlpha = odd ? 1 : o.outcome === 'ok' ? (w > 3 ? 0.55 : 0.4) : 0.85;
  g.fillStyle = odd ? '#b3000c' : OUTCOME[o.outcome];
  const part = chosen.partition ? 0 : o.part % 3, h = chosen.partition ? r.h : r.h / 3;
  const a = Math.max(x0, GUTTER);
  if (x0 + w > GUTTER) g.fillRect(a, r.y + part * h, Math.min(x0 + w, width - 12) - a, h - (chosen.partition ? 0 : 0.6));
  if (odd && x0 > GUTTER) { g.globalAlpha = 1; g.strokeStyle = '#b3000c'; g.lineWidth = 1.5; g.strokeRect(x0 - 2, r.y - 2, w + 4, r.h + 4); g.lineWidth = 1; }
  g.globalAlpha = 1;
}

function moments(g) {
  const line = (t, colour, dash, label) => {
    const px = x(t);
    if (px < GUTTER || px > width) return;
    g.strokeStyle = colour; g.lineWidth = 1.6; g.setLineDash(dash); g.beginPath(); g.moveTo(px, 18); g.lineTo(px, height); g.stroke(); g.setLineDash([]); g.lineWidth = 1;
    if (!label) return;
    g.font = 'bold 11px ' + FONT;
    const w = g.measureText(label).width + 10, left = Math.min(px, width - w - 2);
    g.fillStyle = colour; g.fillRect(left, 2, w, 16); text(g, label, left + 5, 14, '#fff', 'left', 'bold 11px ' + FONT);
  };
  if (healed > 0) line(healed, '#00735c', [5, 3], 'healed');
  broken.slice(0, 12).reverse().forEach((v, i, all) => line(v.at, '#b3000c', [], i === all.length - 1 ? v.id : ''));
}

function drawMap() {
  const h = 54, g = size(map, h), full = t => GUTTER + t / END * (width - GUTTER - 12);
  const slices = RUN.slices || [], most = Math.max(1, ...slices.map(s => s.ok + s.failed + s.unknown)), w = (width - GUTTER - 12) * 1e5 / END;
  slices.forEach((s, i) => {
    let y = h - 4;
    [['ok', s.ok], ['failed', s.failed], ['unknown', s.unknown]].forEach(([k, n]) => {
      const bh = n / most * (h - 12);
      g.fillStyle = OUTCOME[k]; g.globalAlpha = 0.75; g.fillRect(full(i * 1e5), y - bh, Math.max(0.6, w - 0.3), bh); y -= bh;
    });
  });
  g.globalAlpha = 1;
  text(g, 'operations', GUTTER - 10, 20, '#1b1f24', 'right'); text(g, 'up to ' + most * 10 + '/s', GUTTER - 10, 34, '#6b7680', 'right', '10px ' + FONT);
  faults.forEach(f => { if (f.outcome === 'applied') { g.fillStyle = '#c9713a'; g.fillRect(full(f.from), h - 3, Math.max(1.5, full(f.to) - full(f.from)), 3); } });
  broken.slice(0, 12).forEach(v => { g.fillStyle = '#b3000c'; g.fillRect(full(v.at) - 1, 0, 2, h); });
  if (from > 0 || to < END) {
    g.fillStyle = '#1b1f24'; g.globalAlpha = 0.13; g.fillRect(GUTTER, 0, full(from) - GUTTER, h); g.fillRect(full(to), 0, width - 12 - full(to), h); g.globalAlpha = 1;
    g.strokeStyle = '#1b1f24'; g.strokeRect(full(from) + .5, .5, Math.max(3, full(to) - full(from) - 1), h - 1);
  }
}

// What is under the pointer, in words.
function under(px, py) {
  const t = time(px), r = rows.find(q => py >= q.y - 2 && py <= q.y + q.h + 2);
  if (px < GUTTER || !r) return '';
  const near = 4 / (width - GUTTER) * (to - from);
  if (r.kind === 'faults') {
    const f = faults.find(q => t >= q.from - near && t <= q.to + near && py >= r.y + q.row * 17 && py <= r.y + q.row * 17 + 16);
    return f ? f.text + '\n' + secs(f.from) + ' to ' + secs(f.to) + ', ' + f.outcome + (f.why ? ': ' + f.why : '') : '';
  }
  if (r.kind === 'node') {
    const c = nodeChanges[r.name].filter(q => q.at <= t).pop();
    const hit = faults.filter(f => f.outcome === 'applied' && (f.nodes || []).includes(r.name) && t >= f.from && t <= f.to).map(f => f.text);
    return r.name + ' is ' + (c ? c.state + ' since ' + secs(c.at) : 'not started') + (hit.length ? '\n' + hit.join('\n') : '');
  }
  if (r.kind === 'link') {
    const [a, b] = r.link.ends, forth = py < r.y + 4.5;
    const hit = r.link.struck.filter(s => s.forth === forth && t >= s.f.from - near && t <= s.f.to + near).map(s => s.f.text);
    return (forth ? a + ' → ' + b : b + ' → ' + a) + (hit.length ? '\n' + hit.join('\n') : ': as it should be');
  }
  if (r.kind === 'partition') {
    const l = led[r.name].filter(q => q.at <= t).pop();
    return l ? r.name + ' at ' + secs(t) + '\nleader ' + (l.leader < 0 ? 'nobody' : l.leader) + ' in epoch ' + l.epoch + ', ISR ' + l.isr.join(' ') + '\nsince ' + secs(l.at) : '';
  }
  const list = byClient[r.client];
  let best = null, apart = Infinity;
  const third = chosen.partition ? -1 : Math.min(2, Math.max(0, Math.floor((py - r.y) / (r.h / 3))));
  for (let i = firstIn(list, r.client); i < list.length && list[i].call <= t + near; i++) {
    const o = list[i];
    if (!shown(o) || o.ret < t - near || (third >= 0 && o.part % 3 !== third)) continue;
    const d = t < o.call ? o.call - t : t > o.ret ? t - o.ret : 0, score = d + (suspect(o) ? 0 : 1e-3) + (o.ret - o.call) * 1e-9;
    if (score < apart) { apart = score; best = o; }
  }
  return best ? describe(best) : '';
}

function values(o) { return o.values.map(v => '#' + v).join(' ') + (o.count > o.values.length ? ' … ' + o.count + ' in all' : ''); }
function result(o) {
  if (o.what === 'produce') return o.outcome + (o.offset >= 0 ? ' at offset ' + o.offset : '') + (o.err ? ': ' + o.err : '');
  return o.outcome + ', offsets ' + o.offset + ' to ' + o.next + (o.err ? ': ' + o.err : '');
}
function describe(o) {
  return DATA.clients[o.client] + ' ' + o.what + ' ' + DATA.partitions[o.part] + ' ' + values(o) + '\n' + result(o) + '\ncalled ' + (o.call / 1e6).toFixed(6) + 's, took ' + span(o.ret - o.call) + (suspect(o) ? '\nnamed by the violation' : '');
}

function view(a, b) {
  const least = 200, w = Math.min(END, Math.max(least, b - a));
  from = Math.min(Math.max(0, a), END - w); to = from + w;
  draw();
}
function zoom(factor, at) { view(at - (at - from) * factor, at + (to - at) * factor); }
function around(t, w) { view(t - w * 0.7, t + w * 0.3); }

lanes.addEventListener('wheel', e => {
  if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { const d = (e.deltaX || e.deltaY) / width * (to - from); view(from + d, to + d); } else if (e.ctrlKey || e.metaKey || e.altKey || to - from < END || e.deltaY < 0) zoom(e.deltaY > 0 ? 1.25 : 0.8, time(e.offsetX)); else return;
  e.preventDefault();
}, { passive: false });
let drag = null;
lanes.addEventListener('mousedown', e => { drag = { px: e.offsetX, from, to }; lanes.classList.add('drag'); });
window.addEventListener('mouseup', () => { drag = null; lanes.classList.remove('drag'); });
lanes.addEventListener('mousemove', e => {
  if (drag) { const d = (drag.px - e.offsetX) / (width - GUTTER) * (drag.to - drag.from); view(drag.from + d, drag.to + d); return; }
  const words = under(e.offsetX, e.offsetY);
  tip.style.display = words ? 'block' : 'none';
  if (!words) return;
  tip.textContent = words;
  const left = Math.min(e.offsetX + 14, width - tip.offsetWidth - 10);
  tip.style.left = left + 'px'; tip.style.top = (e.offsetY + map.offsetHeight + 16) + 'px';
});
lanes.addEventListener('mouseleave', () => { tip.style.display = 'none'; });
lanes.addEventListener('dblclick', e => zoom(0.2, time(e.offsetX)));
// On a touch screen one finger moves, two keep what is under them, and a tap tells like the pointer does.
const fingers = new Map();
lanes.addEventListener('pointerdown', e => { if (e.pointerType === 'touch') fingers.set(e.pointerId, e.offsetX); });
lanes.addEventListener('pointermove', e => {
  if (!fingers.has(e.pointerId)) return;
  const was = [...fingers.values()], wide = width - GUTTER - 12;
  fingers.set(e.pointerId, e.offsetX);
  const now = [...fingers.values()];
  tip.style.display = 'none';
  if (now.length === 1) { const d = (was[0] - now[0]) / wide * (to - from); view(from + d, to + d); return; }
  if (now.length > 2 || Math.abs(now[1] - now[0]) < 8) return;
  const a = time(was[0]), w = (time(was[1]) - a) / (now[1] - now[0]) * wide, left = a - (now[0] - GUTTER) / wide * w;
  if (w > 0) view(left, left + w);
});
['pointerup', 'pointercancel'].forEach(type => window.addEventListener(type, e => fingers.delete(e.pointerId)));
const fromMap = e => (e.offsetX - GUTTER) / (width - GUTTER - 12) * END;
map.addEventListener('mousedown', e => { const w = to - from < END ? to - from : END / 10; view(fromMap(e) - w / 2, fromMap(e) + w / 2); });
map.addEventListener('mousemove', e => { if (e.buttons === 1) { const w = to - from; view(fromMap(e) - w / 2, fromMap(e) + w / 2); } });
$('all').onclick = () => view(0, END);
$('in').onclick = () => zoom(0.5, (from + to) / 2);
$('out').onclick = () => zoom(2, (from + to) / 2);
['partition', 'outcome', 'find'].forEach(id => $(id).addEventListener('input', e => { chosen[id] = e.target.value.trim(); draw(); }));
window.addEventListener('keydown', e => {
  if (e.target.tagName === 'INPUT' || e.target.tagName === 'SELECT') return;
  const w = (to - from) / 5;
  ({ '+': () => zoom(0.5, (from + to) / 2), '-': () => zoom(2, (from + to) / 2), '0': () => view(0, END), ArrowLeft: () => view(from - w, to - w), ArrowRight: () => view(from + w, to + w) }[e.key] || (() => {}))();
});
window.addEventListener('resize', draw);

// The words around the picture.
function element(tag, content, cls) { const e = document.createElement(tag); if (content !== undefined) e.textContent = content; if (cls) e.className = cls; return e; }
function jump(label, t, hot) { const b = element('button', label, hot ? 'hot' : ''); b.onclick = () => around(t, 2e6); $('jumps').append(b); }
const evidence = ops.filter(suspect).sort((a, b) => a.call - b.call);
if (broken.length) {
  $('why').append(element('b', broken[0].id + (broken[0].anomaly ? ' (' + broken[0].anomaly + ')' : '')), ' at ' + secs(broken[0].at) + ': ' + broken[0].message);
  jump('violation', broken[0].at, true);
  if (evidence.length && Math.abs(evidence[0].call - broken[0].at) > 2e6) jump('its first operation', evidence[0].call, true);
} else $('why').textContent = RUN.reason || 'every promise was kept';
[['#f2b187', 'fault, and whom it strikes'], ['#a4501f', 'link cut'], ['#e0a472', 'link hampered'], ['#e9c46a', 'paused'], [OUTCOME.ok, 'ok'], [OUTCOME.failed, 'failed'], [OUTCOME.unknown, 'unknown'], ['#b3000c', 'named by the violation']].forEach(([c, s]) => {
  const e = element('span'), i = element('i'); i.style.background = c; e.append(i, s); $('legend').append(e);
});
$('legend').append(element('span', 'partitions: a row a broker, strong while it leads (e: epoch), pale while in the ISR'), element('span', 'wheel or two fingers zoom, drag moves, double click dives, + − 0 ← →'));

function table(title, list) {
  const s = element('section'), t = element('table'), head = element('tr');
  s.append(element('h2', title)); s.firstChild.style.margin = '0 0 6px';
  ['called', 'took', 'client', 'operation', 'partition', 'values', 'result'].forEach(h => head.append(element('th', h)));
  t.append(head);
  list.forEach(o => {
    const row = element('tr', undefined, 'go');
    [(o.call / 1e6).toFixed(6) + 's', span(o.ret - o.call), DATA.clients[o.client], o.what, DATA.partitions[o.part], values(o), result(o)].forEach((c, i) => row.append(element('td', c, i === 5 || i === 6 ? 'm' : '')));
    row.onclick = () => { around(o.call, Math.max(4e5, (o.ret - o.call) * 3)); window.scrollTo({ top: 0, behavior: 'smooth' }); };
    t.append(row);
  });
  s.append(t); $('below').append(s);
}
if (evidence.length) table('Operations on what the violation names', evidence.slice(0, 20));
broken.slice(0, 5).forEach(v => { const s = element('section'); s.append(element('h3', v.id + ' at ' + secs(v.at)), element('div', v.message)); if (v.witness) s.append(element('pre', v.witness.join('\n'))); $('below').append(s); });
if (broken.length) {
  const on = evidence.length ? DATA.partitions[evidence[evidence.length - 1].part] : accused, at = broken[0].at;
  table('The last operations before it' + (on ? ' on ' + on : ''), ops.filter(o => o.ret <= at && (!on || DATA.partitions[o.part] === on)).sort((a, b) => b.ret - a.ret).slice(0, 15));
}
const hash = /^#t=([\d.]+),([\d.]+)$/.exec(location.hash); // #t=4.2,5.1 opens at these seconds
if (hash) view(hash[1] * 1e6, hash[2] * 1e6); else draw();
document.documentElement.dataset.ready = 'yes';
})();
