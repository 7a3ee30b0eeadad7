//! `record --check`: what this node allows to record, what is missing, and the remedy.

use crate::bpf::{Check, HookConfig, Session};
use crate::facts::{clocks, networks, processes};
use crate::packet_socket::PacketSocket;
use anyhow::Result;
use formats::manifest::Hook;
use std::ffi::CString;
use std::io::Write;
use std::process::ExitCode;

/// With less room than this a recording of everything ends early, bytes.
const ROOM: u64 = 200_000_000;

/// Prints the table. Exit code 0 if everything can be recorded, 2 if something, 1 if nothing.
pub fn check() -> Result<ExitCode> {
    let mut checks = Session::preflight();
    // The proof is in the loading: all programs are attached for a moment, with rings as small as they get.
    let config = HookConfig { ring_bytes: 64 << 10, ..HookConfig::default() };
    let session = Session::start(&config);
    let (families, hooks_ok) = match &session {
        Ok(session) => families(session.hooks()),
        Err(error) => {
            let remedy = "see the lines above; as root on a stock kernel from 6.1 on all of it works".to_owned();
            (vec![Check { name: "eBPF programs", ok: false, detail: format!("{error:#}"), remedy }], false)
        }
    };
    checks.extend(families);
    if let Ok(session) = &session {
        checks.extend(session.notes().iter().map(|note| Check {
            name: "note",
            ok: true,
            detail: note.clone(),
            remedy: String::new(),
        }));
    }
    drop(session);
    let socket = packet_socket();
    let packets_ok = socket.ok;
    checks.push(socket);
    checks.push(host_facts());
    checks.push(memlock());
    checks.push(room());

    let mut out = std::io::stdout().lock();
    for check in &checks {
        let mark = if check.ok { "ok" } else { "MISSING" };
        // A closed pipe is no failure of the check.
        if writeln!(out, "{mark:<8} {:<18} {}", check.name, check.detail).is_err() {
            break;
        }
        if !check.ok && !check.remedy.is_empty() {
            let _ = writeln!(out, "{:<8} {:<18} remedy: {}", "", "", check.remedy);
        }
    }
    let complete = checks.iter().all(|c| c.ok);
    let anything = hooks_ok || packets_ok;
    let (line, code) = match (complete, anything) {
        (true, _) => ("everything can be recorded", 0),
        (false, true) if hooks_ok => ("a recording will be partial: what is missing above is left out", 2),
        (false, true) => ("packets alone can be recorded", 2),
        (false, false) => ("nothing can be recorded", 1),
    };
    let _ = writeln!(out, "{line}");
    Ok(ExitCode::from(code))
}

/// What a hook records, by the name of its program: the families that a reader cares for.
fn family(hook: &Hook) -> &'static str {
    let target = hook.target.as_str();
    match () {
        () if target.contains("perf") => "stack samples",
        () if target.contains("syscalls") || target.contains("sys_e") => "system calls",
        () if target.contains("sched") || target.contains("task") => "process life",
        () if target.contains("tcp") || target.contains("sock") || target.contains("kfree_skb") => "socket states",
        () if target.contains("net") || target.contains("skb") => "packets",
        () => "other hooks",
    }
}

fn families(hooks: &[Hook]) -> (Vec<Check>, bool) {
    let mut lines: Vec<Check> = Vec::new();
    for name in ["system calls", "packets", "process life", "socket states", "stack samples", "other hooks"] {
        let of_family: Vec<_> = hooks.iter().filter(|h| family(h) == name).collect();
        let attached = of_family.iter().filter(|h| h.attached).count();
        if of_family.is_empty() {
            continue;
        }
        let mut detail = format!("{attached} of {} hooks attach", of_family.len());
        for hook in of_family.iter().filter(|h| !h.attached) {
            detail += &format!("\n{:<27} {}: {}", "", hook.target, hook.error);
        }
        lines.push(Check {
            name,
            ok: attached == of_family.len(),
            detail,
            remedy: "a newer kernel, or one with these tracepoints configured".to_owned(),
        });
    }
    (lines, hooks.iter().any(|h| h.attached))
}

fn packet_socket() -> Check {
    let own = networks::own().map_or(0, |n| n.inode);
    let opened = PacketSocket::open(own, None, 64, clocks::realtime_offset(&clocks::snapshot()));
    Check {
        name: "packet socket",
        ok: opened.is_ok(),
        detail: opened.map_or_else(|e| e.to_string(), |_| "can be opened (only used without eBPF)".to_owned()),
        remedy: "run as root or with CAP_NET_RAW".to_owned(),
    }
}

/// Whether /proc tells about other users' processes and namespaces.
fn host_facts() -> Check {
    const CAP_SYS_PTRACE: u32 = 19;
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap_or_default();
    let effective = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
    let ok = [CAP_SYS_PTRACE, CAP_SYS_ADMIN].iter().all(|cap| effective & (1 << cap) != 0);
    let pids = processes::pids();
    let readable = pids.iter().filter(|pid| processes::netns_of(**pid).is_some()).count();
    Check {
        name: "host facts",
        ok,
        detail: format!("{readable} of {} processes can be looked at", pids.len()),
        remedy: "run as root or with CAP_SYS_PTRACE and CAP_SYS_ADMIN".to_owned(),
    }
}

fn memlock() -> Check {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    let detail = if limit.rlim_cur == libc::RLIM_INFINITY {
        "unlimited".to_owned()
    } else {
        format!("{} KiB (counts before Linux 5.11 only)", limit.rlim_cur / 1024)
    };
    Check { name: "locked memory", ok: true, detail, remedy: String::new() }
}

/// Bytes free for this user in a directory.
fn free_bytes(directory: &str) -> Option<u64> {
    let path = CString::new(directory).ok()?;
    // SAFETY: zero is a valid statvfs, the path is zero-terminated.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut stat) == 0).then(|| stat.f_bavail * stat.f_frsize)
    }
}

fn room() -> Check {
    let free = free_bytes(".");
    Check {
        name: "disk",
        ok: free.is_none_or(|free| free >= ROOM),
        detail: free.map_or("unknown".to_owned(), |free| format!("{} MB free in this directory", free / 1_000_000)),
        remedy: "write elsewhere with -o, or bound the file with --max-size".to_owned(),
    }
}
