// Head, figures, services.
const seconds = data.buckets.length_ns / 1e9;
const total = (s) => s.client_errors.map((v, i) => v + s.server_errors[i] + s.timeouts[i]);
const label = (s) => (serviceNames.length < data.services.length ? `${s.name} (${s.protocol})` : s.name);

const noRequests = 'No requests were recognised: no conversation in this recording spoke a protocol that is understood, with its beginning in what was kept of its payload.';

function drawFacts(place, facts) {
  place.append(...facts.map((f) => make('div', { title: f.hint || null }, make('dt', {}, f.label), make('dd', {}, f.value))));
}

function drawFigures(place, facts) {
  place.append(...facts.map((f) => make('div', { class: 'figure' }, make('span', {}, f.label), make('b', {}, f.value), f.hint && make('small', {}, f.hint))));
}

const words = {
  good: ['good', 'Complete'], note: ['', 'Complete, with notes'], partial: ['warn', 'Not complete'], damaged: ['bad', 'Damaged'],
};

function drawCompleteness(place) {
  const worst = data.completeness[0]?.weight || 'good';
  place.classList.add(worst);
  const hasGood = data.completeness.some((s) => s.weight === 'good');
  const [kind, name] = words[hasGood && worst === 'note' ? 'note' : worst];
  place.append(make('h3', {}, 'How complete this is', make('span', { class: `badge ${kind}` }, name)),
    make('ul', {}, data.completeness.map((s) => make('li', { class: s.weight }, s.text))));
}

function drawOutstanding(place) {
  const all = data.outstanding;
  if (data.is_empty) { place.remove(); return; }
  const worst = all[0]?.severity;
  place.classList.add({ high: 'damaged', medium: 'partial', low: 'note' }[worst] || 'good');
  place.append(make('h3', {}, 'What stands out'), all.length
    ? make('ol', {}, all.map((s) => make('li', { class: { high: 'damaged', medium: 'partial' }[s.severity] || 'note', title: `Next: ${s.next}` }, s.text, ' ', make('a', { href: `#${s.section}` }, 'see'))))
    : make('p', {}, 'No request failed, no connection failed, nothing was sent again much, and nothing took long.'));
}

function drawOverview() {
  byId('when').textContent = data.is_empty ? 'no packets, no events' : `${fullTime(0).slice(0, 19)} UTC · ${format.duration(data.length_ns)} · ${data.recording.find((f) => f.label === 'Kernel')?.value || 'packet capture'}`;
  drawFacts(byId('facts'), data.recording);
  drawOutstanding(byId('outstanding'));
  drawCompleteness(byId('completeness'));
  drawFigures(byId('figures'), data.figures);
  if (data.services.length) {
    const colors = data.services.map((s, i) => [label(s), `var(--c${i % 12})`]);
    const per = (pick) => data.services.map((s, i) => ({ name: label(s), color: `var(--c${i % 12})`, values: pick(s).map((v) => v / seconds) }));
    byId('rates').append(
      panel('Requests per second', colors, lineChart(per((s) => s.requests), { format: format.rate, label: 'Requests per second by service' })),
      panel('Errors per second', null, lineChart(per(total), { format: format.rate, label: 'Errors per second by service' })));
  }
  if (!data.tables.services.total) {
    byId('services').append(make('p', { class: 'notice' }, noRequests));
    return;
  }
  const grid = new Grid(byId('services'), data.tables.services, {
    title: 'Services', sort: ['requests', 'descending'],
    opens: (row) => row < data.services.length,
    open: (row) => { location.hash = `service=${encodeURIComponent(data.services[row].name)}`; showService(row); },
  });
  Grid.services = grid;
  showService(0);
}

// Rate, errors and delays of one service; rows of the table and services come in the same order.
function showService(row) {
  const s = data.services[row];
  if (!s) return;
  Grid.services.choose(row);
  const of = (key) => Grid.services.column(key).values[row];
  const errors = [
    ['client errors', 'var(--c5)', s.client_errors], ['server errors', 'var(--bad)', s.server_errors], ['timeouts', 'var(--c6)', s.timeouts],
  ];
  const delays = [['p50', 'var(--p50)', s.p50_ns], ['p95', 'var(--p95)', s.p95_ns], ['p99', 'var(--p99)', s.p99_ns]];
  const perSecond = (v) => v.map((x) => x / seconds);
  byId('service').replaceChildren(make('div', { class: 'caption' }, make('h3', {}, label(s)), make('span', { class: 'muted' }, 'choose another in the table above')),
    make('div', { class: 'panels' },
      panel('Rate', null, lineChart([{ name: 'requests', color: `var(--c${row % 12})`, values: perSecond(s.requests), fill: true }], { format: format.rate, label: 'Rate' })),
      panel('Errors', errors.map(([n, c]) => [n, c]), lineChart(errors.map(([name, color, values]) => ({ name, color, values: perSecond(values), fill: true })), { format: format.rate, label: 'Errors' })),
      panel('Duration', delays.map(([n, c]) => [n, c]), lineChart(delays.map(([name, color, values]) => ({ name, color, values })), { format: format.duration, isLog: true, label: 'Duration' })),
      panel('Distribution of durations', null, histogram(s.histogram, s.histogram[1].length ? [['p50', of('p50_ns'), 'var(--p50)'], ['p95', of('p95_ns'), 'var(--p95)'], ['p99', of('p99_ns'), 'var(--p99)']] : []))));
}

// Pointing at a node of the map leaves its edges; choosing it shows the service.
function drawMap() {
  const map = document.querySelector('svg.map');
  // Small maps stay as they are, wide ones shrink to the page while they can be read.
  map.style.minWidth = `${Math.min(map.viewBox.baseVal.width, 720)}px`;
  for (const node of map.querySelectorAll('.node')) {
    const name = node.dataset.service;
    const row = data.services.findIndex((s) => s.name === name);
    const near = (on) => {
      for (const e of map.querySelectorAll('.edge, .label')) e.classList.toggle('dim', on && e.dataset.from !== name && e.dataset.to !== name);
    };
    node.addEventListener('pointerenter', () => near(true));
    node.addEventListener('pointerleave', () => near(false));
    if (row < 0) continue;
    node.setAttribute('tabindex', '0');
    node.setAttribute('role', 'link');
    const open = () => { location.hash = `service=${encodeURIComponent(name)}`; };
    node.addEventListener('click', open);
    node.addEventListener('keydown', (e) => { if (e.key === 'Enter') open(); });
  }
}
