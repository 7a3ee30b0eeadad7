//! Writing bundles: a [`FrameBuilder`] gathers blocks, a [`BundleFile`] compresses and appends frames.
//!
//! The two halves may live on different threads: building is a copy into a buffer, compressing is work.

mod bundle;
mod frame;

pub use bundle::{BundleFile, DEFAULT_LEVEL, Finished};
pub(crate) use bundle::hex;
pub use frame::{FrameBuilder, FrameContent};
