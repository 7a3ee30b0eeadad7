//! What the filters let through, and how a recording is ended.

use super::record::{Contents, Recording, exchange, ip, node};
use formats::block::kind as block_kind;
use formats::event::{SocketData, direction};
use formats::manifest::Summary;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A shell that waits for a line and then sends one itself and has a child of its own send one.
struct Shell {
    child: Child,
    listener: TcpListener,
}

impl Shell {
    fn start() -> Self {
        Self::start_as(Path::new("bash"))
    }

    fn start_as(program: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!(
            "read line; exec 3<>/dev/tcp/127.0.0.1/{port}; echo parent >&3; exec 3>&-; \
             (exec 4<>/dev/tcp/127.0.0.1/{port}; echo child >&4)"
        );
        let child = Command::new(program).args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        Self { child, listener }
    }

    /// Lets it send and waits for its end. This process sends, too: over TCP and a UNIX socket.
    fn go(mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        for expected in ["parent\n", "child\n"] {
            let mut text = String::new();
            self.listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
        assert!(self.child.wait().unwrap().success());
        exchange(b"someone else", b"else");
        UnixStream::pair().unwrap().0.write_all(b"unix").unwrap();
    }
}

/// Process ids of the calls in a bundle, and what was sent by calls that send, in the order in which it was. (Records lie in blocks,
/// CPU by CPU.)
fn calls(path: &Path) -> (Vec<u32>, Vec<String>) {
    let bundle = Contents::read(path);
    let mut data = bundle.records::<SocketData>();
    data.sort_by_key(|(d, _)| d.enter_ts);
    let sent = data.iter().filter(|(d, _)| d.data_len > 0 && d.flags & 1 == 0);
    let sent = sent.map(|(d, tail)| String::from_utf8_lossy(&tail[..d.data_len as usize]).into_owned()).collect();
    (data.iter().map(|(d, _)| d.hdr.pid).collect(), sent)
}

#[test]
fn a_process_and_its_children() {
    let Some(_node) = node() else { return };
    let shell = Shell::start();
    let pid = shell.child.id();
    let recording = Recording::start(&["--no-stacks", "--pid", &pid.to_string()]);
    shell.go();
    // With the last of them the recording is over.
    let recorded = recording.wait();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let reason = &Contents::read(&recorded.path).facts::<Summary>(block_kind::SUMMARY)[0].reason;
    assert_eq!(reason, "processes-ended");
    let (pids, sent) = calls(&recorded.path);
    assert_eq!(sent, ["parent\n", "child\n"], "{}", recorded.stderr);
    assert!(pids.contains(&pid) && !pids.contains(&std::process::id()), "{pids:?}");
}

#[test]
fn a_name() {
    let Some(_node) = node() else { return };
    // A name that nobody else has.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("hs-filter-test");
    std::os::unix::fs::symlink("/bin/bash", &program).unwrap();
    let shell = Shell::start_as(&program);
    let recording = Recording::start(&["--no-stacks", "--comm", "hs-filter-test"]);
    shell.go();
    let recorded = recording.stop();
    // Whom it forks bears its name.
    assert_eq!(calls(&recorded.path).1, ["parent\n", "child\n"], "{}", recorded.stderr);
}

/// A cgroup of its own, removed at the end.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let root = root.iter().find(|r| Path::new(r).join("cgroup.controllers").exists())?;
        let path = Path::new(root).join(format!("hs-filter-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Some(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cgroup() {
    let Some(_node) = node() else { return };
    let cgroup = Cgroup::new().expect("cgroup v2 is mounted nowhere");
    let shell = Shell::start();
    std::fs::write(cgroup.0.join("cgroup.procs"), shell.child.id().to_string()).unwrap();
    let recording = Recording::start(&["--no-stacks", "--cgroup", cgroup.0.to_str().unwrap()]);
    shell.go();
    let recorded = recording.stop();
    assert_eq!(calls(&recorded.path).1, ["parent\n", "child\n"], "{}", recorded.stderr);
}

#[test]
fn a_port() {
    let Some(_node) = node() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let recording = Recording::start(&["--no-stacks", "--port", &port.to_string()]);
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"wanted").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    drop((client, server));
    exchange(b"someone else", b"else");
    UnixStream::pair().unwrap().0.write_all(b"unix").unwrap();
    let recorded = recording.stop();
    let bundle = Contents::read(&recorded.path);
    let data = bundle.records::<SocketData>();
    assert!(data.iter().all(|(d, _)| d.local_port == port || d.remote_port == port), "{data:?}");
    assert_eq!(calls(&recorded.path).1, ["wanted"]);
    let ports = |p: &[u8]| [[p[34], p[35]], [p[36], p[37]]].map(u16::from_be_bytes);
    assert!(bundle.packets.iter().all(|(_, _, _, p)| ports(p).contains(&port)));
    assert_eq!(bundle.packets.iter().filter(|(_, _, _, p)| p.ends_with(b"wanted")).count(), 1);
}

#[test]
fn an_interface_that_comes_later() {
    let Some(_node) = node() else { return };
    struct Removed(&'static str);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = Command::new("ip").args(["link", "del", self.0]).status();
        }
    }
    let recording = Recording::start(&["--no-stacks", "-i", "hslater0"]);
    ip("link add hslater0 type veth peer name hslater1");
    let _removed = Removed("hslater0");
    ip("addr add 198.18.78.1/24 dev hslater0");
    ip("link set hslater0 up");
    ip("link set hslater1 up");
    ip("neigh add 198.18.78.2 lladdr 02:00:00:00:00:02 dev hslater0");
    std::thread::sleep(Duration::from_millis(1000));
    let socket = UdpSocket::bind("198.18.78.1:0").unwrap();
    for _ in 0..20 {
        socket.send_to(b"later", "198.18.78.2:9").unwrap();
    }
    exchange(b"on lo", b"on lo");
    let recorded = recording.stop();
    assert!(recorded.stderr.is_empty() || !recorded.stderr.contains("lost 1"), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    assert!(bundle.packets.iter().all(|(name, ..)| name == "hslater0"));
    let sent = bundle.packets.iter().filter(|(_, _, d, p)| *d == direction::OUT && p.ends_with(b"later"));
    assert_eq!(sent.count(), 20, "{}", recorded.stderr);
}

#[test]
fn a_second_interrupt_kills() {
    let Some(_node) = node() else { return };
    let recording = Recording::start(&[]);
    exchange(b"before", b"the end");
    std::thread::sleep(Duration::from_millis(1000));
    recording.signal(libc::SIGINT);
    recording.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(5));
    recording.signal(libc::SIGINT);
    let recorded = recording.wait();
    assert_eq!(recorded.status.signal(), Some(libc::SIGINT), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    let sent = bundle.records::<SocketData>();
    assert!(sent.iter().any(|(_, tail)| tail.starts_with(b"before")) && bundle.damages <= 1);
}
