//! Prints what a capture holds: `cargo run -p formats --example capture_info -- FILE...`

fn main() {
    let mut failed = false;
    for path in std::env::args().skip(1) {
        match formats::read::info(std::path::Path::new(&path)) {
            Ok(info) => {
                println!("{path}\t{}\t{} packets\t{} damages", info.format, info.packets(), info.damages.len());
                for (kind, k) in &info.kinds {
                    println!("  {}: {} records, {} bytes", formats::block::kind_name(*kind), k.records, k.bytes);
                }
                for damage in &info.damages {
                    println!("  {damage}");
                }
            }
            Err(e) => {
                failed = true;
                println!("{path}\terror\t{e}");
            }
        }
    }
    std::process::exit(if failed { 1 } else { 0 });
}
