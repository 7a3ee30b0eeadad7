//! What a recording says of its node: stacks, processes, interfaces, events of sockets.

use super::{Nanos, Transport};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One distinct stack of one thread state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Process name.
    pub process: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// Thread name.
    pub thread: Arc<str>,
    /// Thread id.
    pub tid: u32,
    /// `on_cpu`.
    pub kind: &'static str,
    /// Why off CPU; empty on CPU.
    pub reason: Arc<str>,
    /// Root first, joined by `;`. Kernel frames end in `_[k]`.
    pub frames: Arc<str>,
    /// Samples.
    pub samples: u64,
    /// Time they stand for, ns.
    pub value_ns: u64,
    /// The request that the thread was serving in all of these samples, where that is one; a place in [`Replayed::requests`].
    pub request_id: Option<u64>,
    /// What the requests that it served in these samples are grouped by; empty if unknown.
    pub endpoint: Arc<str>,
}

/// A process seen in the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its node, a place in [`Replayed::nodes`].
    pub node: u32,
    /// Process id.
    pub pid: u32,
    /// Parent, 0 if unknown.
    pub ppid: u32,
    /// Name.
    pub name: Arc<str>,
    /// Command line, joined by spaces.
    pub command_line: String,
    /// Executable.
    pub exe: String,
    /// Build id of the executable.
    pub build_id: String,
    /// cgroup path.
    pub cgroup: String,
    /// Container id.
    pub container: Arc<str>,
    /// User id.
    pub uid: Option<u32>,
    /// Network namespace inode.
    pub netns: u32,
    /// Start, where known.
    pub start: Option<Nanos>,
    /// End, if it ended while recorded.
    pub end: Option<Nanos>,
    /// Exit code as wait(2) gives it.
    pub exit_code: Option<i32>,
    /// Stack samples of it.
    pub cpu_samples: u64,
    /// Bytes it read from and wrote to sockets.
    pub socket_read_bytes: u64,
    /// See above.
    pub socket_write_bytes: u64,
}

/// An interface of the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Place in [`Replayed::interfaces`].
    pub id: u32,
    /// Name, or `if0`.
    pub name: Arc<str>,
    /// Its node or capture, a place in [`Replayed::nodes`].
    pub node: u32,
    /// `lo`, `veth`, `bridge`, ...; empty if unknown.
    pub kind: String,
    /// Network namespace inode, 0 if unknown.
    pub netns: u32,
    /// Index on its node.
    pub ifindex: u32,
    /// Hardware address.
    pub mac: String,
    /// MTU.
    pub mtu: u32,
    /// Addresses.
    pub addresses: Vec<String>,
    /// pcap link type (LINKTYPE_*).
    pub link_type: u16,
    /// Packets in the capture.
    pub packets: u64,
    /// Frame bytes of these.
    pub bytes: u64,
    /// Packets of it that could not be decoded, by reason.
    pub undecoded: BTreeMap<&'static str, u64>,
}

/// What happened to a socket inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    /// Its node, a place in [`Replayed::nodes`].
    pub node: u32,
    /// When.
    pub ts: Nanos,
    /// `state`, `retransmit`, `reset_sent`, `reset_received`, `drop`.
    pub event: &'static str,
    /// Transport.
    pub transport: Transport,
    /// Local end.
    pub local_ip: Option<IpAddr>,
    /// Local port.
    pub local_port: u16,
    /// Remote end.
    pub remote_ip: Option<IpAddr>,
    /// Remote port.
    pub remote_port: u16,
    /// State before, by name; empty if not a state change.
    pub old_state: &'static str,
    /// State after.
    pub new_state: &'static str,
    /// Drop reason name, or reset reason.
    pub reason: Arc<str>,
    /// Kernel function of a drop.
    pub location: Arc<str>,
    /// Bytes of the packet.
    pub len: u32,
    /// Retransmissions and drops of TCP: sequence number of the segment, where known.
    pub seq: Option<u32>,
    /// The packet was on its way to the remote end.
    pub outbound: bool,
    /// Running process, a hint.
    pub pid: u32,
    /// Network namespace inode.
    pub netns: u32,
    /// Flow it belongs to, where found.
    pub flow_id: Option<u64>,
}

impl SocketEvent {
    /// Whether it tells of trouble: no state change, and not the purge of what a closing socket leaves unread, which the
    /// kernel reports as a drop (`sk_stream_kill_queues` in net/core/stream.c).
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.event != "state" && !(self.event == "drop" && &*self.reason == "QUEUE_PURGE")
    }
}
