use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn head(command: &str, status: &str, flags: &str, next: &str, id: &str) -> Vec<u8> {
    hex(&format!(
        "fe534d42 4000 0000 {status} {command}00 0100 {flags}000000 {next}000000 {id}00000000000000 {}",
        "00".repeat(32)
    ))
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// Negotiate; Create and Close asked together, of which one fails; a Read that takes its time.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let ask = |command, next, id| head(command, "00000000", "00", next, id);
    let answer = |command, status, next, id| head(command, status, "01", next, id);
    vec![
        c(frame(&ask("00", "00", "00"))),
        s(frame(&answer("00", "00000000", "00", "00"))),
        c(frame(&[ask("05", "40", "01"), ask("06", "00", "02")].concat())),
        s(frame(&[answer("05", "340000c0", "40", "01"), answer("06", "00000000", "00", "02")].concat())),
        c(frame(&[ask("08", "00", "03"), vec![0; 40]].concat())),
        s([frame(&answer("08", "03010000", "00", "03")), frame(&answer("08", "00000000", "00", "03"))].concat()),
    ]
}

#[test]
fn commands_by_id() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "smb Negotiate|||Negotiate ok",
            "smb Create|||Create client_error '0xc0000034'",
            "smb Close|||Close ok",
            "smb Read|||Read ok",
        ]
    );
    assert_eq!((sessions[3].request_bytes, sessions[3].response_bytes), (108, 68));
}
