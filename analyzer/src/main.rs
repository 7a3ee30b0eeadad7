//! `analyze`: tables, plots and a report out of a bundle.

/// Rows have millions of small texts, and tables need large buffers again and again: the systems' allocators take up
/// to twice the time for both.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    analyzer::cli::main()
}
