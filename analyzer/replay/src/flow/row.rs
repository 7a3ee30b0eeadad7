//! From an open flow to the rows about it.

use super::community_id;
use super::delay::Delays;
use super::table::{Finished, Settings};
use super::track::{Asked, Inside, Track};
use crate::decode::transport_of;
use crate::model::{Completeness, DelayStats, Endpoints, Flow, Nanos, ObservedAt, Request, RoundTrips, Side};
use crate::netprofile::{MAX_SEGMENTS, Profile};
use crate::order::ip_from_number;
use std::sync::Arc;

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was silent for too long, or its ends opened another connection.
    TimedOut,
    /// Another connection of the same ends began.
    Reused,
    /// There were too many open flows.
    Evicted,
    /// The capture ended, at this time.
    CaptureEnd(Nanos),
}

/// Time after which a flow that is silent at the end of the capture counts as ended, where nothing says that it did.
const SILENT: Nanos = 5_000_000_000;

fn endpoints_of([client, server]: [(u128, u16); 2]) -> Endpoints {
    Endpoints {
        client_ip: Some(ip_from_number(client.0)),
        client_port: client.1,
        server_ip: Some(ip_from_number(server.0)),
        server_port: server.1,
    }
}

impl Track {
    /// Writes the rows.
    pub(super) fn finish(mut self, why: Why, settings: &Settings, out: &mut Finished) {
        self.end_streams();
        let flow_id = u64::from(self.number);
        let mut protocol = self.carrier;
        // Only what was seen to end was closed: requests without response may else have timed out, or be answered later.
        let over = why == Why::Reused || self.tcp.as_ref().is_some_and(|t| t.machine.is_over() || self.zeek.is_over());
        let timeout = self.timeout(settings);
        if let Some(conversation) = self.conversation.as_deref_mut() {
            if let Some(left) = self.tcp.as_ref().and_then(|tcp| tcp.left()) {
                conversation.leaves(if self.turned { left.other() } else { left });
            }
            if over {
                conversation.close(self.last);
            }
            conversation.finish(match why {
                Why::CaptureEnd(end) => end.max(self.last),
                Why::TimedOut => self.last.saturating_add(timeout),
                Why::Reused | Why::Evicted => self.last,
            });
            protocol = conversation.protocol();
            out.masked.add(conversation.masked());
            self.hand_on(settings, out);
        }
        let Asked { requests, answered, errors, mut starts, mut begun } = std::mem::take(&mut self.asked_for);
        let transport = transport_of(self.protocol);
        let endpoints = self.endpoints();
        let mut completeness = self.completeness;
        if self.counters.iter().any(|c| c.missed_bytes > 0) {
            completeness.add(Completeness::GAP);
        }
        let (timed_out, silent) = match why {
            Why::TimedOut => (true, true),
            Why::CaptureEnd(end) => (self.is_silent(end, settings), end.saturating_sub(self.last) >= SILENT),
            Why::Reused | Why::Evicted => (false, false),
        };
        let is_over = self.tcp.as_ref().is_some_and(|t| t.machine.is_over() || self.zeek.is_over());
        if why == Why::Evicted || matches!(why, Why::CaptureEnd(_)) && !is_over && !silent {
            completeness.add(Completeness::ENDED_AFTER);
        }
        let no_data = self.counters.iter().all(|c| c.payload_bytes == 0);
        let (close_type, conn_state) = match &self.tcp {
            Some(t) => {
                let server_packets = self.counters[Side::Server.index()].packets;
                (t.machine.close_type(timed_out, server_packets, (answered, errors)), self.zeek.conn_state(no_data))
            }
            None => {
                let otherwise = if timed_out || silent { "finish" } else { "forced_report" };
                let close = self.association.close_type().unwrap_or(otherwise);
                (close, if self.protocol == 17 { self.zeek.udp_state() } else { "OTH" })
            }
        };
        let [mut client, mut server] = self.counters;
        let ns = |n: Option<Nanos>| n.and_then(|n| u64::try_from(n).ok());
        let mut flow = Flow {
            flow_id,
            community_id: community_id(transport, &endpoints),
            observed_at: ObservedAt::Interface(self.interface),
            node: 0,
            netns: 0,
            start: self.first,
            end: self.last,
            active_until: self.zeek.active_until().unwrap_or(self.last),
            transport,
            endpoints,
            client_mac: self.macs[0],
            server_mac: self.macs[1],
            vlan: self.vlan.checked_sub(1),
            tunnel: Arc::from(""),
            tunnel_id: None,
            tunnel_outer: None,
            carriers: Vec::new(),
            client_process: None,
            server_process: None,
            client: Default::default(),
            server: Default::default(),
            syn_count: self.handshake[0],
            syn_ack_count: self.handshake[1],
            fin_count: self.handshake[2],
            rst_count: self.handshake[3],
            syn_retransmits: self.syn_retransmits,
            syn_ack_retransmits: self.syn_ack_retransmits,
            rtt_ns: None,
            rtt_client_ns: None,
            rtt_server_ns: None,
            tls_rtt_ns: None,
            srt: self.srt.stats(),
            art: self.art.stats(),
            cit: DelayStats::default(),
            close_type,
            conn_state,
            history: self.zeek.history(),
            round_trips: None,
            icmp_errors: self.told.take(),
            l7_protocol: protocol,
            requests,
            request_errors: errors,
            direction_score: self.decision.score,
            completeness,
        };
        if let Some(tunnel) = self.tunnel {
            let Inside { tunnel: t, sender, carriers } = *tunnel;
            flow.tunnel = out.names.get(&t.names());
            flow.tunnel_id = t.id;
            flow.tunnel_outer =
                t.outer_ips().map(|(src, dst)| if sender == Side::Client { (src, dst) } else { (dst, src) });
            flow.carriers = carriers.into_iter().map(endpoints_of).collect();
        }
        let mut profile = Profile::default();
        if let Some(mut tcp) = self.tcp {
            flow.rtt_ns = ns(tcp.rtt);
            flow.rtt_client_ns = ns(tcp.rtt_client);
            flow.rtt_server_ns = ns(tcp.rtt_server);
            flow.tls_rtt_ns = ns(tcp.tls_rtt);
            flow.cit = tcp.cit.stats();
            flow.round_trips = tcp.round_trips.take().map(|both| {
                let [client, server] = *both;
                Box::new(RoundTrips { client: client.finish(), server: server.finish() })
            });
            client.ack_rtt = tcp.analysis.halves[0].take_round_trips().stats();
            server.ack_rtt = tcp.analysis.halves[1].take_round_trips().stats();
            if let Some(deepflow) = tcp.deepflow {
                let m = deepflow.metrics;
                flow.rtt_ns = ns(m.rtt_full);
                let max = |d: Delays| Some(d.stats()).filter(|s| s.count > 0).map(|s| s.max_ns);
                let [rtt_client, rtt_server] = m.rtt;
                flow.rtt_client_ns = max(rtt_client);
                flow.rtt_server_ns = max(rtt_server);
                let [_, srt] = m.srt;
                let [_, art] = m.art;
                (flow.srt, flow.art, flow.cit) = (srt.stats(), art.stats(), m.cit.stats());
                (client.retransmits, server.retransmits) = (m.retransmits[0], m.retransmits[1]);
                (flow.syn_retransmits, flow.syn_ack_retransmits) =
                    (m.handshake_retransmits[0], m.handshake_retransmits[1]);
                (client.zero_window, server.zero_window) = (m.zero_windows[0], m.zero_windows[1]);
                (client.out_of_order, server.out_of_order) = (m.out_of_order[0], m.out_of_order[1]);
            }
            starts.sort_unstable();
            // A keep-alive's byte, or what a parser skipped, may stand before the request.
            let request_of = |seq: u32, len: u32| {
                let place = starts.partition_point(|(s, _)| *s < seq);
                starts.get(place).filter(|(s, _)| *s - seq < len.max(1)).map(|(_, id)| *id)
            };
            // A datagram's clock may have been set back: the profile is made of the times as they were seen.
            if settings.keep.profile {
                profile = tcp.profiler.finish(self.last, request_of);
            }
        }
        // The sides of QUIC do not take turns.
        if let Some(turns) = self.turns
            && protocol != "quic"
        {
            begun.sort_unstable();
            profile = turns.finish(self.last, |ts| {
                let place = begun.partition_point(|(start, _)| *start < ts);
                begun.get(place).filter(|(start, _)| *start == ts).map(|(_, id)| *id)
            });
        }
        flow.client = client;
        flow.server = server;
        if self.turned && requests > 0 {
            out.turned.push((self.number, endpoints));
        }
        if let Some(mut log) = self.log.take() {
            log.finish();
            out.logs.push((self.number, log));
        }
        out.profile.push(profile);
        out.flows.push(flow);
    }

    fn endpoints(&self) -> Endpoints {
        endpoints_of(self.ends)
    }

    /// Whether requests are finished that have not been handed on.
    #[inline]
    pub(super) fn has_sessions(&self) -> bool {
        self.conversation.as_ref().is_some_and(|c| c.has_sessions())
    }

    /// Hands on the requests that are finished: a connection may have millions of them before it ends.
    pub(super) fn hand_on(&mut self, settings: &Settings, out: &mut Finished) {
        let Some(conversation) = self.conversation.as_deref_mut() else { return };
        conversation.sessions(&mut out.sessions);
        let endpoints = self.endpoints();
        let asked = &mut self.asked_for;
        for s in out.sessions.drain(..) {
            asked.requests = asked.requests.saturating_add(1);
            asked.answered = asked.answered.saturating_add(u32::from(s.response_ts.is_some()));
            asked.errors = asked.errors.saturating_add(u32::from(s.fields.status.is_error()));
            if !settings.keep.requests {
                continue;
            }
            let wanted = settings.keep.profile && self.tcp.is_some() && asked.starts.len() < MAX_SEGMENTS;
            if let (true, Some(seq)) = (wanted, s.request_tcp_seq) {
                asked.starts.push((seq, out.requested));
            }
            if let (true, true, Some(ts)) = (settings.keep.profile, self.turns.is_some(), s.request_ts) {
                asked.begun.push((ts, out.requested));
            }
            out.requested = out.requested.wrapping_add(1);
            out.requests.push(Request {
                request_id: 0,
                flow_id: u64::from(self.number),
                observed_at: ObservedAt::Interface(self.interface),
                side: None,
                transport: transport_of(self.protocol),
                endpoints,
                netns: 0,
                session: s,
                sock: 0,
                process: None,
            });
        }
    }
}
