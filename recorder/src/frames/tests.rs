use super::*;
use formats::event::{SocketData, direction, kind};

const CLOCKS: ClockSnapshot =
    ClockSnapshot { monotonic_ns: 1_000, boottime_ns: 1_000, realtime_ns: 1_000_001_000, tai_ns: 0, spread_ns: 0 };

fn frames() -> Frames {
    Frames::new(&SectionInfo::default(), &CLOCKS, 100)
}

fn record<R: Record>(fixed: &R, hdr: impl Fn(&mut RecordHeader), tail: &[u8]) -> Vec<u8> {
    let mut bytes = fixed.as_bytes().to_vec();
    let mut h = RecordHeader { kind: R::KIND, fixed_len: bytes.len() as u16, ..RecordHeader::default() };
    bytes.extend_from_slice(tail);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    h.len = bytes.len() as u32;
    hdr(&mut h);
    bytes[0..4].copy_from_slice(&h.len.to_le_bytes());
    bytes[4..6].copy_from_slice(&h.kind.to_le_bytes());
    bytes[6..8].copy_from_slice(&h.fixed_len.to_le_bytes());
    bytes[8..16].copy_from_slice(&h.ts.to_le_bytes());
    bytes[16..20].copy_from_slice(&h.pid.to_le_bytes());
    bytes
}

fn add(frames: &mut Frames, cpu: u32, bytes: &[u8]) -> Option<(u32, u32)> {
    let hdr = event::header(bytes).unwrap();
    frames.record(cpu, &hdr, bytes)
}

/// Own blocks (kind, cpu, count, first, last, lost, payload) and packets (interface, time, wire length, bytes) of a frame.
type Blocks = (Vec<(BlockHeader, Vec<u8>)>, Vec<(u32, u64, u32, Vec<u8>)>);

fn blocks(frame: &FrameContent) -> Blocks {
    let (mut own, mut packets) = (Vec::new(), Vec::new());
    let mut rest = frame.bytes.as_slice();
    while rest.len() >= 12 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (kind, len) = (word(0), word(4) as usize);
        match kind {
            formats::block::BLOCK_TYPE => {
                let header = BlockHeader::decode(&rest[8..]).unwrap();
                own.push((header, rest[56..56 + header.payload_len as usize].to_vec()));
            }
            6 => {
                let ts = u64::from(word(12)) << 32 | u64::from(word(16));
                packets.push((word(8), ts, word(24), rest[28..28 + word(20) as usize].to_vec()));
            }
            _ => {}
        }
        rest = &rest[len..];
    }
    own.retain(|(h, _)| h.kind != formats::block::kind::PROLOGUE);
    (own, packets)
}

fn lo() -> Interface {
    Interface { netns: 7, ifindex: 1, name: "lo".into(), dev_type: libc::ARPHRD_LOOPBACK, ..Interface::default() }
}

fn packet(ifindex: u32, ts: u64, tail: &[u8]) -> Vec<u8> {
    let fixed = Packet {
        netns: 7,
        ifindex,
        wire_len: 1000,
        cap_len: tail.len() as u32,
        dev_type: libc::ARPHRD_ETHER,
        direction: direction::IN,
        ..Packet::default()
    };
    record(&fixed, |h| h.ts = ts, tail)
}

#[test]
fn records_are_gathered_by_cpu_and_kind_in_their_order() {
    let mut f = frames();
    let data = |ts: u64, tail: &[u8]| record(&SocketData::default(), |h| h.ts = ts, tail);
    let records = [(1, data(50, b"abc")), (0, data(40, b"")), (1, data(45, b"longer than eight"))];
    for (cpu, bytes) in &records {
        assert_eq!(add(&mut f, *cpu, bytes), None);
    }
    let loss = Loss { kind: "socket_data".into(), cpu: 1, lost: 9, ..Loss::default() };
    f.lost(&[loss], 60);
    let (own, _) = blocks(&f.take(70));
    // The loss line, then CPU 0, then CPU 1.
    assert_eq!(own.iter().map(|(h, _)| h.kind).collect::<Vec<_>>(), [0x107, 1, 1]);
    assert_eq!((own[1].0.cpu, own[1].0.count, own[1].0.lost), (0, 1, 0));
    let (h, payload) = &own[2];
    assert_eq!((h.cpu, h.count, h.first_ts, h.last_ts, h.lost), (1, 2, 45, 50, 9));
    assert_eq!(*payload, [records[0].1.clone(), records[2].1.clone()].concat());
    assert_eq!(f.captured(), BTreeMap::from([("socket_data".to_owned(), 3)]));
    assert_eq!(f.losses(), BTreeMap::from([("socket_data".to_owned(), 9)]));
    assert!(f.is_empty());
    assert!(!f.is_due(u64::MAX));
}

#[test]
fn losses_without_records_still_have_a_block() {
    let mut f = frames();
    f.take(0);
    f.lost(&[Loss { kind: "stack_sample".into(), cpu: 3, lost: 2, ..Loss::default() }], 5);
    let (own, _) = blocks(&f.take(10));
    assert_eq!((own[1].0.kind, own[1].0.cpu, own[1].0.count, own[1].0.lost), (kind::STACK_SAMPLE, 3, 0, 2));
}

#[test]
fn packets_have_utc_times_and_their_vlan_tag_back() {
    let mut f = frames();
    f.interface(&mut lo());
    let bytes: Vec<u8> = (0..60).collect();
    add(&mut f, 0, &packet(1, 2_000, &bytes));
    let mut tagged = Packet::read(&packet(1, 3_000, &bytes)).unwrap();
    (tagged.vlan_proto, tagged.vlan_tci) = (0x8100, 0x2005);
    add(&mut f, 0, &record(&tagged, |h| h.ts = 3_000, &bytes));
    let frame = f.take(10);
    let (_, packets) = blocks(&frame);
    assert_eq!(packets[0], (0, 1_000_002_000, 1000, bytes.clone()));
    let mut with_tag = bytes[..12].to_vec();
    with_tag.extend([0x81, 0x00, 0x20, 0x05]);
    with_tag.extend(&bytes[12..]);
    assert_eq!(packets[1], (0, 1_000_003_000, 1004, with_tag));
    assert_eq!((frame.packets, frame.first_ts, frame.last_ts), (2, 2_000, 3_000));
}

#[test]
fn packets_of_unknown_interfaces_wait_for_their_name() {
    let mut f = frames();
    assert_eq!(add(&mut f, 0, &packet(5, 10, b"first")), Some((7, 5)));
    assert_eq!(add(&mut f, 0, &packet(5, 11, b"second")), None);
    assert_eq!(f.take(20).packets, 0);
    let found = Interface { netns: 7, ifindex: 5, name: "veth5".into(), dev_type: 1, ..Interface::default() };
    f.known((7, 5), Some(found), 30);
    let (own, packets) = blocks(&f.take(40));
    assert_eq!(packets.len(), 2);
    assert!(String::from_utf8_lossy(&own[0].1).contains("veth5"));
    assert_eq!(add(&mut f, 0, &packet(5, 50, b"third")), None);
    // Never answered: written under a made-up name after a while.
    assert_eq!(add(&mut f, 0, &packet(6, 60, b"fourth")), Some((7, 6)));
    let frame = f.take(60 + UNKNOWN_TIME + 1);
    assert_eq!(frame.packets, 2);
    assert!(frame.bytes.windows(5).any(|w| w == b"if6@7"));
    assert_eq!(f.captured()["packet"], 4);
}

#[test]
fn secrets_in_exec_records_are_masked() {
    let args = b"/usr/bin/app\0--password=hunter2\0--port\080";
    let exec = ProcessExec { filename_len: 12, args_len: args.len() as u16, parent_pid: 3, ..ProcessExec::default() };
    let tail = [b"/usr/bin/app".as_slice(), args].concat();
    let mut f = frames();
    let sound = ProcessExec { filename_len: 2, args_len: 2, ..ProcessExec::default() };
    let sound = record(&sound, |h| h.ts = 4, b"lsls");
    add(&mut f, 0, &sound);
    add(&mut f, 0, &record(&exec, |h| (h.ts, h.pid) = (5, 9), &tail));
    let (own, _) = blocks(&f.take(10));
    let payload = &own[0].1;
    assert_eq!(payload[..sound.len()], sound);
    let (hdr, masked) = event::Records::new(payload).nth(1).unwrap();
    let exec = ProcessExec::read(masked).unwrap();
    assert_eq!((hdr.pid, exec.parent_pid, exec.filename_len), (9, 3, 12));
    let args = &event::tail(masked)[12..12 + exec.args_len as usize];
    assert_eq!(args, b"/usr/bin/app\0--password=***\0--port\080");
    assert_eq!(event::Records::new(payload).count(), 2);
    assert_eq!(f.masked(), 1);
}

#[test]
fn frames_are_cut_by_size_and_by_age() {
    let mut f = frames();
    f.take(0);
    let bytes = record(&SocketData::default(), |h| h.ts = 5, &[7; 4000]);
    add(&mut f, 0, &bytes);
    assert!(!f.is_due(FRAME_TIME - 1) && f.is_due(FRAME_TIME));
    while f.len() < FRAME_LEN {
        add(&mut f, 0, &bytes);
    }
    assert!(f.is_due(0));
    let frame = f.take(1);
    assert!(frame.bytes.len() >= FRAME_LEN && frame.bytes.len() < FRAME_LEN + 2 * 4200);
}
