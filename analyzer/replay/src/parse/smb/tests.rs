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
            "smb Create|||Create client_error 'STATUS_OBJECT_NAME_NOT_FOUND (0xc0000034)'",
            "smb Close|||Close ok",
            "smb Read|||Read ok",
        ]
    );
    // Nothing more is there: no error.
    let script =
        [c(frame(&head("0e", "00000000", "00", "00", "01"))), s(frame(&head("0e", "06000080", "01", "00", "01")))];
    assert_eq!(lines(&play(&script)), ["smb QueryDirectory|||QueryDirectory ok 'STATUS_NO_MORE_FILES (0x80000006)'"]);
    assert_eq!((sessions[3].request_bytes, sessions[3].response_bytes), (108, 68));
}

/// Offsets count from the head: a share's name behind 8 bytes, a file's behind 56 (MS-SMB2 sections 2.2.9, 2.2.13).
#[test]
fn what_is_opened() {
    let name = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let share = name("\\\\srv\\data");
    let connect = [head("03", "00000000", "00", "00", "01"), hex("0900 0000 4800"), vec![20, 0], share].concat();
    let file = name("a\\b.txt");
    let create = [
        head("05", "00000000", "00", "00", "02"),
        hex("3900"),
        vec![0; 42],
        hex("7800"),
        vec![14, 0],
        vec![0; 8],
        file,
    ]
    .concat();
    let sessions = play(&[
        c(frame(&connect)),
        s(frame(&head("03", "00000000", "01", "00", "01"))),
        c(frame(&create)),
        s(frame(&head("05", "220000c0", "01", "00", "02"))),
    ]);
    assert_eq!(
        lines(&sessions),
        [
            "smb TreeConnect||\\\\srv\\data|TreeConnect ok",
            "smb Create||a\\b.txt|Create client_error 'STATUS_ACCESS_DENIED (0xc0000022)'"
        ]
    );
}
