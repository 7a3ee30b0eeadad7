//! What losses touched: rows of processes that were alive while records were lost.

use crate::model::{Completeness, Flow, Nanos, ObservedAt, Request};

/// Times within which socket data records were lost.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// Sorted, apart from each other.
    times: Vec<(Nanos, Nanos)>,
}

impl Losses {
    /// From (first, last) times, in any order.
    #[must_use]
    pub fn new(times: impl IntoIterator<Item = (Nanos, Nanos)>) -> Self {
        let mut sorted: Vec<_> = times.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { times: merged }
    }

    /// Whether something was lost between `start` and `end`, both inclusive.
    #[must_use]
    pub fn touch(&self, start: Nanos, end: Nanos) -> bool {
        let at = self.times.partition_point(|t| t.1 < start);
        self.times.get(at).is_some_and(|t| t.0 <= end)
    }

    /// Whether nothing was lost at any time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Marks flows and requests seen at processes of `node` that were alive during a loss with [`Completeness::GAP`]: their
    /// numbers may be too small. A loss on one CPU can concern any process, so all are marked.
    pub fn mark(&self, node: u32, flows: &mut [Flow], requests: &mut [Request]) {
        if self.times.is_empty() {
            return;
        }
        for flow in flows.iter_mut().filter(|f| f.node == node && matches!(f.observed_at, ObservedAt::Process(_))) {
            if self.touch(flow.start, flow.end) {
                flow.completeness.add(Completeness::GAP);
            }
        }
        let of_node = |r: &Request| flows.get(r.flow_id as usize).is_some_and(|f| f.node == node);
        let at_process = |r: &Request| matches!(r.observed_at, ObservedAt::Process(_));
        for request in requests.iter_mut().filter(|r| at_process(r) && of_node(r)) {
            let start = request.request_ts.or(request.response_ts);
            let end = request.response_ts.or(request.request_end_ts).or(start);
            if let (Some(start), Some(end)) = (start, end)
                && self.touch(start, end)
            {
                request.completeness.add(Completeness::GAP);
            }
        }
    }
}
