#!/usr/bin/env python3
"""Compares request rows with what others say of the same captures.

  l7.py [--field DIR] [--deepflow DIR] -- COMMAND...      (COMMAND CAPTURE prints request rows as JSON lines)

The rows need: l7_protocol, request_type, request_domain, request_resource, response_code, session_id, attributes.
Texts in which a secret or a literal is masked differ from theirs. Two oracles:
 field/L7.jsonl.gz: tshark's fields per frame. Compared per capture and protocol as multisets of keys.
 deepflow/expected_messages.jsonl: one parsed message a line; requests compared as multisets too.
Counts: equal (in both), missing (theirs only), richer (ours only). "different" are pairs of missing and richer of one capture.
"""
import argparse, collections, gzip, json, os, subprocess, sys

def rows(command, path, cache={}):
    if path not in cache:
        try:
            p = subprocess.run(command + [path], capture_output=True, text=True, timeout=120)
            cache[path] = [json.loads(l) for l in p.stdout.splitlines() if l.startswith('{')]
            if p.returncode not in (0, 2): print('exit', p.returncode, path, p.stderr[-300:], file=sys.stderr)
        except subprocess.TimeoutExpired:
            print('timeout', path, file=sys.stderr); cache[path] = []
    return cache[path]

def squeeze(text): return ' '.join(str(text).replace('\ufffd', ' ').split())[:60]
def aslist(v):
    if isinstance(v, list): return [str(x) for x in v]
    if isinstance(v, str) and v.startswith("['"):
        try: return [x for x in eval(v, {'__builtins__': {}})]
        except Exception: return [v]
    return [str(v)]

DNS = {1:'A',2:'NS',5:'CNAME',6:'SOA',12:'PTR',13:'HINFO',15:'MX',16:'TXT',28:'AAAA',33:'SRV',35:'NAPTR',41:'OPT',46:'RRSIG',48:'DNSKEY',
       43:'DS',47:'NSEC',50:'NSEC3',52:'TLSA',64:'SVCB',65:'HTTPS',99:'SPF',252:'AXFR',251:'IXFR',255:'ANY',257:'CAA',10:'NULL',256:'URI'}

def theirs(field):
    """(file, protocol) -> Counter of keys."""
    out = collections.defaultdict(collections.Counter)
    with gzip.open(os.path.join(field, 'L7.jsonl.gz'), 'rt') as f:
        for line in f:
            d = json.loads(line); file, v = d['file'], d['f']
            if 'http.request.method' in v and (d['stream'] or 'tcp').startswith('tcp'):
                for m, u in zip(aslist(v['http.request.method']), aslist(v.get('http.request.uri', ''))):
                    out[file, 'http'][m, squeeze(u)] += 1
            if 'http.response.code' in v and (d['stream'] or 'tcp').startswith('tcp'):
                for c in aslist(v['http.response.code']):
                    if not c.startswith('1') or c == '101': out[file, 'http code'][c] += 1
            if 'dns.id' in v and 'dns.qry.name' in v and d['proto'] in ('dns', 'mdns', 'llmnr'):
                for i, r, n, t in zip(aslist(v['dns.id']), aslist(v['dns.flags.response']), aslist(v['dns.qry.name']), aslist(v['dns.qry.type'])):
                    if r in ('0', 'False'): out[file, 'dns'][int(i, 16), squeeze(n).lower().rstrip('.') if n != '<Root>' else '', DNS.get(int(t), 'TYPE' + t)] += 1
                    else: out[file, 'dns code'][int(i, 16), aslist(v.get('dns.flags.rcode', '0'))[0]] += 1
            for q in aslist(v['mysql.query']) if 'mysql.query' in v else []: out[file, 'mysql'][squeeze(q)] += 1
            for q in aslist(v['pgsql.query']) if 'pgsql.query' in v else []: out[file, 'postgresql'][squeeze(q)] += 1
            if 'http2.headers.path' in v:
                for m, p in zip(aslist(v['http2.headers.method']), aslist(v['http2.headers.path'])): out[file, 'http2'][m, squeeze(p)] += 1
            if 'tls.handshake.extensions_server_name' in v and (d['stream'] or 'tcp').startswith('tcp'):
                for n in aslist(v['tls.handshake.extensions_server_name']): out[file, 'tls'][squeeze(n)] += 1
            if 'mqtt.msgtype' in v:
                for t in aslist(v['mqtt.msgtype']):
                    if t in ('1', '3', '8', '10', '12', '14'): out[file, 'mqtt'][t] += 1
            if 'websocket.opcode' in v:
                for t in aslist(v['websocket.opcode']): out[file, 'websocket'][t] += 1
    return out

MQTT = {'CONNECT':'1','PUBLISH':'3','SUBSCRIBE':'8','UNSUBSCRIBE':'10','PINGREQ':'12','DISCONNECT':'14'}
WS = {'text':'1','binary':'2','close':'8','ping':'9','pong':'10'}

def ours(file, protocol, all_rows):
    c = collections.Counter()
    for r in all_rows:
        l7, t, res, code = r['l7_protocol'], r['request_type'], r['request_resource'], r.get('response_code')
        if protocol == 'http' and l7 == 'http' and t: c[t, squeeze(res)] += 1
        if protocol == 'http code' and l7 == 'http' and code is not None: c[str(code)] += 1
        if protocol == 'dns' and l7 == 'dns' and r.get('request_ts') is not None and not (r.get('is_async') and r['response_status'] == 'ok'): c[r['session_id'], squeeze(res).lower(), t] += 1
        if protocol == 'dns code' and l7 == 'dns' and code is not None and r.get('session_id') is not None: c[r['session_id'], str(code & 15)] += 1
        if protocol == 'mysql' and l7 == 'mysql' and t in ('COM_QUERY', 'COM_STMT_PREPARE'): c[squeeze(res)] += 1
        if protocol == 'postgresql' and l7 == 'postgresql' and t in ('Query', 'Parse', 'Execute') and res: c[squeeze(res)] += 1
        if protocol == 'http2' and l7 in ('http2', 'grpc') and t: c[t, squeeze(r['endpoint'] if l7 == 'grpc' else res)] += 1
        if protocol == 'tls' and l7 == 'tls' and r['request_domain']: c[squeeze(r['request_domain'])] += 1
        if protocol == 'mqtt' and l7 == 'mqtt' and t in MQTT: c[MQTT[t]] += 1
        if protocol == 'websocket' and l7 == 'websocket' and t in WS: c[WS[t]] += 1
    return c

def score(name, want, have, total, details):
    w, h = want - have, have - want
    eq = sum((want & have).values())
    diff = min(sum(w.values()), sum(h.values()))
    total['equal'] += eq; total['different'] += diff
    total['missing'] += sum(w.values()) - diff; total['richer'] += sum(h.values()) - diff
    if w: details.append((name, sum(w.values()), w.most_common(3), h.most_common(3)))

def deepflow(base, command, totals, details):
    cases = collections.defaultdict(list)
    for line in open(os.path.join(base, 'expected_messages.jsonl')):
        d = json.loads(line); cases[d['dir'], d['pcap'], d['case']].append(d)
    for (dir_, pcap, case), messages in sorted(cases.items()):
        path = os.path.join(base, 'flow_generator', dir_, pcap)
        if not os.path.exists(path): continue
        all_rows = rows(command, path)
        want, have = collections.Counter(), collections.Counter()
        codes_w, codes_h = collections.Counter(), collections.Counter()
        for m in messages:
            if m['msg_type'] in ('request', 'session') and (m.get('resource') or m.get('request_type')) and not m.get('parse_error'):
                want[key(dir_, m.get('request_type'), m.get('resource'))] += 1
            if m['msg_type'] == 'response' and m.get('status') in ('client_error', 'server_error'): codes_w['error'] += 1
        for r in all_rows:
            if r.get('request_ts') is not None: have[key(dir_, r['request_type'], r['request_resource'])] += 1
            if r['response_status'] in ('client_error', 'server_error'): codes_h['error'] += 1
        score(case, want, have, totals['deepflow ' + dir_], details)
        score(case + ' errors', codes_w, codes_h, totals['deepflow ' + dir_ + ' errors'], details)

def key(dir_, t, res):
    t, res = str(t or ''), squeeze(res or '')
    if dir_ == 'postgre': return res or 'execute'
    if dir_ == 'mysql': return res or t
    if dir_ in ('dns', 'redis', 'memcached'): return (t.lower(), res)
    if dir_ == 'mongo': return 'message'
    if dir_ == 'http': return res
    if dir_ in ('amqp', 'mqtt', 'nats', 'kafka'): return t.lower().replace('-', '').replace('_', '')
    return (t, res)

def main():
    a = argparse.ArgumentParser(); a.add_argument('--field'); a.add_argument('--deepflow'); a.add_argument('-v', action='store_true'); a.add_argument('--only')
    a.add_argument('command', nargs='+'); o = a.parse_args()
    totals, details = collections.defaultdict(collections.Counter), []
    if o.deepflow: deepflow(o.deepflow, o.command, totals, details)
    if o.field:
        for (file, protocol), want in sorted(theirs(o.field).items()):
            if o.only and not protocol.startswith(o.only): continue
            path = os.path.join(o.field, file)
            if not os.path.exists(path) or os.path.getsize(path) > 60e6: continue
            score(f'{file} {protocol}', want, ours(file, protocol, rows(o.command, path)), totals['tshark ' + protocol], details)
    for name in sorted(totals):
        t = totals[name]; n = t['equal'] + t['missing'] + t['different']
        print(f"{name:28} equal {t['equal']:6} richer {t['richer']:5} missing {t['missing']:5} different {t['different']:5}   {100 * t['equal'] / max(n, 1):5.1f} %")
    if o.v:
        for d in sorted(details, key=lambda d: -d[1])[:60]: print(d)
main()
