"""What Zeek's own tests expect of requests in captures: baselines of its logs, `CAPTURE.zeek/TEST/NAME.log` or, with some columns
only, `NAME.log.cut`. A row of a log is compared in the columns that the baseline has and that have a counterpart in ours."""
import collections, functools, glob, os, re, subprocess, urllib.parse
from l7_oracles import attribute, asked, announced, keyed, name_of, query_type, squeeze, tshark_questions

Counter = collections.Counter

def text(v): return squeeze('' if v in ('-', '(empty)') else v)

def same(v): return text(re.sub(r'\\x[0-9a-f]{2}', ' ', v))

def number(v): return text(v)

def lower(v): return text(v).lower()

def uri(v):
    """Zeek writes targets decoded; both are."""
    return squeeze(urllib.parse.unquote('' if v in ('-', '(empty)') else re.sub(r'\\x[0-9a-f]{2}', ' ', v), errors='replace'))

def host(v): return re.sub(r':\d+$', '', text(v))

def names(v): return squeeze('' if v in ('-', '(empty)') else ','.join(sorted(v.split(','))))

LDAP = {0:'success',1:'operations error',2:'protocol error',14:'SASL bind in progress',32:'no such object',48:'inappropriate authentication',49:'invalid credentials',53:'unwilling to perform'}

TLS = {'1.0':'TLSv10','1.1':'TLSv11','1.2':'TLSv12','1.3':'TLSv13','3.0':'SSLv3'}

def of(*protocols): return lambda r: r['l7_protocol'] in protocols

def queried(*protocols): return lambda r: r['l7_protocol'] in protocols and asked(r)

def each_retry(rows):
    """After a Retry, Zeek has a row of its own for the hello that is said again, and the row before ends without a server's id."""
    for r in rows:
        if again := attribute(r, 'retry_scid'):
            attributes = dict(r['attributes'])
            yield {**r, 'attributes': [(k, v) for k, v in attributes.items() if k != 'server_scid']}
            yield {**r, 'attributes': list({**attributes, 'dcid': again}.items())}
        else: yield r

def each_answer(rows):
    """Zeek has a row per answer: one for each interim one, too."""
    for r in rows:
        codes = (attribute(r, 'interim') or '').split(',') if r['l7_protocol'] == 'sip' else []
        yield from ({**r, 'response_code': int(c)} for c in codes if c)
        yield r

# Where its rows are other units than ours.
UNITS = {'quic': each_retry, 'sip': each_answer}

def status(r): return {'ok': 'T', 'unknown': ''}.get(r['response_status'], 'F' if r['response_ts'] else '')

def mysql_command(r): return {'Login': 'login', 'COM_STMT_PREPARE': 'stmt_prepare'}.get(r['request_type'], r['request_type'].removeprefix('COM_').lower())

def mysql_argument(r):
    command = mysql_command(r)
    if command == 'login': return attribute(r, 'user') or ''
    return r['session_id'] if command.startswith('stmt') and command != 'stmt_prepare' else r['request_resource']

def ldap_opcode(r):
    if r['request_type'] != 'Bind': return r['request_type'].lower()
    return 'bind simple' if attribute(r, 'mechanism') == 'simple' else 'bind SASL'

# Per log: which of our rows are compared, and per column how theirs and ours are written.
LOGS = {
    'http': (of('http'), {
        'method': (same, lambda r: r['request_type']), 'uri': (uri, lambda r: uri(r['request_resource'])), 'status_code': (number, lambda r: r['response_code'] or ''),
        'host': (host, lambda r: host(r['request_domain']) if r['request_type'] != 'CONNECT' else ''), 'user_agent': (same, lambda r: r['user_agent'])}),
    'dns': (of('dns'), {
        # Of an UPDATE, Zeek tells the first record's name, and no type.
        'query': (lambda v: '' if v == '-' else name_of(v), lambda r: name_of((attribute(r, 'updated') or r['request_resource']).split(',')[0])),
        'qtype_name': (lambda v: {'*': 'ANY', '-': ''}.get(v, v), lambda r: query_type(r) if asked(r) and not announced(r) and not attribute(r, 'updated') else ''),
        'rcode': (number, lambda r: r['response_code'] & 4095 if r['response_code'] is not None else '')}),
    'mysql': (queried('mysql'), {
        'cmd': (same, mysql_command), 'arg': (same, mysql_argument), 'success': (same, status)}),
    'redis': (queried('redis'), {'cmd.name': (same, lambda r: r['request_type'].upper()), 'success': (same, status)}),
    'ssl': (queried('tls', 'quic'), {
        'server_name': (same, lambda r: r['request_domain']),
        'cipher': (same, lambda r: r['response_result']),
        'version': (lambda v: text(v).split('-')[0], lambda r: 'TLSv13' if r['l7_protocol'] == 'quic' and r['response_result'] else TLS.get(r['version'], '') if r['response_result'] else '')}),
    'quic': (queried('quic'), {
        'version': (lambda v: v.removeprefix('quicv'), lambda r: r['version']), 'server_name': (same, lambda r: r['request_domain']),
        'client_protocol': (same, lambda r: (attribute(r, 'alpn_offered') or '').split(',')[0]),
        'client_initial_dcid': (same, lambda r: attribute(r, 'dcid') or ''), 'client_scid': (same, lambda r: attribute(r, 'scid') or ''),
        'server_scid': (same, lambda r: attribute(r, 'server_scid') or '')}),
    'ldap': (lambda r: r['l7_protocol'] == 'ldap' and asked(r) and r['request_type'] != 'Search', {
        'message_id': (number, lambda r: r['session_id']), 'opcode': (same, ldap_opcode), 'version': (number, lambda r: r['version']),
        'result': (same, lambda r: LDAP.get(r['response_code'], r['response_code']) if r['response_code'] is not None else ''),
        'object': (same, lambda r: r['request_resource']), 'argument': (same, lambda r: (lambda m: '' if m == 'simple' else m)(attribute(r, 'mechanism') or ''))}),
    'ldap_search': (lambda r: r['l7_protocol'] == 'ldap' and r['request_type'] == 'Search' and asked(r), {
        'message_id': (number, lambda r: r['session_id']), 'base_object': (same, lambda r: r['request_resource']),
        'scope': (same, lambda r: {'sub': 'tree', 'one': 'single'}.get(attribute(r, 'scope'), attribute(r, 'scope'))),
        'deref_aliases': (same, lambda r: attribute(r, 'deref_aliases')),
        # Entries that came are none where nothing came.
        'result_count': (number, lambda r: r['affected_rows'] or 0),
        'result': (same, lambda r: LDAP.get(r['response_code'], r['response_code']) if r['response_code'] is not None else ''),
        'filter': (same, lambda r: attribute(r, 'filter') or ''), 'attributes': (names, lambda r: names(attribute(r, 'attributes') or ''))}),
    'mqtt_connect': (lambda r: r['l7_protocol'] == 'mqtt' and r['request_type'] == 'CONNECT', {'client_id': (same, lambda r: r['request_domain'])}),
    'mqtt_publish': (lambda r: r['l7_protocol'] == 'mqtt' and r['request_type'] == 'PUBLISH', {
        'topic': (same, lambda r: r['request_resource']), 'from_client': (same, lambda r: 'F' if attribute(r, 'from') == 'server' else 'T')}),
    'mqtt_subscribe': (lambda r: r['l7_protocol'] == 'mqtt' and r['request_type'] in ('SUBSCRIBE', 'UNSUBSCRIBE'), {
        'action': (lambda v: v.split('::')[-1], lambda r: r['request_type']), 'topics': (names, lambda r: names(r['request_resource'].replace(', ', ','))),
        'ack': (same, status)}),
    'sip': (queried('sip'), {
        'method': (same, lambda r: r['request_type']), 'uri': (same, lambda r: r['request_resource']), 'status_code': (number, lambda r: r['response_code'] or '')}),
    'websocket': (lambda r: r['l7_protocol'] == 'http' and attribute(r, 'upgrade') == 'websocket' and r['response_code'] == 101, {
        'host': (host, lambda r: host(r['request_domain'])), 'uri': (uri, lambda r: uri(r['request_resource'])), 'user_agent': (same, lambda r: r['user_agent'])}),
    'smb_mapping': (lambda r: r['l7_protocol'] == 'smb' and r['request_type'] == 'TreeConnect' and r['response_status'] == 'ok', {
        'path': (lambda v: text(v).replace('\\\\', '\\').lower(), lambda r: r['request_resource'].lower())}),
    'syslog': (of('syslog'), {'facility': (lower, lambda r: r['request_resource']), 'severity': (lower, lambda r: r['request_type'])}),
}

def read(log):
    """Rows of a log as dictionaries."""
    fields, out = [], []
    with open(log, errors='replace') as f:
        for line in f:
            line = line.rstrip('\n')
            if line.startswith('#fields'): fields = line.split('\t')[1:]
            elif line.startswith('#') or not line: continue
            elif not fields: fields = line.split('\t')
            else: out.append(dict(zip(fields, line.split('\t'))))
    return fields, out

def wanted(name, row): return not (
    name == 'dns' and row.get('query', 'x') == '-' and row.get('qtype_name', 'x') == '-'
    or name == 'mysql' and row.get('cmd') in ('login_disconnect', 'quit')
    # Without the priority that every message begins with (RFC 3164 section 4.1.1): Zeek believed the port.
    or name == 'syslog' and row.get('facility') == 'UNSPECIFIED')

def dns_judge(columns, questions):
    """Ours has a type where Zeek has none, is like it in all else, and is what tshark read of that name in the same capture."""
    def judge(theirs, ours):
        if 'qtype_name' not in columns or 'query' not in columns: return False
        at = columns.index('qtype_name')
        alike = theirs[at] == '' and theirs[:at] + theirs[at + 1:] == ours[:at] + ours[at + 1:]
        return alike and (ours[columns.index('query')], ours[at]) in questions
    return judge

@functools.cache
def ldap_selectors(capture):
    """Attributes that searches ask for, as tshark reads them: message id and names."""
    fields = ['-e', 'ldap.messageID', '-e', 'ldap.AttributeDescription']
    out = subprocess.run(['tshark', '-r', capture, '-Y', 'ldap.protocolOp == 3', '-T', 'fields', *fields], capture_output=True, text=True).stdout
    lines = (line.split('\t') for line in out.splitlines())
    return {(ids, squeeze(','.join(sorted(selectors.split(','))))) for ids, selectors, *_ in lines}

def ldap_judge(columns, capture):
    """Ours has the attributes that Zeek does not log unless told to, is like it in all else, and is what tshark read."""
    def judge(theirs, ours):
        if 'attributes' not in columns or 'message_id' not in columns: return False
        at = columns.index('attributes')
        alike = theirs[at] == '' and theirs[:at] + theirs[at + 1:] == ours[:at] + ours[at + 1:]
        return alike and (ours[columns.index('message_id')], ours[at]) in ldap_selectors(capture)
    return judge

def cases(base):
    """Of several tests of a capture, the one with most rows, then with most columns."""
    found = {}
    for log in sorted(glob.glob(os.path.join(base, 'pcap/zeek/**/*.zeek/*/*.log*'), recursive=True)):
        name = os.path.basename(log).removesuffix('.cut').removesuffix('.log')
        capture = log.split('.zeek/')[0]
        if name not in LOGS or not os.path.exists(capture): continue
        fields, rows = read(log)
        columns = [c for c in LOGS[name][1] if c in fields]
        rows = [row for row in rows if wanted(name, row)]
        for row in rows:
            # The host of a CONNECT is its target, which is compared; a header is only sometimes there.
            if row.get('method') == 'CONNECT' and 'host' in row: row['host'] = '-'
        if not columns or not rows: continue
        old = found.get((name, capture))
        if old is None or (len(rows), len(columns)) > (len(old[1]), len(old[0])): found[name, capture] = columns, rows
    for (name, capture), (columns, rows) in sorted(found.items()):
        select, ways = LOGS[name]
        want = Counter(tuple(ways[c][0](row.get(c, '-')) for c in columns) for row in rows)
        def ours(r, select=select, ways=ways, columns=columns): return tuple(squeeze(ways[c][1](r)) for c in columns) if select(r) else None
        units = UNITS.get(name, lambda rows: rows)
        judge = dns_judge(columns, tshark_questions(base, os.path.relpath(capture, base))) if name == 'dns' else ldap_judge(columns, capture) if name == 'ldap_search' else None
        yield name, capture, want, lambda rows, ours=ours, units=units: keyed(ours)(units(rows)), judge
