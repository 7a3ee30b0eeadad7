//! Conversations of every kind over one way, with a delay and a loss at one hop after the other: two wires in user space, a node between them
//! that translates both addresses and tunnels, two recorders that see one side each (by interface and by name of the process, each a node of
//! its own), and between them a capture of tcpdump whose clock is an hour and some off, as that of a switch or a hypervisor may be.
//!
//! The truth is what the wires held and dropped, which queue was made slow, and the counter of nftables where that dropped.

use super::hops::{packet_socket, receive, table, utc};
use anyhow::{Context, Result, bail, ensure};
use e2e::children::{Guard, wait_until};
use e2e::netns::{NetNs, ip};
use e2e::programs::{Recording, program, utc_ns};
use formats::read::Reader;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a wire that is slow takes.
const SLOW: Duration = Duration::from_millis(40);
/// What a queue that is slow lets out: a message in some 60 to 90 ms, and never two of them at once. The burst must have room for the longest
/// frame: inside of the tunnel, and with the tunnel around it.
const SLOW_QUEUES: [&str; 2] = ["rate 12kbit burst 160 latency 60s", "rate 16kbit burst 210 latency 60s"];
/// Exchanges of each conversation.
const EXCHANGES: usize = 24;
/// Where messages are lost, it is one in so many.
const DROPPED: u64 = 9;
/// By how much the capture's clock is ahead: editcap's words, and ns.
const AHEAD: (&str, i64) = ("3600.123456", 3_600_123_456_000);

/// What is in every message of the client, and of the server.
const MARKS: [&[u8]; 2] = [b"HOPASK", b"HOPTELL"];

const CLIENT: &str = r#"
import os, socket, sys
open('/proc/self/comm', 'w').write(os.environ['HOPNAME'])
kind, address, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(30 if kind == 'tcp' else 0.4)
s.connect((address, port))
if kind == 'tcp': s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for i in range(count):
    name, tries = b'%d-%04d' % (os.getpid(), i), 0
    while True:
        # No two messages are the same, so that none can be taken for a copy of another.
        ask = (b'HOPASK %s %d ' % (name, tries)).ljust(50, b'.')
        s.send(ask)
        while True:
            try: told = s.recv(100)
            except socket.timeout:
                if kind == 'tcp': raise
                told = b''
            if not told or told.split()[1] == name: break
            if kind == 'tcp': sys.exit('%r instead of %r' % (told, name))
        if told: break
        tries += 1
print(len(ask), len(told))
s.close()
"#;

const SERVER: &str = r#"
import itertools, os, socket, sys, threading
open('/proc/self/comm', 'w').write(os.environ['HOPNAME'])
serial = itertools.count()
def answer(ask): return (b'HOPTELL %s %d ' % (ask.split()[1], next(serial))).ljust(50, b'.')
def stream(family, address, port):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind((address, port)); s.listen(5)
    print('listening', flush=True)
    while True:
        c, _ = s.accept()
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            ask = c.recv(100)
            if not ask: break
            c.send(answer(ask))
        c.close()
def datagrams(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    print('listening', flush=True)
    while True:
        ask, who = s.recvfrom(100)
        s.sendto(answer(ask), who)
four, six = socket.AF_INET, socket.AF_INET6
for work, args in [(stream, (four, '10.72.0.2', 8081)), (stream, (six, 'fd72::2', 8082)), (datagrams, ('10.72.0.2', 8083)), (stream, (four, '10.72.0.2', 8084))]:
    threading.Thread(target=work, args=args).start()
"#;

/// A wire: what it does to frames, and what it did.
#[derive(Default)]
struct Wire {
    slow: AtomicBool,
    /// Whether it loses messages of the client, of the server.
    loses: [AtomicBool; 2],
    /// Messages that came: of the client, of the server.
    came: [AtomicU64; 2],
    /// Of those that it may lose.
    seen: AtomicU64,
    dropped: AtomicU64,
}

/// What the wires and nftables say of a conversation.
struct Truth {
    /// From before the first packet to after the last, UTC ns.
    times: [i128; 2],
    /// Packets that each of [`DEVICES`] counted.
    counted: Vec<(&'static str, u64)>,
    dropped: u64,
    /// By wire: messages of the client, of the server that came to it.
    came: [[u64; 2]; 2],
    /// Bytes of a message of either.
    message: [u64; 2],
}

impl Wire {
    /// Copies one side's frames from one end to the other until told to stop.
    fn carry(&self, from: &str, to: &str, whose: usize, stop: &AtomicBool) -> Result<()> {
        let (from, to) = (packet_socket(from)?, packet_socket(to)?);
        let mut frame = vec![0u8; 70_000];
        while !stop.load(Ordering::Relaxed) {
            let Some((len, came)) = receive(&from, &mut frame) else { continue };
            let is_message = frame[..len].windows(MARKS[whose].len()).any(|w| w == MARKS[whose]);
            self.came[whose].fetch_add(u64::from(is_message), Ordering::Relaxed);
            let loses = is_message && self.loses[whose].load(Ordering::Relaxed);
            if loses && self.seen.fetch_add(1, Ordering::Relaxed) % DROPPED == 2 {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if self.slow.load(Ordering::Relaxed) {
                let due = came + SLOW.as_nanos() as i128;
                while let Some(left) = u64::try_from(due - utc()?).ok().filter(|left| *left > 0) {
                    std::thread::sleep(Duration::from_nanos(left));
                }
            }
            // SAFETY: the buffer holds `len` bytes.
            let sent = unsafe { libc::send(to.as_raw_fd(), frame.as_ptr().cast(), len, 0) };
            ensure!(sent == len as isize, "the wire could not send {len} bytes: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The network; all of it ends with it.
struct Net {
    client: NetNs,
    wires: [NetNs; 2],
    node: NetNs,
    server: NetNs,
}

impl Net {
    fn new() -> Result<Self> {
        let net = Self {
            client: NetNs::new("wayc")?,
            wires: [NetNs::new("wayv")?, NetNs::new("wayw")?],
            node: NetNs::new("wayn")?,
            server: NetNs::new("ways")?,
        };
        let (c, n, s) = (net.client.name(), net.node.name(), net.server.name());
        let [v, w] = [net.wires[0].name(), net.wires[1].name()];
        let pairs = [(c, "c0", v, "va"), (v, "vb", n, "n0"), (n, "up1", w, "wa"), (w, "wb", s, "up2")];
        for (a, a_name, b, b_name) in pairs {
            ip(&["-n", a, "link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b])?;
        }
        for (ns, lines) in [
            (c, &["addr add 10.71.0.2/24 dev c0", "addr add fd71::2/64 dev c0 nodad", "link set c0 up"][..]),
            (c, &["route add default via 10.71.0.1", "-6 route add default via fd71::1"]),
            (v, &["link set va up", "link set vb up"]),
            (w, &["link set wa up", "link set wb up"]),
            (n, &["link add br0 type bridge", "link set n0 master br0", "addr add 10.71.0.1/24 dev br0"]),
            (n, &["addr add fd71::1/64 dev br0 nodad", "link set n0 up", "link set br0 up"]),
            (n, &["addr add 192.168.77.1/24 dev up1", "link set up1 up"]),
            (n, &["link add nx0 type vxlan id 42 remote 192.168.77.2 dstport 4789 dev up1"]),
            (n, &["addr add 10.72.0.1/24 dev nx0", "addr add fd72::1/64 dev nx0 nodad", "link set nx0 up"]),
            (s, &["addr add 192.168.77.2/24 dev up2", "link set up2 up"]),
            (s, &["link add sx0 type vxlan id 42 remote 192.168.77.1 dstport 4789 dev up2"]),
            (s, &["addr add 10.72.0.2/24 dev sx0", "addr add fd72::2/64 dev sx0 nodad", "link set sx0 up"]),
        ] {
            for line in lines {
                let words: Vec<_> = ["-n", ns].into_iter().chain(line.split(' ')).collect();
                ip(&words).with_context(|| line.to_string())?;
            }
        }
        // The wires copy frames as they are: checksums must be in them already.
        for (ns, device) in [
            (&net.client, "c0"),
            (&net.node, "n0"),
            (&net.node, "br0"),
            (&net.node, "up1"),
            (&net.node, "nx0"),
            (&net.server, "up2"),
            (&net.server, "sx0"),
        ] {
            let status = ns.enter(Command::new("ethtool").args(["-K", device, "tx", "off"])).output()?;
            ensure!(status.status.success(), "ethtool (package ethtool): {}", String::from_utf8_lossy(&status.stderr));
        }
        net.node.run(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })??;
        let rules = "add table inet ways; \
             add chain inet ways pre { type nat hook prerouting priority -100; }; \
             add rule inet ways pre ip daddr 10.71.0.1 tcp dport 80 dnat ip to 10.72.0.2:8081; \
             add rule inet ways pre ip6 daddr fd71::1 tcp dport 80 dnat ip6 to [fd72::2]:8082; \
             add rule inet ways pre ip daddr 10.71.0.1 udp dport 53 dnat ip to 10.72.0.2:8083; \
             add chain inet ways post { type nat hook postrouting priority 100; }; \
             add rule inet ways post oifname nx0 masquerade";
        let output =
            net.node.enter(Command::new("nft").arg(rules)).output().context("running nft (package nftables)")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(net)
    }
}

impl Net {
    /// The namespace of a device.
    fn of(&self, device: &str) -> &NetNs {
        match device {
            "c0" => &self.client,
            "up2" | "sx0" => &self.server,
            _ => &self.node,
        }
    }

    fn tool(&self, device: &str, program: &str, words: &str) -> Result<String> {
        let output = self.of(device).enter(Command::new(program).args(words.split(' '))).output()?;
        ensure!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Lets a hook drop some of the client's messages.
    fn lose(&self, talk: &Talk, device: &str, hook: &str) -> Result<()> {
        let (family, at) = match hook {
            "input" => ("inet", String::new()),
            _ => ("netdev", format!("device {device} ")),
        };
        let words = format!(
            "add table {family} loss; add counter {family} loss gone; \
             add chain {family} loss way {{ type filter hook {hook} {at}priority 0; }}; \
             add rule {family} loss way {} numgen inc mod {DROPPED} == 2 counter name gone drop",
            message(talk, device)
        );
        self.tool(device, "nft", &words).map(drop)
    }

    /// Ends that, and says how many it dropped.
    fn lost(&self, device: &str, hook: &str) -> Result<u64> {
        let family = if hook == "input" { "inet" } else { "netdev" };
        let text = self.tool(device, "nft", &format!("-j list counter {family} loss gone"))?;
        self.tool(device, "nft", &format!("delete table {family} loss"))?;
        let parsed: Value = serde_json::from_str(&text)?;
        let counters = parsed["nftables"].as_array().context("nft -j")?;
        counters.iter().find_map(|c| c["counter"]["packets"].as_u64()).context("no counter")
    }

    /// What the recorded interfaces' own counters say.
    fn counted(&self) -> Result<Vec<(&'static str, u64)>> {
        DEVICES.iter().map(|&device| Ok((device, self.of(device).packets_of(device)?))).collect()
    }
}

/// Recorded interfaces.
const DEVICES: [&str; 7] = ["c0", "n0", "br0", "nx0", "up1", "up2", "sx0"];

/// Where a delay is put in, and in which directions it is then to be found.
#[derive(Clone, Copy)]
enum Slow {
    /// A wire, in both.
    Wire(usize),
    /// The queue of what goes out of an interface: hop, device, direction.
    Queue(usize, &'static str, &'static str),
}

/// Where messages are lost.
#[derive(Clone, Copy)]
enum Lossy {
    /// A wire, and whose messages: 0 the client's, 1 the server's.
    Wire(usize, usize),
    /// The client's, at a hook of nftables: hop, device, what its chain is.
    Hook(usize, &'static str, &'static str),
}

/// One conversation and what is done to it meanwhile.
struct Talk {
    kind: &'static str,
    /// What the client connects to.
    to: (&'static str, u16),
    /// Where the server listens, as in the tables.
    server: &'static str,
    /// Which addresses are translated.
    nat: &'static str,
    slow: Slow,
    loses: Lossy,
}

const fn talk(kind: &'static str, server: usize, slow: Slow, loses: Lossy) -> Talk {
    let (to, server, nat) = [
        (("10.71.0.1", 80), "10.72.0.2:8081", "snat+dnat"),
        (("fd71::1", 80), "[fd72::2]:8082", "snat+dnat"),
        (("10.71.0.1", 53), "10.72.0.2:8083", "snat+dnat"),
        (("10.72.0.2", 8084), "10.72.0.2:8084", "snat"),
    ][server];
    Talk { kind, to, server, nat, slow, loses }
}

/// Every hop is the slow one once, and, where packets can be lost, the one that loses them. Between the capture and the interface behind it
/// there is nothing that could do either.
const TALKS: [Talk; 10] = [
    talk("tcp", 0, Slow::Wire(0), Lossy::Wire(1, 0)),
    talk("tcp", 1, Slow::Wire(1), Lossy::Wire(0, 0)),
    talk("udp", 2, Slow::Wire(0), Lossy::Wire(0, 1)),
    talk("tcp", 3, Slow::Wire(1), Lossy::Wire(1, 1)),
    talk("tcp", 0, Slow::Queue(0, "c0", "to_server"), Lossy::Hook(2, "n0", "ingress")),
    talk("tcp", 3, Slow::Queue(2, "n0", "to_client"), Lossy::Hook(3, "nx0", "egress")),
    talk("udp", 2, Slow::Queue(3, "nx0", "to_server"), Lossy::Hook(4, "up1", "egress")),
    talk("tcp", 1, Slow::Queue(4, "up1", "to_server"), Lossy::Hook(4, "up1", "egress")),
    talk("tcp", 1, Slow::Queue(7, "up2", "to_client"), Lossy::Hook(7, "up2", "ingress")),
    talk("udp", 2, Slow::Queue(8, "sx0", "to_client"), Lossy::Hook(8, "sx0", "input")),
];

/// Which packets are messages of the client, as nftables says it: on the uplinks inside of VXLAN, where offsets are those of UDP 8, VXLAN 8,
/// Ethernet 14, IPv4 20 or IPv6 40, and TCP's flags 13 bytes in, or the protocol 9 bytes into IPv4.
fn message(talk: &Talk, device: &str) -> &'static str {
    match (device.starts_with("up"), talk.kind, talk.to.0.contains(':')) {
        (false, "tcp", _) => "tcp flags & psh == psh",
        // The server's own input has the tunnel's datagrams, too.
        (false, _, _) => "meta l4proto udp udp dport != 4789",
        (true, "tcp", false) => "udp dport 4789 @th,504,8 & 8 == 8",
        (true, "tcp", true) => "udp dport 4789 @th,664,8 & 8 == 8",
        (true, _, _) => "udp dport 4789 @th,312,8 == 17",
    }
}

/// What the client or the server calls itself: another run's recorders must not take them for theirs.
fn comm(side: usize) -> String {
    format!("hop{}{}", ["c", "s"][side], std::process::id())
}

/// `record` on a node of its own: one with another name.
fn recorder(node: &str, bundle: &Path, args: &[&str]) -> Result<Recording> {
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", node]).arg(program("record")?);
    command.arg("-o").arg(bundle).args(args);
    Recording::start_command(bundle, &mut command)
}

/// What is checked needs every packet: a conversation of which an interface, by its own count, had packets that no program saw
/// (docs/limitations.md) is held again.
pub(crate) fn each_hop_and_transport() -> Result<()> {
    let mut left: Vec<&Talk> = TALKS.iter().collect();
    for _ in 0..16 {
        left = recorded(&left)?;
        if left.is_empty() {
            return Ok(());
        }
    }
    bail!("{} conversations of which no recording has every packet", left.len())
}

/// Records conversations; what is to be found was, in all but those that come back: they were not recorded to the last packet.
fn recorded<'t>(talks: &[&'t Talk]) -> Result<Vec<&'t Talk>> {
    let net = Net::new()?;
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let near = recorder(
        "near",
        &at("near.zst"),
        &["--no-stacks", "--comm", &comm(0), "-i", "c0", "-i", "n0", "-i", "br0", "-i", "nx0", "-i", "up1"],
    )?;
    let far = recorder("far", &at("far.zst"), &["--no-stacks", "--comm", &comm(1), "-i", "up2", "-i", "sx0"])?;
    let log = std::fs::File::create(at("tcpdump.log"))?;
    let mut words = Command::new("tcpdump");
    words.args(["-i", "wb", "-n", "-U", "--immediate-mode", "-w"]).arg(at("switch.pcap"));
    let mut tcpdump = Guard::start("tcpdump", net.wires[1].enter(&mut words), Some(log))?;
    let server_log = at("server.log");
    let mut words = Command::new("/usr/bin/python3");
    words.args(["-c", SERVER]).env("HOPNAME", comm(1)).stdout(std::fs::File::create(&server_log)?);
    let _server = Guard::start_as_is("python3", net.server.enter(&mut words))?;
    let says = |path: &Path, what: &str| std::fs::read_to_string(path).map_or(0, |t| t.matches(what).count());
    wait_until("tcpdump", Duration::from_secs(20), || says(&at("tcpdump.log"), "listening") > 0)?;
    wait_until("the server", Duration::from_secs(20), || says(&server_log, "listening") == 4)?;

    let wires: [Wire; 2] = Default::default();
    let stop = AtomicBool::new(false);
    let truths = std::thread::scope(|scope| -> Result<Vec<Truth>> {
        let ends = [(0, "va", "vb", 0), (0, "vb", "va", 1), (1, "wa", "wb", 0), (1, "wb", "wa", 1)];
        let (net, wires, stop) = (&net, &wires, &stop);
        let carriers: Vec<_> = ends
            .map(|(i, from, to, whose)| scope.spawn(move || net.wires[i].run(|| wires[i].carry(from, to, whose, stop))))
            .into_iter()
            .collect();
        let talked = talks.iter().map(|talk| converse(net, wires, talk)).collect();
        stop.store(true, Ordering::Relaxed);
        for carrier in carriers {
            match carrier.join() {
                Ok(carried) => carried??,
                Err(_) => bail!("a wire panicked"),
            }
        }
        talked
    })?;
    tcpdump.signal(libc::SIGINT);
    tcpdump.wait(Duration::from_secs(10))?;
    near.stop()?;
    far.stop()?;
    let shifted =
        Command::new("editcap").args(["-t", AHEAD.0]).args([at("switch.pcap"), at("mirror.pcap")]).output()?;
    ensure!(shifted.status.success(), "editcap: {}", String::from_utf8_lossy(&shifted.stderr));

    let mut times = seen_at(&net, &at("near.zst"))?;
    times.extend(seen_at(&net, &at("far.zst"))?);
    let inputs = [&*at("near.zst"), &*at("mirror.pcap"), &*at("far.zst")];
    let (rows, flows) = (table("hops", &inputs)?, table("flows", &inputs)?);
    let spaces: Vec<u64> =
        [&net.client, &net.node, &net.server].map(|ns| ns.inode().map(u64::from)).into_iter().collect::<Result<_>>()?;
    let mut again = Vec::new();
    for (talk, truth) in talks.iter().zip(&truths) {
        let within = |ts: i128| (truth.times[0]..=truth.times[1]).contains(&ts);
        let short = truth.counted.iter().find(|(device, counted)| {
            // A tunnel does not count what is dropped behind it, by the interface that it goes through.
            let behind = *device == "nx0" && matches!(talk.loses, Lossy::Hook(4, ..));
            let counted = counted + if behind { truth.dropped } else { 0 };
            let seen = times.get(device).map_or(0, |all| all.iter().filter(|ts| within(**ts)).count() as u64);
            if seen < counted {
                eprintln!("{} to {}: {seen} of {counted} packets of {device} were recorded", talk.kind, talk.server);
            }
            seen < counted
        });
        if short.is_some() {
            again.push(*talk);
            continue;
        }
        let began = |r: &Value| {
            let flow = flows.iter().find(|f| f["flow_id"] == r["from_flow_id"])?;
            // Another run's interfaces may have the same names and addresses.
            spaces.contains(&flow["netns"].as_u64()?).then_some(())?;
            utc_ns(flow["start"].as_str()?)
        };
        let is_talk = |r: &&Value| r["transport"] == talk.kind && r["from_server"] == talk.server;
        let ours = rows.iter().filter(is_talk).filter(|r| began(r).is_some_and(within));
        let numbers: BTreeSet<u64> = ours.filter_map(|r| r["conversation_id"].as_u64()).collect();
        let (Some(number), 1) = (numbers.first(), numbers.len()) else {
            bail!("{} to {} is {} conversations", talk.kind, talk.server, numbers.len())
        };
        let whole = named((&rows, &flows), *number, talk, truth)
            .with_context(|| format!("conversation {number}: {} to {}", talk.kind, talk.server))?;
        if !whole {
            again.push(*talk);
        }
    }
    if again.len() < talks.len() {
        clocks(&table("clocks", &inputs)?)?;
    }
    Ok(again)
}

/// When packets were recorded at each of [`DEVICES`], UTC ns.
fn seen_at(net: &Net, bundle: &Path) -> Result<BTreeMap<&'static str, Vec<i128>>> {
    let mut reader = Reader::open(bundle)?;
    let mut seen: BTreeMap<&'static str, Vec<i128>> = BTreeMap::new();
    while let Some(batch) = reader.next_batch() {
        for packet in &batch.packets {
            let desc = reader.interfaces().get(packet.interface as usize).context("no interface")?;
            let Some(device) = DEVICES.iter().find(|device| **device == desc.name) else { continue };
            if desc.netns == net.of(device).inode()? {
                seen.entry(device).or_default().push(packet.ts.into());
            }
        }
    }
    Ok(seen)
}

/// One conversation, and how many of its messages were lost.
fn converse(net: &Net, wires: &[Wire; 2], talk: &Talk) -> Result<Truth> {
    let of_wires = || wires.iter().map(|w| w.dropped.load(Ordering::Relaxed)).sum::<u64>();
    let came = || [0, 1].map(|wire: usize| [0, 1].map(|of: usize| wires[wire].came[of].load(Ordering::Relaxed)));
    let (before, came_before) = (of_wires(), came());
    // What is counted lies between these times, and nothing moves at either.
    let (from, counted_before) = (utc()?, net.counted()?);
    match talk.slow {
        Slow::Wire(wire) => wires[wire].slow.store(true, Ordering::Relaxed),
        Slow::Queue(_, device, _) => {
            let queue = SLOW_QUEUES[usize::from(device.starts_with("up"))];
            net.tool(device, "tc", &format!("qdisc add dev {device} root tbf {queue}"))?;
        }
    }
    match talk.loses {
        Lossy::Wire(wire, whose) => wires[wire].loses[whose].store(true, Ordering::Relaxed),
        Lossy::Hook(_, device, hook) => net.lose(talk, device, hook)?,
    }
    let (port, count) = (talk.to.1.to_string(), EXCHANGES.to_string());
    let mut words = Command::new("/usr/bin/python3");
    words.args(["-c", CLIENT, talk.kind, talk.to.0, &port, &count]).env("HOPNAME", comm(0));
    let output = net.client.enter(&mut words).output()?;
    ensure!(output.status.success(), "{} to {}: {}", talk.kind, talk.server, String::from_utf8_lossy(&output.stderr));
    // What ends the connection is on its way still: until no wire and no queue has anything to carry.
    let moved = || net.counted().map(|c| c.into_iter().map(|(_, n)| n).sum::<u64>()).unwrap_or(0);
    let (mut seen, mut since) = (moved(), Instant::now());
    wait_until("silence", Duration::from_secs(30), || {
        let now = moved();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        since.elapsed() > 6 * SLOW
    })?;
    if let Slow::Queue(_, device, _) = talk.slow {
        net.tool(device, "tc", &format!("qdisc del dev {device} root"))?;
    }
    for wire in wires {
        wire.slow.store(false, Ordering::Relaxed);
        wire.loses.iter().for_each(|l| l.store(false, Ordering::Relaxed));
    }
    let dropped = match talk.loses {
        Lossy::Wire(..) => of_wires() - before,
        Lossy::Hook(_, device, hook) => net.lost(device, hook)?,
    };
    let counted = net.counted()?.into_iter().zip(counted_before).map(|((device, n), (_, before))| (device, n - before));
    let (counted, until) = (counted.collect(), utc()?);
    ensure!(dropped >= EXCHANGES as u64 / DROPPED, "only {dropped} messages were dropped");
    let came = came();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (ask, told) = said.trim().split_once(' ').context("the client said nothing")?;
    Ok(Truth {
        times: [from, until],
        counted,
        dropped,
        came: [0, 1].map(|wire: usize| [0, 1].map(|of: usize| came[wire][of] - came_before[wire][of])),
        message: [ask.parse()?, told.parse()?],
    })
}

/// Places without namespaces and nodes, processes without numbers; the capture's only interface, which has no name, by its file's.
fn plain(name: &str) -> &str {
    match name {
        n if n.ends_with("at mirror.pcap") => "vxlan 42 on mirror",
        n if n.starts_with("process ") => "hopserver",
        n => n.split(['@', '(']).next().unwrap_or_default().split(" at ").next().unwrap_or_default().trim(),
    }
}

/// The way is there from process to process, and its slow and its lossy hop are named. `false` where fewer messages were recorded at
/// an interface than passed it.
fn named((rows, flows): (&[Value], &[Value]), conversation: u64, talk: &Talk, truth: &Truth) -> Result<bool> {
    let dropped = truth.dropped;
    let places = [
        "hopclient",
        "c0",
        "n0",
        "br0",
        "nx0",
        "vxlan 42 on up1",
        "vxlan 42 on mirror",
        "vxlan 42 on up2",
        "sx0",
        "hopserver",
    ];
    // Hops that are the wires, and between which addresses change, wherever a bridge's netfilter translates.
    const WIRES: [usize; 2] = [1, 5];
    const NODE: [usize; 2] = [2, 3];
    let text = |r: &Value, column: &str| r[column].as_str().unwrap_or_default().to_owned();
    for (side, direction) in ["to_server", "to_client"].into_iter().enumerate() {
        let number = |r: &&Value| r["conversation_id"].as_u64();
        let ours = |r: &&Value| ["from_server", "to_server"].iter().any(|c| r[c] == talk.server);
        let mut way: Vec<&Value> = rows
            .iter()
            .filter(|r| {
                r["direction"] == direction && r["conversation_id"] == conversation && r["transport"] == talk.kind
            })
            .collect();
        ensure!(way.iter().any(ours) && way.iter().all(|r| number(r).is_some()), "no rows of {}", talk.server);
        way.sort_by_key(|r| r["hop"].as_u64());
        let (near, far) = if side == 0 { ("from", "to") } else { ("to", "from") };
        let mut names: Vec<String> = way.iter().map(|r| plain(&text(r, near)).to_owned()).collect();
        names.extend(way.last().map(|r| plain(&text(r, far)).to_owned()));
        // Processes are called by what they were called when they were looked at.
        let ends = [names.first(), names.last()].map(|n| n.cloned().unwrap_or_default());
        let known = [&*comm(0), &*comm(1), "hopserver", "python3"];
        ensure!(ends.iter().all(|n| known.contains(&n.as_str())), "{direction}: {names:?}");
        let between = |all: &[String]| all.get(1..all.len().saturating_sub(1)).unwrap_or(&[]).to_vec();
        ensure!(between(&names) == between(&places.map(str::to_owned)), "{direction}: {names:?}");
        let (lossy, whose) = match talk.loses {
            Lossy::Wire(wire, whose) => (WIRES[wire], whose),
            Lossy::Hook(hop, ..) => (hop, 0),
        };
        // Every interface has seen each message that it must have.
        let sent = truth.came[side][side];
        for place in 1..places.len() - 1 {
            let id = &way[place][format!("{near}_flow_id")];
            let flow = flows.iter().find(|f| f["flow_id"] == *id).context("no flow")?;
            let bytes = flow[["client_payload_bytes", "server_payload_bytes"][side]].as_u64().context("no bytes")?;
            let behind = if side == 0 { place > lossy } else { place <= lossy };
            let expected = sent - if behind && side == whose { dropped } else { 0 };
            ensure!(bytes <= expected * truth.message[side], "{bytes} bytes of {expected} messages: {flow}");
            if bytes < expected * truth.message[side] {
                eprintln!("{}: {bytes} bytes of {expected} messages were recorded", places[place]);
                return Ok(false);
            }
        }
        let slow = match talk.slow {
            Slow::Wire(wire) => Some(WIRES[wire]),
            Slow::Queue(hop, _, of) => (of == direction).then_some(hop),
        };
        if let Some(slow) = slow {
            let slowest = (0..way.len()).max_by_key(|&i| way[i]["delay_p50_ns"].as_i64()).context("no delay")?;
            let r = way[slowest];
            ensure!(slowest == slow, "{direction}: the slowest hop is {slowest}: {r}, not {}", way[slow]);
            let wrong = r["clock_uncertainty_ns"].as_i64().context("no uncertainty")?;
            let delay = r["delay_p50_ns"].as_i64().context("no delay")?;
            let held = matches!(talk.slow, Slow::Wire(_));
            ensure!(!held || delay + wrong >= SLOW.as_nanos() as i64, "{direction}: {r}");
            ensure!(r["statement"].as_str().is_some_and(|s| s.contains("of the delay")), "{direction}: {r}");
        }
        let mut translated = BTreeSet::new();
        for (hop, r) in way.iter().enumerate() {
            let expected = if hop == lossy && side == whose { dropped } else { 0 };
            ensure!(r["lost"].as_u64().is_none_or(|l| l == expected), "{direction}: {dropped} were dropped: {r}");
            ensure!(expected == 0 || r["lost"] == expected, "{direction}: {dropped} were dropped: {r}");
            let nat = text(r, "nat");
            ensure!(nat.is_empty() || NODE.contains(&hop), "{direction}: {r}");
            translated.extend(nat.split('+').filter(|n| !n.is_empty()).map(str::to_owned));
        }
        ensure!(translated == talk.nat.split('+').map(str::to_owned).collect(), "{direction}: {translated:?}");
    }
    Ok(true)
}

/// The capture's clock is found to be as far off as it was set, within what is said of that.
fn clocks(rows: &[Value]) -> Result<()> {
    let mirror = rows.iter().find(|r| r["clock"].as_str().is_some_and(|c| c.contains("mirror")));
    let mirror = mirror.or_else(|| rows.iter().find(|r| r["reference"].as_str().is_some_and(|c| c.contains("mirror"))));
    let mirror = mirror.with_context(|| format!("no clock of the capture: {rows:?}"))?;
    let offset = mirror["offset_ns"].as_i64().context("no offset")?.abs();
    let uncertainty = mirror["uncertainty_ns"].as_i64().context("no uncertainty")?;
    // Hooks and the capture's own time stamps are a little apart.
    ensure!((offset - AHEAD.1).abs() <= uncertainty + 200_000, "{rows:?}");
    Ok(())
}
