//! From when to when was recorded, which is longer than there was traffic: a silent node is one thing, a recording that has ended another.

use super::Engine;
use super::events::utc;
use crate::model::Nanos;
use formats::manifest::Manifest;
use formats::read::{Batch, Reader};

/// When a bundle's recording began, UTC; `None` if it does not say.
pub(super) fn began(manifest: &Manifest, offset: i64) -> Option<Nanos> {
    (manifest.start_monotonic_ns != 0).then(|| utc(manifest.start_monotonic_ns, offset))
}

impl Engine {
    /// The end of a bundle: its recording lasted from what the manifest says to what the summary says. Without a summary (cut, killed) it
    /// lasted to the last that was written, whatever that was.
    pub(super) fn recorded(&mut self, reader: &Reader) {
        let offset = reader.realtime_offset_ns().unwrap_or(0);
        if let Some(start) = reader.manifest().and_then(|m| began(m, offset)) {
            self.out.start = self.out.start.min(start);
        }
        let written = std::mem::take(&mut self.written);
        let end = reader.summary().map(|s| s.end_monotonic_ns).filter(|at| *at != 0).unwrap_or(written);
        if end != 0 {
            self.out.end = self.out.end.max(utc(end, offset));
        }
    }

    /// Notes until when a bundle was written: at least once a second the recorder writes what it costs, also where nothing happens.
    pub(super) fn written(&mut self, batch: &Batch) {
        let last = batch.blocks.iter().map(|b| b.header.last_ts).max();
        self.written = self.written.max(last.unwrap_or(0));
    }

    /// The end of all inputs: of a filter's stretch of time there is only what was recorded, and of the recording only that stretch.
    pub(super) fn clip(&mut self) {
        let Some((from, to)) = self.filter.as_ref().map(|f| f.stretch()) else { return };
        self.out.start = self.out.start.max(from.unwrap_or(Nanos::MIN));
        self.out.end = self.out.end.min(to.unwrap_or(Nanos::MAX));
    }
}
