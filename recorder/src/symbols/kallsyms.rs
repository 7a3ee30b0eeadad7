//! Kernel symbols, out of /proc/kallsyms.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Most symbols kept.
const SYMBOLS_LIMIT: usize = 2_000_000;
/// A kernel symbol without a successor closer than this is not stretched further, bytes.
const REACH: u64 = 1 << 20;

/// All function symbols of the running kernel and its modules.
#[derive(Debug, Default)]
pub struct Kallsyms {
    /// Address, start of the name in `names`.
    entries: Vec<(u64, u32)>,
    /// `name\tmodule\n` after each other.
    names: String,
}

impl Kallsyms {
    /// Reads the table. Empty if the kernel hides addresses (kptr_restrict).
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut table = Self::default();
        if let Ok(file) = File::open(path) {
            for line in BufReader::with_capacity(1 << 16, file).lines().map_while(Result::ok).take(SYMBOLS_LIMIT) {
                table.add(&line);
            }
        }
        table.entries.sort_by_key(|e| e.0);
        table
    }

    /// `ffffffff81000000 T _text` or with a tab and `[module]`.
    fn add(&mut self, line: &str) {
        let mut fields = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next()) else { return };
        let Ok(address) = u64::from_str_radix(address, 16) else { return };
        if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
            return;
        }
        let Ok(at) = u32::try_from(self.names.len()) else { return };
        let module = fields.next().unwrap_or_default().trim_matches(['[', ']']);
        self.names.push_str(name);
        self.names.push('\t');
        self.names.push_str(module);
        self.names.push('\n');
        self.entries.push((address, at));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Name, module and bytes from the start of the symbol at an address. Of several names for one place the first in
    /// the kernel's order.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<(&str, &str, u64)> {
        let end = self.entries.partition_point(|e| e.0 <= address);
        let (start, _) = *self.entries.get(end.checked_sub(1)?)?;
        let first = self.entries.partition_point(|e| e.0 < start);
        let (_, at) = *self.entries.get(first)?;
        let (name, module) = self.names.get(at as usize..)?.split_once('\n')?.0.split_once('\t')?;
        (address - start < REACH).then_some((name, module, address - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kallsyms");
        std::fs::write(
            &path,
            "ffffffff81000000 T _text\nffffffff81000000 T alias\nffffffff81000100 t do_it\nffffffffa0000000 t mod_fn\t[mod]\n\
             ffffffff81000050 D data\nnonsense\n",
        )
        .unwrap();
        let table = Kallsyms::read(&path);
        assert_eq!(table.lookup(0xffff_ffff_8100_0060), Some(("_text", "", 0x60)));
        assert_eq!(table.lookup(0xffff_ffff_8100_0100), Some(("do_it", "", 0)));
        assert_eq!(table.lookup(0xffff_ffff_a000_0004), Some(("mod_fn", "mod", 4)));
        assert_eq!(table.lookup(0xffff_ffff_b000_0000), None);
        assert_eq!(table.lookup(1), None);
        std::fs::write(&path, "0000000000000000 T _text\n").unwrap();
        assert!(Kallsyms::read(&path).is_empty());
    }
}
