//! A column of texts in the making: each different text once, and its number row by row, which is what Parquet's dictionaries are.
//!
//! Nearly all texts of these tables come again and again. Known again as they come in, they are neither copied into a column nor looked for
//! in it a second time: that was a third of what writing tables costs. A column that turns out to be of different texts goes on as Polars keeps it.

use super::known::Present;
use ahash::RandomState;
use hashbrown::HashTable;
use polars_arrow::array::{MutableBinaryViewArray, Utf8ViewArray};
use polars_arrow::bitmap::Bitmap;
use std::net::IpAddr;

/// After so many rows a column that has mostly different texts is not worth a dictionary.
pub(super) const PROBE: usize = 1024;
/// Texts that are known again without their hash.
const LATELY: usize = 128;

/// A column of texts; empty ones are null.
#[derive(Debug)]
pub(super) enum Texts {
    /// Each different one once.
    Coded(Box<Coded>),
    /// One after the other.
    Plain(Plain),
}

/// Texts of rows that have one, one after the other.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) texts: List,
    pub(super) present: Present,
}

/// Texts in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct List {
    bytes: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl List {
    #[inline]
    fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    #[inline]
    fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(number).and_then(|end| self.bytes.get(start..*end)).unwrap_or("")
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them without a gap.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// One after the other.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|number| self.get(number))
    }
}

impl Plain {
    #[inline]
    fn push(&mut self, text: &str) {
        self.present.push(!text.is_empty());
        if !text.is_empty() {
            self.texts.push(text);
        }
    }
}

/// Different texts and their numbers.
#[derive(Debug)]
pub(super) struct Coded {
    /// Of rows that have a text, in their order.
    keys: Vec<u32>,
    present: Present,
    /// In the order in which they came.
    different: List,
    lately: [Lately; LATELY],
    last: Last,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

/// Where the last text lay that stays where it is: rows often share theirs, or have one of the program's own.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: (usize, usize),
    number: u32,
}

impl Last {
    /// No text lies there.
    const NONE: Self = Self { at: (0, 0), number: 0 };
}

/// A text seen lately.
#[derive(Clone, Copy, Debug)]
struct Lately {
    mark: Mark,
    number: u32,
}

/// Both ends of a text and its length: up to [`Mark::WHOLE`] bytes, the text itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    first: u64,
    last: u64,
    len: usize,
}

impl Mark {
    const WHOLE: usize = 16;

    #[inline]
    fn of(text: &str) -> Self {
        let (bytes, len) = (text.as_bytes(), text.len());
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                _ => (bytes.iter().fold(0, |all, b| all << 8 | u64::from(*b)), 0),
            },
        };
        Self { first, last, len }
    }

    /// Of an address that is not written out. No text has such a length.
    #[inline]
    fn of_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self { first: u64::from(ip.to_bits()), last: 0, len: usize::MAX - 1 },
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                Self { first: bits as u64, last: (bits >> 64) as u64, len: usize::MAX - 2 }
            }
        }
    }

    #[inline]
    fn place(self) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(29) ^ self.len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 57) as usize % LATELY
    }
}

impl Texts {
    pub(super) fn new(all: usize) -> Self {
        Self::Coded(Box::new(Coded::new(all)))
    }

    /// Texts that stay where they are until all of them are in.
    #[inline]
    pub(super) fn extend_kept<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        if let Self::Coded(coded) = self {
            coded.last = Last::NONE;
        }
        for text in texts {
            match self {
                Self::Coded(coded) if text.is_empty() => coded.present.push(false),
                Self::Coded(coded) if coded.is_last(text) => coded.push_last(),
                _ => self.push_kept(text),
            }
        }
    }

    /// One such text.
    #[inline(never)]
    fn push_kept(&mut self, text: &str) {
        self.push(text);
        if let Self::Coded(coded) = self {
            let number = coded.keys.last().copied().unwrap_or(0);
            coded.last = Last { at: (text.as_ptr().addr(), text.len()), number };
        }
    }

    /// A text.
    pub(super) fn push(&mut self, text: &str) {
        match self {
            Self::Coded(coded) => {
                coded.push(text);
                if coded.present.rows() == PROBE && !text.is_empty() && coded.is_mostly_different() {
                    *self = Self::Plain(coded.plain());
                }
            }
            Self::Plain(plain) => plain.push(text),
        }
    }

    /// An address, which `write` makes a text of if it was not seen lately.
    #[inline]
    pub(super) fn push_ip(&mut self, ip: IpAddr, scratch: &mut String, write: impl FnOnce(IpAddr, &mut String)) {
        let mark = Mark::of_ip(ip);
        let place = mark.place();
        if let Self::Coded(coded) = self
            && let Some(seen) = coded.lately.get(place).filter(|seen| seen.mark == mark)
            && coded.present.rows() + 1 != PROBE
        {
            coded.keys.push(seen.number);
            coded.present.push(true);
            return;
        }
        scratch.clear();
        write(ip, scratch);
        self.push(scratch);
        if let Self::Coded(coded) = self
            && let Some(seen) = coded.lately.get_mut(place)
        {
            *seen = Lately { mark, number: coded.keys.last().copied().unwrap_or(0) };
        }
    }

    /// The column when all rows are in it.
    pub(super) fn finish(self) -> Self {
        match self {
            Self::Coded(mut coded) if coded.present.rows() >= PROBE && coded.is_mostly_different() => {
                Self::Plain(coded.plain())
            }
            texts => texts,
        }
    }

    /// As Polars keeps it.
    pub(super) fn into_array(self) -> Utf8ViewArray {
        let rows = |present: &Present, text: &mut dyn Iterator<Item = &str>| {
            let mut out = MutableBinaryViewArray::with_capacity(present.rows());
            (0..present.rows()).for_each(|row| out.push(if present.get(row) { text.next() } else { None }));
            out.freeze()
        };
        match self {
            Self::Coded(coded) => rows(&coded.present, &mut coded.keys.iter().map(|key| coded.get(*key))),
            Self::Plain(plain) => rows(&plain.present, &mut plain.texts.iter()),
        }
    }
}

impl Coded {
    fn new(all: usize) -> Self {
        let mark = Mark { len: usize::MAX, ..Mark::default() };
        Self {
            keys: Vec::with_capacity(all),
            present: Present::new(all),
            different: List::default(),
            lately: [Lately { mark, number: 0 }; LATELY],
            last: Last::NONE,
            numbers: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// Whether this is the very text that came last of those that stay; empty ones are not asked for.
    #[inline]
    fn is_last(&self, text: &str) -> bool {
        self.last.at == (text.as_ptr().addr(), text.len())
    }

    #[inline]
    fn push_last(&mut self) {
        self.present.push(true);
        self.keys.push(self.last.number);
    }

    #[inline]
    fn push(&mut self, text: &str) {
        if text.is_empty() {
            self.present.push(false);
            return;
        }
        self.present.push(true);
        let mark = Mark::of(text);
        let place = mark.place();
        let number = match self.lately.get(place) {
            Some(seen) if seen.mark == mark && (mark.len <= Mark::WHOLE || self.get(seen.number) == text) => {
                seen.number
            }
            _ => self.number(text, mark, place),
        };
        self.keys.push(number);
    }

    /// The number of a text that was not seen lately.
    fn number(&mut self, text: &str, mark: Mark, place: usize) -> u32 {
        let Self { different, numbers, hasher, .. } = self;
        let hash = |text: &str| hasher.hash_one(text);
        let at = |n: &u32| different.get(*n as usize);
        let next = different.len() as u32;
        let number = *numbers.entry(hash(text), |n| at(n) == text, |n| hash(at(n))).or_insert(next).get();
        if number == next {
            different.push(text);
        }
        if let Some(seen) = self.lately.get_mut(place) {
            *seen = Lately { mark, number };
        }
        number
    }

    #[inline]
    fn get(&self, number: u32) -> &str {
        self.different.get(number as usize)
    }

    /// The different texts, by number.
    pub(super) fn different(&self) -> &List {
        &self.different
    }

    /// Numbers of the texts of rows that have one.
    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// Which rows have a text; `None`: all.
    pub(super) fn validity(&self) -> Option<Bitmap> {
        self.present.validity()
    }

    /// How many rows have none.
    pub(super) fn null_count(&self) -> usize {
        self.present.nulls()
    }

    fn is_mostly_different(&self) -> bool {
        self.different.len() > self.present.rows() / 4 * 3
    }

    /// The same, text by text.
    fn plain(&mut self) -> Plain {
        let mut texts = List::default();
        texts.ends.reserve(self.present.all());
        self.keys.iter().for_each(|key| texts.push(self.get(*key)));
        Plain { texts, present: std::mem::take(&mut self.present) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column<'a>(texts: impl IntoIterator<Item = &'a str>, kept: bool) -> Texts {
        let texts: Vec<&str> = texts.into_iter().collect();
        let mut column = Texts::new(texts.len());
        if kept {
            column.extend_kept(texts.iter().copied());
        } else {
            texts.iter().for_each(|text| column.push(text));
        }
        column.finish()
    }

    fn rows(texts: Texts) -> Vec<String> {
        texts.into_array().iter().map(|t| t.unwrap_or("").to_owned()).collect()
    }

    #[test]
    fn texts_that_come_again_are_kept_once() {
        let Texts::Coded(coded) = column(["a", "", "a", "longer than sixteen bytes", "a"], false) else {
            panic!("three rows of five are the same")
        };
        assert_eq!(coded.keys(), [0, 0, 1, 0]);
        assert_eq!(coded.different().iter().collect::<Vec<_>>(), ["a", "longer than sixteen bytes"]);
        assert_eq!(coded.null_count(), 1);
        assert_eq!(coded.validity().unwrap().iter().collect::<Vec<_>>(), [true, false, true, true, true]);
    }

    #[test]
    fn mostly_different_texts_have_no_dictionary() {
        for rows in [PROBE - 1, PROBE, 2 * PROBE] {
            let texts: Vec<String> = (0..rows).map(|n| n.to_string()).collect();
            let is_plain = matches!(column(texts.iter().map(String::as_str), true), Texts::Plain(_));
            assert_eq!(is_plain, rows >= PROBE);
        }
        // Different only where nobody probes.
        let texts: Vec<String> = (0..8 * PROBE).map(|n| n.saturating_sub(PROBE).to_string()).collect();
        let column = column(texts.iter().map(String::as_str), true);
        assert!(matches!(column, Texts::Plain(_)));
        assert_eq!(rows(column), texts);
    }

    #[test]
    fn addresses_are_their_texts() {
        let ip = |n: usize| IpAddr::from([10, 0, (n / 7 % 3) as u8, (n % 5) as u8]);
        let other = |n: usize| {
            if n.is_multiple_of(11) {
                IpAddr::from(ip(n).to_string().parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped())
            } else {
                ip(n)
            }
        };
        let (mut column, mut scratch) = (Texts::new(3 * PROBE), String::new());
        for n in 0..3 * PROBE {
            column.push_ip(other(n), &mut scratch, |ip, out| out.push_str(&ip.to_string()));
        }
        assert!(matches!(column, Texts::Coded(_)));
        assert_eq!(rows(column.finish()), (0..3 * PROBE).map(|n| other(n).to_string()).collect::<Vec<_>>());
        // Mostly different ones have no dictionary, as texts have none.
        let many = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        let mut column = Texts::new(3 * PROBE);
        (0..3 * PROBE).for_each(|n| column.push_ip(many(n), &mut scratch, |ip, out| out.push_str(&ip.to_string())));
        assert!(matches!(column, Texts::Plain(_)));
        assert_eq!(rows(column), (0..3 * PROBE).map(|n| many(n).to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_text_is_known_by_its_place_only_if_it_is_kept() {
        let mut scratch = String::new();
        let mut column = Texts::new(3);
        for text in ["one", "two", "two"] {
            scratch.clear();
            scratch.push_str(text);
            column.push(&scratch);
        }
        assert_eq!(rows(column.finish()), ["one", "two", "two"]);
        let mut column = Texts::new(4);
        column.extend_kept(["kept"].into_iter());
        column.push("other");
        column.extend_kept(["kept", ""].into_iter());
        assert_eq!(rows(column.finish()), ["kept", "other", "kept", ""]);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_comes_out(
            // Few letters and lengths round the limits: much is alike at its ends.
            texts in prop::collection::vec("[ab]{0,2}|a[ab]{2,5}|[a-b]{6,10}|a{7}[ab]{0,4}b{7}|[é界]{0,3}", 0..300),
            kept: bool,
        ) {
            prop_assert_eq!(rows(column(texts.iter().map(String::as_str), kept)), texts);
        }
    }
}
