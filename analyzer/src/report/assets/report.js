// Puts the page together: sections, their navigation, search, theme, links into the page.
const sections = [...document.querySelectorAll('main > section')];
const lastDiv = (id) => byId(id).querySelector(':scope > div:last-of-type');
const none = (place, words) => place.append(make('p', { class: 'notice' }, words));
const hasPackets = data.tables.interfaces.total > 0;

function drawTheme() {
  const button = byId('theme');
  let stored = null;
  try { stored = localStorage.getItem('hindsight-theme'); } catch { /* a file's storage may be closed */ }
  const prefers = matchMedia('(prefers-color-scheme: dark)');
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === 'dark' ? '☀' : '☾';
  };
  const flip = () => {
    stored = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    try { localStorage.setItem('hindsight-theme', stored); } catch { /* see above */ }
    apply(stored);
  };
  apply(stored || (prefers.matches ? 'dark' : 'light'));
  prefers.addEventListener('change', () => { if (!stored) apply(prefers.matches ? 'dark' : 'light'); });
  button.addEventListener('click', flip);
  return { flip, apply };
}

function drawSections() {
  const { tables } = data;
  drawOverview();
  drawMap();
  Grid.map = new Grid(byId('edges'), tables.map, { title: 'Edges', sort: ['requests', 'descending'] });
  if (tables.legs.total) {
    Grid.legs = new Grid(byId('legs'), tables.legs, { title: 'Where the time goes: every edge at every point that saw it, from client to server' });
    byId('legs').append(make('p', { class: 'muted', style: { fontSize: '11.5px' } }, '\u201cBeyond\u201d is the part of a request\u2019s time between this point and the next one towards the server, of requests in traces; the rest of the time here was spent further on.'));
  }
  const requestTraces = tables.requests.columns.find((c) => c.key === 'trace_id').values;
  if (tables.requests.total) {
    Grid.requests = new Grid(lastDiv('requests'), tables.requests, {
      sort: ['duration_ns', 'descending'], opens: (row) => waterfalls.has(text(requestTraces[row])), open: (row) => { location.hash = `trace=${text(requestTraces[row])}`; },
    });
    Grid.endpoints = new Grid(lastDiv('endpoints'), tables.endpoints, { sort: ['requests', 'descending'] });
  } else {
    none(lastDiv('requests'), noRequests);
    none(lastDiv('endpoints'), 'None without requests.');
  }
  const traceIds = tables.traces.columns.find((c) => c.key === 'trace_id').values;
  Grid.traces = new Grid(lastDiv('traces'), tables.traces, {
    sort: ['duration_ns', 'descending'], opens: (row) => waterfalls.has(text(traceIds[row])), open: (row) => { location.hash = `trace=${text(traceIds[row])}`; },
  });
  const flowIds = tables.flows.columns.find((c) => c.key === 'flow_id').values;
  Grid.flows = new Grid(lastDiv('flows'), tables.flows, { opens: (row) => profiles.has(flowIds[row]), open: (row) => { location.hash = `flow=${flowIds[row]}`; } });
  if (data.traces.length) showTrace(text(data.traces[0].id));
  else none(byId('trace'), tables.traces.total ? 'The spans are in tables/spans.parquet.' : 'No traces: they are built from system calls on sockets, of which this recording holds none with requests.');
  if (data.profiles.length) showFlow(data.profiles[0].flow);
  else none(byId('flow'), hasPackets ? 'No flow has a network profile: no TCP conversation was seen in packets.' : 'Network profiles need packets, of which this recording holds none.');
  if (tables.hops.total) {
    Grid.hops = new Grid(byId('places'), tables.hops, { title: 'From place to place', sort: ['mean_ns', 'descending'] });
    if (tables.hop_statements.total) Grid.hopStatements = new Grid(byId('hop_statements'), tables.hop_statements, { title: 'Conversations', opens: (row) => profiles.has(tables.hop_statements.columns.find((c) => c.key === 'flow_id').values[row]), open: (row) => { location.hash = `flow=${tables.hop_statements.columns.find((c) => c.key === 'flow_id').values[row]}`; } });
  } else none(byId('places'), 'No conversation was seen at several places.');
  if (tables.socket_events.total) {
    Grid.trouble = new Grid(byId('trouble'), tables.trouble, { title: 'By reason', sort: ['events', 'descending'] });
    Grid.events = new Grid(byId('socket_events'), tables.socket_events, { title: 'Events' });
  } else none(byId('trouble'), 'The kernel reported no retransmission, reset or drop in this recording. Retransmissions seen in packets are in the table of flows.');
  if (data.flames.length) Flame.only = new Flame(byId('flame'));
  else none(byId('flame'), 'No stack samples in this recording.');
  Grid.processes = new Grid(lastDiv('processes'), tables.processes, {
    opens: (row) => data.flames.some((f) => f.process === tables.processes.columns[1].values[row]),
    open: (row) => { location.hash = `process=${encodeURIComponent(text(tables.processes.columns[1].values[row]))}`; },
  });
  Grid.interfaces = new Grid(lastDiv('interfaces'), tables.interfaces, { sort: ['packets', 'descending'] });
  Grid.nodes = new Grid(byId('places_of_nodes'), tables.nodes, { title: 'Nodes and captures' });
  if (tables.clocks.total) Grid.clocks = new Grid(byId('clocks'), tables.clocks, { title: 'Clocks' });
  Grid.health = new Grid(byId('losses'), tables.health, { title: 'Losses and damages' });
  if (tables.hooks.total) Grid.hooks = new Grid(byId('hooks'), tables.hooks, { title: 'Hooks' });
  drawFigures(byId('costs'), data.cost);
  if (tables.programs.total) Grid.programs = new Grid(byId('programs'), tables.programs, { title: 'Programs in the kernel', sort: ['run_ns', 'descending'] });
  if (!data.cost.length && !tables.programs.total) none(byId('programs'), 'The recording does not say what it cost.');
  if (data.privacy.length) byId('withheld').append(...data.privacy.map((line) => make('li', {}, line)));
  else byId('withheld').append(make('li', {}, 'No statement of a recorder: the input is a plain packet capture.'));
  byId('masked').append(...(data.masked.length ? data.masked : ['Nothing.']).map((line) => make('li', {}, line)));
}

// What the navigation counts per section, and whether that is bad news.
const counted = {
  overview: () => [Grid.services], map: () => [Grid.map], requests: () => [Grid.requests], endpoints: () => [Grid.endpoints], traces: () => [Grid.traces],
  flows: () => [Grid.flows], hops: () => [Grid.hops, Grid.hopStatements], tcp: () => [Grid.events], cpu: () => [Flame.only?.grid], processes: () => [Grid.processes], interfaces: () => [Grid.interfaces], nodes: () => [Grid.nodes, Grid.clocks],
  health: () => [Grid.health, Grid.hooks], cost: () => [Grid.programs],
};

function drawNavigation() {
  const short = { requests: 'Requests', cost: 'Recorder’s cost' };
  byId('nav').replaceChildren(...sections.map((s) => {
    const grids = (counted[s.id]?.() || []).filter(Boolean);
    const isSearch = grids.some((g) => g.query?.length);
    const n = isSearch ? grids.reduce((a, g) => a + g.rows.length, 0) : grids[0]?.table.total;
    const isBad = !isSearch && ((s.id === 'health' && n > 0) || (s.id === 'tcp' && n > 0));
    return make('a', { href: `#${s.id}`, class: [isBad && 'bad', !n && s.id !== 'privacy' && s.id !== 'overview' && 'empty'].filter(Boolean).join(' ') || null, 'data-section': s.id },
      short[s.id] || s.querySelector('h2').textContent, s.id === 'overview' || n === undefined ? '' : make('span', {}, format.count(n)));
  }));
  markHere();
}

let here = 'overview';
function markHere() {
  for (const a of byId('nav').children) a.classList.toggle('here', a.dataset.section === here);
}

function watchSections() {
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const e of entries) { if (e.isIntersecting) seen.add(e.target); else seen.delete(e.target); }
    const first = sections.find((s) => seen.has(s));
    if (first && first.id !== here) { here = first.id; markHere(); }
  }, { rootMargin: '-70px 0px -60% 0px' });
  sections.forEach((s) => watch.observe(s));
}

function search(query) {
  const list = query.toLowerCase().split(/\s+/).filter(Boolean);
  Grid.every.forEach((g) => g.search(list));
  drawNavigation();
}

// #traces, #trace=ID, #flow=N, #process=NAME, #service=NAME, #q=WORDS, with &theme=dark
function follow(theme) {
  const hash = location.hash.slice(1);
  if (!hash) return;
  const wanted = new URLSearchParams(hash);
  if (wanted.get('theme')) theme.apply(wanted.get('theme') === 'dark' ? 'dark' : 'light');
  const q = wanted.get('q');
  if (q !== null) { byId('search').value = q; search(q); }
  const service = wanted.get('service');
  const process = wanted.get('process');
  let goal = sections.find((s) => wanted.has(s.id) && !wanted.get(s.id));
  if (wanted.has('trace') && showTrace(wanted.get('trace'))) goal = byId('traces');
  if (wanted.has('flow') && showFlow(Number(wanted.get('flow')))) goal = byId('flows');
  if (process !== null) {
    const place = data.flames.findIndex((f) => text(f.process) === process);
    if (place >= 0) { Flame.only.load(place); goal = byId('cpu'); }
  }
  if (service !== null) {
    const place = data.services.findIndex((s) => s.name === service);
    if (place >= 0) { showService(place); goal = byId('service'); }
  }
  goal?.scrollIntoView({ block: 'start' });
}

const theme = drawTheme();
drawSections();
drawNavigation();
watchSections();
let pause = 0;
byId('search').addEventListener('input', (e) => { clearTimeout(pause); pause = setTimeout(() => search(e.target.value), 120); });
document.addEventListener('keydown', (e) => {
  const isTyping = e.target.closest('input, select, textarea');
  if (e.key === 'Escape' && e.target === byId('search')) { e.target.value = ''; search(''); e.target.blur(); }
  if (isTyping || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === '/') { e.preventDefault(); byId('search').focus(); }
  if (e.key === 't') theme.flip();
});
addEventListener('hashchange', () => follow(theme));
follow(theme);
document.documentElement.dataset.ready = 'yes';
