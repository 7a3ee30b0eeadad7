//! The node itself: host name, kernel, distribution, memory.

use sha2::{Digest, Sha256};
use std::ffi::CStr;
use std::fs;

/// `uname -n`.
#[must_use]
pub fn hostname() -> String {
    uname().0
}

/// `uname`: node name, release, version, machine.
#[must_use]
pub fn uname() -> (String, String, String, String) {
    // SAFETY: utsname is made of byte arrays, zero is valid; uname() fills them with zero-terminated strings.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut names);
        names
    };
    let text = |field: &[libc::c_char]| {
        // SAFETY: c_char and u8 have the same size and any bytes are valid.
        let bytes = unsafe { std::slice::from_raw_parts(field.as_ptr().cast::<u8>(), field.len()) };
        CStr::from_bytes_until_nul(bytes).map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    };
    (text(&names.nodename), text(&names.release), text(&names.version), text(&names.machine))
}

/// `/etc/machine-id`, hashed together with a word of ours as machine-id(5) asks, 32 hex digits; empty if there is none.
#[must_use]
pub fn node_id() -> String {
    let Ok(id) = fs::read_to_string("/etc/machine-id") else { return String::new() };
    let id = id.trim();
    if id.is_empty() {
        return String::new();
    }
    let digest = Sha256::new().chain_update("hindsight node id\0").chain_update(id).finalize();
    digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// PRETTY_NAME of `/etc/os-release`.
#[must_use]
pub fn os() -> String {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim().trim_matches('"').to_owned()
}

fn sysconf(name: libc::c_int) -> u64 {
    // SAFETY: sysconf only reads its argument.
    u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
}

/// Memory of the node, bytes.
#[must_use]
pub fn memory_bytes() -> u64 {
    sysconf(libc::_SC_PHYS_PAGES) * page_size()
}

/// Size of a page, bytes.
#[must_use]
pub fn page_size() -> u64 {
    sysconf(libc::_SC_PAGESIZE)
}

/// Clock ticks per second, the unit of times in /proc/PID/stat.
#[must_use]
pub fn ticks_per_second() -> u64 {
    sysconf(libc::_SC_CLK_TCK).max(1)
}

/// CPUs online.
#[must_use]
pub fn cpus() -> u32 {
    u32::try_from(sysconf(libc::_SC_NPROCESSORS_ONLN)).unwrap_or(1).max(1)
}
