//! Names that come again and again: kept once, written as numbers.

use ahash::AHashMap;
use std::sync::Arc;

/// Names that are looked for by their addresses first.
const FEW: usize = 16;

/// Names of one part's rows.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    fixed: Vec<&'static str>,
    fixed_numbers: AHashMap<&'static str, u32>,
    shared: Vec<Arc<str>>,
    shared_numbers: AHashMap<Arc<str>, u32>,
}

impl Texts {
    /// Number of a name of the program's own. There are as many as there are in its source.
    #[inline]
    pub(super) fn fixed(&mut self, text: &'static str) -> u32 {
        // Nearly always it is the very same one of a few.
        if let Some(number) = self.fixed.iter().take(FEW).position(|known| std::ptr::eq(*known, text)) {
            return number as u32;
        }
        if let Some(number) = self.fixed_numbers.get(text) {
            return *number;
        }
        let number = self.fixed.len() as u32;
        self.fixed.push(text);
        self.fixed_numbers.insert(text, number);
        number
    }

    #[inline]
    pub(super) fn fixed_at(&self, number: u64) -> Option<&'static str> {
        self.fixed.get(usize::try_from(number).ok()?).copied()
    }

    /// Number of a name that rows share: kinds of tunnels, names of processes.
    #[inline]
    pub(super) fn shared(&mut self, text: &Arc<str>) -> u32 {
        if let Some(number) = self.shared_numbers.get(text) {
            return *number;
        }
        let number = self.shared.len() as u32;
        self.shared.push(Arc::clone(text));
        self.shared_numbers.insert(Arc::clone(text), number);
        number
    }

    #[inline]
    pub(super) fn shared_at(&self, number: u64) -> Option<Arc<str>> {
        self.shared.get(usize::try_from(number).ok()?).cloned()
    }
}
