//! Who ended a connection before the answer was whole, told alike at all places of a request.
//!
//! A server may learn from the kernel that its client has gone without reading the end of the stream (nginx asks for `EPOLLRDHUP`), and closes its own
//! socket: by its calls alone it was the first to go. A client that has had enough does not read what it throws away, so by its calls alone it had all
//! it wanted. One that is killed calls nothing at all. The interfaces saw whose FIN or RST came first, and after which bytes.

use crate::model::{Completeness, Flow, ObservedAt, Request, Side, Status};
use crate::pair::cut_off;
use ahash::AHashMap;

/// Who ended it, and whether inside the answer.
fn told(request: &Request) -> Option<(Side, bool)> {
    let fields = &request.fields;
    if !fields.status.is_error() || fields.exception.is_empty() {
        return None;
    }
    let all = [Side::Client, Side::Server].into_iter().flat_map(|side| [(side, false), (side, true)]);
    all.into_iter().find(|&(side, inside)| cut_off(side, inside).1 == &*fields.exception)
}

/// Whether a request was cut off without its process' calls showing it: by `by`, inside of the answer or before it.
fn unaware(request: &Request, by: Side, inside: bool) -> bool {
    let fields = &request.fields;
    // A process that is killed calls no close: by its calls its connections outlast it, and the recording.
    let outlasts = request.completeness.has(Completeness::ENDED_AFTER);
    match fields.status {
        Status::Ok => inside && request.side == Some(by) && (by == Side::Client || outlasts),
        Status::Unknown => outlasts && fields.exception.is_empty(),
        _ => false,
    }
}

/// Gives what the interfaces say to what processes saw of the same request. `exchanges`: by request, the first of the observations of the same request.
pub(super) fn agree(requests: &mut [Request], exchanges: &[u64], flows: &mut [Flow]) {
    let mut seen: AHashMap<u64, (Side, bool)> = AHashMap::new();
    // A client that has read the end of the stream knows that the server went, but not whether it was told to by the client's own end.
    let mut by_client: AHashMap<u64, (Side, bool)> = AHashMap::new();
    for (request, first) in requests.iter().zip(exchanges) {
        let Some(told) = told(request) else { continue };
        match request.observed_at {
            ObservedAt::Interface(_) => seen.entry(*first).or_insert(told),
            ObservedAt::Process(_) if (request.side, told.0) == (Some(Side::Client), Side::Server) => {
                by_client.entry(*first).or_insert(told)
            }
            ObservedAt::Process(_) => continue,
        };
    }
    if seen.is_empty() && by_client.is_empty() {
        return;
    }
    for (request, first) in requests.iter_mut().zip(exchanges) {
        if !matches!(request.observed_at, ObservedAt::Process(_)) {
            continue;
        }
        let by_interface = seen.get(first);
        let Some(&(by, inside)) = by_interface.or_else(|| by_client.get(first)) else { continue };
        let inside = match told(request) {
            Some((other, inside)) if other != by && by_interface.is_some() => inside,
            None if unaware(request, by, inside) => {
                let flow = usize::try_from(request.flow_id).ok().and_then(|i| flows.get_mut(i));
                if let Some(flow) = flow {
                    flow.request_errors = flow.request_errors.saturating_add(1);
                }
                request.completeness.remove(Completeness::ENDED_AFTER);
                inside
            }
            _ => continue,
        };
        let (status, text) = cut_off(by, inside);
        request.fields.status = status;
        request.fields.exception = text.into();
    }
}
