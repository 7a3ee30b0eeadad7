//! Not a hook: run by the loader itself (BPF_PROG_TEST_RUN), in its own context, to learn what BTF does not tell.

use crate::{
    kernel::{self, load, offset, peek},
    layout::Probed,
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_probe_read_kernel,
    macros::{map, raw_tracepoint},
    maps::Array,
    programs::RawTracePointContext,
};

#[map]
static PROBED: Array<Probed> = Array::with_max_entries(1, 0);

/// Arguments: a descriptor of the caller, 1 if it is a pipe, an address to read from.
#[raw_tracepoint]
pub fn probe(ctx: RawTracePointContext) -> i32 {
    let args = ctx.as_ptr().cast::<u64>();
    // SAFETY: the loader passes three arguments.
    let (fd, is_pipe, address) = unsafe { (*args, *args.add(1), *args.add(2)) };
    let Some(out) = PROBED.get_ptr_mut(0) else { return 0 };
    let task = kernel::current();
    let file = kernel::file_of(task, fd as u32);
    let mut found = Probed { tgid: u64::from(load!(task, task_tgid as u32)), ..Default::default() };
    found.file_op = peek(file + offset!(file_op) as u64);
    if is_pipe == 1 {
        let pipe: u64 = peek(file + offset!(file_private) as u64);
        found.bufs = peek(pipe + offset!(pipe_bufs) as u64);
        found.page = peek(found.bufs);
    }
    // SAFETY: the buffer has 32 bytes; the helper survives any address.
    unsafe {
        let e = bpf_probe_read_kernel((&raw mut found.bytes).cast(), 32, address as *const _);
        found.readable = u64::from(e == 0);
        *out = found;
    }
    0
}
