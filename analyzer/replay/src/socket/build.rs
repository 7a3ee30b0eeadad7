//! For tests: a node's system calls, written down by hand as the records that the recorder would write.

use super::{SocketEngine, SocketOptions, SocketOutput, name_process, shard_key};
use crate::host::Host;
use crate::link::{LinkInput, LinkOptions, link};
use crate::model::{Nanos, Replayed, Request, RequestFields, Span};
use crate::order::{SHARDS, shard_of};
use crate::store::{Rows, Spill};
use formats::block;
use formats::event::{Record, RecordHeader, SocketData, call, data_flag, kind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Monotonic + this = UTC, in all tests.
pub(crate) const OFFSET: i64 = 1_000_000_000_000;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Sock {
    pub(crate) data: SocketData,
    out: u32,
    into: u32,
}

fn address(text: &str) -> ([u8; 16], u16) {
    let at: std::net::SocketAddrV4 = text.parse().unwrap();
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&at.ip().octets());
    (bytes, at.port())
}

/// Writes records; time goes on by 1 us per call unless told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) now: u64,
    pub(crate) records: Vec<Vec<u8>>,
    /// Payload prefix per call.
    pub(crate) limit: usize,
    /// What is kept behind that of the next calls: offset and bytes; whether or not it makes sense.
    pub(crate) pieces: Vec<(u32, Vec<u8>)>,
    next_sock: u64,
}

/// A call and what came of it.
struct Done {
    call: u8,
    flags: u32,
    ret: i64,
    took: u64,
}

/// A thread.
pub(crate) type Thread = (u32, u32);

impl Node {
    pub(crate) fn new() -> Self {
        Self { now: 1_000_000, limit: 512, next_sock: 0xffff_0000, ..Self::default() }
    }

    fn id(&mut self) -> u64 {
        self.next_sock += 64;
        self.next_sock
    }

    /// Both ends of a TCP connection, client first.
    pub(crate) fn tcp(&mut self, client: &str, server: &str) -> (Sock, Sock) {
        self.inet(client, server, 6, 1)
    }

    /// Both ends of a UDP conversation.
    pub(crate) fn udp(&mut self, client: &str, server: &str) -> (Sock, Sock) {
        self.inet(client, server, 17, 2)
    }

    fn inet(&mut self, client: &str, server: &str, protocol: u8, sock_type: u16) -> (Sock, Sock) {
        let ((a, a_port), (b, b_port)) = (address(client), address(server));
        let seed = u32::from(a_port) << 16 | u32::from(b_port);
        let data = SocketData { netns: 7, family: 2, protocol, sock_type, ..SocketData::default() };
        let first = SocketData {
            sock: self.id(),
            local_addr: a,
            local_port: a_port,
            remote_addr: b,
            remote_port: b_port,
            ..data
        };
        let second = SocketData {
            sock: self.id(),
            local_addr: b,
            local_port: b_port,
            remote_addr: a,
            remote_port: a_port,
            ..data
        };
        let (x, y) = (seed.wrapping_mul(2_654_435_761), seed.wrapping_mul(40_503));
        (Sock { data: first, out: x, into: y }, Sock { data: second, out: y, into: x })
    }

    /// Both ends of a UNIX stream.
    pub(crate) fn unix(&mut self) -> (Sock, Sock) {
        let (a, b) = (self.id(), self.id());
        let data = SocketData { netns: 7, family: 1, sock_type: 1, ..SocketData::default() };
        let first = SocketData { sock: a, peer: b, ..data };
        let second = SocketData { sock: b, peer: a, ..data };
        (Sock { data: first, out: 0, into: 0 }, Sock { data: second, out: 0, into: 0 })
    }

    pub(crate) fn wait(&mut self, ns: u64) {
        self.now += ns;
    }

    fn emit(&mut self, who: Thread, sock: &Sock, done: Done, payload: &[u8]) {
        let Done { call, flags, ret, took } = done;
        let enter_ts = self.now;
        self.now += took;
        let kept = payload.get(..payload.len().min(self.limit)).unwrap();
        let fixed = size_of::<SocketData>();
        let mut more = Vec::new();
        for (offset, piece) in &self.pieces {
            more.extend_from_slice(&offset.to_le_bytes());
            more.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_le_bytes());
            more.extend_from_slice(piece);
        }
        let len = (fixed + kept.len() + more.len()).next_multiple_of(8);
        let data = SocketData {
            hdr: RecordHeader {
                len: u32::try_from(len).unwrap(),
                kind: kind::SOCKET_DATA,
                fixed_len: u16::try_from(fixed).unwrap(),
                ts: self.now,
                pid: who.0,
                tid: who.1,
            },
            enter_ts,
            ret,
            flags,
            call,
            data_len: u32::try_from(kept.len()).unwrap(),
            more_len: u32::try_from(more.len()).unwrap(),
            ..sock.data
        };
        let mut record = data.as_bytes().to_vec();
        record.extend_from_slice(kept);
        record.extend_from_slice(&more);
        record.resize(len, 0);
        self.records.push(record);
        self.now += 1000;
    }

    pub(crate) fn connect(&mut self, who: Thread, sock: &Sock) {
        // A UNIX socket is connected at once.
        let ret = if sock.data.family == 1 { 0 } else { -115 };
        self.emit(who, sock, Done { call: call::CONNECT, flags: 0, ret, took: 500 }, &[]);
    }

    pub(crate) fn connect_fails(&mut self, who: Thread, sock: &Sock, error: i64) {
        self.emit(who, sock, Done { call: call::CONNECT, flags: 0, ret: error, took: 500 }, &[]);
    }

    pub(crate) fn accept(&mut self, who: Thread, sock: &Sock) {
        self.emit(who, sock, Done { call: call::ACCEPT, flags: 0, ret: 9, took: 500 }, &[]);
    }

    pub(crate) fn close(&mut self, who: Thread, sock: &Sock) {
        self.emit(who, sock, Done { call: call::CLOSE, flags: 0, ret: 0, took: 0 }, &[]);
    }

    fn flags(sock: &Sock) -> u32 {
        if sock.data.protocol == 6 { data_flag::HAS_SEQ } else { 0 }
    }

    /// What comes next happened earlier.
    pub(crate) fn back(&mut self, ns: u64) {
        self.now -= ns;
    }

    pub(crate) fn write(&mut self, who: Thread, sock: &mut Sock, payload: &[u8]) {
        self.write_for(300, who, sock, payload);
    }

    /// A write that lasts `took` ns.
    pub(crate) fn write_for(&mut self, took: u64, who: Thread, sock: &mut Sock, payload: &[u8]) {
        let mut with = sock.clone();
        with.data.tcp_seq = sock.out;
        sock.out = sock.out.wrapping_add(u32::try_from(payload.len()).unwrap());
        let ret = i64::try_from(payload.len()).unwrap();
        self.emit(who, &with, Done { call: call::WRITE, flags: Self::flags(sock), ret, took }, payload);
    }

    pub(crate) fn read(&mut self, who: Thread, sock: &mut Sock, payload: &[u8]) {
        let mut with = sock.clone();
        with.data.tcp_seq = sock.into;
        sock.into = sock.into.wrapping_add(u32::try_from(payload.len()).unwrap());
        let ret = i64::try_from(payload.len()).unwrap();
        self.emit(
            who,
            &with,
            Done { call: call::READ, flags: Self::flags(sock) | data_flag::INGRESS, ret, took: 300 },
            payload,
        );
    }

    /// A whole exchange from the client's to the server's call and back.
    pub(crate) fn send(&mut self, from: Thread, a: &mut Sock, to: Thread, b: &mut Sock, payload: &[u8]) {
        self.write(from, a, payload);
        self.read(to, b, payload);
    }

    /// The last record did not make it.
    pub(crate) fn lose(&mut self) {
        self.records.pop();
    }

    /// Records as the recorder writes them: by the time of their return.
    pub(crate) fn sorted(&self) -> Vec<Vec<u8>> {
        let mut records = self.records.clone();
        records.sort_by_key(|r| SocketData::read(r).unwrap().hdr.ts);
        records
    }
}

/// Facts of processes with these names.
pub(crate) fn host(names: &[(u32, &str)]) -> Host {
    let mut host = Host::new();
    host.set_offset(OFFSET);
    for (pid, name) in names {
        let line = format!("{{\"pid\":{pid},\"comm\":\"{name}\",\"netns\":7}}\n");
        assert_eq!(host.block(block::kind::PROCESSES, line.as_bytes()), 0);
    }
    host
}

/// Reads the records in the order given, merges the shards and links.
pub(crate) fn replay_with(records: &[Vec<u8>], host: &Host, options: LinkOptions) -> Replayed {
    let mut shards: BTreeMap<usize, SocketEngine> = BTreeMap::new();
    let mut end = 0;
    for record in records {
        let shard = shard_of(shard_key(record));
        assert!(shard < SHARDS);
        let engine = shards
            .entry(shard)
            .or_insert_with(|| SocketEngine::new(SocketOptions::default(), Arc::new(Spill::new(usize::MAX))));
        engine.record(record, OFFSET);
        end = end.max(i64::try_from(SocketData::read(record).unwrap().hdr.ts).unwrap() + OFFSET);
    }
    let spill = Spill::new(usize::MAX);
    let mut out = Replayed { end, processes: host.processes(), ..Replayed::default() };
    let mut flow_order: Vec<(Nanos, usize, usize)> = Vec::new();
    let mut request_order: Vec<(Nanos, usize, usize)> = Vec::new();
    let mut outputs: Vec<SocketOutput> = Vec::new();
    let mut requests: Vec<Vec<Request<Box<RequestFields>>>> = Vec::new();
    for (s, engine) in shards.into_values().enumerate() {
        let (output, mut packed) = engine.finish(end, host);
        flow_order.extend(output.flows.iter().enumerate().map(|(n, f)| (f.start, s, n)));
        let mut unpacked = Vec::new();
        for entry in packed.log.take_entries() {
            let rows = Rows::new(&spill);
            let request = packed.flows.request_at(&packed.log, &packed.texts, &rows, &entry, &mut unpacked);
            name_process(request.expect("what was packed"), host);
            request_order.push((entry.key.max(0), s, unpacked.len() - 1));
        }
        requests.push(unpacked);
        outputs.push(output);
    }
    flow_order.sort_unstable();
    request_order.sort_unstable();
    let mut maps: Vec<(Vec<u32>, Vec<u32>)> =
        outputs.iter().zip(&requests).map(|(o, r)| (vec![0; o.flows.len()], vec![0; r.len()])).collect();
    for (id, &(_, s, n)) in flow_order.iter().enumerate() {
        let mut flow = outputs[s].flows[n].clone();
        maps[s].0[usize::try_from(flow.flow_id).unwrap()] = u32::try_from(id).unwrap();
        flow.flow_id = id as u64;
        out.flows.push(flow);
    }
    for (id, &(_, s, n)) in request_order.iter().enumerate() {
        maps[s].1[n] = u32::try_from(id).unwrap();
        let mut request = requests[s][n].clone();
        request.request_id = id as u64;
        request.flow_id = u64::from(maps[s].0[usize::try_from(request.flow_id).unwrap()]);
        out.requests.push(request.map(|fields| (*fields).into()));
    }
    let mut seen = vec![None; out.flows.len()];
    let mut logs = Vec::new();
    for (output, (flows, requests)) in outputs.into_iter().zip(&maps) {
        for (number, log) in output.places {
            seen[flows[number as usize] as usize] = Some(log);
        }
        let mut log = output.log;
        log.renumber(flows, requests);
        logs.push(log);
    }
    link(
        &mut out,
        LinkInput { logs, seen, hosts: std::slice::from_ref(host), samples: BTreeMap::new(), options, spans: true },
    );
    out
}

pub(crate) fn replay(records: &[Vec<u8>], host: &Host) -> Replayed {
    replay_with(records, host, LinkOptions::default())
}

/// The traces as text: one line per span, indented by depth, `tap_side service name [method]`.
pub(crate) fn trees(replayed: &Replayed) -> String {
    fn show(spans: &[&Span], parent: &str, depth: usize, out: &mut String) {
        let mut children: Vec<_> = spans.iter().filter(|s| *s.parent_span_id == *parent).collect();
        children.sort_by_key(|s| s.start);
        for span in children {
            let line = format!(
                "{}{} {} {} [{}]\n",
                "  ".repeat(depth),
                span.tap_side.name(),
                span.service,
                span.name,
                span.link_method
            );
            out.push_str(&line);
            show(spans, &span.span_id, depth + 1, out);
        }
    }
    let mut out = String::new();
    for trace in &replayed.traces {
        let spans: Vec<&Span> = replayed.spans.iter().filter(|s| s.trace_id == trace.trace_id).collect();
        assert_eq!(spans.len(), trace.spans as usize);
        show(&spans, "", 0, &mut out);
    }
    out
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").into_bytes()
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
