// Sortable, searchable tables out of columns.
const numeric = new Set(['count', 'number', 'duration', 'bytes', 'rate', 'share', 'flow']);
const texts = new Set(['text', 'code', 'badge', 'trace']);
const good = new Set(['ok', 'complete', 'finish', 'attached']);
const bad = new Set(['server_error', 'timeout', 'parse_failed', 'drop', 'missing', 'gap']);
const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });
const pageSize = 20;

const waterfalls = new Map(data.traces.map((t) => [text(t.id), t]));
const profiles = new Map(data.profiles.map((p) => [p.flow, p]));

function badge(value) {
  const kind = good.has(value) ? 'good'
    : bad.has(value) || /rst|reset|timeout|fail/.test(value) ? 'bad'
    : value === 'unknown' ? '' : 'warn';
  return make('span', { class: `badge ${kind}` }, value.replaceAll('_', ' '));
}

function sparkline(values) {
  const most = Math.max(1, ...values);
  const [w, h] = [96, 20];
  const x = (i) => ((i + 0.5) * w) / values.length;
  const y = (v) => h - 1.5 - ((h - 4) * v) / most;
  const line = values.map((v, i) => `${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('L');
  return shape('svg', { width: w, height: h, viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': 'requests over time' },
    shape('path', { class: 'spark-area', d: `M${x(0)} ${h}L${line}L${x(values.length - 1)} ${h}Z` }),
    shape('path', { class: 'spark', d: `M${line}` }));
}

// The text of a cell as it is searched and shown.
function plain(column, row) {
  const v = column.values[row];
  if (v === null || v === undefined) return '';
  if (texts.has(column.kind)) return text(v);
  if (column.kind === 'time') return `${shortTime(v)} ${format.offset(v)}`;
  if (column.kind === 'flow') return String(v);
  return column.kind === 'series' ? '' : format[column.kind](v);
}

class Grid {
  // `options`: title, rows per page, sort [key, 'ascending' | 'descending'], open(row) for a click, opens(row).
  constructor(place, table, options = {}) {
    this.table = table;
    this.options = options;
    // A column without a value is not worth its width.
    this.columns = table.columns.filter((c) => c.values.some((v) => v !== null && !(c.kind !== 'text' && texts.has(c.kind) && text(v) === '')));
    this.all = Array.from({ length: table.shown }, (_, i) => i);
    this.rows = this.all;
    this.size = options.rows || pageSize;
    this.page = 0;
    this.chosen = -1;
    this.note = make('span', {});
    this.pager = make('div', { class: 'pager' });
    this.head = make('tr');
    this.body = make('tbody');
    this.root = make('div', { class: 'grid panel' },
      make('div', { class: 'bar-top' }, options.title && make('h3', {}, options.title), this.note, this.pager),
      make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, this.head), this.body)));
    place.append(this.root);
    if (options.sort) this.order(...options.sort);
    this.drawHead();
    this.draw();
    Grid.every.push(this);
  }

  column(key) {
    return this.table.columns.find((c) => c.key === key);
  }

  order(key, direction) {
    this.sorted = [key, direction];
    const column = this.columns.find((c) => c.key === key);
    if (!column) return;
    const sign = direction === 'ascending' ? 1 : -1;
    const { values, kind } = column;
    const compare = texts.has(kind)
      ? (a, b) => collator.compare(text(values[a]), text(values[b]))
      : kind === 'series'
        ? (a, b) => Math.max(...values[a]) - Math.max(...values[b])
        : (a, b) => values[a] - values[b];
    // Rows without a value come last either way; equal ones stay in their order.
    this.all = [...this.all].sort((a, b) => {
      const [x, y] = [values[a] === null, values[b] === null];
      return x || y ? x - y || a - b : sign * compare(a, b) || a - b;
    });
    this.search(this.query || []);
  }

  search(words) {
    this.query = words;
    if (words.length) {
      this.lower ||= [];
      this.rows = this.all.filter((row) => {
        this.lower[row] ||= this.table.columns.map((c) => plain(c, row)).join('\n').toLowerCase();
        return words.every((w) => this.lower[row].includes(w));
      });
    } else {
      this.rows = this.all;
    }
    this.page = 0;
    this.draw();
  }

  drawHead() {
    this.head.replaceChildren(...this.columns.map((c) => {
      const isSorted = this.sorted && this.sorted[0] === c.key;
      const first = numeric.has(c.kind) || c.kind === 'series' ? 'descending' : 'ascending';
      const flip = { ascending: 'descending', descending: 'ascending' };
      const sort = () => {
        this.order(c.key, isSorted ? flip[this.sorted[1]] : first);
        this.drawHead();
        this.head.querySelector(`[data-key="${c.key}"]`)?.focus();
      };
      return make('th', { scope: 'col', class: numeric.has(c.kind) ? 'number' : null, 'aria-sort': isSorted ? this.sorted[1] : null },
        make('button', { type: 'button', 'data-key': c.key, title: `Sort by ${c.key}`, onclick: sort }, c.label));
    }));
  }

  draw() {
    const { table } = this;
    const pages = Math.max(1, Math.ceil(this.rows.length / this.size));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const from = this.page * this.size;
    const to = Math.min(from + this.size, this.rows.length);
    let note = `${format.count(table.total)} ${table.total === 1 ? 'row' : 'rows'}`;
    if (table.shown < table.total) {
      note = `${format.count(table.shown)} of ${format.count(table.total)} shown (${table.choice})`;
      const name = table.file.replace(/^tables\/|\.parquet$/g, '').replaceAll('_', '-');
      if (table.file) note += `; all are in ${table.file}, or by \u201canalyze ${name} INPUT\u201d`;
    }
    if (this.query?.length) note = `${format.count(this.rows.length)} found in ${note}`;
    this.note.textContent = note;
    const turn = (by, label, name) => make('button', {
      type: 'button', class: 'quiet', 'aria-label': name, disabled: this.page + by < 0 || this.page + by >= pages,
      onclick: () => { this.page += by; this.draw(); },
    }, label);
    this.pager.replaceChildren(...(pages > 1
      ? [turn(-1, '‹', 'Previous page'), `${format.count(from + 1)}–${format.count(to)}`, turn(1, '›', 'Next page')] : []));
    this.body.replaceChildren(...this.rows.slice(from, to).map((row) => this.drawRow(row)));
    if (!this.rows.length) {
      this.body.append(make('tr', {}, make('td', { class: 'none', colspan: Math.max(1, this.columns.length) }, 'None.')));
    }
  }

  drawRow(row) {
    const { open, opens } = this.options;
    const can = open && (!opens || opens(row));
    return make('tr', {
      class: [can && 'opens', row === this.chosen && 'chosen'].filter(Boolean).join(' ') || null,
      onclick: can && ((e) => { if (!e.target.closest('a') && !String(getSelection())) open(row); }),
    }, this.columns.map((c) => this.cell(c, row)));
  }

  cell(column, row) {
    const v = column.values[row];
    const { kind } = column;
    const isNumber = numeric.has(kind);
    if (v === null || v === undefined) return make('td', { class: isNumber ? 'number none' : 'none' }, '–');
    if (kind === 'series') return make('td', {}, sparkline(v));
    if (kind === 'time') return make('td', { title: fullTime(v) }, shortTime(v), make('small', {}, format.offset(v)));
    if (kind === 'badge') return make('td', {}, badge(text(v)));
    if (kind === 'trace') {
      const id = text(v);
      return make('td', { class: 'code', title: id },
        waterfalls.has(id) ? make('a', { href: `#trace=${id}` }, id.slice(0, 8)) : make('span', { class: 'muted' }, id.slice(0, 8)));
    }
    if (kind === 'flow') {
      return make('td', { class: 'number' }, profiles.has(v) ? make('a', { href: `#flow=${v}` }, String(v)) : String(v));
    }
    if (isNumber) {
      const hot = v > 0 && /error|timeouts|retrans|failures|resets|zero_window|lost/.test(column.key);
      return make('td', { class: hot ? 'number hot' : v === 0 ? 'number none' : 'number', title: kind === 'duration' || kind === 'bytes' ? format.count(v) + (kind === 'duration' ? ' ns' : ' B') : null }, format[kind](v));
    }
    const s = text(v);
    return make('td', { class: kind === 'code' ? 'code' : null, title: s.length > 30 ? s : null }, s);
  }

  // Marks a row and turns to its page.
  choose(row) {
    this.chosen = row;
    const at = this.rows.indexOf(row);
    if (at >= 0) this.page = Math.floor(at / this.size);
    this.draw();
  }
}
Grid.every = [];
