//! The tables: one file each, one line each in [`TABLES`].

mod clocks;
mod columns;
mod delta;
mod flows;
mod health;
mod hops;
mod interfaces;
mod map;
mod masked;
mod network_profile;
mod output;
mod parquet;
mod pieces;
mod processes;
mod red;
mod requests;
mod round_trips;
mod socket_events;
mod spans;
mod stacks;
mod tcp_packets;
#[cfg(test)]
mod tests;
mod text;
mod traces;

pub use output::{Form, Format, Output, Piece, write};
pub use pieces::{each_piece, each_stored_piece, is_stored, needs};

use crate::analysis::Analysis;
use polars::prelude::{DataFrame, PolarsResult};

/// A table that `analyze` makes.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name, also of its file.
    pub name: &'static str,
    /// Its command: the name with `-` for `_`.
    pub command: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// The columns shown on a terminal unless others are asked for.
    pub brief: &'static [&'static str],
    /// Makes it.
    pub build: fn(&Analysis) -> PolarsResult<DataFrame>,
}

/// All tables, in the order of `--help` and of docs/tables.md.
pub const TABLES: [Table; 17] = [
    flows::TABLE,
    requests::TABLE,
    spans::TABLE,
    traces::TABLE,
    hops::TABLE,
    clocks::TABLE,
    network_profile::TABLE,
    round_trips::TABLE,
    tcp_packets::TABLE,
    stacks::TABLE,
    map::TABLE,
    red::TABLE,
    processes::TABLE,
    interfaces::TABLE,
    socket_events::TABLE,
    health::TABLE,
    masked::TABLE,
];

impl Table {
    /// Its columns, without rows.
    ///
    /// # Errors
    /// None that depend on the input.
    pub fn columns(&self) -> PolarsResult<DataFrame> {
        (self.build)(&Analysis::new(replay::model::Replayed::default(), String::new()))
    }
}

/// The table called `name`, with `-` or `_`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|t| t.name == name || t.command == name)
}
