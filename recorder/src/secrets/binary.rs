//! Logins of protocols with binary heads, where a client's password lies at a place that the message itself tells: LDAP, MQTT, AMQP 0-9-1,
//! Kafka, Cassandra, ZooKeeper, TDS (SQL Server). What the head says must fit to the byte, so that nothing else is taken for one. Servers read the head
//! first (mosquitto its first byte, slapd eight, RabbitMQ seven, Kafka the size): the rest is known by itself.

use super::{Kind, Marks};
use std::ops::Range;

/// A payload of which the first of `total` bytes are there. Whether it is a login.
pub(super) fn login(p: &[u8], total: usize, marks: &mut Marks) -> bool {
    let secret = match p.first() {
        Some(0x30) => ldap(p),
        Some(0x10) => mqtt(p).or_else(|| tds(p)),
        Some(1) => amqp(p).or_else(|| ldap_rest(p, total)),
        Some(0) => kafka(p, total)
            .or_else(|| mqtt_connect(p, 0, total))
            .or_else(|| amqp_method(p, 0))
            .or_else(|| kafka_request(p, 0, total))
            .or_else(|| zookeeper(p, 4).filter(|secret| secret.end == total)),
        Some(3..=5) => cassandra(p, total),
        Some(0xff) => zookeeper(p, 0).or_else(|| ldap_rest(p, total)),
        Some(2 | 0x80..) => ldap_rest(p, total),
        _ => None,
    };
    let Some(secret) = secret else { return false };
    // What was captured may end before it.
    marks.add(Kind::BinaryLogin, secret.start.min(p.len())..secret.end.min(p.len()));
    true
}

fn u16_at(p: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*p.get(at..)?.first_chunk()?)))
}

fn u32_at(p: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*p.get(at..)?.first_chunk()?)).ok()
}

/// A BER length (X.690, 8.1.3) of up to four bytes; moves `at` behind it.
fn ber(p: &[u8], at: &mut usize) -> Option<usize> {
    let first = usize::from(*p.get(*at)?);
    *at += 1;
    if first < 0x80 {
        return Some(first);
    }
    let n = first & 0x7f;
    let mut len = 0;
    for byte in p.get(*at..*at + n).filter(|_| (1..=4).contains(&n))? {
        len = len << 8 | usize::from(*byte);
    }
    *at += n;
    Some(len)
}

/// `LDAPMessage { messageID, BindRequest { version, name, simple or sasl } }` (RFC 4511, 4.2).
fn ldap(p: &[u8]) -> Option<Range<usize>> {
    let mut at = 1;
    ber(p, &mut at)?;
    let id = usize::from(*p.get(at + 1).filter(|_| p.get(at) == Some(&2))?);
    at += 2 + id.min(5);
    if p.get(at) != Some(&0x60) {
        return None;
    }
    at += 1;
    ber(p, &mut at)?;
    bind(p, at + 1).filter(|_| p.get(at..at + 2) == Some(&[2, 1]))
}

/// From the version's value on.
fn bind(p: &[u8], mut at: usize) -> Option<Range<usize>> {
    if !matches!(p.get(at..at + 3)?, [1, 2 | 3, 4]) {
        return None;
    }
    at += 3;
    let name = ber(p, &mut at)?;
    at += name;
    let choice = *p.get(at)?;
    at += 1;
    let len = ber(p, &mut at)?;
    match choice {
        0x80 => Some(at..at + len),
        // SASL: the mechanism stays.
        0xa3 if p.get(at) == Some(&4) => {
            let end = at + len;
            at += 1;
            let mechanism = ber(p, &mut at)?;
            Some(at + mechanism..end)
        }
        _ => None,
    }
}

/// A bind of which the first eight bytes were read before: it ends with the secret, or with controls (0xa0) behind it.
fn ldap_rest(p: &[u8], total: usize) -> Option<Range<usize>> {
    let ends = |secret: &Range<usize>| secret.end == total || p.get(secret.end) == Some(&0xa0);
    (0..10).find_map(|at| bind(p, at)).filter(ends)
}

/// CONNECT (MQTT 3.1.1 and 5, 3.1): the password is the last field.
fn mqtt(p: &[u8]) -> Option<Range<usize>> {
    let mut at = 1;
    let rest = variable(p, &mut at)?;
    mqtt_connect(p, at, at + rest)
}

fn mqtt_connect(p: &[u8], mut at: usize, end: usize) -> Option<Range<usize>> {
    let name = p.get(at..at + 2 + u16_at(p, at)?)?;
    if !matches!(name.get(2..), Some(b"MQTT" | b"MQIsdp")) {
        return None;
    }
    at += name.len();
    let (version, flags) = (*p.get(at)?, *p.get(at + 1)?);
    at += 4;
    let properties = |at: &mut usize| -> Option<()> {
        if version >= 5 {
            let len = variable(p, at)?;
            *at += len;
        }
        Some(())
    };
    let field = |at: &mut usize| -> Option<()> {
        *at += 2 + u16_at(p, *at)?;
        Some(())
    };
    if flags & 0x40 == 0 {
        return None;
    }
    properties(&mut at)?;
    field(&mut at)?;
    if flags & 4 != 0 {
        properties(&mut at)?;
        field(&mut at)?;
        field(&mut at)?;
    }
    if flags & 0x80 != 0 {
        field(&mut at)?;
    }
    let len = u16_at(p, at)?;
    Some(at + 2..(at + 2 + len).min(end))
}

/// A number in groups of seven bits, the lowest first.
fn variable(p: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*p.get(*at)?);
        *at += 1;
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Method frames `connection.start-ok` (10, 11), whose response PLAIN fills with user and password, and `secure-ok` (10, 21).
fn amqp(p: &[u8]) -> Option<Range<usize>> {
    amqp_method(p, 7).filter(|_| p.get(1..3) == Some(&[0, 0]))
}

fn amqp_method(p: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from + 4;
    match p.get(from..at)? {
        [0, 10, 0, 11] => {
            at += 4 + u32_at(p, at)?;
            at += 1 + usize::from(*p.get(at)?);
        }
        [0, 10, 0, 21] => {}
        _ => return None,
    }
    let len = u32_at(p, at)?;
    Some(at + 4..at + 4 + len)
}

/// `SaslAuthenticate` (36): size, key, version, correlation, client id, the mechanism's bytes.
fn kafka(p: &[u8], total: usize) -> Option<Range<usize>> {
    kafka_request(p, 4, total).filter(|_| u32_at(p, 0).is_some_and(|size| size + 4 == total))
}

fn kafka_request(p: &[u8], from: usize, total: usize) -> Option<Range<usize>> {
    if u16_at(p, from)? != 36 || u16_at(p, from + 2)? > 9 {
        return None;
    }
    let client = u16_at(p, from + 8)?;
    let name = from + 10..from + 10 + if client == 0xffff { 0 } else { client };
    let at = name.end;
    (p.get(name)?.iter().all(u8::is_ascii_graphic) && at < total).then_some(at..total)
}

/// ZooKeeper's `auth` (operation 100, number -4): a kind, a scheme, what proves it.
fn zookeeper(p: &[u8], from: usize) -> Option<Range<usize>> {
    if p.get(from..from + 8)? != [0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 100] {
        return None;
    }
    let at = from + 16 + u32_at(p, from + 12).filter(|scheme| *scheme <= 64)?;
    Some(at + 4..at + 4 + u32_at(p, at)?.min(1 << 20))
}

/// `AUTH_RESPONSE` (0x0f) of versions 3 to 5.
fn cassandra(p: &[u8], total: usize) -> Option<Range<usize>> {
    let fits = p.get(4) == Some(&0x0f) && u32_at(p, 5)? + 9 == total;
    fits.then_some(9..total)
}

/// `LOGIN7` (MS-TDS 2.2.6.4): passwords are told by offset and length in characters of two bytes; they are not encrypted.
fn tds(p: &[u8]) -> Option<Range<usize>> {
    let little = |at: usize| Some(usize::from(u16::from_le_bytes(*p.get(at..)?.first_chunk()?)));
    // Type, status (first or last packet), length; behind this head its own length and the version 7.x.
    let is_login = matches!(p.get(1), Some(0 | 1)) && u16_at(p, 2)? >= 94 && p.get(15).is_some_and(|v| v >> 4 == 7);
    let (at, len) = (8 + little(8 + 44)?, 2 * little(8 + 46)?);
    (is_login && at >= 94 - 8).then_some(at..at + len)
}
