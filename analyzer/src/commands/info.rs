//! `analyze info INPUT`: what is in a file, without interpreting it.

use super::Outcome;
use crate::cli::{InfoArgs, InfoFormat};
use crate::human;
use formats::block::kind_name;
use formats::read::{FormatKind, Info, info};
use serde_json::{Map, Value, json};
use std::io::Write;

/// Runs the command.
///
/// # Errors
/// Input that cannot be read at all.
pub fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let info = info(&args.input)?;
    let name = args.input.display().to_string();
    let mut out = std::io::stdout().lock();
    match args.format {
        InfoFormat::Text => text(&name, &info, &mut out)?,
        InfoFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &as_json(&name, &info)).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(if info.damages.is_empty() { Outcome::Complete } else { Outcome::Partial })
}

fn text(name: &str, info: &Info, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "file: {name}")?;
    write!(out, "format: {}", info.format)?;
    if let Some(bytes) = info.file_bytes {
        write!(out, ", {}", human::bytes(bytes))?;
    }
    write!(out, ", content {}", human::bytes(info.content_bytes))?;
    if let Some(ratio) = info.compression_ratio().filter(|_| info.file_bytes != Some(info.content_bytes)) {
        write!(out, " ({ratio:.2} : 1)")?;
    }
    writeln!(out)?;
    if let Some((first, last)) = info.time_range() {
        let length = u64::try_from(last.saturating_sub(first)).unwrap_or(0);
        writeln!(out, "time: {} to {} UTC, {}", human::time(first), human::time(last), human::duration(length))?;
    }
    manifest(info, out)?;
    if info.format.kind == FormatKind::Bundle {
        let content: u64 = info.frames.iter().map(|f| f.content).sum();
        let mean = content.checked_div(info.frames.len() as u64).unwrap_or(0);
        writeln!(out, "frames: {}, {} of content each on average", info.frames.len(), human::bytes(mean))?;
    }
    writeln!(out, "packets: {}", info.packets())?;

    writeln!(out, "\n{:<16} {:>12} {:>10} {:>10} {:>10}", "KIND", "records", "blocks", "bytes", "lost")?;
    for (kind, k) in &info.kinds {
        writeln!(
            out,
            "{:<16} {:>12} {:>10} {:>10} {:>10}",
            kind_name(*kind),
            human::count(k.records),
            human::count(k.blocks),
            human::bytes(k.bytes),
            human::count(k.lost),
        )?;
    }
    for (block_type, n) in &info.skipped_blocks {
        writeln!(out, "{:<16} {:>12} {:>10}  (passed over)", format!("type {block_type:#010x}"), "", human::count(*n))?;
    }
    if !info.interfaces.is_empty() {
        writeln!(
            out,
            "\n{:<4} {:<16} {:<10} {:>10} {:>12} {:>12} {:>10} {:>10} {:>10} {:>8}",
            "ID", "INTERFACE", "kind", "netns", "packets", "in", "out", "on wire", "captured", "dropped"
        )?;
    }
    for (id, i) in info.interfaces.iter().enumerate() {
        let desc = &i.interface;
        let dropped = i.statistics.and_then(|s| s.dropped).map_or_else(|| "-".to_owned(), human::count);
        writeln!(
            out,
            "{id:<4} {:<16} {:<10} {:>10} {:>12} {:>12} {:>10} {:>10} {:>10} {dropped:>8}",
            desc.name,
            desc.kind,
            if desc.netns == 0 { "-".to_owned() } else { desc.netns.to_string() },
            human::count(i.packets),
            human::count(i.direction[0]),
            human::count(i.direction[1]),
            human::bytes(i.wire_bytes),
            human::bytes(i.captured_bytes),
        )?;
    }
    ending(info, out)
}

/// Who recorded, where, and with which hooks.
fn manifest(info: &Info, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(m) = &info.manifest else { return Ok(()) };
    writeln!(out, "node: {}, {} CPUs, {} memory", m.hostname, m.cpus, human::bytes(m.memory_bytes))?;
    writeln!(out, "system: Linux {} {}, {}", m.kernel_release, m.machine, m.os)?;
    writeln!(out, "recorder: {}, bundle format {}: {}", m.recorder, m.format_version, m.command_line.join(" "))?;
    let s = &m.settings;
    writeln!(
        out,
        "kept: {} of each call's payload, {} of each packet, {} stack samples per second and CPU",
        if s.syscalls { human::bytes(s.payload_bytes.into()) } else { "nothing".into() },
        if s.packets { human::bytes(s.snaplen.into()) } else { "nothing".into() },
        if s.stacks { s.sample_hz } else { 0 },
    )?;
    for line in &m.privacy {
        writeln!(out, "privacy: {line}")?;
    }
    let attached = m.hooks.iter().filter(|h| h.attached).count();
    writeln!(out, "hooks: {attached} of {} attached", m.hooks.len())?;
    for hook in m.hooks.iter().filter(|h| !h.attached) {
        writeln!(out, "  not attached: {} at {}: {}", hook.program, hook.target, hook.error)?;
    }
    for line in &m.missing {
        writeln!(out, "not recorded: {line}")?;
    }
    Ok(())
}

/// How it ended, and what is wrong.
fn ending(info: &Info, out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(s) = &info.summary {
        let captured: u64 = s.captured.values().sum();
        let lost: u64 = s.lost.values().sum();
        writeln!(out, "\nended: {}; captured {}, lost {}", s.reason, human::count(captured), human::count(lost))?;
        for (kind, n) in s.lost.iter().filter(|(_, n)| **n > 0) {
            writeln!(out, "  lost {kind}: {}", human::count(*n))?;
        }
        let masked: Vec<String> =
            s.masked.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{kind} {}", human::count(*n))).collect();
        if !masked.is_empty() {
            writeln!(out, "masked when recorded: {}", masked.join(", "))?;
        }
    }
    for damage in &info.damages {
        writeln!(out, "damaged: {damage}")?;
    }
    Ok(())
}

fn as_json(name: &str, info: &Info) -> Value {
    let time = |ns: i64| {
        let mut s = String::new();
        human::write_rfc3339(ns, &mut s);
        s
    };
    let kinds: Map<String, Value> = info
        .kinds
        .iter()
        .map(|(kind, k)| {
            let value = json!({
                "records": k.records,
                "blocks": k.blocks,
                "bytes": k.bytes,
                "lost": k.lost,
                "first": k.first.map(time),
                "last": k.last.map(time),
            });
            (kind_name(*kind).to_owned(), value)
        })
        .collect();
    let interfaces: Vec<Value> = info
        .interfaces
        .iter()
        .enumerate()
        .map(|(id, i)| {
            json!({
                "id": id,
                "name": i.interface.name,
                "kind": i.interface.kind,
                "netns": i.interface.netns,
                "ifindex": i.interface.ifindex,
                "link_type": i.interface.link_type,
                "snaplen": i.interface.snaplen,
                "packets": i.packets,
                "packets_in": i.direction[0],
                "packets_out": i.direction[1],
                "wire_bytes": i.wire_bytes,
                "captured_bytes": i.captured_bytes,
                "received": i.statistics.and_then(|s| s.received),
                "dropped": i.statistics.and_then(|s| s.dropped),
            })
        })
        .collect();
    let frames: Vec<Value> = info
        .frames
        .iter()
        .map(|f| {
            json!({
                "number": f.number,
                "offset": f.offset,
                "compressed_bytes": f.compressed,
                "content_bytes": f.content,
                "packets": f.packets,
                "blocks": f.blocks,
                "records": f.records,
                "first_monotonic_ns": f.first_ts,
                "last_monotonic_ns": f.last_ts,
                "cut": f.cut,
            })
        })
        .collect();
    let skipped: Map<String, Value> =
        info.skipped_blocks.iter().map(|(t, n)| (format!("{t:#010x}"), json!(n))).collect();
    json!({
        "file": name,
        "format": info.format.to_string(),
        "file_bytes": info.file_bytes,
        "content_bytes": info.content_bytes,
        "first": info.time_range().map(|(first, _)| time(first)),
        "last": info.time_range().map(|(_, last)| time(last)),
        "packets": info.packets(),
        "kinds": kinds,
        "interfaces": interfaces,
        "frames": frames,
        "skipped_blocks": skipped,
        "manifest": info.manifest,
        "summary": info.summary,
        "damages": info.damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
