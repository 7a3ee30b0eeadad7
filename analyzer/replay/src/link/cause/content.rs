//! What two requests have in common: ids, keys, values of queries.

use crate::model::Request;
use ahash::AHashMap;
use std::hash::{BuildHasher, Hasher};

/// Tokens of one request.
const MAX_TOKENS: usize = 32;
/// Bytes of one text that are looked at.
const MAX_BYTES: usize = 2048;

/// Requests taken by chance, at most: more make no difference.
const MAX_TAKEN: usize = 1024;

/// A token in this share of all requests or more says nothing.
const COMMON: f32 = 0.25;

/// A hasher that is the same in every run.
pub(super) fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(0x6869, 0x6e64, 0x7369, 0x6768)
}

/// Numbers and words of a request's path, statement, key or name; the whole of it; ids in its headers. Sorted, each once.
pub(super) fn tokens(request: &Request) -> Vec<u64> {
    let state = hasher();
    let number = |part: &[u8]| {
        let mut hash = state.build_hasher();
        hash.write(part);
        hash.finish()
    };
    let mut found = Vec::new();
    let f = &request.fields;
    if f.request_resource.len() > 1 {
        found.push(number(f.request_resource.as_bytes()));
    }
    found
        .extend([&f.trace_id, &f.x_request_id].into_iter().filter(|id| !id.is_empty()).map(|id| number(id.as_bytes())));
    let text = f.request_resource.as_bytes();
    let text = text.get(..text.len().min(MAX_BYTES)).unwrap_or(text);
    for word in text.split(|b| !b.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        found.push(number(word));
        // `n17` holds the number 17; `7f3a9c` is a word, and its 7, 3 and 9 are nobody's ids.
        let mut parts = word.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        if let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) {
            found.extend([first, second].map(number));
        }
        if found.len() >= MAX_TOKENS {
            break;
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// How many requests have each token.
pub(super) struct Tokens {
    counts: AHashMap<u64, u32>,
    all: f32,
}

impl Tokens {
    /// Of the requests that a process answered.
    pub(super) fn new(of: &[Vec<u64>]) -> Self {
        let mut counts: AHashMap<u64, u32> = AHashMap::new();
        for token in of.iter().flatten() {
            *counts.entry(*token).or_default() += 1;
        }
        Self { counts, all: (of.len() as f32).max(1.0) }
    }

    /// How likely it is that one of so many requests, taken by chance, has a token of these that says anything.
    pub(super) fn by_chance(&self, words: &[u64], requests: usize) -> f32 {
        let shares = words.iter().filter_map(|token| self.counts.get(token)).map(|&n| n as f32 / self.all);
        let requests = requests.min(MAX_TAKEN) as i32;
        1.0 - shares.filter(|&share| share < COMMON).map(|share| (1.0 - share).powi(requests)).product::<f32>()
    }

    /// The share of all requests that have the rarest token that both have, if there is one that says anything.
    pub(super) fn rarest(&self, a: &[u64], b: &[u64]) -> Option<f32> {
        a.iter()
            .filter(|token| b.binary_search(token).is_ok())
            .filter_map(|token| self.counts.get(token))
            .map(|&n| n as f32 / self.all)
            .reduce(f32::min)
            .filter(|&share| share < COMMON)
    }
}
