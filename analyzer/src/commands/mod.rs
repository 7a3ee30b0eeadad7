//! What `analyze` can be told to do, one file each.

pub mod export;
pub mod info;
pub mod plot;
pub mod summary;
pub mod table;
pub mod verify;

mod input;
mod key;
mod output;
mod time;

pub use time::TimePoint;

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of the input was read.
    Complete,
    /// The input is damaged or cut: results are there, but not of all of it.
    Partial,
}

impl Outcome {
    pub(crate) fn of(analysis: &crate::analysis::Analysis) -> Self {
        if analysis.damages().next().is_some() { Self::Partial } else { Self::Complete }
    }
}
