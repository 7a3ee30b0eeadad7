use super::super::script::{c, lines, play, play_on, s};
use crate::model::{Side, Transport};

fn message(statement: u32, command: u16, code: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        [&statement.to_le_bytes()[..], &command.to_le_bytes(), &(body.len() as u32).to_le_bytes(), &code.to_le_bytes()]
            .concat();
    bytes.resize(64, 0);
    bytes.extend(body);
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let error = [&0_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), b"t1", &7_u32.to_le_bytes(), b"no such"].concat();
    vec![
        c(message(0, 200, 0, &[1, 0, 0, 0])),
        s(message(0, 228, 0, &[0; 20])),
        c(message(0, 1, 0, b"\x06\0\0\0SYSDBA")),
        s(message(0, 163, 0, &[0; 20])),
        c(message(7, 5, 0, b"SELECT * FROM t1 WHERE a = 5\0")),
        s(message(7, 160, -2106, &error)),
        c(message(0, 8, 0, &[])),
        s(message(0, 187, 0, &[])),
    ]
}

#[test]
fn commands() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "dameng Startup||| ok 0",
            "dameng Login||| ok 0",
            "dameng Prepare||SELECT * FROM t1 WHERE a = ?|SELECT t1 client_error -2106 'no such'",
            "dameng Commit||| ok 0",
        ]
    );
}

#[test]
fn in_the_middle_only_at_its_port() {
    assert!(play(&sample()[4..]).is_empty());
    assert_eq!(play_on(Transport::Tcp, 40000, 5236, &sample()[4..]).len(), 2);
}
