//! The manifest (first frame), the index and the summary (last frame): JSON, read leniently so
//! that old and new versions understand each other (missing fields default, unknown ones are ignored).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who recorded what, where, with which hooks and which privacy settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Manifest {
    /// Version of the bundle format, see docs/bundle-format.md.
    pub format_version: u32,
    /// `hindsight-record 0.1.0`.
    pub recorder: String,
    /// Command line of the recorder.
    pub command_line: Vec<String>,
    /// Host name of the node.
    pub hostname: String,
    /// `/etc/machine-id`, hashed, so that bundles of one node can be told together; empty if there is none.
    pub node_id: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -v`.
    pub kernel_version: String,
    /// `uname -m`.
    pub machine: String,
    /// PRETTY_NAME of /etc/os-release.
    pub os: String,
    /// CPUs online.
    pub cpus: u32,
    /// Memory of the node in bytes.
    pub memory_bytes: u64,
    /// Clock ticks and pages: `_SC_PAGESIZE`.
    pub page_size: u32,
    /// Start of the recording, UTC, ns since the epoch.
    pub start_realtime_ns: u64,
    /// Start of the recording, `CLOCK_MONOTONIC` ns.
    pub start_monotonic_ns: u64,
    /// Add this to a monotonic time of this bundle for UTC ns; packets in the bundle have it added already.
    pub realtime_offset_ns: i64,
    /// Process id of the recorder; its own activity is not in the bundle.
    pub recorder_pid: u32,
    /// What was asked for: payload prefix, snaplen, sampling frequency, filters.
    pub settings: Settings,
    /// Every hook: attached, or why not.
    pub hooks: Vec<Hook>,
    /// What is missing in this recording and why, in plain words, one per line.
    pub missing: Vec<String>,
    /// Privacy: what was kept and what was withheld, in plain words.
    pub privacy: Vec<String>,
    /// `enum skb_drop_reason` of this kernel: value -> name.
    pub drop_reasons: BTreeMap<u32, String>,
    /// `enum sk_rst_reason` of this kernel, if it has one.
    pub reset_reasons: BTreeMap<u32, String>,
    /// Event names by `kind` number at the time of writing.
    pub kinds: BTreeMap<u16, String>,
}

/// What the recorder was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Settings {
    /// Payload prefix per system call, bytes.
    pub payload_bytes: u32,
    /// Packet snaplen, bytes.
    pub snaplen: u32,
    /// Stack samples per second and CPU; 0 = off.
    pub sample_hz: u32,
    /// Whether packets, system calls, stacks were wanted.
    pub packets: bool,
    /// System calls wanted.
    pub syscalls: bool,
    /// Stacks wanted.
    pub stacks: bool,
    /// Planned length, ns; 0 = until stopped.
    pub duration_ns: u64,
    /// Size limit of the bundle in bytes; 0 = none.
    pub max_size_bytes: u64,
    /// Ring size per CPU, bytes.
    pub ring_bytes: u64,
    /// Filters, as given.
    pub interfaces: Vec<String>,
    /// `--pid`
    pub pids: Vec<u32>,
    /// `--comm`
    pub comms: Vec<String>,
    /// `--cgroup`
    pub cgroups: Vec<String>,
    /// `--port`
    pub ports: Vec<u16>,
}

/// One hook of the recorder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Hook {
    /// eBPF program.
    pub program: String,
    /// Where: `tracepoint:syscalls:sys_enter_read`, `tp_btf:netif_receive_skb`, `perf:cpu-clock`.
    pub target: String,
    /// Whether it was attached.
    pub attached: bool,
    /// If not: why.
    pub error: String,
}

/// How the recording ended: the last own block before the index.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Summary {
    /// `duration`, `signal`, `max-size`, `command-ended`, `disk-full`.
    pub reason: String,
    /// End, UTC ns.
    pub end_realtime_ns: u64,
    /// End, monotonic ns.
    pub end_monotonic_ns: u64,
    /// Records captured per kind name.
    pub captured: BTreeMap<String, u64>,
    /// Records lost per kind name.
    pub lost: BTreeMap<String, u64>,
    /// Uncompressed bytes of the pcapng stream up to here.
    pub content_bytes: u64,
    /// Packet counts the kernel's interfaces report for the time of the recording: `netns/ifname` -> [rx, tx].
    pub interface_packets: BTreeMap<String, [u64; 2]>,
    /// What was withheld in the end, counted, in plain words: continues [`Manifest::privacy`].
    pub privacy: Vec<String>,
    /// Secrets masked, by what they were: `http_header`, `redis_auth`, `command_line`.
    pub masked: BTreeMap<String, u64>,
}

/// The index: what is in which frame.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Index {
    /// Frames in order, the index's own frame excluded.
    pub frames: Vec<FrameEntry>,
    /// SHA-256 of the file up to the frame that holds this index, hex.
    pub sha256: String,
}

/// One zstd frame.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct FrameEntry {
    /// Offset in the file.
    pub offset: u64,
    /// Compressed length.
    pub compressed: u32,
    /// Content length.
    pub content: u32,
    /// Earliest time in it, monotonic ns; 0 if it holds none.
    pub first_ts: u64,
    /// Latest time in it.
    pub last_ts: u64,
    /// Packets in it.
    pub packets: u32,
    /// Records per block kind.
    pub counts: BTreeMap<u16, u32>,
}
