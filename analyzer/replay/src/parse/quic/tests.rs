use super::super::script::{c, hex, lines, play_on, s};
use crate::model::Transport;

// Packets made with another implementation of AES-GCM from the CRYPTO frame of RFC 9001 appendix A.2 (connection id
// 8394c8f03e515708, name example.com, ALPN "alpn"), less padded.

/// Version 1, handshake bytes from 120 on.
const TAIL: &str =
    "c500000001088394c8f03e515708000040a61e14154b46f4699ae3b60758791cbbc05965cdb61ff16104daa51807502bfc87
0eca74634475cf6e4709745d7c1a27eb11f8e076ec016ed433e0b272acd8d88d31441431ab515be4f901cebc6e788d4ede34
41be534bcd1162038d54e51720bb26a484027d1d2dfb7c1955a23ce9cd195f335bf81678ed31f8ce1ccb8d4e470879a1751e
f718eafd73947f175c53352952a4c4ad4915d128c57018e47db566b550c37349b91b";
/// Its first 120 handshake bytes.
const HEAD: &str =
    "c200000001088394c8f03e515708000040a59d32f57d6c7aabfc7f86c2ce0cde9f4fca86b0d44a5e33d3e9cff64faa242fed
8691d71a51df3ac108a4ddace8756834518beb460a0bc7c9921c16447208b603b9c6116ab0ded75d23eca979ee44d8865752
4a4b7798b47a3fe674c4953e8fe3bd601e6d2936968edd87af35584ebed4d9e62d3e1a734e6012e2580e947e990d6f1c8d64
61cd072cdfafe7da45ac60ffa0b76a1994ffe57a4c3ea9a0e79fa9aece3abadfcb";
/// Version 2.
const SECOND: &str =
    "dd6b3343cf088394c8f03e5157080000411e24b35efad4acde2e985e29327cd0eb1954e34791dca89ce8bab87c1d589445ca
c043ee460f3d89d56c678f23f2c671307e6d0b99b80c289cf85f16df66b044a370895534e0a0a54f4af3d49cef3c49bef793
06c13a46d994c0cfab402ea1423c152194c8ece6f45b616283211b3f0e0678ba22d87474d98f9c7896cf7382ee1f9ec7f5d9
95d48e6b272bf2152a2fa41e4ac8d82d6084c31865d5d5fa753354805ed9b421c1885568ee6ae578fb6d5949af1596ed89aa
6a1f50c62e50904fac1e9d91d6354fe3e020c1aaa6104eec9a498a278316ab6bdfe4f5d2b732ab765032787ce3ff6fe02f78
4ec5fcbf6c24b4c8c1e2f62bad4f0760075089b9f02117f1d811b888429f12444a2025f9c3d74923e156c47bb052f6802273
827b37ea";
/// Draft 29.
const DRAFT: &str =
    "c3ff00001d088394c8f03e5157080000411e350e1d72ba8c6038cf9ecf310b7485925d116d99d36877897b95d4abcc20c21c
e61eb3925c8b53a95de6826d31c27eca1259cfb07324f4997f0d85f602d99e9c1e3d624e4bd9ed0fa30fcdb91aee3a1e1529
d6d5c9251ded719ec8750f5a8e8f5483bba65fd48ba5237af6238d6bdaf32d80159685c568c3aa995d937c6718f65edc44b8
a485cd7bcc31db77ad7d66d9356c93d12465c68fa549b52169b3bb9251c0faa446d20be69126ab99b0b8b715a19d45aa2915
6daeb5da5abf89b88e4acef4fb4cbb6d2c21ef228c62cff6cfba8e7098eaf1c23aad70db98587e4b9e1cc6389ddcff6e8490
959b6ad0cbfcdd223a2a66f69af31d816b75ba55829590618d246fcea740da076106e6173b175148b8d99e04ea441ecadb57
8642a636";
/// The server's answer of RFC 9001 appendix A.3.
const SERVER: &str = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3
8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795
d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";
/// CONNECTION_CLOSE with 0x128: alert 40.
const CLOSE: &str = "c3000000010008f067a5502a4262b500401b2152440904d6991ad21b50a703f50ebf24c05c1b02b1d40584a936";

pub(in crate::parse) fn sample() -> Vec<(crate::model::Side, Vec<u8>)> {
    vec![c(hex(TAIL)), c(hex(HEAD)), s(hex(SERVER)), c(hex("4011 2233"))]
}

fn play(script: &[(crate::model::Side, Vec<u8>)]) -> Vec<crate::model::Session> {
    play_on(Transport::Udp, 50000, 4433, script)
}

#[test]
fn pieces_in_any_order_and_the_answer() {
    let sessions = play(&[c(hex(TAIL)), c(hex(HEAD)), s(hex(SERVER)), c(hex("4011 2233"))]);
    assert_eq!(lines(&sessions), ["quic Initial|example.com|example.com|example.com ok 'TLS_AES_128_GCM_SHA256'"]);
    let session = &sessions[0];
    assert_eq!(session.fields.version, "1");
    assert!(session.fields.attributes.contains(&("alpn_offered", "alpn".into())));
    // As in RFC 9001 appendix A: the client has no id, the server's is in A.3.
    assert!(session.fields.attributes.contains(&("dcid", "8394c8f03e515708".into())));
    assert!(session.fields.attributes.contains(&("server_scid", "f067a5502a4262b5".into())));
    assert!(session.fields.attributes.iter().all(|(name, _)| *name != "scid"));
    assert!(session.fields.attributes.iter().any(|(name, value)| *name == "ja4" && value.starts_with("q13d")));
    // From the first datagram of the hello to the answer.
    assert_eq!((session.request_ts, session.response_ts), (Some(0), Some(2_000_000)));
}

#[test]
fn versions() {
    for (packet, version) in [(SECOND, "2"), (DRAFT, "draft-29")] {
        let sessions = play(&[c(hex(packet))]);
        assert_eq!(lines(&sessions), ["quic Initial|example.com|example.com|example.com unknown [ended_after]"]);
        assert_eq!(sessions[0].fields.version, version);
    }
}

#[test]
fn refused_and_negotiated() {
    let sessions = play(&[c([hex(HEAD), hex(TAIL)].concat()), s(hex(CLOSE))]);
    assert_eq!(
        lines(&sessions),
        ["quic Initial|example.com|example.com|example.com server_error 296 'handshake_failure (0x128)'"]
    );
    let offer = hex("80 00000000 00 08 8394c8f03e515708 6b3343cf 00000001");
    let sessions = play(&[c([hex(HEAD), hex(TAIL)].concat()), s(offer), c(hex(SECOND))]);
    assert_eq!(
        lines(&sessions),
        [
            "quic Initial|example.com|example.com|example.com client_error 'version not supported' 'offered 2,1'",
            "quic Initial|example.com|example.com|example.com unknown [ended_after]"
        ]
    );
}

#[test]
fn cut_packets_keep_what_is_there() {
    let mut packet = hex(DRAFT);
    packet.truncate(150);
    let sessions = play(&[c(packet)]);
    assert_eq!(
        lines(&sessions)[0],
        "quic Initial|example.com|example.com|example.com unknown [truncated_payload+ended_after]"
    );
}

#[test]
fn other_datagrams_are_not_taken_for_it() {
    let mut packet = hex(DRAFT);
    packet[40] ^= 1;
    packet[100] ^= 1;
    // Other keys make no sense of it.
    packet[8] ^= 1;
    assert!(play(&[c(packet)]).is_empty());
    assert!(play(&[c(hex("c0 00000002 08 8394c8f03e515708 00 00 41 1e 0011223344556677"))]).is_empty());
}

/// A message of Google's handshake in a STREAM frame of stream 1: values by tag.
fn tags(kind: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let (mut places, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in values {
        data.extend(value.as_bytes());
        places.extend(tag.as_bytes());
        places.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    }
    let count = u16::try_from(values.len()).unwrap().to_le_bytes();
    let message = [kind.as_bytes(), &count, &[0, 0], &places, &data].concat();
    let length = u16::try_from(message.len()).unwrap().to_le_bytes();
    [&[0xa0, 1][..], &length, &message].concat()
}

fn hello() -> Vec<u8> {
    tags("CHLO", &[("PAD\0", "----"), ("SNI\0", "g.example"), ("VER\0", "Q035"), ("UAID", "Chrome/57")])
}

/// A first packet: flags, connection id, version, number, hash, frames; the server's without a version.
pub(in crate::parse) fn google_sample() -> Vec<(crate::model::Side, Vec<u8>)> {
    let id = [7; 8];
    let client = [&[0x0d][..], &id, b"Q035", &[1], &[9; 12], &hello()].concat();
    let rejection = tags("REJ\0", &[("STK\0", "token"), ("SNO\0", "nonce")]);
    let server = [&[0x0c][..], &id, &[1], &[9; 12], &[0x40, 1, 2, 3], &rejection].concat();
    let again = [&[0x0c][..], &id, &[2], &[9; 12], &hello()].concat();
    vec![c(client), s(server), c(again), s([&[0x0c][..], &id, &[2], &[0xaa; 90]].concat())]
}

#[test]
fn versions_of_google() {
    let sessions = play(&google_sample());
    assert_eq!(lines(&sessions), ["quic Initial|g.example|g.example|g.example ok 'REJ'"]);
    let fields = &sessions[0].fields;
    assert_eq!((fields.version, &*fields.user_agent), ("Q035", "Chrome/57"));
    assert_eq!(fields.attributes, [("dcid", "0707070707070707".into())]);
    // Q046 has a head nearly as the standard's: one byte for both lengths (8 and 0), four for the number.
    let long = [&b"\xc3Q046\x50"[..], &[3; 8], &[0, 0, 0, 1], &[9; 12], &hello()].concat();
    let reset = [&[0x0a][..], &[3; 8], b"PRST"].concat();
    let sessions = play(&[c(long), s(reset)]);
    assert_eq!(lines(&sessions), ["quic Initial|g.example|g.example|g.example server_error 'public reset'"]);
    assert_eq!(sessions[0].fields.version, "Q046");
    // Joined after the first packet: the id tells where the connection is another one.
    let other = [&[0x0c][..], &[8; 8], &[5], &[9; 12], &hello()].concat();
    let mut script = google_sample();
    script.push(c(other));
    assert_eq!(play(&script).len(), 2);
}
