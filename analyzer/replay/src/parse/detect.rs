//! Which protocol is it? Every protocol looks at the first bytes; the surest wins, its usual ports add to it.

use super::{Detection, First, Protocol, registry};
use crate::model::{Side, Transport};

/// From here on a candidate is believed.
const BELIEVED: u8 = 50;
/// From here on nobody else is asked to wait for.
const SURE: u8 = 90;
/// What the usual port adds.
const PORT_BONUS: u8 = 30;

/// Outcome of looking at first bytes.
pub(super) enum Found {
    /// This one.
    Protocol {
        /// Line in the registry.
        protocol: &'static Protocol,
        /// Who sends such bytes, if only one side does.
        from: Option<Side>,
    },
    /// Not enough bytes.
    More,
    /// None.
    Nothing,
}

/// The most that a protocol is sure, without its usual port.
const MOST: u8 = 100;

/// Asks all protocols that are not excluded. Those on their usual ports come first: nobody else need be asked where one of them is surer
/// than others can be.
pub(super) fn detect(bytes: &[u8], whole: bool, transport: Transport, ports: [u16; 2], excluded: u64) -> Found {
    let first = First { bytes, whole, transport };
    let is_at_home = |protocol: &Protocol| protocol.ports.iter().any(|port| ports.contains(port));
    let candidates = || registry::ALL.iter().enumerate().filter(|(place, _)| excluded >> place.min(&63) & 1 == 0);
    let at_home = candidates().filter(|(_, p)| is_at_home(p)).map(|candidate| (candidate, PORT_BONUS));
    let others = candidates().filter(|(_, p)| !is_at_home(p)).map(|candidate| (candidate, 0));
    let mut best: Option<Candidate> = None;
    let mut waiting = 0;
    for ((place, protocol), bonus) in at_home.chain(others) {
        if bonus == 0 && best.as_ref().is_some_and(|best| best.confidence > MOST) {
            break;
        }
        match (protocol.detect)(first) {
            Detection::No => {}
            Detection::More => waiting = waiting.max(SURE - 1 + bonus),
            Detection::Yes { confidence, from } => {
                let confidence = confidence.min(MOST) + bonus;
                // Of those equally sure the first of the registry.
                let is_better = |best: &Candidate| (confidence, best.place) > (best.confidence, place);
                if best.as_ref().is_none_or(is_better) {
                    best = Some(Candidate { confidence, place, protocol, from });
                }
            }
        }
    }
    match best {
        Some(Candidate { confidence, protocol, from, .. })
            if confidence >= BELIEVED && (whole || confidence >= waiting) =>
        {
            Found::Protocol { protocol, from }
        }
        _ if waiting > 0 && !whole => Found::More,
        _ => Found::Nothing,
    }
}

/// A protocol that may be it.
struct Candidate {
    confidence: u8,
    /// In the registry.
    place: usize,
    protocol: &'static Protocol,
    from: Option<Side>,
}
