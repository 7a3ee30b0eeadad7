//! What loading costs: CPU time, and how many instructions the kernel's verifier walked through in each program.
//! `cargo run --release -p recorder --example load_cost` as root.

use recorder::bpf::{HookConfig, Session};
use recorder::cost::own_usage;

fn main() -> anyhow::Result<()> {
    let (before, _) = own_usage();
    let session = Session::start(&HookConfig::default())?;
    let (after, _) = own_usage();
    let mut verified = session.verified();
    verified.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    println!("{:.0} ms of CPU", (after - before) as f64 / 1e6);
    for (name, count) in &verified {
        println!("{name:<20} {count:>8} instructions verified");
    }
    for hook in session.hooks().iter().filter(|h| !h.attached) {
        println!("not attached: {} {}: {}", hook.program, hook.target, hook.error);
    }
    Ok(())
}
