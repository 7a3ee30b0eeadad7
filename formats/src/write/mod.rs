//! Writing bundles: a [`FrameBuilder`] gathers blocks, a [`BundleFile`] compresses them into frames and appends these.
//!
//! The two halves may live on different threads: building is a copy into a buffer, compressing is work.

mod bundle;
mod frame;
mod piece;

pub(crate) use bundle::hex;
pub use bundle::{BundleFile, DEFAULT_LEVEL, Finished};
pub use frame::{FrameBuilder, FrameContent};
