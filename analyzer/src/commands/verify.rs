//! `analyze verify INPUT`: is the file whole?

use super::Outcome;
use crate::cli::VerifyArgs;
use crate::human;
use formats::read::{FormatKind, verify};
use std::io::Write;

/// Runs the command.
///
/// # Errors
/// Input that cannot be read at all.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let v = verify(&args.input)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {}, {}", args.input.display(), v.format, human::bytes(v.bytes))?;
    writeln!(out, "sha256: {}", v.digest)?;
    writeln!(out, "packets: {}", v.packets)?;
    if v.format.kind == FormatKind::Bundle {
        writeln!(out, "frames with right checksums: {}", v.sound_frames)?;
        let digest = match v.index_digest_ok {
            Some(true) => "right",
            Some(false) => "WRONG: bytes before the index are not those that were written",
            None => "not there",
        };
        writeln!(out, "digest in the index: {digest}")?;
    }
    for damage in &v.damages {
        writeln!(out, "damaged: {damage}")?;
    }
    for contradiction in &v.contradictions {
        writeln!(out, "contradiction: {contradiction}")?;
    }
    let sound = v.is_sound();
    let verdict = match (sound, v.format.kind) {
        (true, FormatKind::Bundle) => "sound",
        (true, FormatKind::Pcapng | FormatKind::Pcap) => "sound, as far as a format without checksums can tell",
        (false, _) => "DAMAGED: what is readable can still be analyzed, the results will say what is missing",
    };
    writeln!(out, "{verdict}")?;
    Ok(if sound { Outcome::Complete } else { Outcome::Partial })
}
