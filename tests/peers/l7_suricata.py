"""What Suricata's own tests assert of requests in captures: suricata/T/test.yaml, so many events with these fields. A field without a
counterpart in our rows is left out; if some are, that many rows at least must have the others, else exactly that many."""
import collections, glob, ipaddress, json, os, re
from l7_oracles import attribute, asked, interim, name_of, query_type, squeeze

Counter = collections.Counter

def lower(v): return squeeze(v).lower()

def plain(v): return squeeze(v)

def of(*protocols): return lambda r: r['l7_protocol'] in protocols

def typed(protocol, *types): return lambda r: r['l7_protocol'] == protocol and r['request_type'] in types

RCODES = {0: 'NOERROR', 1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED', 6: 'YXDOMAIN', 7: 'YXRRSET', 8: 'NXRRSET', 9: 'NOTAUTH', 10: 'NOTZONE'}
LDAP_CODES = {0: 'success', 1: 'operations_error', 2: 'protocol_error', 14: 'sasl_bind_in_progress', 32: 'no_such_object', 49: 'invalid_credentials', 68: 'entry_already_exists'}
POP3 = ('USER', 'PASS', 'APOP', 'QUIT', 'STAT', 'LIST', 'RETR', 'DELE', 'NOOP', 'RSET', 'TOP', 'UIDL', 'CAPA', 'STLS', 'AUTH')
MQTT_VERSIONS = {'3': '3.1', '4': '3.1.1', '5': '5'}

def dns_name(r): return name_of(r['request_resource'])

def topics(v): return sorted(t['topic'] if isinstance(t, dict) else str(t) for t in v) if isinstance(v, list) else [str(v)]

def our_topics(r): return sorted(r['request_resource'].split(', '))

def distinguished(v): return squeeze(re.sub(r',\s*', ', ', str(v)).replace('emailAddress=', 'Email=')) if v else ''

def address(v):
    """IPv6 addresses are shortened (RFC 5952), names as they are."""
    try: return str(ipaddress.ip_address(v))
    except ValueError: return name_of(v)

def version(v):
    """Drafts of 1.3 are it."""
    return {'TLSv1': '1.0'}.get(str(v), str(v).split(' draft')[0].removeprefix('TLS ').removeprefix('TLSv'))

def error_text(r): return plain(re.sub(r'^\w{5}: ', '', r['response_exception']))

def smb_command(v):
    name = re.sub('SMB[12]_COMMAND_', '', str(v)).replace('_ANDX', '').replace('_PROTOCOL', '').replace('SESSION_LOGOFF', 'LOGOFF').replace('_', '').lower()
    return {'trans2': 'transaction2', 'trans': 'transaction', 'ntcreate': 'create', 'find': 'querydirectory', 'getinfo': 'queryinfo'}.get(name, name)

def code_of(r): return '' if r['response_code'] is None else str(r['response_code'])

# Per event type: which rows it is of; per field: whether a row says the same. A field that selects the kind of row does so, too.
def is_(ours, theirs=plain): return lambda v, r: theirs(v) == theirs(ours(r))

def on(select, check): return lambda v, r: select(r) and check(v, r)

def mqtt(kind, check): return on(typed('mqtt', kind), check)

FIELDS = {
    'http': (of('http', 'http2'), {
        'http.url': is_(lambda r: r['request_resource']), 'http.http_method': is_(lambda r: r['request_type']), 'http.status': is_(code_of),
        'http.hostname': lambda v, r: plain(v) == re.sub(r':\d+$', '', plain(r['request_domain'])), 'http.http_user_agent': is_(lambda r: r['user_agent']),
        'http.http_refer': is_(lambda r: attribute(r, 'referer') or '')}),
    'dns': (of('dns'), {
        'dns.type': lambda v, r: asked(r) if v in ('query', 'request') else r['response_code'] is not None,
        'dns.id': is_(lambda r: '' if r['session_id'] is None else r['session_id']),
        'dns.rrname': is_(dns_name, name_of), 'dns.queries[0].rrname': is_(dns_name, name_of),
        'dns.rrtype': is_(query_type), 'dns.queries[0].rrtype': is_(query_type), 'dns.rcode': lambda v, r: v == RCODES.get(r['response_code']),
        'dns.answers[0].rdata': lambda v, r: address(v) in r['response_result'].lower(), 'dns.answers[0].rrtype': lambda v, r: f'{v}=' in r['response_result'],
        'dns.answers[0].ttl': lambda v, r: f'TTL={v}' in r['response_result'], 'dns.answers[1].rdata': lambda v, r: address(v) in r['response_result'].lower(),
        'dns.grouped.A[0]': lambda v, r: f'A={v}' in r['response_result'], 'dns.grouped.CNAME[0]': lambda v, r: f'CNAME={v}'.lower() in r['response_result'].lower()}),
    'tls': (of('tls'), {
        'tls.sni': is_(lambda r: r['request_domain']), 'tls.ja3.hash': is_(lambda r: attribute(r, 'ja3') or ''), 'tls.ja4': is_(lambda r: attribute(r, 'ja4') or ''),
        'tls.version': lambda v, r: version(v) == r['version'],
        'tls.subject': is_(lambda r: attribute(r, 'certificate_subject') or '', distinguished), 'tls.issuerdn': is_(lambda r: attribute(r, 'certificate_issuer') or '', distinguished),
        'tls.notafter': lambda v, r: str(v) == (attribute(r, 'certificate_not_after') or '').rstrip('Z')}),
    'quic': (of('quic'), {'quic.sni': is_(lambda r: r['request_domain']), 'quic.ja4': is_(lambda r: attribute(r, 'ja4') or '')}),
    'mqtt': (of('mqtt'), {
        'mqtt.connect.client_id': mqtt('CONNECT', is_(lambda r: r['request_domain'])),
        'mqtt.connect.protocol_version': mqtt('CONNECT', lambda v, r: r['version'] in ('', MQTT_VERSIONS.get(str(v)))),
        'mqtt.connack.return_code': mqtt('CONNECT', lambda v, r: str(v) == (code_of(r) or '0')),
        'mqtt.publish.topic': mqtt('PUBLISH', is_(lambda r: r['request_resource'])), 'mqtt.publish.qos': mqtt('PUBLISH', is_(lambda r: attribute(r, 'qos'))),
        'mqtt.publish.message_id': mqtt('PUBLISH', is_(lambda r: r['session_id'])), 'mqtt.puback.message_id': mqtt('PUBLISH', is_(lambda r: r['session_id'])),
        'mqtt.subscribe.topics': mqtt('SUBSCRIBE', lambda v, r: topics(v) == our_topics(r)), 'mqtt.subscribe.message_id': mqtt('SUBSCRIBE', is_(lambda r: r['session_id'])),
        'mqtt.suback.message_id': mqtt('SUBSCRIBE', lambda v, r: str(v) == str(r['session_id']) and r['response_ts'] is not None),
        'mqtt.unsubscribe.topics': mqtt('UNSUBSCRIBE', lambda v, r: topics(v) == our_topics(r)), 'mqtt.unsubscribe.message_id': mqtt('UNSUBSCRIBE', is_(lambda r: r['session_id'])),
        'mqtt.unsuback.message_id': mqtt('UNSUBSCRIBE', lambda v, r: str(v) == str(r['session_id']) and r['response_ts'] is not None),
        'mqtt.disconnect.qos': mqtt('DISCONNECT', lambda v, r: True)}),
    'pgsql': (of('postgresql'), {
        'pgsql.request.simple_query': on(typed('postgresql', 'Query'), is_(lambda r: r['request_resource'])),
        'pgsql.request.startup_parameters.user': is_(lambda r: attribute(r, 'user') or ''),
        'pgsql.request.startup_parameters.optional_parameters[0].database': is_(lambda r: r['request_domain']),
        'pgsql.response.code': lambda v, r: str(v) in r['response_exception'] or str(v) in str(r['attributes']),
        # Steps of a log-in belong to it.
        'pgsql.response.message': lambda v, r: r['request_type'] == 'Login' and r['response_status'] == 'ok' if str(v).startswith('authentication_') else plain(v) == error_text(r)}),
    'ldap': (of('ldap'), {
        'ldap.request.message_id': is_(lambda r: r['session_id']),
        'ldap.request.operation': lambda v, r: str(v).removesuffix('_request').replace('_', '') == {'modifydn': 'moddn', 'delete': 'del'}.get(r['request_type'].lower(), r['request_type'].lower()),
        'ldap.request.search_request.base_object': is_(lambda r: r['request_resource']),
        'ldap.request.search_request.scope': lambda v, r: {'base_object': 'base', 'single_level': 'one', 'whole_subtree': 'sub', 0: 'base', 1: 'one', 2: 'sub'}.get(v, v) == attribute(r, 'scope'),
        'ldap.request.search_request.deref_alias': lambda v, r: {0: 'never', 1: 'searching', 2: 'finding', 3: 'always', 'never_deref_aliases': 'never', 'deref_in_searching': 'searching', 'deref_finding_base_obj': 'finding', 'deref_always': 'always'}.get(v, v) == attribute(r, 'deref_aliases'),
        'ldap.request.search_request.size_limit': lambda v, r: str(v) == (attribute(r, 'size_limit') or '0'),
        'ldap.request.search_request.time_limit': lambda v, r: str(v) == (attribute(r, 'time_limit') or '0'),
        'ldap.request.search_request.attributes[0]': lambda v, r: str(v) == (attribute(r, 'attributes') or '').split(',')[0],
        'ldap.request.add_request.entry': is_(lambda r: r['request_resource']), 'ldap.request.del_request.dn': is_(lambda r: r['request_resource']),
        'ldap.request.extended_request.name': is_(lambda r: r['request_resource']),
        'ldap.responses[0].add_response.result_code': lambda v, r: v == LDAP_CODES.get(r['response_code']),
        'ldap.responses[0].del_response.result_code': lambda v, r: v == LDAP_CODES.get(r['response_code']),
        'ldap.responses[0].extended_response.result_code': lambda v, r: v == LDAP_CODES.get(r['response_code']),
        'ldap.responses[1].search_result_done.result_code': lambda v, r: v == LDAP_CODES.get(r['response_code'])}),
    'pop3': (of('pop3'), {
        # What is said within AUTH belongs to it.
        'pop3.request.command': lambda v, r: r['request_type'].upper() == {'<SASL DATA>': 'AUTH'}.get(v, v).upper() or v == 'UnknownCommand' and r['request_type'].upper() not in POP3,
        'pop3.response.success': lambda v, r: (r['response_status'] == 'ok') == (v in (True, 'true'))}),
    'sip': (of('sip'), {
        'sip.method': is_(lambda r: r['request_type']), 'sip.uri': is_(lambda r: r['request_resource']),
        'sip.code': lambda v, r: str(v) in [code_of(r), *interim(r)], 'sip.version': lambda v, r: str(v).removeprefix('SIP/') == r['version']}),
    'dhcp': (of('dhcp'), {
        'dhcp.dhcp_type': is_(lambda r: r['request_type'], lower), 'dhcp.hostname': is_(lambda r: r['request_domain'])}),
    'snmp': (of('snmp'), {
        'snmp.version': lambda v, r: str(v) == {'2c': '2'}.get(r['version'], r['version']),
        'snmp.pdu_type': lambda v, r: str(v).replace('_request', '').replace('_', '') in r['request_type'].lower().replace('-', '')}),
    'smb': (of('smb'), {
        'smb.status': lambda v, r: r['response_ts'] is not None and (r['response_exception'] or r['response_result']).split(' ')[0] == ('' if v == 'STATUS_SUCCESS' else v),
        'smb.share': is_(lambda r: r['request_resource'], lower), 'smb.filename': lambda v, r: plain(v).lstrip('\\\\') == plain(r['request_resource']),
        'smb.command': lambda v, r: smb_command(v) == r['request_type'].lower()}),
    'websocket': (of('websocket'), {'websocket.opcode': is_(lambda r: r['request_type'], lower)}),
    'smtp': (of('mail'), {
        'smtp.helo': is_(lambda r: r['helo']), 'smtp.mail_from': is_(lambda r: r['from']), 'smtp.rcpt_to[0]': lambda v, r: plain(v) in r['to']}),
}

def messages(rows):
    """Suricata has an event per message of these: the answer is another one."""
    for r in rows:
        yield r
        if r['request_ts'] is not None and r['response_ts'] is not None: yield r

# An event per message, unless the filter says which of the two.
EACH = {'dns': 'dns.type', 'snmp': 'snmp.pdu_type'}

def mails(rows):
    """Mails out of the commands of SMTP: who says hello, from whom, to whom."""
    flows = collections.defaultdict(dict)
    for r in rows:
        if r['l7_protocol'] != 'smtp' or not asked(r): continue
        state, kind = flows[r['flow_id']], r['request_type']
        if kind in ('HELO', 'EHLO'): state['helo'] = plain(r['request_domain'])
        elif kind == 'MAIL':
            state['mail'] = {'l7_protocol': 'mail', 'helo': state.get('helo', ''), 'from': plain(r['request_resource']), 'to': []}
            yield state['mail']
        elif kind == 'RCPT' and 'mail' in state: state['mail']['to'].append(plain(r['request_resource']))
    for state in flows.values():
        if 'mail' not in state and 'helo' in state: yield {'l7_protocol': 'mail', 'helo': state['helo'], 'from': '', 'to': []}

def cases(base):
    import yaml
    for test in sorted(glob.glob(os.path.join(base, 'pcap/suricata/**/test.yaml'), recursive=True)):
        captures = [p for e in ('*.pcap', '*.pcapng') for p in glob.glob(os.path.join(os.path.dirname(test), e))]
        if len(captures) != 1: continue
        try:
            with open(test, errors='replace') as f: checks = (yaml.safe_load(f) or {}).get('checks') or []
        except yaml.YAMLError: continue
        wanted = collections.defaultdict(dict)
        for check in checks:
            match, count = (check.get('filter') or {}).get('match') or {}, (check.get('filter') or {}).get('count')
            kind = match.get('event_type')
            if kind not in FIELDS or not isinstance(count, int) or count == 0: continue
            fields = {k: v for k, v in match.items() if k in FIELDS[kind][1]}
            if not fields: continue
            whole = set(match) == {'event_type', *fields}
            # The same event asserted with other fields, or in another version of Suricata, is one.
            wanted[kind][json.dumps(fields, sort_keys=True, default=str)] = (fields, count, whole)
        for kind, filters in sorted(wanted.items()):
            select, ways = FIELDS[kind]
            want = Counter({key: count for key, (_, count, _) in filters.items()})
            def ours(rows, select=select, ways=ways, filters=filters, kind=kind):
                mine = [r for r in (mails(rows) if kind == 'smtp' else rows) if select(r)]
                units = lambda fields: messages(mine) if kind in EACH and EACH[kind] not in fields else mine
                found = {key: sum(all(ways[k](v, r) for k, v in fields.items()) for r in units(fields)) for key, (fields, _, _) in filters.items()}
                return Counter({key: n if filters[key][2] else min(n, filters[key][1]) for key, n in found.items()})
            yield kind, captures[0], want, ours
