//! When a recording began, found without replaying it.

use super::batch::HOLD_BACK;
use super::events::utc;
use super::extent::began;
use super::{ReplayError, in_order};
use crate::model::Nanos;
use formats::event::{Records, kind};
use formats::read::{Batch, Reader};
use std::path::PathBuf;

/// When the inputs begin, which is [`crate::model::Replayed::start`] of a replay without a filter: when a bundle's recorder was started, else
/// the time of the earliest packet or socket call; `None` if there is none of these. Reads as far as something earlier may still come: some seconds' worth.
///
/// # Errors
/// If an input cannot be opened, is no capture, or is standard input, which could not be read again afterwards.
pub fn start(inputs: &[PathBuf]) -> Result<Option<Nanos>, ReplayError> {
    if inputs.iter().any(|p| p.as_os_str() == "-") {
        return Err(ReplayError::NotAgain);
    }
    let mut start: Option<Nanos> = None;
    for path in in_order(inputs)?.0 {
        let mut reader = Reader::open(&path)?;
        let mut earliest: Option<Nanos> = None;
        while let Some(batch) = reader.next_batch() {
            let offset = reader.realtime_offset_ns().unwrap_or(0);
            let began = reader.manifest().and_then(|m| began(m, offset));
            let Some(first) = first(&batch, offset).into_iter().chain(began).min() else { continue };
            let so_far = *earliest.get_or_insert(first);
            if first > so_far.saturating_add(HOLD_BACK) {
                break;
            }
            earliest = Some(so_far.min(first));
        }
        start = start.into_iter().chain(earliest).min();
    }
    Ok(start)
}

/// Time of the earliest packet or socket call in a batch.
fn first(batch: &Batch, offset: i64) -> Option<Nanos> {
    let calls = batch.blocks.iter().filter(|b| b.header.kind == kind::SOCKET_DATA);
    let calls = calls.flat_map(|b| Records::new(batch.payload(b)).map(|(hdr, _)| utc(hdr.ts, offset)));
    batch.packets.iter().map(|p| p.ts).chain(calls).min()
}
