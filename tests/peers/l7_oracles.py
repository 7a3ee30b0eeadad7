"""What others say of requests in captures, as multisets of keys per capture and protocol.

Each oracle is a generator of (protocol, capture, wanted, ours): `wanted` is a Counter of keys, `ours` makes the Counter of the
same keys from our rows. A fifth part, if there is one and it is not None, judges a pair of keys, theirs and ours, that differ: whether
ours says more, by something else than ourselves. A protocol with a word behind it ("http code") compares another part of the same rows.
"""
import collections, csv, functools, glob, gzip, json, os, re, struct, subprocess

Counter = collections.Counter

def squeeze(text):
    """Printable ASCII of the first 60 characters: oracles differ in how they write all else."""
    text = ''.join(c if 32 <= ord(c) < 127 else ' ' for c in str(text).replace('\\n', ' ').replace('\\t', ' ').replace('\\r', ' '))
    return ' '.join(text.split())[:60]

def aslist(v):
    if isinstance(v, list): return [str(x) for x in v]
    if isinstance(v, str) and v.startswith("['"):
        try: return [str(x) for x in json.loads(v.replace("'", '"'))]
        except ValueError: return [v]
    return [str(v)]

@functools.cache
def has_secrets(path):
    """Whether a pcapng file holds secrets of TLS: a Decryption Secrets Block."""
    with open(path, 'rb') as f:
        if f.read(4) != b'\x0a\x0d\x0d\x0a': return False
        f.seek(8); order = '<' if f.read(4) == b'\x4d\x3c\x2b\x1a' else '>'
        at = 0
        while True:
            f.seek(at); head = f.read(8)
            if len(head) < 8: return False
            kind, length = struct.unpack(order + 'II', head)
            if kind == 10: return True
            if length < 12: return False
            at += length

def again(row): return int(attribute(row, 'retransmissions') or 0)

def interim(row): return [c for c in (attribute(row, 'interim') or '').split(',') if c]

def attribute(row, name): return dict(row['attributes']).get(name)

def asked(row): return row['request_ts'] is not None and row['request_type']

DNS = {1:'A',2:'NS',5:'CNAME',6:'SOA',11:'WKS',30:'NXT',12:'PTR',13:'HINFO',15:'MX',16:'TXT',28:'AAAA',33:'SRV',35:'NAPTR',41:'OPT',46:'RRSIG',48:'DNSKEY',43:'DS',
       47:'NSEC',50:'NSEC3',52:'TLSA',64:'SVCB',65:'HTTPS',99:'SPF',252:'AXFR',251:'IXFR',255:'ANY',257:'CAA',10:'NULL',256:'URI',25:'KEY',29:'LOC',44:'SSHFP',51:'NSEC3PARAM',249:'TKEY',250:'TSIG'}
MQTT = {'CONNECT':'1','PUBLISH':'3','SUBSCRIBE':'8','UNSUBSCRIBE':'10','PINGREQ':'12','DISCONNECT':'14'}
KAFKA = {'Produce': 0, 'Fetch': 1, 'ListOffsets': 2, 'Metadata': 3}
WS = {'text':'1','binary':'2','close':'8','ping':'9','pong':'10'}

def name_of(text): return '' if text.lower() == '<root>' else squeeze(re.sub(r'\\\d{3}', ' ', text)).lower().rstrip('.')

def query_type(row):
    """Type of the question; rows of NOTIFY and UPDATE are named after those."""
    return attribute(row, 'query_type') or row['request_type']

def announced(row): return row['is_async'] and row['response_status'] == 'ok'

TSHARK = {
    'http': lambda r: (r['request_type'], squeeze(r['request_resource'])) if r['l7_protocol'] == 'http' and asked(r) else None,
    'http code': lambda r: str(r['response_code']) if r['l7_protocol'] == 'http' and r['response_code'] is not None else None,
    'dns': lambda r: (r['session_id'], name_of(r['request_resource']), query_type(r)) if r['l7_protocol'] == 'dns' and asked(r) and not announced(r) else None,
    'dns code': lambda r: (r['session_id'], str(r['response_code'] & 15)) if r['l7_protocol'] == 'dns' and r['response_code'] is not None and r['session_id'] is not None else None,
    'mysql': lambda r: squeeze(r['request_resource']) if r['l7_protocol'] == 'mysql' and r['request_type'] in ('COM_QUERY', 'COM_STMT_PREPARE') else None,
    'postgresql': lambda r: squeeze(r['request_resource']) if r['l7_protocol'] == 'postgresql' and r['request_type'] in ('Query', 'Parse', 'Execute') and r['request_resource'] else None,
    'http2': lambda r: (r['request_type'], squeeze(r['endpoint'] if r['l7_protocol'] == 'grpc' else r['request_resource'])) if (r['l7_protocol'] in ('http2', 'grpc')) and r['request_type'] else None,
    'tls': lambda r: squeeze(r['request_domain']) if r['l7_protocol'] == 'tls' and r['request_domain'] else None,
    'quic': lambda r: squeeze(r['request_domain']) if r['l7_protocol'] == 'quic' and r['request_domain'] else None,
    'dtls': lambda r: squeeze(r['request_domain']) if r['l7_protocol'] == 'dtls' and r['request_domain'] else None,
    'smtp': lambda r: r['request_type'][:4] if r['l7_protocol'] == 'smtp' and asked(r) and r['request_type'] not in ('GREETING', 'MESSAGE') else None,
    'mqtt': lambda r: MQTT.get(r['request_type']) if r['l7_protocol'] == 'mqtt' else None,
    'websocket': lambda r: WS.get(r['request_type']) if r['l7_protocol'] == 'websocket' else None,
    # What was sent again is one row, which says how often.
    'sip': lambda r: [r['request_type']] * (1 + again(r)) if r['l7_protocol'] == 'sip' and asked(r) else None,
    # An answer that came again is one.
    'sip code': lambda r: [*interim(r), *([str(r['response_code'])] if r['response_code'] is not None else [])] if r['l7_protocol'] == 'sip' else None,
    'kafka': lambda r: str(KAFKA.get(r['request_type'], r['request_type'])) if r['l7_protocol'] == 'kafka' and asked(r) else None,
    'mqtt client': lambda r: squeeze(r['request_domain']) if r['l7_protocol'] == 'mqtt' and r['request_type'] == 'CONNECT' and r['request_domain'] else None,
    'thrift': lambda r: r['request_type'] if r['l7_protocol'] == 'thrift' and asked(r) else None,
}

@functools.cache
def tshark_table(base):
    """field/L7.jsonl.gz: the fields that tshark found, per frame."""
    with gzip.open(os.path.join(base, 'L7.jsonl.gz'), 'rt') as f: return [json.loads(line) for line in f]

@functools.cache
def all_questions(base):
    out = collections.defaultdict(set)
    for d in tshark_table(base):
        v = d['f']
        if 'dns.qry.name' in v:
            for n, t in zip(aslist(v['dns.qry.name']), aslist(v['dns.qry.type'])): out[d['file']].add((name_of(n), DNS.get(int(t), 'TYPE' + t)))
    return out

def tshark_questions(base, file):
    """Names and types that tshark read in questions of a capture."""
    return all_questions(base)[file]

def keyed(key):
    """Counts the keys of rows; a row may have several, as a list."""
    return lambda rows: Counter(k for key_ in map(key, rows) if key_ is not None for k in (key_ if isinstance(key_, list) else [key_]))

def tshark(base):
    """field/L7.jsonl.gz: fields per frame. A ClientHello that is sent again counts once, as does a QUIC connection."""
    out = collections.defaultdict(Counter)
    once = set()
    quic = {(d['file'], d['stream']) for d in tshark_table(base) if 'quic.version' in d['f']}
    secure = {(d['file'], d['stream']) for d in tshark_table(base) if 'tls.handshake.type' in d['f'] and has_secrets(os.path.join(base, d['file']))}
    for d in tshark_table(base):
        file, v = d['file'], d['f']
        stream = d['stream'] or 'tcp'
        tcp = stream.startswith('tcp')
        # Read with the secrets that the file holds: our rows are of what anyone can read, which for these streams is TLS.
        if (file, d['stream']) in secure: v = {k: x for k, x in v.items() if k.startswith('tls.')}
        if 'http.request.method' in v and tcp:
            for m, u in zip(aslist(v['http.request.method']), aslist(v.get('http.request.uri', ''))): out[file, 'http'][m, squeeze(u)] += 1
        if 'http.response.code' in v and tcp:
            for c in aslist(v['http.response.code']):
                if not c.startswith('1') or c == '101': out[file, 'http code'][c] += 1
        if 'dns.id' in v and 'dns.qry.name' in v and d['proto'] in ('dns', 'mdns', 'llmnr'):
            for i, r, n, t in zip(aslist(v['dns.id']), aslist(v['dns.flags.response']), aslist(v['dns.qry.name']), aslist(v['dns.qry.type'])):
                if r in ('0', 'False'): out[file, 'dns'][int(i, 16), name_of(n), DNS.get(int(t), 'TYPE' + t)] += 1
                else: out[file, 'dns code'][int(i, 16), aslist(v.get('dns.flags.rcode', '0'))[0]] += 1
        for q in aslist(v.get('mysql.query', [])): out[file, 'mysql'][squeeze(q)] += 1
        for q in aslist(v.get('pgsql.query', [])): out[file, 'postgresql'][squeeze(q)] += 1
        if 'http2.headers.path' in v:
            for m, p in zip(aslist(v['http2.headers.method']), aslist(v['http2.headers.path'])): out[file, 'http2'][m, squeeze(p)] += 1
        for n in aslist(v.get('tls.handshake.extensions_server_name', [])):
            if tcp: out[file, 'tls'][squeeze(n)] += 1
            elif (file, stream, n) not in once:
                once.add((file, stream, n)); out[file, 'quic' if (file, d['stream']) in quic else 'dtls'][squeeze(n)] += 1
        for c in aslist(v.get('smtp.req.command', [])): out[file, 'smtp'][c.upper()] += 1
        for m in aslist(v.get('sip.Method', [])): out[file, 'sip'][m] += 1
        for c in aslist(v.get('sip.Status-Code', [])): out[file, 'sip code'][c] += 1
        for k in aslist(v.get('kafka.api_key', [])):
            if 'kafka.correlation_id' in v: out[file, 'kafka'][k] += 1
        for t in aslist(v.get('mqtt.clientid', [])):
            if t: out[file, 'mqtt client'][squeeze(t)] += 1
        for t in aslist(v.get('mqtt.msgtype', [])):
            if t in MQTT.values(): out[file, 'mqtt'][t] += 1
        for t in aslist(v.get('websocket.opcode', [])): out[file, 'websocket'][t] += 1
    for (file, protocol), want in sorted(out.items()):
        yield protocol, os.path.join(base, file), want, keyed(TSHARK[protocol])

def deepflow(base):
    """deepflow/expected_messages.jsonl: one message a line, as its own tests expect them."""
    cases = collections.defaultdict(list)
    with open(os.path.join(base, 'expected_messages.jsonl')) as f:
        for line in f:
            d = json.loads(line); cases[d['dir'], d['pcap'], d['case']].append(d)
    for (dir_, pcap, case), messages in sorted(cases.items()):
        path = os.path.join(base, 'flow_generator', dir_, pcap)
        if not os.path.exists(path): continue
        want, errors, calls = Counter(), 0, set()
        for m in messages:
            # Parts of a call, by its number, are messages there; a call is compared.
            if dir_ == 'http' and m.get('request_id') is not None:
                if m['request_id'] in calls and not m.get('resource'): continue
                calls.add(m['request_id'])
            if dir_ == 'zmtp' and m.get('request_type') == 'Greeting': continue
            if m['msg_type'] in ('request', 'session') and (m.get('resource') or m.get('request_type')) and not m.get('parse_error'):
                want[deepflow_key(dir_, m.get('request_type'), m.get('resource'))] += 1
            errors += m['msg_type'] == 'response' and m.get('status') in ('client_error', 'server_error')
        judge = None
        if dir_ == 'amqp':
            # It tells of messages without what they are, publish or deliver; ours says so, and tshark reads those methods.
            judge = lambda t, o, path=path: o is not None and isinstance(t, tuple) and isinstance(o, tuple) and t[0] == '' and t[1] == o[1].split('.')[0] and o[0] in amqp_methods(path)
        yield dir_, path, want, lambda rows, d=dir_: deepflow_ours(d, rows), judge
        yield dir_ + ' errors', path, Counter({'error': errors}), lambda rows: Counter(error=sum(r['response_status'] in ('client_error', 'server_error') and r['response_ts'] is not None for r in rows))

def deepflow_ours(dir_, rows):
    have = Counter()
    for r in rows:
        if r['request_ts'] is None: continue
        # Of ZMTP it counts greetings by packet and messages by frame.
        if r['l7_protocol'] == 'zmtp' and r['request_type'] == 'Greeting': continue
        frames = int(attribute(r, 'frames') or 1) if r['l7_protocol'] == 'zmtp' and r['is_async'] else 1
        have[deepflow_key(dir_, r['request_type'], deepflow_resource(dir_, r))] += frames
    return have

def deepflow_resource(dir_, r):
    if dir_ == 'mysql' and r['request_type'] == 'COM_STMT_EXECUTE': return attribute(r, 'parameters') or r['request_resource']
    return r['endpoint'] if dir_ == 'http' and r['l7_protocol'] == 'grpc' else r['request_resource']

@functools.cache
def amqp_methods(path):
    """Methods of class basic that tshark reads in a capture."""
    names = {'40': 'basicpublish', '50': 'basicreturn', '60': 'basicdeliver'}
    out = subprocess.run(['tshark', '-r', path, '-Y', 'amqp.method.class == 60', '-T', 'fields', '-e', 'amqp.method.method'], capture_output=True, text=True).stdout
    return {names.get(m) for line in out.splitlines() for m in line.split(',')}

def deepflow_key(dir_, t, res):
    t, res = str(t or ''), squeeze(res or '')
    if dir_ == 'postgre': return res or 'execute'
    if dir_ == 'mysql':
        # Its values bear their types, as in LongLong(1).
        for word in ('LongLong(', 'Long(', ') ,'): res = res.replace(word, ',' if word == ') ,' else '')
        return res or t
    if dir_ in ('dns', 'redis', 'memcached'): return (t.lower(), res)
    if dir_ == 'mongo': return 'message'
    if dir_ == 'http': return res
    if dir_ == 'some_ip': return res
    if dir_ == 'zmtp': return t
    if dir_ == 'amqp':
        t = t.lower().replace('.', '').replace('-', '').replace('_', '')
        return (t, res) if t in ('', 'basicpublish', 'basicdeliver', 'basicreturn') else t
    if dir_ in ('mqtt', 'nats', 'kafka', 'openwire', 'pulsar'): return t.lower().replace('-', '').replace('_', '')
    return (t, res)

def ascii_name(name):
    """As it stands in the message (RFC 3490); Arkime writes it in letters."""
    try: return name.encode('idna').decode() if not name.isascii() else name
    except UnicodeError: return name

@functools.cache
def tshark_requests(base):
    """Per capture: methods, targets with their hosts, codes and names that tshark read."""
    out = collections.defaultdict(lambda: collections.defaultdict(set))
    for d in tshark_table(base):
        file, v = out[d['file']], d['f']
        for m in aslist(v.get('http.request.method', [])) + aslist(v.get('http2.headers.method', [])): file['http method'].add(m)
        for c in aslist(v.get('http.response.code', [])) + aslist(v.get('http2.headers.status', [])):
            if c.isdigit(): file['http code'].add(int(c))
        for host, uri in (('http.host', 'http.request.uri'), ('http2.headers.authority', 'http2.headers.path')):
            for h, u in zip(aslist(v.get(host, [])), aslist(v.get(uri, []))): file['http uri'].add(squeeze(h + u if u.startswith('/') else u.split('://')[-1]))
        for n in aslist(v.get('dns.qry.name', [])): file['dns'].add(short_name(n))
        for h in aslist(v.get('http.host', [])): file['http'].add(short_host(h))
    return out

def arkime(base):
    """arkime/X.test: sets of values per session; each must be among ours."""
    parts = {
        'http method': (lambda b: b.get('http', {}).get('method', []), lambda r: r['request_type'] if r['l7_protocol'] in ('http', 'http2') else None),
        'http code': (lambda b: b.get('http', {}).get('statuscode', []), lambda r: [*map(int, interim(r)), r['response_code']] if r['l7_protocol'] in ('http', 'http2') else None),
        'http uri': (lambda b: [squeeze(u) for u in b.get('http', {}).get('uri', [])],
                     lambda r: squeeze(r['request_domain'] + r['request_resource'] if r['request_resource'].startswith('/') else r['request_resource'].split('://')[-1]) if r['l7_protocol'] in ('http', 'http2') else None),
        'dns': (lambda b: [name_of(ascii_name(n)) for n in (b.get('dns') or [{}] if isinstance(b.get('dns'), list) else []) for n in [n.get('queryHost', '')] if n], lambda r: name_of(r['request_resource']) if r['l7_protocol'] == 'dns' else None),
        'tls ja4': (lambda b: [] if 'quic' in b.get('protocol', []) else b.get('tls', {}).get('ja4', []), lambda r: attribute(r, 'ja4') if r['l7_protocol'] in ('tls', 'dtls') else None),
        'tls ja3': (lambda b: [] if 'quic' in b.get('protocol', []) else b.get('tls', {}).get('ja3', []), lambda r: attribute(r, 'ja3') if r['l7_protocol'] == 'tls' else None),
        'quic': (lambda b: b.get('quic', {}).get('host', []), lambda r: r['request_domain'] if r['l7_protocol'] == 'quic' else None),
        'smtp': (lambda b: [h.lower() for h in b.get('email', {}).get('smtpHello', [])], lambda r: r['request_domain'].lower() if r['l7_protocol'] == 'smtp' else None),
        'mqtt': (lambda b: b.get('mqtt', {}).get('topic', []), lambda r: r['request_resource'] if r['l7_protocol'] == 'mqtt' else None),
        'mysql': (lambda b: aslist(b.get('mysql', {}).get('user', [])), lambda r: attribute(r, 'user') if r['l7_protocol'] == 'mysql' else None),
        'postgresql': (lambda b: aslist(b.get('postgresql', {}).get('db', [])), lambda r: r['request_domain'] if r['l7_protocol'] == 'postgresql' else None),
    }
    for test in sorted(glob.glob(os.path.join(base, 'pcap/arkime/*.test'))):
        capture = next((test.removesuffix('.test') + e for e in ('.pcap', '.pcapng', '.pcap.gz') if os.path.exists(test.removesuffix('.test') + e)), None)
        if not capture: continue
        with open(test) as f: bodies = [s['body'] for s in json.load(f)['sessions3']]
        for name, (theirs, ours) in parts.items():
            want = Counter({v: 1 for b in bodies for v in theirs(b)})
            if name == 'mqtt': ours = lambda r: r['request_resource'].split(', ') if r['l7_protocol'] == 'mqtt' else None
            third = tshark_requests(base).get(os.path.relpath(capture, base), {}).get(name)
            # tshark reads such requests in this capture, and not this one.
            judge = (lambda t, o, third=third: o is None and t not in third) if third else None
            if want: yield name, capture, want, lambda rows, o=ours, w=want: Counter({k: 1 for v in map(o, rows) for k in (v if isinstance(v, list) else [v]) if k in w}), judge

def without_alpn(ja4):
    """nDPI here writes `d` without a name too, the first two letters of the ALPN where JA4 wants the first and the last, and the hash of nothing for nothing."""
    # Of DTLS it writes the version of the hello's head, where JA4 wants the highest that is offered.
    if ja4[:1] == 'd': ja4 = 'd--' + ja4[3:]
    return ja4[:3] + ja4[4:8] + ja4[10:].replace('e3b0c44298fc', '000000000000')

def short_host(text): return squeeze(text.split(':')[0]).lower()[:30].rstrip('.')

def short_name(text):
    """nDPI shortens names, and writes ? for what cannot be printed."""
    text = re.sub(r'\\(\d{3})', '?', text)
    return ''.join(c if 32 < ord(c) < 127 else '?' for c in text).lower()[:30].rstrip('.')

def ndpi(base):
    """ndpi/X.out: a line per flow with names and fingerprints; they are compared as sets per capture."""
    host, ja4, code = re.compile(r'\[Hostname/SNI: ([^\]]+)\]'), re.compile(r'\[JA4: ([^\]]+)\]'), re.compile(r'\[StatusCode: (\d+)\]')
    for out in sorted(glob.glob(os.path.join(base, 'pcap/ndpi/*.out'))):
        capture = out.removesuffix('.out')
        if not os.path.exists(capture): continue
        want = collections.defaultdict(Counter)
        with open(out, errors='replace') as f:
            for line in f:
                proto = re.search(r'\[proto: [\d.]+/([^\]]+)\]', line)
                if not proto: continue
                words = proto.group(1).split('.')
                for l7, names in (('quic', ('QUIC',)), ('dtls', ('DTLS',)), ('tls', ('TLS',)), ('dns', ('DNS',)), ('http', ('HTTP',))):
                    if words[0] not in names: continue
                    # It shortens long names.
                    if m := host.search(line): want[l7][short_name(m.group(1)) if l7 == 'dns' else short_host(m.group(1))] = 1
                    if l7 in ('quic', 'tls', 'dtls') and (m := ja4.search(line)): want[l7 + ' ja4'][without_alpn(m.group(1))] = 1
                    if l7 == 'http' and (m := code.search(line)): want['http code'][m.group(1)] = 1
        for name, wanted in sorted(want.items()):
            l7 = name.split(' ')[0]
            def ours(r, l7=l7, name=name):
                if r['l7_protocol'] != l7: return None
                if name.endswith('ja4'): return without_alpn(attribute(r, 'ja4') or '')
                if name.endswith('code'): return str(r['response_code'])
                return short_name(r['request_domain']) if l7 == 'dns' else short_host(r['request_domain'])
            third = tshark_requests(base).get(os.path.relpath(capture, base), {}).get(name)
            judge = (lambda t, o, third=third: o is None and t not in third) if third else None
            yield name, capture, wanted, lambda rows, o=ours, w=wanted: Counter({k: 1 for k in map(o, rows) if k in w}), judge

def ipfixprobe(base):
    """ipfixprobe/X.PLUGIN.csv: what its plugins read, per flow record; compared as sets, as long connections have several records."""
    plain = lambda v: squeeze(v.strip().strip('"'))
    ways = {
        'tls': (('TLS_SNI', 'TLS_JA3', 'TLS_JA4'), lambda r: (squeeze(r['request_domain']), attribute(r, 'ja3') or '', attribute(r, 'ja4') or '') if r['l7_protocol'] == 'tls' else None),
        'rtsp': (('RTSP_REQUEST_METHOD', 'RTSP_REQUEST_URI', 'RTSP_REQUEST_AGENT'), lambda r: (r['request_type'], squeeze(r['request_resource']), squeeze(r['user_agent'])) if r['l7_protocol'] == 'rtsp' else None),
    }
    for path in sorted(glob.glob(os.path.join(base, 'pcap/ipfixprobe/*.csv'))):
        capture, plugin, _ = path.rsplit('.', 2)
        if plugin not in ways or not os.path.exists(capture): continue
        columns, key = ways[plugin]
        with open(path) as f: lines = list(csv.reader(f))
        names = next([c.split(' ')[-1] for c in line] for line in lines if line[0].startswith('ipaddr '))
        rows = [dict(zip(names, line)) for line in lines if not line[0].startswith('ipaddr ')]
        for row in rows:
            # JA4 leaves GREASE (RFC 8701) out of the number of extensions, which ipfixprobe lists, and counts.
            if 'TLS_JA4' in row:
                kinds = [int(k) for k in row['TLS_EXT_TYPE'].strip('[]').split('|')]
                ja4 = plain(row['TLS_JA4'])
                row['TLS_JA4'] = f"{ja4[:6]}{sum(k & 0x0f0f != 0x0a0a for k in kinds):02}{ja4[8:]}"
        want = Counter({tuple(plain(row[c]) for c in columns): 1 for row in rows if plain(row[columns[0]])})
        if want: yield plugin, capture, want, lambda rows, key=key, want=want: Counter({k: 1 for k in map(key, rows) if k in want})

@functools.cache
def opened(capture):
    """Per client's port: when it opened connections, in microseconds."""
    fields = ['-e', 'frame.time_epoch', '-e', 'tcp.srcport']
    out = subprocess.run(['tshark', '-r', capture, '-Y', 'tcp.flags.syn == 1 && tcp.flags.ack == 0', '-T', 'fields', *fields], capture_output=True, text=True).stdout
    times = collections.defaultdict(list)
    for line in out.splitlines():
        time, port = line.split('\t')
        times[int(port)].append(round(float(time) * 1e6))
    return times

def percona(base):
    """percona/X.expected.json: queries with their times (microseconds), rows affected and errors. A connect is measured from the SYN."""
    commands = {'Login': 'Connect', 'COM_QUIT': 'Quit', 'COM_PING': 'Ping', 'COM_INIT_DB': 'Init DB'}
    def ours(part, capture):
        def connect(r):
            """From the last SYN before the answer."""
            end = round((r['response_ts'] or 0) / 1000)
            start = max((t for t in opened(capture)[r['client_port']] if t <= end), default=None)
            return None if start is None else end - start
        def key(r):
            # What is answered before anything was asked is the connect.
            refused = r['request_ts'] is None and r['response_code'] is not None
            if refused and r['l7_protocol'] == 'mysql': r = {**r, 'request_type': 'Login', 'request_ts': r['response_ts']}
            if r['l7_protocol'] != 'mysql' or not asked(r): return None
            kind, text = r['request_type'], r['request_resource']
            text = {'COM_STMT_PREPARE': 'PREPARE ' + text, 'COM_STMT_EXECUTE': 'EXECUTE', 'COM_STMT_CLOSE': 'DEALLOCATE PREPARE', 'COM_STMT_RESET': 'RESET'}.get(kind, text)
            arg = 'administrator command: ' + commands[kind] if kind in commands else squeeze(text)
            if part == 'time': return arg[:40], connect(r) if kind == 'Login' else (r['duration_ns'] or 0) // 1000
            rows = 0 if kind == 'Login' or r['affected_rows'] is None or not text.lower().startswith(('insert', 'update', 'delete', 'replace')) else r['affected_rows']
            return arg, rows, r['response_code']
        return keyed(key)
    for path in sorted(glob.glob(os.path.join(base, 'pcap/percona/*.expected.json'))):
        capture = path.removesuffix('.expected.json') + '.pcap'
        want, times = Counter(), Counter()
        with open(path) as f:
            for part in json.load(f):
                for e in part['result'] or []:
                    arg = next((w for w in ('EXECUTE', 'DEALLOCATE PREPARE', 'RESET') if e['arg'].startswith(w + ' ')), squeeze(e['arg']))
                    want[arg, int(e.get('Rows_affected') or 0), int(e['Error_no']) if e.get('Error_no') else None] += 1
                    times[arg[:40], round(float(e['Query_time']) * 1e6)] += 1
        if want and os.path.exists(capture):
            yield 'mysql', capture, want, ours('', capture)
            yield 'mysql time', capture, times, ours('time', capture)

def kindling_bytes(parts):
    out = b''
    for p in parts:
        head, bar, tail = p.partition('|')
        if bar and head == 'hex': out += bytes.fromhex(tail[:len(tail) // 2 * 2])
        elif bar and len(head) % 2 == 0 and all(c in '0123456789abcdef' for c in head): out += bytes.fromhex(head) + tail.encode()
        else: out += p.encode()
    return out

def messages_of(data):
    out = []
    while len(data) >= 4:
        size, = struct.unpack_from('<I', data)
        out.append(data[4:4 + size]); data = data[4 + size:]
    return out

def kindling_capture(trace, port, path):
    """Its system calls as packets: a call's bytes are one segment, with as much data as was kept."""
    udp = port == 53 and 'tcp' not in path
    calls = sorted([(c, True) for c in trace.get('requests') or []] + [(c, False) for c in trace.get('responses') or []], key=lambda c: c[0]['timestamp'])
    sequence = {True: 1, False: 1}
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b23c4d, 2, 4, 0, 0, 65535, 101))
        def write(call, client, data, size):
            ports = (40000, port) if client else (port, 40000)
            if udp: l4 = struct.pack('>HHHH', *ports, 8 + size, 0)
            else: l4 = struct.pack('>HHIIBBHHH', *ports, sequence[client], sequence[not client], 0x50, 0x18, 65535, 0, 0)
            sequence[client] += size
            ends = (b'\x0a\0\0\1', b'\x0a\0\0\2') if client else (b'\x0a\0\0\2', b'\x0a\0\0\1')
            ip = struct.pack('>BBHHHBBH', 0x45, 0, (20 + len(l4) + size) & 0xffff, 0, 0, 64, 17 if udp else 6, 0) + ends[0] + ends[1]
            frame = ip + l4 + data
            ts = call['timestamp']
            f.write(struct.pack('<IIII', ts // 10**9, ts % 10**9, len(frame), len(ip) + len(l4) + size) + frame)

        for call, client in calls:
            a = call['user_attributes']; data = kindling_bytes(a.get('data') or []); size = max(int(a.get('res') or 0), len(data))
            if call['name'] in ('sendmmsg', 'recvmmsg'):
                # Its record: messages with their lengths in front; `res` is how many.
                for message in messages_of(data): write(call, client, message, len(message))
                continue
            write(call, client, data, size)

def mysql_damage(calls):
    """Time of the first system call whose bytes are no packets: the length in front (three bytes, little endian, less the head of
    four) is not what that call, or it and those after it, moved. What comes behind cannot be found."""
    begun, missing = None, 0
    for call in calls:
        data, size = kindling_bytes(call['user_attributes'].get('data') or []), int(call['user_attributes']['res'])
        start = call['timestamp'] - call['user_attributes'].get('latency', 0)
        length = int.from_bytes(data[:3], 'little') + 4 if len(data) >= 4 else None
        if begun is not None:
            if missing < size or length == size: return begun
            missing -= size
            if missing == 0: begun = None
            continue
        if len(data) > size or length is not None and length < size: return start
        if length is not None and length > size: begun, missing = start, length - size
    return begun

def kindling(base, work):
    """l7-sessions/kindling: payloads of system calls, made into captures, with the sessions expected of them."""
    import yaml
    ports = {'mysql': 3306, 'dns': 53, 'http': 9001}
    for path in sorted(glob.glob(os.path.join(base, 'l7-sessions/kindling/*/*.yml'))):
        kind = os.path.basename(os.path.dirname(path))
        with open(path) as f: trace = (yaml.safe_load(f) or {}).get('trace')
        if not trace or kind not in ports: continue
        capture = os.path.join(work, kind + '-' + os.path.basename(path).removesuffix('.yml') + '.pcap')
        kindling_capture(trace, ports[kind], capture)
        want = Counter()
        damage = mysql_damage(sorted(trace.get('requests') or [], key=lambda c: c['timestamp'])) if kind == 'mysql' else None
        for e in trace.get('expects') or []:
            if damage is not None and e['Timestamp'] >= damage: continue
            l, v = e['Labels'], e['Values']
            if kind == 'mysql': want[squeeze(l.get('sql', '')), v['request_io'], v['response_io']] += 1
            if kind == 'dns': want[l.get('dns_domain', '').rstrip('.'), l.get('dns_id'), v['request_io'], v['response_io']] += 1
            if kind == 'http': want[l.get('http_method'), squeeze(l.get('http_url', '')), l.get('http_status_code'), v['request_io'], v['response_io']] += 1
        def ours(r, kind=kind):
            if r['l7_protocol'] != kind: return None
            sizes = r['request_bytes'], r['response_bytes']
            if kind == 'mysql': return (squeeze(r['request_resource']), *sizes)
            if kind == 'dns': return (r['request_resource'].rstrip('.'), r['session_id'], *sizes)
            return (r['request_type'], squeeze(r['request_resource']), r['response_code'], *sizes)
        first = b''.join(kindling_bytes(c['user_attributes'].get('data') or []) for c in trace.get('requests') or [])
        # A method that is other than the payload's first word is guessed.
        judge = (lambda t, o, first=first: o is not None and t[1:] == o[1:] and not first.startswith(t[0].encode() + b' ') and first.startswith(o[0].encode() + b' ')) if kind == 'http' else None
        if want: yield kind, capture, want, keyed(ours), judge
