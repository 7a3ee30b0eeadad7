//! One parent per request, out of its candidates.

use super::candidate::Candidate;

/// Spans of one trace at most when links are inferred: a wrong link must not glue everything together.
const MAX_INFERRED: u32 = 10_000;
/// Spans of one trace at most: a batch job may well make this many calls.
const MAX_EXACT: u32 = 100_000;
/// From here on a link counts as exact.
const EXACT: f32 = 0.95;
/// What only the order of calls says is a link from here on: a false link is worse than a missing one.
pub(super) const CLEAR: f32 = 0.9;
/// Candidates that were not taken and are shown, per child.
pub(super) const ALTERNATIVES: usize = 3;

/// The links that were taken.
pub(super) struct Links {
    /// By child.
    pub(super) taken: Vec<Option<Candidate>>,
    /// Not taken, by child, the surest first, at most [`ALTERNATIVES`] each.
    pub(super) others: Vec<Candidate>,
}

/// Trees that grow together.
struct Trees {
    above: Vec<u32>,
    size: Vec<u32>,
}

impl Trees {
    fn new(n: usize) -> Self {
        Self { above: (0..u32::try_from(n).unwrap_or(u32::MAX)).collect(), size: vec![1; n] }
    }

    fn top(&mut self, mut i: u32) -> u32 {
        loop {
            let Some(&up) = self.above.get(i as usize) else { return i };
            if up == i {
                return i;
            }
            let over = self.above.get(up as usize).copied().unwrap_or(up);
            if let Some(slot) = self.above.get_mut(i as usize) {
                *slot = over;
            }
            i = over;
        }
    }

    fn size(&self, top: u32) -> u32 {
        self.size.get(top as usize).copied().unwrap_or(1)
    }

    /// Whether the tree of `child` may hang under `parent`: no circle, and not too large together.
    fn join(&mut self, child: u32, parent: u32, limit: u32) -> bool {
        let (a, b) = (self.top(child), self.top(parent));
        let size = self.size(a).saturating_add(self.size(b));
        if a == b || size > limit {
            return false;
        }
        // The smaller under the larger keeps paths short.
        let (low, high) = if self.size(a) <= self.size(b) { (a, b) } else { (b, a) };
        if let (Some(above), Some(total)) = (self.above.get_mut(low as usize), self.size.get_mut(high as usize)) {
            *above = high;
            *total = size;
        }
        true
    }
}

/// Decides. Each child gets its surest candidate that makes no circle.
pub(super) fn decide(requests: usize, mut candidates: Vec<Candidate>) -> Links {
    candidates.sort_by(|a, b| {
        a.child
            .cmp(&b.child)
            .then(b.confidence.total_cmp(&a.confidence))
            .then(a.method.cmp(&b.method))
            .then(a.parent.cmp(&b.parent))
    });
    let mut trees = Trees::new(requests);
    let mut taken: Vec<Option<Candidate>> = vec![None; requests];
    let mut others = Vec::new();
    for of_child in candidates.chunk_by(|a, b| a.child == b.child) {
        let mut shown = 0;
        for candidate in of_child {
            let Some(slot) = taken.get_mut(candidate.child as usize) else { continue };
            let limit = if candidate.confidence >= EXACT { MAX_EXACT } else { MAX_INFERRED };
            let clear = candidate.confidence >= CLEAR || !candidate.method.is_order();
            if slot.is_none()
                && clear
                && candidate.child != candidate.parent
                && (candidate.parent as usize) < requests
                && trees.join(candidate.child, candidate.parent, limit)
            {
                *slot = Some(*candidate);
            } else if shown < ALTERNATIVES && slot.is_none_or(|s| s.parent != candidate.parent) {
                shown += 1;
                others.push(*candidate);
            }
        }
    }
    Links { taken, others }
}
