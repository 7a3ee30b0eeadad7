//! The analyzer: tables, plots and a report out of a recording. `analyze` is this library with a `main`.
//!
//! [`replay`] does the work; here its rows become Polars tables ([`tables`]), a summary on the terminal ([`summary`])
//! and the files of an analysis ([`commands`]). [`cli`] says what can be asked for.

pub mod analysis;
pub mod cli;
pub mod commands;
pub mod findings;
pub mod human;
pub mod plots;
pub mod report;
pub mod summary;
pub mod tables;

#[cfg(test)]
#[path = "../tests/sample/mod.rs"]
mod sample;
