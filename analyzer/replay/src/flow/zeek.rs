//! Zeek's view of a TCP connection: states of its two ends, `conn_state` and `history`.
//!
//! Follows the behaviour of Zeek's TCP analyzer (`TCPSessionAdapter.cc`, `conn/main.zeek`; BSD). Originator = client.

use crate::decode::{Decoded, tcp_flag as f};
use crate::model::{Nanos, Side};

/// State of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    Partial,
    Established,
    Closed,
    Reset,
}

/// Letters of a history at most; Zeek has no limit, but a hostile capture must not grow it.
const MAX_HISTORY: usize = 64;

/// An event that is written down at its 1st, 10th, 100th ... time.
#[derive(Clone, Copy, Debug)]
struct Scaled {
    count: u32,
    next: u32,
}

impl Default for Scaled {
    fn default() -> Self {
        Self { count: 0, next: 1 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Endpoint {
    state: End,
    before: End,
    /// Letters given already, by bit.
    given: u16,
    last_syn: u32,
    last_fin: u32,
    last_rst: u32,
    last_seq: u32,
    retransmits: Scaled,
    zero_windows: Scaled,
    gaps: Scaled,
    wrong_checksums: Scaled,
    started: bool,
    /// It sent a FIN or a RST.
    closed: bool,
}

/// History and state of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Zeek {
    ends: [Endpoint; 2],
    history: Vec<u8>,
    /// Its last packet before both ends had closed.
    active_until: Option<Nanos>,
}

const HISTORY_BITS: &[u8; 8] = b"SFRDAIQH";

impl Zeek {
    fn letter(&mut self, side: Side, letter: u8) {
        if self.history.len() < MAX_HISTORY {
            self.history.push(if side == Side::Client { letter } else { letter.to_ascii_lowercase() });
        }
    }

    /// Adds a letter the first time; returns whether it was there already.
    fn once(&mut self, side: Side, letter: u8) -> bool {
        // A SYN and a SYN-ACK of one side share their bit, as in Zeek.
        let name = if letter == b'H' { b'S' } else { letter };
        let bit = HISTORY_BITS.iter().position(|&b| b == name).unwrap_or(0);
        let end = &mut self.ends[side.index()];
        if end.given >> bit & 1 == 1 {
            return true;
        }
        end.given |= 1 << bit;
        self.letter(side, letter);
        false
    }

    fn scaled(&mut self, side: Side, letter: u8, which: fn(&mut Endpoint) -> &mut Scaled) {
        let s = which(&mut self.ends[side.index()]);
        s.count = s.count.saturating_add(1);
        if s.count == s.next {
            s.next = s.next.saturating_mul(10);
            self.letter(side, letter);
        }
    }

    /// Gives back memory that is not in use.
    pub(super) fn shrink(&mut self) {
        self.history.shrink_to_fit();
    }

    /// The roles were turned round because of the ports.
    pub(super) fn flipped(&mut self) {
        self.history.push(b'^');
    }

    /// The protocol proved that the sides are the other way round.
    pub(super) fn turn(&mut self) {
        self.ends.swap(0, 1);
        for letter in &mut self.history {
            *letter =
                if letter.is_ascii_uppercase() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() };
        }
        self.history.insert(0, b'^');
    }

    /// Bytes of `side` are missing.
    pub(super) fn gap(&mut self, side: Side) {
        self.scaled(side, b'G', |e| &mut e.gaps);
    }

    /// A packet of `side` with a wrong checksum, of which nothing else is believed.
    pub(super) fn wrong_checksum(&mut self, side: Side) {
        self.scaled(side, b'C', |e| &mut e.wrong_checksums);
    }

    /// When the last packet came that counts for the duration: those after both ends have closed do not.
    pub(super) fn active_until(&self) -> Option<Nanos> {
        self.active_until
    }

    /// UDP: a datagram with data.
    pub(super) fn datagram(&mut self, side: Side) {
        self.once(side, b'D');
        self.ends[side.index()].state = End::Established;
    }

    /// UDP's states.
    #[must_use]
    pub(super) fn udp_state(&self) -> &'static str {
        match (self.ends[0].state != End::Inactive, self.ends[1].state != End::Inactive) {
            (true, true) => "SF",
            (true, false) => "S0",
            (false, true) => "SHR",
            (false, false) => "OTH",
        }
    }

    /// A TCP packet of `side`; `len` is its payload.
    #[inline]
    pub(super) fn packet(&mut self, side: Side, d: &Decoded) {
        let (syn, fin, rst, ack) = (d.has(f::SYN), d.has(f::FIN), d.has(f::RST), d.has(f::ACK));
        let len = if rst { 0 } else { d.payload_len };
        let end_seq = d.seq.wrapping_add(len).wrapping_add(u32::from(syn) + u32::from(fin));
        if !self.ends.iter().all(|e| e.closed) {
            self.active_until = self.active_until.max(Some(d.ts));
        }
        let me = &mut self.ends[side.index()];
        me.closed |= fin || rst;
        if !me.started {
            me.started = true;
            // The first packet is never a retransmission.
            me.last_seq = d.seq;
        }
        if !syn && !fin && !rst {
            // Nearly every packet.
            if d.payload_len > 0 {
                self.once(side, b'D');
            } else if ack {
                self.once(side, b'A');
            }
        } else {
            self.control(side, d, syn, fin, rst, ack);
        }
        let peer = self.ends[side.other().index()].state;
        let me = &mut self.ends[side.index()];
        if d.window == 0 && !rst && peer != End::Closed && me.state != End::Reset {
            self.scaled(side, b'W', |e| &mut e.zero_windows);
        }
        let me = &mut self.ends[side.index()];
        let delta = end_seq.wrapping_sub(me.last_seq) as i32;
        if me.state == End::Reset || (syn || rst) && delta.unsigned_abs() > 1 << 20 {
            // Such numbers are not trusted.
        } else if delta > 0 {
            me.last_seq = end_seq;
        } else if len > 0 {
            self.scaled(side, b'T', |e| &mut e.retransmits);
        }
        self.advance(side, len, syn, fin, rst, ack);
    }

    fn control(&mut self, side: Side, d: &Decoded, syn: bool, fin: bool, rst: bool, ack: bool) {
        let i = side.index();
        if u8::from(syn) + u8::from(fin) + u8::from(rst) > 1 {
            self.once(side, if fin && rst { b'I' } else { b'Q' });
            return;
        }
        if syn {
            let letter = if ack { b'H' } else { b'S' };
            if self.once(side, letter) && d.seq != self.ends[i].last_syn {
                self.letter(side, letter);
            }
            self.ends[i].last_syn = d.seq;
        }
        if fin {
            let at = d.seq.wrapping_add(d.payload_len);
            if self.once(side, b'F') && at != self.ends[i].last_fin {
                self.letter(side, b'F');
            }
            self.ends[i].last_fin = at;
        }
        if rst {
            if self.once(side, b'R') && d.seq != self.ends[i].last_rst {
                self.letter(side, b'R');
            }
            self.ends[i].last_rst = d.seq;
        }
    }

    fn set(&mut self, side: Side, state: End) {
        let e = &mut self.ends[side.index()];
        e.before = e.state;
        e.state = state;
    }

    #[inline]
    fn advance(&mut self, side: Side, len: u32, syn: bool, fin: bool, rst: bool, ack: bool) {
        let state = self.ends[side.index()].state;
        let peer = side.other();
        match state {
            End::Inactive => self.first_packet(side, len, syn, fin, rst, ack),
            End::SynSent | End::SynAckSent => {
                if fin {
                    self.set(side, End::Closed);
                }
                if rst {
                    self.set(side, End::Reset);
                }
            }
            End::Established | End::Partial => {
                if !(syn || fin || rst) {
                    return;
                }
                if syn && !ack && state == End::Partial && self.ends[peer.index()].state == End::Inactive {
                    self.set(side, End::SynSent);
                }
                if fin && !rst {
                    self.set(side, End::Closed);
                    let p = self.ends[peer.index()];
                    if p.state == End::Reset && p.before == End::Closed {
                        // A FIN and then a RST of the peer were a normal end after all.
                        self.set(peer, End::Closed);
                    }
                }
                if rst {
                    self.set(side, End::Reset);
                }
            }
            End::Closed => {
                if rst && self.ends[peer.index()].state != End::Closed {
                    self.set(side, End::Reset);
                }
            }
            End::Reset => {}
        }
    }

    fn first_packet(&mut self, side: Side, len: u32, syn: bool, fin: bool, rst: bool, ack: bool) {
        let peer = side.other();
        let peer_state = self.ends[peer.index()].state;
        if syn {
            if side == Side::Client {
                self.set(side, if ack { End::SynAckSent } else { End::SynSent });
            } else {
                if peer_state == End::SynSent {
                    self.set(peer, End::Established);
                }
                self.set(side, End::Established);
            }
        }
        if fin {
            self.set(side, End::Closed);
        }
        if rst {
            self.set(side, End::Reset);
        }
        if self.ends[side.index()].state == End::Inactive {
            if side == Side::Server && len == 0 && peer_state == End::SynSent {
                // Some acknowledge a SYN before they answer it.
            } else if ack && peer_state == End::Established {
                self.set(side, End::Established);
            } else {
                self.set(side, End::Partial);
            }
        }
    }

    /// Whether both ends are closed or one was reset.
    #[must_use]
    pub(super) fn is_over(&self) -> bool {
        let [a, b] = self.ends.map(|e| e.state);
        a == End::Reset || b == End::Reset || a == End::Closed && b == End::Closed
    }

    /// Zeek's `conn_state` of a TCP connection.
    #[must_use]
    pub(super) fn conn_state(&self, no_data: bool) -> &'static str {
        use End::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        let [o, r] = self.ends.map(|e| e.state);
        let o_inactive = matches!(o, Inactive | Partial);
        let r_inactive = matches!(r, Inactive | Partial);
        match (o, r) {
            (SynSent | SynAckSent, Reset) => "REJ",
            (Reset, Reset) if no_data => "REJ",
            (_, Reset) => {
                if o_inactive {
                    "RSTRH"
                } else {
                    "RSTR"
                }
            }
            (Reset, _) => {
                if r_inactive {
                    if self.was_only_opened() { "RSTOS0" } else { "OTH" }
                } else {
                    "RSTO"
                }
            }
            (Closed, Closed) => "SF",
            (Closed, _) => {
                if r_inactive {
                    "SH"
                } else {
                    "S2"
                }
            }
            (_, Closed) => {
                if o_inactive {
                    "SHR"
                } else {
                    "S3"
                }
            }
            (SynSent, Inactive) => "S0",
            (Established, Established) => "S1",
            _ => "OTH",
        }
    }

    /// Whether the originator sent a SYN, and nothing else of note before its RST: the pattern `^?S[^HAFGIQ]*R` of conn/main.zeek.
    fn was_only_opened(&self) -> bool {
        let history = self.history.strip_prefix(b"^").unwrap_or(&self.history);
        let Some(rest) = history.strip_prefix(b"S") else { return false };
        rest.iter().position(|&c| c == b'R').is_some_and(|r| rest.iter().take(r).all(|c| !b"HAFGIQ".contains(c)))
    }

    /// The history.
    #[must_use]
    pub(super) fn history(&self) -> String {
        self.history.iter().map(|&b| char::from(b)).collect()
    }
}
