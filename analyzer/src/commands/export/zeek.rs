//! Flows and requests as Zeek's conn.log, http.log and dns.log.
//!
//! A conversation that was seen at several places is one row: that of the interface which saw most packets of its ends, or that of a
//! process where there are no packets.

use super::Span;
use super::log::{Log, Value};
use crate::analysis::Analysis;
use anyhow::Context;
use replay::model::{Endpoints, Flow, ObservedAt, Request, SideCounters, Transport};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

const CONN: &[(&str, &str)] = &[
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
    ("ip_proto", "count"),
    ("community_id", "string"),
];

const HTTP: &[(&str, &str)] = &[
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("trans_depth", "count"),
    ("method", "string"),
    ("host", "string"),
    ("uri", "string"),
    ("referrer", "string"),
    ("version", "string"),
    ("user_agent", "string"),
    ("origin", "string"),
    ("request_body_len", "count"),
    ("response_body_len", "count"),
    ("status_code", "count"),
    ("status_msg", "string"),
    ("info_code", "count"),
    ("info_msg", "string"),
    ("tags", "set[enum]"),
    ("username", "string"),
    ("password", "string"),
    ("proxied", "set[string]"),
    ("orig_fuids", "vector[string]"),
    ("orig_filenames", "vector[string]"),
    ("orig_mime_types", "vector[string]"),
    ("resp_fuids", "vector[string]"),
    ("resp_filenames", "vector[string]"),
    ("resp_mime_types", "vector[string]"),
];

const DNS: &[(&str, &str)] = &[
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("trans_id", "count"),
    ("rtt", "interval"),
    ("query", "string"),
    ("qclass", "count"),
    ("qclass_name", "string"),
    ("qtype", "count"),
    ("qtype_name", "string"),
    ("rcode", "count"),
    ("rcode_name", "string"),
    ("AA", "bool"),
    ("TC", "bool"),
    ("RD", "bool"),
    ("RA", "bool"),
    ("Z", "count"),
    ("answers", "vector[string]"),
    ("TTLs", "vector[interval]"),
    ("rejected", "bool"),
];

/// Writes the logs into `folder`: conn.log always, the others where there is something to log.
pub(super) fn write(
    analysis: &Analysis,
    folder: &Path,
    chosen: Option<&BTreeSet<u64>>,
    span: Span,
    json: bool,
) -> anyhow::Result<()> {
    let r = &analysis.replayed;
    let wanted = |f: &&Flow| chosen.is_none_or(|c| c.contains(&f.flow_id)) && f.start <= span.to && f.end >= span.from;
    let flows: Vec<&Flow> = if chosen.is_some() {
        r.flows.iter().filter(wanted).filter(|f| f.endpoints.client_ip.is_some()).collect()
    } else {
        once_each(&r.flows).into_iter().filter(wanted).collect()
    };
    let uids: HashMap<u64, String> = flows.iter().map(|f| (f.flow_id, uid(f))).collect();
    let mut conn = Log::new("conn", CONN);
    let carriers = Carriers::new(&flows);
    for f in &flows {
        conn.push(conn_row(f, &carriers));
    }
    let (mut http, mut dns) = (Log::new("http", HTTP), Log::new("dns", DNS));
    let mut depths: HashMap<u64, u64> = HashMap::new();
    for q in &r.requests {
        let Some(uid) = uids.get(&q.flow_id) else { continue };
        let ts = q.request_ts.or(q.response_ts).unwrap_or(r.start);
        if !span.has(ts) {
            continue;
        }
        match q.fields.l7_protocol {
            "http" | "http2" | "grpc" => {
                let depth = depths.entry(q.flow_id).or_default();
                *depth += 1;
                http.push(http_row(q, ts, uid, *depth));
            }
            "dns" => dns.push(dns_row(q, ts, uid)),
            _ => {}
        }
    }
    let cannot = || format!("cannot write to {}: give another folder with --zeek", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    for log in [&conn, &http, &dns] {
        if std::ptr::eq(log, &conn) || !log.is_empty() {
            log.write(folder, json, r.start, r.end).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Every conversation once.
fn once_each(flows: &[Flow]) -> Vec<&Flow> {
    // Rank, packets, place: the best of each pair of ends.
    let mut sums: BTreeMap<(Endpoints, Transport, &ObservedAt), u64> = BTreeMap::new();
    for f in flows.iter().filter(|f| f.endpoints.client_ip.is_some() && f.endpoints.server_ip.is_some()) {
        *sums.entry((f.endpoints, f.transport, &f.observed_at)).or_default() += f.client.packets + f.server.packets;
    }
    let mut best: HashMap<(Endpoints, Transport), (&ObservedAt, u64)> = HashMap::new();
    for (&(ends, transport, at), &packets) in &sums {
        // In the order of places: interfaces come before processes, and of equals the first one stays.
        let first = best.entry((ends, transport)).or_insert((at, packets));
        if packets > first.1 {
            *first = (at, packets);
        }
    }
    flows
        .iter()
        .filter(|f| best.get(&(f.endpoints, f.transport)).is_some_and(|(at, _)| **at == f.observed_at))
        .collect()
}

/// `C` and 17 letters and digits, from what tells the flow apart.
fn uid(f: &Flow) -> String {
    let text =
        format!("{} {:?} {} {:?} {} {:?}", f.community_id, f.observed_at, f.start, f.endpoints, f.tunnel, f.tunnel_id);
    // FNV-1a of 128 bits.
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for b in text.bytes() {
        hash = (hash ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::from("C");
    for _ in 0..17 {
        out.push(char::from(digits[(hash % 62) as usize]));
        hash /= 62;
    }
    out
}

fn id(e: &Endpoints) -> [Value; 4] {
    let port = |p: u16| Value::Count(p.into());
    [Value::of(e.client_ip, Value::Addr), port(e.client_port), Value::of(e.server_ip, Value::Addr), port(e.server_port)]
}

/// Zeek's names of the analyzers that a protocol passes through.
fn service(l7_protocol: &str, transport: Transport) -> &str {
    match (l7_protocol, transport) {
        ("tls" | "dtls", _) => "ssl",
        ("http2" | "grpc", _) => "http",
        ("websocket", _) => "http,websocket",
        ("quic", _) => "quic,ssl",
        ("ldap", Transport::Udp) => "ldap_udp",
        ("ldap", _) => "ldap_tcp",
        ("nbns", _) => "dns",
        ("gtp", _) => "gtpv1",
        ("icmp", _) => "",
        (other, _) => other,
    }
}

fn proto(transport: Transport) -> (&'static str, u64) {
    match transport {
        Transport::Tcp => ("tcp", 6),
        Transport::Udp => ("udp", 17),
        Transport::Icmp => ("icmp", 1),
        Transport::Icmp6 => ("icmp", 58),
        Transport::Sctp => ("unknown_transport", 132),
        Transport::Other(p) => ("unknown_transport", p.into()),
        Transport::Unix => ("unknown_transport", 0),
    }
}

/// Zeek's own notion of local networks, unless told otherwise: the private ones (RFC 6890).
fn is_local(ip: Option<IpAddr>) -> Value {
    Value::of(ip, |ip| {
        Value::Bool(match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || a == 0
                    || a == 100 && b & 0xc0 == 64
                    || a == 192 && b == 0 && (c == 0 || c == 2)
                    || a == 198 && (b & 0xfe == 18 || b == 51 && c == 100)
                    || a == 203 && b == 0 && c == 113
                    || a == 224 && b == 0 && c == 0
                    || a == 233 && b == 252 && c == 0
                    || a >= 240
            }
            IpAddr::V6(v6) => {
                let [a, b, ..] = v6.segments();
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || a == 0x100
                    || a == 0x2001 && (b < 0x200 || b == 0xdb8)
            }
        })
    })
}

/// Flows that carry others, by their ends.
struct Carriers<'a>(HashMap<Endpoints, Vec<&'a Flow>>);

impl<'a> Carriers<'a> {
    fn new(flows: &[&'a Flow]) -> Self {
        let wanted: BTreeSet<Endpoints> = flows.iter().flat_map(|f| f.carriers.iter().copied()).collect();
        let mut carriers: HashMap<Endpoints, Vec<&Flow>> = HashMap::new();
        for f in flows.iter().filter(|f| f.transport == Transport::Udp) {
            for ends in [f.endpoints, turned(&f.endpoints)].into_iter().filter(|ends| wanted.contains(ends)) {
                carriers.entry(ends).or_default().push(f);
            }
        }
        Self(carriers)
    }

    /// The uids of what carried a flow.
    fn of(&self, f: &Flow) -> Value {
        let at_its_time = |c: &&&Flow| c.start <= f.end && c.end >= f.start && c.observed_at == f.observed_at;
        let carried_by = f.carriers.iter().filter_map(|ends| self.0.get(ends)).flatten();
        let uids: Vec<String> = carried_by.filter(at_its_time).map(|c| uid(c)).collect();
        if uids.is_empty() { Value::Unset } else { Value::Texts(uids) }
    }
}

fn turned(e: &Endpoints) -> Endpoints {
    Endpoints { client_ip: e.server_ip, client_port: e.server_port, server_ip: e.client_ip, server_port: e.client_port }
}

fn conn_row(f: &Flow, carriers: &Carriers<'_>) -> Vec<Value> {
    let (name, number) = proto(f.transport);
    let duration = u64::try_from(f.active_until.saturating_sub(f.start)).unwrap_or(0);
    // Zeek counts no packets whose checksum is wrong.
    let packets = |c: &SideCounters| Value::Count(c.packets.saturating_sub(c.bad_checksums));
    let ip_bytes = |c: &SideCounters| Value::Count(c.ip_bytes.saturating_sub(c.bad_checksum_ip_bytes));
    // conn/main.zeek: of a connection of one moment neither duration nor sizes are told.
    let lasting = |value: Value| if duration > 0 { value } else { Value::Unset };
    let mut row = vec![Value::Time(f.start), Value::Text(uid(f))];
    row.extend(id(&f.endpoints));
    row.extend([
        Value::text(name),
        Value::text(service(f.l7_protocol, f.transport)),
        lasting(Value::Interval(duration)),
        lasting(Value::Count(f.client.stream_bytes)),
        lasting(Value::Count(f.server.stream_bytes)),
        Value::text(f.conn_state),
        is_local(f.endpoints.client_ip),
        is_local(f.endpoints.server_ip),
        Value::Count(f.client.missed_bytes + f.server.missed_bytes),
        Value::text(&f.history),
        packets(&f.client),
        ip_bytes(&f.client),
        packets(&f.server),
        ip_bytes(&f.server),
        carriers.of(f),
        Value::Count(number),
        Value::text(&f.community_id),
    ]);
    row
}

fn attribute<'a>(q: &'a Request, name: &str) -> &'a str {
    q.fields.attributes.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
}

fn http_row(q: &Request, ts: i64, uid: &str, depth: u64) -> Vec<Value> {
    let f = &q.fields;
    let length = |name| Value::Count(attribute(q, name).parse().unwrap_or(0));
    let forwarded = attribute(q, "x_forwarded_for");
    let mime = |name| match attribute(q, name).split(';').next().unwrap_or_default().trim() {
        "" => Value::Unset,
        kind => Value::Texts(vec![kind.to_owned()]),
    };
    let mut row = vec![Value::Time(ts), Value::text(uid)];
    row.extend(id(&q.endpoints));
    row.extend([
        Value::Count(depth),
        Value::text(&f.request_type),
        Value::text(&f.request_domain),
        Value::text(&f.request_resource),
        Value::text(attribute(q, "referer")),
        Value::text(f.version),
        Value::text(&f.user_agent),
        Value::Unset,
        length("request_body_bytes"),
        length("response_body_bytes"),
        Value::of(f.code.and_then(|c| u64::try_from(c).ok()), Value::Count),
        Value::Unset,
        Value::Unset,
        Value::Unset,
        Value::Texts(Vec::new()),
        Value::Unset,
        Value::Unset,
        if forwarded.is_empty() { Value::Unset } else { Value::Texts(vec![format!("X-FORWARDED-FOR -> {forwarded}")]) },
        Value::Unset,
        Value::Unset,
        mime("request_content_type"),
        Value::Unset,
        Value::Unset,
        mime("content_type"),
    ]);
    row
}

/// Numbers of record types (IANA).
const TYPES: [(&str, u64); 16] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("DNSKEY", 48),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
];

fn dns_row(q: &Request, ts: i64, uid: &str) -> Vec<Value> {
    let f = &q.fields;
    let (mut answers, mut ttls) = (Vec::new(), Vec::new());
    for record in f.result.split("; ").filter(|r| !r.is_empty()) {
        let Some((_, data)) = record.split_once('=') else { continue };
        let (data, ttl) = data.rsplit_once(" TTL=").unwrap_or((data, ""));
        answers.push(data.to_owned());
        ttls.push(ttl.parse().unwrap_or(0));
    }
    let list = |filled: Value| if answers.is_empty() { Value::Unset } else { filled };
    let kind = TYPES.iter().find(|(name, _)| *name == &*f.request_type).map(|(_, n)| *n);
    let rcode = f.code.and_then(|c| u64::try_from(c).ok());
    let rcode_name = match rcode {
        Some(0) => "NOERROR",
        Some(_) => &*f.exception,
        None => "",
    };
    let mut row = vec![Value::Time(ts), Value::text(uid)];
    row.extend(id(&q.endpoints));
    row.extend([
        Value::text(proto(q.transport).0),
        Value::of(f.session_id, Value::Count),
        Value::of(q.duration_ns(), Value::Interval),
        Value::text(&f.request_resource),
        Value::Count(1),
        Value::text("C_INTERNET"),
        Value::of(kind, Value::Count),
        Value::text(&f.request_type),
        Value::of(rcode, Value::Count),
        Value::text(rcode_name),
        Value::Unset,
        Value::Bool(!attribute(q, "truncated").is_empty()),
        Value::Unset,
        Value::Unset,
        Value::Unset,
        list(Value::Texts(answers.clone())),
        list(Value::Seconds(ttls)),
        Value::Bool(rcode.is_some_and(|c| c != 0 && answers.is_empty())),
    ]);
    row
}
