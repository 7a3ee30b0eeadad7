//! Frames whose head tells their length: how much of one to look at before it is passed over.

use super::{Input, Step};

/// What of a frame is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// From the first byte of the frame, `window` bytes at most.
    pub(super) bytes: &'a [u8],
    /// Fewer bytes were captured than should be looked at.
    pub(super) cut: bool,
}

/// The first `window` bytes of a frame of `total` bytes, or what to wait for.
pub(super) fn view(input: Input<'_>, total: u64, window: usize) -> Result<View<'_>, Step> {
    let wanted = usize::try_from(total).map_or(window, |total| total.min(window));
    match input.bytes.get(..wanted) {
        Some(bytes) => Ok(View { bytes, cut: false }),
        None if input.cut => Ok(View { bytes: input.bytes, cut: true }),
        None => Err(Step::More(wanted)),
    }
}

/// A key that keeps apart the ids which each side counts for itself.
pub(super) fn key_of(id: u64, asker: crate::model::Side) -> u64 {
    id << 1 | asker.index() as u64
}
