//! Packets of the control channel.

use super::super::cursor::Cursor;
use super::super::text::number;
use crate::model::{RequestFields, Side, Status};

/// Lengths of the digests that may sign packets (`--tls-auth`): MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const DIGESTS: [usize; 6] = [16, 20, 28, 32, 48, 64];
/// Packet number and time, which protect signed packets from being played again.
const REPLAY: usize = 8;
/// Opcode and session.
const HEAD: usize = 9;
/// Digest of `--tls-crypt`: HMAC-SHA-256.
const CRYPT: usize = 32;
/// Packets that one may acknowledge.
const ACKS: u8 = 8;

/// Kinds of packets, by the upper five bits of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    ClientReset,
    ServerReset,
    SoftReset,
    Control,
    Ack,
    Data,
}

impl Opcode {
    pub(super) fn of(first: u8) -> Option<Self> {
        Some(match first >> 3 {
            1 | 7 | 10 => Self::ClientReset,
            2 | 8 => Self::ServerReset,
            3 => Self::SoftReset,
            4 | 11 => Self::Control,
            5 => Self::Ack,
            6 | 9 => Self::Data,
            _ => return None,
        })
    }
}

/// How packets of the control channel are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// Signed by a digest of so many bytes; 0: not at all.
    Signed(usize),
    /// Encrypted: nothing behind the session can be read.
    Encrypted,
}

impl Wrapping {
    /// What fits to a packet.
    pub(super) fn of(bytes: &[u8]) -> Self {
        std::iter::once(0)
            .chain(DIGESTS)
            .map(Self::Signed)
            .find(|wrapping| Packet::parse(bytes, *wrapping).is_some_and(|packet| packet.is_plausible()))
            .unwrap_or(Self::Encrypted)
    }
}

/// A packet of the control channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    opcode: Opcode,
    version: u8,
    pub(super) key: u8,
    pub(super) session: u64,
    /// Number among those of its sender, where it is read.
    pub(super) id: Option<u32>,
    pub(super) payload: &'a [u8],
    signed: bool,
    replay: u32,
}

impl<'a> Packet<'a> {
    /// `None`: it is not one of that wrapping.
    pub(super) fn parse(bytes: &'a [u8], wrapping: Wrapping) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        let opcode = Opcode::of(first).filter(|opcode| *opcode != Opcode::Data)?;
        let version = match first >> 3 {
            1 | 2 => 1,
            10 | 11 => 3,
            _ => 2,
        };
        let session = cursor.u64().filter(|session| *session != 0)?;
        let mut packet = Self {
            opcode,
            version,
            key: first & 7,
            session,
            id: None,
            payload: &[],
            signed: wrapping != Wrapping::Signed(0),
            replay: 0,
        };
        let Wrapping::Signed(digest) = wrapping else { return Some(packet) };
        if digest > 0 {
            cursor.take(digest)?;
            packet.replay = Cursor::new(cursor.take(REPLAY)?).u32()?;
        }
        let acks = cursor.u8().filter(|acks| *acks <= ACKS)?;
        cursor.take(usize::from(acks) * 4)?;
        if acks > 0 {
            cursor.u64().filter(|session| *session != 0)?;
        }
        if opcode != Opcode::Ack {
            packet.id = Some(cursor.u32()?);
        }
        packet.payload = cursor.rest();
        Some(packet)
    }

    /// Whether what was read makes sense: numbers begin small, resets carry little, the rest is TLS.
    fn is_plausible(&self) -> bool {
        let replay = !self.signed || (1..1 << 16).contains(&(self.replay & 0x00ff_ffff));
        let payload = match self.opcode {
            Opcode::ClientReset => self.payload.is_empty(),
            Opcode::ServerReset => self.payload.len() <= 32,
            Opcode::Ack => self.payload.is_empty(),
            // A handshake's packets begin with records as long as nothing is cut by numbers that are missing.
            _ => self.payload.is_empty() || matches!(self.payload, [20..=23, 3, 0..=4, ..]),
        };
        let id = match self.opcode {
            Opcode::ClientReset | Opcode::ServerReset | Opcode::SoftReset => self.id == Some(0),
            _ => self.id.is_none_or(|id| id < 1 << 16),
        };
        replay && payload && id
    }
}

/// First bytes that are OpenVPN's.
pub(super) struct Found {
    pub(super) confidence: u8,
    pub(super) from: Side,
}

/// Whether a packet opens a session, or carries a TLS hello; `whole`: it is all there.
pub(super) fn recognise(bytes: &[u8], whole: bool) -> Option<Found> {
    let opcode = Opcode::of(*bytes.first()?)?;
    if !whole {
        return None;
    }
    match (Wrapping::of(bytes), opcode) {
        (Wrapping::Encrypted, Opcode::ClientReset | Opcode::ServerReset) => {
            // Number and time stand in the clear behind the session.
            let mut cursor = Cursor::new(bytes.get(HEAD..)?);
            let (id, time) = (cursor.u32()?, cursor.u32()?);
            let fits = matches!(id, 1 | 0x0f00_0001) && time > 1_000_000_000 && cursor.rest().len() >= CRYPT + 5;
            let from = if opcode == Opcode::ClientReset { Side::Client } else { Side::Server };
            fits.then_some(Found { confidence: 80, from })
        }
        (Wrapping::Signed(_), Opcode::ClientReset) => Some(Found { confidence: 92, from: Side::Client }),
        (Wrapping::Signed(_), Opcode::ServerReset) => Some(Found { confidence: 92, from: Side::Server }),
        (wrapping @ Wrapping::Signed(_), Opcode::Control) => match Packet::parse(bytes, wrapping)?.payload {
            [22, 3, 0..=4, _, _, 1, ..] => Some(Found { confidence: 90, from: Side::Client }),
            [22, 3, 0..=4, _, _, 2, ..] => Some(Found { confidence: 90, from: Side::Server }),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a packet that opens a session may begin so, over TCP.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    match bytes {
        [0, len, first, ..] => {
            usize::from(*len) > HEAD + 4 && matches!(Opcode::of(*first), Some(Opcode::ClientReset)) && first & 7 == 0
        }
        _ => false,
    }
}

/// What a reset says.
pub(super) fn fields(side: Side, packet: &Packet<'_>, wrapping: Wrapping) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "openvpn", ..RequestFields::default() };
    if side == Side::Server {
        fields.status = Status::Ok;
        fields.attributes.push(("server_session", format!("{:016x}", packet.session).into()));
        return fields;
    }
    fields.version = match packet.version {
        1 => "1",
        3 => "3",
        _ => "2",
    };
    fields.request_type = "HardReset".into();
    fields.endpoint = "HardReset".into();
    fields.attributes.push(("session", format!("{:016x}", packet.session).into()));
    match wrapping {
        Wrapping::Signed(0) => {}
        Wrapping::Signed(digest) => fields.attributes.push(("digest_bits", number(digest as u64 * 8))),
        Wrapping::Encrypted => fields.attributes.push(("control_channel", "encrypted".into())),
    }
    fields
}

/// What stands before the acknowledgements of a packet of that wrapping.
#[cfg(test)]
pub(super) fn head_len(digest: usize) -> usize {
    HEAD + if digest > 0 { digest + REPLAY } else { 0 }
}
