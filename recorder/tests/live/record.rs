//! Live recordings of this node: what was done is known, so is what must be in the bundle.
//!
//! They need root and eBPF. Where both are there, they fail if recording does not work; elsewhere they say that they
//! were skipped.

use formats::block::kind as block_kind;
use formats::event::{self, ProcessExec, Record, SocketData, StackSample, call, data_flag, direction};
use formats::facts::{Mapping, Process, RecorderCost, Socket, Symbol};
use formats::manifest::{Manifest, Summary};
use formats::read::{Reader, verify};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Recordings one after the other: each is of the whole node.
pub(super) static NODE: Mutex<()> = Mutex::new(());

/// Whether this node can be recorded; if so, nobody else records it meanwhile.
pub(super) fn node() -> Option<MutexGuard<'static, ()>> {
    // SAFETY: geteuid only returns a number.
    let root = unsafe { libc::geteuid() } == 0;
    if !root || !Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("skipped: live recordings need root and a kernel with BTF");
        return None;
    }
    Some(NODE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A `record` under way.
pub(super) struct Recording {
    pub(super) child: Child,
    path: PathBuf,
    lines: std::sync::mpsc::Receiver<String>,
    _dir: tempfile::TempDir,
}

/// What `record` said and left.
pub(super) struct Recorded {
    pub(super) status: ExitStatus,
    pub(super) stderr: String,
    pub(super) path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Recording {
    /// Starts `record` and waits until its hooks are attached.
    pub(super) fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.zst");
        let mut command = Command::new(env!("CARGO_BIN_EXE_record"));
        command.arg("-o").arg(&path).args(arguments);
        Self::run(command, path, dir)
    }

    fn run(mut command: Command, path: PathBuf, dir: tempfile::TempDir) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut recording = Self { child, path, lines, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut said = String::new();
        while !said.contains("recording into") {
            let left = deadline.saturating_duration_since(Instant::now());
            match recording.lines.recv_timeout(left) {
                Ok(line) => said += &(line + "\n"),
                Err(_) => {
                    let _ = recording.child.kill();
                    panic!("record did not start: {said}");
                }
            }
        }
        recording
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so the id is its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    pub(super) fn wait(mut self) -> Recorded {
        let status = self.child.wait().unwrap();
        let stderr = self.lines.iter().collect::<Vec<_>>().join("\n");
        Recorded { status, stderr, path: self.path, _dir: self._dir }
    }

    pub(super) fn stop(self) -> Recorded {
        self.signal(libc::SIGTERM);
        self.wait()
    }
}

/// A bundle, read whole.
#[derive(Default)]
pub(super) struct Contents {
    /// Interface name, time (UTC ns), direction, bytes.
    pub(super) packets: Vec<(String, i64, u8, Vec<u8>)>,
    /// Records by kind.
    records: HashMap<u16, Vec<Vec<u8>>>,
    /// JSON lines by kind.
    lines: HashMap<u16, Vec<serde_json::Value>>,
    lost: u64,
    pub(super) damages: usize,
}

impl Contents {
    pub(super) fn read(path: &Path) -> Self {
        let mut contents = Self::default();
        let mut reader = Reader::open(path).unwrap();
        while let Some(batch) = reader.next_batch() {
            for packet in &batch.packets {
                let name = reader.interfaces()[packet.interface as usize].name.clone();
                contents.packets.push((name, packet.ts, packet.direction, batch.data(packet).to_vec()));
            }
            for block in &batch.blocks {
                contents.lost += block.header.lost;
                let kind = block.header.kind;
                if usize::from(kind) < event::kind::COUNT {
                    let records = contents.records.entry(kind).or_default();
                    records.extend(event::Records::new(batch.payload(block)).map(|(_, r)| r.to_vec()));
                } else if kind != block_kind::CLOCK {
                    contents.lines.entry(kind).or_default().extend(batch.json(block));
                }
            }
        }
        contents.damages = reader.damages().len();
        contents
    }

    pub(super) fn records<R: Record>(&self) -> Vec<(R, &[u8])> {
        let records = self.records.get(&R::KIND).map(Vec::as_slice).unwrap_or_default();
        records.iter().map(|r| (R::read(r).unwrap(), event::tail(r))).collect()
    }

    pub(super) fn facts<T: DeserializeOwned>(&self, kind: u16) -> Vec<T> {
        let lines = self.lines.get(&kind).map(Vec::as_slice).unwrap_or_default();
        lines.iter().map(|line| serde_json::from_value(line.clone()).unwrap()).collect()
    }
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut ts) };
    Duration::new(ts.tv_sec.cast_unsigned(), u32::try_from(ts.tv_nsec).unwrap())
}

/// A function whose samples are expected.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn recorder_live_test_burns_cpu(time: &Duration) -> u64 {
    let mut x = 1u64;
    let until = cpu_time() + *time;
    while cpu_time() < until {
        for i in 0..1_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
        }
    }
    x
}

/// One request and one response over loopback. Returns the server's port.
pub(super) fn exchange(request: &[u8], response: &[u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = vec![0; request.len()];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, request);
            stream.write_all(response).unwrap();
        });
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, response);
    });
    port
}

#[test]
fn what_was_done_is_in_the_bundle() {
    let Some(_node) = node() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listening = listener.local_addr().unwrap().port();
    let recording = Recording::start(&["--payload", "64"]);
    let request = [b"request ".as_slice(), &[b'q'; 92]].concat();
    let response = [b"response ".as_slice(), &[b'r'; 191]].concat();
    let port = exchange(&request, &response);
    let mut child = Command::new("sh").args(["-c", "sleep 0.7; exit 3", "--password=hunter2"]).spawn().unwrap();
    recorder_live_test_burns_cpu(&Duration::from_secs(1));
    let child_id = child.id();
    child.wait().unwrap();
    let recorded = recording.stop();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);

    let checked = verify(&recorded.path).unwrap();
    assert!(checked.is_sound(), "{checked:?}");
    assert!(recorded.stderr.contains(&checked.digest), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    let me = std::process::id();

    // Socket data: both ends of the exchange, cut to 64 bytes.
    let data = bundle.records::<SocketData>();
    let of_port = |own: bool, call: u8| {
        data.iter().filter(move |(d, _)| {
            d.hdr.pid == me && d.call == call && port == if own { d.local_port } else { d.remote_port }
        })
    };
    let (sent, tail) = of_port(false, call::SENDTO)
        .chain(of_port(false, call::WRITE))
        .next()
        .unwrap_or_else(|| panic!("request of {me} to {port} not sent: {}", recorded.stderr));
    assert_eq!((sent.ret, sent.data_len, &tail[..64]), (100, 64, &request[..64]));
    assert!(
        sent.enter_ts <= sent.hdr.ts && sent.flags & data_flag::HAS_SEQ != 0 && sent.flags & data_flag::INGRESS == 0
    );
    let (received, tail) =
        of_port(true, call::RECVFROM).chain(of_port(true, call::READ)).next().expect("request received");
    assert_eq!((received.ret, &tail[..64]), (100, &request[..64]));
    assert_eq!(received.tcp_seq, sent.tcp_seq);
    assert_eq!((received.local_addr[..4].to_vec(), received.remote_port), (vec![127, 0, 0, 1], sent.local_port));

    // Packets: each segment once, with the request at the sequence number that the calls bear.
    let of_flow = |to: u16, dir: u8| {
        let to = to.to_be_bytes();
        bundle.packets.iter().filter(move |(name, _, d, p)| {
            name == "lo"
                && *d == dir
                && p.get(12..14) == Some(&[8, 0])
                && p.get(23) == Some(&6)
                && p.get(36..38) == Some(&to)
        })
    };
    let with_request: Vec<_> = of_flow(port, direction::IN)
        .filter(|(_, _, _, p)| p.windows(8).any(|w| w == b"request "))
        .map(|(_, ts, _, p)| (*ts, u32::from_be_bytes(p[38..42].try_into().unwrap())))
        .collect();
    assert_eq!(with_request.len(), 1);
    assert_eq!(with_request[0].1, sent.tcp_seq);
    let manifest = bundle.facts::<Manifest>(block_kind::MANIFEST).pop().unwrap();
    let monotonic = with_request[0].0 - manifest.realtime_offset_ns;
    assert!((sent.enter_ts.cast_signed()..=received.hdr.ts.cast_signed()).contains(&monotonic));
    // On lo what goes out comes in: once is enough.
    assert_eq!(of_flow(port, direction::OUT).count(), 0);

    // Process life and the process table.
    let execs = bundle.records::<ProcessExec>();
    let (_, tail) = execs.iter().find(|(e, _)| e.hdr.pid == child_id).expect("exec of the child");
    let text = String::from_utf8_lossy(tail);
    assert!(text.contains("sleep 0.7") && text.contains("--password=***") && !text.contains("hunter2"), "{text}");
    let exits = bundle.records::<event::ProcessExit>();
    assert!(exits.iter().any(|(e, _)| e.hdr.pid == child_id && e.exit_code == 3 << 8 && e.group_dead == 1));
    let processes = bundle.facts::<Process>(block_kind::PROCESSES);
    let own = processes.iter().find(|p| p.pid == me).unwrap();
    assert_eq!(own.exe, std::env::current_exe().unwrap().to_string_lossy());
    // On a busy node it may have been looked at before it executed the program, too.
    let fresh = processes.iter().rfind(|p| p.pid == child_id).unwrap();
    assert!(fresh.seen_ns > 0 && fresh.ppid == me && fresh.command_line.contains(&"--password=***".to_owned()));
    let sockets = bundle.facts::<Socket>(block_kind::SOCKETS);
    let socket = sockets.iter().find(|s| s.local_port == listening && s.state == "LISTEN").unwrap();
    assert!(socket.owners.iter().any(|(pid, _)| *pid == me));

    // Stacks: the burning function is on top of most samples of this process, and has its name.
    let mappings = bundle.facts::<Mapping>(block_kind::MAPPINGS);
    let symbols = bundle.facts::<Symbol>(block_kind::SYMBOLS);
    let name_of = |address: u64| {
        let m = mappings.iter().find(|m| m.pid == me && address >= m.start && address < m.end)?;
        let object = if m.build_id.is_empty() { &m.path } else { &m.build_id };
        let offset = address - m.start + m.file_offset;
        symbols.iter().find(|s| s.space == "file" && s.object == *object && s.offset == offset).map(|s| s.name.as_str())
    };
    let samples: Vec<Vec<u64>> = bundle
        .records::<StackSample>()
        .iter()
        .filter(|(s, _)| s.hdr.pid == me && s.kernel_len == 0)
        .map(|(s, tail)| {
            let user = &tail[..usize::from(s.user_len)];
            user.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect()
        })
        .collect();
    let hot = samples.iter().filter(|s| s.iter().any(|a| name_of(*a) == Some("recorder_live_test_burns_cpu"))).count();
    // 1 s of CPU time at 99 Hz is 99 samples.
    assert!((80..=115).contains(&hot) && hot * 10 >= samples.len() * 9, "{hot} of {}", samples.len());
    assert!(symbols.iter().any(|s| s.space == "kernel" && !s.name.is_empty()));

    // What frames it all.
    let summary = bundle.facts::<Summary>(block_kind::SUMMARY).pop().unwrap();
    assert_eq!(summary.reason, "signal");
    assert_eq!(summary.captured["packet"], bundle.packets.len() as u64);
    assert_eq!(summary.captured["socket_data"], data.len() as u64);
    assert!(manifest.hooks.iter().all(|h| h.attached), "{:?}", manifest.missing);
    assert_eq!((manifest.settings.payload_bytes, manifest.settings.snaplen), (64, 192));
    let cost = bundle.facts::<RecorderCost>(block_kind::COST).pop().unwrap();
    assert!(cost.cpu_ns > 0 && cost.map_bytes > 0 && cost.programs.iter().any(|p| p.runs > 0));
    let recorder = manifest.recorder_pid;
    assert!(data.iter().all(|(d, _)| d.hdr.pid != recorder) && processes.iter().all(|p| p.pid != recorder));
    assert!(bundle.records::<StackSample>().iter().all(|(s, _)| s.hdr.pid != recorder));
}

pub(super) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

#[test]
fn interfaces_that_appear_later_bear_their_names() {
    let Some(_node) = node() else { return };
    let netns = format!("rec{}", std::process::id());
    struct Removed(String);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
        }
    }
    let recording = Recording::start(&["--no-stacks"]);
    ip(&format!("netns add {netns}"));
    let _removed = Removed(netns.clone());
    ip("link add rectest0 type veth peer name rectest1");
    ip(&format!("link set rectest1 netns {netns}"));
    ip("addr add 198.18.77.1/24 dev rectest0");
    ip("link set rectest0 up");
    ip(&format!("-n {netns} addr add 198.18.77.2/24 dev rectest1"));
    ip(&format!("-n {netns} link set rectest1 up"));
    let mut socket = None;
    for _ in 0..50 {
        // UDP to the discard port: the answer is an ICMP error, and packets go both ways.
        let udp = std::net::UdpSocket::bind("198.18.77.1:0").unwrap();
        udp.send_to(b"over the veth", "198.18.77.2:9").unwrap();
        socket = Some(udp);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(socket);
    let recorded = recording.stop();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    for (name, dir) in [("rectest0", direction::OUT), ("rectest1", direction::IN)] {
        let seen = bundle
            .packets
            .iter()
            .filter(|(n, _, d, p)| n == name && *d == dir && p.windows(13).any(|w| w == b"over the veth"));
        let names: Vec<_> = bundle.packets.iter().map(|p| (&p.0, p.2)).collect();
        assert_eq!(seen.count(), 50, "{name}: {names:?}");
    }
    let interfaces = bundle.facts::<formats::facts::Interface>(block_kind::INTERFACES);
    assert!(interfaces.iter().any(|i| i.name == "rectest1" && i.kind == "veth"));
}

/// UDP packets over loopback until `until`; returns how many.
fn flood(until: Instant, payload: &[u8]) -> u64 {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    let mut sent = 0;
    while Instant::now() < until {
        // ENOBUFS and the like are the point of a flood.
        sent += u64::from(sender.send(payload).is_ok());
    }
    sent
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn killed_it_is_readable_to_within_the_last_second() {
    let Some(_node) = node() else { return };
    let recording = Recording::start(&[]);
    let mut last = 0;
    for round in 0..30u8 {
        exchange(&[b'a' + round % 26; 100], b"ok");
        std::thread::sleep(Duration::from_millis(50));
        last = recorder::facts::clocks::monotonic();
    }
    std::thread::sleep(Duration::from_millis(990));
    recording.signal(libc::SIGKILL);
    let recorded = recording.wait();
    let bundle = Contents::read(&recorded.path);
    let me = std::process::id();
    let newest = bundle.records::<SocketData>().iter().filter(|(d, _)| d.hdr.pid == me).map(|(d, _)| d.hdr.ts).max();
    // The last exchange ended before `last`, and there was a second to write it.
    assert!(newest.is_some_and(|ts| ts + 100_000_000 > last), "{newest:?} {last}");
    assert!(!bundle.facts::<Process>(block_kind::PROCESSES).is_empty());
    assert!(bundle.facts::<Summary>(block_kind::SUMMARY).is_empty());
}

#[test]
fn the_size_limit_holds() {
    let Some(_node) = node() else { return };
    let recording = Recording::start(&["--max-size", "2MB", "--no-stacks"]);
    let until = Instant::now() + Duration::from_secs(60);
    let payload = noise(400);
    while Instant::now() < until && recording.path.metadata().unwrap().len() < 1_500_000 {
        flood(Instant::now() + Duration::from_millis(20), &payload);
    }
    flood(Instant::now() + Duration::from_millis(500), &payload);
    let recorded = recording.wait();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
    let len = recorded.path.metadata().unwrap().len();
    assert!((1_000_000..=2_000_000).contains(&len), "{len}");
    assert!(recorded.stderr.contains("stopped by --max-size"), "{}", recorded.stderr);
    assert!(verify(&recorded.path).unwrap().is_sound());
    let summary = Contents::read(&recorded.path).facts::<Summary>(block_kind::SUMMARY).pop().unwrap();
    assert_eq!(summary.reason, "max-size");
}

#[test]
fn a_full_disk_keeps_what_was_written() {
    let Some(_node) = node() else { return };
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    // A file system of its own, seen by this recording only.
    let script = format!(
        "mount -t tmpfs -o size=1m none {small} && {record} -o {small}/bundle.zst --no-stacks; code=$?; \
         cp {small}/bundle.zst {dir}/bundle.zst; exit $code",
        small = small.display(),
        record = env!("CARGO_BIN_EXE_record"),
        dir = dir.path().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let path = dir.path().join("bundle.zst");
    let mut recording = Recording::run(command, path, dir);
    let payload = noise(400);
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until && recording.child.try_wait().unwrap().is_none() {
        flood(Instant::now() + Duration::from_millis(50), &payload);
    }
    let recorded = recording.wait();
    assert_eq!(recorded.status.code(), Some(2), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("No space left on device"), "{}", recorded.stderr);
    // What found no room was captured for nothing.
    assert!(
        recorded.stderr.contains("record: lost ") && !recorded.stderr.contains("lost nothing"),
        "{}",
        recorded.stderr
    );
    let bundle = Contents::read(&recorded.path);
    let summary = bundle.facts::<Summary>(block_kind::SUMMARY).pop().unwrap();
    assert_eq!(summary.reason, "disk-full");
    assert_eq!(summary.captured["packet"], bundle.packets.len() as u64);
    assert!(summary.lost["packet"] > 0);
    let losses = bundle.facts::<formats::facts::Loss>(block_kind::LOSSES);
    assert!(losses.iter().any(|l| l.kind == "packet" && l.cause == "disk_full" && l.lost == summary.lost["packet"]));
    assert!(verify(&recorded.path).unwrap().is_sound());
    assert!(!bundle.packets.is_empty());
    assert!(bundle.facts::<Manifest>(block_kind::MANIFEST)[0].format_version > 0);
}

#[test]
fn losses_are_told() {
    let Some(_node) = node() else { return };
    let recording = Recording::start(&["--ring", "64KiB", "--no-stacks"]);
    let sent = flood(Instant::now() + Duration::from_secs(1), &[7; 300]);
    let recorded = recording.stop();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    let summary = bundle.facts::<Summary>(block_kind::SUMMARY).pop().unwrap();
    let lost: u64 = summary.lost.values().sum();
    assert!(lost > 0, "{}", recorded.stderr);
    let losses = bundle.facts::<formats::facts::Loss>(block_kind::LOSSES);
    assert_eq!(losses.iter().map(|l| l.lost).sum::<u64>(), lost);
    assert!(losses.iter().all(|l| l.first_ns < l.last_ns && l.cause == "ring_full"));
    assert!(recorded.stderr.contains("record: lost "), "{}", recorded.stderr);
    // What was captured and what was lost are together what was sent: each datagram is a packet.
    let all = summary.captured["packet"] + summary.lost["packet"];
    assert!(all >= sent, "{all} packets of {sent} datagrams");
}

#[test]
fn the_command_ends_the_recording() {
    let Some(_node) = node() else { return };
    let recorded = Recording::start(&["--", "sh", "-c", "exit 7"]).wait();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("command ended: exit status: 7"), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    assert_eq!(bundle.facts::<Summary>(block_kind::SUMMARY)[0].reason, "command-ended");
    let exits = bundle.records::<event::ProcessExit>();
    assert!(exits.iter().any(|(e, _)| e.exit_code == 7 << 8 && &e.comm[..3] == b"sh\0"));
}

/// `record` without privileges but those given, writing into a directory of its own.
fn unprivileged(capabilities: &str) -> (Command, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    // The build directory may lie where only root may go.
    let binary = dir.path().join("record");
    std::fs::copy(env!("CARGO_BIN_EXE_record"), &binary).unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    let path = dir.path().join("bundle.zst");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([&format!("--inh-caps={capabilities}"), &format!("--ambient-caps={capabilities}")]);
    command.arg(format!("--bounding-set={capabilities}"));
    command.arg(&binary).arg("-o").arg(&path);
    (command, path, dir)
}

#[test]
fn with_cap_net_raw_alone_packets_are_recorded() {
    let Some(_node) = node() else { return };
    let (command, path, dir) = unprivileged("-all,+net_raw");
    let recording = Recording::run(command, path, dir);
    std::thread::sleep(Duration::from_millis(200));
    exchange(b"raw request", b"raw response");
    std::thread::sleep(Duration::from_millis(200));
    let recorded = recording.stop();
    assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("missing: system calls"), "{}", recorded.stderr);
    let bundle = Contents::read(&recorded.path);
    let requests = bundle.packets.iter().filter(|(_, _, _, p)| p.windows(11).any(|w| w == b"raw request"));
    let requests: Vec<_> = requests.map(|(name, _, dir, _)| (name.as_str(), *dir)).collect();
    assert_eq!(requests, [("lo", direction::IN)]);
    assert!(verify(&recorded.path).unwrap().is_sound());
}

#[test]
fn without_any_privilege_the_remedy_is_said() {
    let Some(_node) = node() else { return };
    let (mut command, path, _dir) = unprivileged("-all");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("nothing can be recorded") && stderr.contains("Remedy: run as root"), "{stderr}");
    assert!(!path.exists());
}
