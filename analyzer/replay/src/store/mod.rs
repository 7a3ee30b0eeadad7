//! Rows that wait for the end of the capture: packed as they are finished, in memory or on disk, and read back in the order of the tables.
//!
//! A row's final place is known only when the capture has been read: a connection that began first may end last. So rows are
//! written, as soon as they are finished, into blocks of bytes (a flow takes some 300 of them, a request 200: a fraction of what it
//! takes as a struct with its texts), and only what orders them stays at hand. Blocks beyond [`crate::engine::Options::memory`] go to a file that has no name and
//! vanishes with the process.

pub(crate) mod code;
mod log;
mod packed;
mod rows;
#[cfg(test)]
mod tests;
mod texts;

pub(crate) use code::{Coded, Reader, Writer, coded, coded_enum};
pub(crate) use log::{Entry, Log, Rows, Spill};
pub use packed::{PackedFields, PackedPairs, PackedText};
pub(crate) use texts::Texts;
