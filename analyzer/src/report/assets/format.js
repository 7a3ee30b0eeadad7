// Numbers as people read them; `human.rs` writes them alike.
function scaled(value, unit) {
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
}

const format = {
  duration(ns) {
    const sign = ns < 0 ? '−' : '';
    const v = Math.abs(ns);
    if (v < 1e3) return `${sign}${v} ns`;
    if (v < 999.5e3) return sign + scaled(v / 1e3, 'µs');
    if (v < 999.5e6) return sign + scaled(v / 1e6, 'ms');
    if (v < 120e9) return sign + scaled(v / 1e9, 's');
    const s = Math.floor(v / 1e9);
    if (s < 7200) return `${sign}${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 172800) return `${sign}${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${sign}${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  },
  bytes(n) {
    if (n < 1e3) return `${n} B`;
    if (n < 999.5e3) return scaled(n / 1e3, 'kB');
    if (n < 999.5e6) return scaled(n / 1e6, 'MB');
    if (n < 999.5e9) return scaled(n / 1e9, 'GB');
    return scaled(n / 1e12, 'TB');
  },
  count: (n) => n.toLocaleString('en-US'),
  number: (n) => String(n),
  rate: (v) => (v === 0 ? '0 /s' : v < 0.01 ? '< 0.01 /s' : scaled(v, '/s')),
  share(v) {
    const p = v * 100;
    return p === 0 || p === 100 ? `${p} %` : p < 0.1 ? `${p.toFixed(2)} %` : `${p.toFixed(1)} %`;
  },
  offset(ns) {
    const s = ns / 1e9;
    return `${s < 0 ? '−' : '+'}${Math.abs(s).toFixed(Math.abs(s) < 100 ? 4 : 2)} s`;
  },
};

// Times are UTC. The start does not fit into a double, so milliseconds and the rest go separate ways.
const start = BigInt(data.start);
const manyDays = data.length_ns > 20 * 3600e9;
function utc(offset, digits = 3) {
  const at = start + BigInt(Math.round(offset));
  const second = at >= 0n ? at / 1000000000n : (at - 999999999n) / 1000000000n;
  const iso = new Date(Number(second) * 1000).toISOString();
  const fraction = String(at - second * 1000000000n).padStart(9, '0').slice(0, digits);
  return { day: iso.slice(0, 10), time: iso.slice(11, 19) + (digits ? `.${fraction}` : '') };
}
function fullTime(offset) {
  const t = utc(offset, 9);
  return `${t.day} ${t.time} UTC`;
}
function shortTime(offset, digits = 3) {
  const t = utc(offset, digits);
  return manyDays || Math.abs(offset) > 86400e9 ? `${t.day} ${t.time}` : t.time;
}
