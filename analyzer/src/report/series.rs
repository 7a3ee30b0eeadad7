//! What happens over time, and how delays are spread, per service and endpoint.

use crate::analysis::Analysis;
use replay::red::Row;
use serde::Serialize;
use std::collections::HashMap;

/// Services that are drawn.
pub(crate) const MOST_SERVICES: usize = 12;
/// Points of a small line in a table.
const SMALL_LINE: usize = 40;
/// Histogram: this many bins per power of ten.
pub(crate) const BINS_PER_DECADE: f64 = 10.0;
/// Bins from 1 ns to 10,000 s.
const BINS: usize = 130;

/// The buckets of time that all series share.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Buckets {
    /// Start of the first one, ns from the start of the recording; not after it.
    pub(crate) first_ns: i64,
    pub(crate) length_ns: u64,
    pub(crate) count: usize,
}

impl Buckets {
    /// Buckets of the RED table that cover the recording.
    pub(crate) fn new(analysis: &Analysis) -> Self {
        let length_ns = analysis.red().bucket_ns.max(1);
        let step = i64::try_from(length_ns).unwrap_or(i64::MAX);
        let r = &analysis.replayed;
        let first = r.start.div_euclid(step).saturating_mul(step);
        let count = r.end.saturating_sub(first).div_euclid(step).saturating_add(1);
        // A capture whose clock jumped must not make a page of millions of buckets.
        let count = usize::try_from(count).unwrap_or(1).clamp(1, 4_000);
        Self { first_ns: first.saturating_sub(r.start), length_ns, count }
    }

    fn place(&self, analysis: &Analysis, row: &Row) -> Option<usize> {
        let at = row.start.saturating_sub(analysis.replayed.start).saturating_sub(self.first_ns);
        let place = usize::try_from(at).ok()? as u64 / self.length_ns;
        usize::try_from(place).ok().filter(|p| *p < self.count)
    }
}

/// A service over time. One value per bucket; delays are -1 where there was no answer.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) protocol: &'static str,
    pub(crate) requests: Vec<u64>,
    pub(crate) client_errors: Vec<u64>,
    pub(crate) server_errors: Vec<u64>,
    pub(crate) timeouts: Vec<u64>,
    pub(crate) p50_ns: Vec<i64>,
    pub(crate) p95_ns: Vec<i64>,
    pub(crate) p99_ns: Vec<i64>,
    /// Delays: number of the first bin, and requests from there on.
    pub(crate) histogram: (usize, Vec<u32>),
}

/// The services with most requests.
pub(crate) fn services(analysis: &Analysis, buckets: Buckets) -> Vec<Service> {
    let red = analysis.red();
    let chosen: Vec<&Row> = red.services.iter().take(MOST_SERVICES).collect();
    let mut places = HashMap::new();
    let mut out: Vec<Service> = Vec::new();
    for row in &chosen {
        places.insert((&*row.service, row.l7_protocol), out.len());
        let zero = || vec![0; buckets.count];
        let none = || vec![-1; buckets.count];
        out.push(Service {
            name: super::columns::clean(&row.service).into_owned(),
            protocol: row.l7_protocol,
            requests: zero(),
            client_errors: zero(),
            server_errors: zero(),
            timeouts: zero(),
            p50_ns: none(),
            p95_ns: none(),
            p99_ns: none(),
            histogram: (0, Vec::new()),
        });
    }
    for row in &red.service_rows {
        let service = places.get(&(&*row.service, row.l7_protocol)).and_then(|p| out.get_mut(*p));
        let (Some(s), Some(at)) = (service, buckets.place(analysis, row)) else { continue };
        let c = &row.counts;
        let set = |values: &mut Vec<u64>, v: u64| values.iter_mut().skip(at).take(1).for_each(|x| *x += v);
        set(&mut s.requests, c.requests);
        set(&mut s.client_errors, c.client_errors);
        set(&mut s.server_errors, c.server_errors);
        set(&mut s.timeouts, c.timeouts);
        if c.delay.count > 0 {
            for (values, v) in
                [(&mut s.p50_ns, c.delay.p50_ns), (&mut s.p95_ns, c.delay.p95_ns), (&mut s.p99_ns, c.delay.p99_ns)]
            {
                if let Some(x) = values.get_mut(at) {
                    *x = i64::try_from(v).unwrap_or(i64::MAX);
                }
            }
        }
    }
    for (histogram, service) in histograms(analysis, &chosen).into_iter().zip(&mut out) {
        service.histogram = histogram;
    }
    out
}

/// The bin of a delay: tenths of powers of ten of its ns.
pub(crate) fn bin(ns: u64) -> usize {
    ((ns.max(1) as f64).log10() * BINS_PER_DECADE) as usize
}

fn histograms(analysis: &Analysis, chosen: &[&Row]) -> Vec<(usize, Vec<u32>)> {
    let r = &analysis.replayed;
    let places: HashMap<(&str, &str), usize> =
        chosen.iter().enumerate().map(|(i, row)| ((&*row.service, row.l7_protocol), i)).collect();
    let mut by_number: HashMap<(u32, &str), Option<usize>> = HashMap::new();
    let mut bins = vec![[0u32; BINS]; chosen.len()];
    for &(index, service) in analysis.counted() {
        let Some(request) = r.requests.get(index) else { continue };
        let place = *by_number.entry((service, request.fields.l7_protocol)).or_insert_with(|| {
            let name = analysis.services().name(service);
            places.get(&(&*name, request.fields.l7_protocol)).copied()
        });
        let (Some(place), Some(delay)) = (place, request.duration_ns()) else { continue };
        if let Some(count) = bins.get_mut(place).and_then(|b| b.get_mut(bin(delay).min(BINS - 1))) {
            *count += 1;
        }
    }
    bins.iter()
        .map(|bins| {
            let first = bins.iter().position(|n| *n > 0).unwrap_or(0);
            let last = bins.iter().rposition(|n| *n > 0).map_or(first, |l| l + 1);
            (first, bins.get(first..last).unwrap_or_default().to_vec())
        })
        .collect()
}

/// Small lines of requests over time: per (service, protocol, endpoint) of `rows`.
pub(crate) fn small_lines<'a>(
    analysis: &Analysis,
    buckets: Buckets,
    rows: &'a [Row],
    wanted: &[&'a Row],
) -> HashMap<(&'a str, &'a str, &'a str), Vec<u32>> {
    // Points of equally many buckets; the last one may have fewer, and counts as if it had all.
    let group = buckets.count.div_ceil(SMALL_LINE).max(1);
    let points = buckets.count.div_ceil(group);
    let key = |row: &'a Row| (&*row.service, row.l7_protocol, &*row.endpoint);
    let mut out: HashMap<_, Vec<u32>> = wanted.iter().map(|row| (key(row), vec![0; points])).collect();
    for row in rows {
        if let (Some(line), Some(at)) = (out.get_mut(&key(row)), buckets.place(analysis, row))
            && let Some(v) = line.get_mut(at / group)
        {
            *v = v.saturating_add(u32::try_from(row.counts.requests).unwrap_or(u32::MAX));
        }
    }
    let last = buckets.count - (points - 1) * group;
    for v in out.values_mut().filter_map(|line| line.last_mut()) {
        *v = u32::try_from(u64::from(*v) * group as u64 / last as u64).unwrap_or(u32::MAX);
    }
    out
}
