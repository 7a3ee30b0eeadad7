//! Sockets of a network namespace as /proc/net shows them, and who holds them.

use super::interfaces::address;
use super::networks::{Namespace, table};
use super::processes;
use formats::facts::Socket;
use std::collections::HashMap;
use std::fs;

/// Most sockets kept of one table.
const SOCKETS_LIMIT: usize = 200_000;
/// Most owners kept of one socket.
const OWNERS_LIMIT: usize = 64;

/// Holders of sockets: inode -> (pid, fd).
pub type Owners = HashMap<u64, Vec<(u32, i32)>>;

/// Reads the file descriptors of a process and adds its sockets.
pub fn add_owner(owners: &mut Owners, pid: u32) {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        let fd = entry.file_name().to_str().and_then(|n| n.parse().ok());
        if let (Some(inode), Some(fd)) = (inode, fd) {
            let holders = owners.entry(inode).or_default();
            if holders.len() < OWNERS_LIMIT {
                holders.push((pid, fd));
            }
        }
    }
}

/// Holders of all sockets.
#[must_use]
pub fn owners() -> Owners {
    let mut owners = Owners::new();
    for pid in processes::pids() {
        add_owner(&mut owners, pid);
    }
    owners
}

/// Sockets of a namespace.
#[must_use]
pub fn read(namespace: &Namespace, owners: &Owners) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for (name, transport) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        sockets.extend(
            table(namespace, name).lines().skip(1).filter_map(|line| inet(line, transport)).take(SOCKETS_LIMIT),
        );
    }
    sockets.extend(table(namespace, "unix").lines().skip(1).filter_map(unix).take(SOCKETS_LIMIT));
    for socket in &mut sockets {
        socket.netns = namespace.inode;
        socket.owners = owners.get(&socket.inode).cloned().unwrap_or_default();
    }
    sockets
}

/// A line of /proc/net/{tcp,udp}{,6}.
fn inet(line: &str, transport: &str) -> Option<Socket> {
    let f: Vec<&str> = line.split_whitespace().collect();
    let (local_addr, local_port) = endpoint(f.get(1)?)?;
    let (remote_addr, remote_port) = endpoint(f.get(2)?)?;
    Some(Socket {
        transport: transport.to_owned(),
        local_addr,
        local_port,
        remote_addr,
        remote_port,
        state: state(u8::from_str_radix(f.get(3)?, 16).ok()?, transport).to_owned(),
        inode: f.get(9)?.parse().ok()?,
        ..Socket::default()
    })
}

/// `0100007F:1F90`: 32-bit words of the address as native integers, and the port.
fn endpoint(text: &str) -> Option<(String, u16)> {
    let (words, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for word in words.as_bytes().chunks(8) {
        let word = std::str::from_utf8(word).ok().filter(|w| w.len() == 8)?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let text = address(&bytes);
    if text.is_empty() { None } else { Some((text, u16::from_str_radix(port, 16).ok()?)) }
}

/// Names as `ss` shows them; numbers of include/net/tcp_states.h. A UDP socket is in state 7 unless connected.
fn state(number: u8, transport: &str) -> &'static str {
    const NAMES: [&str; 13] = [
        "",
        "ESTAB",
        "SYN-SENT",
        "SYN-RECV",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSED",
        "CLOSE-WAIT",
        "LAST-ACK",
        "LISTEN",
        "CLOSING",
        "NEW-SYN-RECV",
    ];
    if transport == "udp" && number == 7 { "UNCONN" } else { NAMES.get(usize::from(number)).copied().unwrap_or("") }
}

/// A line of /proc/net/unix: `Num: RefCount Protocol Flags Type St Inode [Path]`.
fn unix(line: &str) -> Option<Socket> {
    let mut f = line.split_whitespace();
    let flags = u32::from_str_radix(f.nth(3)?, 16).ok()?;
    let st = u32::from_str_radix(f.nth(1)?, 16).ok()?;
    let inode = f.next()?.parse().ok()?;
    // __SO_ACCEPTCON marks listeners; SS_CONNECTED is 3.
    let state = match (flags & 0x10000 != 0, st) {
        (true, _) => "LISTEN",
        (false, 3) => "ESTAB",
        _ => "UNCONN",
    };
    Some(Socket {
        transport: "unix".to_owned(),
        local_addr: f.next().unwrap_or_default().to_owned(),
        state: state.to_owned(),
        inode,
        ..Socket::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::networks;
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn lines() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0";
        let s = inet(line, "tcp").unwrap();
        assert_eq!(
            (s.local_addr.as_str(), s.local_port, s.state.as_str(), s.inode),
            ("127.0.0.1", 8080, "LISTEN", 4242)
        );
        assert_eq!(endpoint("00000000000000000000000001000000:0035").unwrap(), ("::1".to_owned(), 53));
        assert!(endpoint("zz:1").is_none() && endpoint("00:1").is_none() && inet("a b", "tcp").is_none());
        let s = unix("ffff: 00000002 00000000 00010000 0001 01 777 /run/x.sock").unwrap();
        assert_eq!(
            (s.transport.as_str(), s.state.as_str(), s.inode, s.local_addr.as_str()),
            ("unix", "LISTEN", 777, "/run/x.sock")
        );
    }

    #[test]
    fn own_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut owners = Owners::new();
        add_owner(&mut owners, std::process::id());
        let sockets = read(&networks::own().unwrap(), &owners);
        let me = |fd| (std::process::id(), fd);
        let listening = sockets.iter().find(|s| s.local_port == port && s.state == "LISTEN").unwrap();
        assert!(listening.owners.contains(&me(listener.as_raw_fd())));
        let connected = sockets.iter().find(|s| s.remote_port == port && s.state == "ESTAB").unwrap();
        assert!(connected.owners.contains(&me(client.as_raw_fd())));
    }
}
