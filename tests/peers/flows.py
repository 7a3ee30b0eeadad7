#!/usr/bin/env python3
"""Compares flows with what other projects, or tshark, say of the same captures.

    flows.py --bin FLOWS --corpora DIR [--reasons FILE] [--source S] [--only SUBSTRING] [--show FIELD] [--all]

FLOWS is the `flows` example of the replay crate (JSON lines). Expectations: DIR/field/FLOWS.tsv.gz (tshark, zeek, ndpi, arkime),
DIR/field/pcap/ipfixprobe/*.csv, DIR/field/pcap/kprobe/**/*.expected.tsv, DIR/deepflow/{tcp_expected,red_expected}.json.

Flows of the same ends are compared one by one where both sides have equally many of them, else their sums. Prints per source and field:
equal; richer (ours has it, the source does not); missing (the other way round); different. Every missing or different value must be
covered by a row of the reasons file (docs/peer-differences.md): its tables whose header is `source | field | capture | flow | values | n |
why`. The first five are patterns (`*`; in the first four `a, b` is either) of what --all prints; `n` is how many values the row covers, exactly. What is
not covered is listed, as are rows that cover another number than they say, and the exit code is 1.
"""
import argparse, collections, concurrent.futures, fnmatch, glob, gzip, ipaddress, json, os, re, subprocess, sys

PER_SIDE = ('packets', 'bytes', 'ip_bytes', 'payload', 'retransmits', 'zero_window', 'out_of_order', 'duplicate_acks', 'window_full', 'keep_alives')
ICMP = ('icmp', 'icmp6', 'icmpv6')


def norm_ip(text):
    try:
        ip = ipaddress.ip_address(text.split('%')[0])
    except ValueError:
        return text
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ip)


def value(text):
    return int(float(text)) if text not in ('', '-') else 0


def ns(text):
    for unit, n in (('ns', 1), ('µs', 1e3), ('us', 1e3), ('ms', 1e6), ('s', 1e9)):
        if text.endswith(unit):
            return round(float(text[:-len(unit)]) * n)
    return int(text)


class Tally:
    """Counts by source and field, and the single differences."""

    def __init__(self):
        self.counts = collections.defaultdict(collections.Counter)
        self.differences = []

    def note(self, source, field, kind, capture='', flow='', text=''):
        self.counts[source, field][kind] += 1
        if kind in ('missing', 'different'):
            self.differences.append((source, field, capture, flow, kind, text))

    def compare(self, source, field, capture, flow, want, got):
        self.note(source, field, 'equal' if want == got else 'different', capture, flow, f'want {want} got {got}')


class Captures:
    """Our rows of every capture, run once and several at a time."""

    def __init__(self, binary):
        self.binary = binary

    def rows(self, path, *args):
        try:
            p = subprocess.run([self.binary, '--threads', '1', *args, path], capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            return None, 'takes more than 60 s'
        if p.returncode:
            return None, p.stderr.decode(errors='replace').strip().split('\n')[-1]
        return [json.loads(line) for line in p.stdout.splitlines()], ''

    def many(self, paths, *args):
        with concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            yield from zip(paths, pool.map(lambda p: self.rows(p, *args), paths))


# Flows by their ends.

def key(proto, a, a_port, b, b_port):
    if proto in ICMP:
        proto, a_port, b_port = 'icmp6' if ':' in a else 'icmp', 0, 0
    x, y = (norm_ip(a), int(a_port or 0)), (norm_ip(b), int(b_port or 0))
    return (proto, *sorted([x, y], key=str))


def flow_name(k):
    return f'{k[0]} {k[1][0]}:{k[1][1]} {k[2][0]}:{k[2][1]}'


def ours_by_key(flows):
    out = collections.defaultdict(list)
    for f in flows:
        out[key(f['transport'], f['client_ip'], f['client_port'], f['server_ip'], f['server_port'])].append(f)
    return out


def sums(flows, a_ip, a_port, proto):
    """Our counters per side, added up; the first side is that of `a`."""
    total = {k: [0, 0] for k in PER_SIDE} | {'syn': 0, 'fin': 0, 'rst': 0}
    for f in flows:
        same_port = proto in ICMP or f['client_port'] == int(a_port or 0)
        a_is_client = norm_ip(f['client_ip']) == norm_ip(a_ip) and same_port
        sides = ('client', 'server') if a_is_client else ('server', 'client')
        for i, side in enumerate(sides):
            for k in PER_SIDE:
                total[k][i] += f[side][k]
        total['fin'] += f['fin']
        total['rst'] += f['rst']
        total['syn'] += f['syn'] + f['syn_ack']
        total['retransmits'][sides.index('client')] += f['syn_retransmits']
        total['retransmits'][sides.index('server')] += f['syn_ack_retransmits']
    return total


def theirs(rows, column, first):
    """A column per side, added up; the first side is that of `first`'s a."""
    ends = (first['a_ip'], first['a_port'])
    total = [0, 0]
    for r in rows:
        straight = (r['a_ip'], r['a_port']) == ends
        total[0] += value(r[f'a_{column}' if straight else f'b_{column}'])
        total[1] += value(r[f'b_{column}' if straight else f'a_{column}'])
    return total


def extra_sum(rows, name):
    return sum(sum(json.loads(r['extra'] or '{}').get(name, [0, 0])) for r in rows)


TSHARK_TCP = (('retransmission', 'retransmits'), ('zero_window', 'zero_window'), ('out_of_order', 'out_of_order'),
              ('duplicate_ack', 'duplicate_acks'), ('window_full', 'window_full'), ('keep_alive', 'keep_alives'))


def compare_flow(tally, source, capture, k, rows, mine):
    """Oracle's rows against ours, of the same ends: their sums, and what makes sense of single ones only."""
    first, name = rows[0], flow_name(k)
    ours = sums(mine, first['a_ip'], first['a_port'], k[0])
    cmp = lambda field, want, got: tally.compare(source, field, capture, name, want, got)
    cmp('packets', theirs(rows, 'pkts', first), ours['packets'])
    cmp('bytes', theirs(rows, 'bytes', first), ours['ip_bytes' if source == 'zeek' else 'bytes'])
    if source == 'tshark' or source == 'zeek' and all(r['a_payload'] != '-' and r['b_payload'] != '-' for r in rows):
        cmp('payload', theirs(rows, 'payload', first), ours['payload'])
    extra = json.loads(first['extra'] or '{}')
    one = len(rows) == len(mine) == 1
    if source == 'tshark' and k[0] == 'tcp':
        for field, column in TSHARK_TCP:
            cmp(field, extra_sum(rows, field), sum(ours[column]))
        for field in ('syn', 'fin', 'rst'):
            cmp(field, extra_sum(rows, field), ours[field])
        if one and 'irtt' in extra:
            # What our handshake was, for the reasons.
            m = mine[0]
            facts = [text for text, holds in (('no SYN-ACK', not m['syn_ack']), ('SYN again', m['syn_retransmits']),
                                              ('SYN-ACK again', m['syn_ack_retransmits'])) if holds]
            want, got = round(float(extra['irtt']) * 1e9), m['rtt']
            tally.note(source, 'irtt', 'equal' if want == got else 'different', capture, name,
                       f'want {want} got {got}' + ''.join(f', {fact}' for fact in facts))
    if source == 'zeek' and one:
        flow = mine[0]
        for field, got in (('conn_state', flow['conn_state']), ('history', flow['history']),
                           ('missed_bytes', flow['client']['missed'] + flow['server']['missed'])):
            if extra.get(field, '-') not in ('-', ''):
                cmp(field, type(got)(extra[field]), got)
        cmp('originator', norm_ip(first['a_ip']), norm_ip(flow['client_ip']))
    if source == 'arkime' and one and k[0] == 'tcp':
        flags = extra.get('tcpflags', {})
        for field, want in (('zero_window', ('srcZero', 'dstZero')), ('fin', ('fin',)), ('rst', ('rst',))):
            if all(w in flags for w in want):
                got = sum(ours[field]) if field == 'zero_window' else ours[field]
                cmp(field, sum(flags[w] for w in want), got)
        if 'initRTT' in extra and mine[0]['rtt'] is not None:
            # Half of SYN to ACK, in whole milliseconds, cut twice.
            cmp('initRTT', extra['initRTT'], mine[0]['rtt'] // 1000000 // 2)


def compare_capture(tally, capture, by_source, flows):
    ours = ours_by_key(flows)
    for source, rows in by_source.items():
        by = collections.defaultdict(list)
        for r in rows:
            if r['proto'].lower() in (*ICMP, 'tcp', 'udp', 'sctp'):
                by[key(r['proto'].lower(), r['a_ip'], r['a_port'], r['b_ip'], r['b_port'])].append(r)
        for k, rs in by.items():
            mine = sorted(ours.get(k, []), key=lambda f: f['start'])
            if not mine:
                tally.note(source, 'flow', 'missing', capture, flow_name(k), f"{rs[0]['a_pkts']} and {rs[0]['b_pkts']} packets")
                continue
            tally.note(source, 'flow', 'equal')
            if source in ('tshark', 'zeek') and k[0] == 'tcp':
                tally.compare(source, 'connections', capture, flow_name(k), len(rs), len(mine))
            if len(rs) == len(mine):
                for r, m in zip(sorted(rs, key=lambda r: float(r['first'] or 0)), mine):
                    compare_flow(tally, source, capture, k, [r], [m])
            else:
                compare_flow(tally, source, capture, k, rs, mine)
        if source == 'tshark':
            for k in ours:
                if k[0] in (*ICMP, 'tcp', 'udp', 'sctp') and k not in by:
                    tally.note(source, 'flow', 'richer')


def field_captures(tally, captures, o):
    base = os.path.join(o.corpora, 'field')
    expected = collections.defaultdict(lambda: collections.defaultdict(list))
    with gzip.open(os.path.join(base, 'FLOWS.tsv.gz'), 'rt') as f:
        names = next(f).rstrip('\n').split('\t')
        for line in f:
            r = dict(zip(names, line.rstrip('\n').split('\t')))
            source = r['oracle'].split(':')[0]
            if o.only in r['file'] and o.source in source:
                expected[r['file']][source].append(r)
    absent = [p for p in expected if not os.path.exists(os.path.join(base, p))]
    if absent:
        print(f'{len(absent)} captures are expected and not there')
    paths = [os.path.join(base, p) for p in sorted(expected) if p not in absent]
    for path, (flows, error) in captures.many(paths):
        capture = os.path.relpath(path, os.path.join(base, 'pcap')) if '/pcap/' in path else os.path.relpath(path, base)
        if flows is None:
            for source in expected[os.path.relpath(path, base)]:
                tally.note(source, 'capture', 'missing', capture, '', error)
            continue
        compare_capture(tally, capture, expected[os.path.relpath(path, base)], flows)


def ipfixprobe(tally, captures, o):
    """Rows of its flow cache: both directions' packets and IP bytes. It cuts a flow by its own time-outs, so ours are compared as sums."""
    base = os.path.join(o.corpora, 'field', 'pcap', 'ipfixprobe')
    for path in sorted(glob.glob(os.path.join(base, '*.csv'))):
        name = os.path.basename(path)
        capture = 'ipfixprobe/' + re.sub(r'\.[a-z]+\.csv$', '', name)
        if o.only not in capture or name.count('.') < 3:
            continue
        lines = open(path, errors='replace').read().splitlines()
        header = next((line for line in lines if line.startswith('ipaddr DST_IP')), None)
        flows, error = captures.rows(os.path.join(base, os.path.basename(capture)))
        if header is None or flows is None:
            tally.note('ipfixprobe', 'capture', 'missing', capture, '', error or 'no header')
            continue
        columns = [c.split()[-1] for c in header.split(',')]
        by = collections.defaultdict(lambda: collections.Counter())
        protocols = {1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6', 132: 'sctp'}
        for line in lines:
            if line == header:
                continue
            r = dict(zip(columns, line.split(',')))
            proto = protocols.get(int(r['PROTOCOL']))
            if proto is None:
                continue
            k = key(proto, r['SRC_IP'], r['SRC_PORT'], r['DST_IP'], r['DST_PORT'])
            straight = (norm_ip(r['SRC_IP']), 0 if proto in ICMP else int(r['SRC_PORT'])) == k[1]
            for column, side in (('PACKETS', 0), ('PACKETS_REV', 1), ('BYTES', 0), ('BYTES_REV', 1)):
                by[k][column.split('_')[0], side if straight else 1 - side] += int(r[column])
        ours = ours_by_key(flows)
        for k, want in by.items():
            flow = flow_name(k)
            if k not in ours:
                tally.note('ipfixprobe', 'flow', 'missing', capture, flow, f'{dict(want)}')
                continue
            tally.note('ipfixprobe', 'flow', 'equal')
            got = sums(ours[k], *k[1], k[0])
            tally.compare('ipfixprobe', 'packets', capture, flow, [want['PACKETS', 0], want['PACKETS', 1]], got['packets'])
            tally.compare('ipfixprobe', 'bytes', capture, flow, [want['BYTES', 0], want['BYTES', 1]], got['ip_bytes'])


def kprobe(tally, captures, o):
    """Counts that its own tests assert."""
    base = os.path.join(o.corpora, 'field', 'pcap', 'kprobe')
    for path in sorted(glob.glob(os.path.join(base, '**', '*.expected.tsv'), recursive=True)):
        relative = os.path.relpath(path, base).removesuffix('.expected.tsv')
        capture = next((p for p in (relative, relative.removeprefix('pcaps/')) if os.path.exists(os.path.join(base, p))), None)
        if capture is None or o.only not in 'kprobe/' + capture:
            continue
        flows, error = captures.rows(os.path.join(base, capture))
        for line in open(path):
            flow, field, want = line.rstrip('\n').split('\t')
            if field != 'zero_windows':
                continue
            (a, a_port), (b, b_port) = (end.rsplit(':', 1) for end in flow.split('>'))
            mine = ours_by_key(flows or []).get(key('tcp', a, a_port, b, b_port), [])
            # Of the sender in front of the arrow.
            got = sums(mine, a, a_port, 'tcp')['zero_window'][0]
            tally.compare('kprobe', 'zero_window', 'kprobe/' + capture, flow, int(want), got)


def deepflow(tally, captures, o):
    base = os.path.join(o.corpora, 'deepflow')
    find = {}
    for folder, _, names in os.walk(base):
        for name in names:
            find.setdefault(name, os.path.join(folder, name))
    tcp = json.load(open(os.path.join(base, 'tcp_expected.json')))
    near = lambda a, b: a == b or isinstance(a, int) and isinstance(b, int) and abs(a - b) < 1000
    for name, expected in tcp['perf_final'].items():
        if o.only not in name:
            continue
        flows, error = captures.rows(find[name], '--deepflow')
        if not flows:
            tally.note('deepflow', 'capture', 'missing', name, '', error)
            continue
        f, want = flows[0], expected['final']
        got = {'rtt_0': f['rtt_client'], 'rtt_1': f['rtt_server'], 'rtt_full': f['rtt'], 'srt_1': f['srt'], 'art_1': f['art'], 'cit': f['cit'],
               'retrans_0': f['client']['retransmits'], 'retrans_1': f['server']['retransmits'], 'retrans_syn': f['syn_retransmits'],
               'retrans_synack': f['syn_ack_retransmits'], 'zero_win_count_0': f['client']['zero_window'],
               'zero_win_count_1': f['server']['zero_window'], 'syn': f['syn'], 'synack': f['syn_ack'],
               'ooo_0': f['client']['out_of_order'], 'ooo_1': f['server']['out_of_order'], 'fin_count': f['fin']}
        for field, g in got.items():
            w = want[field]
            if isinstance(w, dict) and isinstance(g, dict):
                w, g = (w['count'], ns(w['sum']), ns(w['max'])), (g['count'], g['sum'], g['max'])
                same = all(map(near, w, g))
            else:
                # Expected times are printed with microseconds at best.
                w, g = ns(w['max']) if isinstance(w, dict) else ns(w), g or 0
                same = near(w, g)
            tally.note('deepflow', 'tcp', 'equal' if same else 'different', name, field, f'want {w} got {g}')
    names = {'ClientSynRepeat(7)': 'server_syn_miss', 'ClientSourcePortReuse(13)': 'client_port_reuse',
             'ServerQueueLack(17)': 'server_queue_lack', 'ServerEstablishReset(19)': 'server_setup_rst'}
    for name, want in tcp['close_type'].items():
        if o.only in name:
            flows, error = captures.rows(find[name], '--deepflow')
            tally.compare('deepflow', 'close_type', name, '', names.get(want, want), flows[0]['close_type'] if flows else error)
    red = json.load(open(os.path.join(base, 'red_expected.json')))
    for proto, name, want in red['perf']:
        if o.only not in name or name not in find:
            continue
        rows, error = captures.rows(find[name], '--requests')
        done = [r['duration_ns'] for r in rows or [] if r['duration_ns'] is not None]
        got = {'request_count': sum(r['request_ts'] is not None for r in rows or []), 'response_count': len(done), 'rrt_count': len(done),
               'rrt_sum': sum(done) // 1000, 'rrt_max': max(done, default=0) // 1000,
               'err_client_count': sum(r['response_status'] == 'client_error' and r['response_ts'] is not None for r in rows or []),
               'err_server_count': sum(r['response_status'] == 'server_error' and r['response_ts'] is not None for r in rows or [])}
        for field, g in got.items():
            tally.compare('deepflow', 'red', name, field, want[field], g)


# Reasons.

def reasons(path):
    """Rows of the tables headed `source | field | capture | flow | values | n | why`: (line, patterns, n)."""
    rows, inside = [], False
    for number, line in enumerate(open(path), 1):
        cells = [c.strip().replace('`', '') for c in line.strip().strip('|').split('|')]
        if not line.startswith('|'):
            inside = False
        elif cells[:6] == ['source', 'field', 'capture', 'flow', 'values', 'n']:
            inside = True
        elif inside and not set(cells[0]) <= set('-: '):
            rows.append((number, (*(tuple(c.split(', ')) for c in cells[:4]), (cells[4],)), int(cells[5])))
    return rows


def matches(patterns, cells):
    return all(any(fnmatch.fnmatchcase(cell, one) for one in either) for either, cell in zip(patterns, cells))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--bin', required=True, help='the flows example')
    p.add_argument('--corpora', required=True)
    p.add_argument('--reasons', help='docs/peer-differences.md')
    p.add_argument('--source', default='', help='tshark, zeek, ndpi, arkime, ipfixprobe, kprobe or deepflow only')
    p.add_argument('--only', default='', help='captures whose name has this in it only')
    p.add_argument('--show', default='', help='list the differences of this field')
    p.add_argument('--all', action='store_true', help='list all differences')
    o = p.parse_args()
    tally, captures = Tally(), Captures(o.bin)
    if any(o.source in s for s in ('tshark', 'zeek', 'ndpi', 'arkime')):
        field_captures(tally, captures, o)
    for source, compare in (('ipfixprobe', ipfixprobe), ('kprobe', kprobe), ('deepflow', deepflow)):
        if o.source in source:
            compare(tally, captures, o)
    print(f"{'source':11}{'field':16}{'equal':>8}{'richer':>8}{'missing':>8}{'different':>10}")
    for (source, field), c in sorted(tally.counts.items()):
        print(f"{source:11}{field:16}{c['equal']:8}{c['richer']:8}{c['missing']:8}{c['different']:10}")
    if o.all or o.show:
        for source, field, capture, flow, kind, text in sorted(tally.differences):
            if o.all or field == o.show:
                print(f'  {source} {field} {kind}: {capture} {flow} {text}')
    if not o.reasons:
        return 0
    rows = reasons(o.reasons)
    covered, unexplained = collections.Counter(), []
    for d in tally.differences:
        row = next((r for r in rows if matches(r[1], (*d[:4], d[5]))), None)
        if row is None:
            unexplained.append(d)
        else:
            covered[row] += 1
    for source, field, capture, flow, kind, text in sorted(unexplained):
        print(f'no reason: {source} {field} {kind}: {capture} {flow} {text}')
    # A part of the captures says nothing of the rows for the rest.
    wrong = [] if o.only or o.source else [r for r in rows if r[2] != covered[r]]
    for r in wrong:
        print(f'{o.reasons}:{r[0]}: covers {covered[r]} values, not {r[2]}')
    print(f'{len(tally.differences)} values missing or different, {len(tally.differences) - len(unexplained)} with a reason')
    return 1 if unexplained or wrong else 0


sys.exit(main())
