// A trace as a waterfall.
const taps = {
  'c-p': 'client process', c: 'client interface', 'c-nd': 'client node', 's-nd': 'server node', s: 'server interface', 's-p': 'server process', app: 'application',
};
const failed = new Set(['client_error', 'server_error', 'timeout']);

function waterfall(t) {
  const n = t.at.length;
  const from = Math.min(0, ...t.at);
  const length = Math.max(1, ...t.at.map((a, i) => a + t.duration[i])) - from;
  const rows = [make('div', { class: 'row head' }, make('span', {}, 'Service and request'),
    make('div', { class: 'track ticks' }, [0, 0.25, 0.5, 0.75, 1].map((s) => make('span', { style: { left: percent(s) } }, s === 0 ? '0' : format.duration(Math.round(s * length))))),
    make('span', {}, 'Duration'), make('span', {}, 'Self'), make('span', {}, 'Linked by'))];
  for (let i = 0; i < n; i += 1) {
    const isPackets = t.tap[i] !== 'c-p' && t.tap[i] !== 's-p' && t.tap[i] !== 'app';
    const service = text(t.service[i]);
    const more = make('div', { class: 'more', hidden: true }, keys([
      ['Request', text(t.resource[i]) || text(t.name[i])], ['Status', t.status[i].replaceAll('_', ' ') + (t.code[i] === null ? '' : ` ${t.code[i]}`)], ['Error', text(t.exception[i])],
      ['Process', t.pid[i] ? `${text(t.process[i])} ${t.pid[i]}` : ''], ['Seen at', `${taps[t.tap[i]] || t.tap[i]} (${t.tap[i]})`],
      ['Start', `${fullTime(t.start + t.at[i])}, ${format.duration(t.at[i])} into the trace`], ['Duration', `${format.duration(t.duration[i])}, of which itself ${format.duration(t.self_time[i])}`],
      ['Linked by', `${t.link[i]}, confidence ${t.confidence[i].toFixed(2)}`], ['Completeness', text(t.completeness[i])],
    ]));
    const row = make('button', {
      type: 'button', class: failed.has(t.status[i]) ? 'row failed' : 'row', 'aria-expanded': 'false',
      onclick: () => { more.hidden = !more.hidden; row.setAttribute('aria-expanded', String(!more.hidden)); },
    },
    make('span', { class: 'what', style: { paddingLeft: `${Math.min(t.depth[i], 24) * 11}px` } },
      make('i', { style: { background: serviceColor(service) } }), make('b', {}, service), make('em', { title: taps[t.tap[i]] }, t.tap[i]),
      make('span', { title: text(t.name[i]) }, text(t.name[i]))),
    make('div', { class: 'track' }, make('u', {
      class: isPackets ? 'packets' : null,
      style: { left: percent((t.at[i] - from) / length), width: percent(t.duration[i] / length), '--bar': '', background: failed.has(t.status[i]) ? '' : serviceColor(service) },
    })),
    make('span', { class: 'number' }, format.duration(t.duration[i])), make('span', { class: 'number muted' }, format.duration(t.self_time[i])),
    make('span', { class: 'link', title: `confidence ${t.confidence[i].toFixed(2)}` }, t.link[i].replaceAll('_', ' ')));
    rows.push(row, more);
  }
  return make('div', { class: 'fall' }, rows);
}

function showTrace(id) {
  const t = waterfalls.get(id);
  if (!t) return false;
  const grid = Grid.traces;
  const ids = grid.column('trace_id').values;
  const row = ids.findIndex((v) => text(v) === id);
  const processes = new Set(t.pid.filter((p) => p));
  const errors = t.status.filter((s) => failed.has(s)).length;
  byId('trace').replaceChildren(make('div', { class: 'panel detail' },
    make('div', { class: 'caption' }, make('h3', {}, `${text(t.service[0])}  ${text(t.name[0])}`), badge(t.status[0]),
      make('span', { class: 'muted' }, `${format.duration(t.duration[0])} · ${t.at.length} spans · ${processes.size} processes${errors ? ` · ${errors} spans with errors` : ''} · ${shortTime(t.start)} ${format.offset(t.start)}`),
      make('span', { class: 'muted code' }, id)),
    waterfall(t)));
  grid.choose(row);
  return true;
}
