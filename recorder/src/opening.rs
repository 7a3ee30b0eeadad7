//! What a bundle opens with: section, manifest, interfaces.

use crate::facts::{interfaces, networks, node, processes};
use crate::masking;
use crate::settings::{Output, Settings};
use crate::source::Source;
use formats::facts::{ClockSnapshot, Interface};
use formats::manifest::{Manifest, Settings as Asked};
use formats::pcapng::SectionInfo;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Version of the bundle format that this program writes.
const FORMAT_VERSION: u32 = 1;

/// `hindsight-record 0.1.0`.
#[must_use]
pub fn program() -> String {
    format!("hindsight-record {}", env!("CARGO_PKG_VERSION"))
}

/// The pcapng section header's words.
#[must_use]
pub fn section() -> SectionInfo {
    let (_, release, _, machine) = node::uname();
    SectionInfo {
        hardware: format!("{machine}, {} CPUs", node::cpus()),
        os: format!("Linux {release}, {}", node::os()),
        application: program(),
    }
}

/// Interfaces of all namespaces with packets received and sent so far, in the order of namespace and index.
#[must_use]
pub fn all_interfaces(namespaces: &[networks::Namespace]) -> Vec<(Interface, [u64; 2])> {
    namespaces.iter().flat_map(interfaces::read).collect()
}

/// The interfaces named with `-i` that are there, `None` = all are wanted; and what is to be said about names that none
/// of them bears yet.
#[must_use]
pub fn wanted_interfaces(
    names: &[String],
    there: &[(Interface, [u64; 2])],
) -> (Option<Vec<(u32, u32)>>, Option<String>) {
    if names.is_empty() {
        return (None, None);
    }
    let wanted = there.iter().filter(|(i, _)| names.contains(&i.name)).map(|(i, _)| (i.netns, i.ifindex)).collect();
    let absent: Vec<&str> =
        names.iter().filter(|n| !there.iter().any(|(i, _)| i.name == **n)).map(String::as_str).collect();
    let mut known: Vec<&str> = there.iter().map(|(i, _)| i.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    let note = format!(
        "-i {}: no such interface in any network namespace so far; there are {}",
        absent.join(", -i "),
        known.join(", ")
    );
    (Some(wanted), (!absent.is_empty()).then_some(note))
}

/// What is to be said about processes and threads named with `--pid` and `--comm` that are not there: a mistyped one would give an empty recording.
#[must_use]
pub fn absent_processes(pids: &[u32], comms: &[String]) -> Vec<String> {
    let mut said: Vec<String> = gone(pids).into_iter().map(|pid| format!("--pid {pid}: no such process")).collect();
    if !comms.is_empty() {
        let mut there = BTreeSet::new();
        let read = |path: PathBuf| std::fs::read_to_string(path).ok().map(|name| name.trim_end().to_owned());
        for pid in processes::pids() {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            there.extend(tasks.filter_map(|task| read(task.path().join("comm"))));
        }
        let absent = comms.iter().filter(|comm| !there.contains(*comm));
        said.extend(absent.map(|comm| format!("--comm {comm}: no thread of that name so far (see /proc/PID/comm)")));
    }
    said
}

/// Whether the recording is over when the processes of `--pid` are: they alone are wanted, and at least one is there.
#[must_use]
pub fn ends_with_processes(settings: &Settings) -> bool {
    let only = settings.comms.is_empty() && settings.cgroups.is_empty() && settings.command.is_empty();
    only && gone(&settings.pids).len() < settings.pids.len()
}

/// Those of these processes that do not exist; none where `/proc` does not tell.
#[must_use]
pub fn gone(pids: &[u32]) -> Vec<u32> {
    let is_gone = |pid: &&u32| Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists();
    pids.iter().filter(is_gone).copied().collect()
}

/// Everything the manifest says at the start. `clocks` relate UTC to monotonic time, `now` is when recording began.
#[must_use]
pub fn manifest(
    settings: &Settings,
    source: &Source,
    clocks: &ClockSnapshot,
    now: &ClockSnapshot,
    missing: Vec<String>,
) -> Manifest {
    let (hostname, kernel_release, kernel_version, machine) = node::uname();
    let mut command_line: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    masking::mask_arguments(&mut command_line);
    let (drop_reasons, reset_reasons) = source.reasons();
    Manifest {
        format_version: FORMAT_VERSION,
        recorder: program(),
        command_line,
        hostname,
        node_id: node::node_id(),
        kernel_release,
        kernel_version,
        machine,
        os: node::os(),
        cpus: node::cpus(),
        memory_bytes: node::memory_bytes(),
        page_size: u32::try_from(node::page_size()).unwrap_or(0),
        start_realtime_ns: now.realtime_ns,
        start_monotonic_ns: now.monotonic_ns,
        realtime_offset_ns: crate::facts::clocks::realtime_offset(clocks),
        recorder_pid: std::process::id(),
        settings: asked(settings),
        hooks: source.hooks(),
        missing,
        privacy: privacy(settings),
        drop_reasons,
        reset_reasons,
        kinds: (0u16..).zip(formats::event::kind::NAMES).skip(1).map(|(k, name)| (k, name.to_owned())).collect(),
    }
}

fn asked(settings: &Settings) -> Asked {
    Asked {
        payload_bytes: settings.payload,
        snaplen: settings.snaplen,
        sample_hz: if settings.stacks { settings.frequency } else { 0 },
        packets: settings.packets,
        syscalls: settings.syscalls,
        stacks: settings.stacks,
        duration_ns: settings.duration.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        max_size_bytes: settings.max_size,
        ring_bytes: settings.ring,
        interfaces: settings.interfaces.clone(),
        pids: settings.pids.clone(),
        comms: settings.comms.clone(),
        cgroups: settings.cgroups.iter().map(|(path, _)| path.display().to_string()).collect(),
        ports: settings.ports.clone(),
    }
}

fn privacy(settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    match (settings.syscalls, settings.payload) {
        (false, _) => lines.push("system calls: none kept".to_owned()),
        (true, 0) => lines.push("system calls: no payload kept".to_owned()),
        (true, n) => lines.push(format!("system calls: the first {n} bytes of every payload kept, logins and secrets in them masked byte by byte as *")),
    }
    if settings.packets {
        lines.push(format!(
            "packets: the first {} bytes kept, logins and secrets in them masked byte by byte as *",
            settings.snaplen
        ));
    } else {
        lines.push("packets: none kept".to_owned());
    }
    lines.push("command lines: kept, secrets in them masked as ***; environment variables: none kept".to_owned());
    lines.push("kernel addresses of sockets: mixed with a secret of this recording".to_owned());
    lines
}

/// What is printed at the start.
pub fn announce(settings: &Settings, manifest: &Manifest) {
    let attached = manifest.hooks.iter().filter(|h| h.attached).count();
    let target = match &settings.output {
        Output::File(path) => path.display().to_string(),
        Output::Stdout => "standard output".to_owned(),
    };
    eprintln!("record: recording into {target}, {attached} of {} hooks attached", manifest.hooks.len());
    for line in &manifest.missing {
        eprintln!("record: missing: {line}");
    }
}
