//! Standstills: requests to one service that waited together and were answered together, and the one that held them up.

use super::tree::Tree;
use super::{Finding, ROWS, Severity, short};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use replay::model::{Request, TapSide};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request that took so long by itself, and so many times what is usual there, was held up.
const HELD_UP_NS: u64 = 100_000_000;
const TIMES: u64 = 10;
/// Requests that were answered within this time of each other, or a twentieth of their wait, were answered together.
const TOGETHER_NS: i64 = 20_000_000;
/// So many make a standstill; where none began clearly before the others, it takes more to be none of chance.
const FEWEST: usize = 3;
const FEWEST_UNLED: usize = 5;
/// So much earlier, or a hundredth of its wait, one began that others waited for.
const LEAD_NS: u64 = 1_000_000;
/// Of so many requests it is known what is usual.
const USUAL: usize = 10;

/// A request as its client waited for it: the way to the server and back, and the server itself.
struct Served<'a> {
    start: i64,
    end: i64,
    self_ns: u64,
    request: &'a Request,
}

pub(super) fn findings(a: &Analysis, tree: &Tree<'_>) -> Vec<Finding> {
    let r = &a.replayed;
    let mut services: BTreeMap<(Arc<str>, &'static str), Vec<Served<'_>>> = BTreeMap::new();
    for (place, span) in (0..).zip(tree.spans).filter(|(_, s)| s.tap_side == TapSide::ServerProcess) {
        let request = usize::try_from(span.request_id).ok().and_then(|i| r.requests.get(i));
        let Some(request) = request.filter(|q| q.response_ts.is_some()) else { continue };
        // A server that does one thing at a time reads a request when it comes to it: the wait begins where it was sent.
        let (mut asked, mut self_ns, mut top) = (span.start, span.self_ns, place);
        while let Some((above, up)) = tree.above(top).and_then(|up| Some((up, tree.get(up)?)))
            && !matches!(up.tap_side, TapSide::ServerProcess | TapSide::App)
            && up.start <= asked
            && above != top
        {
            (asked, self_ns, top) = (up.start, self_ns.saturating_add(up.self_ns), above);
        }
        services.entry((span.service.clone(), request.fields.l7_protocol)).or_default().push(Served {
            start: asked,
            end: span.end,
            self_ns,
            request,
        });
    }
    let mut out: Vec<Finding> = Vec::new();
    for ((service, protocol), served) in services.into_iter().filter(|(_, served)| served.len() >= USUAL) {
        let mut own: Vec<u64> = served.iter().map(|s| s.self_ns).collect();
        let usual = *own.select_nth_unstable(served.len() / 2).1;
        let from = HELD_UP_NS.max(usual.saturating_mul(TIMES));
        let mut held: Vec<&Served<'_>> = served.iter().filter(|s| s.self_ns >= from).collect();
        held.sort_by_key(|s| (s.end, s.start));
        out.extend(groups(&held).into_iter().filter_map(|group| tell(a, &service, protocol, usual, group)));
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.impact));
    out
}

/// Those that ended together and had waited together.
fn groups<'s, 'a>(held: &'s [&'s Served<'a>]) -> Vec<&'s [&'s Served<'a>]> {
    let near = |a: &&Served<'_>, b: &&Served<'_>| {
        let wait = a.end.saturating_sub(a.start).min(b.end.saturating_sub(b.start));
        b.end.saturating_sub(a.end) <= TOGETHER_NS.max(wait / 20) && b.start < a.end
    };
    held.chunk_by(near).filter(|group| group.len() >= FEWEST).collect()
}

fn tell(a: &Analysis, service: &str, protocol: &str, usual: u64, group: &[&Served<'_>]) -> Option<Finding> {
    let first = group.iter().min_by_key(|s| (s.start, s.request.request_id))?;
    let others: Vec<&&Served<'_>> = group.iter().filter(|s| s.request.request_id != first.request.request_id).collect();
    let longest = others.iter().map(|s| s.self_ns).max()?;
    // It holds them up if it was at work all the time; where the first has hardly begun before the others it is one of them.
    let most_together = others.iter().map(|s| s.start).max()? < first.end;
    if !most_together {
        return None;
    }
    let lost: u64 = others.iter().map(|s| s.self_ns).sum();
    let what = first.request;
    // The one that the others waited for began before them; where they began together, something else stopped them.
    let second = others.iter().map(|s| s.start).min()?;
    let lead = u64::try_from(second.saturating_sub(first.start)).unwrap_or(0);
    if lead < LEAD_NS.max(first.self_ns / 100) {
        return (group.len() >= FEWEST_UNLED).then(|| unled(service, protocol, usual, group, longest));
    }
    let asked =
        if what.fields.request_resource.is_empty() { &what.fields.endpoint } else { &what.fields.request_resource };
    let asked = format!("{} {asked}", what.fields.request_type);
    let by = a.services().of_flow(what.flow_id).map(|(client, _)| a.services().name(client)).unwrap_or_default();
    let at = human::duration(u64::try_from(first.start.saturating_sub(a.replayed.start)).unwrap_or(0));
    let text = format!(
        "{service} ({protocol}): from +{at} on {} waited up to {} (usual: {}) and ended together with one that had begun before \
         them: {} of {by}, {}",
        plural(others.len() as u64, "request"),
        human::duration(longest),
        human::duration(usual),
        short(asked.trim()),
        human::duration(first.self_ns),
    );
    let rows = std::iter::once(first).chain(group).map(|s| s.request.request_id);
    let mut rows: Vec<u64> = rows.take(ROWS).collect();
    rows.dedup();
    Some(Finding {
        severity: Severity::High,
        kind: "stall",
        subject: format!("{service} ({protocol})"),
        statement: text,
        evidence: vec![("requests", rows)],
        next_step: "does it hold a lock that the others want, or is the server busy with it alone?",
        section: "requests",
        impact: lost,
    })
}

/// A standstill without one that it could be laid to.
fn unled(service: &str, protocol: &str, usual: u64, group: &[&Served<'_>], longest: u64) -> Finding {
    Finding {
        severity: Severity::Medium,
        kind: "stall",
        subject: format!("{service} ({protocol})"),
        statement: format!(
            "{service} ({protocol}): stood still for up to {} (usual: {}): {} waited at once and ended together",
            human::duration(longest),
            human::duration(usual),
            plural(group.len() as u64, "request")
        ),
        evidence: vec![("requests", group.iter().map(|s| s.request.request_id).take(ROWS).collect())],
        next_step: "a pause of the process (garbage collection, a lock, no CPU)? What ran meanwhile: `analyze stacks`",
        section: "requests",
        impact: group.iter().map(|s| s.self_ns).sum(),
    }
}
