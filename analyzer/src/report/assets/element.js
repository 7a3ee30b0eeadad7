// Elements. Texts become text nodes, never markup: what was captured is hostile.
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const namespace = document.querySelector('svg').namespaceURI;
const shape = (tag, attributes = {}, ...children) => fill(document.createElementNS(namespace, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);
const text = (place) => (place === null || place === undefined ? '' : data.strings[place]);
const percent = (share) => `${(share * 100).toFixed(4)}%`;

// Colours of services: the drawn ones by rank, others by their name.
const serviceNames = [...new Set(data.services.map((s) => s.name))];
function serviceColor(name) {
  let place = serviceNames.indexOf(name);
  if (place < 0) {
    place = 0;
    for (const c of name) place = (place * 31 + c.codePointAt(0)) % 12;
  }
  return `var(--c${place % 12})`;
}

const legend = (entries) =>
  make('div', { class: 'legend' }, entries.map(([name, color]) => make('span', {}, make('i', { style: { background: color } }), name)));
const keys = (entries) =>
  make('dl', { class: 'keys' }, entries.filter(([, v]) => v !== '' && v !== null && v !== undefined)
    .flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)]));
