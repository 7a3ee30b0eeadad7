//! In plain words: where the time went, where packets were lost.

use super::events::is_process;
use super::row::{Hop, HopPlace, Way};
use crate::model::{ObservedAt, Replayed};
use std::fmt::Write;

/// From here on a hop holds the way's delay.
const MOST: f64 = 0.5;

/// How a place is called: `curl (123)`, `eth0`, `vxlan 42 on eth0`, with its node where there are several and its namespace where
/// interfaces of other namespaces have the same name.
#[must_use]
pub fn place_name(replayed: &Replayed, place: &HopPlace) -> String {
    let flow = usize::try_from(place.flow_id).ok().and_then(|i| replayed.flows.get(i));
    let mut out = String::new();
    // Writing to a string cannot fail.
    match &place.observed_at {
        ObservedAt::Process(pid) => {
            let of = |p: &Option<crate::model::ProcessRef>| {
                p.as_ref().filter(|p| p.pid == *pid && !p.name.is_empty()).map(|p| p.name.clone())
            };
            let name = flow.and_then(|f| of(&f.client_process).or_else(|| of(&f.server_process)));
            let _ = match name {
                Some(name) => write!(out, "{name} ({pid})"),
                None => write!(out, "process {pid}"),
            };
        }
        ObservedAt::Interface(id) => {
            if let Some(flow) = flow.filter(|f| !f.tunnel.is_empty()) {
                let _ = match flow.tunnel_id {
                    Some(id) => write!(out, "{} {id} on ", flow.tunnel),
                    None => write!(out, "{} on ", flow.tunnel),
                };
            }
            let interface = replayed.interfaces.get(*id as usize);
            let _ = match interface {
                Some(i) => write!(out, "{}", i.name),
                None => write!(out, "interface {id}"),
            };
            if let Some(i) = interface {
                let namesake =
                    |o: &&crate::model::Interface| (o.node, &o.name) == (i.node, &i.name) && o.netns != i.netns;
                if replayed.interfaces.iter().find(namesake).is_some() {
                    let _ = write!(out, "@{}", i.netns);
                }
            }
            if place.copy > 0 {
                let _ = write!(out, " (copy {})", place.copy);
            }
        }
    }
    if let Some(flow) = flow.filter(|_| replayed.nodes.len() > 1)
        && let Some(node) = replayed.nodes.get(flow.node as usize)
    {
        let _ = write!(out, " at {}", if node.name.is_empty() { &node.input } else { &node.name });
    }
    out
}

/// Durations for people: three digits.
fn time(ns: i64) -> String {
    let (size, sign) = (ns.unsigned_abs() as f64, if ns < 0 { "-" } else { "" });
    let (value, unit) = match size {
        s if s >= 1e9 => (s / 1e9, "s"),
        s if s >= 1e6 => (s / 1e6, "ms"),
        s if s >= 1e3 => (s / 1e3, "us"),
        s => return format!("{sign}{s:.0} ns"),
    };
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{sign}{value:.digits$} {unit}")
}

/// Writes each row's statement, where there is something to say.
pub(super) fn write(replayed: &Replayed, rows: &mut [Hop]) {
    for way in [Way::ToServer, Way::ToClient] {
        let median = |h: &Hop| h.delay.map_or(0, |d| d.p50_ns.max(0));
        let hops = rows.iter().filter(|h| h.way == way).count();
        let whole: i64 = rows.iter().filter(|h| h.way == way).map(median).sum();
        for h in rows.iter_mut().filter(|h| h.way == way) {
            let mut parts: Vec<String> = Vec::new();
            if let (Some(share), Some(delay)) = (h.share.filter(|s| *s >= MOST && hops > 1), h.delay) {
                let what = match (is_process(&h.from.observed_at), is_process(&h.to.observed_at)) {
                    (true, _) => "the sender's stack",
                    (_, true) => "the receiver's stack and wake-up",
                    _ => "this hop",
                };
                let to = if way == Way::ToServer { "server" } else { "client" };
                parts.push(format!(
                    "{what} holds {:.0} % of the delay to the {to}: {} of {} (medians)",
                    share * 100.0,
                    time(delay.p50_ns),
                    time(whole)
                ));
            }
            if let Some(lost) = h.lost.filter(|l| *l > 0) {
                let why: Vec<String> =
                    h.events.iter().filter(|e| e.0.starts_with("drop")).map(|(e, n)| format!("{n} {e}")).collect();
                let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
                let verb = if lost == 1 { "was" } else { "were" };
                parts.push(format!("{lost} of {} packets {verb} lost here{why}", h.packets));
            }
            if parts.is_empty() {
                continue;
            }
            h.statement =
                format!("{} -> {}: {}", place_name(replayed, &h.from), place_name(replayed, &h.to), parts.join("; "));
        }
    }
}
