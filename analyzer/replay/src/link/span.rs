//! Linked requests to spans and traces.

use super::candidate::Candidate;
use super::decide::Links;
use super::identity::Mix;
use super::observe::{Ways, first_seen};
use crate::model::{
    Alternative, LinkEvidence, Nanos, ObservedAt, Replayed, Request, Side, Span, SpanId, TapSide, Trace, TraceId,
};
use crate::order::ip_number;
use ahash::{AHashMap, AHashSet};
use rayon::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

fn last_seen(request: &Request) -> Nanos {
    request.response_ts.or(request.request_end_ts).unwrap_or_else(|| first_seen(request)).max(first_seen(request))
}

/// Children of every request, in one piece of memory.
struct Children {
    first: Vec<u32>,
    children: Vec<u32>,
}

impl Children {
    fn new(links: &[Option<Candidate>]) -> Self {
        let mut first = vec![0u32; links.len() + 1];
        for link in links.iter().flatten() {
            if let Some(count) = first.get_mut(link.parent as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut first {
            sum += *count;
            *count = sum;
        }
        let mut at = first.clone();
        let mut children = vec![0u32; sum as usize];
        for (child, link) in (0u32..).zip(links) {
            let Some(link) = link else { continue };
            let Some(place) = at.get_mut(link.parent as usize) else { continue };
            if let Some(slot) = children.get_mut(*place as usize) {
                *slot = child;
            }
            *place += 1;
        }
        Self { first, children }
    }

    fn of(&self, parent: u32) -> &[u32] {
        let at = |i: usize| self.first.get(i).copied().unwrap_or(0) as usize;
        self.children.get(at(parent as usize)..at(parent as usize + 1)).unwrap_or(&[])
    }
}

/// Facts that tell a request at its place from others, in any bundle that holds it.
fn facts(request: &Request) -> Mix {
    let mut mix = Mix::new();
    let e = &request.endpoints;
    for ip in [e.client_ip, e.server_ip].into_iter().flatten() {
        let n = ip_number(ip);
        mix.add(n as u64);
        mix.add((n >> 64) as u64);
    }
    mix.add(u64::from(e.client_port) << 16 | u64::from(e.server_port));
    mix.add(first_seen(request).cast_unsigned());
    mix.add(last_seen(request).cast_unsigned());
    mix.add(u64::from(request.request_tcp_seq.unwrap_or(0)));
    mix.add(match request.observed_at {
        ObservedAt::Interface(i) => u64::from(i),
        ObservedAt::Process(pid) => 1 << 32 | u64::from(pid),
    });
    mix.add(request.sock);
    mix.add(request.fields.session_id.unwrap_or(0));
    mix.bytes(request.fields.request_type.as_bytes());
    mix.bytes(request.fields.request_resource.as_bytes());
    mix
}

/// Spans and traces of all requests: every request is in exactly one trace.
pub(super) fn build(replayed: &Replayed, ways: &Ways, links: &Links) -> (Vec<Span>, Vec<Trace>) {
    let children = Children::new(&links.taken);
    let roots: Vec<u32> = (0u32..).zip(&links.taken).filter(|(_, link)| link.is_none()).map(|(root, _)| root).collect();
    let mut others: AHashMap<u32, Vec<Candidate>> = AHashMap::new();
    for other in &links.others {
        others.entry(other.child).or_default().push(*other);
    }
    let facts: Vec<Mix> = replayed.requests.par_iter().map(facts).collect();
    let builder = Builder { replayed, ways, links, children, others, facts };
    // In the order of the table from the start: spans are large to move.
    let mut ordered: Vec<((u64, u64), u32)> = roots.iter().map(|&root| (trace_id(builder.facts(root)), root)).collect();
    ordered.par_sort_unstable();
    let mut traces: Vec<Trace> = Vec::with_capacity(roots.len());
    let mut of_roots: Vec<u32> = Vec::with_capacity(roots.len());
    let mut spans: Vec<Span> = Vec::with_capacity(links.taken.len());
    // A few at a time, so that not all rows are there twice.
    for some in ordered.chunks(CHUNK * TOGETHER) {
        let built: Vec<Chunk<'_>> = some
            .par_chunks(CHUNK)
            .map(|roots| {
                let mut chunk = Chunk::new(roots.len());
                for &(id, root) in roots {
                    builder.trace(id, root, &mut chunk);
                }
                chunk
            })
            .collect();
        for mut chunk in built {
            spans.append(&mut chunk.spans);
            traces.append(&mut chunk.traces);
            of_roots.append(&mut chunk.of_roots);
        }
    }
    (spans, by_time(traces, &of_roots, replayed.requests.len()))
}

/// Traces in the order of their starts, `roots` being the requests that they begin with. Requests are in that order already: there is next to
/// nothing to sort, and each trace moves once.
fn by_time(traces: Vec<Trace>, roots: &[u32], requests: usize) -> Vec<Trace> {
    let mut of_request: Vec<Option<u32>> = vec![None; requests];
    for (place, root) in (0u32..).zip(roots) {
        if let Some(slot) = of_request.get_mut(*root as usize) {
            *slot = Some(place);
        }
    }
    let mut order: Vec<u32> = of_request.into_iter().flatten().collect();
    order.sort_by_key(|place| traces.get(*place as usize).map(|t| (t.start, t.trace_id)));
    let mut traces: Vec<Option<Trace>> = traces.into_iter().map(Some).collect();
    order.into_iter().filter_map(|place| traces.get_mut(place as usize)?.take()).collect()
}

/// Traces built by one task.
const CHUNK: usize = 512;
/// Tasks whose traces wait to be put together.
const TOGETHER: usize = 64;

fn trace_id(root: Mix) -> (u64, u64) {
    (root.with(1).finish(), root.with(2).finish())
}

/// What one task has built, what its rows share, and memory that every trace needs.
struct Chunk<'a> {
    spans: Vec<Span>,
    traces: Vec<Trace>,
    /// The request that each of them begins with.
    of_roots: Vec<u32>,
    names: AHashMap<(&'a str, &'a str), Arc<str>>,
    services: AHashMap<(IpAddr, Option<u16>), Arc<str>>,
    /// (request, place of its parent in here).
    order: Vec<(u32, usize)>,
    ids: Vec<u64>,
    sorted: Vec<u64>,
    /// (node, process).
    processes: Vec<(u32, u32)>,
    nodes: Vec<u32>,
    covered: Vec<(Nanos, Nanos)>,
}

impl Chunk<'_> {
    fn new(traces: usize) -> Self {
        Self {
            spans: Vec::with_capacity(traces),
            traces: Vec::with_capacity(traces),
            of_roots: Vec::with_capacity(traces),
            names: AHashMap::new(),
            services: AHashMap::new(),
            order: Vec::new(),
            ids: Vec::new(),
            sorted: Vec::new(),
            processes: Vec::new(),
            nodes: Vec::new(),
            covered: Vec::new(),
        }
    }
}

struct Builder<'a> {
    replayed: &'a Replayed,
    ways: &'a Ways,
    links: &'a Links,
    children: Children,
    others: AHashMap<u32, Vec<Candidate>>,
    /// Of every request.
    facts: Vec<Mix>,
}

impl<'a> Builder<'a> {
    fn facts(&self, i: u32) -> Mix {
        self.facts.get(i as usize).copied().unwrap_or_else(Mix::new)
    }

    fn request(&self, i: u32) -> Option<&'a Request> {
        self.replayed.requests.get(i as usize)
    }

    /// The node that a request was seen on.
    fn node(&self, request: &Request) -> u32 {
        self.replayed.flows.get(request.flow_id as usize).map_or(0, |f| f.node)
    }

    fn trace(&self, id: (u64, u64), root: u32, chunk: &mut Chunk<'a>) {
        let text = TraceId::of(u128::from(id.0) << 64 | u128::from(id.1));
        let mut order = std::mem::take(&mut chunk.order);
        order.clear();
        order.push((root, 0));
        let mut at = 0;
        while let Some(&(parent, _)) = order.get(at) {
            order.extend(self.children.of(parent).iter().map(|&child| (child, at)));
            at += 1;
        }
        self.span_ids(&order, id.0, chunk);
        let from = chunk.spans.len();
        chunk.processes.clear();
        chunk.nodes.clear();
        let (mut errors, mut weakest) = (0, 1.0f32);
        for (place, &(i, parent)) in order.iter().enumerate() {
            let (Some(request), Some(&span_id)) = (self.request(i), chunk.ids.get(place)) else { continue };
            let link = self.links.taken.get(i as usize).copied().flatten();
            let node = self.node(request);
            if let ObservedAt::Process(pid) = request.observed_at {
                chunk.processes.push((node, pid));
            }
            if self.replayed.nodes.get(node as usize).is_some_and(|n| !n.name.is_empty()) {
                chunk.nodes.push(node);
            }
            if let Some(link) = &link {
                weakest = weakest.min(link.confidence);
            }
            // A request seen at several places failed once.
            if request.fields.status.is_error() && link.is_none_or(|l| !l.method.is_same_request()) {
                errors += 1;
            }
            let parent = link.and_then(|_| chunk.ids.get(parent).copied());
            let span = self.span(i, request, (text, span_id, parent), link.as_ref(), chunk);
            chunk.spans.push(span);
        }
        chunk.order = order;
        chunk.processes.sort_unstable();
        chunk.processes.dedup();
        chunk.nodes.sort_unstable();
        chunk.nodes.dedup();
        let Some(spans) = chunk.spans.get_mut(from..) else { return };
        if spans.len() > 1 {
            spans.sort_by_key(|s| (s.start, s.span_id));
        }
        let Some(root_span) = spans.iter().find(|s| s.parent_span_id.is_empty()) else {
            chunk.spans.truncate(from);
            return;
        };
        chunk.of_roots.push(root);
        chunk.traces.push(Trace {
            trace_id: text,
            root_span_id: root_span.span_id,
            root: root_span.name.clone(),
            service: root_span.service.clone(),
            start: root_span.start,
            duration_ns: u64::try_from(root_span.end.saturating_sub(root_span.start)).unwrap_or(0),
            spans: u32::try_from(spans.len()).unwrap_or(u32::MAX),
            processes: u32::try_from(chunk.processes.len()).unwrap_or(u32::MAX),
            // Whoever made a capture does not say where: at least one node it was.
            nodes: u32::try_from(chunk.nodes.len()).unwrap_or(u32::MAX).max(1),
            errors,
            weakest_link: weakest,
        });
    }

    /// Ids of a trace's spans. Two requests may have equal facts (datagrams sent twice); their ids differ all the same.
    fn span_ids(&self, order: &[(u32, usize)], seed: u64, chunk: &mut Chunk<'a>) {
        let mix = |&(i, _): &(u32, usize)| self.facts(i).with(seed);
        let Chunk { ids, sorted, .. } = chunk;
        ids.clear();
        ids.extend(order.iter().map(|o| mix(o).finish()));
        if ids.len() < 2 {
            return;
        }
        sorted.clone_from(ids);
        sorted.sort_unstable();
        if sorted.windows(2).any(|w| w.first() == w.last()) {
            let mut taken = AHashSet::with_capacity(ids.len());
            for (id, o) in ids.iter_mut().zip(order) {
                let mut mix = mix(o);
                while !taken.insert(*id) {
                    mix.add(1);
                    *id = mix.finish();
                }
            }
        }
    }

    fn span(
        &self,
        i: u32,
        request: &'a Request,
        (trace_id, span_id, parent): (TraceId, u64, Option<u64>),
        link: Option<&Candidate>,
        chunk: &mut Chunk<'a>,
    ) -> Span {
        let (start, end) = (first_seen(request), last_seen(request));
        let text = |id: u64| SpanId::of(u128::from(id));
        let point = request.request_point.or(request.response_point);
        Span {
            trace_id,
            span_id: text(span_id),
            parent_span_id: parent.map(text).unwrap_or_default(),
            tap_side: self.ways.tap_sides.get(i as usize).copied().unwrap_or(TapSide::App),
            service: service(request, &mut chunk.services),
            tid: point.map_or(0, |p| p.tid),
            request_id: u64::from(i),
            name: name(request, &mut chunk.names),
            start,
            end,
            self_ns: self.own_time(i, start, end, &mut chunk.covered),
            link_method: link.map_or("root", |l| l.method.name()),
            link_confidence: link.map_or(1.0, |l| l.confidence),
            link_evidence: self.evidence(i, link),
            completeness: request.completeness,
        }
    }

    /// The span's time that no child covers.
    fn own_time(&self, i: u32, start: Nanos, end: Nanos, covered: &mut Vec<(Nanos, Nanos)>) -> u64 {
        covered.clear();
        covered.extend(
            self.children
                .of(i)
                .iter()
                .filter_map(|&c| self.request(c))
                .map(|c| (first_seen(c).clamp(start, end), last_seen(c).clamp(start, end))),
        );
        covered.sort_unstable();
        let (mut own, mut at) = (0, start);
        for &(from, to) in &*covered {
            own += (from - at).max(0);
            at = at.max(to);
        }
        u64::try_from(own + (end - at).max(0)).unwrap_or(0)
    }

    fn evidence(&self, i: u32, link: Option<&Candidate>) -> LinkEvidence {
        let alternative =
            |c: &Candidate| Alternative { method: c.method.name(), request_id: c.parent, confidence: c.confidence };
        let others = self.others.get(&i).map_or(&[][..], Vec::as_slice);
        LinkEvidence { taken: link.map(|l| l.evidence), alternatives: others.iter().map(alternative).collect() }
    }
}

fn service(request: &Request, known: &mut AHashMap<(IpAddr, Option<u16>), Arc<str>>) -> Arc<str> {
    if let Some(process) = &request.process
        && !process.name.is_empty()
    {
        return process.name.clone();
    }
    let e = &request.endpoints;
    let (ip, port) = match request.side {
        Some(Side::Client) => (e.client_ip, None),
        _ => (e.server_ip, Some(e.server_port)),
    };
    let Some(ip) = ip else { return request.transport.name().into() };
    let text = || match port {
        Some(port) => SocketAddr::new(ip, port).to_string().into(),
        None => ip.to_string().into(),
    };
    known.entry((ip, port)).or_insert_with(text).clone()
}

/// Names are for people: a longer one is cut.
fn cut(text: &str) -> &str {
    const MAX: usize = 200;
    if text.len() <= MAX {
        return text;
    }
    let end = (0..=MAX).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

/// `type endpoint`, or as much of it as there is.
fn name<'a>(request: &'a Request, known: &mut AHashMap<(&'a str, &'a str), Arc<str>>) -> Arc<str> {
    let f = &request.fields;
    let what = cut(if f.endpoint.is_empty() { &f.request_resource } else { &f.endpoint });
    let kind: &str = &f.request_type;
    // SQL endpoints start with their verb already.
    let (kind, what) = match (kind.is_empty(), what.is_empty()) {
        (true, true) => (f.l7_protocol, ""),
        (false, false) if what.starts_with(kind) => ("", what),
        _ => (kind, what),
    };
    let text = || if kind.is_empty() || what.is_empty() { [kind, what].concat() } else { [kind, " ", what].concat() };
    known.entry((kind, what)).or_insert_with(|| text().into()).clone()
}
