//! What the recorder and the analyzer agree on.
//!
//! The `no_std` core ([`event`]) is the layout of the event records, as the eBPF programs write
//! them into the rings and as they lie in a bundle. The `std` part is the bundle file itself:
//! blocks, manifest, host facts, writer and reader. `docs/bundle-format.md` is its specification.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod event;

#[cfg(feature = "std")]
pub mod block;
#[cfg(feature = "std")]
pub mod facts;
#[cfg(feature = "std")]
pub mod manifest;
#[cfg(feature = "std")]
pub mod pcapng;
#[cfg(feature = "std")]
pub mod read;
#[cfg(feature = "std")]
pub mod write;
#[cfg(feature = "std")]
mod zstd_frame;
