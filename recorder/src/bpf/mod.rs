//! The kernel side of a recording: loading the eBPF programs, attaching them, reading their rings.
//!
//! Nothing is pinned: when a [`Session`] is dropped, or the process is killed, everything is detached.

mod btf;
mod hooks;
#[path = "../../../recorder-ebpf/src/layout.rs"]
#[expect(unreachable_pub, reason = "the programs include it too")]
pub(crate) mod layout;
mod learn;
mod load;
mod object;
mod preflight;
mod read_stamps;
mod rings;
mod stats;
mod tracefs;

#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use formats::{facts::ProgramCost, manifest::Hook};
use std::{
    collections::{BTreeMap, HashMap as HashTable},
    os::fd::AsFd as _,
};

pub use preflight::Check;
pub use rings::DrainStats;

/// What to record, as the programs need to know it.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// Payload prefix per system call, bytes; at most 65,535.
    pub payload_bytes: u32,
    /// Bytes kept per packet; at most 65,535.
    pub snaplen: u32,
    /// Stack samples per second and CPU.
    pub sample_hz: u32,
    /// Record packets.
    pub packets: bool,
    /// Record system calls on sockets.
    pub syscalls: bool,
    /// Record stack samples.
    pub stacks: bool,
    /// Record fork, exec, exit.
    pub process: bool,
    /// Record TCP states, retransmissions, resets, drops.
    pub socket_state: bool,
    /// Size of the ring of one CPU, bytes; rounded up to a power of two, at least 64 KiB.
    pub ring_bytes: u64,
    /// Only these processes and their children.
    pub pids: Vec<u32>,
    /// Only threads or processes of these names.
    pub comms: Vec<String>,
    /// Only tasks in these cgroups (v2 ids).
    pub cgroup_ids: Vec<u64>,
    /// Only sockets and packets with one of these ports.
    pub ports: Vec<u16>,
    /// Only packets of these interfaces: (network namespace inode, interface index), and of those added later. `None`: all.
    pub interfaces: Option<Vec<(u32, u32)>>,
    /// Mixed into socket identities so that they show no kernel addresses.
    pub secret: u64,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self {
            payload_bytes: 256,
            snaplen: 256,
            sample_hz: 99,
            packets: true,
            syscalls: true,
            stacks: true,
            process: true,
            socket_state: true,
            ring_bytes: 4 << 20,
            pids: Vec::new(),
            comms: Vec::new(),
            cgroup_ids: Vec::new(),
            ports: Vec::new(),
            interfaces: None,
            secret: 0,
        }
    }
}

/// An attachment: dropping it detaches.
type Link = Box<dyn Send>;

/// Programs at work.
pub struct Session {
    // Before `ebpf`: the mapping goes first.
    rings: rings::Rings,
    ebpf: Ebpf,
    links: Vec<Link>,
    read_stamps: read_stamps::ReadStamps,
    hooks: Vec<Hook>,
    notes: Vec<String>,
    drop_reasons: BTreeMap<u32, String>,
    reset_reasons: BTreeMap<u32, String>,
    stats: Option<stats::Stats>,
    /// Runs left out by the kernel that were told already, per program.
    missed: HashTable<&'static str, u64>,
}

impl Session {
    /// Loads and attaches what `config` asks for. What does not load or attach is in [`Session::hooks`]; only if
    /// nothing at all can be recorded is it an error.
    pub fn start(config: &HookConfig) -> Result<Self> {
        // In a thread of its own: it may need a mount namespace of its own to see tracefs.
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let tracefs = tracefs::mount_for_this_thread();
                    load::start(config, tracefs)
                })
                .join()
                .map_err(|_| anyhow!("loading the eBPF programs panicked"))?
        })
    }

    /// Every hook that was wanted: attached, or why not.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// What is missing and is not a hook, in plain words.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of rings: one per possible CPU.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.rings.cpus()
    }

    /// Hands every complete record to `sink`, per CPU in the order of reservation, and frees its room.
    pub fn drain(&mut self, sink: &mut dyn FnMut(u32, &[u8])) -> DrainStats {
        if let Some(stats) = &mut self.stats {
            stats.tick();
        }
        self.read_stamps.tick();
        self.rings.drain(sink)
    }

    /// Records lost since the last call for want of room: (CPU, kind, how many).
    pub fn losses(&mut self) -> Vec<(u32, u16, u64)> {
        self.rings.losses()
    }

    /// Runs of our programs that the kernel left out since the last call, because the same CPU was in them already, or in
    /// another one: (kind of the record that may be missing, how many). At most so many records are missing, as not
    /// every run makes one.
    pub fn missed(&mut self) -> Vec<(u16, u64)> {
        let mut missed = BTreeMap::new();
        for hook in hooks::HOOKS {
            let Some(kind) = hook.loses() else { continue };
            let Some(Ok(fd)) = self.ebpf.program(hook.program).map(aya::programs::Program::fd) else { continue };
            let now = stats::misses(fd.as_fd());
            let new = now.saturating_sub(self.missed.insert(hook.program, now).unwrap_or(0));
            if new > 0 {
                *missed.entry(kind).or_default() += new;
            }
        }
        missed.into_iter().collect()
    }

    /// Lets the kernel count runs and time of our programs, a second in ten (some 50 ns per run); ends with the session.
    pub fn enable_stats(&mut self) -> Result<()> {
        if self.stats.is_none() {
            self.stats = Some(stats::Stats::start()?);
        }
        Ok(())
    }

    /// Runs and time of each program: what the kernel counted, extrapolated to the whole time.
    #[must_use]
    pub fn program_costs(&self) -> Vec<ProgramCost> {
        let scale = self.stats.as_ref().map_or(1.0, stats::Stats::scale);
        let whole = |counted: u64| (counted as f64 * scale) as u64;
        let mut costs: Vec<ProgramCost> = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                Some(ProgramCost {
                    name: name.to_owned(),
                    runs: whole(info.run_count()),
                    misses: program.fd().map_or(0, |fd| stats::misses(fd.as_fd())),
                    run_ns: whole(u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX)),
                })
            })
            .filter(|c| c.runs > 0 || c.misses > 0)
            .collect();
        costs.sort_by(|a, b| a.name.cmp(&b.name));
        costs
    }

    /// Instructions that the verifier walked through, per loaded program: what loading costs.
    #[must_use]
    pub fn verified(&self) -> Vec<(String, u32)> {
        self.ebpf
            .programs()
            .filter_map(|(name, program)| Some((name.to_owned(), program.info().ok()?.verified_instruction_count()?)))
            .collect()
    }

    /// Kernel memory of the rings and of the tables of calls under way, bytes.
    #[must_use]
    pub fn map_bytes(&self) -> u64 {
        self.rings.bytes() + u64::from(layout::INFLIGHT_SLOTS + layout::STAMP_SLOTS) * 64
    }

    /// Adds a process to those selected by `pids` (which must not have been empty at the start).
    pub fn add_pid(&mut self, pid: u32) -> Result<()> {
        let mut map: HashMap<&mut MapData, u32, u8> =
            HashMap::try_from(self.ebpf.map_mut("PIDS").context("no map PIDS")?)?;
        map.insert(pid, 1, 0).with_context(|| format!("cannot select process {pid}"))
    }

    /// Processes selected by `pids`, and their children: the programs add them when they are forked and take them out when
    /// they end.
    pub fn selected_processes(&self) -> Result<Vec<u32>> {
        let map: HashMap<&MapData, u32, u8> = HashMap::try_from(self.ebpf.map("PIDS").context("no map PIDS")?)?;
        map.keys().map(|pid| pid.context("cannot read the map PIDS")).collect()
    }

    /// Adds an interface to those selected by `interfaces` (which must not have been `None` at the start).
    pub fn add_interface(&mut self, netns: u32, ifindex: u32) -> Result<()> {
        let mut map: HashMap<&mut MapData, u64, u8> =
            HashMap::try_from(self.ebpf.map_mut("INTERFACES").context("no map INTERFACES")?)?;
        map.insert((u64::from(netns) << 32) | u64::from(ifindex), 1, 0).context("cannot select the interface")
    }

    /// `enum skb_drop_reason` of this kernel: value to name.
    #[must_use]
    pub fn drop_reasons(&self) -> &BTreeMap<u32, String> {
        &self.drop_reasons
    }

    /// `enum sk_rst_reason` of this kernel; empty before 6.10.
    #[must_use]
    pub fn reset_reasons(&self) -> &BTreeMap<u32, String> {
        &self.reset_reasons
    }

    /// What this node allows, one line per requirement.
    #[must_use]
    pub fn preflight() -> Vec<Check> {
        preflight::checks()
    }
}

impl Drop for Session {
    /// Every detaching waits until no CPU runs the program any more; all at once they wait together.
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for link in self.links.drain(..) {
                scope.spawn(move || drop(link));
            }
        });
    }
}
