//! Prints what a capture holds: `cargo run -p formats --example capture_info -- FILE...`

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut failed = false;
    let mut out = std::io::stdout().lock();
    for path in std::env::args().skip(1) {
        match formats::read::info(std::path::Path::new(&path)) {
            Ok(info) => {
                writeln!(out, "{path}\t{}\t{} packets\t{} damages", info.format, info.packets(), info.damages.len())?;
                for (kind, k) in &info.kinds {
                    writeln!(out, "  {}: {} records, {} bytes", formats::block::kind_name(*kind), k.records, k.bytes)?;
                }
                for damage in &info.damages {
                    writeln!(out, "  {damage}")?;
                }
            }
            Err(e) => {
                failed = true;
                writeln!(out, "{path}\terror\t{e}")?;
            }
        }
    }
    std::process::exit(if failed { 1 } else { 0 });
}
