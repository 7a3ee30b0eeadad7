//! Google's QUIC before the standard, versions Q024 to Q050: the packets' heads, and the messages of its handshake, which are lists of
//! tags ("QUIC Crypto" and "QUIC: A UDP-Based Secure and Reliable Transport", drafts of 2013 to 2016). They are not encrypted until the
//! client knows the server, so that the name is there to be read.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};

/// What a packet says before its frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) version: Option<&'static str>,
    /// Connection id.
    pub(super) id: &'a [u8],
    /// The sender knows nothing of this connection.
    pub(super) reset: bool,
    /// Frames, or what is encrypted.
    pub(super) payload: &'a [u8],
}

/// Number of a version, from 24 on.
fn number(version: u32) -> Option<u8> {
    let [b'Q', b'0', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = version.to_be_bytes() else {
        return None;
    };
    Some((tens - b'0') * 10 + ones - b'0').filter(|number| (24..=50).contains(number))
}

/// A version's name.
pub(super) fn version_name(version: u32) -> Option<&'static str> {
    const NAMES: [&str; 27] = [
        "Q024", "Q025", "Q026", "Q027", "Q028", "Q029", "Q030", "Q031", "Q032", "Q033", "Q034", "Q035", "Q036", "Q037",
        "Q038", "Q039", "Q040", "Q041", "Q042", "Q043", "Q044", "Q045", "Q046", "Q047", "Q048", "Q049", "Q050",
    ];
    NAMES.get(usize::from(number(version)? - 24)).copied()
}

impl<'a> Head<'a> {
    /// `None`: not such a packet. Q050 has heads and keys as the standard has.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        let (version, id) = if first & 0x80 != 0 {
            let version = cursor.u32()?;
            if !matches!(number(version)?, 44..=48) {
                return None;
            }
            // Lengths of both ids, less three.
            let lengths = cursor.u8()?;
            let length = |n: u8| if n == 0 { 0 } else { usize::from(n) + 3 };
            let destination = cursor.take(length(lengths >> 4))?;
            let source = cursor.take(length(lengths & 15))?;
            cursor.take(usize::from(first & 3) + 1)?;
            (version_name(version), if destination.is_empty() { source } else { destination })
        } else {
            if first & 0xc0 != 0 {
                return None;
            }
            let id = if first & 8 != 0 { cursor.take(8)? } else { &[] };
            let version = if first & 1 != 0 { Some(version_name(cursor.u32()?)?) } else { None };
            if first & 2 == 0 {
                let number = [1, 2, 4, 6].get(usize::from(first >> 4 & 3)).copied().unwrap_or(1);
                cursor.take(number)?;
            }
            (version, id)
        };
        let reset = first & 0x82 == 2;
        if !reset {
            // A hash stands where the standard has a tag.
            cursor.take(12)?;
        }
        Some(Self { version, id, reset, payload: cursor.rest() })
    }
}

/// A message of the handshake: values by tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tags<'a> {
    places: &'a [u8],
    values: &'a [u8],
}

/// The client's hello.
pub(super) const HELLO: &[u8; 4] = b"CHLO";
/// The server does not know the client yet.
pub(super) const REJECTION: &[u8; 4] = b"REJ\0";
/// Bytes of frames in front of a message.
const FRAMES: usize = 160;

impl<'a> Tags<'a> {
    /// The message of that kind in the frames of a packet. What stands in front is passed over: acknowledgements, and the head of a
    /// STREAM or CRYPTO frame, whose numbers have another order of bytes in each few versions.
    pub(super) fn find(payload: &'a [u8], kind: &[u8; 4]) -> Option<Self> {
        let window = payload.get(..FRAMES).unwrap_or(payload);
        let at = memchr::memmem::find(window, kind)?;
        let mut cursor = Cursor::new(payload.get(at + 4..)?);
        let count = usize::from(cursor.u16_le()?);
        if !(1..=128).contains(&count) || cursor.u16_le()? != 0 {
            return None;
        }
        let places = cursor.take(count * 8)?;
        // Ends ascend.
        let mut last = 0;
        for place in places.as_chunks::<8>().0 {
            let end = end_of(place);
            if end < last || end > 1 << 16 {
                return None;
            }
            last = end;
        }
        Some(Self { places, values: cursor.rest() })
    }

    fn get(&self, tag: &[u8; 4]) -> Option<&'a [u8]> {
        let mut start = 0;
        for place in self.places.as_chunks::<8>().0 {
            let end = end_of(place) as usize;
            if place.starts_with(tag) {
                return self.values.get(start..end);
            }
            start = end;
        }
        None
    }

    /// Whether the value that names the server is all there.
    pub(super) fn is_whole(&self) -> bool {
        self.places.as_chunks::<8>().0.last().is_some_and(|last| end_of(last) as usize <= self.values.len())
            || self.get(b"SNI\0").is_some()
    }

    /// The client's hello as a request.
    pub(super) fn request(&self, version: &'static str) -> RequestFields {
        let text = |tag| self.get(tag).map_or_else(Box::default, |value| clean_to(value, 255));
        let name = text(b"SNI\0");
        RequestFields {
            l7_protocol: "quic",
            version,
            request_type: "Initial".into(),
            request_domain: name.clone(),
            request_resource: name.clone(),
            endpoint: name,
            user_agent: text(b"UAID"),
            ..RequestFields::default()
        }
    }
}

fn end_of(place: &[u8; 8]) -> u32 {
    let [.., a, b, c, d] = *place;
    u32::from_le_bytes([a, b, c, d])
}

/// The server's first packet as a response.
pub(super) fn response(head: &Head<'_>) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "quic", status: Status::Ok, ..RequestFields::default() };
    if head.reset {
        fields.status = Status::ServerError;
        fields.exception = "public reset".into();
    } else if Tags::find(head.payload, REJECTION).is_some() {
        // It wants to know more, which is how a first handshake goes.
        fields.result = "REJ".into();
    }
    fields
}
