//! Flow counters against the kernel's interface counters and tshark's conversations.

use super::servers::lacks_packets;
use anyhow::{Context, Result, bail, ensure};
use e2e::children::wait_until;
use e2e::netns::NetNs;
use e2e::programs::{Recording, table};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Twenty TCP connections of different sizes over the namespace's loopback, each on a port of its own.
fn traffic(ns: &NetNs) -> Result<()> {
    ns.run(|| -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let server = std::thread::spawn(move || -> Result<()> {
            for stream in listener.incoming().take(20) {
                let mut stream = stream?;
                let mut size = [0u8; 4];
                stream.read_exact(&mut size)?;
                stream.write_all(&vec![b'x'; u32::from_le_bytes(size) as usize])?;
            }
            Ok(())
        });
        for i in 0..20u32 {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&(i * 7001 + 1).to_le_bytes())?;
            let mut got = Vec::new();
            stream.read_to_end(&mut got)?;
            ensure!(got.len() == (i * 7001 + 1) as usize, "short answer");
        }
        server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
        Ok(())
    })?
}

/// Whether both sides of every connection in this thread's namespace have closed, and know it of each other: none is in
/// another state than LISTEN and TIME_WAIT, in which nothing is sent.
fn all_over() -> bool {
    let tcp = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap_or_default();
    tcp.lines().skip(1).all(|line| matches!(line.split_ascii_whitespace().nth(3), Some("0A" | "06")))
}

/// A recording that the analysis says lacks packets which no program ran for (docs/limitations.md) is made again.
pub(crate) fn equal_kernel_and_tshark() -> Result<()> {
    for _ in 0..5 {
        if equal()? {
            return Ok(());
        }
    }
    bail!("no recording with every packet of the loopback")
}

/// Holds a recording against both; false if it says of itself that it lacks packets.
fn equal() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("counts.zst");
    let ns = NetNs::new("counts")?;
    let recording = Recording::start(&bundle, &[])?;
    let before = ns.loopback_received()?;
    traffic(&ns)?;
    ns.run(|| wait_until("the end of all connections", Duration::from_secs(60), all_over))??;
    let after = ns.loopback_received()?;
    recording.stop()?;
    let inode = u64::from(ns.inode()?);
    if lacks_packets(&bundle, &[&ns])? {
        return Ok(false);
    }

    let flows: Vec<Value> = table("flows", &bundle)?
        .into_iter()
        .filter(|f| f["netns"].as_u64() == Some(inode) && f["interface"] == "lo")
        .collect();
    let sum = |column: &str| flows.iter().filter_map(|f| f[column].as_u64()).sum::<u64>();
    let packets = sum("client_packets") + sum("server_packets");
    let bytes = sum("client_ip_bytes") + sum("server_ip_bytes");
    ensure!(
        (packets, bytes) == (after.0 - before.0, after.1 - before.1),
        "flows hold {packets} packets, {bytes} bytes; the kernel counted {} and {}",
        after.0 - before.0,
        after.1 - before.1
    );

    // tshark's conversations of the same file. It knows no namespaces: compare by port, which the ephemeral
    // range makes unique enough; a port that another namespace used too would show as a difference.
    let out = Command::new("tshark")
        .arg("-r")
        .arg(&bundle)
        .args([
            "-T",
            "fields",
            "-e",
            "tcp.srcport",
            "-e",
            "tcp.dstport",
            "-e",
            "frame.len",
            "-e",
            "frame.interface_name",
        ])
        .args(["-Y", "tcp"])
        .output()
        .context("running tshark")?;
    let mut theirs: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if let [source, destination, length, ..] = fields[..] {
            let entry = theirs.entry((source.parse()?, destination.parse()?)).or_default();
            entry.0 += 1;
            entry.1 += length.parse::<u64>()?;
        }
    }
    ensure!(flows.len() == 20, "{} flows for 20 connections", flows.len());
    for flow in &flows {
        let port = |column: &str| flow[column].as_u64().context("no port");
        let (client, server) = (port("client_port")?, port("server_port")?);
        let ours = |side: &str| (flow[format!("{side}_packets")].as_u64(), flow[format!("{side}_bytes")].as_u64());
        for (side, key) in [("client", (client, server)), ("server", (server, client))] {
            let (packets, bytes) = theirs.get(&key).copied().unwrap_or_default();
            ensure!(ours(side) == (Some(packets), Some(bytes)), "{side} of {flow}: tshark has {packets}, {bytes}");
        }
    }
    Ok(true)
}
