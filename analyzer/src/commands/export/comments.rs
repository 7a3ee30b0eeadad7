//! What a packet's comment says: which processes, which request.

use crate::analysis::Analysis;
use crate::human;
use crate::report::clean;
use replay::decode::{Decoded, Tunnel};
use replay::model::{Flow, ObservedAt, ProcessRef, Request};
use replay::reread::{FlowIndex, is_from_client};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Names in the name resolution block at most.
const MOST_NAMES: usize = 10_000;

/// By flow and sender: where its messages begin.
type Starts<K> = BTreeMap<(u64, bool, K), u32>;

/// Everything that comments are made of.
pub(super) struct Comments<'a> {
    analysis: &'a Analysis,
    index: FlowIndex,
    /// TCP: by sequence number of a message's first byte.
    by_seq: Starts<u32>,
    /// Datagrams: by time.
    by_ts: Starts<i64>,
}

impl<'a> Comments<'a> {
    pub(super) fn new(analysis: &'a Analysis) -> Self {
        let r = &analysis.replayed;
        let (mut by_seq, mut by_ts) = (BTreeMap::new(), BTreeMap::new());
        for q in r.requests.iter().filter(|q| matches!(q.observed_at, ObservedAt::Interface(_))) {
            let place = q.request_id as u32;
            let ends = [(true, q.request_tcp_seq, q.request_ts), (false, q.response_tcp_seq, q.first_byte_ts)];
            for (is_request, seq, ts) in ends {
                match (seq, ts) {
                    (Some(seq), _) => {
                        by_seq.entry((q.flow_id, is_request, seq)).or_insert(place);
                    }
                    (None, Some(ts)) => {
                        by_ts.entry((q.flow_id, is_request, ts)).or_insert(place);
                    }
                    (None, None) => {}
                }
            }
        }
        Self { analysis, index: FlowIndex::new(&r.flows, |_| true), by_seq, by_ts }
    }

    /// The flow that a row belongs to.
    pub(super) fn flow(&self, d: &Decoded, tunnels: &[Tunnel]) -> Option<&'a Flow> {
        self.index.find(&self.analysis.replayed.flows, d, tunnels)
    }

    /// The comment of a packet; empty if nothing is known.
    pub(super) fn write(&self, rows: &[Decoded], tunnels: &[Tunnel], out: &mut String) {
        // The innermost conversation is what people look for.
        for d in rows.iter().rev() {
            let Some(flow) = self.flow(d, tunnels) else { continue };
            let from_client = is_from_client(flow, d);
            let (client, server) = (process(flow.client_process.as_ref()), process(flow.server_process.as_ref()));
            if !(client.is_empty() && server.is_empty()) {
                let (from, to) = if from_client { (client, server) } else { (server, client) };
                let known = |name: String| if name.is_empty() { "?".to_owned() } else { name };
                *out += &format!("{} > {}", known(from), known(to));
            }
            for place in self.messages(flow, d, from_client) {
                let Some(q) = self.analysis.replayed.requests.get(place as usize) else { continue };
                if !out.is_empty() {
                    out.push_str("; ");
                }
                *out += &message(q, from_client);
            }
            if !out.is_empty() {
                return;
            }
        }
    }

    /// Requests or responses that begin in a packet.
    fn messages(&self, flow: &Flow, d: &Decoded, from_client: bool) -> Vec<u32> {
        let id = flow.flow_id;
        if d.protocol != 6 {
            return self.by_ts.get(&(id, from_client, d.ts)).copied().into_iter().collect();
        }
        let (from, to) = (d.seq, d.seq.wrapping_add(d.payload_len));
        let between = |a: u32, b: u32| {
            let range = (id, from_client, a)..(id, from_client, b);
            self.by_seq.range(range).map(|(_, place)| *place)
        };
        if from <= to {
            between(from, to).collect()
        } else {
            let last = self.by_seq.get(&(id, from_client, u32::MAX)).copied();
            between(from, u32::MAX).chain(last).chain(between(0, to)).collect()
        }
    }

    /// Names of addresses: the node's own, and those that DNS answers in the capture gave. One name for each address.
    pub(super) fn names(&self) -> Vec<(IpAddr, String)> {
        let r = &self.analysis.replayed;
        let mut names: BTreeMap<IpAddr, String> = BTreeMap::new();
        for q in r.requests.iter().filter(|q| q.fields.l7_protocol == "dns" && !q.fields.result.is_empty()) {
            for (kind, data) in q.fields.result.split("; ").filter_map(|record| record.split_once('=')) {
                let address = data.split(' ').next().and_then(|a| a.parse::<IpAddr>().ok());
                if let (true, Some(address)) = (matches!(kind, "A" | "AAAA"), address) {
                    names.entry(address).or_insert_with(|| clean(&q.fields.request_resource).into_owned());
                }
            }
            if names.len() > MOST_NAMES {
                break;
            }
        }
        let node = self.analysis.node();
        let own: BTreeSet<IpAddr> = r
            .interfaces
            .iter()
            .flat_map(|i| &i.addresses)
            .filter_map(|a| a.split('/').next()?.parse().ok())
            .filter(|ip: &IpAddr| !ip.is_loopback())
            .collect();
        if !node.is_empty() {
            names.extend(own.into_iter().map(|ip| (ip, node.to_owned())));
        }
        names.into_iter().collect()
    }
}

fn process(p: Option<&ProcessRef>) -> String {
    match p {
        Some(p) if !p.name.is_empty() => format!("{}[{}]", clean(&p.name), p.pid),
        _ => String::new(),
    }
}

fn message(q: &Request, is_request: bool) -> String {
    let f = &q.fields;
    let code = f.code.map_or_else(|| f.status.name().to_owned(), |c| c.to_string());
    let took = q.duration_ns().map(human::duration);
    if !is_request {
        let after = took.map_or(String::new(), |t| format!(" after {t}"));
        return format!("response {} {code}{after}", q.request_id);
    }
    let what = [&*f.request_type, &*f.request_domain, &*f.request_resource];
    let words: Vec<&str> = what.into_iter().filter(|w| !w.is_empty()).collect();
    let end = took.map_or(String::new(), |t| format!(" \u{2192} {code} in {t}"));
    format!("request {}: {} {}{end}", q.request_id, f.l7_protocol, clean(&words.join(" ")))
}
