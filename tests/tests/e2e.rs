//! End-to-end tests. Those under `live` record this machine's kernel and need root and eBPF: there they
//! run, and fail if they cannot; elsewhere they are named and counted as ignored. One at a time, since
//! they measure one machine.

mod file;
mod live;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let live_here = e2e::programs::can_record();
    if !live_here {
        eprintln!("live tests are skipped: they need Linux, root and /sys/kernel/btf/vmlinux");
    }
    let trial =
        |(name, test): Test| Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))));
    let mut trials: Vec<Trial> = file::TESTS.iter().copied().map(trial).collect();
    trials.extend(live::TESTS.iter().copied().map(trial).map(|trial| trial.with_ignored_flag(!live_here)));
    libtest_mimic::run(&arguments, trials).exit();
}
