//! SCTP associations (RFC 9260): who set one up, where another one begins, how it ended.
//!
//! A flow is what goes between one pair of addresses: an association over several paths is as many flows.

use crate::decode::{Decoded, sctp_chunk as chunk};
use crate::model::Side;

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Joined in the middle, or another path of it.
    #[default]
    Unknown,
    /// INIT, without an answer.
    Initiated,
    /// INIT ACK.
    Answered,
    /// COOKIE ACK.
    Established,
    ShutDown,
    Aborted {
        by: Side,
        /// Before it was established, with or without an INIT ACK.
        setting_up: Option<bool>,
    },
}

/// One association, as seen on one path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Association {
    stage: Stage,
    /// Each side's initiate tag, 0 (which none is) if its INIT or INIT ACK was not seen.
    tags: [u32; 2],
}

impl Association {
    /// A packet of `side`.
    pub(super) fn packet(&mut self, side: Side, d: &Decoded) {
        match d.flags {
            chunk::INIT | chunk::INIT_ACK => {
                self.tags[side.index()] = d.seq;
                let stage = if d.flags == chunk::INIT { Stage::Initiated } else { Stage::Answered };
                if matches!(self.stage, Stage::Unknown | Stage::Initiated) {
                    self.stage = stage;
                }
            }
            chunk::COOKIE_ACK => self.stage = Stage::Established,
            chunk::SHUTDOWN_COMPLETE if !matches!(self.stage, Stage::Aborted { .. }) => self.stage = Stage::ShutDown,
            chunk::ABORT if !self.is_over() => {
                let setting_up = match self.stage {
                    Stage::Initiated => Some(false),
                    Stage::Answered => Some(true),
                    _ => None,
                };
                self.stage = Stage::Aborted { by: side, setting_up };
            }
            _ => {}
        }
    }

    fn is_over(self) -> bool {
        matches!(self.stage, Stage::ShutDown | Stage::Aborted { .. })
    }

    /// Whether `d`, of `side`, which has sent packets or has not, sets up another one: an INIT that is sent again has the tag that it had,
    /// a peer that restarts (section 5.2.2) has another one. Those of both sides may cross (section 5.2.1).
    pub(super) fn is_reused_by(self, side: Side, d: &Decoded, has_sent: bool) -> bool {
        let known = self.tags[side.index()];
        d.flags == chunk::INIT && d.seq != 0 && if known == 0 { has_sent || self.is_over() } else { known != d.seq }
    }

    /// The kind of end, in DeepFlow's words for TCP's; `None` if it did not come to one.
    pub(super) fn close_type(self) -> Option<&'static str> {
        let of = |by, client, server| if by == Side::Client { client } else { server };
        match self.stage {
            Stage::Unknown | Stage::Established => None,
            Stage::Initiated => Some("server_syn_miss"),
            Stage::Answered => Some("client_ack_miss"),
            Stage::ShutDown => Some("finish"),
            Stage::Aborted { by: Side::Server, setting_up: Some(false) } => Some("server_direct_rst"),
            Stage::Aborted { by, setting_up: Some(_) } => Some(of(by, "client_setup_rst", "server_setup_rst")),
            Stage::Aborted { by, setting_up: None } => Some(of(by, "client_rst", "server_rst")),
        }
    }
}
