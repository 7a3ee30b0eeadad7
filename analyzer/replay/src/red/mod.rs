//! RED: rate, errors and duration of requests, per service, endpoint and time.
//!
//! A request is often observed several times: by the server's process, by the client's process, in packets on one
//! or more interfaces. Here it counts once: per service and protocol the best [`View`] there is decides, the server's
//! own before its clients' before packets, and of several interfaces the one that saw most of a conversation.

mod counts;
mod group;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use counts::Sum;
pub use counts::{Counts, delay_stats};
pub use group::{endpoint_of, group_of};

use crate::map::Services;
use crate::model::{Endpoints, Nanos, ObservedAt, Replayed, Request, Side, Transport};
use ahash::AHashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Whose view of the requests it is. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// System calls of the process that answers.
    Server,
    /// System calls of the processes that ask.
    Client,
    /// Packets.
    Packets,
}

impl View {
    /// As in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Packets => "packets",
        }
    }

    /// The view that an observation of a request belongs to.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        match (&request.observed_at, request.side) {
            (ObservedAt::Interface(_), _) => Self::Packets,
            (ObservedAt::Process(_), Some(Side::Client)) => Self::Client,
            (ObservedAt::Process(_), _) => Self::Server,
        }
    }
}

/// Requests of one service (and endpoint) in one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who answers: process name, else `address:port`.
    pub service: Arc<str>,
    /// Protocol.
    pub l7_protocol: &'static str,
    /// What requests are grouped by; empty where the row is about the whole service.
    pub endpoint: Arc<str>,
    /// Whose observations were counted.
    pub view: View,
    /// Start of the span of time: UTC, a multiple of its length; for totals the start of the recording.
    pub start: Nanos,
    /// Length of the span of time, ns.
    pub length_ns: u64,
    /// What happened in it.
    pub counts: Counts,
    /// The same as the processes saw it that asked: with the network and the queue in front of the server. Nothing if none did.
    pub by_client: Counts,
    /// The same as the process saw it that answers.
    pub by_server: Counts,
}

impl Row {
    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.counts.rate(self.length_ns)
    }
}

/// RED metrics at four levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Red {
    /// Length of a time bucket, ns: see [`bucket_ns`].
    pub bucket_ns: u64,
    /// Per service, protocol, endpoint and bucket, sorted by these. Buckets without requests have no row.
    pub rows: Vec<Row>,
    /// Per service, protocol and bucket, sorted by these; `endpoint` is empty.
    pub service_rows: Vec<Row>,
    /// Per service, protocol and endpoint over the whole recording; most requests first.
    pub endpoints: Vec<Row>,
    /// Per service and protocol over the whole recording; most requests first.
    pub services: Vec<Row>,
}

/// Bucket length for a recording of `length_ns`: 100 ms up to half a minute, 1 s below ten minutes, 10 s below two hours,
/// then 1 min. A chart of it has enough points to show a shape, and each bucket enough requests to have percentiles.
#[must_use]
pub fn bucket_ns(length_ns: u64) -> u64 {
    const S: u64 = 1_000_000_000;
    match length_ns {
        0..=30_000_000_000 => S / 10,
        30_000_000_001..600_000_000_000 => S,
        600_000_000_000..7_200_000_000_000 => 10 * S,
        _ => 60 * S,
    }
}

/// When a request counts: at its first byte, or at its response where it began before the recording.
#[must_use]
pub fn time_of(request: &Request) -> Option<Nanos> {
    request.request_ts.or(request.request_end_ts).or(request.first_byte_ts).or(request.response_ts)
}

/// Indices of the requests that count, each with its service's number, in the order of the table.
///
/// This is the choice described at the top of the module: every logical request once.
#[must_use]
pub fn counted(replayed: &Replayed, services: &Services) -> Vec<(usize, u32)> {
    let mut best: AHashMap<(u32, &str), View> = AHashMap::new();
    let mut interfaces: AHashMap<(Endpoints, Transport, u32), u64> = AHashMap::new();
    let mut known: Vec<Option<u32>> = Vec::with_capacity(replayed.requests.len());
    for request in &replayed.requests {
        let service = services.of_request(request);
        known.push(service);
        let Some(service) = service else { continue };
        let view = View::of(request);
        best.entry((service, request.fields.l7_protocol)).and_modify(|v| *v = view.min(*v)).or_insert(view);
        if let ObservedAt::Interface(i) = request.observed_at {
            *interfaces.entry((request.endpoints, request.transport, i)).or_default() += 1;
        }
    }
    let mut chosen: AHashMap<(Endpoints, Transport), (u64, u32)> = AHashMap::new();
    for (&(endpoints, transport, interface), &n) in &interfaces {
        chosen
            .entry((endpoints, transport))
            // Most requests first, then the lowest number: independent of the order of iteration.
            .and_modify(|(m, i)| {
                if n > *m || (n == *m && interface < *i) {
                    (*m, *i) = (n, interface);
                }
            })
            .or_insert((n, interface));
    }
    let mut out = Vec::new();
    for (index, (request, service)) in replayed.requests.iter().zip(known).enumerate() {
        let Some(service) = service else { continue };
        let view = View::of(request);
        if best.get(&(service, request.fields.l7_protocol)) != Some(&view) {
            continue;
        }
        if let ObservedAt::Interface(i) = request.observed_at
            && chosen.get(&(request.endpoints, request.transport)).is_some_and(|(_, c)| *c != i)
        {
            continue;
        }
        out.push((index, service));
    }
    out
}

/// Groups by a key, in the order of first appearance.
struct Groups<K> {
    places: AHashMap<K, usize>,
    sums: Vec<(K, View, [Sum; 3])>,
}

/// Place of the chosen view's sum; those of clients and servers come after.
const CHOSEN: usize = 0;

impl<K: Hash + Eq + Copy> Groups<K> {
    fn new() -> Self {
        Self { places: AHashMap::new(), sums: Vec::new() }
    }

    /// Adds a request. `like` is the place of the group that it probably belongs to, which saves looking for it; returns the place of the one that it
    /// does belong to.
    fn add(&mut self, key: K, request: &Request, like: Option<usize>) -> usize {
        let is_like = |place: &usize| self.sums.get(*place).is_some_and(|(k, ..)| *k == key);
        let place = like.filter(is_like).unwrap_or_else(|| {
            *self.places.entry(key).or_insert_with(|| {
                self.sums.push((key, View::of(request), Default::default()));
                self.sums.len() - 1
            })
        });
        if let Some((_, _, sums)) = self.sums.get_mut(place) {
            sums[CHOSEN].add(request);
        }
        place
    }

    /// Adds what a client or server saw, where there is a row of it.
    fn add_view(&mut self, key: K, request: &Request) {
        let sum = match View::of(request) {
            View::Client => 1,
            View::Server => 2,
            View::Packets => return,
        };
        if let Some((_, _, sums)) = self.places.get(&key).and_then(|&p| self.sums.get_mut(p)) {
            sums[sum].add(request);
        }
    }
}

/// What its endpoint, ids included, or else its type is called.
fn named(request: &Request) -> &str {
    if request.fields.endpoint.is_empty() { &request.fields.request_type } else { &request.fields.endpoint }
}

/// Computes the RED metrics of a recording.
#[must_use]
pub fn red(replayed: &Replayed, services: &Services) -> Red {
    red_of(replayed, services, &counted(replayed, services))
}

/// The same where it is known already which requests count: see [`counted`].
#[must_use]
pub fn red_of(replayed: &Replayed, services: &Services, counted: &[(usize, u32)]) -> Red {
    let length_ns = u64::try_from(replayed.end.saturating_sub(replayed.start)).unwrap_or(0);
    let bucket = bucket_ns(length_ns);
    let step = i64::try_from(bucket).unwrap_or(i64::MAX);

    // Endpoints as small numbers: the groups below are then keyed by integers only.
    let mut endpoint_numbers: AHashMap<&str, u32> = AHashMap::new();
    let mut endpoint_names: Vec<Arc<str>> = vec![Arc::from("")];
    endpoint_numbers.insert("", 0);
    let mut with_ids: AHashMap<String, u32> = AHashMap::new();

    let mut rows = Groups::new();
    let mut service_rows = Groups::new();
    let mut endpoints = Groups::new();
    let mut totals = Groups::new();
    // By place in `endpoints` and `totals`: the latest span of time.
    let (mut lately_rows, mut lately_services): (Vec<Option<usize>>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for &(index, service) in counted {
        let Some(request) = replayed.requests.get(index) else {
            continue;
        };
        let name: &str = named(request);
        let endpoint = match endpoint_numbers.get(name) {
            Some(number) => *number,
            None => {
                let group = group_of(name);
                let next = u32::try_from(endpoint_names.len()).unwrap_or(u32::MAX);
                let number =
                    if group.contains("{id}") { *with_ids.entry(group.to_string()).or_insert(next) } else { next };
                if number == next {
                    endpoint_names.push((*group).into());
                }
                endpoint_numbers.insert(name, number);
                number
            }
        };
        let protocol = request.fields.l7_protocol;
        let start = time_of(request).map_or(replayed.start, |t| t.div_euclid(step).saturating_mul(step));
        let total = totals.add((service, protocol, 0, replayed.start), request, None);
        let of_endpoint = endpoints.add((service, protocol, endpoint, replayed.start), request, None);
        for (groups, lately, of, endpoint) in
            [(&mut rows, &mut lately_rows, of_endpoint, endpoint), (&mut service_rows, &mut lately_services, total, 0)]
        {
            if lately.len() <= of {
                lately.resize(of + 1, None);
            }
            let like = lately.get(of).copied().flatten();
            let place = groups.add((service, protocol, endpoint, start), request, like);
            if let Some(slot) = lately.get_mut(of) {
                *slot = Some(place);
            }
        }
    }

    for request in replayed.requests.iter().filter(|r| matches!(r.observed_at, ObservedAt::Process(_))) {
        let (Some(service), Some(&endpoint)) = (services.of_request(request), endpoint_numbers.get(named(request)))
        else {
            continue;
        };
        let protocol = request.fields.l7_protocol;
        let start = time_of(request).map_or(replayed.start, |t| t.div_euclid(step).saturating_mul(step));
        rows.add_view((service, protocol, endpoint, start), request);
        service_rows.add_view((service, protocol, 0, start), request);
        endpoints.add_view((service, protocol, endpoint, replayed.start), request);
        totals.add_view((service, protocol, 0, replayed.start), request);
    }

    let finish = |groups: Groups<(u32, &'static str, u32, Nanos)>, length_ns| -> Vec<Row> {
        let mut rows: Vec<Row> = groups
            .sums
            .into_iter()
            .map(|((service, l7_protocol, endpoint, start), view, [chosen, client, server])| Row {
                service: services.name(service),
                l7_protocol,
                endpoint: endpoint_names.get(endpoint as usize).cloned().unwrap_or_default(),
                view,
                start,
                length_ns,
                counts: chosen.finish(),
                by_client: client.finish(),
                by_server: server.finish(),
            })
            .collect();
        rows.sort_by(|a, b| {
            (&a.service, a.l7_protocol, &a.endpoint, a.start).cmp(&(&b.service, b.l7_protocol, &b.endpoint, b.start))
        });
        rows
    };
    let mut red = Red {
        bucket_ns: bucket,
        rows: finish(rows, bucket),
        service_rows: finish(service_rows, bucket),
        endpoints: finish(endpoints, length_ns),
        services: finish(totals, length_ns),
    };
    // Stable: equal counts stay in the order of names.
    red.endpoints.sort_by_key(|r| std::cmp::Reverse(r.counts.requests));
    red.services.sort_by_key(|r| std::cmp::Reverse(r.counts.requests));
    red
}
