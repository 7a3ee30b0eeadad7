//! Where records come from: the eBPF programs, or, without the privilege for them, a packet socket.

use crate::bpf::{HookConfig, Session};
use crate::facts::networks;
use crate::packet_socket::PacketSocket;
use crate::settings::Settings;
use anyhow::{Result, anyhow, bail};
use formats::event::kind;
use formats::facts::ProgramCost;
use formats::manifest::Hook;
use std::collections::BTreeMap;

/// What one pass found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// How full the fullest ring was, 0 to 1.
    pub fullest: f64,
}

/// A source of event records.
pub enum Source {
    /// eBPF programs and their rings.
    Bpf(Box<Session>),
    /// Packets of the current network namespace only.
    Socket {
        /// The socket.
        socket: PacketSocket,
        /// Why eBPF is not used.
        why: String,
    },
}

impl Source {
    /// Starts recording: with eBPF if the node allows it, else packets alone.
    /// `interfaces` are those wanted, `None` = all; `realtime_offset` is UTC minus monotonic, ns.
    pub fn start(
        settings: &Settings,
        interfaces: Option<Vec<(u32, u32)>>,
        secret: u64,
        realtime_offset: i64,
    ) -> Result<Self> {
        let config = HookConfig {
            payload_bytes: settings.payload,
            snaplen: settings.snaplen,
            sample_hz: settings.frequency,
            packets: settings.packets,
            syscalls: settings.syscalls,
            stacks: settings.stacks,
            process: true,
            socket_state: settings.syscalls || settings.packets,
            ring_bytes: settings.ring,
            pids: settings.pids.clone(),
            comms: settings.comms.clone(),
            cgroup_ids: settings.cgroups.iter().map(|(_, id)| *id).collect(),
            ports: settings.ports.clone(),
            interfaces: interfaces.clone(),
            secret,
        };
        let error = match Session::start(&config) {
            Ok(session) => return Ok(Self::Bpf(Box::new(session))),
            Err(error) => error,
        };
        let why = format!("{error:#}");
        if !settings.packets {
            bail!("eBPF programs cannot be used: {why}. Remedy: run as root (`record --check` shows what is missing)");
        }
        let filtered = [
            ("--pid", settings.pids.is_empty()),
            ("--comm", settings.comms.is_empty()),
            ("--cgroup", settings.cgroups.is_empty()),
            ("--port", settings.ports.is_empty()),
        ];
        if let Some((option, _)) = filtered.iter().find(|(_, unused)| !unused) {
            bail!("{option} needs eBPF programs, which cannot be used: {why}. Remedy: run as root");
        }
        let own = networks::own().map_or(0, |n| n.inode);
        let indexes =
            interfaces.map(|all| all.into_iter().filter(|(netns, _)| *netns == own).map(|(_, index)| index).collect());
        let socket = PacketSocket::open(own, indexes, settings.snaplen, realtime_offset).map_err(|socket_error| {
            anyhow!(
                "nothing can be recorded: eBPF: {why}; packet socket: {socket_error}. \
                 Remedy: run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_SYS_ADMIN for everything, \
                 or with CAP_NET_RAW for packets alone"
            )
        })?;
        Ok(Self::Socket { socket, why })
    }

    /// Hands over what has been recorded since the last call.
    pub fn drain(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> Result<Drained> {
        match self {
            Self::Bpf(session) => {
                let stats = session.drain(each);
                Ok(Drained { records: stats.records, fullest: stats.fullest })
            }
            Self::Socket { socket, .. } => {
                let records = socket.drain(each)?;
                // The socket does not tell its fill: many packets at once mean that it is time to look more often.
                Ok(Drained { records: records as u64, fullest: (records as f64 / 20_000.0).min(1.0) })
            }
        }
    }

    /// Takes packets of one more interface, where only chosen ones are wanted.
    pub fn add_interface(&mut self, netns: u32, ifindex: u32) -> Result<()> {
        match self {
            Self::Bpf(session) => session.add_interface(netns, ifindex),
            Self::Socket { socket, .. } => {
                socket.add_interface(netns, ifindex);
                Ok(())
            }
        }
    }

    /// The processes of `--pid` and what they have forked, as far as they have not ended; `None` if nobody knows.
    #[must_use]
    pub fn selected_processes(&self) -> Option<Vec<u32>> {
        match self {
            Self::Bpf(session) => session.selected_processes().ok(),
            Self::Socket { .. } => None,
        }
    }

    /// Records lost since the last call: (CPU, kind, how many).
    pub fn losses(&mut self) -> Vec<(u32, u16, u64)> {
        match self {
            Self::Bpf(session) => session.losses(),
            Self::Socket { socket, .. } => match socket.lost() {
                0 => Vec::new(),
                lost => vec![(0, kind::PACKET, lost)],
            },
        }
    }

    /// Runs of the programs that the kernel left out since the last call: (kind, how many).
    pub fn missed(&mut self) -> Vec<(u16, u64)> {
        match self {
            Self::Bpf(session) => session.missed(),
            Self::Socket { .. } => Vec::new(),
        }
    }

    /// Hooks for the manifest.
    #[must_use]
    pub fn hooks(&self) -> Vec<Hook> {
        match self {
            Self::Bpf(session) => session.hooks().to_vec(),
            Self::Socket { .. } => vec![Hook {
                program: "packet_socket".to_owned(),
                target: "socket:AF_PACKET".to_owned(),
                attached: true,
                error: String::new(),
            }],
        }
    }

    /// What is missing, in plain words.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        match self {
            Self::Bpf(session) => {
                let hooks = session.hooks().iter().filter(|h| !h.attached);
                let hooks = hooks.map(|h| format!("{} ({}): {}", h.program, h.target, h.error));
                session.notes().iter().cloned().chain(hooks).collect()
            }
            Self::Socket { why, .. } => vec![
                format!("eBPF programs cannot be used: {why}"),
                "system calls, process life, socket states and stack samples are not recorded".to_owned(),
                "packets of the current network namespace only".to_owned(),
            ],
        }
    }

    /// Names of drop and reset reasons of this kernel.
    #[must_use]
    pub fn reasons(&self) -> (BTreeMap<u32, String>, BTreeMap<u32, String>) {
        match self {
            Self::Bpf(session) => (session.drop_reasons().clone(), session.reset_reasons().clone()),
            Self::Socket { .. } => (BTreeMap::new(), BTreeMap::new()),
        }
    }

    /// Lets the kernel count the run time of the programs. Returns why not.
    pub fn enable_stats(&mut self) -> Option<String> {
        match self {
            Self::Bpf(session) => session.enable_stats().err().map(|e| format!("run time of the eBPF programs: {e:#}")),
            Self::Socket { .. } => None,
        }
    }

    /// Runs and time per eBPF program.
    #[must_use]
    pub fn program_costs(&self) -> Vec<ProgramCost> {
        match self {
            Self::Bpf(session) => session.program_costs(),
            Self::Socket { .. } => Vec::new(),
        }
    }

    /// Kernel memory of rings and maps, bytes.
    #[must_use]
    pub fn map_bytes(&self) -> u64 {
        match self {
            Self::Bpf(session) => session.map_bytes(),
            Self::Socket { .. } => 0,
        }
    }
}
