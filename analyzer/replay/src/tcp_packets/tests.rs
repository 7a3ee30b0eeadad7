use super::*;
use crate::decode::build::{Tcp, ethernet, ipv4};
use crate::engine::{Options, replay};

/// A pcap of (microseconds, from the server?, segment).
fn capture(packets: &[(u32, bool, Tcp<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [0xa1b2_c3d4u32, 2 | 4 << 16, 0, 0, 65_535, 1] {
        out.extend(field.to_le_bytes());
    }
    for (us, back, tcp) in packets {
        let frame = ethernet(0x0800, &ipv4(6, *back, &tcp.bytes()));
        for field in [1000, *us, frame.len() as u32, frame.len() as u32] {
            out.extend(field.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

fn up<'a>(seq: u32, ack: u32, flags: u8, payload: &'a [u8]) -> Tcp<'a> {
    Tcp { src: 40000, dst: 80, seq, ack, flags, window: 500, payload, ..Tcp::default() }
}

fn down<'a>(seq: u32, ack: u32, flags: u8, payload: &'a [u8], options: &'a [u8]) -> Tcp<'a> {
    Tcp { src: 80, dst: 40000, seq, ack, flags, window: 100, payload, options }
}

fn packets_of(packets: &[(u32, bool, Tcp<'_>)]) -> Vec<TcpPacket> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    std::fs::write(&path, capture(packets)).unwrap();
    let inputs = [path];
    let replayed = replay(&inputs, &Options::default()).unwrap();
    let out = tcp_packets(&inputs, None, false, &replayed.flows, |_| true, MOST_PACKETS).unwrap();
    assert_eq!(out.left_out, 0);
    let few = tcp_packets(&inputs, None, false, &replayed.flows, |_| true, 2).unwrap();
    assert_eq!((few.packets.len(), few.left_out), (2, out.packets.len() as u64 - 2));
    out.packets
}

fn words(packets: &[TcpPacket]) -> Vec<String> {
    packets.iter().map(|p| p.marks.names().collect::<Vec<_>>().join(",")).collect()
}

/// The numbers start just below 2^32, so that they wrap within the flow.
#[test]
fn numbers_windows_and_findings() {
    const C: u32 = u32::MAX - 100;
    const S: u32 = 7_000;
    let data = [b'x'; 1000];
    let ws = |shift| [3, 3, shift, 1];
    let (ws_up, ws_down) = (ws(2), ws(5));
    // SACK of the server: the client's bytes 2001 to 3001.
    let mut sack = vec![1, 1, 5, 10];
    sack.extend(C.wrapping_add(2001).to_be_bytes());
    sack.extend(C.wrapping_add(3001).to_be_bytes());
    let packets = [
        (0, false, Tcp { options: &ws_up, ..up(C, 0, 2, b"") }),
        (100, true, down(S, C.wrapping_add(1), 0x12, b"", &ws_down)),
        (200, false, up(C.wrapping_add(1), S + 1, 0x10, b"")),
        (300, false, up(C.wrapping_add(1), S + 1, 0x18, &data)),
        // 1001..2001 is lost on the way to the capture.
        (400, false, up(C.wrapping_add(2001), S + 1, 0x18, &data)),
        (500, true, down(S + 1, C.wrapping_add(1001), 0x10, b"", b"")),
        (600, true, down(S + 1, C.wrapping_add(1001), 0x10, b"", &sack)),
        (400_000, false, up(C.wrapping_add(1001), S + 1, 0x18, &data)),
        (400_100, true, down(S + 1, C.wrapping_add(3001), 0x10, b"", b"")),
        (500_000, false, up(C.wrapping_add(2001), S + 1, 0x18, &data)),
        (500_100, true, Tcp { window: 0, ..down(S + 1, C.wrapping_add(3001), 0x10, b"", b"") }),
    ];
    let got = packets_of(&packets);
    assert_eq!(got.iter().map(|p| p.seq).collect::<Vec<_>>(), [0, 0, 1, 1, 2001, 1, 1, 1001, 1, 2001, 1]);
    let acks: Vec<_> = got.iter().map(|p| p.ack).collect();
    let expected =
        [None, Some(1), Some(1), Some(1), Some(1), Some(1001), Some(1001), Some(1), Some(3001), Some(1), Some(3001)];
    assert_eq!(acks, expected);
    // 500 << 2 and 100 << 5; those of SYNs are never scaled.
    let windows: Vec<_> = got.iter().map(|p| p.window_bytes).collect();
    assert_eq!(windows, [500, 100, 2000, 2000, 2000, 3200, 3200, 2000, 3200, 2000, 0]);
    assert_eq!(got[6].sack, [(2001, 3001)]);
    assert_eq!(got[3].in_flight_bytes, 1000);
    assert_eq!(got[5].round_trip_ns, Some(200_000));
    assert_eq!(got.iter().map(|p| p.frame).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    let words = words(&got);
    assert_eq!(words[..4], ["", "", "", ""]);
    assert_eq!(words[4], "gap");
    assert_eq!(words[6], "duplicate_ack");
    assert_eq!(words[7], "retransmission");
    assert_eq!(words[9], "spurious_retransmission");
    assert_eq!(words[10], "zero_window");
    assert_eq!(got[10].sender, Side::Server);
}

#[test]
fn numbers_go_on_beyond_four_gibibytes() {
    let mut numbers = Relative::default();
    numbers.start(100, 0);
    let mut wire = 100u32;
    for _ in 0..6 {
        wire = wire.wrapping_add(1 << 30);
        numbers.of(wire);
    }
    assert_eq!(numbers.of(wire), 6 << 30);
    assert_eq!(numbers.of(wire.wrapping_sub(1000)), (6 << 30) - 1000);
    assert_eq!(numbers.of(wire), 6 << 30);
}

#[test]
fn without_a_syn_the_first_byte_is_number_one() {
    let packets = [
        (0, false, up(5000, 900, 0x18, b"abc")),
        (10, true, down(900, 5003, 0x18, b"de", b"")),
        (20, false, up(5003, 902, 0x10, b"")),
    ];
    let got = packets_of(&packets);
    let numbers: Vec<_> = got.iter().map(|p| (p.seq, p.ack)).collect();
    assert_eq!(numbers, [(1, Some(1)), (1, Some(4)), (4, Some(3))]);
}
