//! How connections open, and when another one begins between the same ends.

use super::{ACK, FIN, MS, PSH, RST, SYN, Wire, settings};

/// RFC 9293, figure 8: each end's SYN crosses the other's, and goes again with the acknowledgement.
#[test]
fn both_ends_open_at_once() {
    let mut w = Wire::new(settings());
    w.scale = Some(2);
    w.tcp(0, false, SYN, 100, 0, b"").tcp(3, true, SYN, 500, 0, b"");
    w.client(4, SYN | ACK, 0, 1, b"").server(10, SYN | ACK, 0, 1, b"");
    w.scale = None;
    w.client(500, PSH | ACK, 1, 1, b"hello").server(506, ACK, 1, 6, b"");
    let f = w.flow();
    assert_eq!((f.syn_count, f.syn_ack_count, f.syn_retransmits, f.syn_ack_retransmits), (2, 2, 0, 0));
    assert_eq!((f.client.retransmits, f.server.retransmits, f.client.duplicate_acks), (0, 0, 0));
    // From the client's SYN to its answer, from the server's to its own; what the client did then is not in it.
    assert_eq!(
        (f.rtt_server_ns, f.rtt_client_ns, f.rtt_ns),
        (Some(10 * MS as u64), Some(MS as u64), Some(11 * MS as u64))
    );
    assert_eq!((f.client.initial_window, f.conn_state), (4000, "S1"));
}

/// A SYN-ACK is sent again if its acknowledgement does not come, also by those that opened at once.
#[test]
fn an_answer_to_both_that_is_sent_again_counts() {
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").tcp(3, true, SYN, 500, 0, b"");
    w.server(10, SYN | ACK, 0, 1, b"").server(1010, SYN | ACK, 0, 1, b"").client(1011, ACK, 1, 1, b"");
    let f = w.flow();
    assert_eq!((f.syn_ack_count, f.syn_ack_retransmits, f.syn_retransmits), (2, 1, 0));
}

/// One direction alone (asymmetric routes), or a SYN that the capture lost: the SYN-ACK tells another connection.
#[test]
fn another_syn_ack_is_another_flow() {
    let server_only = |ended: bool| {
        let mut w = Wire::new(settings());
        w.server(0, SYN | ACK, 0, 1, b"").server(5, PSH | ACK, 1, 21, b"answer");
        if ended {
            w.server(6, FIN | ACK, 7, 22, b"");
        }
        w.tcp(100, true, SYN | ACK, 70_000, 90_001, b"").tcp(105, true, PSH | ACK, 70_001, 90_021, b"again");
        w
    };
    for ended in [true, false] {
        let seen: Vec<_> = server_only(ended).finish().flows.iter().map(|f| (f.start / MS, f.server.packets)).collect();
        assert_eq!(seen, [(0, 2 + u64::from(ended)), (100, 2)], "{ended}");
    }
    let mut w = Wire::new(settings());
    w.handshake().client(20, PSH | ACK, 1, 1, b"ask").server(21, PSH | ACK, 1, 4, b"answer").client(22, ACK, 4, 7, b"");
    w.tcp(50, true, SYN | ACK, 70_000, 90_001, b"").tcp(51, false, PSH | ACK, 90_001, 70_001, b"ask");
    let seen: Vec<_> =
        w.finish().flows.iter().map(|f| (f.start / MS, f.client.missed_bytes, f.client.stream_bytes)).collect();
    assert_eq!(seen, [(0, 0, 3), (50, 0, 3)]);
}

/// SYN-ACKs of several that answer one SYN (an injected one, a load balancer's) are of one connection, whatever their numbers, and so is one
/// that comes again.
#[test]
fn other_answers_to_the_same_syn_are_no_other_flow() {
    let mut w = Wire::new(settings());
    w.handshake().server(15, SYN | ACK, 7777, 1, b"").client(16, RST, 1, 0, b"");
    w.server(17, SYN | ACK, 0, 1, b"").client(18, ACK, 1, 1, b"");
    assert_eq!(w.finish().flows.len(), 1);
    // Data in the SYN (RFC 7413) is acknowledged with it, and not again if the SYN-ACK comes twice.
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"GET /").server(10, SYN | ACK, 0, 6, b"").server(11, SYN | ACK, 9, 6, b"");
    assert_eq!(w.finish().flows.len(), 1);
}

/// A server that forgot, or never knew (SYN cookies), answers the SYN that was sent again with another number; the client has agreed on the first
/// and goes on with that.
#[test]
fn a_second_answer_with_another_number_changes_nothing() {
    let mut w = Wire::new(settings());
    w.tcp(0, false, SYN, 100, 0, b"").tcp(900, false, SYN, 100, 0, b"");
    w.server(1000, SYN | ACK, 0, 1, b"").client(1001, ACK, 1, 1, b"").client(1002, PSH | ACK, 1, 1, b"ask");
    // Numbers of 99,000,000 higher, and later lower than that again.
    w.server(1700, SYN | ACK, 99_000_000, 1, b"").client(1701, ACK, 4, 1, b"");
    w.server(1800, PSH | ACK, 1, 4, b"answer").client(1803, ACK, 4, 7, b"");
    w.server(1900, PSH | ACK, 7, 4, b"more").client(1905, ACK, 4, 11, b"");
    let f = w.flow();
    assert_eq!((f.server.retransmits, f.server.missed_bytes, f.server.stream_bytes), (0, 0, 10));
    // The SYN-ACK's 1 ms, 3 and 5 of data.
    assert_eq!((f.server.ack_rtt.count, f.server.ack_rtt.sum_ns), (3, 9_000_000));
}

/// RFC 9768: CWR in the SYN-ACK is the answer of an end that counts marked packets in ECE and CWR from there on.
#[test]
fn counts_of_marked_packets_are_no_congestion() {
    const ECE: u8 = 64;
    const CWR: u8 = 128;
    for (answer, ece, cwr) in [(CWR, 0, 0), (CWR | ECE, 0, 0), (ECE, 2, 1)] {
        let mut w = Wire::new(settings());
        w.tcp(0, false, SYN | ECE | CWR, 100, 0, b"").server(10, SYN | ACK | answer, 0, 1, b"");
        w.client(14, ACK | CWR, 1, 1, b"").client(20, PSH | ACK, 1, 1, b"0123456789");
        w.server(21, ACK | ECE, 1, 11, b"").server(22, PSH | ACK | ECE, 1, 11, b"x");
        let f = w.flow();
        assert_eq!((f.server.ecn_ece, f.client.ecn_cwr), (ece, cwr), "{answer:#x}");
    }
}
