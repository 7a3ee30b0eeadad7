//! What is counted as sent again is what the sender's kernel has sent again: two namespaces, a wire that drops packets both ways, transfers
//! both ways, and `RetransSegs` of either kernel as truth. The client's packets are segments as they go out, the server's are those that the
//! card would cut up (segmentation offload).

use super::servers::lacks_packets;
use anyhow::{Context, Result, bail, ensure};
use e2e::children::wait_until;
use e2e::netns::{NetNs, ip};
use e2e::programs::{Recording, table};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 5201;
const CONNECTIONS: usize = 4;
/// Each way, per connection.
const BYTES: usize = 1 << 20;

fn tool(ns: &NetNs, name: &str, args: &[&str]) -> Result<()> {
    let output = ns.enter(Command::new(name).args(args)).output().with_context(|| format!("running {name}"))?;
    ensure!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Two namespaces and a veth pair, each end of which drops one in so many of the TCP packets that come in.
fn wire() -> Result<(NetNs, NetNs)> {
    let (client, server) = (NetNs::new("rtxc")?, NetNs::new("rtxs")?);
    ip(&["-n", client.name(), "link", "add", "c0", "type", "veth", "peer", "name", "s0", "netns", server.name()])?;
    for (ns, device, address, one_in) in [(&client, "c0", "10.73.0.1/24", 11), (&server, "s0", "10.73.0.2/24", 50)] {
        ip(&["-n", ns.name(), "addr", "add", address, "dev", device])?;
        ip(&["-n", ns.name(), "link", "set", device, "up"])?;
        let rules = format!(
            "add table netdev loss; \
             add chain netdev loss in {{ type filter hook ingress device {device} priority 0; }}; \
             add rule netdev loss in ip protocol tcp numgen inc mod {one_in} == 7 drop"
        );
        tool(ns, "nft", &[&rules])?;
    }
    tool(&client, "ethtool", &["-K", "c0", "tso", "off", "gso", "off"])?;
    Ok((client, server))
}

/// `RetransSegs` of a namespace.
fn resent(ns: &NetNs) -> Result<u64> {
    let text = ns.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let place = names.split(' ').position(|name| name == "RetransSegs").context("no RetransSegs")?;
    values.split(' ').nth(place).context("no value")?.parse().context("no number")
}

/// Whether no socket of a namespace has anything left to send: all are listening or wait for stragglers.
fn is_quiet(ns: &NetNs) -> bool {
    let read = ns.run(|| std::fs::read_to_string("/proc/thread-self/net/tcp"));
    let Ok(Ok(text)) = read else { return false };
    text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(3)).all(|s| s == "0A" || s == "06")
}

/// Both ways, on all connections at once.
fn transfer(client: &NetNs, server: &NetNs) -> Result<()> {
    let listener = server.run(|| TcpListener::bind(("10.73.0.2", PORT)))??;
    let limit = Some(Duration::from_secs(60));
    let receive = |stream: &mut TcpStream| -> Result<()> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        ensure!(all.len() == BYTES, "{} bytes came", all.len());
        Ok(())
    };
    let answer = || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(limit)?;
        receive(&mut stream)?;
        Ok(stream.write_all(&vec![b's'; BYTES])?)
    };
    let ask = || -> Result<()> {
        let mut stream = client.run(|| TcpStream::connect(("10.73.0.2", PORT)))??;
        stream.set_read_timeout(limit)?;
        stream.write_all(&vec![b'c'; BYTES])?;
        stream.shutdown(Shutdown::Write)?;
        receive(&mut stream)
    };
    std::thread::scope(|scope| {
        let servers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(answer)).collect();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().chain(servers).try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a side panicked"))?)
    })
}

/// What is sent again when a timer runs out may be among the packets that no program runs for (docs/limitations.md): a recording
/// that says so of itself is made again.
pub(crate) fn are_the_kernels() -> Result<()> {
    for _ in 0..5 {
        if equal()? {
            return Ok(());
        }
    }
    bail!("no recording with every packet of the wire")
}

/// Holds a recording against the kernels' counts; false if it says of itself that it lacks packets.
fn equal() -> Result<bool> {
    let (client, server) = wire()?;
    let folder = tempfile::tempdir()?;
    let recording = Recording::start(&folder.path().join("resent.zst"), &["--no-stacks"])?;
    let before = (resent(&client)?, resent(&server)?);
    transfer(&client, &server)?;
    wait_until("the last FIN's acknowledgement", Duration::from_secs(120), || is_quiet(&client) && is_quiet(&server))?;
    let kernels = (resent(&client)? - before.0, resent(&server)? - before.1);
    let bundle = recording.bundle.clone();
    recording.stop()?;
    ensure!(kernels.0 > 20 && kernels.1 > 20, "the wire has lost next to nothing: {kernels:?}");

    if lacks_packets(&bundle, &[&client, &server])? {
        return Ok(false);
    }
    let rows = table("flows", &bundle)?;
    let sum = |ns: &NetNs, columns: [&str; 2]| -> Result<u64> {
        let inode = ns.inode()?;
        let here =
            |r: &&Value| r["netns"] == inode && r["observed_at"] == "interface" && r["server_port"] == u64::from(PORT);
        let rows: Vec<&Value> = rows.iter().filter(here).collect();
        ensure!(rows.len() == CONNECTIONS, "{} flows for {CONNECTIONS} connections", rows.len());
        Ok(rows.iter().flat_map(|r| columns.map(|c| r[c].as_u64().unwrap_or(0))).sum())
    };
    let ours = (
        sum(&client, ["client_retransmitted_segments", "syn_retransmits"])?,
        sum(&server, ["server_retransmitted_segments", "syn_ack_retransmits"])?,
    );
    let health = table("health", &bundle)?;
    ensure!(ours == kernels, "sent again: {ours:?}, the kernels say {kernels:?}; health: {health:?}");
    Ok(true)
}
