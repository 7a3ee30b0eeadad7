//! The eBPF programs by themselves: a child process does what is known, the records must say just that.
//!
//! They need root and eBPF; elsewhere they say that they were skipped.

use formats::event::{self, Packet, Record, SocketData, call, data_flag, kind};
use recorder::bpf::{HookConfig, Session};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use recorder::facts::clocks::monotonic;

const CHILD: &str = "HINDSIGHT_TEST_WORKLOAD";
const SENDS: usize = 2000;
const LOG: &str = "HINDSIGHT_TEST_LOG";
/// Pieces of the call that has the most: more than are looked at.
const PIECES: usize = 80;
const WAIT: Duration = Duration::from_millis(60);

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

/// Not a test but what the tests record: the recorder does not see its own process.
#[test]
fn workload() {
    let data = pattern(300);
    let mut buffer = [0u8; 512];
    match std::env::var(CHILD).as_deref() {
        Ok("unix") => {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            a.write_all(&data).unwrap();
            b.read_exact(&mut buffer[..300]).unwrap();
        }
        Ok("tcp") => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            for _ in 0..2 {
                client.write_all(&data).unwrap();
                server.read_exact(&mut buffer[..300]).unwrap();
            }
            // Both ends close: twice the end is read, the second time of a socket that has given its port back.
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut buffer).unwrap(), 0);
            server.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read(&mut buffer).unwrap(), 0);
        }
        Ok("udp") => {
            let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
            a.send_to(&data, b.local_addr().unwrap()).unwrap();
            b.recv_from(&mut buffer).unwrap();
        }
        Ok("waits") => waits(&data),
        Ok("accepts") => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let said = format!("{} {}\n", listener.local_addr().unwrap().port(), listener.as_raw_fd());
            std::fs::write(std::env::var(LOG).unwrap(), said).unwrap();
            listener.accept().unwrap();
        }
        Ok("pieces") => pieces(&data),
        Ok("many") => {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            for _ in 0..SENDS {
                a.write_all(&data).unwrap();
                b.read_exact(&mut buffer[..300]).unwrap();
            }
        }
        _ => {}
    }
}

/// Every way of receiving waits for a byte that comes late, then finds one that is there. Clock readings around every
/// call go to the file that the test has named.
fn waits(data: &[u8]) {
    let (mut a, b) = UnixStream::pair().unwrap();
    let fd = b.as_raw_fd();
    let mut buffer = [0u8; 512];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    let mut log = String::new();
    // SAFETY: no arguments.
    let reader = unsafe { libc::gettid() };
    let state = format!("/proc/self/task/{reader}/syscall");
    for (way, number) in
        [libc::SYS_read, libc::SYS_readv, libc::SYS_recvfrom, libc::SYS_recvmsg].into_iter().enumerate()
    {
        for late in [true, false] {
            let (mut sender, bytes, state) = (a.try_clone().unwrap(), data.to_vec(), state.clone());
            let thread = std::thread::spawn(move || {
                // The number of the call that a thread sleeps in comes first; a running one has none.
                let waits = || std::fs::read_to_string(&state).unwrap().starts_with(&format!("{number} "));
                let since = Instant::now();
                while late && !waits() {
                    assert!(since.elapsed() < Duration::from_secs(30), "call {number} was not entered");
                    std::thread::yield_now();
                }
                std::thread::sleep(if late { WAIT } else { Duration::ZERO });
                sender.write_all(&bytes).unwrap();
            });
            let thread = if late {
                Some(thread)
            } else {
                thread.join().unwrap();
                None
            };
            let before = monotonic();
            // SAFETY: the buffer has room for what is read.
            let got = unsafe {
                match way {
                    0 => libc::read(fd, part.iov_base, part.iov_len),
                    1 => libc::readv(fd, &raw const part, 1),
                    2 => libc::recv(fd, part.iov_base, part.iov_len, 0),
                    _ => libc::recvmsg(fd, &raw mut message, 0),
                }
            };
            log += &format!("{before} {} {got}\n", monotonic());
            if let Some(thread) = thread {
                thread.join().unwrap();
            }
        }
    }
    a.flush().unwrap();
    std::fs::write(std::env::var(LOG).unwrap(), log).unwrap();
}

/// One message in 61 pieces, some of them empty and nowhere; one in more than are looked at.
fn pieces(data: &[u8]) {
    let (a, mut b) = UnixStream::pair().unwrap();
    let mut buffer = [0u8; 512];
    let mut at = 0;
    let mut part = |len: usize| {
        let from = &data[at..at + len];
        at += len;
        let base = if len == 0 { std::ptr::null_mut() } else { from.as_ptr().cast_mut().cast() };
        libc::iovec { iov_base: base, iov_len: len }
    };
    let few: Vec<libc::iovec> = (0..60).map(|i| i % 5).chain([4]).map(&mut part).collect();
    let many: Vec<libc::iovec> = (0..PIECES).map(|_| part(1)).collect();
    for parts in [few, many] {
        let len: usize = parts.iter().map(|part| part.iov_len).sum();
        // SAFETY: the pieces lie in `data`.
        let sent = unsafe { libc::writev(a.as_raw_fd(), parts.as_ptr(), parts.len() as i32) };
        assert_eq!(usize::try_from(sent), Ok(len));
        b.read_exact(&mut buffer[..len]).unwrap();
    }
}

fn run_child(what: &str) -> u32 {
    run_child_logging(what, Path::new("/dev/null"))
}

fn start_child(what: &str, log: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["live::bpf::workload", "--exact", "--test-threads=1"])
        .env(CHILD, what)
        .env(LOG, log)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// As above; the child writes what it measured to `log`.
fn run_child_logging(what: &str, log: &Path) -> u32 {
    let mut child = start_child(what, log);
    let pid = child.id();
    assert!(child.wait().unwrap().success());
    pid
}

fn session(config: &HookConfig) -> Option<Session> {
    // SAFETY: geteuid only returns a number.
    if unsafe { libc::geteuid() } != 0 || !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("skipped: live recordings need root and a kernel with BTF");
        return None;
    }
    let session = Session::start(config).unwrap();
    let missing: Vec<_> = session.hooks().iter().filter(|h| !h.attached).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Some(session)
}

type Calls = Vec<(SocketData, Vec<u8>)>;

/// Socket records of one process with their payload, in the order of their times; and all packets.
fn drain(session: &mut Session, pid: u32) -> (Calls, Vec<(Packet, Vec<u8>)>) {
    let (mut calls, mut packets) = (Vec::new(), Vec::new());
    session.drain(&mut |_, record| {
        if let Some(d) = SocketData::read(record).filter(|d| d.hdr.pid == pid) {
            calls.push((d, event::tail(record)[..d.data_len as usize].to_vec()));
        } else if let Some(p) = Packet::read(record) {
            packets.push((p, event::tail(record)[..p.cap_len as usize].to_vec()));
        }
    });
    calls.sort_by_key(|c| c.0.hdr.ts);
    (calls, packets)
}

fn of(calls: &[(SocketData, Vec<u8>)], call: u8) -> Vec<(SocketData, Vec<u8>)> {
    // Reads of 0 bytes and of other sockets have other results.
    calls.iter().filter(|c| c.0.call == call && c.0.ret == 300).cloned().collect()
}

#[test]
fn a_unix_pair_shows_payload_and_peers() {
    let Some(mut session) = session(&HookConfig { secret: 0x1234, ..HookConfig::default() }) else { return };
    let pid = run_child("unix");
    let (calls, _) = drain(&mut session, pid);
    let (sent, received) = (of(&calls, call::SENDTO), of(&calls, call::RECVFROM));
    let written = if sent.is_empty() { of(&calls, call::WRITE) } else { sent };
    let read = if received.is_empty() { of(&calls, call::READ) } else { received };
    assert_eq!((written.len(), read.len()), (1, 1), "{calls:?}");
    let ((w, w_bytes), (r, r_bytes)) = (&written[0], &read[0]);
    assert_eq!(w_bytes, &pattern(300)[..256]);
    assert_eq!(r_bytes, &pattern(300)[..256]);
    assert_eq!((w.family, w.sock_type, w.protocol), (1, 1, 0));
    assert_eq!((w.sock, w.peer), (r.peer, r.sock), "each is the other's peer");
    assert_ne!(w.sock, 0);
    assert!(w.enter_ts <= w.hdr.ts && w.enter_ts < r.hdr.ts, "sent before it arrived");
    assert_eq!(w.flags & data_flag::INGRESS, 0);
    assert_eq!(r.flags & data_flag::INGRESS, data_flag::INGRESS);
}

#[test]
fn a_read_begins_when_it_begins_to_wait() {
    let Some(mut session) = session(&HookConfig::default()) else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    let pid = run_child_logging("waits", log.path());
    let (calls, _) = drain(&mut session, pid);
    let reads: Vec<_> = calls.iter().map(|c| c.0).filter(|d| d.ret == 300 && d.call <= call::RECVMSG).collect();
    let log = std::fs::read_to_string(log.path()).unwrap();
    let measured: Vec<Vec<u64>> = log.lines().map(|l| l.split(' ').map(|n| n.parse().unwrap()).collect()).collect();
    let ways = [
        call::READ,
        call::READ,
        call::READV,
        call::READV,
        call::RECVFROM,
        call::RECVFROM,
        call::RECVMSG,
        call::RECVMSG,
    ];
    assert_eq!(reads.iter().map(|d| d.call).collect::<Vec<_>>(), ways, "{calls:?}");
    for ((d, m), late) in reads.iter().zip(&measured).zip([true, false].into_iter().cycle()) {
        assert_eq!((d.flags & data_flag::NO_ENTRY, m[2]), (0, 300), "{d:?}");
        assert!(m[0] <= d.enter_ts && d.enter_ts <= d.hdr.ts && d.hdr.ts <= m[1], "{m:?} around {d:?}");
        if late {
            let waited = Duration::from_nanos(d.hdr.ts - d.enter_ts);
            // The sender began to wait when the reader was in its call.
            assert!(waited >= WAIT, "{waited:?}");
        }
    }
}

/// Where so many reads are made that their entries are not noted, those that wait still have the time since when.
#[test]
fn a_read_that_waits_says_since_when_on_a_busy_node() {
    let Some(mut session) = session(&HookConfig::default()) else { return };
    if !session.hooks().iter().any(|h| h.program == "read_waits") {
        println!("skipped: on this kernel all entries are noted always");
        return;
    }
    let (stop, log) = (AtomicBool::new(false), tempfile::NamedTempFile::new().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut zero = std::fs::File::open("/dev/zero").unwrap();
            while !stop.load(Ordering::Relaxed) {
                zero.read_exact(&mut [0]).unwrap();
            }
        });
        // The hooks are taken off, and tried again; they are all off while a child runs, sooner or later.
        let seen = (0..60).any(|_| {
            let mut child = start_child("waits", log.path());
            let (pid, mut reads) = (child.id(), Vec::new());
            loop {
                let ended = child.try_wait().unwrap();
                reads.extend(drain(&mut session, pid).0.into_iter().map(|c| c.0));
                if let Some(status) = ended {
                    assert!(status.success());
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            reads.retain(|d| d.ret == 300 && d.call <= call::RECVMSG && d.flags & data_flag::INGRESS != 0);
            reads.sort_by_key(|d| d.hdr.ts);
            let text = std::fs::read_to_string(log.path()).unwrap();
            let measured: Vec<Vec<u64>> =
                text.lines().map(|l| l.split(' ').map(|n| n.parse().unwrap()).collect()).collect();
            assert_eq!((reads.len(), measured.len()), (8, 8), "{reads:?}");
            for (d, m) in reads.iter().zip(&measured) {
                assert!(m[0] <= d.enter_ts && d.enter_ts <= d.hdr.ts && d.hdr.ts <= m[1], "{m:?} around {d:?}");
                assert!(d.flags & data_flag::NO_ENTRY == 0 || d.enter_ts == d.hdr.ts, "{d:?}");
            }
            let noted = |d: &SocketData| d.flags & data_flag::NO_ENTRY == 0;
            let (late, at_once): (Vec<_>, Vec<_>) = reads.chunks(2).map(|two| (two[0], two[1])).unzip();
            let waited = |d: &SocketData| Duration::from_nanos(d.hdr.ts - d.enter_ts) >= WAIT / 2;
            !at_once.iter().any(noted) && late.iter().all(|d| noted(d) && waited(d))
        });
        stop.store(true, Ordering::Relaxed);
        assert!(seen, "no read had the time since when it waited");
    });
}

/// A child that does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_accept_that_began_before_the_recording() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = Killed(start_child("accepts", log.path()));
    let pid = child.0.id();
    let since = Instant::now();
    // A thread of it sleeps in accept4 or accept.
    let sleeps = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut calls = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("syscall")).ok());
        calls.any(|text| ["288 ", "43 "].iter().any(|number| text.starts_with(number)))
    };
    let root = Path::new("/proc/1/syscall").exists() && std::fs::read_to_string("/proc/1/syscall").is_ok();
    while root && !sleeps() {
        assert!(since.elapsed() < Duration::from_secs(60), "accept was not entered");
        std::thread::sleep(Duration::from_millis(2));
    }
    let Some(mut session) = session(&HookConfig::default()) else { return };
    let said = std::fs::read_to_string(log.path()).unwrap();
    let said: Vec<u16> = said.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let client = TcpStream::connect(("127.0.0.1", said[0])).unwrap();
    assert!(child.0.wait().unwrap().success());
    let (calls, _) = drain(&mut session, pid);
    let accepts: Vec<_> = calls.iter().map(|c| c.0).filter(|d| d.call == call::ACCEPT).collect();
    assert_eq!(accepts.len(), 1, "{calls:?}");
    let (d, from) = (accepts[0], client.local_addr().unwrap().port());
    assert_eq!((d.local_port, d.remote_port, d.flags & data_flag::NO_ENTRY), (said[0], from, data_flag::NO_ENTRY));
    assert_eq!((d.enter_ts, d.ret > 2), (d.hdr.ts, true));
    // Older kernels record calls where registers are not read.
    assert!(d.fd == i32::from(said[1]) || d.fd == -1, "{d:?}");
}

#[test]
fn a_message_in_many_pieces_is_put_together() {
    let Some(mut session) = session(&HookConfig::default()) else { return };
    let pid = run_child("pieces");
    let (calls, _) = drain(&mut session, pid);
    let written: Vec<_> = calls.iter().filter(|c| c.0.call == call::WRITEV && c.0.family == 1).collect();
    let said: Vec<_> =
        written.iter().map(|c| (c.0.ret, c.0.flags & (data_flag::IOV_LIMIT | data_flag::FAULT))).collect();
    // 12 times 0 to 4, and 4 bytes; then one byte each.
    assert_eq!(said, [(124, 0), (PIECES as i64, data_flag::IOV_LIMIT)], "{calls:?}");
    assert_eq!(written[0].1, &pattern(300)[..124]);
    assert_eq!(written[1].1, &pattern(300)[124..124 + 64]);
}

#[test]
fn a_tcp_connection_shows_sequence_numbers_ends_and_packets() {
    let Some(mut session) = session(&HookConfig { snaplen: 1000, ..HookConfig::default() }) else { return };
    let pid = run_child("tcp");
    let (calls, packets) = drain(&mut session, pid);
    let pick = |a, b| if of(&calls, a).is_empty() { of(&calls, b) } else { of(&calls, a) };
    let (written, read) = (pick(call::SENDTO, call::WRITE), pick(call::RECVFROM, call::READ));
    assert_eq!((written.len(), read.len()), (2, 2), "{calls:?}");
    for (w, r) in written.iter().zip(&read) {
        assert_eq!(w.0.flags & r.0.flags & data_flag::HAS_SEQ, data_flag::HAS_SEQ);
        assert_eq!(w.0.tcp_seq, r.0.tcp_seq, "the same bytes have the same number at both ends");
        assert_eq!((w.0.local_port, w.0.remote_port), (r.0.remote_port, r.0.local_port));
        assert_eq!(w.0.local_addr[..4], [127, 0, 0, 1]);
        assert_eq!((w.0.family, w.0.protocol), (2, 6));
    }
    assert_eq!(written[1].0.tcp_seq, written[0].0.tcp_seq.wrapping_add(300));
    assert_eq!(calls.iter().filter(|c| c.0.call == call::CONNECT && c.0.ret == 0).count(), 1);
    let accepted: Vec<_> = calls.iter().filter(|c| c.0.call == call::ACCEPT).collect();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].0.sock, read[0].0.sock, "the record of accept is about the new socket");
    assert_eq!(i64::from(read[0].0.fd), accepted[0].0.ret);
    let closed = |sock| calls.iter().any(|c| c.0.call == call::CLOSE && c.0.sock == sock);
    assert!(closed(written[0].0.sock) && closed(read[0].0.sock));
    for (record, _) in calls.iter().filter(|c| c.0.sock == read[0].0.sock && c.0.call != call::ACCEPT) {
        let other = &written[0].0;
        assert_eq!((record.local_port, record.remote_port), (other.remote_port, other.local_port), "{record:?}");
    }
    let late = |c: &&(SocketData, _)| {
        c.0.sock == written[0].0.sock && [call::READ, call::RECVFROM, call::CLOSE].contains(&c.0.call)
    };
    assert!(calls.iter().filter(late).count() >= 2);
    assert!(calls.iter().filter(late).all(|c| c.0.local_port == written[0].0.local_port), "{calls:?}");
    let end = calls.iter().find(|c| c.0.sock == read[0].0.sock && c.0.ret == 0 && c.0.call == read[0].0.call).unwrap();
    assert_eq!(end.0.tcp_seq, read[1].0.tcp_seq.wrapping_add(300), "a FIN is no byte that was read");
    // 14 Ethernet, 20 IP, 32 TCP with time stamps, 300 payload: which the kernel keeps outside of the linear part.
    let port = written[0].0.local_port.to_be_bytes();
    let data: Vec<_> = packets.iter().filter(|p| p.1.len() == 366 && p.1[34..36] == port).collect();
    assert_eq!(data.len(), 2, "{} packets", packets.len());
    for (p, bytes) in data {
        assert_eq!((p.wire_len, p.cap_len, p.nonlinear_cut), (366, 366, 0));
        assert_eq!(bytes[66..], pattern(300));
    }
}

#[test]
fn a_datagram_without_connect_shows_both_ends() {
    let Some(mut session) = session(&HookConfig::default()) else { return };
    let pid = run_child("udp");
    let (calls, _) = drain(&mut session, pid);
    let (sent, received) = (of(&calls, call::SENDTO), of(&calls, call::RECVFROM));
    assert_eq!((sent.len(), received.len()), (1, 1), "{calls:?}");
    let (s, r) = (sent[0].0, received[0].0);
    assert_eq!((s.local_port, s.remote_port), (r.remote_port, r.local_port));
    assert_ne!(s.local_port, 0);
    assert_eq!(r.remote_addr[..4], [127, 0, 0, 1]);
    assert_eq!(received[0].1, pattern(300)[..256]);
}

#[test]
fn what_finds_no_room_is_counted() {
    let config = HookConfig {
        ring_bytes: 1,
        packets: false,
        stacks: false,
        process: false,
        socket_state: false,
        comms: vec!["live::bpf::work".into()],
        ..HookConfig::default()
    };
    let Some(mut session) = session(&config) else { return };
    let pid = run_child("many");
    let mut kept = 0;
    session.drain(&mut |_, record| {
        let hdr = event::header(record).unwrap();
        kept += usize::from(hdr.pid == pid && SocketData::read(record).is_some_and(|d| d.ret == 300));
    });
    let lost: u64 = session.losses().iter().filter(|l| l.1 == kind::SOCKET_DATA).map(|l| l.2).sum();
    assert!(lost > 0, "a ring of 64 KiB cannot hold {SENDS} records");
    let all = kept as u64 + lost;
    // Besides the transfers: the closing of the two sockets and the last reads.
    assert!((2 * SENDS as u64..2 * SENDS as u64 + 20).contains(&all), "{kept} kept + {lost} lost");
    assert!(session.losses().is_empty(), "losses are told once");
}
