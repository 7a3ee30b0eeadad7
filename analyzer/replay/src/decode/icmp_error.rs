//! ICMP errors (RFC 792, RFC 4443): each quotes the packet that it is about.
//!
//! Beside the message itself decoding gives a notice for the conversation of the quoted packet, so that it is told what became of it.

use super::internet::Ip;
use super::{Decoded, Walk};
use crate::order::MAPPED;

/// IPv6 extension headers of a quoted packet that are passed over.
const MAX_EXTENSIONS: usize = 8;

/// Whether a message of this type quotes a packet. An ICMPv6 redirect does so in an option, and is left out.
pub(super) fn is_error(protocol: u8, kind: u8) -> bool {
    matches!((protocol, kind), (1, 3 | 4 | 5 | 11 | 12) | (58, 1..=4))
}

/// What an error says, by version, type and code.
pub(crate) fn name(six: bool, kind: u8, code: u8) -> &'static str {
    match (six, kind, code) {
        (false, 3, 0 | 6 | 8 | 11) => "net unreachable",
        (false, 3, 1 | 7 | 12) | (true, 1, 3) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 5) => "source route failed",
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => "administratively prohibited",
        (false, 3, _) | (true, 1, _) if !(six && code == 0) => "destination unreachable",
        (true, 1, _) => "no route",
        (false, 4, _) => "source quench",
        (false, 5, _) => "redirect",
        (false, 11, 1) | (true, 3, 1) => "reassembly time exceeded",
        (false, 11, _) => "time to live exceeded",
        (true, 3, _) => "hop limit exceeded",
        (true, 2, _) => "packet too big",
        _ => "parameter problem",
    }
}

/// Whether the quoted packet did not get to where it was sent.
pub(crate) fn is_undelivered(six: bool, kind: u8) -> bool {
    six || !matches!(kind, 4 | 5)
}

/// The same as it stands in a request that was not delivered.
pub(crate) fn exception(six: bool, kind: u8, code: u8) -> &'static str {
    match name(six, kind, code) {
        "net unreachable" => "ICMP net unreachable",
        "host unreachable" => "ICMP host unreachable",
        "protocol unreachable" => "ICMP protocol unreachable",
        "port unreachable" => "ICMP port unreachable",
        "fragmentation needed" => "ICMP fragmentation needed",
        "administratively prohibited" => "ICMP administratively prohibited",
        "no route" => "ICMP no route",
        "reassembly time exceeded" => "ICMP reassembly time exceeded",
        "time to live exceeded" => "ICMP time to live exceeded",
        "hop limit exceeded" => "ICMP hop limit exceeded",
        "packet too big" => "ICMP packet too big",
        "parameter problem" => "ICMP parameter problem",
        _ => "ICMP destination unreachable",
    }
}

/// Who sent the error that a notice tells of.
pub(crate) fn sender(d: &Decoded, frame: &[u8]) -> Option<std::net::IpAddr> {
    let header = frame.get(d.options_at as usize..)?;
    if header.first()? >> 4 == 4 {
        return header.get(12..16)?.first_chunk::<4>().map(|a| (*a).into());
    }
    header.get(8..24)?.first_chunk::<16>().map(|a| (*a).into())
}

/// A quoted packet: ends, protocol, and where its transport header starts.
struct Quoted {
    src: u128,
    dst: u128,
    protocol: u8,
    body_at: usize,
}

impl Walk<'_, '_> {
    /// The message of this type and code, in the packet `ip`, as a notice to the conversation of what it quotes.
    #[cold]
    pub(super) fn notice(&mut self, protocol: u8, ip: &Ip, kind: u8, code: u8) {
        let at = ip.body_at + 8;
        let quoted = if protocol == 1 { self.quoted_v4(at) } else { self.quoted_v6(at) };
        let Some(Quoted { src, dst, protocol: inner, body_at }) = quoted else { return };
        let mut d = Decoded {
            src,
            dst,
            ip_len: ip.len,
            protocol: inner,
            cut_header: true,
            notice: u16::from(kind) << 8 | u16::from(code),
            options_at: ip.at as u32,
            ..Decoded::default()
        };
        match inner {
            6 | 17 | 132 => {
                let (Ok(from), Ok(to)) = (self.be16(body_at), self.be16(body_at + 2)) else { return };
                (d.src_port, d.dst_port) = (from, to);
            }
            1 | 58 => {
                let Ok([kind, code]) = self.bytes::<2>(body_at) else { return };
                d.src_port = u16::from(*kind);
                d.dst_port = u16::from(super::transport::counterpart(inner, *kind).unwrap_or(*code));
                if let Ok([.., a, b, c, e]) = self.bytes::<8>(body_at) {
                    d.seq = u32::from_be_bytes([*a, *b, *c, *e]);
                }
            }
            _ => {}
        }
        // The largest packet that the next link takes (RFC 1191, 4; RFC 4443, 3.2).
        if let Ok(b) = self.bytes::<8>(ip.body_at) {
            d.ack = match (protocol, kind, code) {
                (1, 3, 4) => u32::from(u16::from_be_bytes([b[6], b[7]])),
                (58, 2, _) => u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
                _ => 0,
            };
        }
        self.push(d);
    }

    fn quoted_v4(&self, at: usize) -> Option<Quoted> {
        let b = self.bytes::<20>(at).ok()?;
        let header = usize::from(b[0] & 15) * 4;
        // A later fragment has no ports.
        if b[0] >> 4 != 4 || header < 20 || u16::from_be_bytes([b[6], b[7]]) & 0x1fff != 0 {
            return None;
        }
        let address = |a: [u8; 4]| MAPPED | u128::from(u32::from_be_bytes(a));
        Some(Quoted {
            src: address([b[12], b[13], b[14], b[15]]),
            dst: address([b[16], b[17], b[18], b[19]]),
            protocol: b[9],
            body_at: at + header,
        })
    }

    fn quoted_v6(&self, at: usize) -> Option<Quoted> {
        let b = self.bytes::<40>(at).ok()?;
        if b[0] >> 4 != 6 {
            return None;
        }
        let number = |range: &[u8]| range.iter().fold(0u128, |n, &byte| n << 8 | u128::from(byte));
        let (mut protocol, mut body_at) = (b[6], at + 40);
        for _ in 0..MAX_EXTENSIONS {
            let len = match protocol {
                0 | 43 | 60 => (usize::from(self.bytes::<2>(body_at).ok()?[1]) + 1) * 8,
                44 if self.be16(body_at + 2).ok()? & 0xfff8 != 0 => return None,
                44 => 8,
                _ => break,
            };
            protocol = self.bytes::<1>(body_at).ok()?[0];
            body_at += len;
        }
        Some(Quoted { src: number(&b[8..24]), dst: number(&b[24..40]), protocol, body_at })
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::{Frame, Output, decode};
    use crate::flow::{FlowTable, Settings};
    use crate::model::{Flow, Request, RequestFields, Side, Status};

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 0, 2];
    const ROUTER: [u8; 4] = [10, 0, 0, 9];

    /// An IPv4 packet (RFC 791).
    fn ip(src: [u8; 4], dst: [u8; 4], protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45, 0];
        p.extend((20 + body.len() as u16).to_be_bytes());
        p.extend([0, 7, 0, 0, 64, protocol, 0, 0]);
        p.extend(src.into_iter().chain(dst));
        p.extend(body);
        p
    }

    /// An IPv6 packet (RFC 8200) between `fd00::n`.
    fn ip6(src: u8, dst: u8, next: u8, body: &[u8]) -> Vec<u8> {
        let mut p = vec![0x60, 0, 0, 0];
        p.extend((body.len() as u16).to_be_bytes());
        p.extend([next, 64]);
        for n in [src, dst] {
            p.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
        }
        p.extend(body);
        p
    }

    fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
        let mut p = from.to_be_bytes().to_vec();
        p.extend(to.to_be_bytes());
        p.extend((8 + payload.len() as u16).to_be_bytes());
        p.extend([0, 0]);
        p.extend(payload);
        p
    }

    /// A question for the address of `a.b`, or its answer (RFC 1035).
    fn dns(answers: bool) -> Vec<u8> {
        let mut p =
            vec![0, 9, if answers { 0x81 } else { 1 }, if answers { 0x80 } else { 0 }, 0, 1, 0, u8::from(answers)];
        p.extend([0, 0, 0, 0, 1, b'a', 1, b'b', 0, 0, 1, 0, 1]);
        if answers {
            p.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]);
        }
        p
    }

    fn icmp(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
        [&[kind, code, 0, 0][..], &rest, quoted].concat()
    }

    fn run(packets: &[Vec<u8>]) -> (Vec<Flow>, Vec<Request<Box<RequestFields>>>) {
        let mut table = FlowTable::default();
        let settings = Settings { max_flows: 8, parse: true, ..Settings::default() };
        for (n, bytes) in packets.iter().enumerate() {
            let mut out = Output::default();
            let ts = (n as i64 + 1) * 1000;
            let wire_len = bytes.len() as u32;
            decode(&Frame { bytes, wire_len, ts, interface: 0, link_type: 101, index: 0, packets: 1 }, &mut out);
            out.packets.iter().for_each(|d| table.packet(d, bytes, &out.tunnels, &settings));
        }
        table.finish(1_000_000, &settings);
        (table.finished.flows, table.finished.requests)
    }

    #[test]
    fn a_refused_question_has_failed() {
        let question = ip(CLIENT, SERVER, 17, &udp(4000, 53, &dns(false)));
        let refused = ip(SERVER, CLIENT, 1, &icmp(3, 3, [0; 4], &question));
        let (flows, requests) = run(&[question.clone(), refused.clone(), refused.clone()]);
        let told = flows.iter().find_map(|f| f.icmp_errors.as_deref().filter(|_| f.transport.name() == "udp")).unwrap();
        assert_eq!((told.count, told.ts, told.side, told.name()), (2, 2000, Side::Client, "port unreachable"));
        assert_eq!((told.from.to_string(), told.mtu), ("10.0.0.2".into(), None));
        let dns_of = |r: &[Request<Box<RequestFields>>]| {
            let f = &r.iter().find(|r| r.session.fields.l7_protocol == "dns").unwrap().session.fields;
            (f.status, f.exception.to_string())
        };
        assert_eq!(dns_of(&requests), (Status::ServerError, "ICMP port unreachable".into()));
        // An answer comes after all: to another datagram with the same words, or another server of the same address.
        let answer = ip(SERVER, CLIENT, 17, &udp(53, 4000, &dns(true)));
        let (_, requests) = run(&[question.clone(), refused, answer]);
        assert_eq!(dns_of(&requests), (Status::Ok, String::new()));
        // A redirect says that it was passed on.
        let (flows, requests) = run(&[question.clone(), ip(ROUTER, CLIENT, 1, &icmp(5, 1, ROUTER, &question))]);
        assert_eq!(flows[0].icmp_errors.as_deref().map(|e| (e.count, e.name())), Some((1, "redirect")));
        assert_ne!(dns_of(&requests).0, Status::ServerError);
    }

    #[test]
    fn path_mtu_is_told() {
        let data = ip(
            SERVER,
            CLIENT,
            6,
            &[&[0, 80, 15, 160, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 16, 0, 9, 0, 0, 0, 0][..], b"x"].concat(),
        );
        // Eight bytes of the transport header are all that RFC 792 promises.
        let needed = ip(ROUTER, SERVER, 1, &icmp(3, 4, [0, 0, 5, 80], &data[..28]));
        let (flows, _) = run(&[data, needed]);
        let told = flows.iter().find(|f| f.transport.name() == "tcp").unwrap().icmp_errors.as_deref().unwrap();
        assert_eq!((told.name(), told.mtu, told.side), ("fragmentation needed", Some(1360), Side::Server));
        assert_eq!(told.from.to_string(), "10.0.0.9");
        let data = ip6(1, 2, 60, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp(4000, 9, b"x")].concat());
        let big = ip6(9, 1, 58, &icmp(2, 0, [0, 0, 5, 0], &data));
        let (flows, _) = run(&[data, big]);
        let told = flows.iter().find(|f| f.transport.name() == "udp").unwrap().icmp_errors.as_deref().unwrap();
        assert_eq!((told.name(), told.mtu, told.from.to_string()), ("packet too big", Some(1280), "fd00::9".into()));
    }

    #[test]
    fn whatever_is_cut_or_unknown_is_left_alone() {
        let question = ip(CLIENT, SERVER, 17, &udp(4000, 53, &dns(false)));
        for len in 0..24 {
            let (flows, _) = run(&[question.clone(), ip(SERVER, CLIENT, 1, &icmp(3, 3, [0; 4], &question[..len]))]);
            assert!(flows.iter().all(|f| f.icmp_errors.is_none()), "{len}");
        }
        let later = {
            let mut q = question.clone();
            q[7] = 2;
            q
        };
        let other = ip(CLIENT, SERVER, 17, &udp(4001, 53, &dns(false)));
        for quoted in [later, other] {
            let (flows, _) = run(&[question.clone(), ip(SERVER, CLIENT, 1, &icmp(3, 3, [0; 4], &quoted))]);
            assert!(flows.iter().all(|f| f.icmp_errors.is_none()));
            assert_eq!(flows.len(), 2, "nothing is opened by a quote");
        }
    }
}
