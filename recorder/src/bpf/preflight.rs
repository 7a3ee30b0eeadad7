//! What this node allows and what to do where it does not.

use super::{btf::Btf, tracefs};

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is met.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do if not; empty if it is met.
    pub remedy: String,
}

fn check(name: &'static str, ok: bool, detail: impl Into<String>, remedy: &str) -> Check {
    Check { name, ok, detail: detail.into(), remedy: if ok { String::new() } else { remedy.to_owned() } }
}

/// Capability numbers of `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// All requirements.
pub(super) fn checks() -> Vec<Check> {
    vec![privileges(), kernel(), type_information(), runs(), trace_points(), lockdown(), jit()]
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|s| s.trim().to_owned())
}

fn privileges() -> Check {
    let effective = read("/proc/self/status")
        .and_then(|s| {
            let line = s.lines().find(|l| l.starts_with("CapEff:"))?;
            u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
        })
        .unwrap_or(0);
    let has = |cap: u32| effective & (1 << cap) != 0;
    let ok = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    check(
        "privileges",
        ok,
        format!("effective capabilities {effective:016x}"),
        "run as root, or with CAP_SYS_ADMIN, or with CAP_BPF and CAP_PERFMON",
    )
}

fn kernel() -> Check {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    check("kernel", version >= (5, 15), release, "Linux 5.15 or later is needed; 6.1 and later are tested")
}

fn type_information() -> Check {
    match Btf::of_kernel() {
        Ok(_) => check("type information", true, "/sys/kernel/btf/vmlinux", ""),
        Err(e) => check(
            "type information",
            false,
            format!("{e:#}"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; every current distribution's is",
        ),
    }
}

/// Whether the kernel runs programs whoever is current. One that does not records nearly everything, so nothing is missing for good;
/// that it does not is seen in its types alone (docs/limitations.md).
fn runs() -> Check {
    let owned = Btf::of_kernel().is_ok_and(|btf| btf.place("bpf_prog_aux:init_owned").is_some());
    let left_out = "at any time but while process 1 runs: what timers send just then is no packet of the recording, \
                    and counted where that can be told (`analyze health`)";
    check("programs run", true, if owned { left_out } else { "at any time" }, "")
}

fn trace_points() -> Check {
    if tracefs::mounted() {
        return check("tracefs", true, "mounted", "");
    }
    let known = read("/proc/filesystems").is_some_and(|s| s.lines().any(|l| l.ends_with("\ttracefs")));
    check(
        "tracefs",
        known,
        if known { "not mounted; will be mounted for the loading thread alone" } else { "unknown to this kernel" },
        "use a kernel with CONFIG_FTRACE_SYSCALLS=y; without it system calls are not recorded",
    )
}

fn lockdown() -> Check {
    let state = read("/sys/kernel/security/lockdown").unwrap_or_else(|| "unknown".to_owned());
    check(
        "lockdown",
        !state.contains("[confidentiality]"),
        state,
        "in lockdown mode `confidentiality` the kernel lets no program read its memory; boot with lockdown=integrity",
    )
}

fn jit() -> Check {
    let state = read("/proc/sys/net/core/bpf_jit_enable").unwrap_or_else(|| "unknown".to_owned());
    check(
        "JIT compiler",
        state != "0",
        format!("bpf_jit_enable = {state}"),
        "net.core.bpf_jit_enable=1 makes recording several times cheaper",
    )
}
