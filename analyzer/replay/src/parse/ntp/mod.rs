//! NTP (RFC 5905): questions for the time and answers, paired by the time stamp that the answer repeats.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};

/// Line in the registry. Little in a packet is fixed, so that it is believed at its port only.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "ntp", ports: &[123], timeout: 15_000_000_000, detect, start: |_| Box::new(Ntp) };

/// Bytes of a packet without extensions.
const PACKET: usize = 48;

fn detect(first: First<'_>) -> Detection {
    if first.transport != Transport::Udp {
        return Detection::No;
    }
    match Packet::parse(first.bytes) {
        Some(packet) => {
            let from = match packet.mode {
                3 => Some(Side::Client),
                4 => Some(Side::Server),
                _ => None,
            };
            Detection::Yes { confidence: 40, from }
        }
        None => Detection::No,
    }
}

/// What of a packet matters.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    version: u8,
    mode: u8,
    stratum: u8,
    reference: &'a [u8],
    origin: u64,
    transmitted: u64,
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (first, stratum, _poll, _precision) = (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
        cursor.take(8)?;
        let reference = cursor.take(4)?;
        cursor.take(8)?;
        let (origin, _received, transmitted) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let (version, mode) = (first >> 3 & 7, first & 7);
        let fits = matches!(version, 1..=4) && matches!(mode, 1..=5) && stratum <= 16 && bytes.len().is_multiple_of(4);
        fits.then_some(Self { version, mode, stratum, reference, origin, transmitted })
    }
}

#[derive(Debug)]
struct Ntp;

impl Parser for Ntp {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(packet) = Packet::parse(input.bytes.get(..PACKET).unwrap_or(input.bytes)) else {
            return Step::Reject("not a packet of NTP");
        };
        let mut fields = RequestFields {
            l7_protocol: "ntp",
            version: ["", "1", "2", "3", "4"].get(usize::from(packet.version)).copied().unwrap_or_default(),
            ..RequestFields::default()
        };
        let mode = ["", "symmetric", "symmetric_passive", "client", "server", "broadcast"];
        let mode = mode.get(usize::from(packet.mode)).copied().unwrap_or_default();
        let message = match packet.mode {
            4 => {
                fields.status = Status::Ok;
                fields.result = format!("stratum {}", packet.stratum).into();
                if packet.stratum == 0 {
                    // A kiss of death (section 7.4): the reference says why.
                    fields.status = Status::ServerError;
                    fields.exception = super::text::clean_to(packet.reference, 4);
                }
                Message::new(Kind::Response, fields).keyed(packet.origin)
            }
            3 => {
                fields.request_type = mode.into();
                Message::new(Kind::Request, fields).keyed(packet.transmitted)
            }
            _ => {
                fields.request_type = mode.into();
                Message::new(Kind::OneWay, fields)
            }
        };
        out.emit(message);
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
