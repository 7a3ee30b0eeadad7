//! Names that come again and again: kept once, written as numbers.

use ahash::AHashMap;
use std::sync::Arc;

/// Names that are known by their addresses.
const LATELY: usize = 64;

/// Where a name of the program's own lies, and its number.
type Seen = (usize, usize, u32);

/// Names of one part's rows.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    fixed: Vec<&'static str>,
    /// Names seen lately, by their addresses; made when the first one comes.
    lately: Option<Box<[Seen; LATELY]>>,
    fixed_numbers: AHashMap<&'static str, u32>,
    shared: Vec<Arc<str>>,
    shared_numbers: AHashMap<Arc<str>, u32>,
}

impl Texts {
    /// Number of a name of the program's own. There are as many as there are in its source.
    #[inline]
    pub(super) fn fixed(&mut self, text: &'static str) -> u32 {
        // Nearly always it is the very same one of a few.
        let (at, len) = (text.as_ptr().addr(), text.len());
        let place = (at as u64).wrapping_add(len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let lately = self.lately.get_or_insert_with(|| Box::new([(0, 0, 0); LATELY]));
        let Some(seen) = lately.get_mut(place as usize) else { return 0 };
        if (seen.0, seen.1) == (at, len) {
            return seen.2;
        }
        let next = self.fixed.len() as u32;
        let number = *self.fixed_numbers.entry(text).or_insert(next);
        if number == next {
            self.fixed.push(text);
        }
        *seen = (at, len, number);
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
