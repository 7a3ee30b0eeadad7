//! Captures made here, packet by packet, so that every value in the tables can be worked out by hand.

use formats::block::kind;
use formats::manifest::{Hook, Manifest, Summary};
use formats::pcapng::{InterfaceDesc, SectionInfo};
use formats::write::{BundleFile, FrameBuilder};

/// Start of all captures: 2026-11-23T04:00:00Z.
pub(crate) const START: u64 = 1_795_406_400_000_000_000;
const MS: u64 = 1_000_000;

/// A packet: time in ns since the epoch, frame.
pub(crate) type Packet = (u64, Vec<u8>);

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

/// One Ethernet frame with a TCP segment over IPv4. Checksums are 0, as of a sender that leaves them to its card.
fn segment(from_client: bool, client_port: u16, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (source, target) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let ports = if from_client { [client_port, 80] } else { [80, client_port] };
    let mut f = Vec::new();
    f.extend([2, 0, 0, 0, 0, target[3], 2, 0, 0, 0, 0, source[3], 8, 0]);
    f.extend([0x45, 0]);
    f.extend((40 + payload.len() as u16).to_be_bytes());
    f.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    f.extend(source);
    f.extend(target);
    for port in ports {
        f.extend(port.to_be_bytes());
    }
    f.extend(seq.to_be_bytes());
    f.extend(ack.to_be_bytes());
    f.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    f.extend(payload);
    f
}

/// `connections` connections from 10.0.0.1 (ports 40000 and up) to 10.0.0.2:80, one every 10 ms. In each, the handshake takes
/// 2 ms (SYN-ACK after 1), the request `GET /shop/items/N` follows at 3 ms, the answer at 5 ms (404 for every third, else 200, with two
/// bytes of body), and both sides close.
pub(crate) fn http(connections: u16) -> Vec<Packet> {
    let mut out = Vec::new();
    for n in 0..connections {
        let port = 40_000 + n;
        let request = format!("GET /shop/items/{n} HTTP/1.1\r\nHost: shop.example\r\n\r\n").into_bytes();
        let status = if n % 3 == 2 { "404 Not Found" } else { "200 OK" };
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").into_bytes();
        let (asked, answered) = (1_001 + request.len() as u32, 5_001 + response.len() as u32);
        let mut add = |ms: u64, from_client, seq, ack, flags, payload: &[u8]| {
            let at = START + (u64::from(n) * 10 + ms) * MS;
            out.push((at, segment(from_client, port, seq, ack, flags, payload)));
        };
        add(0, true, 1_000, 0, SYN, &[]);
        add(1, false, 5_000, 1_001, SYN | ACK, &[]);
        add(2, true, 1_001, 5_001, ACK, &[]);
        add(3, true, 1_001, 5_001, PSH | ACK, &request);
        add(5, false, 5_001, asked, PSH | ACK, &response);
        add(6, true, asked, answered, FIN | ACK, &[]);
        add(7, false, answered, asked + 1, FIN | ACK, &[]);
        add(8, true, asked + 1, answered + 1, ACK, &[]);
    }
    out
}

/// The packets as a pcap file with nanoseconds.
pub(crate) fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut f = Vec::new();
    f.extend(0xa1b2_3c4d_u32.to_le_bytes());
    f.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    f.extend(65_535_u32.to_le_bytes());
    f.extend(1_u32.to_le_bytes());
    for (at, frame) in packets {
        for word in [at / 1_000_000_000, at % 1_000_000_000, frame.len() as u64, frame.len() as u64] {
            f.extend((word as u32).to_le_bytes());
        }
        f.extend(frame);
    }
    f
}

/// The packets as a bundle, `per_frame` of them in each zstd frame.
pub(crate) fn bundle(packets: &[Packet], per_frame: usize) -> Vec<u8> {
    // The node was up for 1000 s when the recording began.
    let monotonic = 1_000_000_000_000;
    let offset = START - monotonic;
    let manifest = Manifest {
        format_version: 1,
        recorder: "hindsight-record 0.1.0".into(),
        hostname: "node1".into(),
        kernel_release: "6.18.0".into(),
        machine: "x86_64".into(),
        os: "Debian GNU/Linux 12".into(),
        cpus: 2,
        start_realtime_ns: START,
        start_monotonic_ns: monotonic,
        realtime_offset_ns: offset as i64,
        hooks: vec![
            Hook {
                program: "packets".into(),
                target: "tp_btf:netif_receive_skb".into(),
                attached: true,
                ..Default::default()
            },
            Hook {
                program: "drops".into(),
                target: "tp_btf:kfree_skb".into(),
                error: "no such tracepoint".into(),
                ..Default::default()
            },
        ],
        missing: vec!["dropped packets: no such tracepoint".into()],
        ..Default::default()
    };
    let section = SectionInfo { hardware: "x86_64".into(), os: "Linux 6.18.0".into(), application: "tests".into() };
    let mut builder = FrameBuilder::with_recording(&section, offset as i64, 42);
    let mut file = BundleFile::new(Vec::new()).expect("memory for zstd");
    builder.json(kind::MANIFEST, monotonic, &[manifest]);
    let eth0 = builder.interface(&InterfaceDesc { name: "eth0".into(), kind: "physical".into(), ..Default::default() });
    file.append(&builder.take()).expect("a Vec takes everything");
    for packets in packets.chunks(per_frame) {
        for (at, frame) in packets {
            builder.packet(eth0, *at, 0, frame.len() as u32, &[frame]);
        }
        file.append(&builder.take()).expect("a Vec takes everything");
    }
    let summary = Summary { reason: "duration".into(), content_bytes: file.content_bytes(), ..Default::default() };
    file.finish(&summary).expect("a Vec takes everything").1
}
