//! `red`: rate, errors and duration.

use super::Table;
use super::columns::{Columns, table};
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::red::{Counts, Row};

pub(super) const TABLE: Table = Table {
    name: "red",
    command: "red",
    about: "Rate, errors and duration of requests per service, endpoint and time bucket; each request once",
    brief: &[
        "service",
        "l7_protocol",
        "endpoint",
        "view",
        "start",
        "requests",
        "rate",
        "errors",
        "duration_p50_ns",
        "duration_p95_ns",
        "duration_p99_ns",
        "duration_max_ns",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.red().rows, |c| {
        c.text("service", |r| &r.service);
        c.text("l7_protocol", |r| r.l7_protocol);
        c.text("endpoint", |r| &r.endpoint);
        c.text("view", |r| r.view.name());
        c.text("node", |_| a.only_node());
        c.time("start", |r| r.start);
        c.int("bucket_ns", |r| r.length_ns);
        counts(c, |r| &r.counts, |r| r.length_ns);
        views(c);
    }))
}

/// The same requests as clients and servers saw them.
fn views<'a>(c: &mut Columns<'a, Row>) {
    type Of = fn(&Row) -> &Counts;
    let sides: [(Of, [&'static str; 5]); 2] = [
        (
            |r| &r.by_client,
            ["client_requests", "client_view_errors", "client_p50_ns", "client_p95_ns", "client_p99_ns"],
        ),
        (
            |r| &r.by_server,
            ["server_requests", "server_view_errors", "server_p50_ns", "server_p95_ns", "server_p99_ns"],
        ),
    ];
    for (of, [requests, errors, p50, p95, p99]) in sides {
        let seen = move |f: fn(&Counts) -> u64| move |r: &'a Row| Some(f(of(r))).filter(|_| of(r).requests > 0);
        let delay = move |f: fn(&Counts) -> u64| move |r: &'a Row| Some(f(of(r))).filter(|_| of(r).delay.count > 0);
        c.opt(requests, seen(|c| c.requests));
        c.opt(errors, seen(Counts::errors));
        c.opt(p50, delay(|c| c.delay.p50_ns));
        c.opt(p95, delay(|c| c.delay.p95_ns));
        c.opt(p99, delay(|c| c.delay.p99_ns));
    }
}

/// The columns of [`Counts`], gathered over `length` ns.
pub(super) fn counts<'a, T>(c: &mut Columns<'a, T>, of: fn(&'a T) -> &'a Counts, length: impl Fn(&'a T) -> u64) {
    let delay = |f: fn(&Counts) -> u64| move |r: &'a T| Some(f(of(r))).filter(|_| of(r).delay.count > 0);
    c.int("requests", |r| of(r).requests);
    c.float("rate", |r| of(r).rate(length(r)));
    c.int("errors", |r| of(r).errors());
    c.int("client_errors", |r| of(r).client_errors);
    c.int("server_errors", |r| of(r).server_errors);
    c.int("timeouts", |r| of(r).timeouts);
    c.int("request_bytes", |r| of(r).request_bytes);
    c.int("response_bytes", |r| of(r).response_bytes);
    c.int("duration_count", |r| of(r).delay.count);
    c.int("duration_sum_ns", |r| of(r).delay.sum_ns);
    c.opt("duration_p50_ns", delay(|c| c.delay.p50_ns));
    c.opt("duration_p95_ns", delay(|c| c.delay.p95_ns));
    c.opt("duration_p99_ns", delay(|c| c.delay.p99_ns));
    c.opt("duration_max_ns", delay(|c| c.delay.max_ns));
}
