//! Samples of what runs: kernel and user stack at every tick of the CPU clock.

use crate::{
    filter,
    kernel::{self, conf, load},
    ring::{self, masked},
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_stack, bpf_ktime_get_ns},
    macros::perf_event,
    programs::PerfEventContext,
};
use formats::event::{StackSample, kind};

/// Frames of each stack: the kernel's default `perf_event_max_stack`.
const MAX_FRAMES: u64 = 127;
const MAX_BYTES: u64 = MAX_FRAMES * 8;
const BPF_F_USER_STACK: u64 = 256;

/// A tick of the CPU clock.
#[perf_event]
pub fn stack_sample(ctx: PerfEventContext) -> u32 {
    let _ = sample(&ctx);
    0
}

#[inline(always)]
fn sample(ctx: &PerfEventContext) -> Option<()> {
    let task = kernel::current();
    let (pid, tid) = (load!(task, task_tgid as u32), load!(task, task_pid as u32));
    if tid == 0 || !filter::task_wanted(task, pid) {
        return None;
    }
    let fixed = size_of::<StackSample>() as u64;
    let slot = ring::reserve(kind::STACK_SAMPLE, fixed + 2 * MAX_BYTES)?;
    let r = slot.fixed::<StackSample>();
    // SAFETY: the record was reserved with room for two full stacks.
    unsafe {
        let kernel = bpf_get_stack(ctx.as_ptr(), slot.tail::<StackSample>(0).cast(), MAX_BYTES as u32, 0);
        let kernel_len = if kernel > 0 { masked(kernel as u64, 1023) } else { 0 };
        let to = slot.tail::<StackSample>(kernel_len);
        let user = bpf_get_stack(ctx.as_ptr(), to.cast(), MAX_BYTES as u32, BPF_F_USER_STACK);
        let user_len = if user > 0 { masked(user as u64, 1023) } else { 0 };
        (*r).hdr.kind = kind::STACK_SAMPLE;
        (*r).hdr.fixed_len = fixed as u16;
        (*r).hdr.ts = bpf_ktime_get_ns();
        (*r).hdr.pid = pid;
        (*r).hdr.tid = tid;
        (*r).period = conf!(sample_period);
        (*r).kernel_len = kernel_len as u16;
        (*r).user_len = user_len as u16;
        (*r).user_error = if user < 0 { user as i32 } else { 0 };
        (*r).comm = kernel::comm_of(task);
        slot.commit_shrunk(fixed + kernel_len + user_len);
    }
    Some(())
}
