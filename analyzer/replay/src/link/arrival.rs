//! What one process has read, the other had written before.
//!
//! A call that writes much returns some time after its last byte has left; one whose entry was not noted has only its
//! return. If the process at the other end runs on the same node, its read is by the same clock, and says how late that
//! byte can have left at most. Without this, a response would at times take longer at its server than at its client.

use super::observe::Ends;
use crate::model::{Nanos, ObservedAt, Request, Side};

/// Moves times of what was written back to where the other process had read it. `exchanges`: by request, the first of
/// the observations of the same request.
pub(super) fn bound(requests: &mut [Request], exchanges: &[u64], ends: &Ends) {
    for (i, &first) in exchanges.iter().enumerate() {
        let Ok(first) = usize::try_from(first) else { continue };
        let Ok([client, server]) = requests.get_disjoint_mut([first, i]) else { continue };
        let at_process = |r: &Request, side| r.side == Some(side) && matches!(r.observed_at, ObservedAt::Process(_));
        if at_process(client, Side::Client)
            && at_process(server, Side::Server)
            && ends.node(client.flow_id as u32) == ends.node(server.flow_id as u32)
        {
            not_after(&mut client.session.request_ts, server.session.request_ts);
            not_after(&mut server.session.first_byte_ts, client.session.first_byte_ts);
            // The last byte of the one is that of the other.
            if client.session.request_bytes == server.session.request_bytes {
                not_after(&mut client.session.request_end_ts, server.session.request_end_ts);
            }
            if client.session.response_bytes == server.session.response_bytes {
                not_after(&mut server.session.response_ts, client.session.response_ts);
            }
        }
    }
}

fn not_after(written: &mut Option<Nanos>, read: Option<Nanos>) {
    if let (Some(written), Some(read)) = (written, read) {
        *written = read.min(*written);
    }
}
