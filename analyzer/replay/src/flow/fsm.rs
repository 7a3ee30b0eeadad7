//! The TCP state machine that DeepFlow decides a flow's end by, as a table, and the kinds of ends.
//!
//! Rules read from deepflow's agent (`flow_state.rs`, `flow_node.rs`; Apache-2.0). A packet's flags are taken without ECE and CWR;
//! combinations that the table does not have leave the state as it is.

use crate::decode::tcp_flag as f;
use crate::model::{Nanos, Side};

/// States, named as in the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the source's names")]
pub enum FlowState {
    #[default]
    Raw,
    Opening1,
    Opening2,
    Established,
    ClosingTx1,
    ClosingTx2,
    ClosingRx1,
    ClosingRx2,
    Closed,
    Reset,
    Syn1,
    ClientL4PortReuse,
    SynAck1,
    ServerCandidateQueueLack,
    ServerReset,
    EstablishReset,
    OpeningRst,
}

const STATES: usize = 17;

/// How long a flow may be silent before it is over, by what happened last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the source's names")]
pub enum TimeoutClass {
    Opening,
    Closing,
    Established,
    EstablishedRst,
    OpeningRst,
    ClosedFin,
    #[default]
    Exception,
}

impl TimeoutClass {
    /// DeepFlow's times.
    #[must_use]
    pub fn nanos(self) -> Nanos {
        let seconds = match self {
            Self::Established => 300,
            Self::EstablishedRst => 35,
            Self::OpeningRst => 1,
            Self::ClosedFin => 2,
            Self::Opening | Self::Closing | Self::Exception => 5,
        };
        seconds * 1_000_000_000
    }
}

const SYN: u16 = 1;
const SYN_ACK: u16 = 2;
/// FIN, FIN-ACK, FIN-PSH-ACK.
const FINS: u16 = 4;
/// RST, RST-ACK, RST-PSH-ACK.
const RSTS: u16 = 8;
const ACK: u16 = 16;
/// PSH-ACK, PSH-ACK-URG.
const PSH_ACKS: u16 = 32;
const ACKS: u16 = ACK | PSH_ACKS;
const ANY: u16 = SYN | SYN_ACK | FINS | RSTS | ACKS;
const CLASSES: usize = 6;

const C: Side = Side::Client;
const S: Side = Side::Server;
use FlowState as F;
use TimeoutClass as T;

#[rustfmt::skip]
const RULES: [(Side, F, u16, F, T); 65] = [
    (C, F::Raw, SYN, F::Opening1, T::Opening),
    (C, F::Raw, FINS, F::ClosingTx1, T::Closing),
    (C, F::Raw, RSTS, F::Reset, T::Closing),
    (C, F::Raw, ACKS, F::Established, T::Established),
    (C, F::Opening1, SYN, F::Opening1, T::Opening),
    (C, F::Opening1, FINS, F::ClosingTx1, T::Closing),
    (C, F::Opening1, RSTS, F::EstablishReset, T::Closing),
    (C, F::Opening1, ACKS, F::Established, T::Established),
    (C, F::Opening2, SYN, F::Opening2, T::Opening),
    (C, F::Opening2, FINS, F::ClosingTx1, T::Closing),
    (C, F::Opening2, RSTS, F::OpeningRst, T::OpeningRst),
    (C, F::Opening2, ACKS, F::Established, T::Established),
    (C, F::Established, SYN | ACKS, F::Established, T::Established),
    (C, F::Established, FINS, F::ClosingTx1, T::Closing),
    (C, F::Established, RSTS, F::Reset, T::EstablishedRst),
    (C, F::ClosingTx1, SYN | SYN_ACK | FINS | ACKS, F::ClosingTx1, T::Closing),
    (C, F::ClosingTx1, RSTS, F::Reset, T::Closing),
    (C, F::ClosingTx2, SYN | SYN_ACK | FINS, F::ClosingTx2, T::Closing),
    (C, F::ClosingTx2, RSTS, F::Reset, T::ClosedFin),
    (C, F::ClosingTx2, ACK, F::Closed, T::ClosedFin),
    (C, F::ClosingRx1, SYN | SYN_ACK | ACKS, F::ClosingRx1, T::Closing),
    (C, F::ClosingRx1, FINS, F::ClosingRx2, T::Closing),
    (C, F::ClosingRx1, RSTS, F::Reset, T::Closing),
    (C, F::ClosingRx2, SYN | SYN_ACK | FINS | ACKS, F::ClosingRx2, T::Closing),
    (C, F::ClosingRx2, RSTS, F::Reset, T::ClosedFin),
    (C, F::Closed, ACK, F::Closed, T::ClosedFin),
    (C, F::Reset, ANY, F::Reset, T::Exception),
    (C, F::Syn1, SYN, F::Opening1, T::Opening),
    (C, F::Syn1, RSTS, F::ClientL4PortReuse, T::Closing),
    (C, F::Syn1, ACKS, F::Established, T::Established),
    (C, F::Syn1, FINS, F::ClosingTx1, T::Closing),
    (C, F::ClientL4PortReuse, ANY, F::ClientL4PortReuse, T::Exception),
    (C, F::SynAck1, SYN, F::Established, T::Established),
    (C, F::SynAck1, FINS, F::ClosingTx1, T::Closing),
    (C, F::SynAck1, RSTS, F::Reset, T::Closing),
    (C, F::SynAck1, ACKS, F::SynAck1, T::Established),
    (C, F::ServerCandidateQueueLack, ANY, F::ServerCandidateQueueLack, T::Exception),
    (C, F::ServerReset, ANY, F::ServerReset, T::Exception),
    (C, F::EstablishReset, ANY, F::EstablishReset, T::Exception),
    (C, F::OpeningRst, ANY, F::OpeningRst, T::OpeningRst),
    (S, F::Raw, SYN_ACK, F::Opening2, T::Opening),
    (S, F::Raw, FINS, F::ClosingRx1, T::Closing),
    (S, F::Opening1, SYN_ACK, F::Opening2, T::Opening),
    (S, F::Opening1, ACKS, F::Syn1, T::Opening),
    (S, F::Opening1, RSTS, F::ServerReset, T::Closing),
    (S, F::Opening1, FINS, F::ClosingRx1, T::Closing),
    (S, F::Opening2, SYN_ACK, F::Opening2, T::Opening),
    (S, F::Opening2, FINS, F::ClosingRx1, T::Closing),
    (S, F::Opening2, RSTS, F::EstablishReset, T::Closing),
    (S, F::Established, SYN_ACK, F::SynAck1, T::Established),
    (S, F::Established, FINS, F::ClosingRx1, T::Closing),
    (S, F::ClosingTx1, FINS, F::ClosingTx2, T::Closing),
    (S, F::ClosingTx2, ACKS, F::ClosingTx2, T::Closing),
    (S, F::ClosingRx1, FINS, F::ClosingRx1, T::Closing),
    (S, F::ClosingRx2, ACK, F::Closed, T::ClosedFin),
    (S, F::Closed, ACK, F::Closed, T::ClosedFin),
    (S, F::Syn1, SYN_ACK, F::Opening2, T::Opening),
    (S, F::Syn1, ACKS, F::Syn1, T::Opening),
    (S, F::Syn1, FINS, F::ClosingRx1, T::Closing),
    (S, F::Syn1, RSTS, F::EstablishReset, T::Closing),
    (S, F::SynAck1, SYN_ACK, F::SynAck1, T::Established),
    (S, F::SynAck1, FINS, F::ClosingRx1, T::Closing),
    (S, F::SynAck1, RSTS, F::ServerCandidateQueueLack, T::EstablishedRst),
    (S, F::SynAck1, ACKS, F::Established, T::Established),
    (S, F::OpeningRst, ANY, F::OpeningRst, T::OpeningRst),
];

/// One side's rules.
type Rules = [[Option<(F, T)>; CLASSES]; STATES];

/// (next state, time-out) by side, state and flag class. What the server's rules do not have, the client's say.
static TABLE: [Rules; 2] = {
    let mut table = [[[None; CLASSES]; STATES]; 2];
    let mut i = 0;
    while i < RULES.len() {
        let (side, state, flags, next, timeout) = RULES[i];
        let mut class = 0;
        while class < CLASSES {
            if flags & (1 << class) != 0 {
                table[side as usize][state as usize][class] = Some((next, timeout));
            }
            class += 1;
        }
        i += 1;
    }
    let mut state = 0;
    while state < STATES {
        let mut class = 0;
        while class < CLASSES {
            if table[S as usize][state][class].is_none() {
                table[S as usize][state][class] = table[C as usize][state][class];
            }
            class += 1;
        }
        state += 1;
    }
    table
};

#[inline]
fn class(flags: u8) -> Option<usize> {
    const FA: u8 = f::FIN | f::ACK;
    const FPA: u8 = FA | f::PSH;
    const RA: u8 = f::RST | f::ACK;
    const RPA: u8 = RA | f::PSH;
    const SA: u8 = f::SYN | f::ACK;
    const PA: u8 = f::PSH | f::ACK;
    const PAU: u8 = PA | f::URG;
    Some(match flags & 0x3f {
        f::ACK => 4,
        PA | PAU => 5,
        f::SYN => 0,
        SA => 1,
        f::FIN | FA | FPA => 2,
        f::RST | RA | RPA => 3,
        _ => return None,
    })
}

/// The machine of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    state: FlowState,
    timeout: TimeoutClass,
    /// Who sent the last RST.
    rst_from: Option<Side>,
    client_syn: bool,
    client_rst: bool,
    server_syn_ack: bool,
    pushed: bool,
}

impl Machine {
    /// A packet of `side` with `flags`.
    #[inline]
    pub fn packet(&mut self, side: Side, flags: u8) {
        let Some(class) = class(flags) else { return };
        match (class, side) {
            (0, C) => self.client_syn = true,
            (1, S) => self.server_syn_ack = true,
            (3, side) => {
                self.rst_from = Some(side);
                self.client_rst |= side == C;
            }
            (5, _) => self.pushed = true,
            _ => {}
        }
        if let Some((next, timeout)) = TABLE[side.index()][self.state as usize][class] {
            self.state = next;
            self.timeout = timeout;
        }
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> FlowState {
        self.state
    }

    /// How long it may be silent now.
    #[must_use]
    pub fn timeout(&self) -> TimeoutClass {
        self.timeout
    }

    /// Whether the connection is over, so that a SYN must be a new one.
    #[must_use]
    pub fn is_over(&self) -> bool {
        use FlowState::{Closed, ClosingRx2, ClosingTx2, EstablishReset, OpeningRst, Reset, ServerReset};
        matches!(self.state, Closed | ClosingTx2 | ClosingRx2 | Reset | ServerReset | EstablishReset | OpeningRst)
            || self.state == FlowState::ServerCandidateQueueLack
    }

    /// Whether the handshake is not complete: a SYN, or its answer, waits.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self.state, FlowState::Raw | FlowState::Opening1 | FlowState::Opening2 | FlowState::Syn1)
    }

    /// The kind of end: `timed_out` says that it was silent for too long, `server_packets` how much the server sent,
    /// `requests` how many of the requests in it were answered and how many of them with an error.
    #[must_use]
    pub fn close_type(&self, timed_out: bool, server_packets: u64, requests: (u32, u32)) -> &'static str {
        use FlowState as F;
        let by_rst = |client, server| if self.rst_from == Some(Side::Server) { server } else { client };
        let answered = requests.0 > 0 && requests.1 == 0;
        let heartbeat = self.client_syn && self.client_rst && self.server_syn_ack && !self.pushed;
        match self.state {
            F::Closed | F::ClosingTx2 | F::ClosingRx2 => "finish",
            F::Reset => match self.rst_from {
                Some(Side::Server) => "server_rst",
                _ if heartbeat || answered => "normal_client_rst",
                _ => "client_rst",
            },
            F::Established if timed_out => "timeout",
            F::Raw | F::Established => "forced_report",
            F::Opening1 => "server_syn_miss",
            F::Opening2 => "client_ack_miss",
            F::ClosingTx1 => "server_half_close",
            F::ClosingRx1 => "client_half_close",
            F::Syn1 | F::ClientL4PortReuse => "client_port_reuse",
            F::SynAck1 => "server_queue_lack",
            F::ServerCandidateQueueLack if server_packets > 3 => "server_queue_lack",
            F::ServerCandidateQueueLack => "client_rst",
            F::ServerReset => "server_direct_rst",
            F::EstablishReset | F::OpeningRst if heartbeat => "normal_client_rst",
            F::EstablishReset | F::OpeningRst => by_rst("client_setup_rst", "server_setup_rst"),
        }
    }
}
