// Flame graphs: root on top, a frame as wide as its share of samples.
const rowHeight = 18;
const mostFrames = 2500;

class Flame {
  constructor(place) {
    this.search = '';
    const pick = make('select', { class: 'quiet', 'aria-label': 'Process', onchange: () => this.load(Number(pick.value)) },
      data.flames.map((f, i) => make('option', { value: i }, `${text(f.process)}: ${format.count(f.samples)} samples`)));
    const find = make('input', { type: 'search', placeholder: 'Find a function', 'aria-label': 'Find a function', oninput: () => { this.search = find.value.trim().toLowerCase(); this.draw(); } });
    this.pick = pick;
    this.reset = make('button', { type: 'button', class: 'quiet', onclick: () => this.zoom(0) }, 'Whole process');
    this.matched = make('span', { class: 'muted' });
    this.graph = make('div', { class: 'flame', role: 'tree', 'aria-label': 'Flame graph', onkeydown: (e) => this.key(e) });
    this.status = make('p', { class: 'status', 'aria-live': 'polite' });
    this.about = make('span', { class: 'muted' });
    this.hot = make('div');
    place.append(make('div', { class: 'panel detail' },
      make('div', { class: 'tools' }, pick, find, this.reset, this.matched, legend([['user', 'var(--user-1)'], ['kernel', 'var(--kernel-1)']]), this.about),
      make('div', { class: 'flame-box' }, this.graph), this.status), this.hot);
    this.load(0);
  }

  load(place) {
    const f = data.flames[place];
    this.flame = f;
    this.pick.value = String(place);
    const n = f.depth.length;
    this.parent = new Int32Array(n).fill(-1);
    this.left = new Float64Array(n);
    this.children = Array.from({ length: n }, () => []);
    const path = [];
    const used = new Float64Array(n);
    for (let i = 0; i < n; i += 1) {
      const d = f.depth[i];
      path.length = d;
      const p = d ? path[d - 1] : -1;
      path.push(i);
      if (p < 0) continue;
      this.parent[i] = p;
      this.children[p].push(i);
      this.left[i] = this.left[p] + used[p];
      used[p] += f.total[i];
    }
    this.about.textContent = `${format.duration(f.value_ns)} of CPU time, pid ${f.pids.slice(0, 8).join(', ')}${f.pids.length > 8 ? ` and ${f.pids.length - 8} more` : ''}${f.hidden ? `; ${format.count(f.hidden)} small frames left out` : ''}`;
    this.hottest();
    this.zoom(0);
  }

  // The functions that were running themselves, as a table.
  hottest() {
    const f = this.flame;
    const by = new Map();
    for (let i = 1; i < f.depth.length; i += 1) {
      const below = this.children[i].reduce((a, c) => a + f.total[c], 0);
      const entry = by.get(f.name[i]) || { self: 0, total: 0 };
      entry.self += f.total[i] - below;
      // A function that calls itself counts once.
      let p = this.parent[i];
      while (p > 0 && f.name[p] !== f.name[i]) p = this.parent[p];
      if (p <= 0) entry.total += f.total[i];
      by.set(f.name[i], entry);
    }
    const rows = [...by.entries()].sort((a, b) => b[1].self - a[1].self);
    const column = (key, name, kind, of) => ({ key, label: name, kind, values: rows.map(of) });
    const at = Grid.every.indexOf(this.grid);
    if (at >= 0) Grid.every.splice(at, 1);
    this.hot.replaceChildren();
    this.grid = new Grid(this.hot, {
      file: '', choice: '', total: rows.length, shown: rows.length,
      columns: [
        column('function', 'Function', 'code', ([name]) => name), column('self', 'Self', 'share', ([, v]) => v.self / f.samples),
        column('self_samples', 'Self samples', 'count', ([, v]) => v.self), column('with_callees', 'With callees', 'share', ([, v]) => v.total / f.samples),
        column('samples', 'Samples', 'count', ([, v]) => v.total),
      ],
    }, { title: `Hottest functions of ${text(f.process)}`, rows: 12, sort: ['self_samples', 'descending'] });
  }

  zoom(node) {
    this.root = node;
    this.draw();
  }

  draw() {
    const f = this.flame;
    const { root, search } = this;
    const above = [];
    for (let p = this.parent[root]; p >= 0; p = this.parent[p]) above.unshift(p);
    const whole = f.total[root] || 1;
    const frames = above.map((i) => this.frame(i, 0, 1, 'above'));
    let depth = f.depth[root];
    let matched = 0;
    let until = -1;
    for (let i = root; i < f.depth.length && frames.length < mostFrames; i += 1) {
      if (i > root && f.depth[i] <= f.depth[root]) break;
      const share = f.total[i] / whole;
      const isMatch = search && text(f.name[i]).toLowerCase().includes(search);
      // Frames below a match are in its share already.
      const end = this.left[i] + f.total[i];
      if (isMatch && this.left[i] >= until) { matched += f.total[i]; until = end; }
      if (share < 0.0008) continue;
      depth = Math.max(depth, f.depth[i]);
      frames.push(this.frame(i, (this.left[i] - this.left[root]) / whole, share, search && !isMatch ? 'dim' : ''));
    }
    this.graph.style.height = `${(depth + 1) * rowHeight}px`;
    this.graph.replaceChildren(...frames);
    this.reset.disabled = root === 0;
    this.matched.textContent = search ? `matched ${format.share(matched / whole)}` : '';
    this.tell(root);
  }

  frame(i, left, share, state) {
    const f = this.flame;
    const name = text(f.name[i]);
    const isKernel = name.endsWith('_[k]');
    let hash = 0;
    for (const c of name) hash = (hash * 31 + c.codePointAt(0)) % 997;
    return make('div', {
      class: state || null, role: 'treeitem', tabindex: i === this.root ? '0' : '-1', 'data-node': i,
      style: { left: percent(left), width: percent(share), top: `${f.depth[i] * rowHeight}px`, background: isKernel ? `var(--kernel-${1 + (hash % 2)})` : `var(--user-${1 + (hash % 3)})` },
      onclick: () => this.zoom(i), onpointerenter: () => this.tell(i), onfocus: () => this.tell(i),
    }, share > 0.012 ? name.replace(/_\[k\]$/, '') : '');
  }

  tell(i) {
    const f = this.flame;
    this.status.textContent = `${text(f.name[i])}: ${format.count(f.total[i])} samples, ${format.share(f.total[i] / f.samples)} of the process${this.root ? `, ${format.share(f.total[i] / f.total[this.root])} of what is shown` : ''}`;
  }

  key(event) {
    const i = Number(event.target.dataset.node);
    const siblings = this.children[this.parent[i]] || [];
    const at = siblings.indexOf(i);
    const goal = { ArrowUp: this.parent[i], ArrowDown: this.children[i][0], ArrowLeft: siblings[at - 1], ArrowRight: siblings[at + 1] }[event.key];
    if (event.key === 'Enter' || event.key === ' ') this.zoom(i);
    else if (event.key === 'Escape') this.zoom(0);
    else if (goal === undefined) return;
    event.preventDefault();
    this.graph.querySelector(`[data-node="${goal === undefined ? this.root : goal}"]`)?.focus();
  }
}
