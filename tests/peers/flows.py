#!/usr/bin/env python3
"""Compares flows with other tools' expectations: flows.py [--bin FLOWS] [--corpora DIR] [--only SUBSTRING] [--show FIELD] [--limit N]

Reads field/FLOWS.tsv.gz (oracles tshark, zeek, ndpi, arkime) and deepflow/{tcp_expected,red_expected}.json. Runs FLOWS (the `flows` example of
the replay crate, JSON lines) on every capture. Our flows of the same ends are merged where the oracle has one, and the other way round.
Prints per oracle and field: equal / different, flows missing; --show FIELD lists the differences of a field.
"""
import argparse, collections, gzip, ipaddress, json, os, subprocess, sys

def norm_ip(s):
    try:
        ip = ipaddress.ip_address(s.split('%')[0])
    except ValueError:
        return s
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ip)

def run(binary, path, *args):
    try:
        p = subprocess.run([binary, *args, path], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None, 'TIMEOUT'
    if p.returncode:
        return None, p.stderr.decode(errors='replace').strip().split('\n')[-1]
    return [json.loads(l) for l in p.stdout.splitlines()], p.stderr.decode(errors='replace')

def key(proto, a, ap, b, bp):
    x, y = (norm_ip(a), int(ap or 0)), (norm_ip(b), int(bp or 0))
    return (proto, *sorted([x, y], key=str))

def val(x):
    return int(float(x)) if x not in ('', '-') else 0

PER_SIDE = ('packets', 'bytes', 'ip_bytes', 'payload', 'retransmits', 'zero_window', 'out_of_order', 'duplicate_acks', 'window_full', 'keep_alives')

def ours_by_key(flows):
    out = collections.defaultdict(list)
    for f in flows:
        proto = f['transport']
        ports = (f['client_port'], f['server_port'])
        if proto in ('icmp', 'icmp6'):
            ports = (0, 0)
        out[key(proto, f['client_ip'], ports[0], f['server_ip'], ports[1])].append(f)
    return out

def merged(flows, a_ip, a_port, proto):
    """Sums of flows per side a, b."""
    sums = {k: [0, 0] for k in PER_SIDE}
    sums |= {'syn': [0, 0], 'fin': 0, 'rst': 0}
    for f in flows:
        a_is_client = norm_ip(f['client_ip']) == norm_ip(a_ip) and (proto in ('icmp', 'icmp6') or f['client_port'] == int(a_port or 0))
        sides = ('client', 'server') if a_is_client else ('server', 'client')
        for i, s in enumerate(sides):
            for k in PER_SIDE:
                sums[k][i] += f[s][k]
        sums['fin'] += f['fin']; sums['rst'] += f['rst']; sums['syn'][0] += f['syn']; sums['syn'][1] += f['syn_ack']
        sums['retransmits'][0 if a_is_client else 1] += f['syn_retransmits']
        sums['retransmits'][1 if a_is_client else 0] += f['syn_ack_retransmits']
    return sums

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--bin', required=True)
    ap.add_argument('--corpora', required=True)
    ap.add_argument('--only', default='')
    ap.add_argument('--oracle', default='')
    ap.add_argument('--show', default='')
    ap.add_argument('--limit', type=int, default=40)
    o = ap.parse_args()
    field = os.path.join(o.corpora, 'field')
    expected = collections.defaultdict(lambda: collections.defaultdict(list))
    with gzip.open(os.path.join(field, 'FLOWS.tsv.gz'), 'rt') as f:
        names = next(f).rstrip('\n').split('\t')
        for line in f:
            r = dict(zip(names, line.rstrip('\n').split('\t')))
            if o.only in r['file'] and r['oracle'].startswith(o.oracle):
                expected[r['file']][r['oracle'].split(':')[0]].append(r)
    stats = collections.Counter(); shown = 0
    def note(oracle, what, ok, text):
        nonlocal shown
        stats[oracle, what, 'equal' if ok else 'different'] += 1
        if not ok and o.show == what and shown < o.limit:
            shown += 1; print('  ', oracle, what, text)
    for path in sorted(expected):
        if not os.path.exists(os.path.join(field, path)):
            stats['', 'file', 'absent'] += 1
            continue
        flows, err = run(o.bin, os.path.join(field, path))
        if flows is None:
            stats['', 'file', 'failed'] += 1
            if o.show in ('', 'file'): print('   failed', path, err)
            continue
        stats['', 'file', 'read'] += 1
        ours = ours_by_key(flows)
        for oracle, rows in expected[path].items():
            by = collections.defaultdict(list)
            for r in rows:
                proto = r['proto'].lower()
                if proto in ('icmp', 'icmp6', 'icmpv6'):
                    proto = 'icmp6' if ':' in r['a_ip'] else 'icmp'
                    k = key(proto, r['a_ip'], 0, r['b_ip'], 0)
                elif proto in ('tcp', 'udp', 'sctp'):
                    k = key(proto, r['a_ip'], r['a_port'], r['b_ip'], r['b_port'])
                else:
                    continue
                by[k].append(r)
            for k, rs in by.items():
                mine = ours.get(k)
                note(oracle, 'flow', bool(mine), f"{path} {k} missing ({rs[0]['a_pkts']},{rs[0]['b_pkts']} packets)")
                if not mine: continue
                r0 = rs[0]
                s = merged(mine, r0['a_ip'], r0['a_port'], k[0])
                def num(col):
                    return [sum(val(r[c]) if (r['a_ip'], r['a_port']) == (r0['a_ip'], r0['a_port']) else val(r[d]) for r in rs) for c, d in ((f'a_{col}', f'b_{col}'), (f'b_{col}', f'a_{col}'))]
                text = f"{path} {r0['a_ip']}:{r0['a_port']} {r0['b_ip']}:{r0['b_port']}"
                def cmp(what, want, got):
                    note(oracle, what, want == got, f'{text} want {want} got {got}')
                cmp('packets', num('pkts'), s['packets'])
                cmp('bytes', num('bytes'), s['ip_bytes'] if oracle == 'zeek' else s['bytes'])
                if oracle == 'tshark' or oracle == 'zeek' and all(r['a_payload'] != '-' and r['b_payload'] != '-' for r in rs):
                    cmp('payload', num('payload'), s['payload'])
                if oracle == 'tshark' and k[0] == 'tcp':
                    cmp('connections', len(rs), len(mine))
                    extra = [json.loads(r['extra'] or '{}') for r in rs]
                    for name, field_name in (('retransmission', 'retransmits'), ('zero_window', 'zero_window'), ('out_of_order', 'out_of_order'), ('duplicate_ack', 'duplicate_acks'), ('window_full', 'window_full'), ('keep_alive', 'keep_alives')):
                        cmp(name, sum(sum(e.get(name, [0, 0])) for e in extra), sum(s[field_name]))
                    for name, got in (('syn', sum(s['syn'])), ('fin', s['fin']), ('rst', s['rst'])):
                        cmp(name, sum(sum(e.get(name, [0, 0])) for e in extra), got)
                    if len(rs) == 1 and len(mine) == 1 and 'irtt' in extra[0]:
                        want = round(float(extra[0]['irtt']) * 1e9); got = mine[0]['rtt']
                        cmp('irtt', want, got)
                if oracle == 'zeek':
                    extra = [json.loads(r['extra'] or '{}') for r in rs]
                    for e in extra:
                        stats['zeek-keys', '', ','.join(sorted(e))] += 0
                    cmp('connections', len(rs), len(mine))
                    if len(rs) == len(mine) == 1:
                        for name, got in (('conn_state', mine[0]['conn_state']), ('history', mine[0]['history']), ('missed_bytes', mine[0]['client']['missed'] + mine[0]['server']['missed'])):
                            if name in extra[0]:
                                want = extra[0][name]
                                cmp(name, type(got)(want) if want not in ('-', '') else want, got)
                        cmp('originator', norm_ip(r0['a_ip']), norm_ip(mine[0]['client_ip']))
                if oracle == 'arkime':
                    pass
    for (oracle, what) in sorted({k[:2] for k in stats}):
        row = {k[2]: v for k, v in stats.items() if k[:2] == (oracle, what) and v}
        if row: print(f'{oracle:8} {what:16}', '  '.join(f'{a}: {b}' for a, b in sorted(row.items(), reverse=True)))
    deepflow(o)

def ns(text):
    for unit, n in (('ns', 1), ('µs', 1e3), ('us', 1e3), ('ms', 1e6), ('s', 1e9)):
        if text.endswith(unit):
            return round(float(text[:-len(unit)]) * n)
    return int(text)

def deepflow(o):
    base = os.path.join(o.corpora, 'deepflow')
    find = {}
    for d, _, fs in os.walk(base):
        for f in fs: find.setdefault(f, os.path.join(d, f))
    tcp = json.load(open(os.path.join(base, 'tcp_expected.json')))
    total = bad = 0
    for name, e in tcp['perf_final'].items():
        flows, err = run(o.bin, find[name], '--deepflow')
        if not flows: print('deepflow', name, 'failed', err); bad += 1; continue
        f, want = flows[0], e['final']
        got = {'rtt_0': f['rtt_client'], 'rtt_1': f['rtt_server'], 'rtt_full': f['rtt'], 'srt_1': f['srt'], 'art_1': f['art'], 'cit': f['cit'],
               'retrans_0': f['client']['retransmits'], 'retrans_1': f['server']['retransmits'], 'retrans_syn': f['syn_retransmits'],
               'retrans_synack': f['syn_ack_retransmits'], 'zero_win_count_0': f['client']['zero_window'], 'zero_win_count_1': f['server']['zero_window'],
               'syn': f['syn'], 'synack': f['syn_ack'], 'ooo_0': f['client']['out_of_order'], 'ooo_1': f['server']['out_of_order'], 'fin_count': f['fin']}
        for k, g in got.items():
            w = want[k]
            if isinstance(w, dict):
                if isinstance(g, dict):
                    w, g = (w['count'], ns(w['sum']), ns(w['max'])), (g['count'], g['sum'], g['max'])
                else:
                    w, g = ns(w['max']), g or 0
            else:
                w, g = ns(w), g or 0
            total += 1
            # Expected values are printed with microseconds at best.
            near = lambda a, b: a == b or isinstance(a, int) and abs(a - b) < 1000
            same = all(map(near, w, g)) if isinstance(w, tuple) else near(w, g)
            if not same: bad += 1; print('deepflow', name, k, 'want', w, 'got', g)
    names = {'ClientSynRepeat(7)': 'server_syn_miss', 'ClientSourcePortReuse(13)': 'client_port_reuse', 'ServerQueueLack(17)': 'server_queue_lack', 'ServerEstablishReset(19)': 'server_setup_rst'}
    for name, want in tcp['close_type'].items():
        flows, err = run(o.bin, find[name], '--deepflow')
        total += 1
        got = [f['close_type'] for f in flows or []]
        if got[:1] != [names.get(want, want)]: bad += 1; print('deepflow close_type', name, want, got, err if not flows else '')
    print(f'deepflow tcp: {total - bad} of {total} equal')
    red = json.load(open(os.path.join(base, 'red_expected.json')))
    for proto, name, want in red['perf']:
        rows, err = run(o.bin, find.get(name, name), '--requests')
        if rows is None: print('deepflow red', name, err); continue
        done = [r['duration_ns'] for r in rows if r['duration_ns'] is not None]
        got = {'request_count': sum(r['request_ts'] is not None for r in rows), 'response_count': len(done), 'rrt_count': len(done), 'rrt_sum': sum(done) // 1000, 'rrt_max': max(done, default=0) // 1000,
               'err_client_count': sum(r['response_status'] == 'client_error' for r in rows), 'err_server_count': sum(r['response_status'] == 'server_error' for r in rows)}
        diff = {k: (want[k], v) for k, v in got.items() if want[k] != v}
        print('deepflow red', proto, name, 'equal' if not diff else f'want/got {diff}')

main()
