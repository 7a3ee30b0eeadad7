//! Life of processes: fork, exec, exit.

use crate::{
    filter, inflight,
    kernel::{self, Ptr, conf, load, offset, peek},
    layout::filter_bit,
    ring::{self, masked},
};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel_str, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use formats::event::{ProcessExec, ProcessExit, ProcessFork, RecordHeader, kind};

/// Longest path kept; a power of two.
const MAX_PATH: u64 = 256;
/// Longest argument area kept; a power of two.
const MAX_ARGS: u64 = 512;

/// # Safety
/// `hdr` lies in a reserved record.
#[inline(always)]
unsafe fn header<T>(hdr: *mut RecordHeader, kind: u16, pid: u32, tid: u32) {
    // SAFETY: by contract; the length stays 0 until the commit.
    unsafe {
        (*hdr).kind = kind;
        (*hdr).fixed_len = size_of::<T>() as u16;
        (*hdr).ts = bpf_ktime_get_ns();
        (*hdr).pid = pid;
        (*hdr).tid = tid;
    }
}

/// A thread or process is made.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let _ = forked(ctx.arg(0), ctx.arg(1));
    0
}

#[inline(always)]
fn forked(parent: Ptr, child: Ptr) -> Option<()> {
    let pid = load!(parent, task_tgid as u32);
    if !filter::task_wanted(parent, pid) {
        return None;
    }
    let child_pid = load!(child, task_tgid as u32);
    if conf!(filters) & filter_bit::PIDS != 0 && child_pid != pid {
        let _ = filter::PIDS.insert(child_pid, 1, 0);
    }
    let slot = ring::reserve(kind::PROCESS_FORK, size_of::<ProcessFork>() as u64)?;
    let r = slot.fixed::<ProcessFork>();
    // SAFETY: the record was reserved.
    unsafe {
        header::<ProcessFork>(&raw mut (*r).hdr, kind::PROCESS_FORK, pid, load!(parent, task_pid as u32));
        (*r).child_pid = child_pid;
        (*r).child_tid = load!(child, task_pid as u32);
        (*r).cgroup = kernel::cgroup_of(parent);
        (*r).comm = kernel::comm_of(child);
    }
    slot.commit();
    Some(())
}

/// A program was started in place of another.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let _ = executed(ctx.arg(0), ctx.arg(2));
    0
}

#[inline(always)]
fn executed(task: Ptr, program: Ptr) -> Option<()> {
    let pid = load!(task, task_tgid as u32);
    if !filter::task_wanted(task, pid) {
        return None;
    }
    let slot = ring::reserve(kind::PROCESS_EXEC, size_of::<ProcessExec>() as u64 + MAX_PATH + MAX_ARGS)?;
    let r = slot.fixed::<ProcessExec>();
    // SAFETY: the record was reserved with room for the longest path and arguments.
    unsafe {
        header::<ProcessExec>(&raw mut (*r).hdr, kind::PROCESS_EXEC, pid, load!(task, task_pid as u32));
        let path: u64 = peek(program as u64 + offset!(bprm_filename) as u64);
        let got = bpf_probe_read_kernel_str(slot.tail::<ProcessExec>(0).cast(), MAX_PATH as u32, path as *const _);
        // The length counts the terminating zero.
        let filename_len = if got > 0 { masked(got as u64 - 1, MAX_PATH - 1) } else { 0 };
        let mm = load!(task, task_mm as Ptr);
        let (start, end) = (load!(mm, mm_arg_start as u64), load!(mm, mm_arg_end as u64));
        let mut args_len = if end > start { end - start } else { 0 };
        if args_len > MAX_ARGS {
            args_len = MAX_ARGS;
        }
        let to = slot.tail::<ProcessExec>(filename_len);
        if bpf_probe_read_user(to.cast(), masked(args_len, 2 * MAX_ARGS - 1) as u32, start as *const _) != 0 {
            args_len = 0;
        }
        (*r).cgroup = kernel::cgroup_of(task);
        let parent = load!(task, task_parent as Ptr);
        (*r).parent_pid = load!(parent, task_tgid as u32);
        let cred = load!(task, task_cred as Ptr);
        (*r).uid = load!(cred, cred_uid as u32);
        (*r).filename_len = filename_len as u16;
        (*r).args_len = args_len as u16;
        (*r).reserved = 0;
        (*r).comm = kernel::comm_of(task);
        slot.commit_shrunk(size_of::<ProcessExec>() as u64 + filename_len + args_len);
    }
    Some(())
}

/// A thread ends.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let _ = exited(ctx.arg(0));
    0
}

#[inline(always)]
fn exited(task: Ptr) -> Option<()> {
    let (pid, tid) = (load!(task, task_tgid as u32), load!(task, task_pid as u32));
    inflight::release(tid);
    if !filter::task_wanted(task, pid) {
        return None;
    }
    let slot = ring::reserve(kind::PROCESS_EXIT, size_of::<ProcessExit>() as u64)?;
    let signal = load!(task, task_signal as Ptr);
    let group_dead = load!(signal, signal_live as u32) == 0;
    let r = slot.fixed::<ProcessExit>();
    // SAFETY: the record was reserved.
    unsafe {
        header::<ProcessExit>(&raw mut (*r).hdr, kind::PROCESS_EXIT, pid, tid);
        (*r).exit_code = load!(task, task_exit_code as i32);
        (*r).group_dead = u32::from(group_dead);
        (*r).comm = kernel::comm_of(task);
    }
    slot.commit();
    if group_dead && conf!(filters) & filter_bit::PIDS != 0 {
        let _ = filter::PIDS.remove(pid);
    }
    Some(())
}
