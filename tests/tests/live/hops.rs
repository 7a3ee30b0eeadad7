//! One conversation at every place on its way, with a delay and a loss put in where the test knows: a client's namespace behind a
//! bridge, a node that masquerades it and sends it through VXLAN, a wire that takes five milliseconds, a server's node.
//!
//! The truth is the forwarder's own log (the wire is a loop of this test over two packet sockets) and the counter of nftables.

use anyhow::{Context, Result, bail, ensure};
use e2e::children::{Guard, wait_until};
use e2e::netns::{NetNs, ip};
use e2e::programs::{Recording, program};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a frame takes on the wire, at least.
const WIRE: Duration = Duration::from_millis(5);
const PORT: u16 = 8080;
const REQUESTS: usize = 60;
/// One in so many of the client's data segments is dropped by the node.
const DROPPED: usize = 7;

/// The network: namespaces end with it, and all that is in them.
struct Net {
    client: NetNs,
    node: NetNs,
    wire: NetNs,
    server: NetNs,
}

impl Net {
    fn new() -> Result<Self> {
        let net = Self {
            client: NetNs::new("hopc")?,
            node: NetNs::new("hopn")?,
            wire: NetNs::new("hopw")?,
            server: NetNs::new("hops")?,
        };
        let (c, n, w, s) = (net.client.name(), net.node.name(), net.wire.name(), net.server.name());
        for (a, a_name, b, b_name) in [(c, "eth0", n, "veth0"), (n, "up1", w, "left"), (w, "right", s, "up2")] {
            ip(&["-n", a, "link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b])?;
        }
        let words = |ns: &str, line: &str| ip(&[&["-n", ns][..], &line.split(' ').collect::<Vec<_>>()].concat());
        for (ns, lines) in [
            (c, &["addr add 10.71.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.71.0.1"][..]),
            (n, &["link add br0 type bridge", "link set veth0 master br0", "addr add 10.71.0.1/24 dev br0"]),
            (n, &["link set veth0 up", "link set br0 up", "addr add 192.168.77.1/24 dev up1", "link set up1 up"]),
            (n, &["link add vx0 type vxlan id 42 remote 192.168.77.2 dstport 4789 dev up1"]),
            (n, &["addr add 10.72.0.1/24 dev vx0", "link set vx0 up"]),
            (w, &["link set left up", "link set right up"]),
            (s, &["addr add 192.168.77.2/24 dev up2", "link set up2 up"]),
            (s, &["link add vx0 type vxlan id 42 remote 192.168.77.1 dstport 4789 dev up2"]),
            (s, &["addr add 10.72.0.2/24 dev vx0", "link set vx0 up"]),
        ] {
            for line in lines {
                // The default route needs its link first, whatever the order above.
                words(ns, line).with_context(|| line.to_string())?;
            }
        }
        // The wire copies frames as they are: checksums must be in them already.
        for (ns, device) in
            [(&net.client, "eth0"), (&net.node, "up1"), (&net.node, "vx0"), (&net.server, "up2"), (&net.server, "vx0")]
        {
            let status = ns.enter(Command::new("ethtool").args(["-K", device, "tx", "off"])).output()?;
            ensure!(status.status.success(), "ethtool (package ethtool): {}", String::from_utf8_lossy(&status.stderr));
        }
        net.node.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
        let rules = format!(
            "add table ip hops; add counter ip hops gone; \
             add chain ip hops out {{ type nat hook postrouting priority 100; }}; \
             add rule ip hops out oifname vx0 masquerade; \
             add chain ip hops way {{ type filter hook forward priority 0; }}; \
             add rule ip hops way tcp dport {PORT} tcp flags & psh == psh numgen inc mod {DROPPED} == 0 counter name gone drop"
        );
        net.nft(&[&rules])?;
        Ok(net)
    }

    fn nft(&self, words: &[&str]) -> Result<String> {
        let output =
            self.node.enter(Command::new("nft").args(words)).output().context("running nft (package nftables)")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Packets that every interface of the way has counted so far, by namespace and name.
    fn counted(&self) -> Result<Vec<((u64, &'static str), u64)>> {
        let (client, node, wire, server) = (&self.client, &self.node, &self.wire, &self.server);
        [
            (client, "eth0"),
            (node, "veth0"),
            (node, "br0"),
            (node, "vx0"),
            (node, "up1"),
            (wire, "left"),
            (wire, "right"),
            (server, "up2"),
            (server, "vx0"),
        ]
        .into_iter()
        .map(|(ns, name)| Ok(((u64::from(ns.inode()?), name), ns.packets_of(name)?)))
        .collect()
    }

    /// Packets that nftables has dropped.
    fn dropped(&self) -> Result<u64> {
        let text = self.nft(&["-j", "list", "counter", "ip", "hops", "gone"])?;
        let parsed: Value = serde_json::from_str(&text)?;
        let counters = parsed["nftables"].as_array().context("nft -j")?;
        counters.iter().find_map(|c| c["counter"]["packets"].as_u64()).context("no counter")
    }
}

/// A packet socket on an interface of the present namespace.
pub(super) fn packet_socket(interface: &str) -> std::io::Result<OwnedFd> {
    let name = std::ffi::CString::new(interface)?;
    let protocol = u16::to_be(libc::ETH_P_ALL as u16);
    // SAFETY: plain calls with structures of the right size that live long enough; the descriptor is owned from here on.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol));
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        let mut to: libc::sockaddr_ll = std::mem::zeroed();
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_protocol = protocol;
        to.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        let one: i32 = 1;
        let wait = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
        let set = |level, option, value: *const libc::c_void, len: usize| {
            libc::setsockopt(fd.as_raw_fd(), level, option, value, len as u32)
        };
        let done = set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const one).cast(), 4)
            | set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const wait).cast(), size_of::<libc::timeval>())
            | libc::bind(fd.as_raw_fd(), (&raw const to).cast(), size_of::<libc::sockaddr_ll>() as u32);
        if done == 0 { Ok(fd) } else { Err(std::io::Error::last_os_error()) }
    }
}

/// The next frame that came in: its bytes, and when the kernel took it (UTC ns).
pub(super) fn receive(fd: &OwnedFd, frame: &mut [u8]) -> Option<(usize, i128)> {
    // SAFETY: all pointers are to living buffers of the lengths given; the control message is read only if it is there.
    unsafe {
        let mut from: libc::sockaddr_ll = std::mem::zeroed();
        let mut control = [0u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let len = libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0);
        // What this test sent itself is shown too.
        if len <= 0 || from.sll_pkttype == libc::PACKET_OUTGOING {
            return None;
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_TIMESTAMPNS {
            return None;
        }
        let at: libc::timespec = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
        Some((len as usize, i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec)))
    }
}

pub(super) fn utc() -> Result<i128> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as i128)
}

/// Whether a frame is VXLAN with TCP over IPv4 inside: Ethernet 14, IPv4 20, UDP 8, VXLAN 8, Ethernet 14, protocol at 9 of IPv4.
fn is_inner_tcp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&17) && frame.get(73) == Some(&6)
}

/// Copies frames from one end of the wire to the other until told to stop; returns how long each TCP frame was held (ns).
fn carry(from: &str, to: &str, stop: &AtomicBool) -> Result<Vec<i128>> {
    let (from, to) = (packet_socket(from)?, packet_socket(to)?);
    let mut frame = vec![0u8; 70_000];
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Some((len, came)) = receive(&from, &mut frame) else { continue };
        let due = came + WIRE.as_nanos() as i128;
        while let Ok(left) = u64::try_from(due - utc()?) {
            std::thread::sleep(Duration::from_nanos(left));
            if left == 0 {
                break;
            }
        }
        // SAFETY: the buffer holds `len` bytes.
        let sent = unsafe { libc::send(to.as_raw_fd(), frame.as_ptr().cast(), len, 0) };
        ensure!(sent == len as isize, "the wire could not send {len} bytes: {}", std::io::Error::last_os_error());
        if is_inner_tcp(&frame[..len]) {
            held.push(utc()? - came);
        }
    }
    Ok(held)
}

/// Small requests and answers over one connection.
fn exchange(net: &Net) -> Result<()> {
    let listener = net.server.run(|| TcpListener::bind(("10.72.0.2", PORT)))??;
    std::thread::scope(|scope| {
        let server = scope.spawn(move || -> Result<()> {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut lines = BufReader::new(stream.try_clone()?);
            let mut out = stream;
            let mut line = String::new();
            while lines.read_line(&mut line)? > 0 {
                if line == "\r\n" {
                    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
                }
                line.clear();
            }
            Ok(())
        });
        let talk = net.client.run(|| -> Result<()> {
            let mut stream = TcpStream::connect(("10.72.0.2", PORT))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            for i in 0..REQUESTS {
                stream.write_all(format!("GET /item/{i} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes())?;
                let mut answer = [0u8; 43];
                stream.read_exact(&mut answer).with_context(|| format!("request {i}"))?;
            }
            Ok(())
        })?;
        talk?;
        server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?
    })
}

/// Rows of a table of several inputs.
pub(super) fn table(name: &str, inputs: &[&Path]) -> Result<Vec<Value>> {
    let output = Command::new(program("analyze")?).arg(name).args(inputs).args(["--format", "jsonl"]).output()?;
    ensure!(output.status.success(), "analyze {name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).context("not JSON")).collect()
}

fn median(mut values: Vec<i128>) -> Result<i128> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1).context("nothing was carried")? / 2).copied().context("empty")
}

/// Of the client's conversation in one direction, from the client on.
fn way<'r>(rows: &'r [Value], direction: &str) -> Vec<&'r Value> {
    let server = format!("10.72.0.2:{PORT}");
    let mut way: Vec<&Value> = rows
        .iter()
        .filter(|r| r["direction"] == direction && r["transport"] == "tcp")
        .filter(|r| r["from_server"] == server.as_str() && r["to_server"] == server.as_str())
        .collect();
    way.sort_by_key(|r| r["hop"].as_u64());
    way
}

/// Names without their namespaces.
fn names(way: &[&Value], column: &str) -> Vec<String> {
    let plain = |name: &str| match name.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => name.split(" (").next().unwrap_or_default().to_owned(),
    };
    way.iter().map(|r| plain(r[column].as_str().unwrap_or_default())).collect()
}

/// What is checked needs every packet at every place: where an interface's own counter says that no program saw some
/// (docs/limitations.md), all is done again.
pub(crate) fn delay_and_loss_are_found() -> Result<()> {
    for _ in 0..8 {
        if are_found()? {
            return Ok(());
        }
    }
    bail!("eight recordings, and none with every packet of all interfaces")
}

/// Whether every packet was recorded; if so, all that is to be found was.
fn are_found() -> Result<bool> {
    let net = Net::new()?;
    let folder = tempfile::tempdir()?;
    let (bundle, mirror) = (folder.path().join("hops.zst"), folder.path().join("mirror.pcap"));
    let recording = Recording::start(&bundle, &["--no-stacks"])?;
    let before = net.counted()?;
    let mut tcpdump = Command::new("tcpdump");
    let log = std::fs::File::create(folder.path().join("tcpdump.log"))?;
    let mut tcpdump = Guard::start(
        "tcpdump",
        net.wire.enter(tcpdump.args(["-i", "right", "-n", "-U", "--immediate-mode", "-w"]).arg(&mirror)),
        Some(log),
    )?;
    wait_until("tcpdump", Duration::from_secs(20), || {
        std::fs::read_to_string(folder.path().join("tcpdump.log")).is_ok_and(|said| said.contains("listening"))
    })?;
    let stop = AtomicBool::new(false);
    let (there, back) = std::thread::scope(|scope| -> Result<_> {
        let carrier = |from, to| net.wire.run(|| carry(from, to, &stop));
        let there = scope.spawn(move || carrier("left", "right"));
        let back = scope.spawn(move || carrier("right", "left"));
        let started = Instant::now();
        let talked = exchange(&net);
        std::thread::sleep(Duration::from_millis(300)); // the last acknowledgements
        stop.store(true, Ordering::Relaxed);
        let join = |t: std::thread::ScopedJoinHandle<'_, Result<Result<Vec<i128>>>>| match t.join() {
            Ok(carried) => carried?,
            Err(_) => bail!("the wire panicked"),
        };
        let held = (join(there)?, join(back)?);
        talked.with_context(|| format!("after {:?}", started.elapsed()))?;
        Ok(held)
    })?;
    tcpdump.signal(libc::SIGINT);
    tcpdump.wait(Duration::from_secs(10))?;
    let gone = net.dropped()?;
    let after = net.counted()?;
    recording.stop()?;
    let interfaces = table("interfaces", &[&bundle])?;
    for ((place, counted), (_, before)) in after.iter().zip(&before) {
        let (netns, name) = place;
        let row = interfaces.iter().find(|i| i["name"] == *name && i["netns"] == *netns);
        let recorded = row.and_then(|i| i["packets"].as_u64()).with_context(|| format!("no {name}"))?;
        if recorded < counted - before {
            eprintln!("{name} counted {} packets, {recorded} were recorded", counted - before);
            return Ok(false);
        }
    }
    ensure!(gone >= (REQUESTS / DROPPED) as u64, "nftables dropped {gone} packets only");

    let rows = table("hops", &[&bundle])?;
    the_bundle_names_the_hops(&rows, gone, (median(there)?, median(back)?))?;
    the_capture_is_one_more_place(&bundle, &mirror)?;
    requests_are_seen_at_all_places(&bundle)?;
    Ok(true)
}

fn the_bundle_names_the_hops(rows: &[Value], gone: u64, held: (i128, i128)) -> Result<()> {
    let (there, back) = (way(rows, "to_server"), way(rows, "to_client"));
    let places = [
        "eth0",
        "veth0",
        "br0",
        "vx0",
        "vxlan 42 on up1",
        "vxlan 42 on left",
        "vxlan 42 on right",
        "vxlan 42 on up2",
        "vx0",
    ];
    let inner = |names: Vec<String>| names.get(1..).map(<[String]>::to_vec).unwrap_or_default();
    ensure!(inner(names(&there, "from")) == places, "the way to the server: {:?}", names(&there, "from"));
    let mut reversed = names(&back, "to");
    ensure!(reversed.remove(0) != "eth0", "the way to the client does not end at a process: {back:?}");
    ensure!(reversed == places, "the way to the client: {reversed:?}");
    let number = |r: &Value, column: &str| r[column].as_i64().with_context(|| format!("no {column} in {r}"));
    // Where the delay is, and how much: at least what the wire was told to take, at most what it says it took, which is a little longer
    // than from hook to hook.
    for (way, held) in [(&there, held.0), (&back, held.1)] {
        let slowest = way
            .iter()
            .filter(|r| r["delay_p50_ns"].is_i64())
            .max_by_key(|r| r["delay_p50_ns"].as_i64())
            .context("no delay")?;
        let ends = [slowest["from"].as_str(), slowest["to"].as_str()].map(|n| n.unwrap_or_default().to_owned());
        ensure!(ends.iter().all(|n| n.contains("left") || n.contains("right")), "the slowest hop is {slowest}");
        let delay = i128::from(number(slowest, "delay_p50_ns")?);
        ensure!(
            delay >= WIRE.as_nanos() as i128 && delay <= held + 100_000,
            "the wire says that it held frames for {held} ns, the table {delay}"
        );
        ensure!(slowest["statement"].as_str().is_some_and(|s| s.contains("of the delay")), "{slowest}");
    }
    // Where the loss is, how many, and why.
    for r in there.iter().chain(&back) {
        let at = (r["from"].as_str().unwrap_or_default(), r["to"].as_str().unwrap_or_default());
        let expected = if at.0.starts_with("br0") && at.1.starts_with("vx0") { gone } else { 0 };
        let lost = r["lost"].as_u64();
        ensure!(lost.is_none_or(|l| l == expected), "nftables dropped {gone}: {r}");
        if expected > 0 {
            ensure!(lost == Some(gone) && r["nat"] == "snat", "{r}");
            let events: BTreeMap<String, u64> = serde_json::from_str(r["events"].as_str().unwrap_or("{}"))?;
            let drops: u64 = events.iter().filter(|(e, _)| e.starts_with("drop NETFILTER_DROP")).map(|(_, n)| n).sum();
            ensure!(drops == gone, "the kernel told of {drops} drops: {r}");
        }
    }
    // Sent again once for each: at the client's interface and up to where they were dropped. A busy machine makes the
    // client's kernel send again what was not lost, only late: this goes all the way.
    let resent: Vec<_> = there.iter().map(|r| r["resent"].as_u64()).collect();
    let late = resent.last().copied().flatten().context("no count of what was sent again")?;
    ensure!(
        resent.get(1) == Some(&Some(gone + late)) && resent.get(3) == Some(&Some(gone + late)),
        "resent: {resent:?} {} {}",
        there[1],
        there[2]
    );
    ensure!(resent.iter().skip(4).all(|n| *n == Some(late)), "resent: {resent:?}");
    // The client's stack is the first hop, the server's the last.
    let (first, last) = (there.first().context("no rows")?, there.last().context("no rows")?);
    ensure!(
        number(first, "packets")? == REQUESTS as i64 && number(last, "matched")? >= REQUESTS as i64,
        "{first}\n{last}"
    );
    ensure!(number(first, "delay_p50_ns")? > 0 && number(last, "delay_p50_ns")? > 0, "{first}\n{last}");
    Ok(())
}

/// What tcpdump saw on the wire's right end is told apart from the recorder's own view of it, by its clock.
fn the_capture_is_one_more_place(bundle: &Path, mirror: &Path) -> Result<()> {
    let rows = table("hops", &[bundle, mirror])?;
    let there = way(&rows, "to_server");
    let with_mirror: Vec<_> =
        there.iter().filter(|r| r["from"].as_str().is_some_and(|n| n.ends_with("at mirror.pcap"))).collect();
    ensure!(there.len() == 11 && with_mirror.len() == 1, "{} hops: {:?}", there.len(), names(&there, "from"));
    ensure!(
        with_mirror[0]["lost"] == 0 && with_mirror[0]["matched"].as_u64() > Some(REQUESTS as u64),
        "{:?}",
        with_mirror[0]
    );
    let clocks = table("clocks", &[bundle, mirror])?;
    ensure!(clocks.len() == 1, "{clocks:?}");
    // One kernel, one clock: what is left is between two hooks. Both are read at about the same place.
    let (offset, uncertainty) = (clocks[0]["offset_ns"].as_i64(), clocks[0]["uncertainty_ns"].as_i64());
    let (offset, uncertainty) = (offset.context("no offset")?, uncertainty.context("no uncertainty")?);
    ensure!(offset.abs() <= uncertainty + 200_000 && uncertainty < 3_000_000, "{clocks:?}");
    Ok(())
}

/// Each request is one exchange, seen by the client, on each interface under both addresses, and by the server.
fn requests_are_seen_at_all_places(bundle: &Path) -> Result<()> {
    let rows = table("requests", &[bundle])?;
    let mut places: BTreeMap<u64, (String, BTreeSet<u64>, usize)> = BTreeMap::new();
    let ours =
        |r: &&Value| r["server_ip"] == "10.72.0.2" && r["server_port"] == u64::from(PORT) && r["l7_protocol"] == "http";
    for r in rows.iter().filter(ours) {
        let path = r["request_resource"].as_str().unwrap_or_default().to_owned();
        let of = places.entry(r["exchange_id"].as_u64().context("no exchange_id")?).or_default();
        ensure!(of.0.is_empty() || of.0 == path, "exchange of {} and {path}", of.0);
        of.0 = path;
        of.1.insert(r["flow_id"].as_u64().context("no flow_id")?);
        of.2 += 1;
    }
    ensure!(places.len() == REQUESTS, "{} exchanges for {REQUESTS} requests", places.len());
    // Nine places on interfaces and two processes, once each.
    ensure!(places.values().all(|(_, flows, rows)| flows.len() == 11 && *rows == 11), "{places:?}");
    Ok(())
}
