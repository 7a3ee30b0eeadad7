// Charts over time with a common pointer, and histograms of delays.
const charts = [];
// Without zeros that say nothing: `1 s` for `1.00 s`.
const short = (s) => s.replace(/(\.\d*?)0+(?= )/, '$1').replace(/\.(?= )/, '');
const bucketTime = (i) => data.buckets.first_ns + i * data.buckets.length_ns;

function niceTicks(most, wanted = 4) {
  if (!(most > 0)) return [0, 1];
  const raw = most / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => i * step);
}

function logTicks(least, most) {
  const out = [];
  for (let p = Math.floor(Math.log10(least)); p <= Math.ceil(Math.log10(most)); p += 1) out.push(10 ** p);
  return out;
}

// Steps of the time axis that are round in seconds.
function timeTicks(width) {
  const total = data.buckets.count * data.buckets.length_ns;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].map((s) => s * 1e9);
  const step = steps.find((s) => total / s <= Math.max(2, width / 90)) || total;
  const out = [];
  for (let t = 0; t <= total + data.buckets.first_ns; t += step) out.push(t);
  return out;
}

// series: { name, color, values, fill }. options: format, isLog, height, stacked.
function lineChart(series, options) {
  const height = options.height || 150;
  const root = make('div', { class: 'chart' });
  const tip = make('div', { class: 'tip', hidden: true });
  const pad = { left: 54, right: 10, top: 8, bottom: 20 };
  const n = data.buckets.count;
  let width = 0;
  let cross = null;
  const x = (i) => pad.left + ((i + 0.5) * (width - pad.left - pad.right)) / n;
  const known = series.flatMap((s) => s.values.filter((v) => v > 0));
  const most = known.reduce((a, b) => Math.max(a, b), 0);
  const least = known.reduce((a, b) => Math.min(a, b), most || 1);
  const ticks = options.isLog && most > 0 ? logTicks(least, most) : niceTicks(most);
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const y = (v) => {
    const share = options.isLog ? Math.log(Math.max(v, low) / low) / Math.log(high / low || 10) : v / (high || 1);
    return height - pad.bottom - share * (height - pad.bottom - pad.top);
  };

  function draw() {
    width = Math.max(240, root.clientWidth || 600);
    const parts = [];
    const sparse = ticks.length > 6 ? 2 : 1;
    ticks.forEach((t, i) => {
      parts.push(shape('line', { class: 'grid-line', x1: pad.left, x2: width - pad.right, y1: y(t), y2: y(t) }));
      if (i % sparse === 0) parts.push(shape('text', { x: pad.left - 7, y: y(t) + 3.5, 'text-anchor': 'end' }, short(options.format(t))));
    });
    for (const t of timeTicks(width)) {
      const at = pad.left + ((t - data.buckets.first_ns) / data.buckets.length_ns) * ((width - pad.left - pad.right) / n);
      if (at <= width - pad.right + 1) parts.push(shape('text', { x: Math.min(at, width - 24), y: height - 5, 'text-anchor': t === 0 ? 'start' : 'middle' }, t === 0 ? shortTime(0, 0) : `+${short(format.duration(t))}`));
    }
    for (const s of series) parts.push(...lines(s));
    cross = shape('path', { class: 'cross', style: { visibility: 'hidden' } });
    parts.push(cross);
    root.replaceChildren(shape('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': options.label,
      onpointermove: move, onpointerleave: () => charts.forEach((c) => c.point(-1)) }, parts), tip);
  }

  // A line breaks where there was nothing; a value alone is a dot.
  function lines(s) {
    const runs = [];
    let run = [];
    s.values.forEach((v, i) => {
      if (v < 0) { if (run.length) runs.push(run); run = []; } else run.push(i);
    });
    if (run.length) runs.push(run);
    return runs.flatMap((r) => {
      if (r.length === 1) return [shape('circle', { cx: x(r[0]), cy: y(s.values[r[0]]), r: 2, style: { fill: s.color } })];
      const d = r.map((i) => `${x(i).toFixed(1)} ${y(s.values[i]).toFixed(1)}`).join('L');
      const line = shape('path', { d: `M${d}`, style: { fill: 'none', stroke: s.color, strokeWidth: 1.5, strokeLinejoin: 'round' } });
      if (!s.fill) return [line];
      const base = height - pad.bottom;
      return [shape('path', { d: `M${x(r[0])} ${base}L${d}L${x(r[r.length - 1])} ${base}Z`, style: { fill: s.color, fillOpacity: 0.13 } }), line];
    });
  }

  function move(event) {
    const box = root.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const i = Math.floor(((at - pad.left) / (width - pad.left - pad.right)) * n);
    charts.forEach((c) => c.point(i, c === self));
  }

  function point(i, isHere) {
    if (!root.isConnected || !cross) return;
    const isIn = i >= 0 && i < n;
    cross.style.visibility = isIn ? 'visible' : 'hidden';
    if (isIn) cross.setAttribute('d', `M${x(i)} ${pad.top}V${height - pad.bottom}`);
    tip.hidden = !(isIn && isHere);
    if (tip.hidden) return;
    tip.replaceChildren(make('div', { class: 'muted' }, `${shortTime(bucketTime(i), 0)}  ${format.offset(Math.max(0, bucketTime(i)))}`),
      ...series.map((s) => make('div', {}, make('i', { style: { background: s.color } }), s.name, make('b', {}, s.values[i] < 0 ? '–' : options.format(s.values[i])))));
    const left = (x(i) / width) * root.clientWidth;
    const isRight = left > root.clientWidth * 0.6;
    Object.assign(tip.style, { top: '6px', left: isRight ? 'auto' : `${left + 12}px`, right: isRight ? `${root.clientWidth - left + 12}px` : 'auto' });
  }

  const self = { point };
  charts.push(self);
  new ResizeObserver(() => { if (root.clientWidth && root.clientWidth !== width) draw(); }).observe(root);
  return root;
}

const panel = (title, entries, body) =>
  make('div', { class: 'panel' }, make('div', { class: 'caption' }, make('h3', {}, title), entries && legend(entries)), body);

// Delays in bins of a tenth of a power of ten; `marks`: [name, ns, color].
function histogram([first, counts], marks, height = 150) {
  const root = make('div', { class: 'chart' });
  let width = 0;
  function draw() {
    width = Math.max(240, root.clientWidth || 600);
    const pad = { left: 54, right: 12, top: 16, bottom: 20 };
    const low = Math.floor(first / 10) * 10;
    const high = Math.max(low + 10, Math.ceil((first + counts.length) / 10) * 10);
    const inner = width - pad.left - pad.right;
    const x = (bin) => pad.left + ((bin - low) * inner) / (high - low);
    const ticks = niceTicks(Math.max(1, ...counts), 3);
    const top = ticks[ticks.length - 1];
    const y = (v) => height - pad.bottom - (v / top) * (height - pad.bottom - pad.top);
    const parts = ticks.flatMap((t) => [
      shape('line', { class: 'grid-line', x1: pad.left, x2: width - pad.right, y1: y(t), y2: y(t) }),
      shape('text', { x: pad.left - 7, y: y(t) + 3.5, 'text-anchor': 'end' }, format.count(t)),
    ]);
    for (let bin = low; bin <= high; bin += 10) {
      parts.push(shape('text', { x: x(bin), y: height - 5, 'text-anchor': bin === high ? 'end' : 'middle' }, short(format.duration(10 ** (bin / 10)))));
    }
    counts.forEach((c, i) => {
      if (!c) return;
      const bin = first + i;
      parts.push(shape('rect', { x: x(bin) + 0.5, width: Math.max(1, inner / (high - low) - 1), y: y(c), height: Math.max(1, height - pad.bottom - y(c)), rx: 1.5, style: { fill: 'var(--c0)' } },
        shape('title', {}, `${format.duration(Math.round(10 ** (bin / 10)))} – ${format.duration(Math.round(10 ** ((bin + 1) / 10)))}: ${format.count(c)}`)));
    });
    let last = -99;
    for (const [name, ns, color] of marks) {
      const at = x(Math.log10(Math.max(1, ns)) * 10);
      parts.push(shape('line', { x1: at, x2: at, y1: pad.top - 4, y2: height - pad.bottom, style: { stroke: color, strokeWidth: 1.5, strokeDasharray: '4 3' } }));
      const shown = Math.max(at, last + 26);
      last = shown;
      parts.push(shape('text', { x: shown, y: 9, 'text-anchor': 'middle', style: { fill: color } }, name));
    }
    root.replaceChildren(shape('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': 'Distribution of delays' }, parts));
  }
  new ResizeObserver(() => { if (root.clientWidth && root.clientWidth !== width) draw(); }).observe(root);
  return root;
}
