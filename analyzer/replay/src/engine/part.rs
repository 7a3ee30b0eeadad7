//! What one shard's packets, or one input's sockets in it, have given: rows, packed as they are finished.

use crate::flow::Finished;
use crate::hops::PlaceLog;
use crate::model::{Endpoints, Flow, Request, RequestFields};
use crate::netprofile::{Packed, Profile};
use crate::parse::mask::Masked;
use crate::socket::{FlowFacts, SocketLog, SocketOutput, SocketRows};
use crate::store::{Coded, Entry, Log, Rows, Spill, Texts};
use ahash::AHashMap;

/// Rows of one source, numbered by themselves.
#[derive(Debug, Default)]
pub(crate) struct Part {
    texts: Texts,
    /// Every flow, its segments behind it.
    pub(super) flows: Log,
    pub(super) requests: Log,
    /// Sockets: what requests of a flow have in common.
    sockets: Option<FlowFacts>,
    /// Ends of flows whose sides were turned round when requests of theirs had been packed.
    turned: AHashMap<u64, Endpoints>,
    pub(super) log: SocketLog,
    /// What flows saw, by their numbers.
    pub(super) seen: Vec<(u32, Box<PlaceLog>)>,
    /// Secrets that were left out of the requests.
    pub(super) masked: Masked,
}

impl Part {
    /// Packs what is finished, and leaves the vectors empty for more.
    pub(super) fn take(&mut self, finished: &mut Finished, spill: &Spill) {
        for r in finished.requests.drain(..) {
            self.request(&r, spill);
        }
        for (f, p) in finished.flows.drain(..).zip(finished.profile.drain(..)) {
            self.flow(&f, &p, spill);
        }
        self.seen.append(&mut finished.logs);
        self.masked.add(std::mem::take(&mut finished.masked));
        self.turned.extend(finished.turned.drain(..).map(|(number, ends)| (u64::from(number), ends)));
    }

    /// Packs what sockets of a node have given.
    pub(super) fn of_sockets(node: u32, (sockets, rows): (SocketOutput, SocketRows), spill: &Spill) -> Self {
        let mut part = Self {
            texts: rows.texts,
            requests: rows.log,
            sockets: Some(rows.flows),
            log: SocketLog { node, ..sockets.log },
            masked: sockets.masked,
            seen: sockets.places,
            ..Self::default()
        };
        for f in &sockets.flows {
            part.flow(f, &Profile::default(), spill);
        }
        part
    }

    fn flow(&mut self, f: &Flow, p: &Profile, spill: &Spill) {
        self.flows.add(&mut self.texts, spill, (f.start, f.flow_id as u32), |w| {
            f.put(w);
            Packed::put(p, w);
        });
    }

    fn request(&mut self, r: &Request<Box<RequestFields>>, spill: &Spill) {
        // Those without any time come first.
        let key = r.request_ts.or(r.response_ts).unwrap_or(i64::MIN);
        self.requests.add(&mut self.texts, spill, (key, r.flow_id as u32), |w| r.put(w));
    }

    /// Unpacks a flow; its segments stay packed.
    #[inline]
    pub(super) fn flow_at(&self, rows: &mut Rows<'_>, entry: &Entry) -> Option<(Flow, Packed)> {
        rows.get(&self.flows, &self.texts, entry, |r| Some((Flow::get(r)?, Packed::get(r)?)))
    }

    /// Unpacks a flow alone.
    #[inline]
    pub(super) fn bare_flow_at(&self, rows: &mut Rows<'_>, entry: &Entry) -> Option<Flow> {
        rows.get(&self.flows, &self.texts, entry, Flow::get)
    }

    /// Sees to it that [`Self::request_at`] finds a request.
    #[inline]
    pub(super) fn load_request(&self, rows: &mut Rows<'_>, entry: &Entry) {
        rows.load(&self.requests, entry);
    }

    /// Unpacks a request, whose texts may stay where they are, to the end of `out`, where it is returned for what is to be put right. Rows
    /// are large: it is made there and not moved.
    #[inline]
    pub(super) fn request_at<'r, 'o, F: Coded<'r>>(
        &'r self,
        rows: &'r Rows<'_>,
        entry: &Entry,
        out: &'o mut Vec<Request<F>>,
    ) -> Option<&'o mut Request<F>> {
        if let Some(flows) = &self.sockets {
            return flows.request_at(&self.requests, &self.texts, rows, entry, out);
        }
        rows.look(&self.requests, &self.texts, entry, |r| {
            out.push(Request::get(r)?);
            Some(())
        })?;
        let r = out.last_mut()?;
        if !self.turned.is_empty()
            && let Some(ends) = self.turned.get(&r.flow_id)
        {
            r.endpoints = *ends;
        }
        Some(r)
    }
}
