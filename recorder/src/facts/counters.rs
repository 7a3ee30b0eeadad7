//! What the interfaces' own counters say, read so that it can be compared with what the hooks saw.
//!
//! Counter and hook are some lines of the kernel apart. Received packets of `lo` and veth are counted when they are put into a CPU's
//! backlog and pass the hook when they are taken out (drivers/net/loopback.c, drivers/net/veth.c, net/core/dev.c); sent ones pass the hook
//! and are counted by the driver right after. All of it happens with soft interrupts off or in one of them, so that a
//! grace period of RCU ends after whoever is between the two.

use super::networks::{Namespace, inside};
use super::{clocks, netlink};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the backlogs may take to be seen empty.
const PATIENCE: Duration = Duration::from_millis(300);
/// `ETHTOOL_GGRO` (include/uapi/linux/ethtool.h): whether received packets are merged.
const GET_GRO: u32 = 0x2b;
/// `MEMBARRIER_CMD_GLOBAL` (include/uapi/linux/membarrier.h): a grace period of RCU.
const GRACE_PERIOD: libc::c_int = 1;
/// Columns of /proc/net/softnet_stat (`softnet_seq_show`): packets in the backlog, number of the CPU.
const BACKLOG_COLUMN: usize = 11;
const CPU_COLUMN: usize = 12;

/// An interface's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Namespace.
    pub netns: u32,
    /// Index in it.
    pub ifindex: u32,
    /// Name at that moment.
    pub name: String,
    /// Packets received and sent.
    pub packets: [u64; 2],
    /// Received packets may be merged or taken away before the hook.
    pub merges: bool,
    /// How often the carrier has gone.
    pub carrier_downs: u32,
}

/// Counters of all interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Before and after, monotonic ns.
    pub read_ns: [u64; 2],
    /// In the order of namespace and index.
    pub interfaces: Vec<Counted>,
}

impl Reading {
    /// Packets counted since `before`: `netns/name` -> received, sent. Of an interface that was not there, all.
    #[must_use]
    pub fn since(&self, before: &Self) -> BTreeMap<String, [u64; 2]> {
        let old: BTreeMap<_, _> = before.interfaces.iter().map(|c| ((c.netns, c.ifindex), c.packets)).collect();
        let meanwhile = |c: &Counted| {
            let [received, sent] = old.get(&(c.netns, c.ifindex)).copied().unwrap_or_default();
            [c.packets[0].saturating_sub(received), c.packets[1].saturating_sub(sent)]
        };
        self.interfaces.iter().map(|c| (format!("{}/{}", c.netns, c.name), meanwhile(c))).collect()
    }
}

/// The first reading, and since when packets are to be compared with it: what hooks saw before that moment is counted in it. 0 if that cannot be
/// made sure of.
#[must_use]
pub fn first(namespaces: &[Namespace]) -> (u64, Reading) {
    let from = clocks::monotonic();
    let sure = grace_period();
    (if sure { from } else { 0 }, read(namespaces))
}

/// Reads the counters of all interfaces.
#[must_use]
pub fn read(namespaces: &[Namespace]) -> Reading {
    let began = clocks::monotonic();
    let interfaces = namespaces.iter().flat_map(of_namespace).collect();
    Reading { read_ns: [began, clocks::monotonic()], interfaces }
}

/// Waits until all that had been counted has passed its hook, `meanwhile` again and again; when that was, `None` if it cannot be made sure of.
///
/// # Errors
/// Those of `meanwhile`.
pub fn settle<E>(mut meanwhile: impl FnMut() -> Result<(), E>) -> Result<Option<u64>, E> {
    let patience = Instant::now() + PATIENCE;
    // Of every CPU: readings in a row that found its backlog empty. The kernel reads its two parts one after the other, and packets may go from
    // one to the other in between: two readings are sure.
    let mut empty: BTreeMap<u64, u32> = BTreeMap::new();
    loop {
        let Some(backlogs) = std::fs::read_to_string("/proc/net/softnet_stat").ok().and_then(|t| backlogs(&t)) else {
            return Ok(None);
        };
        for (cpu, packets) in &backlogs {
            let times = empty.entry(*cpu).or_default();
            *times = if *times >= 2 {
                2
            } else if *packets == 0 {
                *times + 1
            } else {
                0
            };
        }
        if backlogs.keys().all(|cpu| empty.get(cpu).is_some_and(|times| *times >= 2)) {
            break;
        }
        if Instant::now() > patience {
            return Ok(None);
        }
        meanwhile()?;
    }
    // Who took the last ones out may be at it still.
    let sure = grace_period();
    Ok(sure.then(clocks::monotonic))
}

/// Waits until every CPU has left what it was doing in the kernel with soft interrupts off. `false` where that cannot be had.
fn grace_period() -> bool {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_membarrier, GRACE_PERIOD, 0, 0) == 0 }
}

/// Packets in the backlog of each CPU; `None` if this kernel does not tell.
fn backlogs(text: &str) -> Option<BTreeMap<u64, u64>> {
    text.lines()
        .map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            let number = |at: usize| u64::from_str_radix(columns.get(at)?, 16).ok();
            Some((number(CPU_COLUMN)?, number(BACKLOG_COLUMN)?))
        })
        .collect()
}

fn of_namespace(namespace: &Namespace) -> Vec<Counted> {
    let netns = namespace.inode;
    let read = || {
        let socket = control_socket()?;
        let links = netlink::links()?;
        let mut counted: Vec<_> = links
            .into_iter()
            .map(|link| Counted {
                netns,
                ifindex: link.index,
                packets: link.packets,
                merges: link.xdp || (link.kind == "veth" && merges(&socket, &link.name)),
                carrier_downs: link.carrier_downs,
                name: link.name,
            })
            .collect();
        counted.sort_by_key(|c| c.ifindex);
        Ok(counted)
    };
    inside(namespace, read).unwrap_or_default()
}

/// A socket of the present namespace to ask about interfaces.
fn control_socket() -> std::io::Result<OwnedFd> {
    // SAFETY: plain system call; the result is checked before use.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether GRO is on; `true` as well if it cannot be told.
fn merges(socket: &OwnedFd, name: &str) -> bool {
    #[repr(C)]
    struct Value {
        cmd: u32,
        data: u32,
    }
    let mut value = Value { cmd: GET_GRO, data: 1 };
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request and what it points to live; the kernel writes `data` alone.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    done != 0 || value.data != 0
}

#[cfg(test)]
mod tests {
    use super::super::networks;
    use super::*;

    #[test]
    fn loopback_counts_what_passes() {
        let own = networks::own().unwrap();
        let before = read(std::slice::from_ref(&own));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..5 {
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        }
        let after = read(std::slice::from_ref(&own));
        let [received, sent] = after.since(&before)[&format!("{}/lo", own.inode)];
        assert!(received >= 5 && sent >= 5, "{received} {sent}");
        assert!(before.read_ns[0] <= before.read_ns[1] && before.read_ns[1] <= after.read_ns[0]);
        assert!(!after.interfaces.iter().any(|c| c.name == "lo" && c.merges));
    }

    #[test]
    fn backlogs_by_cpu() {
        // Linux 6.18: processed, dropped, squeezed, five of no meaning, received by steering, limited, backlog, CPU, and its two parts.
        let line = "0550ace9 00000000 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000001f 00000003 00000001 0000001e";
        assert_eq!(backlogs(line), Some([(3, 31)].into()));
        assert_eq!(backlogs("0550ace9 00000000 0000000a"), None);
    }

    #[test]
    fn settles_when_nothing_moves() {
        // Others' packets may keep backlogs from being empty: then it says so.
        let before = clocks::monotonic();
        let until = settle(|| Ok::<(), ()>(())).unwrap();
        assert!(until.is_none_or(|until| until >= before));
    }
}
