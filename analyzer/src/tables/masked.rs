//! `masked`: how many secrets are not shown, of which kind, and who masked them.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::{Analysis, Masked};
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "masked",
    command: "masked",
    about: "How many secrets were masked, when recorded and by analyze, of which kind; empty if none were",
    brief: &["by", "secret", "times"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.masked(), |c| {
        c.text("by", |m: &Masked| m.by.name());
        c.text("secret", |m| m.secret);
        c.int("times", |m| m.times);
    }))
}
