//! `record`: what a Linux node does, into one file.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    recorder::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("record: recording needs Linux; bundles are analyzed anywhere with `analyze`");
    ExitCode::FAILURE
}
