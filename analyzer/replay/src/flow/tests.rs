//! Flows of hand-made packets; the expected numbers are worked out by hand.

use super::{Finished, FlowTable, Keep, Settings, Tally};
use crate::decode::build::{Tcp, ethernet, ipv4, ipv4_fragment, udp};
use crate::decode::{Frame, Output, decode};
use crate::model::{Completeness, Flow, Nanos, RttStretch};
use crate::parse::ParseOptions;

mod association;
mod opening;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

fn settings() -> Settings {
    Settings {
        deepflow: false,
        checksums: false,
        several_places: false,
        parse: true,
        parse_options: ParseOptions::default(),
        max_flows: 1000,
        max_held: 1 << 20,
        ethernet: vec![true],
        keep: Keep::default(),
    }
}

/// A connection from 10.0.0.1:4000 to 10.0.0.2:80 whose sequence numbers start at 100 and 500.
struct Wire {
    table: FlowTable,
    settings: Settings,
    now: Nanos,
    window: u16,
    ip_id: u16,
    /// Window scale option of the packets to come.
    scale: Option<u8>,
    /// SACK block of the packets to come.
    sack: Option<[u32; 2]>,
    /// Timestamps option of the packets to come.
    times: Option<[u32; 2]>,
}

impl Wire {
    fn new(settings: Settings) -> Self {
        Self {
            table: FlowTable::default(),
            settings,
            now: 0,
            window: 1000,
            ip_id: 7,
            scale: None,
            sack: None,
            times: None,
        }
    }

    fn frame(&mut self, ts: Nanos, bytes: &[u8]) {
        let mut out = Output::default();
        decode(
            &Frame { bytes, wire_len: bytes.len() as u32, ts, interface: 0, link_type: 1, index: 0, packets: 1 },
            &mut out,
        );
        for d in &out.packets {
            self.table.packet(d, bytes, &out.tunnels, &self.settings);
        }
    }

    fn tcp(&mut self, ms: Nanos, server: bool, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        let (src, dst) = if server { (80, 4000) } else { (4000, 80) };
        let mut options = Vec::new();
        if let Some(scale) = self.scale {
            options.extend([1, 3, 3, scale]);
        }
        if let Some(edges) = self.sack {
            options.extend([1, 1, 5, 10]);
            options.extend(edges.map(u32::to_be_bytes).concat());
        }
        if let Some(times) = self.times {
            options.extend([1, 1, 8, 10]);
            options.extend(times.map(u32::to_be_bytes).concat());
        }
        let tcp = Tcp { src, dst, seq, ack, flags, window: self.window, options: &options, payload };
        let mut bytes = ethernet(0x0800, &ipv4_fragment(6, server, self.ip_id, 0x4000, &tcp.bytes()));
        if server {
            bytes[..12].rotate_left(6);
        }
        self.now = ms * MS;
        self.frame(ms * MS, &bytes);
        self
    }

    fn client(&mut self, ms: Nanos, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        self.tcp(ms, false, flags, 100 + seq, 500 + ack, payload)
    }

    fn server(&mut self, ms: Nanos, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        self.tcp(ms, true, flags, 500 + seq, 100 + ack, payload)
    }

    fn handshake(&mut self) -> &mut Self {
        self.tcp(0, false, SYN, 100, 0, b"").server(10, SYN | ACK, 0, 1, b"").client(14, ACK, 1, 1, b"")
    }

    fn finish(&mut self) -> Finished {
        self.table.finish(self.now, &self.settings);
        std::mem::take(&mut self.table.finished)
    }

    fn flow(&mut self) -> Flow {
        let mut finished = self.finish();
        assert_eq!(finished.flows.len(), 1);
        finished.flows.remove(0)
    }
}

/// What stands in for a checksum that is wrong whatever the rest of the segment is: neither right nor the pseudo header's sum.
fn damage(frame: &mut [u8]) {
    frame[14 + 20 + 16] = 0xde;
    frame[14 + 20 + 17] = 0xad;
}

#[test]
fn damaged_packets_are_counted_and_not_believed() {
    let mut w = Wire::new(Settings { checksums: true, ..settings() });
    w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789");
    // Damaged on the way: a copy of the data, ten of what follows it, a RST of the server and another SYN.
    let mut damaged = |ms: Nanos, server: bool, flags: u8, seq: u32, payload: &[u8]| {
        let (src, dst) = if server { (80, 4000) } else { (4000, 80) };
        let tcp = Tcp { src, dst, seq, ack: 501, flags, window: 0, options: &[], payload };
        let mut frame = ethernet(0x0800, &ipv4_fragment(6, server, 9, 0x4000, &tcp.bytes()));
        damage(&mut frame);
        w.frame(ms * MS, &frame);
    };
    damaged(21, false, PSH | ACK, 101, b"0x23456789");
    (0..10).for_each(|n| damaged(22 + n, false, PSH | ACK, 111, b"tail"));
    damaged(40, true, RST | ACK, 501, b"");
    damaged(41, false, SYN, 7000, b"");
    w.client(50, PSH | ACK, 11, 1, b"tail").server(60, ACK, 1, 15, b"");
    let finished = w.finish();
    assert_eq!(finished.damaged, Tally(13, Some((21 * MS, 41 * MS))));
    let f = &finished.flows[0];
    assert_eq!(finished.flows.len(), 1, "the SYN is not believed");
    assert_eq!((f.conn_state, f.history.as_str()), ("S1", "ShADCCca"), "the first and the tenth of each side");
    assert_eq!((f.client.packets, f.client.bad_checksums, f.server.packets, f.server.bad_checksums), (16, 12, 3, 1));
    assert_eq!(f.client.bad_checksum_ip_bytes, 50 + 10 * 44 + 40);
    assert_eq!((f.client.payload_bytes, f.client.stream_bytes, f.client.retransmits), (14, 14, 0));
    assert_eq!((f.client.zero_window, f.rst_count, f.syn_count), (0, 0, 1));

    // Without being asked, every packet is believed.
    let mut w = Wire::new(settings());
    w.handshake().server(20, RST | ACK, 1, 1, b"");
    assert_eq!(w.flow().conn_state, "RSTR");
}

#[test]
fn what_waited_for_a_retransmission_has_no_round_trip() {
    let ten = b"0123456789";
    let mut w = Wire::new(settings());
    w.handshake()
        .client(20, ACK, 1, 1, ten)
        .client(21, ACK, 11, 1, ten)
        .client(22, ACK, 21, 1, ten)
        .client(300, ACK, 1, 1, ten)
        .client(301, ACK, 31, 1, ten)
        .server(310, ACK, 1, 11, b"")
        .server(311, ACK, 1, 31, b"")
        .server(312, ACK, 1, 41, b"")
        .client(400, ACK, 41, 1, ten)
        .server(404, ACK, 1, 51, b"");
    let f = w.flow();
    let rtt = &f.client.ack_rtt;
    assert_eq!((rtt.count, rtt.sum_ns, rtt.max_ns), (3, 25_000_000, 11_000_000), "SYN 10 ms, 31 11 ms, 41 4 ms");

    // The same where the first copy was lost before it was captured.
    let mut w = Wire::new(settings());
    w.handshake()
        .client(21, ACK, 11, 1, ten)
        .client(22, ACK, 21, 1, ten)
        .client(300, ACK, 1, 1, ten)
        .server(310, ACK, 1, 31, b"")
        .client(400, ACK, 31, 1, ten)
        .server(404, ACK, 1, 41, b"");
    let f = w.flow();
    assert_eq!((f.client.ack_rtt.count, f.client.ack_rtt.sum_ns), (2, 14_000_000), "SYN 10 ms, 31 4 ms");
    assert_eq!(f.client.max_in_flight, 30);
}

/// What the capture lost is acknowledged: how long that took is not known, as for tcptrace.
#[test]
fn the_acknowledgement_of_what_was_not_seen_has_no_round_trip() {
    let mut w = Wire::new(settings());
    w.handshake().client(100, PSH | ACK, 1, 1, b"0123456789").server(110, ACK, 1, 11, b"");
    // Ten bytes behind these are missing.
    w.client(200, PSH | ACK, 11, 1, b"0123456789").server(900, ACK, 1, 31, b"");
    w.client(1000, PSH | ACK, 31, 1, b"0123456789").server(1020, ACK, 1, 41, b"");
    let f = w.flow();
    let rtt = &f.client.ack_rtt;
    assert_eq!((rtt.count, rtt.sum_ns, rtt.max_ns), (3, 40_000_000, 20_000_000), "SYN 10 ms, 1 10 ms, 31 20 ms");
    // A keep-alive sends its byte again.
    let mut w = Wire::new(settings());
    w.handshake()
        .client(100, PSH | ACK, 1, 1, b"0123456789")
        .client(5000, ACK, 10, 1, b"9")
        .server(5010, ACK, 1, 11, b"");
    let f = w.flow();
    assert_eq!((f.client.keep_alives, f.client.ack_rtt.count), (1, 1));
}

#[test]
fn a_syn_that_was_sent_again_has_no_round_trip() {
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").tcp(1000, false, SYN, 100, 0, b"");
    w.server(1010, SYN | ACK, 0, 1, b"").client(1011, ACK, 1, 1, b"");
    let f = w.flow();
    assert_eq!((f.syn_retransmits, f.client.ack_rtt.count, f.server.ack_rtt.sum_ns), (1, 0, 1_000_000));
    // From the first SYN on, as DeepFlow measures it.
    assert_eq!(f.rtt_ns, Some(1_011_000_000));
}

#[test]
fn what_comes_after_both_ends_have_closed_does_not_last_for_zeek() {
    let mut w = Wire::new(settings());
    w.handshake().client(80, FIN | ACK, 1, 1, b"").server(90, FIN | ACK, 1, 2, b"").client(91, ACK, 2, 2, b"").server(
        400,
        FIN | ACK,
        1,
        2,
        b"",
    );
    let f = w.flow();
    assert_eq!((f.active_until, f.end), (90 * MS, 400 * MS));
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").client(5, RST, 1, 0, b"").client(9, RST, 1, 0, b"");
    let f = w.flow();
    assert_eq!((f.active_until, f.conn_state, f.history.as_str()), (9 * MS, "RSTOS0", "SR"));
    // More than a SYN before the reset.
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").client(5, ACK, 1, 1, b"").client(9, RST, 1, 0, b"");
    assert_eq!(w.flow().conn_state, "OTH");
}

#[test]
fn what_carried_a_flow_is_known() {
    let mut w = Wire::new(settings());
    let inner = ethernet(0x0800, &ipv4(17, false, &udp(1000, 2000, b"inside")));
    for (port, ms) in [(50_000, 1), (50_001, 2), (50_000, 3)] {
        let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
        w.frame(ms * MS, &ethernet(0x0800, &ipv4(17, false, &udp(port, 4789, &vxlan))));
    }
    let finished = w.finish();
    let inner = finished.flows.iter().find(|f| &*f.tunnel == "vxlan").unwrap();
    let ports: Vec<_> = inner.carriers.iter().map(|c| (c.client_port, c.server_port)).collect();
    assert_eq!(ports, [(50_000, 4789), (50_001, 4789)]);
    for carrier in &inner.carriers {
        assert!(finished.flows.iter().any(|f| f.endpoints == *carrier && f.l7_protocol == "vxlan"), "{carrier:?}");
    }
}

#[test]
fn a_whole_connection() {
    let mut w = Wire::new(settings());
    w.handshake()
        .client(20, PSH | ACK, 1, 1, b"0123456789")
        .server(23, ACK, 1, 11, b"")
        .server(50, PSH | ACK, 1, 11, b"abcdefgh")
        .client(51, ACK, 11, 9, b"")
        .client(80, FIN | ACK, 11, 9, b"")
        .server(90, FIN | ACK, 9, 12, b"")
        .client(91, ACK, 12, 10, b"");
    let finished = w.finish();
    let f = &finished.flows[0];
    assert_eq!((f.conn_state, f.history.as_str(), f.close_type), ("SF", "ShADadFf", "finish"));
    assert_eq!((f.rtt_ns, f.rtt_client_ns, f.rtt_server_ns), (Some(14_000_000), Some(4_000_000), Some(10_000_000)));
    assert_eq!((f.srt.count, f.srt.sum_ns), (1, 3_000_000));
    assert_eq!((f.art.count, f.art.sum_ns), (1, 30_000_000));
    assert_eq!((f.cit.count, f.cit.sum_ns), (1, 6_000_000));
    assert_eq!((f.client.packets, f.client.payload_bytes, f.server.packets, f.server.payload_bytes), (6, 10, 4, 8));
    assert_eq!((f.client.bytes, f.client.ip_bytes), (6 * 54 + 10, 6 * 40 + 10));
    assert_eq!((f.syn_count, f.syn_ack_count, f.fin_count, f.rst_count), (1, 1, 2, 0));
    assert_eq!(f.client.flags, SYN | ACK | PSH | FIN);
    assert_eq!((f.client.ack_rtt.count, f.client.ack_rtt.max_ns), (3, 10_000_000), "SYN 10 ms, data 3 ms, FIN 10 ms");
    assert_eq!((f.client.retransmits, f.server.retransmits, f.client.missed_bytes), (0, 0, 0));
    assert_eq!((f.completeness, f.direction_score), (Completeness::default(), 100));
    assert_eq!((f.client_mac, f.server_mac), (Some([2, 0, 0, 0, 0, 0xaa]), Some([2, 0, 0, 0, 0, 0xbb])));
    // SHA-1 of seed, addresses, protocol and ports, computed by another implementation.
    assert_eq!(f.community_id, "1:7ZhQSud9D8YGcE//fM9wM4/3mq8=");
    assert_eq!(
        finished.profile.iter().flat_map(|p| p.rows(0, |_| None)).map(|p| p.duration_ns).sum::<u64>(),
        91_000_000
    );
}

#[test]
fn kinds_of_retransmission() {
    // After a time-out: nothing has acknowledged it.
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789").client(250, PSH | ACK, 1, 1, b"0123456789");
    let f = w.flow();
    assert_eq!((f.client.retransmits, f.client.retransmits_rto, f.client.retransmits_spurious), (1, 1, 0));

    // After it had been acknowledged.
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789").server(30, ACK, 1, 11, b"").client(
        250,
        PSH | ACK,
        1,
        1,
        b"0123456789",
    );
    let f = w.flow();
    assert_eq!((f.client.retransmits, f.client.retransmits_spurious), (1, 1));

    // After duplicate acknowledgements.
    let mut w = Wire::new(settings());
    w.handshake();
    for n in 0..5 {
        w.client(20 + n, ACK, 1 + 10 * n as u32, 1, b"0123456789");
    }
    w.server(30, ACK, 1, 11, b"");
    for n in 0..3 {
        w.server(31 + n, ACK, 1, 11, b"");
    }
    w.client(35, ACK, 11, 1, b"0123456789");
    let f = w.flow();
    assert_eq!((f.server.duplicate_acks, f.client.retransmits, f.client.retransmits_fast), (3, 1, 1));

    // Overtaken by the next one.
    let mut w = Wire::new(settings());
    w.handshake()
        .client(20, ACK, 11, 1, b"0123456789")
        .client(20, ACK, 1, 1, b"0123456789")
        .server(25, ACK, 1, 21, b"");
    let f = w.flow();
    assert_eq!((f.client.out_of_order, f.client.retransmits, f.client.missed_bytes), (1, 0, 0));

    // The very same packet again, which its identification says: captured twice.
    let mut w = Wire::new(settings());
    w.handshake();
    w.ip_id = 8;
    w.client(20, PSH | ACK, 1, 1, b"0123456789").client(20, PSH | ACK, 1, 1, b"0123456789");
    w.ip_id = 9;
    w.client(21, PSH | ACK, 1, 1, b"0123456789");
    let f = w.flow();
    assert_eq!((f.client.retransmits, f.client.duplicates, f.client.retransmits_rto), (2, 1, 1));

    // Packets 8, 10, 9: it was overtaken on its way. 8, 9, 10, 11 where 11 fills the hole of another: it was sent for that, however soon.
    for (filler, out_of_order) in [(9, 1), (11, 0)] {
        let mut w = Wire::new(settings());
        w.handshake();
        for (id, seq) in [(8, 1), (10, 21), (filler, 11)] {
            w.ip_id = id;
            w.client(20, ACK, seq, 1, b"0123456789");
        }
        let f = w.flow();
        assert_eq!((f.client.out_of_order, f.client.retransmits_rto), (out_of_order, 1 - out_of_order), "{filler}");
    }

    // A bare ACK's number says that ten bytes were sent before it: what comes then was overtaken by it (8 after 9), or sent again.
    for (id, out_of_order) in [(8, 1), (10, 0)] {
        let mut w = Wire::new(settings());
        w.handshake();
        w.ip_id = 9;
        w.client(20, ACK, 11, 1, b"");
        w.ip_id = id;
        w.client(21, PSH | ACK, 1, 1, b"0123456789");
        let f = w.flow();
        assert_eq!((f.client.out_of_order, f.client.retransmits), (out_of_order, 1 - out_of_order), "{id}");
    }

    // A duplicate SACK (RFC 2883) says that the first copy had arrived.
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789").client(250, PSH | ACK, 1, 1, b"0123456789");
    w.sack = Some([101, 111]);
    w.server(260, ACK, 1, 11, b"");
    let f = w.flow();
    assert_eq!((f.client.retransmits, f.client.retransmits_rto, f.client.retransmits_spurious), (1, 0, 1));

    // The acknowledgement echoes the time of the first copy (RFC 3522), or of the second.
    for (echo, spurious) in [(5, 1), (9, 0)] {
        let mut w = Wire::new(settings());
        w.handshake();
        w.times = Some([5, 1]);
        w.client(20, PSH | ACK, 1, 1, b"0123456789");
        w.times = Some([9, 1]);
        w.client(250, PSH | ACK, 1, 1, b"0123456789");
        w.times = Some([2, echo]);
        w.server(260, ACK, 1, 11, b"");
        let f = w.flow();
        assert_eq!((f.client.retransmits_rto, f.client.retransmits_spurious), (1 - spurious, spurious), "{echo}");
    }

    // SYN and SYN-ACK.
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").tcp(1000, false, SYN, 100, 0, b"");
    w.server(1010, SYN | ACK, 0, 1, b"").server(1015, SYN | ACK, 0, 1, b"").client(1020, ACK, 1, 1, b"");
    let f = w.flow();
    assert_eq!((f.syn_count, f.syn_retransmits, f.syn_ack_retransmits), (2, 1, 1));
    assert_eq!(f.rtt_server_ns, Some(1_010_000_000), "from the first SYN");
}

#[test]
fn a_handshake_of_which_one_side_is_seen_has_a_round_trip() {
    let mut w = Wire::new(settings());
    w.client(0, SYN, 0, 0, b"").client(1000, SYN, 0, 0, b"").client(1030, ACK, 1, 1, b"").client(
        1040,
        PSH | ACK,
        1,
        1,
        b"x",
    );
    let f = w.flow();
    assert_eq!((f.rtt_ns, f.rtt_client_ns, f.rtt_server_ns), (Some(1030 * MS as u64), None, None));
    // A reset is no answer to a SYN-ACK.
    let mut w = Wire::new(settings());
    w.client(0, SYN, 0, 0, b"").server(5, RST | ACK, 0, 1, b"");
    assert_eq!(w.flow().rtt_ns, None);
}

#[test]
fn the_window_of_a_syn_is_not_scaled() {
    // The server offers a scale of 10; its SYN-ACK's window of 1000 is bytes, the same number later is 1,024,000.
    let mut w = Wire::new(settings());
    w.scale = Some(10);
    w.handshake();
    w.scale = None;
    let data = vec![7; 1000];
    w.client(20, ACK, 1, 1, &data).server(21, ACK, 1, 1001, b"").client(22, ACK, 1001, 1, &data);
    let f = w.flow();
    assert_eq!((f.client.window_full, f.server.window_scale, f.server.initial_window), (1, Some(10), 1_024_000));
}

#[test]
fn keep_alives_and_closed_windows() {
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789").server(21, ACK, 1, 11, b"");
    w.client(5000, ACK, 10, 1, b"").server(5001, ACK, 1, 11, b"");
    w.window = 0;
    w.server(6000, ACK, 1, 11, b"");
    w.window = 1000;
    w.client(6500, ACK, 11, 1, b"x");
    w.window = 0;
    w.server(6501, ACK, 1, 11, b"");
    let f = w.flow();
    assert_eq!((f.client.keep_alives, f.client.retransmits), (1, 0));
    assert_eq!((f.server.zero_window, f.client.zero_window_probes, f.server.duplicate_acks), (2, 1, 0));
}

/// Linux asks with the number before (`tcp_xmit_probe_skb`), others with the next byte, which the receiver may take (RFC 9293, 3.8.6.1).
#[test]
fn a_closed_window_is_probed_in_two_ways() {
    let closed = || {
        let mut w = Wire::new(settings());
        w.handshake().client(20, PSH | ACK, 1, 1, b"0123456789");
        w.window = 0;
        w.server(21, ACK, 1, 11, b"");
        w
    };
    let counts = |w: &mut Wire| {
        let f = w.flow();
        assert_eq!((f.client.keep_alives, f.server.duplicate_acks, f.client.missed_bytes), (0, 0, 0));
        (f.client.zero_window_probes, f.client.retransmits, f.server.zero_window)
    };
    let mut linux = closed();
    linux.client(220, ACK, 10, 1, b"").server(221, ACK, 1, 11, b"").client(620, ACK, 10, 1, b"");
    linux.server(621, ACK, 1, 11, b"");
    assert_eq!(counts(&mut linux), (2, 0, 3));
    // The byte is taken: what follows it is no gap, and what stands at its place is sent again.
    let mut taken = closed();
    taken.client(220, ACK, 11, 1, b"a").server(221, ACK, 1, 12, b"").client(620, ACK, 12, 1, b"b");
    taken.window = 1000;
    taken.server(621, ACK, 1, 13, b"").client(622, PSH | ACK, 13, 1, b"cdef").client(900, ACK, 12, 1, b"b");
    assert_eq!(counts(&mut taken), (2, 1, 2));
    // It is not taken: it goes as data when the window opens, which is the first time that it goes as such.
    let mut refused = closed();
    refused.client(220, ACK, 11, 1, b"a").server(221, ACK, 1, 11, b"");
    refused.window = 1000;
    refused.server(630, ACK, 1, 11, b"").client(631, PSH | ACK, 11, 1, b"abcdef").server(632, ACK, 1, 17, b"");
    assert_eq!(counts(&mut refused), (1, 0, 2));
}

#[test]
fn ends_of_connections() {
    type Packets = &'static [(bool, u8, u32, u32)];
    // What every one of these begins with.
    macro_rules! opened { ($($packet:expr),*) => { &[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, ACK, 1, 1), $($packet),*] } }
    let cases: [(Packets, &str, &str); 16] = [
        (opened![(false, FIN | ACK, 1, 1), (true, FIN | ACK, 1, 2), (false, ACK, 2, 2)], "SF", "finish"),
        (opened![(true, SYN | ACK, 0, 1)], "S1", "server_queue_lack"),
        (opened![(true, SYN | ACK, 0, 1), (true, SYN | ACK, 0, 1), (true, RST, 1, 0)], "RSTR", "server_queue_lack"),
        (opened![(true, SYN | ACK, 0, 1), (true, RST, 1, 0)], "RSTR", "client_rst"),
        (&[(false, SYN, 0, 0), (false, RST, 1, 0)], "RSTOS0", "client_setup_rst"),
        (&[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (true, RST, 1, 0)], "RSTR", "server_setup_rst"),
        (&[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, RST, 1, 0)], "RSTO", "normal_client_rst"),
        (&[(false, SYN, 0, 0)], "S0", "server_syn_miss"),
        (&[(false, SYN, 0, 0), (true, RST | ACK, 0, 1)], "REJ", "server_direct_rst"),
        (&[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1)], "S1", "client_ack_miss"),
        (&[(false, SYN, 0, 0), (true, ACK, 77, 77), (false, RST, 77, 0)], "RSTOS0", "client_port_reuse"),
        (&[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, ACK, 1, 1), (true, RST, 1, 1)], "RSTR", "server_rst"),
        (
            &[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, ACK, 1, 1), (false, FIN | ACK, 1, 1)],
            "S2",
            "server_half_close",
        ),
        (
            &[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, ACK, 1, 1), (true, FIN | ACK, 1, 1)],
            "S3",
            "client_half_close",
        ),
        (&[(false, SYN, 0, 0), (true, SYN | ACK, 0, 1), (false, ACK, 1, 1)], "S1", "forced_report"),
        (
            &[
                (false, SYN, 0, 0),
                (true, SYN | ACK, 0, 1),
                (false, ACK, 1, 1),
                (false, PSH | ACK, 1, 1),
                (false, RST, 2, 1),
            ],
            "RSTO",
            "client_rst",
        ),
    ];
    for (packets, conn_state, close_type) in cases {
        let mut w = Wire::new(settings());
        for (n, &(server, flags, seq, ack)) in packets.iter().enumerate() {
            let payload: &[u8] = if flags & PSH != 0 { b"x" } else { b"" };
            if server {
                w.server(n as i64, flags, seq, ack, payload);
            } else {
                w.client(n as i64, flags, seq, ack, payload);
            }
        }
        let f = w.flow();
        assert_eq!((f.conn_state, f.close_type), (conn_state, close_type), "{packets:?}");
    }
}

#[test]
fn another_syn_is_another_flow() {
    let mut w = Wire::new(settings());
    w.handshake().client(20, FIN | ACK, 1, 1, b"").server(21, FIN | ACK, 1, 2, b"").client(22, ACK, 2, 2, b"");
    w.tcp(30, false, SYN, 9000, 0, b"").tcp(31, true, RST | ACK, 0, 9001, b"");
    let flows = w.finish().flows;
    let seen: Vec<_> = flows.iter().map(|f| (f.start / MS, f.conn_state)).collect();
    assert_eq!(seen, [(0, "SF"), (30, "REJ")]);
}

/// The same number, from a machine that starts anew or a capture that repeats itself: within 127 s it is the SYN sent again.
#[test]
fn a_syn_long_after_is_another_connection() {
    for (ms, flows) in [(60_000, 1), (200_000, 2)] {
        let mut wire = Wire::new(settings());
        wire.tcp(0, false, SYN, 100, 0, b"").tcp(1, true, SYN | ACK, 500, 101, b"");
        wire.tcp(2, false, ACK, 101, 501, b"").tcp(3, false, ACK | FIN, 101, 501, b"");
        wire.tcp(ms, false, SYN, 100, 0, b"").tcp(ms + 1, true, SYN | ACK, 500, 101, b"");
        assert_eq!(wire.finish().flows.len(), flows, "after {ms} ms");
    }
}

#[test]
fn silence_ends_a_flow() {
    // Nothing came for as long as DeepFlow waits.
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"x");
    w.now = 400_000 * MS;
    let f = w.flow();
    assert_eq!((f.close_type, f.completeness), ("timeout", Completeness::default()));
    // It was only silent: after seven minutes it is still that connection.
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"x").client(400_000, PSH | ACK, 2, 1, b"y");
    assert_eq!(w.flow().client.payload_bytes, 2);
    // After more than two hours without a keep-alive it is another one; with DeepFlow's rules after 300 s.
    for (deepflow, ms) in [(false, 8_200_000), (true, 400_000)] {
        let mut w = Wire::new(Settings { deepflow, ..settings() });
        w.handshake().client(20, PSH | ACK, 1, 1, b"x").client(ms, PSH | ACK, 2, 1, b"y");
        let flows = w.finish().flows;
        assert_eq!(flows.len(), 2, "{deepflow}");
        assert_eq!((flows[0].close_type, flows[0].completeness), ("timeout", Completeness::default()));
        assert!(flows[1].completeness.has(Completeness::STARTED_BEFORE));
        assert!(flows[1].completeness.has(Completeness::ENDED_AFTER));
    }
}

#[test]
fn stragglers_belong_to_the_connection_that_is_over() {
    let mut w = Wire::new(settings());
    w.handshake().client(20, FIN | ACK, 1, 1, b"").server(21, FIN | ACK, 1, 2, b"");
    w.server(30_000, FIN | ACK, 1, 2, b"").server(100_000, RST, 2, 0, b"");
    let flows = w.finish().flows;
    let seen: Vec<_> = flows.iter().map(|f| (f.start / MS, f.conn_state, f.server.retransmits)).collect();
    assert_eq!(seen, [(0, "SF", 1), (100_000, "RSTRH", 0)]);
}

#[test]
fn bytes_that_the_capture_lost_are_missed() {
    let mut w = Wire::new(settings());
    w.handshake()
        .client(20, PSH | ACK, 1, 1, b"0123456789")
        .server(21, ACK, 1, 11, b"")
        .client(22, PSH | ACK, 31, 1, b"0123456789")
        .server(25, PSH | ACK, 1, 41, b"ok");
    let f = w.flow();
    assert_eq!((f.client.missed_bytes, f.server.missed_bytes), (20, 0));
    assert!(f.completeness.has(Completeness::GAP));
    assert!(f.history.contains('G'), "{}", f.history);
}

#[test]
fn too_many_flows_end_the_oldest_and_say_so() {
    let mut w = Wire::new(Settings { max_flows: 3, ..settings() });
    for n in 0..5u16 {
        let bytes = ethernet(0x0800, &ipv4(17, false, &udp(1000 + n, 9999, b"x")));
        w.frame(Nanos::from(n) * SECOND, &bytes);
    }
    w.now = 5 * SECOND;
    let finished = w.finish();
    assert_eq!(finished.evicted, Tally(2, Some((0, SECOND))));
    let early: Vec<_> = finished
        .flows
        .iter()
        .filter(|f| f.completeness.has(Completeness::ENDED_AFTER))
        .map(|f| f.endpoints.client_port)
        .collect();
    assert_eq!(&early[..2], [1000, 1001]);
}

#[test]
fn what_is_held_for_gaps_has_a_limit_of_all_flows() {
    // Without a limit a segment waits for the one before it, so that the stream is whole in the end. Two other flows hold 1000 bytes each
    // and some: nothing more can be held, and the gap is given up at once.
    for (max_held, missed) in [(1 << 20, 0), (1500, 10)] {
        let mut w = Wire::new(Settings { max_held, ..settings() });
        for port in [1000, 1001] {
            for (seq, payload) in [(0, &[1u8; 10][..]), (20, &[1; 1000])] {
                let tcp = Tcp { src: port, dst: 9999, seq, flags: ACK, payload, ..Tcp::default() };
                w.frame(0, &ethernet(0x0800, &ipv4(6, false, &tcp.bytes())));
            }
        }
        w.handshake().client(20, ACK, 11, 1, b"klmnopqrst").client(21, ACK, 1, 1, b"abcdefghij");
        let flows = w.finish().flows;
        let f = flows.iter().find(|f| f.endpoints.client_port == 4000).unwrap();
        assert_eq!(f.client.missed_bytes, missed, "{max_held}");
    }
}

#[test]
fn many_open_flows_give_back_what_they_do_not_use() {
    // More than a shard keeps without looking: every flow is found again, and its numbers are right.
    let mut w = Wire::new(Settings { max_flows: 5000, ..settings() });
    let packet = |n: u16, seq: u32, payload: &[u8]| {
        let tcp = Tcp { src: n, dst: 9999, seq, flags: ACK, payload, ..Tcp::default() };
        ethernet(0x0800, &ipv4(6, false, &tcp.bytes()))
    };
    for round in 0..2 {
        for n in 0..4000u16 {
            w.frame(MS * Nanos::from(n), &packet(40_000 + n, 100 + 5 * round, b"hello"));
        }
    }
    w.now = SECOND;
    let finished = w.finish();
    assert_eq!((finished.flows.len(), finished.evicted.0), (4000, 0));
    assert!(finished.flows.iter().all(|f| (f.client.packets, f.client.stream_bytes) == (2, 10)));
}

#[test]
fn congestion_and_the_first_flight() {
    const ECE: u8 = 64;
    const CWR: u8 = 128;
    let mut w = Wire::new(settings());
    // ECN is offered and accepted: flags of SYNs do not count.
    w.tcp(0, false, SYN | ECE | CWR, 100, 0, b"").server(10, SYN | ACK | ECE, 0, 1, b"").client(14, ACK, 1, 1, b"");
    w.client(20, ACK, 1, 1, b"0123456789").client(20, ACK, 11, 1, b"0123456789").server(30, ACK | ECE, 1, 11, b"");
    w.client(31, ACK | CWR, 21, 1, b"01234").server(40, ACK | ECE, 1, 26, b"").client(41, ACK, 26, 1, b"x");
    let f = w.flow();
    assert_eq!((f.client.ecn_ece, f.client.ecn_cwr, f.server.ecn_ece, f.server.ecn_cwr), (0, 1, 2, 0));
    assert_eq!((f.client.initial_flight, f.server.initial_flight), (20, 0));
}

#[test]
fn round_trips_over_time() {
    let mut w = Wire::new(settings());
    w.handshake().client(20, ACK, 1, 1, b"0123456789").server(23, ACK, 1, 11, b"");
    w.client(1020, ACK, 11, 1, b"0123456789").server(1070, ACK, 1, 21, b"");
    let f = w.flow();
    let both = f.round_trips.unwrap();
    let seen = |(width, stretches): &(u64, Vec<RttStretch>)| {
        assert_eq!(*width, 1_000_000);
        stretches.iter().map(|s| (s.start / MS, s.samples, s.sum_ns / 1_000_000)).collect::<Vec<_>>()
    };
    // The SYN's, then those of the data; the server's SYN-ACK's.
    assert_eq!(seen(&both.client), [(10, 1, 10), (23, 1, 3), (1070, 1, 50)]);
    assert_eq!(seen(&both.server), [(14, 1, 4)]);
}

#[test]
fn an_idle_connection_keeps_no_datagrams_open() {
    let mut w = Wire::new(settings());
    w.handshake();
    for n in 0..200u16 {
        let bytes = ethernet(0x0800, &ipv4(17, false, &udp(1000 + n, 9999, b"x")));
        w.frame(Nanos::from(n) * 10 * SECOND, &bytes);
    }
    // Datagram flows are given up after a minute: 7 of them and the connection are open.
    assert_eq!(w.table.finished.flows.len(), 200 - 7);
    w.client(2_000_000, PSH | ACK, 1, 1, b"x");
    let finished = w.finish();
    assert_eq!(finished.flows.iter().filter(|f| f.client.packets > 1).count(), 1);
}

#[test]
fn what_is_over_makes_room_first() {
    let mut w = Wire::new(Settings { max_flows: 2, ..settings() });
    w.frame(0, &ethernet(0x0800, &ipv4(17, false, &udp(1000, 9999, b"x"))));
    w.handshake().client(20, FIN | ACK, 1, 1, b"").server(21, FIN | ACK, 1, 2, b"");
    w.frame(SECOND, &ethernet(0x0800, &ipv4(17, false, &udp(1001, 9999, b"x"))));
    assert_eq!((w.table.finished.evicted.0, w.table.finished.flows[0].conn_state), (0, "SF"));
    w.frame(2 * SECOND, &ethernet(0x0800, &ipv4(17, false, &udp(1002, 9999, b"x"))));
    let early = &w.table.finished.flows[1];
    assert_eq!((w.table.finished.evicted.0, early.endpoints.client_port), (1, 1000));
    assert!(early.completeness.has(Completeness::ENDED_AFTER));
}

#[test]
fn datagrams_pair_as_question_and_answer() {
    let mut w = Wire::new(settings());
    w.frame(0, &ethernet(0x0800, &ipv4(17, false, &udp(40_001, 9999, b"ask"))));
    w.frame(7 * MS, &ethernet(0x0800, &ipv4(17, true, &udp(9999, 40_001, b"tell"))));
    w.frame(8 * MS, &ethernet(0x0800, &ipv4(17, true, &udp(9999, 40_001, b"more"))));
    let mut finished = w.finish();
    let lives = |finished: &Finished| -> Vec<_> {
        finished.profile[0].rows(0, |_| None).map(|s| (s.segment, s.start / MS, s.duration_ns, s.bytes)).collect()
    };
    let expected =
        [("request_transfer", 0, 0, 3), ("server_response", 0, 7_000_000, 0), ("response_transfer", 7, 1_000_000, 8)];
    assert_eq!(lives(&finished), expected);
    let f = finished.flows.remove(0);
    assert_eq!((f.conn_state, f.history.as_str(), f.art.count, f.art.sum_ns), ("SF", "Dd", 1, 7_000_000));
    // ICMP echo: request and reply are one flow, its ports are the types.
    let mut w = Wire::new(settings());
    w.frame(0, &ethernet(0x0800, &ipv4(1, false, &[8, 0, 0, 0, 0, 1, 0, 1])));
    w.frame(3 * MS, &ethernet(0x0800, &ipv4(1, true, &[0, 0, 0, 0, 0, 1, 0, 1])));
    let mut finished = w.finish();
    // Without payload the transfers take neither time nor bytes.
    assert_eq!(lives(&finished), [("server_response", 0, 3_000_000, 0)]);
    let f = finished.flows.remove(0);
    assert_eq!((f.endpoints.client_port, f.endpoints.server_port, f.srt.count, f.srt.sum_ns), (8, 0, 1, 3_000_000));
}

#[test]
fn deepflow_rules_need_an_exact_acknowledgement() {
    let mut w = Wire::new(Settings { deepflow: true, ..settings() });
    w.handshake()
        .client(20, PSH | ACK, 1, 1, b"0123456789")
        .server(23, ACK, 1, 11, b"")
        .server(50, PSH | ACK, 1, 11, b"abcdefgh")
        .client(80, ACK, 11, 9, b"0123456789")
        .client(81, PSH | ACK, 21, 9, b"0123456789")
        .server(82, ACK, 1, 21, b"")
        .server(90, PSH | ACK, 9, 31, b"abcdefgh");
    let f = w.flow();
    // The second exchange: the first of its two segments has no PSH, and the acknowledgement is not of the last byte.
    assert_eq!((f.srt.count, f.srt.sum_ns), (1, 3_000_000));
    assert_eq!(f.rtt_ns, Some(14_000_000));
    assert_eq!(f.art.sum_ns, 30_000_000 + if f.art.count == 2 { 8_000_000 } else { 0 });
}
