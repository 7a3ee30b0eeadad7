//! OpenVPN's control channel (openvpn-wire-protocol of the OpenVPN project): the resets that open a session are a row, the TLS handshake
//! that follows inside it another. Data packets are encrypted and passed over, and so is a control channel under `tls-crypt`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::inside::Inside;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step, tls};
use crate::model::{Side, Transport};
use message::{Opcode, Packet, Wrapping};
use std::collections::BTreeMap;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "openvpn",
    ports: &[1194],
    timeout: 60_000_000_000,
    detect,
    start: |transport| Box::new(OpenVpn::new(transport)),
};

/// What the control channel carries.
static CARRIED: [&Protocol; 1] = [&tls::PROTOCOL];
/// Packets kept until those before them come.
const EARLY: usize = 16;
/// Longest packet of the control channel that is put together over TCP.
const CONTROL: u64 = 16 * 1024;

fn detect(first: First<'_>) -> Detection {
    let (bytes, whole) = match first.transport {
        Transport::Udp => (first.bytes, true),
        Transport::Tcp => match first.bytes {
            [0] | [0, 14..=255] if !first.whole => return Detection::More,
            [high, low, rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(..len) {
                    Some(packet) => (packet, true),
                    None => (rest, false),
                }
            }
            _ => return Detection::No,
        },
        _ => return Detection::No,
    };
    match message::recognise(bytes, whole) {
        Some(found) => Detection::Yes { confidence: found.confidence, from: Some(found.from) },
        None if !whole && !first.whole && first.bytes.len() < 128 && message::may_begin(first.bytes) => Detection::More,
        None => Detection::No,
    }
}

/// What one side's packets carry, in order.
#[derive(Debug, Default)]
struct Order {
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
}

#[derive(Debug)]
struct OpenVpn {
    datagrams: bool,
    wrapping: Option<Wrapping>,
    /// Sessions that each side has opened: their resets are sent again until they are answered.
    sessions: [Option<u64>; 2],
    key: u8,
    order: [Order; 2],
    tls: Inside,
}

impl OpenVpn {
    fn new(transport: Transport) -> Self {
        Self {
            datagrams: transport == Transport::Udp,
            wrapping: None,
            sessions: [None; 2],
            key: 0,
            order: Default::default(),
            tls: Inside::of(&CARRIED),
        }
    }

    fn packet(&mut self, side: Side, bytes: &[u8], out: &mut Output<'_>) {
        let Some(opcode) = bytes.first().and_then(|first| Opcode::of(*first)) else { return };
        if opcode == Opcode::Data {
            return;
        }
        let wrapping = *self.wrapping.get_or_insert_with(|| Wrapping::of(bytes));
        let Some(packet) = Packet::parse(bytes, wrapping) else { return };
        match opcode {
            Opcode::ClientReset | Opcode::ServerReset => self.reset(side, &packet, wrapping, out),
            Opcode::SoftReset | Opcode::Control => {}
            Opcode::Ack | Opcode::Data => return,
        }
        if packet.key != self.key {
            // Keys are renewed by another handshake.
            (self.key, self.order, self.tls) = (packet.key, Default::default(), Inside::of(&CARRIED));
        }
        let Some(id) = packet.id else { return };
        let order = &mut self.order[side.index()];
        let next = order.next.get_or_insert(id);
        if id.wrapping_sub(*next) < EARLY as u32 {
            order.early.entry(id).or_insert_with(|| packet.payload.to_vec());
        }
        while let Some((next, payload)) = order.next.and_then(|next| Some((next, order.early.remove(&next)?))) {
            order.next = Some(next.wrapping_add(1));
            if !payload.is_empty() {
                self.tls.bytes(side, &payload, false, out);
            }
        }
    }

    /// A session begins, or is begun again.
    fn reset(&mut self, side: Side, packet: &Packet<'_>, wrapping: Wrapping, out: &mut Output<'_>) {
        let known = &mut self.sessions[side.index()];
        if *known == Some(packet.session) {
            return;
        }
        *known = Some(packet.session);
        self.order[side.index()] = Order::default();
        let kind = if side == Side::Client { Kind::Request } else { Kind::Response };
        if side == Side::Client {
            self.tls = Inside::of(&CARRIED);
            self.key = packet.key;
        }
        out.emit(Message::new(kind, message::fields(side, packet, wrapping)).keyed(0));
    }
}

impl Parser for OpenVpn {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.datagrams {
            if input.bytes.first().is_none_or(|first| Opcode::of(*first).is_none()) {
                return Step::Reject("not a packet of OpenVPN");
            }
            self.packet(side, input.bytes, out);
            return Step::Consume(input.bytes.len() as u64);
        }
        let [high, low, rest @ ..] = input.bytes else { return Step::More(3) };
        let Some(opcode) = rest.first() else { return Step::More(3) };
        let len = u16::from_be_bytes([*high, *low]);
        let total = u64::from(len) + 2;
        let Some(opcode) = Opcode::of(*opcode).filter(|_| len > 0) else {
            return Step::Reject("not a packet of OpenVPN");
        };
        if opcode == Opcode::Data || total > CONTROL {
            return Step::Consume(total);
        }
        match rest.get(..usize::from(len)) {
            Some(packet) => self.packet(side, packet, out),
            None if input.cut => self.tls.lost(side, out),
            None => return Step::More(usize::from(len) + 2),
        }
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        match bytes {
            [high, low, first, rest @ ..] if !self.datagrams => {
                usize::from(u16::from_be_bytes([*high, *low])) == rest.len() + 1 && Opcode::of(*first).is_some()
            }
            _ => self.datagrams,
        }
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        if !self.datagrams {
            self.order[side.index()] = Order::default();
            self.tls.lost(side, out);
        }
    }

    fn close(&mut self, out: &mut Output<'_>) {
        self.tls.close(out);
    }
}
