// The life of a flow: where its time went.
const segmentColors = {
  connect: 'var(--c6)', tls: 'var(--c3)', client_wait: 'var(--line)', request_transfer: 'var(--c4)', server_ack: 'var(--c5)',
  server_response: 'var(--c0)', response_transfer: 'var(--c2)', close: 'var(--c8)',
};
const segmentNames = {
  connect: 'connect', tls: 'TLS handshake', client_wait: 'client wait', request_transfer: 'request transfer', server_ack: 'server kernel (ack)',
  server_response: 'server response', response_transfer: 'response transfer', close: 'close',
};
const mostExchanges = 200;

// Plots are in the page already; the one of the flow is shown with it.
const sequences = new Map([...document.querySelectorAll('#sequences > figure')].map((f) => [Number(f.dataset.flow), f]));
function sequenceOf(id) {
  const figure = sequences.get(id);
  if (!figure) {
    const few = sequences.size > 0 && 'Time-sequence plots are here for the flows with most trouble and the largest; ';
    return make('p', { class: 'muted', style: { fontSize: '11.5px', marginTop: '10px' } }, few, few ? 'this one\u2019s: ' : 'Time-sequence plot: ', make('code', {}, `analyze plot INPUT --flow ${id}`));
  }
  return make('div', {}, make('h3', { style: { marginTop: '12px' } }, 'Time-sequence plot'),
    make('p', { class: 'muted', style: { fontSize: '11.5px' } }, 'Each upright line is a segment, from its first to its last byte. It should lie between the acknowledged line below and the window\u2019s edge above. R: sent again, O: out of order, P: probe, Z: zero window, ?: bytes before it are not in the capture.'),
    figure);
}

function showFlow(id) {
  const p = profiles.get(id);
  if (!p) return false;
  const length = Math.max(1, p.duration, ...p.at.map((a, i) => a + p.length[i]));
  const bar = (i, from, whole) => make('u', {
    title: `${segmentNames[p.segment[i]] || p.segment[i]}: ${format.duration(p.length[i])}, ${format.bytes(p.bytes[i])}${p.retransmissions[i] ? `, ${p.retransmissions[i]} retransmissions` : ''}`,
    style: { left: percent((p.at[i] - from) / whole), width: percent(p.length[i] / whole), background: segmentColors[p.segment[i]] || 'var(--c11)' },
  });
  const order = p.at.map((_, i) => i);
  const retransmissions = p.retransmissions.reduce((a, b) => a + b, 0);
  const marks = order.filter((i) => p.retransmissions[i]).map((i) => make('i', { title: `${p.retransmissions[i]} sent again in ${segmentNames[p.segment[i]] || p.segment[i]}`, style: { left: percent((p.at[i] + p.length[i] / 2) / length) } }));
  const events = p.events.filter(([at]) => at >= 0 && at <= length).map(([at, event, reason]) => make('i', { class: 'kernel', title: `${event} ${text(reason)} at ${format.offset(at)}`, style: { left: percent(at / length) } }));

  const sums = new Map();
  for (const i of order) {
    const s = sums.get(p.segment[i]) || { ns: 0, count: 0, bytes: 0, retransmissions: 0 };
    s.ns += p.length[i]; s.count += 1; s.bytes += p.bytes[i]; s.retransmissions += p.retransmissions[i];
    sums.set(p.segment[i], s);
  }
  const names = [...sums.keys()];
  const used = legend(names.map((s) => [`${segmentNames[s] || s} ${format.duration(sums.get(s).ns)} (${format.share(sums.get(s).ns / length)})`, segmentColors[s] || 'var(--c11)']));

  // Exchanges one below the other, without the wait before them, on one scale.
  const exchanges = new Map();
  for (const i of order) {
    if (['client_wait', 'connect', 'tls', 'close'].includes(p.segment[i])) continue;
    exchanges.set(p.exchange[i], [...(exchanges.get(p.exchange[i]) || []), i]);
  }
  const list = [...exchanges.values()].map((parts) => {
    const from = p.at[parts[0]];
    const last = parts[parts.length - 1];
    return { parts, from, length: p.at[last] + p.length[last] - from, bytes: parts.reduce((a, i) => a + p.bytes[i], 0), number: p.exchange[parts[0]] };
  });
  const longest = Math.max(1, ...list.map((e) => e.length));
  byId('flow').replaceChildren(make('div', { class: 'panel detail' },
    make('div', { class: 'caption' }, make('h3', {}, text(p.title)),
      make('span', { class: 'muted' }, `flow ${id} · ${format.duration(p.duration)} · from ${shortTime(p.start)} ${format.offset(p.start)}${retransmissions ? ` · ${retransmissions} ${retransmissions === 1 ? 'retransmission' : 'retransmissions'}` : ''}`)),
    make('div', { class: 'marks' }, marks, events),
    make('div', { class: 'life', role: 'img', 'aria-label': 'Network profile' }, order.map((i) => bar(i, 0, length))),
    make('div', { class: 'axis' }, [0, 0.25, 0.5, 0.75, 1].map((s) => make('span', { style: { left: percent(s) } }, s === 0 ? '0' : format.duration(Math.round(s * length))))),
    used,
    (marks.length + events.length) > 0 && make('p', { class: 'muted', style: { fontSize: '11.5px' } }, `▲ above the line: ${marks.length ? 'retransmissions in packets (red)' : ''}${marks.length && events.length ? ', ' : ''}${events.length ? 'kernel events (amber)' : ''}`),
    list.length > 0 && make('div', { class: 'exchanges' }, list.slice(0, mostExchanges).map((e) => make('div', {},
      make('span', { class: 'muted' }, `exchange ${e.number + 1}`), make('div', { class: 'exchange' }, e.parts.map((i) => bar(i, e.from, longest))),
      make('span', { class: 'number' }, format.duration(e.length)), make('span', { class: 'number muted' }, format.bytes(e.bytes))))),
    sequenceOf(id)));
  Grid.flows.choose(Grid.flows.column('flow_id').values.indexOf(id));
  return true;
}
