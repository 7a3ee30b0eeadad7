//! Rows as bytes: numbers as small as they are, times as distances from the row's own, names that come again once.

use super::texts::Texts;
use crate::model::{Completeness, Nanos};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a row is written to.
pub(crate) struct Writer<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    /// Its texts, one after the other without their lengths, which are among the bytes: what lies there need not be validated again.
    pub(crate) tail: &'a mut String,
    pub(crate) texts: &'a mut Texts,
    /// What times are distances from.
    pub(crate) base: Nanos,
}

/// Where a row is read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its texts.
    pub(crate) tail: &'a str,
    /// Names that come again.
    pub(crate) texts: &'a Texts,
    pub(crate) base: Nanos,
}

/// What can be written into a row and read back: the same value, which may borrow from the row. Reading is total, since rows may have
/// been on a disk.
pub(crate) trait Coded<'a>: Sized {
    /// Writes it.
    fn put(&self, w: &mut Writer<'_>);
    /// Reads it back; `None` if the bytes are not what was written.
    fn get(r: &mut Reader<'a>) -> Option<Self>;
}

/// A struct is its fields, one after the other. A field that is not named here does not compile.
macro_rules! coded {
    ($type:ident $(<$($kind:ident),*>)? { $($field:ident),* $(,)? }) => {
        impl<'a $($(, $kind: $crate::store::code::Coded<'a>)*)?> $crate::store::code::Coded<'a> for $type $(<$($kind),*>)? {
            #[inline]
            fn put(&self, w: &mut $crate::store::code::Writer<'_>) {
                let Self { $($field),* } = self;
                $($crate::store::code::Coded::put($field, w);)*
            }
            #[inline]
            fn get(r: &mut $crate::store::code::Reader<'a>) -> Option<Self> {
                $(let $field = $crate::store::code::Coded::get(r)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}
pub(crate) use coded;

/// An enum without fields is the number of its variant.
macro_rules! coded_enum {
    ($type:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::store::code::Coded<'_> for $type {
            #[inline]
            fn put(&self, w: &mut $crate::store::code::Writer<'_>) {
                w.byte(match self { $(Self::$variant => $number),* });
            }
            #[inline]
            fn get(r: &mut $crate::store::code::Reader<'_>) -> Option<Self> {
                match r.byte()? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use coded_enum;

impl Writer<'_> {
    #[inline]
    pub(crate) fn byte(&mut self, b: u8) {
        self.bytes.push(b);
    }

    /// Seven bits a byte, the lowest first.
    #[inline]
    pub(crate) fn number(&mut self, mut n: u64) {
        if n < 0x80 {
            return self.bytes.push(n as u8);
        }
        let mut coded = [0; 10];
        let mut len = 0;
        for byte in &mut coded {
            *byte = n as u8 | 0x80;
            n >>= 7;
            len += 1;
            if n == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        self.bytes.extend_from_slice(coded.get(..len).unwrap_or_default());
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.tail.push_str(text);
    }
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(n);
            }
        }
        None
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*first)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.tail.split_at_checked(len)?;
        self.tail = rest;
        Some(text)
    }
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl Coded<'_> for $t {
            #[inline]
            fn put(&self, w: &mut Writer<'_>) {
                w.number(u64::from(*self));
            }
            #[inline]
            fn get(r: &mut Reader<'_>) -> Option<Self> {
                Self::try_from(r.number()?).ok()
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

/// A time.
impl Coded<'_> for Nanos {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        let n = self.wrapping_sub(w.base);
        w.number(((n << 1) ^ (n >> 63)).cast_unsigned());
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        let n = r.number()?;
        Some(((n >> 1).cast_signed() ^ -((n & 1).cast_signed())).wrapping_add(r.base))
    }
}

/// A code: small, of either sign.
impl Coded<'_> for i32 {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.number(u64::from(((self << 1) ^ (self >> 31)).cast_unsigned()));
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        let n = u32::try_from(r.number()?).ok()?;
        Some((n >> 1).cast_signed() ^ -((n & 1).cast_signed()))
    }
}

impl Coded<'_> for bool {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.byte(u8::from(*self));
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        Some(r.byte()? == 1)
    }
}

impl<'a, T: Coded<'a>> Coded<'a> for Option<T> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(w);
        }
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        if r.byte()? == 1 { T::get(r).map(Some) } else { Some(None) }
    }
}

impl<'a, T: Coded<'a>> Coded<'a> for Box<T> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        (**self).put(w);
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        T::get(r).map(Box::new)
    }
}

impl<'a, T: Coded<'a>> Coded<'a> for Vec<T> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.number(self.len() as u64);
        for value in self {
            value.put(w);
        }
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        let len = usize::try_from(r.number()?).ok()?;
        // Every element takes a byte at least.
        let mut out = Self::with_capacity(len.min(r.bytes.len()));
        for _ in 0..len {
            out.push(T::get(r)?);
        }
        Some(out)
    }
}

impl<'a, A: Coded<'a>, B: Coded<'a>> Coded<'a> for (A, B) {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        self.0.put(w);
        self.1.put(w);
    }
    #[inline]
    fn get(r: &mut Reader<'a>) -> Option<Self> {
        Some((A::get(r)?, B::get(r)?))
    }
}

impl Coded<'_> for [u8; 6] {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.bytes.extend_from_slice(self);
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        r.array()
    }
}

impl Coded<'_> for IpAddr {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Self::V4(ip) => {
                w.byte(4);
                w.bytes.extend_from_slice(&ip.octets());
            }
            Self::V6(ip) => {
                w.byte(6);
                w.bytes.extend_from_slice(&ip.octets());
            }
        }
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        match r.byte()? {
            4 => r.array::<4>().map(Self::from),
            6 => r.array::<16>().map(Self::from),
            _ => None,
        }
    }
}

impl Coded<'_> for Completeness {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.byte(self.0);
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        r.byte().map(Self)
    }
}

impl Coded<'_> for Box<str> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self);
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        r.text().map(Self::from)
    }
}

impl Coded<'_> for String {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self);
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        r.text().map(Self::from)
    }
}

/// A name of the program's own: its number.
impl Coded<'_> for &'static str {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        let number = w.texts.fixed(self);
        w.number(u64::from(number));
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        let number = r.number()?;
        r.texts.fixed_at(number)
    }
}

impl Coded<'_> for Cow<'static, str> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Self::Borrowed(text) => {
                w.byte(0);
                text.put(w);
            }
            Self::Owned(text) => {
                w.byte(1);
                text.put(w);
            }
        }
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        match r.byte()? {
            0 => Coded::get(r).map(Self::Borrowed),
            1 => Coded::get(r).map(Self::Owned),
            _ => None,
        }
    }
}

/// A name that many rows share: its number.
impl Coded<'_> for Arc<str> {
    #[inline]
    fn put(&self, w: &mut Writer<'_>) {
        let number = w.texts.shared(self);
        w.number(u64::from(number));
    }
    #[inline]
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        let number = r.number()?;
        r.texts.shared_at(number)
    }
}
