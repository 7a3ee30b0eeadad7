//! Kinds of requests: what a program asks for again and again, whatever the ids.
//!
//! The endpoint will not do: of `/orders/17` it is the whole path, and Redis has none. So a kind is what stays of a resource when the words that hold
//! digits, and those that are rare, are left out: `/orders/17?user=bob` is `orders * user *`.

use super::content::hasher;
use crate::model::Request;
use ahash::AHashMap;
use std::hash::{BuildHasher, Hasher};

/// Kinds that are told apart, per process and side; the rarest are one.
const MAX_KINDS: usize = 60;
/// Bytes of one resource that are looked at.
const MAX_BYTES: usize = 512;
/// A word in fewer requests is somebody's name.
const FEW: u32 = 3;
/// In a long recording: in fewer than one of so many.
const FEW_OF: u32 = 400;

/// The kinds of the requests of a process on one side.
pub(super) struct Kinds {
    words: AHashMap<u64, u32>,
    few: u32,
    /// By what stays of a request.
    numbers: AHashMap<u64, u16>,
    len: usize,
}

/// The words of a request that can be part of its kind; `None` for those with digits.
fn words(request: &Request) -> impl Iterator<Item = Option<&[u8]>> {
    let f = &request.fields;
    let text = if f.request_resource.is_empty() { &f.endpoint } else { &f.request_resource };
    let text = text.as_bytes();
    text.get(..text.len().min(MAX_BYTES))
        .unwrap_or(text)
        .split(|b| !b.is_ascii_alphanumeric() && *b < 0x80)
        .filter(|word| !word.is_empty())
        .map(|word| (!word.iter().any(u8::is_ascii_digit)).then_some(word))
}

fn number(word: &[u8]) -> u64 {
    let mut hash = hasher().build_hasher();
    hash.write(word);
    hash.finish()
}

impl Kinds {
    /// Of all requests of one side.
    pub(super) fn new<'r>(requests: impl Iterator<Item = &'r Request> + Clone) -> Self {
        let mut kinds = Self { words: AHashMap::new(), few: FEW, numbers: AHashMap::new(), len: 0 };
        let mut all: u32 = 0;
        for request in requests.clone() {
            all = all.saturating_add(1);
            for word in words(request).flatten() {
                *kinds.words.entry(number(word)).or_default() += 1;
            }
        }
        kinds.few = FEW.max(all / FEW_OF);
        // How often each comes, and when first.
        let mut seen: AHashMap<u64, (u32, usize)> = AHashMap::new();
        for (i, request) in requests.enumerate() {
            seen.entry(kinds.rest(request)).or_insert((0, i)).0 += 1;
        }
        let mut by_count: Vec<(u64, (u32, usize))> = seen.into_iter().collect();
        by_count.sort_unstable_by_key(|(_, (n, first))| (u32::MAX - n, *first));
        kinds.len = by_count.len().min(MAX_KINDS + 1);
        kinds.numbers = (0u16..).zip(by_count.into_iter().take(MAX_KINDS)).map(|(i, (rest, _))| (rest, i)).collect();
        kinds
    }

    /// What stays of a request.
    fn rest(&self, request: &Request) -> u64 {
        let f = &request.fields;
        let mut hash = hasher().build_hasher();
        for text in [f.l7_protocol, &f.request_type] {
            hash.write(text.as_bytes());
            hash.write_u8(0xff);
        }
        hash.write_u16(request.endpoints.server_port);
        let mut left_out = false;
        for word in words(request) {
            let kept = word.map(number).filter(|word| self.words.get(word).is_some_and(|&n| n >= self.few));
            match kept {
                Some(word) => hash.write_u64(word),
                None if left_out => {}
                None => hash.write_u8(b'*'),
            }
            left_out = kept.is_none();
        }
        hash.finish()
    }

    /// The kind of one of these requests.
    pub(super) fn of(&self, request: &Request) -> u16 {
        self.numbers.get(&self.rest(request)).copied().unwrap_or(MAX_KINDS as u16)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
