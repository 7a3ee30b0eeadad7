//! `analyze`: tables, plots and a report out of a bundle.

use std::ffi::{c_int, c_long};

/// Rows have millions of small texts, and tables need large buffers again and again: the systems' allocators take up
/// to twice the time for both.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3 (include/mimalloc.h): milliseconds until memory that was freed goes back to the system.
const PURGE_DELAY: c_int = 15;
/// By default it is a second, which is longer than most analyses: they would keep all that they ever had. Shorter than this, and what
/// is taken again at once would have to be cleared again first (docs/performance.md).
const PURGE_DELAY_MS: c_long = 100;

const NEVER: c_long = -1;

unsafe extern "C" {
    /// Of mimalloc; what the environment (`MIMALLOC_PURGE_DELAY`) says stays.
    fn mi_option_set_default(option: c_int, value: c_long);
    /// The same, whatever the environment says.
    fn mi_option_set(option: c_int, value: c_long);
}

fn main() -> std::process::ExitCode {
    // SAFETY: takes two numbers, of an option that exists; no other thread runs yet.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    let code = analyzer::cli::main();
    // SAFETY: takes two numbers, of an option that exists; threads that are left may read the old value or the new one. All memory goes back at once with the process, which takes less than giving back piece by piece what is free in it.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) };
    code
}
