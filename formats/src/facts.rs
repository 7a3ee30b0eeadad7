//! Facts that exist only on the node while it is recorded: processes, sockets, interfaces,
//! mappings, symbols, clocks, losses, and what the recorder itself cost.
//!
//! JSON lines inside own blocks, read leniently (missing fields default, unknown ones are ignored).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Four clocks read at (nearly) the same moment. In a bundle: 40 bytes little-endian, the fields in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockSnapshot {
    /// CLOCK_MONOTONIC, ns: the clock of all event records.
    pub monotonic_ns: u64,
    /// CLOCK_BOOTTIME, ns.
    pub boottime_ns: u64,
    /// CLOCK_REALTIME, ns since the epoch.
    pub realtime_ns: u64,
    /// CLOCK_TAI, ns.
    pub tai_ns: u64,
    /// How long the four readings took, ns: the uncertainty of their relation.
    pub spread_ns: u64,
}

impl ClockSnapshot {
    /// Encoded size.
    pub const LEN: usize = 40;

    /// As it lies in a bundle.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut b = [0; Self::LEN];
        let fields = [self.monotonic_ns, self.boottime_ns, self.realtime_ns, self.tai_ns, self.spread_ns];
        for (chunk, v) in b.chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&v.to_le_bytes());
        }
        b
    }

    /// Reads one snapshot.
    #[must_use]
    pub fn decode(b: &[u8]) -> Option<Self> {
        let b = b.get(..Self::LEN)?;
        let mut f = [0u64; 5];
        for (v, chunk) in f.iter_mut().zip(b.chunks_exact(8)) {
            *v = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        Some(Self { monotonic_ns: f[0], boottime_ns: f[1], realtime_ns: f[2], tai_ns: f[3], spread_ns: f[4] })
    }
}

/// A process, as /proc showed it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Process {
    /// Process id in the initial pid namespace (of the recorder's view).
    pub pid: u32,
    /// Parent.
    pub ppid: u32,
    /// Name (comm of the main thread).
    pub comm: String,
    /// Arguments, secrets masked.
    pub command_line: Vec<String>,
    /// Path of the executable.
    pub exe: String,
    /// Build id of the executable, hex.
    pub build_id: String,
    /// cgroup path (v2, else the first v1 hierarchy with a path longer than `/`).
    pub cgroup: String,
    /// Container id found in the cgroup path, 64 hex digits or empty.
    pub container: String,
    /// Process id inside its own pid namespace.
    pub ns_pid: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// User id.
    pub uid: u32,
    /// Start time, `CLOCK_MONOTONIC` ns (from field 22 of /proc/PID/stat).
    pub start_ns: u64,
    /// When this was read, monotonic ns: 0 for the table at the start.
    pub seen_ns: u64,
    /// Threads: tid -> name. Only those whose name differs from `comm`.
    pub threads: BTreeMap<u32, String>,
}

/// A socket as it was at the start (or when a sampled process was first seen).
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Socket {
    /// `tcp`, `udp`, `unix`.
    pub transport: String,
    /// Local address, text; UNIX: the path or `@abstract`.
    pub local_addr: String,
    /// Local port.
    pub local_port: u16,
    /// Remote address, text.
    pub remote_addr: String,
    /// Remote port.
    pub remote_port: u16,
    /// TCP state name as in `ss`: LISTEN, ESTAB, ...
    pub state: String,
    /// Socket inode.
    pub inode: u64,
    /// Network namespace inode.
    pub netns: u32,
    /// Owners: (pid, fd).
    pub owners: Vec<(u32, i32)>,
}

/// A network interface.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Interface {
    /// Place among the pcapng interfaces (IDB number).
    pub id: u32,
    /// Network namespace inode.
    pub netns: u32,
    /// Index in that namespace.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// `physical`, `lo`, `veth`, `bridge`, `vxlan`, `vlan`, `tun`, ...
    pub kind: String,
    /// Hardware address.
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// ARPHRD_* type.
    pub dev_type: u16,
    /// Index of the peer or lower device (`iflink`), 0 if none.
    pub link: u32,
    /// Index of the master (bridge, bond), 0 if none.
    pub master: u32,
    /// Addresses with prefix length: `10.0.0.1/24`.
    pub addresses: Vec<String>,
    /// State: `up`, `down`, `unknown`.
    pub state: String,
}

/// An executable mapping of a sampled process.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Mapping {
    /// Process.
    pub pid: u32,
    /// Start address.
    pub start: u64,
    /// End address, exclusive.
    pub end: u64,
    /// Offset in the file of `start`.
    pub file_offset: u64,
    /// Path as the process sees it, `[vdso]`, or empty for anonymous (JIT) memory.
    pub path: String,
    /// Build id, hex; empty if none.
    pub build_id: String,
    /// When read, monotonic ns.
    pub seen_ns: u64,
}

/// A resolved frame: every sampled address of a file (or of the kernel, or of a JIT map) has one line.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Symbol {
    /// `kernel`, `file`, `perf_map`.
    pub space: String,
    /// file: build id, or the path where there is none. perf_map: the pid. kernel: empty.
    pub object: String,
    /// kernel and perf_map: the address; file: the file offset.
    pub offset: u64,
    /// Name, not demangled; empty if the object has no symbol there.
    pub name: String,
    /// Bytes from the start of the symbol.
    pub symbol_offset: u64,
    /// Path of the file, or the kernel module, for display.
    pub module: String,
}

/// Events lost on one CPU.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Loss {
    /// Event kind name, as in [`crate::event::kind::NAMES`].
    pub kind: String,
    /// CPU.
    pub cpu: u32,
    /// Not before this, monotonic ns.
    pub first_ns: u64,
    /// Not after this, monotonic ns.
    pub last_ns: u64,
    /// How many.
    pub lost: u64,
    /// `ring_full`, `budget`, `disk_full`, ...
    pub cause: String,
}

/// What the interfaces' own counters said. Two of these, with what was recorded between them, tell whether packets
/// passed an interface that no program was run for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct CounterReading {
    /// First reading: whatever a hook saw before this, and whatever an interface counted for it, is counted in this reading.
    /// Monotonic ns; 0 in the last reading.
    pub from_ns: u64,
    /// When reading began and ended, monotonic ns.
    pub read_ns: [u64; 2],
    /// Last reading: whatever is counted in it has passed its hook before this, and was taken from the rings. Monotonic ns; 0
    /// in the first reading, and if that could not be made sure of.
    pub until_ns: u64,
    /// One per interface.
    pub interfaces: Vec<InterfaceCounters>,
}

/// Packets that an interface counted since it exists.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct InterfaceCounters {
    /// Place among the pcapng interfaces (IDB number).
    pub id: u32,
    /// Packets received; `None` if not all of them were to be recorded.
    pub received: Option<u64>,
    /// Packets sent; `None` as above.
    pub sent: Option<u64>,
    /// Received packets may be merged (GRO) or taken away (XDP) between the counter and the hook.
    pub merges: bool,
    /// How often the carrier has gone: also when an interface is moved to another namespace.
    pub carrier_downs: u32,
}

/// What the recorder itself cost, from its start to this moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct RecorderCost {
    /// When, monotonic ns.
    pub at_ns: u64,
    /// User and system CPU time of the recorder process, ns.
    pub cpu_ns: u64,
    /// Peak resident memory, bytes.
    pub max_rss_bytes: u64,
    /// Kernel memory of rings and maps, bytes.
    pub map_bytes: u64,
    /// Bytes of the bundle written so far.
    pub written_bytes: u64,
    /// Uncompressed bytes so far.
    pub content_bytes: u64,
    /// Per eBPF program.
    pub programs: Vec<ProgramCost>,
}

/// Kernel statistics of one eBPF program (`BPF_ENABLE_STATS`). The kernel counts one second in ten; runs and time are
/// extrapolated from it to the whole recording.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct ProgramCost {
    /// Program name.
    pub name: String,
    /// Runs.
    pub runs: u64,
    /// Time in it, ns; includes the cost of the statistics themselves.
    pub run_ns: u64,
    /// Events that the kernel did not give to it, because the same CPU was running it, or another one, at that moment.
    /// Counted all the time. (The kernel does not count stack samples that it skips so.)
    pub misses: u64,
}

/// A network namespace: what routing and address translation looked like.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct NetNamespace {
    /// Inode number.
    pub netns: u32,
    /// Name in /run/netns if it has one; `host` for that of pid 1.
    pub name: String,
    /// Some process in it.
    pub pid: u32,
    /// Routes as /proc/net/route and ipv6_route give them, in `ip route` like words.
    pub routes: Vec<String>,
    /// Known address translations from conntrack, where readable: `tcp 10.0.0.1:1->10.0.0.2:80 reply 10.1.0.2:80->10.0.0.254:1`.
    pub nat: Vec<String>,
}
