use super::super::script::{c, lines, play, play_on, s};
use super::message::head_len;
use crate::model::{Side, Transport};

/// A packet of a control channel signed by `digest` bytes: opcode, session, acknowledged packets and whose they are, number, payload.
fn packet(opcode: u8, session: u8, digest: usize, acks: &[u32], id: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode << 3];
    bytes.extend([session; 8]);
    if digest > 0 {
        bytes.extend(vec![0xa5; digest]);
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(1_700_000_000_u32.to_be_bytes());
    }
    assert_eq!(bytes.len(), head_len(digest));
    bytes.push(u8::try_from(acks.len()).unwrap());
    acks.iter().for_each(|ack| bytes.extend(ack.to_be_bytes()));
    if !acks.is_empty() {
        bytes.extend([session ^ 3; 8]);
    }
    id.into_iter().for_each(|id| bytes.extend(id.to_be_bytes()));
    bytes.extend(payload);
    bytes
}

/// A session: resets, TLS of the sample in pieces of 100 bytes, data.
fn session(digest: usize) -> Vec<(Side, Vec<u8>)> {
    let mut script = vec![c(packet(7, 1, digest, &[], Some(0), &[])), s(packet(8, 2, digest, &[0], Some(0), &[]))];
    script.push(c(packet(5, 1, digest, &[0], None, &[])));
    let mut ids = [1, 1];
    for (side, data) in super::super::tls::tests::sample() {
        for piece in data.chunks(100) {
            let id = &mut ids[side.index()];
            let who = if side == Side::Client { 1 } else { 2 };
            script.push((side, packet(4, who, digest, &[], Some(*id), piece)));
            *id += 1;
        }
    }
    script.push(c([&[0x48, 0, 0, 0][..], &[9; 80]].concat()));
    script
}

pub(in crate::parse) fn datagrams() -> Vec<(Side, Vec<u8>)> {
    session(20)
}

/// Over TCP each packet has its length in front.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let framed = |data: Vec<u8>| [&u16::try_from(data.len()).unwrap().to_be_bytes()[..], &data].concat();
    session(64).into_iter().map(|(side, data)| (side, framed(data))).collect()
}

const ROWS: [&str; 2] =
    ["openvpn HardReset|||HardReset ok", "tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'"];

#[test]
fn a_session_with_every_digest() {
    let rows = [ROWS[0].to_owned(), ROWS[1].to_owned()];
    for digest in [0, 16, 20, 28, 32, 48, 64] {
        let sessions = play_on(Transport::Udp, 40000, 40001, &session(digest));
        assert_eq!(lines(&sessions), rows, "{digest}");
        let attributes = &sessions[0].fields.attributes;
        let bits = (digest * 8).to_string();
        let found = attributes.iter().find(|(name, _)| *name == "digest_bits").map(|(_, bits)| &**bits);
        assert_eq!(found, Some(bits.as_str()).filter(|bits| *bits != "0"));
        assert!(sessions[1].is_tls);
        // The hello's first packet is the fourth of the script.
        assert_eq!(sessions[1].request_ts, Some(3_000_000));
    }
    assert_eq!(lines(&play(&sample())), rows);
}

#[test]
fn packets_that_come_twice_and_in_another_order() {
    let mut script = session(20);
    script.insert(1, script[0].clone());
    let hello = script.iter().position(|(_, data)| data[0] == 0x20).unwrap();
    script.swap(hello, hello + 1);
    script.insert(hello, script[hello].clone());
    let sessions = play_on(Transport::Udp, 40000, 40001, &script);
    assert_eq!(lines(&sessions), [ROWS[0].to_owned(), ROWS[1].to_owned()]);
}

#[test]
fn what_is_encrypted_says_no_more_than_its_head() {
    let encrypted = |opcode: u8, session: u8| {
        let mut bytes = vec![opcode << 3];
        bytes.extend([session; 8]);
        bytes.extend([0x0f, 0, 0, 1]);
        bytes.extend(1_700_000_000_u32.to_be_bytes());
        bytes.extend([0xa5; 37]);
        bytes
    };
    let sessions =
        play_on(Transport::Udp, 40000, 40001, &[c(encrypted(10, 1)), s(encrypted(8, 2)), c(encrypted(4, 1))]);
    assert_eq!(lines(&sessions), ["openvpn HardReset|||HardReset ok"]);
    assert_eq!(sessions[0].fields.version, "3");
    assert!(sessions[0].fields.attributes.contains(&("control_channel", "encrypted".into())));
}
