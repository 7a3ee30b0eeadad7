//! Tests play conversations: who says what, in which pieces, and what comes out, as lines that can be read.

use super::{Conversation, ParseOptions, Segment, Session};
use crate::model::{Side, Transport};

/// The client says.
pub(super) fn c(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Client, bytes.as_ref().to_vec())
}

/// The server says.
pub(super) fn s(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Server, bytes.as_ref().to_vec())
}

/// Bytes written as hex digits, white space ignored.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// One segment of the script per turn, one millisecond apart.
pub(super) fn play(script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    play_on(Transport::Tcp, 40000, 40001, script)
}

/// The same on given ports.
pub(super) fn play_on(transport: Transport, client: u16, server: u16, script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    let mut conversation = Conversation::new(transport, client, server);
    for (turn, (from, data)) in script.iter().enumerate() {
        say(&mut conversation, *from, data, 0, turn);
    }
    end(conversation, script.len())
}

/// With secrets shown.
pub(super) fn play_open(script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    play_open_on(40001, script)
}

/// The same on a given port.
pub(super) fn play_open_on(port: u16, script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    let mut conversation = Conversation::with_options(
        Transport::Tcp,
        40000,
        port,
        &ParseOptions { show_secrets: true, ..ParseOptions::default() },
    );
    for (turn, (from, data)) in script.iter().enumerate() {
        say(&mut conversation, *from, data, 0, turn);
    }
    end(conversation, script.len())
}

/// Every turn cut to a prefix, as system calls are recorded.
pub(super) fn play_prefix(port: u16, prefix: usize, script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
    for (turn, (from, data)) in script.iter().enumerate() {
        let kept = &data[..prefix.min(data.len())];
        say(&mut conversation, *from, kept, data.len() - kept.len(), turn);
    }
    end(conversation, script.len())
}

/// One segment.
pub(super) fn say(conversation: &mut Conversation, from: Side, data: &[u8], missing: usize, turn: usize) {
    let ts = i64::try_from(turn).unwrap() * 1_000_000;
    let missing = u32::try_from(missing).unwrap();
    conversation.data(&Segment { from, start_ts: ts, end_ts: ts, tcp_seq: None, point: None, data, missing });
}

/// The capture ends with the last turn.
pub(super) fn end(mut conversation: Conversation, turns: usize) -> Vec<Session> {
    conversation.finish(i64::try_from(turns).unwrap() * 1_000_000);
    let mut sessions = Vec::new();
    conversation.sessions(&mut sessions);
    sessions
}

/// `protocol type|domain|resource|endpoint status code exception`, what is empty left out.
pub(super) fn line(session: &Session) -> String {
    let fields = &session.fields;
    let mut line = format!("{} {}", fields.l7_protocol, fields.request_type);
    for part in [&fields.request_domain, &fields.request_resource, &fields.endpoint] {
        line.push('|');
        line.push_str(part);
    }
    line.push(' ');
    line.push_str(fields.status.name());
    if let Some(code) = fields.code {
        line.push_str(&format!(" {code}"));
    }
    for part in [&fields.exception, &fields.result] {
        if !part.is_empty() {
            line.push_str(&format!(" '{part}'"));
        }
    }
    if let Some(rows) = fields.affected_rows {
        line.push_str(&format!(" rows={rows}"));
    }
    if fields.is_async {
        line.push_str(" async");
    }
    if session.completeness.0 != 0 {
        line.push_str(&format!(" [{}]", session.completeness));
    }
    line
}

/// All lines.
pub(super) fn lines(sessions: &[Session]) -> Vec<String> {
    sessions.iter().map(line).collect()
}
