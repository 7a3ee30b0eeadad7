//! Linked requests to spans and traces.

use super::candidate::{Candidate, Evidence};
use super::decide::Links;
use super::identity::{Mix, hex};
use super::observe::{Ways, first_seen};
use crate::model::{Nanos, ObservedAt, Replayed, Request, Side, Span, TapSide, Trace};
use crate::order::ip_number;
use ahash::{AHashMap, AHashSet};
use rayon::prelude::*;
use std::fmt::Write;
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
fn facts(request: &Request, seed: u64) -> Mix {
    let mut mix = Mix::seeded(seed);
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
    let builder = Builder { replayed, ways, links, children, others };
    let mut built: Vec<((u64, u64), Vec<Span>, Trace)> =
        roots.par_iter().filter_map(|&root| builder.trace(root)).collect();
    built.par_sort_by(|a, b| a.0.cmp(&b.0));
    let mut traces: Vec<Trace> = Vec::with_capacity(built.len());
    let mut spans: Vec<Span> = Vec::with_capacity(links.taken.len());
    for (_, of_trace, trace) in built {
        spans.extend(of_trace);
        traces.push(trace);
    }
    traces.sort_by(|a, b| (a.start, &a.trace_id).cmp(&(b.start, &b.trace_id)));
    (spans, traces)
}

struct Builder<'a> {
    replayed: &'a Replayed,
    ways: &'a Ways,
    links: &'a Links,
    children: Children,
    others: AHashMap<u32, Vec<Candidate>>,
}

impl Builder<'_> {
    fn request(&self, i: u32) -> Option<&Request> {
        self.replayed.requests.get(i as usize)
    }

    fn trace(&self, root: u32) -> Option<((u64, u64), Vec<Span>, Trace)> {
        let root_request = self.request(root)?;
        let id = (facts(root_request, 1).finish(), facts(root_request, 2).finish());
        let mut trace_id = String::with_capacity(32);
        hex(id.0, &mut trace_id);
        hex(id.1, &mut trace_id);

        // (request, place of its parent in here).
        let mut order: Vec<(u32, usize)> = vec![(root, 0)];
        let mut at = 0;
        while let Some(&(parent, _)) = order.get(at) {
            order.extend(self.children.of(parent).iter().map(|&child| (child, at)));
            at += 1;
        }
        let ids = self.span_ids(&order, id.0);
        let mut spans: Vec<(Nanos, u64, Span)> = Vec::with_capacity(order.len());
        let mut processes: Vec<u32> = Vec::with_capacity(order.len());
        let (mut errors, mut weakest) = (0, 1.0f32);
        for (&(i, parent), &span_id) in order.iter().zip(&ids) {
            let Some(request) = self.request(i) else { continue };
            let link = self.links.taken.get(i as usize).copied().flatten();
            if let ObservedAt::Process(pid) = request.observed_at {
                processes.push(pid);
            }
            if let Some(link) = &link {
                weakest = weakest.min(link.confidence);
            }
            // A request seen at several places failed once.
            if request.fields.status.is_error() && link.is_none_or(|l| !l.method.is_same_request()) {
                errors += 1;
            }
            let parent = link.and_then(|_| ids.get(parent).copied());
            let span = self.span(i, request, span_id, parent, link.as_ref(), &trace_id);
            spans.push((span.start, span_id, span));
        }
        processes.sort_unstable();
        processes.dedup();
        spans.sort_by_key(|s| (s.0, s.1));
        let root_span = spans.iter().find(|s| s.2.parent_span_id.is_empty()).map(|s| &s.2)?;
        let trace = Trace {
            trace_id: trace_id.clone(),
            root_span_id: root_span.span_id.clone(),
            root: root_span.name.clone(),
            service: root_span.service.clone(),
            start: root_span.start,
            duration_ns: u64::try_from(root_span.end.saturating_sub(root_span.start)).unwrap_or(0),
            spans: u32::try_from(spans.len()).unwrap_or(u32::MAX),
            processes: u32::try_from(processes.len()).unwrap_or(u32::MAX),
            nodes: 1,
            errors,
            weakest_link: weakest,
        };
        Some((id, spans.into_iter().map(|s| s.2).collect(), trace))
    }

    /// Ids of a trace's spans. Two requests may have equal facts (datagrams sent twice); their ids differ all the same.
    fn span_ids(&self, order: &[(u32, usize)], seed: u64) -> Vec<u64> {
        let mixes: Vec<Mix> =
            order.iter().map(|o| self.request(o.0).map_or_else(|| Mix::seeded(seed), |r| facts(r, seed))).collect();
        let mut ids: Vec<u64> = mixes.iter().map(|m| m.finish()).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|w| w.first() == w.last()) {
            let mut taken = AHashSet::with_capacity(ids.len());
            for (id, mut mix) in ids.iter_mut().zip(mixes) {
                while !taken.insert(*id) {
                    mix.add(1);
                    *id = mix.finish();
                }
            }
        }
        ids
    }

    fn span(
        &self,
        i: u32,
        request: &Request,
        span_id: u64,
        parent: Option<u64>,
        link: Option<&Candidate>,
        trace_id: &str,
    ) -> Span {
        let (start, end) = (first_seen(request), last_seen(request));
        let text = |id: u64| {
            let mut text = String::with_capacity(16);
            hex(id, &mut text);
            text
        };
        let point = request.request_point.or(request.response_point);
        Span {
            trace_id: trace_id.to_owned(),
            span_id: text(span_id),
            parent_span_id: parent.map(text).unwrap_or_default(),
            tap_side: self.ways.tap_sides.get(i as usize).copied().unwrap_or(TapSide::App),
            service: self.service(request),
            process: request.process.clone(),
            tid: point.map_or(0, |p| p.tid),
            request_id: u64::from(i),
            name: name(request),
            start,
            end,
            self_ns: self.own_time(i, start, end),
            link_method: link.map_or("root", |l| l.method.name()),
            link_confidence: link.map_or(1.0, |l| l.confidence),
            link_evidence: self.evidence(i, link),
            completeness: request.completeness,
        }
    }

    /// The span's time that no child covers.
    fn own_time(&self, i: u32, start: Nanos, end: Nanos) -> u64 {
        let mut covered: Vec<(Nanos, Nanos)> = self
            .children
            .of(i)
            .iter()
            .filter_map(|&c| self.request(c))
            .map(|c| (first_seen(c).clamp(start, end), last_seen(c).clamp(start, end)))
            .collect();
        covered.sort_unstable();
        let (mut own, mut at) = (0, start);
        for (from, to) in covered {
            own += (from - at).max(0);
            at = at.max(to);
        }
        u64::try_from(own + (end - at).max(0)).unwrap_or(0)
    }

    fn service(&self, request: &Request) -> Arc<str> {
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
        match (ip, port) {
            (Some(ip), Some(port)) => std::net::SocketAddr::new(ip, port).to_string().into(),
            (Some(ip), None) => ip.to_string().into(),
            (None, _) => request.transport.name().into(),
        }
    }

    fn evidence(&self, i: u32, link: Option<&Candidate>) -> String {
        let mut out = String::with_capacity(96);
        out.push('{');
        if let Some(link) = link {
            write_evidence(&mut out, &link.evidence);
        }
        if let Some(others) = self.others.get(&i) {
            if link.is_some() {
                out.push(',');
            }
            out.push_str("\"alternatives\":[");
            for (n, other) in others.iter().enumerate() {
                let comma = if n == 0 { "" } else { "," };
                let (method, parent, sure) = (other.method.name(), other.parent, other.confidence);
                let _ =
                    write!(out, "{comma}{{\"method\":\"{method}\",\"request_id\":{parent},\"confidence\":{sure:.2}}}");
            }
            out.push(']');
        }
        out.push('}');
        out
    }
}

fn write_evidence(out: &mut String, evidence: &Evidence) {
    // Writing to a string cannot fail.
    let _ = match evidence {
        Evidence::Bytes { at, delay_ns } => write!(out, "\"at\":{at},\"delay_ns\":{delay_ns}"),
        Evidence::Thread { pid, tid, read_ts, write_ts, in_flight } => write!(
            out,
            "\"pid\":{pid},\"tid\":{tid},\"read_ts\":{read_ts},\"write_ts\":{write_ts},\"in_flight\":{in_flight}"
        ),
        Evidence::Id => write!(out, "\"id\":\"equal\""),
    };
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
fn name(request: &Request) -> String {
    let f = &request.fields;
    let what = if f.endpoint.is_empty() { &f.request_resource } else { &f.endpoint };
    let what = cut(what).to_owned();
    let kind = &*f.request_type;
    // SQL endpoints start with their verb already.
    if what.is_empty() {
        if kind.is_empty() { f.l7_protocol.to_owned() } else { kind.to_owned() }
    } else if kind.is_empty() || what.starts_with(kind) {
        what
    } else {
        format!("{kind} {what}")
    }
}
