//! How long it takes from rows to Parquet: `cargo bench -p analyzer --bench tables`.
//!
//! 100,000 requests on 20,000 flows, one thread; the least CPU time of several runs per table.

#[path = "../tests/sample/mod.rs"]
mod sample;

use analyzer::analysis::Analysis;
use analyzer::tables::{Format, TABLES, write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

// As in `analyze`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time that this thread ran, where the system tells it, so that a busy machine changes little; else any time.
fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = stat.and_then(|s| s.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    ran.unwrap_or_else(|| START.elapsed())
}

fn main() {
    let mut all = Duration::ZERO;
    let fastest = |f: &mut dyn FnMut()| {
        let time = |f: &mut dyn FnMut()| {
            let start = now();
            f();
            now().saturating_sub(start)
        };
        (0..7).map(|_| time(f)).min().unwrap_or_default()
    };
    let ms = |d: Duration| d.as_secs_f64() * 1e3;

    let analyses: Vec<Analysis> =
        (0..8).map(|_| Analysis::new(sample::recording(20_000, 100_000), "sample".into())).collect();
    let mut unused = analyses.iter();
    let aggregated = fastest(&mut || {
        if let Some(a) = unused.next() {
            a.red();
            a.edges();
        }
    });
    println!("{:<16} {:>8.1} ms", "red and map", ms(aggregated));
    all += aggregated;

    let Some(a) = analyses.first() else { return };
    a.red();
    a.edges();
    for table in &TABLES {
        let mut rows = 0;
        let built = fastest(&mut || rows = (table.build)(a).map_or(0, |f| f.height()));
        let Ok(mut frame) = table.of(a) else { continue };
        let mut bytes = 0;
        let written = fastest(&mut || {
            let mut out = Vec::new();
            let _ = write(&mut frame, Format::Parquet, None, &mut out);
            bytes = out.len();
        });
        println!(
            "{:<16} {:>8.1} ms built, {:>8.1} ms written, {rows} rows, {bytes} bytes",
            table.name,
            ms(built),
            ms(written)
        );
        all += built + written;
    }
    println!("{:<16} {:>8.1} ms", "all", ms(all));
}
