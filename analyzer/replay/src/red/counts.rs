//! Counts and delays of a group of requests.

use crate::model::{DelayStats, Request, Status};

/// What a group of requests adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, answered or not, one-way messages included.
    pub requests: u64,
    /// Of these: the client's fault (HTTP 4xx, NXDOMAIN, SQL syntax, ...).
    pub client_errors: u64,
    /// The server's fault (HTTP 5xx, SERVFAIL, ...).
    pub server_errors: u64,
    /// No answer within the protocol's time.
    pub timeouts: u64,
    /// Bytes of the requests on their streams.
    pub request_bytes: u64,
    /// Bytes of the responses.
    pub response_bytes: u64,
    /// First byte of the request to last byte of the response, of those requests that have both.
    pub delay: DelayStats,
}

impl Counts {
    /// Requests that failed: client errors, server errors and time-outs.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.client_errors + self.server_errors + self.timeouts
    }

    /// Share of requests that failed, 0..=1.
    #[must_use]
    pub fn error_ratio(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors() as f64 / self.requests as f64 }
    }

    /// Requests per second over `length_ns`; 0 where the length is 0.
    #[must_use]
    pub fn rate(&self, length_ns: u64) -> f64 {
        if length_ns == 0 { 0.0 } else { self.requests as f64 * 1e9 / length_ns as f64 }
    }
}

/// Adds up requests; delays are kept until the end, so percentiles are exact.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    counts: Counts,
    delays: Vec<u64>,
}

impl Sum {
    pub(crate) fn add(&mut self, request: &Request) {
        let c = &mut self.counts;
        c.requests += 1;
        match request.fields.status {
            Status::ClientError => c.client_errors += 1,
            Status::ServerError => c.server_errors += 1,
            Status::Timeout => c.timeouts += 1,
            Status::Ok | Status::Unknown | Status::ParseFailed => {}
        }
        c.request_bytes += request.request_bytes;
        c.response_bytes += request.response_bytes;
        self.delays.extend(request.duration_ns());
    }

    pub(crate) fn finish(mut self) -> Counts {
        self.counts.delay = delay_stats(&mut self.delays);
        self.counts
    }
}

/// Exact statistics of delays in ns. Percentiles are by nearest rank: the smallest value that at least
/// that share of all values does not exceed. Reorders `values`.
#[must_use]
pub fn delay_stats(values: &mut [u64]) -> DelayStats {
    let n = values.len();
    let Some(&max_ns) = values.iter().max() else {
        return DelayStats::default();
    };
    // Place of the p-th percentile among the sorted values: ceil(p * n / 100) - 1.
    let place = |p: usize| (n * p).div_ceil(100).saturating_sub(1).min(n - 1);
    // From high to low, each within what is left of the one before: everything stays linear.
    let (p99, p95, p50) = (place(99), place(95), place(50));
    let p99_ns = *values.select_nth_unstable(p99).1;
    let p95_ns = *values[..=p99].select_nth_unstable(p95).1;
    let p50_ns = *values[..=p95].select_nth_unstable(p50).1;
    DelayStats {
        count: u32::try_from(n).unwrap_or(u32::MAX),
        sum_ns: values.iter().fold(0, |a: u64, v| a.saturating_add(*v)),
        max_ns,
        p50_ns,
        p95_ns,
        p99_ns,
    }
}
