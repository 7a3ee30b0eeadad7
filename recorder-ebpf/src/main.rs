//! The programs that run in the kernel: they see an event, reserve room in the ring of their CPU
//! and write one record of `formats::event` right there. One file per family of hooks.
//!
//! Rules that hold everywhere:
//! - Offsets of kernel structures come from `OFFSETS`, which user space fills from the BTF of the
//!   running kernel before loading. To the verifier they are known constants.
//! - A tracepoint program returns 0, so that perf does not write an event of its own.
//! - No event is dropped without being counted in the ring's control page.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod emit;
mod filter;
mod frames;
mod inflight;
mod kernel;
#[allow(dead_code, reason = "the loader uses the rest")]
mod layout;
mod lengths;
mod packets;
mod payload;
mod probe;
mod process;
mod ring;
mod socket;
mod stacks;
mod states;
mod syscalls;

/// Helpers that only GPL-compatible programs may call are used (`bpf_probe_read_*`).
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
