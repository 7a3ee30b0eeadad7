//! Network namespaces: which there are, how to look inside, their routes and address translations.

use super::processes;
use formats::facts::NetNamespace;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most routes and translations kept of one namespace.
const LINES_LIMIT: usize = 4096;
/// Most bytes read of one table in /proc/net.
pub const TABLE_LIMIT: u64 = 64 << 20;

/// A network namespace and a way into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Inode number, the namespace's identity.
    pub inode: u32,
    /// A file that setns(2) takes.
    pub path: PathBuf,
    /// Some process in it, 0 if none.
    pub pid: u32,
    /// Name in /run/netns; `host` for that of pid 1.
    pub name: String,
}

/// The calling process' own namespace.
#[must_use]
pub fn own() -> Option<Namespace> {
    let pid = std::process::id();
    let inode = processes::netns_of(pid)?;
    let name = if host() == Some(inode) { "host" } else { "" };
    Some(Namespace { inode, path: PathBuf::from("/proc/self/ns/net"), pid, name: name.to_owned() })
}

/// The namespace of pid 1; where that may not be looked at, of the first kernel thread.
fn host() -> Option<u32> {
    processes::netns_of(1).or_else(|| processes::netns_of(2))
}

/// All namespaces that a process lives in or that are bound in /run/netns, ordered by inode number.
#[must_use]
pub fn all() -> Vec<Namespace> {
    let mut found: BTreeMap<u32, Namespace> = BTreeMap::new();
    if let Some(own) = own() {
        found.insert(own.inode, own);
    }
    for pid in processes::pids() {
        if let Some(inode) = processes::netns_of(pid) {
            let entry = found.entry(inode).or_default();
            // Low process ids live long.
            if entry.path.as_os_str().is_empty() {
                *entry = Namespace { inode, path: format!("/proc/{pid}/ns/net").into(), pid, name: String::new() };
            }
        }
    }
    if let Some(entry) = host().and_then(|inode| found.get_mut(&inode)) {
        entry.name = "host".to_owned();
    }
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::metadata(&path) else { continue };
        let Ok(inode) = u32::try_from(meta.ino()) else { continue };
        let namespace = found.entry(inode).or_insert_with(|| Namespace { inode, ..Namespace::default() });
        if namespace.name.is_empty() {
            namespace.name = entry.file_name().to_string_lossy().into_owned();
        }
        if namespace.path.as_os_str().is_empty() {
            namespace.path = path;
        }
    }
    found.into_values().collect()
}

/// Runs `look` in a thread of its own that has entered the namespace; the calling thread stays where it is.
pub fn inside<T: Send>(namespace: &Namespace, look: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if processes::netns_of(std::process::id()) == Some(namespace.inode) {
        return look();
    }
    let file = File::open(&namespace.path)?;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("record-netns".into())
            .spawn_scoped(scope, move || {
                // SAFETY: setns takes an open file and changes only this thread, which ends right after.
                if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                look()
            })?
            .join()
            .map_err(|_| io::Error::other("the thread in the namespace panicked"))?
    })
}

/// A file of /proc/net of a namespace: through one of its processes, or from a thread inside. Empty if it cannot be read.
#[must_use]
pub fn table(namespace: &Namespace, name: &str) -> String {
    let through_process =
        if namespace.pid == 0 { None } else { text(Path::new(&format!("/proc/{}/net/{name}", namespace.pid))) };
    through_process
        .or_else(|| inside(namespace, || Ok(text(Path::new(&format!("/proc/thread-self/net/{name}"))))).ok().flatten())
        .unwrap_or_default()
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(TABLE_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Routes and translations of a namespace.
#[must_use]
pub fn read(namespace: &Namespace) -> NetNamespace {
    let mut routes: Vec<String> =
        table(namespace, "route").lines().skip(1).filter_map(route4).take(LINES_LIMIT).collect();
    routes.extend(table(namespace, "ipv6_route").lines().filter_map(route6).take(LINES_LIMIT));
    NetNamespace {
        netns: namespace.inode,
        name: namespace.name.clone(),
        pid: namespace.pid,
        routes,
        nat: table(namespace, "nf_conntrack").lines().filter_map(translation).take(LINES_LIMIT).collect(),
    }
}

/// A line of /proc/net/route: addresses are hex of the network-order word as a native integer.
fn route4(line: &str) -> Option<String> {
    let f: Vec<&str> = line.split_whitespace().collect();
    let word = |i: usize| u32::from_str_radix(f.get(i)?, 16).ok();
    let address = |w: u32| Ipv4Addr::from(w.to_ne_bytes());
    let (destination, gateway, mask) = (word(1)?, word(2)?, word(7)?);
    let mut out = match (destination, mask) {
        (0, 0) => "default".to_owned(),
        _ => format!("{}/{}", address(destination), mask.count_ones()),
    };
    if gateway != 0 {
        out += &format!(" via {}", address(gateway));
    }
    out += &format!(" dev {}", f.first()?);
    let metric: u32 = f.get(6)?.parse().ok()?;
    if metric != 0 {
        out += &format!(" metric {metric}");
    }
    Some(out)
}

/// A line of /proc/net/ipv6_route. Local (RTF_LOCAL), anycast and dead entries are left out.
fn route6(line: &str) -> Option<String> {
    const RTF_REJECT: u32 = 0x0200;
    const RTF_ANYCAST: u32 = 0x0010_0000;
    const RTF_LOCAL: u32 = 0x8000_0000;
    let f: Vec<&str> = line.split_whitespace().collect();
    let address = |i: usize| Some(Ipv6Addr::from(u128::from_str_radix(f.get(i)?, 16).ok()?));
    let flags = u32::from_str_radix(f.get(8)?, 16).ok()?;
    if flags & (RTF_REJECT | RTF_ANYCAST | RTF_LOCAL) != 0 {
        return None;
    }
    let prefix = u8::from_str_radix(f.get(1)?, 16).ok()?;
    let (destination, gateway) = (address(0)?, address(4)?);
    let mut out = if prefix == 0 && destination.is_unspecified() {
        "default".to_owned()
    } else {
        format!("{destination}/{prefix}")
    };
    if !gateway.is_unspecified() {
        out += &format!(" via {gateway}");
    }
    out += &format!(" dev {}", f.get(9)?);
    let metric = u32::from_str_radix(f.get(5)?, 16).ok()?;
    if metric != 0 {
        out += &format!(" metric {metric}");
    }
    Some(out)
}

/// A line of /proc/net/nf_conntrack, if the reply is not simply the original turned round.
fn translation(line: &str) -> Option<String> {
    let transport = line.split_whitespace().nth(2)?;
    let mut tuples: [[&str; 4]; 2] = [[""; 4]; 2];
    let mut counts = [0usize; 4];
    for word in line.split_whitespace() {
        let Some((key, value)) = word.split_once('=') else { continue };
        let Some(slot) = ["src", "dst", "sport", "dport"].iter().position(|k| *k == key) else { continue };
        let Some(count) = counts.get_mut(slot) else { continue };
        if let Some(field) = tuples.get_mut(*count).and_then(|tuple| tuple.get_mut(slot)) {
            *field = value;
        }
        *count += 1;
    }
    let [[src, dst, sport, dport], [rsrc, rdst, rsport, rdport]] = tuples;
    if rsrc.is_empty() || (src == rdst && dst == rsrc && sport == rdport && dport == rsport) {
        return None;
    }
    let end =
        |address: &str, port: &str| if port.is_empty() { address.to_owned() } else { format!("{address}:{port}") };
    Some(format!(
        "{transport} {}->{} reply {}->{}",
        end(src, sport),
        end(dst, dport),
        end(rsrc, rsport),
        end(rdst, rdport)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        // `ip route`: default via 192.0.2.1 dev eth0; 10.1.0.0/16 dev br0 metric 100 (little-endian machine).
        assert_eq!(
            route4("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0").unwrap(),
            "default via 192.0.2.1 dev eth0"
        );
        assert_eq!(
            route4("br0\t0000010A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0").unwrap(),
            "10.1.0.0/16 dev br0 metric 100"
        );
        let v6 = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0";
        assert_eq!(route6(v6).unwrap(), "fd00::/64 dev eth0 metric 256");
        assert!(route4("x").is_none() && route6("x y").is_none());
    }

    #[test]
    fn translations() {
        let dnat = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=4000 dport=80 src=10.1.0.2 dst=10.0.0.1 sport=8080 dport=4000 [ASSURED] mark=0 use=1";
        assert_eq!(translation(dnat).unwrap(), "tcp 10.0.0.1:4000->10.0.0.2:80 reply 10.1.0.2:8080->10.0.0.1:4000");
        let plain = "ipv4     2 tcp      6 9 TIME_WAIT src=10.0.0.1 dst=10.0.0.2 sport=4000 dport=80 src=10.0.0.2 dst=10.0.0.1 sport=80 dport=4000 use=1";
        assert!(translation(plain).is_none());
        assert!(translation("").is_none());
        assert!(translation("a b c src=1 src=2 src=3 src=4").is_some());
    }

    #[test]
    fn own_namespace_is_among_all() {
        let own = own().unwrap();
        assert!(all().iter().any(|n| n.inode == own.inode));
        assert!(!table(&own, "tcp").is_empty());
    }
}
