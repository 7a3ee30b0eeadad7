//! Packets as pcapng.

use super::Span;
use super::comments::Comments;
use super::order::{Order, Waiting};
use crate::analysis::Analysis;
use crate::cli::ExportArgs;
use anyhow::{Context, bail};
use formats::pcapng::{SectionInfo, Writer};
use replay::engine::ReplayError;
use replay::reread::{Packet, reread};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Why an export ended.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Read(#[from] ReplayError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes the packets that pass. `chosen`: only of these flows.
pub(super) fn write(
    args: &ExportArgs,
    analysis: Option<&Analysis>,
    chosen: Option<&BTreeSet<u64>>,
    span: Span,
) -> anyhow::Result<()> {
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    let same = |input: &std::path::PathBuf| {
        fs::canonicalize(input).ok().is_some_and(|input| fs::canonicalize(path).is_ok_and(|output| output == input))
    };
    if args.input.inputs.iter().any(same) {
        bail!("{} is the input itself: give another --output", path.display());
    }
    if args.input.inputs.iter().any(|p| p.as_os_str() == "-") {
        bail!("{}", ReplayError::NotAgain);
    }
    let cannot = || format!("cannot write {}", path.display());
    let out: Box<dyn Write> = if path.as_os_str() == "-" {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(path).with_context(cannot)?)
    };
    let manifest = analysis.and_then(|a| a.replayed.manifest.as_ref());
    let info = SectionInfo {
        hardware: manifest.map_or(String::new(), |m| m.machine.clone()),
        os: manifest.map_or(String::new(), |m| format!("Linux {} {}", m.kernel_release, m.os)),
        application: concat!("Hindsight analyze ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 18, out), &info).with_context(cannot)?;
    let comments = analysis.map(Comments::new);
    if let Some(comments) = comments.as_ref().filter(|_| !args.plain) {
        writer.names(&comments.names()).with_context(cannot)?;
    }
    let mut interfaces: HashMap<u32, u32> = HashMap::new();
    let mut comment = String::new();
    let mut waiting = Order::default();
    // The input that is a bundle, whose packets wait for each other.
    let mut bundle = None;
    let mut one = |p: &Packet<'_>| -> Result<(), Failed> {
        if !span.has(p.ts) {
            return Ok(());
        }
        if let (Some(chosen), Some(comments)) = (chosen, &comments) {
            let mut flows = p.rows.iter().filter_map(|d| comments.flow(d, p.tunnels));
            if !flows.any(|f| chosen.contains(&f.flow_id)) {
                return Ok(());
            }
        }
        let interface = match interfaces.get(&p.interface) {
            Some(&known) => known,
            None => {
                let new = writer.interface(p.desc)?;
                interfaces.insert(p.interface, new);
                new
            }
        };
        comment.clear();
        if let Some(comments) = comments.as_ref().filter(|_| !args.plain) {
            comments.write(p.rows, p.tunnels, &mut comment);
        }
        // pcapng's times begin in 1970.
        let ts = u64::try_from(p.ts).unwrap_or(0);
        if !p.is_ordered {
            bundle = Some(p.input);
        }
        if bundle != Some(p.input) {
            while let Some(earlier) = waiting.next_of_all() {
                put(&mut writer, &earlier)?;
            }
            writer.packet(interface, ts, p.direction, p.wire_len, &[p.bytes], &comment)?;
            return Ok(());
        }
        let (number, direction, wire_len, bytes) = (p.number, p.direction, p.wire_len, p.bytes.to_vec());
        waiting.push(Waiting { ts, number, interface, direction, wire_len, bytes, comment: comment.clone() });
        while let Some(due) = waiting.next_due() {
            put(&mut writer, &due)?;
        }
        Ok(())
    };
    reread(&args.input.inputs, args.input.filter.as_ref(), &|_, _, _| true, &mut one).map_err(|e: Failed| match e {
        Failed::Read(e) => anyhow::Error::from(e),
        Failed::Write(e) => anyhow::Error::from(e).context(cannot()),
    })?;
    while let Some(left) = waiting.next_of_all() {
        put(&mut writer, &left).with_context(cannot)?;
    }
    writer.finish().with_context(cannot)?;
    Ok(())
}

fn put<W: Write>(writer: &mut Writer<W>, p: &Waiting) -> io::Result<()> {
    writer.packet(p.interface, p.ts, p.direction, p.wire_len, &[&p.bytes], &p.comment)
}
