//! The two encodings: loose, where each value tells whether it is there, and tight, where all these bits come first.
//! Either may refer to what was told before by a number.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use crate::model::Side;
use ahash::AHashMap;

/// Most values that are remembered for a direction; peers remember 1024.
const REMEMBERED: usize = 4096;
/// Objects inside of objects that are followed.
const DEPTH: u32 = 4;

/// What a side is able to, as it says at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Format {
    pub(super) version: u32,
    pub(super) tight: bool,
    pub(super) cache: bool,
    pub(super) provider: Box<str>,
    pub(super) provider_version: Box<str>,
}

impl Format {
    /// Behind the kind: magic, version, properties.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut format = Self::default();
        let mut cursor = Cursor::new(body.get(8..).unwrap_or_default());
        format.version = cursor.u32().unwrap_or_default();
        let (_present, _size) = (cursor.u8(), cursor.u32());
        for _ in 0..cursor.u32().unwrap_or_default().min(64) {
            let Some((name, value)) = property(&mut cursor) else { break };
            match (name, value) {
                (b"TightEncodingEnabled", [yes]) => format.tight = *yes != 0,
                (b"CacheEnabled", [yes]) => format.cache = *yes != 0,
                (b"ProviderName", text) => format.provider = clean_to(text, 64),
                (b"ProviderVersion", text) => format.provider_version = clean_to(text, 64),
                _ => {}
            }
        }
        format
    }
}

/// A name and a value of a map of primitive values; the value's bytes.
pub(super) fn property<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let len = cursor.u16()?;
    let name = cursor.take(usize::from(len))?;
    let len = match cursor.u8()? {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 2,
        5 | 8 => 4,
        6 | 7 => 8,
        9 => usize::from(cursor.u16()?),
        10 | 13 => cursor.u32()? as usize,
        _ => return None,
    };
    Some((name, cursor.take(len)?))
}

/// What the sides have agreed on, and what each has told so far.
#[derive(Debug, Default)]
pub(super) struct Formats {
    told: [Option<Format>; 2],
    guessed: Option<bool>,
    remembered: [AHashMap<u16, Box<str>>; 2],
}

impl Formats {
    /// A side says what it is able to.
    pub(super) fn told(&mut self, side: Side, format: Format) {
        if let Some(place) = self.told.get_mut(side.index()) {
            *place = Some(format);
        }
    }

    fn both(&self) -> Option<(&Format, &Format)> {
        match &self.told {
            [Some(client), Some(server)] => Some((client, server)),
            _ => None,
        }
    }

    /// Where their agreement was not seen: the loose encoding starts with the high bytes of a small number.
    pub(super) fn guess(&mut self, body: &[u8]) {
        if self.guessed.is_none() && self.both().is_none() {
            self.guessed = body.first().map(|first| *first != 0);
        }
    }

    fn tight(&self) -> bool {
        self.both().map_or(self.guessed.unwrap_or_default(), |(client, server)| client.tight && server.tight)
    }

    fn cache(&self) -> bool {
        self.both().is_some_and(|(client, server)| client.cache && server.cache)
    }

    /// The lower of both versions.
    pub(super) fn version(&self) -> u32 {
        self.told.iter().flatten().map(|format| format.version).min().unwrap_or_default()
    }

    /// What a side told before is no longer known.
    pub(super) fn forget(&mut self, side: Side) {
        if let Some(remembered) = self.remembered.get_mut(side.index()) {
            remembered.clear();
        }
    }

    /// Reads what `side` sends.
    pub(super) fn reader<'a>(&'a mut self, side: Side, body: &'a [u8]) -> Option<Reader<'a>> {
        let mut cursor = Cursor::new(body);
        let bits = if self.tight() { Some(Bits::read(&mut cursor)?) } else { None };
        let (cache, version) = (self.cache(), self.version());
        let remembered = self.remembered.get_mut(side.index())?;
        Some(Reader { cursor, bits, cache, long_ids: version == 0 || version >= 10, remembered, depth: 0 })
    }
}

/// Bits in front of values, the lowest of each byte first.
#[derive(Debug)]
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let len = match cursor.u8()? {
            0xc0 => usize::from(cursor.u8()?),
            0x80 => usize::from(cursor.u16()?),
            len => usize::from(len),
        };
        Some(Self { bytes: cursor.take(len)?, at: 0 })
    }
}

/// Reads values of either encoding.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    bits: Option<Bits<'a>>,
    cache: bool,
    /// Ids of messages may be texts.
    long_ids: bool,
    remembered: &'a mut AHashMap<u16, Box<str>>,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn boolean(&mut self) -> Option<bool> {
        match &mut self.bits {
            Some(bits) => {
                let byte = *bits.bytes.get(bits.at / 8)?;
                let bit = byte >> (bits.at % 8) & 1;
                bits.at += 1;
                Some(bit != 0)
            }
            None => self.cursor.u8().map(|byte| byte != 0),
        }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.cursor.u8()
    }

    pub(super) fn int(&mut self) -> Option<u32> {
        self.cursor.u32()
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        if self.bits.is_none() {
            return self.cursor.u64();
        }
        match (self.boolean()?, self.boolean()?) {
            (true, true) => self.cursor.u64(),
            (true, false) => self.cursor.u32().map(u64::from),
            (false, true) => self.cursor.u16().map(u64::from),
            (false, false) => Some(0),
        }
    }

    /// Empty if there is none.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        if !self.boolean()? {
            return Some(&[]);
        }
        if self.bits.is_some() {
            // Whether it is plain ASCII.
            self.boolean()?;
        }
        let len = self.cursor.u16()?;
        self.cursor.take(usize::from(len))
    }

    /// Bytes with a size of four bytes, if there are any.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        if !self.boolean()? {
            return Some(&[]);
        }
        let len = self.cursor.u32()?;
        Some(self.cursor.up_to(len as usize))
    }

    /// Class and text of an exception.
    pub(super) fn exception(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if self.boolean()? { Some((self.string()?, self.string()?)) } else { Some((&[], &[])) }
    }

    /// An object inside of this one: the kind of the object, or 0 if there is none.
    pub(super) fn inner(&mut self) -> Option<u8> {
        if self.boolean()? { self.cursor.u8() } else { Some(0) }
    }

    /// Whether a message inside of this one comes as it was sent, which is not followed.
    pub(super) fn is_as_sent(&mut self) -> Option<bool> {
        if self.bits.is_some() { self.boolean() } else { Some(false) }
    }

    /// The name of an object that may have been told before: a destination's, an id's.
    pub(super) fn cached(&mut self) -> Option<Box<str>> {
        if !self.cache {
            return self.object();
        }
        let inline = self.boolean()?;
        let place = self.cursor.u16()?;
        if !inline {
            return Some(self.remembered.get(&place).cloned().unwrap_or_default());
        }
        let name = self.object()?;
        if self.remembered.len() < REMEMBERED || self.remembered.contains_key(&place) {
            self.remembered.insert(place, name.clone());
        }
        Some(name)
    }

    /// The name of an object.
    pub(super) fn object(&mut self) -> Option<Box<str>> {
        let kind = self.inner()?;
        if kind == 0 {
            return Some(Box::default());
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let name = match kind {
            100..=103 | 120 | 124 => clean_to(self.string()?, 256),
            121 => {
                let name = clean_to(self.string()?, 256);
                self.long()?;
                name
            }
            122 | 123 => {
                let name = clean_to(self.string()?, 256);
                self.long()?;
                self.long()?;
                name
            }
            110 => {
                if self.long_ids {
                    self.string()?;
                }
                let name = self.cached()?;
                self.long()?;
                self.long()?;
                name
            }
            111 => {
                self.long()?;
                self.cached()?
            }
            112 => {
                self.int()?;
                self.bytes()?;
                self.bytes()?;
                Box::default()
            }
            _ => return None,
        };
        self.depth -= 1;
        Some(name)
    }
}
