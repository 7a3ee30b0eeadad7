//! The analyzer: tables, plots and a report out of a recording. `analyze` is this library with a `main`.
//!
//! [`replay`] does the work; here its rows become Polars tables ([`tables`]), and a summary on the terminal
//! ([`summary`]).

pub mod analysis;
pub mod human;
pub mod summary;
pub mod tables;
