//! The tables: one file each, one line each in [`TABLES`].

mod clocks;
mod columns;
mod delta;
mod findings;
mod flows;
mod frame;
mod health;
mod hops;
mod interfaces;
mod known;
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
mod texts;
mod traces;

pub use frame::Frame;
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
    pub build: fn(&Analysis) -> PolarsResult<Frame>,
}

/// All tables, in the order of `--help` and of docs/tables.md.
pub const TABLES: [Table; 18] = [
    findings::TABLE,
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
        self.of(&Analysis::new(replay::model::Replayed::default(), String::new()))
    }

    /// All of it, as Polars has it.
    ///
    /// # Errors
    /// If what it is made of cannot be read again.
    pub fn of(&self, a: &Analysis) -> PolarsResult<DataFrame> {
        (self.build)(a)?.into_polars()
    }
}

/// The table called `name`, with `-` or `_`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|t| t.name == name || t.command == name)
}
