//! Every hook: program, where it is attached, and when it is wanted.

use super::HookConfig;
use formats::event::kind;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `syscalls/NAME`.
    Syscall(&'static str),
    /// `syscalls/NAME`, taken off while it would cost too much.
    Read(&'static str),
    /// A tracepoint with typed arguments, put on while those of [`Target::Read`] are off.
    Wait(&'static str),
    /// A tracepoint with typed arguments.
    Typed(&'static str),
    /// The CPU clock of every CPU.
    CpuClock,
}

/// Families that can be switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// System calls on sockets.
    Syscalls,
    /// Packets.
    Packets,
    /// TCP states, drops.
    SocketState,
    /// Fork, exec, exit.
    Process,
    /// Stack samples.
    Stacks,
}

/// Which of the two ways of recording data through sockets a hook belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Both.
    Either,
    /// Where `sock_send_length` and `sock_recv_length` see all data: files cost nothing then.
    Lengths,
    /// Older kernels: entry and exit of every system call that moves data.
    Calls,
}

/// One hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HookSpec {
    /// Name of the program in the object.
    pub(crate) program: &'static str,
    /// Where.
    pub(crate) target: Target,
    /// What it belongs to.
    pub(crate) family: Family,
    /// When.
    pub(crate) way: Way,
}

impl HookSpec {
    /// As the manifest shows it.
    #[must_use]
    pub(crate) fn target_name(&self) -> String {
        match self.target {
            Target::Syscall(name) | Target::Read(name) => format!("tracepoint:syscalls:{name}"),
            Target::Typed(name) | Target::Wait(name) => format!("tp_btf:{name}"),
            Target::CpuClock => "perf:cpu-clock".to_owned(),
        }
    }

    /// Kind of the records that are missing if the kernel leaves out a run of the program; `None` if none are.
    #[must_use]
    pub(crate) fn loses(&self) -> Option<u16> {
        match (self.family, self.program) {
            // Those note times only.
            (_, "stamp" | "stamp_read" | "read_waits") => None,
            (Family::Syscalls, _) => Some(kind::SOCKET_DATA),
            (Family::Packets, _) => Some(kind::PACKET),
            (Family::SocketState, _) => Some(kind::SOCKET_STATE),
            (Family::Process, "process_fork") => Some(kind::PROCESS_FORK),
            (Family::Process, "process_exec") => Some(kind::PROCESS_EXEC),
            (Family::Process, _) => Some(kind::PROCESS_EXIT),
            (Family::Stacks, _) => Some(kind::STACK_SAMPLE),
        }
    }

    /// Whether the configuration asks for it, on a kernel that has the tracepoints of lengths or has not.
    #[must_use]
    pub(crate) fn wanted(&self, config: &HookConfig, lengths: bool) -> bool {
        if self.way == (if lengths { Way::Calls } else { Way::Lengths }) {
            return false;
        }
        match self.family {
            Family::Syscalls => config.syscalls,
            Family::Packets => config.packets,
            Family::SocketState => config.socket_state,
            Family::Process => config.process,
            Family::Stacks => config.stacks && config.sample_hz > 0,
        }
    }
}

const fn syscall(program: &'static str, tracepoint: &'static str, way: Way) -> HookSpec {
    HookSpec { program, target: Target::Syscall(tracepoint), family: Family::Syscalls, way }
}

const fn read_entry(tracepoint: &'static str) -> HookSpec {
    HookSpec { program: "stamp_read", target: Target::Read(tracepoint), family: Family::Syscalls, way: Way::Lengths }
}

const fn typed(program: &'static str, tracepoint: &'static str, family: Family) -> HookSpec {
    HookSpec { program, target: Target::Typed(tracepoint), family, way: Way::Either }
}

const fn length(program: &'static str, tracepoint: &'static str) -> HookSpec {
    HookSpec { program, target: Target::Typed(tracepoint), family: Family::Syscalls, way: Way::Lengths }
}

/// All hooks. Exits come before entries, so that no entry is left behind without its exit.
pub(crate) const HOOKS: &[HookSpec] = &[
    typed("process_fork", "sched_process_fork", Family::Process),
    typed("process_exec", "sched_process_exec", Family::Process),
    typed("process_exit", "sched_process_exit", Family::Process),
    typed("state_change", "inet_sock_set_state", Family::SocketState),
    typed("retransmit", "tcp_retransmit_skb", Family::SocketState),
    typed("reset_sent", "tcp_send_reset", Family::SocketState),
    typed("reset_received", "tcp_receive_reset", Family::SocketState),
    typed("drop_packet", "kfree_skb", Family::SocketState),
    typed("packet_in", "netif_receive_skb", Family::Packets),
    typed("packet_out", "net_dev_start_xmit", Family::Packets),
    syscall("exit_read", "sys_exit_read", Way::Calls),
    syscall("exit_readv", "sys_exit_readv", Way::Calls),
    syscall("exit_recvfrom", "sys_exit_recvfrom", Way::Either),
    syscall("exit_recvmsg", "sys_exit_recvmsg", Way::Either),
    syscall("exit_recvmmsg", "sys_exit_recvmmsg", Way::Either),
    syscall("exit_write", "sys_exit_write", Way::Calls),
    syscall("exit_writev", "sys_exit_writev", Way::Calls),
    syscall("exit_sendto", "sys_exit_sendto", Way::Calls),
    syscall("exit_sendmsg", "sys_exit_sendmsg", Way::Calls),
    syscall("exit_sendmmsg", "sys_exit_sendmmsg", Way::Either),
    syscall("exit_sendfile64", "sys_exit_sendfile64", Way::Calls),
    syscall("exit_splice", "sys_exit_splice", Way::Either),
    syscall("exit_connect", "sys_exit_connect", Way::Either),
    syscall("exit_accept", "sys_exit_accept", Way::Either),
    syscall("exit_accept", "sys_exit_accept4", Way::Either),
    syscall("exit_shutdown", "sys_exit_shutdown", Way::Either),
    syscall("enter_read", "sys_enter_read", Way::Calls),
    syscall("enter_readv", "sys_enter_readv", Way::Calls),
    syscall("enter_recvfrom", "sys_enter_recvfrom", Way::Calls),
    syscall("enter_recvmsg", "sys_enter_recvmsg", Way::Calls),
    syscall("enter_recvmmsg", "sys_enter_recvmmsg", Way::Either),
    syscall("enter_write", "sys_enter_write", Way::Calls),
    syscall("enter_writev", "sys_enter_writev", Way::Calls),
    syscall("enter_sendto", "sys_enter_sendto", Way::Calls),
    syscall("enter_sendmsg", "sys_enter_sendmsg", Way::Calls),
    syscall("enter_sendmmsg", "sys_enter_sendmmsg", Way::Either),
    syscall("enter_sendfile64", "sys_enter_sendfile64", Way::Calls),
    syscall("enter_splice", "sys_enter_splice", Way::Either),
    syscall("enter_connect", "sys_enter_connect", Way::Either),
    syscall("enter_accept", "sys_enter_accept", Way::Either),
    syscall("enter_accept", "sys_enter_accept4", Way::Either),
    syscall("enter_shutdown", "sys_enter_shutdown", Way::Either),
    syscall("enter_close", "sys_enter_close", Way::Either),
    read_entry("sys_enter_read"),
    read_entry("sys_enter_readv"),
    read_entry("sys_enter_recvfrom"),
    read_entry("sys_enter_recvmsg"),
    HookSpec {
        program: "read_waits",
        target: Target::Wait("sched_switch"),
        family: Family::Syscalls,
        way: Way::Lengths,
    },
    syscall("stamp", "sys_enter_write", Way::Lengths),
    syscall("stamp", "sys_enter_writev", Way::Lengths),
    syscall("stamp", "sys_enter_sendto", Way::Lengths),
    syscall("stamp", "sys_enter_sendmsg", Way::Lengths),
    syscall("stamp", "sys_enter_sendfile64", Way::Lengths),
    length("sent", "sock_send_length"),
    length("received", "sock_recv_length"),
    HookSpec { program: "stack_sample", target: Target::CpuClock, family: Family::Stacks, way: Way::Either },
];
