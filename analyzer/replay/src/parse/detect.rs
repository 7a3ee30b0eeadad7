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

/// Asks all protocols that are not excluded.
pub(super) fn detect(bytes: &[u8], whole: bool, transport: Transport, ports: [u16; 2], excluded: u64) -> Found {
    let first = First { bytes, whole, transport };
    let mut best: Option<(u8, &'static Protocol, Option<Side>)> = None;
    let mut waiting = 0;
    for (place, protocol) in registry::ALL.iter().enumerate() {
        if excluded >> place.min(63) & 1 != 0 {
            continue;
        }
        let bonus = if protocol.ports.iter().any(|port| ports.contains(port)) { PORT_BONUS } else { 0 };
        match (protocol.detect)(first) {
            Detection::No => {}
            Detection::More => waiting = waiting.max(SURE - 1 + bonus),
            Detection::Yes { confidence, from } => {
                let confidence = confidence.saturating_add(bonus);
                if best.is_none_or(|(other, ..)| confidence > other) {
                    best = Some((confidence, protocol, from));
                }
            }
        }
    }
    match best {
        Some((confidence, protocol, from)) if confidence >= BELIEVED && (whole || confidence >= waiting) => {
            Found::Protocol { protocol, from }
        }
        _ if waiting > 0 && !whole => Found::More,
        _ => Found::Nothing,
    }
}
