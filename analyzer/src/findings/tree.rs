//! The spans of all traces as a tree.

use ahash::AHashMap;
use replay::model::{Replayed, Span, SpanId};

const NONE: u32 = u32::MAX;

/// Who called whom.
pub(super) struct Tree<'a> {
    pub(super) spans: &'a [Span],
    first_child: Vec<u32>,
    next: Vec<u32>,
    parent: Vec<u32>,
    of_request: AHashMap<u64, u32>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(r: &'a Replayed) -> Self {
        let spans = r.spans.as_slice();
        let of_request = spans.iter().zip(0..).map(|(s, i)| (s.request_id, i)).collect();
        let places: AHashMap<SpanId, u32> = spans.iter().zip(0..).map(|(s, i)| (s.span_id, i)).collect();
        let mut tree = Self {
            spans,
            first_child: vec![NONE; spans.len()],
            next: vec![NONE; spans.len()],
            parent: vec![NONE; spans.len()],
            of_request,
        };
        // From the last to the first, so that children are in the order of time.
        for (i, span) in (0..spans.len()).zip(spans).rev() {
            let parent = if span.parent_span_id.is_empty() { None } else { places.get(&span.parent_span_id) };
            let Some(&parent) = parent else { continue };
            if parent as usize == i {
                continue;
            }
            if let (Some(first), Some(next), Some(up)) =
                (tree.first_child.get_mut(parent as usize), tree.next.get_mut(i), tree.parent.get_mut(i))
            {
                *next = std::mem::replace(first, i as u32);
                *up = parent;
            }
        }
        tree
    }

    /// The span of a request.
    pub(super) fn of_request(&self, request_id: u64) -> Option<u32> {
        self.of_request.get(&request_id).copied()
    }

    pub(super) fn get(&self, place: u32) -> Option<&'a Span> {
        self.spans.get(place as usize)
    }

    /// Spans right below one.
    pub(super) fn children(&self, place: u32) -> impl Iterator<Item = u32> {
        let real = |i: u32| (i != NONE).then_some(i);
        let first = self.first_child.get(place as usize).copied().and_then(real);
        std::iter::successors(first, move |i| self.next.get(*i as usize).copied().and_then(real))
    }

    /// Spans below one and itself, with their depth; at most `most`.
    pub(super) fn below(&self, place: u32, most: usize) -> Vec<(u32, u32)> {
        let (mut out, mut left) = (Vec::new(), vec![(place, 0)]);
        while let Some((place, depth)) = left.pop() {
            if out.len() == most {
                break;
            }
            out.push((place, depth));
            left.extend(self.children(place).map(|child| (child, depth + 1)));
        }
        out
    }

    /// The span right above one.
    pub(super) fn above(&self, place: u32) -> Option<u32> {
        self.parent.get(place as usize).copied().filter(|p| *p != NONE)
    }
}

/// First to last byte of what a span stands for.
pub(super) fn length_ns(span: &Span) -> u64 {
    u64::try_from(span.end.saturating_sub(span.start)).unwrap_or(0)
}
