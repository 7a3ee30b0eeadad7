//! Requests seen at sockets: packed as soon as they are finished, since a connection may have millions of them before it ends.
//!
//! What only its end tells of a connection (sides, addresses, who held it) is kept once, and goes into its requests when they are unpacked.

use crate::host::Host;
use crate::model::{Endpoints, Nanos, ObservedAt, Request, Session, Side, ThreadPoint, Transport};
use crate::store::{Coded, Entry, Log, Rows, Spill, Texts};
use std::sync::Arc;

/// Requests of one shard's sockets.
pub(crate) struct SocketRows {
    pub(crate) texts: Texts,
    /// Each a number of its flow and a [`Session`].
    pub(crate) log: Log,
    pub(crate) flows: FlowFacts,
    spill: Arc<Spill>,
    /// Flows that were given a number.
    numbers: u32,
    /// Sessions on their way from the parser.
    fresh: Vec<Session>,
}

/// By the number of their flow: what its requests have in common.
#[derive(Debug, Default)]
pub(crate) struct FlowFacts(Vec<Option<Facts>>);

/// What the requests of one flow have in common.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Who held the socket, where nobody is known to have moved a request's bytes.
    pub(crate) pid: u32,
    pub(crate) side: Side,
    pub(crate) transport: Transport,
    pub(crate) endpoints: Endpoints,
    pub(crate) netns: u32,
    pub(crate) sock: u64,
}

/// What is kept of a connection's requests that are packed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Number of the flow, given when the first one is packed.
    pub(super) flow: Option<u32>,
    pub(super) times: Vec<Times>,
    pub(super) errors: u32,
    /// The first protocol that one was in.
    pub(super) l7_protocol: &'static str,
}

/// Times of one request, and its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) row: u32,
    request: [Nanos; 2],
    response: [Nanos; 2],
}

/// No time: records that say so are damaged.
const NEVER: Nanos = Nanos::MIN;

fn time(ts: Nanos) -> Option<Nanos> {
    (ts != NEVER).then_some(ts)
}

impl Times {
    fn of(row: u32, s: &Session) -> Self {
        let or = |ts: Option<Nanos>| ts.unwrap_or(NEVER);
        Self {
            row,
            request: [or(s.request_ts), or(s.request_end_ts)],
            response: [or(s.first_byte_ts), or(s.response_ts)],
        }
    }

    /// First and last byte of the request.
    pub(super) fn request(&self) -> [Option<Nanos>; 2] {
        self.request.map(time)
    }

    /// First and last byte of the response.
    pub(super) fn response(&self) -> [Option<Nanos>; 2] {
        self.response.map(time)
    }
}

impl SocketRows {
    pub(super) fn new(spill: Arc<Spill>) -> Self {
        Self {
            texts: Texts::default(),
            log: Log::default(),
            flows: FlowFacts::default(),
            spill,
            numbers: 0,
            fresh: Vec::new(),
        }
    }

    /// Packs what `drain` yields of a connection's requests.
    pub(super) fn take(&mut self, asked: &mut Asked, drain: impl FnOnce(&mut Vec<Session>)) {
        let mut fresh = std::mem::take(&mut self.fresh);
        drain(&mut fresh);
        if !fresh.is_empty() {
            let flow = self.number(asked);
            for session in fresh.drain(..) {
                asked.times.push(Times::of(self.log.len() as u32, &session));
                asked.errors = asked.errors.saturating_add(u32::from(session.fields.status.is_error()));
                if asked.l7_protocol.is_empty() {
                    asked.l7_protocol = session.fields.l7_protocol;
                }
                // Those without any time come first.
                let key = session.request_ts.or(session.response_ts).unwrap_or(Nanos::MIN);
                self.log.add(&mut self.texts, &self.spill, (key, flow), |w| {
                    flow.put(w);
                    session.put(w);
                });
            }
        }
        self.fresh = fresh;
    }

    /// The number of a flow, which it may have by now.
    pub(super) fn number(&mut self, asked: &mut Asked) -> u32 {
        *asked.flow.get_or_insert_with(|| {
            let number = self.numbers;
            self.numbers = self.numbers.saturating_add(1);
            number
        })
    }
}

impl FlowFacts {
    /// Notes what is known of a flow when it has ended.
    pub(super) fn add(&mut self, flow: u32, facts: Facts) {
        let place = flow as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(facts);
        }
    }

    /// Unpacks a request whose block [was loaded](Rows::load) to the end of `out`.
    pub(crate) fn request_at<'r, 'o, F: Coded<'r>>(
        &self,
        log: &'r Log,
        texts: &'r Texts,
        rows: &'r Rows<'_>,
        entry: &Entry,
        out: &'o mut Vec<Request<F>>,
    ) -> Option<&'o mut Request<F>> {
        rows.look(log, texts, entry, |r| {
            let flow = u32::get(r)?;
            let session = Session::<F>::get(r)?;
            let of = self.0.get(flow as usize)?.as_ref()?;
            let pid = session.request_point.or(session.response_point).map_or(of.pid, |p| p.pid);
            out.push(Request {
                request_id: u64::from(entry.row),
                flow_id: u64::from(flow),
                observed_at: ObservedAt::Process(pid),
                side: Some(of.side),
                transport: of.transport,
                endpoints: of.endpoints,
                netns: of.netns,
                session,
                sock: of.sock,
                process: None,
            });
            Some(())
        })?;
        out.last_mut()
    }
}

/// Names the process that a request was seen at, once all is known of the node.
pub(crate) fn name_process<F>(request: &mut Request<F>, host: &Host) {
    let point = request.request_point.or(request.response_point);
    let ts = request.request_ts.or(request.response_ts).unwrap_or(0);
    let pid = match (&request.observed_at, point) {
        (_, Some(ThreadPoint { pid, .. })) => pid,
        (ObservedAt::Process(pid), None) => *pid,
        (ObservedAt::Interface(_), None) => return,
    };
    request.process = host.process_at(pid, ts);
}
