//! `cargo xtask TASK`: the tasks of the project.

mod bench;
mod cargo;
mod claims;
mod corpus;
mod demo;
mod ebpf;
mod kernels;
mod packages;
mod peers;
mod suite;

use anyhow::{Result, bail};

const USAGE: &str = "cargo xtask TASK

  demo      record a real three-tier workload live, analyze it, show the summary and the report
  test      every test of the project; live ones need root and eBPF
  ebpf      build the eBPF object and commit it with its source hash (nightly, bpf-linker)
  kernels   boot Debian's 6.1 and 6.12 kernels under QEMU and record a small workload there
  corpus    record the bundle that ships in corpus/ anew
  peers     flows and requests of the shared captures against what others say of them
  bench     the benchmarks, each as a ratio to a peer or a baseline within one run";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("demo") => demo::run(),
        Some("test") => suite::run(),
        Some("ebpf") => ebpf::run(&args[1..]),
        Some("kernels") => kernels::run(&args[1..]),
        Some("peers") => peers::run(),
        Some("corpus") => corpus::run(),
        Some("bench") => bench::run(&args[1..]),
        Some("--help" | "-h" | "help") => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no task `{other}`\n\n{USAGE}"),
        None => bail!("which task?\n\n{USAGE}"),
    }
}
