//! The rows of [`crate::model`] as bytes. A field added there does not compile until it is named here.

use super::code::{Coded, Reader, Writer, coded, coded_enum};
use crate::model::{
    DelayStats, Endpoints, Fields, Flow, IcmpErrors, ObservedAt, ProcessRef, Request, RoundTrips, RttStretch, Session,
    Side, SideCounters, Status, ThreadPoint, Transport,
};

coded_enum!(Side { Client = 0, Server = 1 });
coded_enum!(Status { Ok = 0, ClientError = 1, ServerError = 2, Timeout = 3, Unknown = 4, ParseFailed = 5 });

coded!(Endpoints { client_ip, client_port, server_ip, server_port });
coded!(ProcessRef { pid, name, container });
coded!(DelayStats { count, sum_ns, max_ns, p50_ns, p95_ns, p99_ns });
coded!(RttStretch { start, samples, min_ns, max_ns, sum_ns });
coded!(RoundTrips { client, server });
coded!(IcmpErrors { count, ts, from, side, kind, code, mtu });
coded!(ThreadPoint { pid, tid, enter, exit });
coded!(SideCounters {
    packets,
    bytes,
    ip_bytes,
    payload_bytes,
    missed_bytes,
    stream_bytes,
    flags,
    retransmits,
    retransmitted_bytes,
    retransmitted_segments,
    retransmits_rto,
    retransmits_fast,
    retransmits_spurious,
    duplicates,
    out_of_order,
    zero_window,
    duplicate_acks,
    keep_alives,
    window_scale,
    mss,
    sack_permitted,
    max_in_flight,
    ack_rtt,
    window_full,
    zero_window_probes,
    ecn_ce,
    ecn_ece,
    ecn_cwr,
    initial_flight,
    initial_window,
    bad_checksums,
    bad_checksum_ip_bytes,
});
coded!(Flow {
    flow_id,
    community_id,
    observed_at,
    node,
    netns,
    start,
    end,
    active_until,
    transport,
    endpoints,
    client_mac,
    server_mac,
    vlan,
    tunnel,
    tunnel_id,
    tunnel_outer,
    carriers,
    client_process,
    server_process,
    client,
    server,
    syn_count,
    syn_ack_count,
    fin_count,
    rst_count,
    syn_retransmits,
    syn_ack_retransmits,
    rtt_ns,
    rtt_client_ns,
    rtt_server_ns,
    tls_rtt_ns,
    srt,
    art,
    cit,
    close_type,
    conn_state,
    history,
    round_trips,
    icmp_errors,
    l7_protocol,
    requests,
    request_errors,
    direction_score,
    completeness,
});
coded!(Fields<T, A> {
    l7_protocol,
    version,
    request_type,
    request_domain,
    request_resource,
    endpoint,
    session_id,
    status,
    code,
    exception,
    result,
    trace_id,
    span_id,
    parent_span_id,
    x_request_id,
    user_agent,
    affected_rows,
    is_async,
    attributes,
});
coded!(Session<F> {
    fields,
    request_ts,
    request_end_ts,
    first_byte_ts,
    response_ts,
    request_bytes,
    response_bytes,
    request_tcp_seq,
    response_tcp_seq,
    request_point,
    response_point,
    is_tls,
    completeness,
});
coded!(Request<F> { request_id, flow_id, observed_at, side, transport, endpoints, netns, session, sock, process });

impl Coded<'_> for Transport {
    fn put(&self, w: &mut Writer<'_>) {
        w.number(match self {
            Self::Tcp => 0,
            Self::Udp => 1,
            Self::Icmp => 2,
            Self::Icmp6 => 3,
            Self::Sctp => 4,
            Self::Unix => 5,
            Self::Other(protocol) => 6 + u64::from(*protocol),
        });
    }
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        Some(match r.number()? {
            0 => Self::Tcp,
            1 => Self::Udp,
            2 => Self::Icmp,
            3 => Self::Icmp6,
            4 => Self::Sctp,
            5 => Self::Unix,
            n => Self::Other(u8::try_from(n - 6).ok()?),
        })
    }
}

impl Coded<'_> for ObservedAt {
    fn put(&self, w: &mut Writer<'_>) {
        let (kind, number) = match self {
            Self::Interface(id) => (0, id),
            Self::Process(pid) => (1, pid),
        };
        w.byte(kind);
        number.put(w);
    }
    fn get(r: &mut Reader<'_>) -> Option<Self> {
        match r.byte()? {
            0 => Coded::get(r).map(Self::Interface),
            1 => Coded::get(r).map(Self::Process),
            _ => None,
        }
    }
}
