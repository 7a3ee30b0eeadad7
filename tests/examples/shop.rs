//! Runs the three-tier workload for a while and prints the load generator's log as JSON lines:
//! `cargo run -p e2e --example shop -- [REQUESTS] [fresh|keepalive]`.

use anyhow::Result;
use e2e::shop::{Shop, Upstream};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(200), |n| n.parse())?;
    let upstream = if args.next().as_deref() == Some("keepalive") { Upstream::KeepAlive } else { Upstream::Fresh };
    let shop = Shop::start(upstream)?;
    for entry in e2e::load::run(&shop.ns, 6, count, 0)? {
        println!(
            "{}",
            serde_json::json!({"n": entry.n, "connection": entry.connection, "method": entry.method, "path": entry.path,
                "status": entry.status, "start_ns": u64::try_from(entry.start_ns)?, "duration_ns": u64::try_from(entry.duration.as_nanos())?,
                "response_bytes": entry.response_bytes})
        );
    }
    Ok(())
}
