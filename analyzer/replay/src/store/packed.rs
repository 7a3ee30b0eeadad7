//! What a request says, where it lies in its packed row: read for a moment, it needs no memory of its own.

use super::code::{Coded, Reader, Writer};
use crate::model::{Attributes, Fields};
use std::ops::Deref;

/// A text in a packed row.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackedText<'a>(&'a str);

impl Deref for PackedText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl<'a> Coded<'a> for PackedText<'a> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self.0);
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        r.text().map(Self)
    }
}

/// Attributes in a packed row.
#[derive(Clone, Copy, Debug)]
pub struct PackedPairs<'a> {
    left: u64,
    from: Reader<'a>,
}

type Pair<'a> = (&'static str, PackedText<'a>);

impl Attributes for PackedPairs<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { mut left, mut from } = *self;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (name, PackedText(value)) = Pair::get(&mut from)?;
            Some((name, value))
        })
    }
}

/// As a vector of pairs.
impl<'a> Coded<'a> for PackedPairs<'a> {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(self.left);
        self.pairs().for_each(|(name, value)| (name, PackedText(value)).put(w));
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        let left = r.number()?;
        let from = *r;
        for _ in 0..left {
            Pair::get(r)?;
        }
        Some(Self { left, from })
    }
}

/// What a packed request says.
#[derive(Clone, Debug)]
pub struct PackedFields<'a>(Fields<PackedText<'a>, PackedPairs<'a>>);

impl<'a> Deref for PackedFields<'a> {
    type Target = Fields<PackedText<'a>, PackedPairs<'a>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// As [`Fields`] that have their texts themselves.
impl<'a> Coded<'a> for PackedFields<'a> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        self.0.put(w);
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        Coded::get(r).map(Self)
    }
}
