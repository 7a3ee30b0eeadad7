//! Segments as bytes. There are several for every request, and few of them are looked at twice: as rows they would be a third of all memory.

use super::{Name, Profile, Segment};
use crate::model::{Flow, Nanos, ProfileSegment};
use crate::store::{Coded, Reader, Texts, Writer};

/// The segments of a finished flow, as [`Profile`] is packed, in times from the flow's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    fn new(profile: &Profile, start: Nanos) -> Self {
        let mut bytes = Vec::new();
        profile.put(&mut Writer {
            bytes: &mut bytes,
            tail: &mut String::new(),
            texts: &mut Texts::default(),
            base: start,
        });
        Self(bytes.into())
    }

    /// Packs segments behind their length, so that they can be taken unread.
    pub(crate) fn put(profile: &Profile, w: &mut Writer<'_>) {
        if profile.is_empty() {
            return w.bytes.extend_from_slice(&0_u32.to_le_bytes());
        }
        let start = w.bytes.len();
        w.bytes.extend_from_slice(&[0; 4]);
        profile.put(w);
        let len = (w.bytes.len() - start - 4) as u32;
        if let Some(slot) = w.bytes.get_mut(start..).and_then(|from| from.first_chunk_mut()) {
            *slot = len.to_le_bytes();
        }
    }

    /// Takes the segments that were [put](Self::put).
    pub(crate) fn get(r: &mut Reader<'_>) -> Option<Self> {
        let (len, rest) = r.bytes.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        r.bytes = rest;
        Some(Self(bytes.into()))
    }

    /// Unpacks the segments of flow `flow_id`. `request_id` makes the final id of a request's place in its part.
    pub(crate) fn rows(
        &self,
        (flow_id, start): (u64, Nanos),
        request_id: impl Fn(u32) -> Option<u64>,
    ) -> impl Iterator<Item = ProfileSegment> {
        // Segments have neither names nor texts.
        let texts = Texts::default();
        let mut head = Reader { bytes: &self.0, tail: "", texts: &texts, base: start };
        let (mut from, mut left) = Nanos::get(&mut head).zip(head.number()).unwrap_or((start, 0));
        let mut at = self.0.len() - head.bytes.len();
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let mut r = Reader { bytes: self.0.get(at..)?, tail: "", texts: &texts, base: start };
            let s = Segment::get(&mut r)?;
            at = self.0.len() - r.bytes.len();
            let row = s.row(flow_id, from, &request_id);
            from = s.end;
            Some(row)
        })
    }
}

/// The segments of all flows, those of a flow in order. They are unpacked as they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    /// By flow id: when it began, the first of its part's requests in `request_ids`, and its segments.
    flows: Vec<(Nanos, usize, Packed)>,
    request_ids: Vec<u32>,
}

impl Profiles {
    /// `request_ids` has the final ids of all requests, part by part.
    pub(crate) fn new(request_ids: Vec<u32>) -> Self {
        Self { flows: Vec::new(), request_ids }
    }

    /// The segments of a flow, whose part's requests begin at `first`; flows come in the order of their ids.
    pub(crate) fn push(&mut self, flow: &Flow, first: usize, packed: Packed) {
        self.put(flow.flow_id, (flow.start, first, packed));
    }

    fn put(&mut self, flow_id: u64, flow: (Nanos, usize, Packed)) {
        // Flows that could not be read back have none.
        while (self.flows.len() as u64) < flow_id {
            self.flows.push((0, 0, Packed::default()));
        }
        self.flows.push(flow);
    }

    /// The segments of one flow.
    pub fn of_flow(&self, flow_id: u64) -> impl Iterator<Item = ProfileSegment> {
        let flow = usize::try_from(flow_id).ok().and_then(|i| self.flows.get(i));
        flow.into_iter().flat_map(move |flow| self.rows(flow_id, flow))
    }

    /// All segments, sorted by flow, then start.
    pub fn iter(&self) -> impl Iterator<Item = ProfileSegment> {
        (0u64..).zip(&self.flows).flat_map(|(id, flow)| self.rows(id, flow))
    }

    fn rows<'a>(
        &'a self,
        flow_id: u64,
        (start, first, packed): &'a (Nanos, usize, Packed),
    ) -> impl Iterator<Item = ProfileSegment> {
        packed.rows((flow_id, *start), move |n| self.request_ids.get(first + n as usize).map(|&id| u64::from(id)))
    }
}

/// Rows of flows one after the other, each flow's beginning where the one before ends.
impl FromIterator<ProfileSegment> for Profiles {
    fn from_iter<I: IntoIterator<Item = ProfileSegment>>(rows: I) -> Self {
        let rows: Vec<ProfileSegment> = rows.into_iter().collect();
        let mut out = Self::default();
        for of_flow in rows.chunk_by(|a, b| a.flow_id == b.flow_id) {
            let Some(first) = of_flow.first() else { continue };
            let start = first.start;
            let segment = |s: &ProfileSegment| {
                let name = Name::ALL.into_iter().find(|n| n.text() == s.segment)?;
                let end = s.start.saturating_add_unsigned(s.duration_ns);
                let request = out.request_ids.len() as u32;
                out.request_ids.extend(s.request_id.map(|id| id as u32));
                let (bytes, exchange, retransmissions) = (s.bytes, s.exchange, s.retransmissions);
                let has_request = s.request_id.is_some();
                Some(Segment { end, bytes, exchange, retransmissions, request, has_request, name })
            };
            let profile = Profile { start, segments: of_flow.iter().filter_map(segment).collect() };
            out.put(first.flow_id, (start, 0, Packed::new(&profile, start)));
        }
        out
    }
}
