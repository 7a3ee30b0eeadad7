//! Every hook: program, where it is attached, and when it is wanted.

use super::HookConfig;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `syscalls/NAME`.
    Syscall(&'static str),
    /// A tracepoint with typed arguments.
    Typed(&'static str),
    /// The CPU clock of every CPU.
    CpuClock,
}

/// Families that can be switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
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

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct HookSpec {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Where.
    pub target: Target,
    /// What it belongs to.
    pub family: Family,
}

impl HookSpec {
    /// As the manifest shows it.
    #[must_use]
    pub fn target_name(&self) -> String {
        match self.target {
            Target::Syscall(name) => format!("tracepoint:syscalls:{name}"),
            Target::Typed(name) => format!("tp_btf:{name}"),
            Target::CpuClock => "perf:cpu-clock".to_owned(),
        }
    }

    /// Whether the configuration asks for it.
    #[must_use]
    pub fn wanted(&self, config: &HookConfig) -> bool {
        match self.family {
            Family::Syscalls => config.syscalls,
            Family::Packets => config.packets,
            Family::SocketState => config.socket_state,
            Family::Process => config.process,
            Family::Stacks => config.stacks && config.sample_hz > 0,
        }
    }
}

const fn syscall(program: &'static str, tracepoint: &'static str) -> HookSpec {
    HookSpec { program, target: Target::Syscall(tracepoint), family: Family::Syscalls }
}

const fn typed(program: &'static str, tracepoint: &'static str, family: Family) -> HookSpec {
    HookSpec { program, target: Target::Typed(tracepoint), family }
}

/// All hooks. Exits come before entries, so that no entry is left behind without its exit.
pub const HOOKS: &[HookSpec] = &[
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
    syscall("exit_read", "sys_exit_read"),
    syscall("exit_readv", "sys_exit_readv"),
    syscall("exit_recvfrom", "sys_exit_recvfrom"),
    syscall("exit_recvmsg", "sys_exit_recvmsg"),
    syscall("exit_recvmmsg", "sys_exit_recvmmsg"),
    syscall("exit_write", "sys_exit_write"),
    syscall("exit_writev", "sys_exit_writev"),
    syscall("exit_sendto", "sys_exit_sendto"),
    syscall("exit_sendmsg", "sys_exit_sendmsg"),
    syscall("exit_sendmmsg", "sys_exit_sendmmsg"),
    syscall("exit_sendfile64", "sys_exit_sendfile64"),
    syscall("exit_splice", "sys_exit_splice"),
    syscall("exit_connect", "sys_exit_connect"),
    syscall("exit_accept", "sys_exit_accept"),
    syscall("exit_accept", "sys_exit_accept4"),
    syscall("exit_shutdown", "sys_exit_shutdown"),
    syscall("enter_read", "sys_enter_read"),
    syscall("enter_readv", "sys_enter_readv"),
    syscall("enter_recvfrom", "sys_enter_recvfrom"),
    syscall("enter_recvmsg", "sys_enter_recvmsg"),
    syscall("enter_recvmmsg", "sys_enter_recvmmsg"),
    syscall("enter_write", "sys_enter_write"),
    syscall("enter_writev", "sys_enter_writev"),
    syscall("enter_sendto", "sys_enter_sendto"),
    syscall("enter_sendmsg", "sys_enter_sendmsg"),
    syscall("enter_sendmmsg", "sys_enter_sendmmsg"),
    syscall("enter_sendfile64", "sys_enter_sendfile64"),
    syscall("enter_splice", "sys_enter_splice"),
    syscall("enter_connect", "sys_enter_connect"),
    syscall("enter_accept", "sys_enter_accept"),
    syscall("enter_accept", "sys_enter_accept4"),
    syscall("enter_shutdown", "sys_enter_shutdown"),
    syscall("enter_close", "sys_enter_close"),
    HookSpec { program: "stack_sample", target: Target::CpuClock, family: Family::Stacks },
];
