//! `analyze`: tables, plots and a report out of a bundle.

fn main() -> std::process::ExitCode {
    analyzer::cli::main()
}
