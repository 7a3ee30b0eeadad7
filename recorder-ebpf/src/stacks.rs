//! Samples of what runs: kernel and user stack at every tick of the CPU clock.
//!
//! The kernel walks user stacks by frame pointers, which most programs do not keep. So the top of the user stack comes along:
//! the recorder walks it by the program's call frame information and then forgets it.

use crate::{
    filter,
    kernel::{self, Ptr, conf, load},
    layout::{MAX_STACK, MAX_TAIL, USER_STACK_WORDS},
    ring::{self, Slot, masked},
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_stack, bpf_ktime_get_ns, bpf_probe_read_user, bpf_task_pt_regs},
    macros::perf_event,
    programs::PerfEventContext,
};
use formats::event::{StackSample, kind};

/// Frames of each stack: the kernel's default `perf_event_max_stack`.
const MAX_FRAMES: u64 = 127;
const MAX_BYTES: u64 = MAX_FRAMES * 8;
const BPF_F_USER_STACK: u64 = 256;
const PAGE: u64 = 4096;

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
    let stack_bytes = u64::from(conf!(stack_bytes));
    let slot = ring::reserve(kind::STACK_SAMPLE, fixed + 2 * MAX_BYTES + USER_STACK_WORDS * 8 + stack_bytes)?;
    let r = slot.fixed::<StackSample>();
    // SAFETY: the record was reserved with room for two full stacks and what follows them.
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
        let copied = if user_len == 0 { 0 } else { user_stack(&slot, task, kernel_len + user_len, stack_bytes) };
        slot.commit_shrunk(fixed + kernel_len + user_len + copied);
    }
    Some(())
}

/// Appends registers and stack at `position` of the tail; returns how many bytes that took.
#[inline(always)]
unsafe fn user_stack(slot: &Slot, task: Ptr, position: u64, want: u64) -> u64 {
    let mut words = [0u64; USER_STACK_WORDS as usize];
    let mut len = 0;
    if want != 0 {
        // SAFETY: the running task has registers: it has a user stack.
        let regs = unsafe { bpf_task_pt_regs(task as *mut _) as Ptr };
        let sp = load!(regs, regs_sp as u64);
        let mut piece = 0;
        // Whole pages, but for the first one: the stack ends with one, and what reaches beyond cannot be read.
        while piece < MAX_STACK / PAGE + 1 && len < want {
            let from = sp + len;
            let page_rest = PAGE - (from & (PAGE - 1));
            let take = if page_rest < want - len { page_rest } else { want - len };
            let to = slot.tail::<StackSample>(masked(position + USER_STACK_WORDS * 8 + len, MAX_TAIL));
            // SAFETY: position and length are bounded, the slack behind the data area has room for both.
            if unsafe { bpf_probe_read_user(to.cast(), masked(take, MAX_TAIL) as u32, from as *const _) } != 0 {
                break;
            }
            len += take;
            piece += 1;
        }
        words = [load!(regs, regs_ip as u64), sp, load!(regs, regs_bp as u64), len];
    }
    let to = slot.tail::<StackSample>(masked(position, MAX_TAIL)).cast::<[u64; USER_STACK_WORDS as usize]>();
    // SAFETY: as above.
    unsafe { to.write_unaligned(words) };
    USER_STACK_WORDS * 8 + len
}
