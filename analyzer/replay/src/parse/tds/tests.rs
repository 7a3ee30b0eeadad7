use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn packet(kind: u8, last: bool, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&[kind, u8::from(last)][..], &len, &[0, 0, 1, 0], body].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A message in one packet.
fn message(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    packet(kind, true, &parts.concat())
}

/// Behind the headers of a transaction.
fn headers() -> Vec<u8> {
    hex("16000000 12000000 0200 0000000000000000 01000000")
}

fn nvarchar(text: &str) -> Vec<u8> {
    let text = wide(text);
    [hex("00 00 e7 401f 0904d00034"), (text.len() as u16).to_le_bytes().to_vec(), text].concat()
}

/// Number, state 1, class, text, server "db", procedure, line.
fn error(number: u32, class: u8, text: &str) -> Vec<u8> {
    let body = [
        &number.to_le_bytes()[..],
        &[1, class],
        &(text.len() as u16).to_le_bytes(),
        &wide(text),
        &[2],
        &wide("db"),
        &[0, 1, 0, 0, 0],
    ]
    .concat();
    [&[0xaa][..], &(body.len() as u16).to_le_bytes(), &body].concat()
}

fn done(token: u8, status: u16, rows: u64) -> Vec<u8> {
    [&[token][..], &status.to_le_bytes(), &[0xc1, 0], &rows.to_le_bytes()].concat()
}

fn login() -> Vec<u8> {
    let texts = ["ws1", "sa", "", "orders-api", "db.local", "", "ODBC", "", "shop"];
    let mut places = Vec::new();
    let mut data = Vec::new();
    for text in texts {
        places.extend((94 + data.len() as u16).to_le_bytes());
        places.extend((text.len() as u16).to_le_bytes());
        data.extend(wide(text));
    }
    let mut body = [&(94 + data.len() as u32).to_le_bytes()[..], &[4, 0, 0, 0x74], &[0; 28], &places].concat();
    body.resize(94, 0);
    body.extend(data);
    message(0x10, &[body])
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let environment = {
        let names = [&[1, 4][..], &wide("shop"), &[6], &wide("master")].concat();
        [&[0xe3][..], &(names.len() as u16).to_le_bytes(), &names].concat()
    };
    // A column of type INT without a name, and rows of it.
    let columns = hex("81 0100 00000000 0100 38 00");
    let rows = |n: u32| (0..n).flat_map(|n| [&[0xd1][..], &n.to_le_bytes()].concat()).collect::<Vec<u8>>();
    let many = [columns.clone(), rows(100), done(0xfd, 0x10, 100)].concat();
    let (first, second) = many.split_at(400);
    let handle = hex("ac 0000 00 01 00000000 0000 26 04 04 07000000");
    vec![
        c(message(0x12, &[hex("00 0010 0006 01 0016 0001 04 0017 0001 ff 10000fa00000 02 00")])),
        s(message(0x04, &[hex("00 0010 0006 01 0016 0001 04 0017 0001 ff 100003e80000 02 00")])),
        c(login()),
        s(message(0x04, &[environment, hex("ad 0a00 01 74000004 00 10000000"), done(0xfd, 0, 0)])),
        c(message(0x01, &[headers(), wide("SELECT id FROM dbo.[orders] WHERE name = N'x'")])),
        s([packet(4, false, first), packet(4, true, second)].concat()),
        c(message(0x03, &[headers(), hex("ffff 0a00 0000"), nvarchar("UPDATE stock SET n=@n"), nvarchar("@n int")])),
        s(message(0x04, &[done(0xff, 0x11, 3), hex("79 00000000"), done(0xfe, 0, 0)])),
        c(message(0x01, &[headers(), wide("SELECT * FROM nowhere")])),
        s(message(0x04, &[error(208, 16, "Invalid object name 'nowhere'."), done(0xfd, 2, 0)])),
        c(message(
            0x03,
            &[
                headers(),
                hex("ffff 0d00 0000 00 01 26 04 00"),
                nvarchar("@p int"),
                nvarchar("DELETE FROM carts WHERE id=@p"),
            ],
        )),
        s(message(0x04, &[done(0xff, 0x11, 1), hex("79 00000000"), handle, done(0xfe, 0, 0)])),
        c(message(0x03, &[headers(), hex("ffff 0c00 0000 00 00 26 04 04 07000000")])),
        s(message(0x04, &[columns, rows(2), error(1205, 13, "deadlock"), done(0xfe, 2, 0)])),
        c(message(0x03, &[headers(), hex("0500"), wide("purge"), hex("0000")])),
        c(message(0x06, &[])),
        s(message(0x04, &[done(0xfd, 0x22, 0)])),
        c(message(0x0e, &[headers(), hex("0700 00 00")])),
        s(message(0x04, &[done(0xfd, 0, 0)])),
    ]
}

#[test]
fn statements_and_procedures() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "tds Prelogin||| ok",
            "tds Login7|shop|| ok",
            "tds SQLBatch|shop|SELECT id FROM dbo.[orders] WHERE name = ?|SELECT dbo.orders ok rows=100",
            "tds RPC|shop|UPDATE stock SET n=@n|UPDATE stock ok rows=3",
            "tds SQLBatch|shop|SELECT * FROM nowhere|SELECT nowhere client_error 208 'Invalid object name '***'.'",
            "tds RPC|shop|DELETE FROM carts WHERE id=@p|DELETE carts ok rows=1",
            "tds RPC|shop|DELETE FROM carts WHERE id=@p|DELETE carts client_error 1205 'deadlock'",
            "tds Attention|shop|| unknown async",
            "tds RPC|shop|purge|purge client_error 'cancelled by the client'",
            "tds TransactionManager|shop|COMMIT TRANSACTION|COMMIT TRANSACTION ok",
        ]
    );
    let login = &sessions[1].fields;
    assert_eq!((login.version, &*login.user_agent), ("7.4", "orders-api"));
    assert!(login.attributes.contains(&("user", "sa".into())));
    assert!(sessions[0].fields.attributes.contains(&("server_version", "16.0.1000".into())));
}

#[test]
fn tls_inside() {
    // "Login only": the server is willing to encrypt that much; then the handshake, wrapped, and the login as a record.
    let sessions = play(&[
        c(message(0x12, &[hex("00 000b 0006 01 0011 0001 ff 10000fa00000 00")])),
        s(message(0x04, &[hex("00 000b 0006 01 0011 0001 ff 100003e80000 00")])),
        c(message(0x12, &[hex("16 0301 0002 0100")])),
        s(message(0x12, &[hex("16 0301 0002 0200")])),
        c(hex("17 0303 0004 aabbccdd")),
        s(message(0x04, &[hex("ad 0a00 01 74000004 00 10000000"), done(0xfd, 0, 0)])),
        c(message(0x01, &[headers(), wide("SELECT 1")])),
        s(message(0x04, &[done(0xfd, 0x10, 1)])),
    ]);
    assert_eq!(lines(&sessions), ["tds Prelogin||| ok", "tds Login7||| ok", "tds SQLBatch||SELECT ?|SELECT ok rows=1"]);
    assert!(sessions[1].fields.attributes.contains(&("encrypted", "TLS".into())));
}

#[test]
fn sessions_that_share_a_connection() {
    let wrapped = |id: u8, packet: Vec<u8>| {
        let len = (packet.len() as u32 + 16).to_le_bytes();
        [&[0x53, 8, id, 0][..], &len, &[1, 0, 0, 0, 4, 0, 0, 0], &packet].concat()
    };
    let ask = |text: &str| message(0x01, &[headers(), wide(text)]);
    let sessions = play(&[
        c([wrapped(0, ask("SELECT 0 FROM a")), wrapped(1, ask("SELECT 1 FROM b"))].concat()),
        s([wrapped(1, message(4, &[done(0xfd, 0x10, 11)])), wrapped(0, message(4, &[done(0xfd, 0x10, 10)]))].concat()),
    ]);
    assert_eq!(
        lines(&sessions),
        ["tds SQLBatch||SELECT ? FROM b|SELECT b ok rows=11", "tds SQLBatch||SELECT ? FROM a|SELECT a ok rows=10"]
    );
}

#[test]
fn version_5() {
    let text = "use shop";
    let language = [&[0x21][..], &(text.len() as u32 + 1).to_le_bytes(), &[0], text.as_bytes()].concat();
    // Number 102, state, class 15, SQL state, status, transaction, text, server, procedure, line.
    let body =
        [&102_u32.to_le_bytes()[..], &[1, 15, 5], b"42000\0\x01\0", &6_u16.to_le_bytes(), b"syntax", b"\x02db\0\x01\0"]
            .concat();
    let extended = [&[0xe5][..], &(body.len() as u16).to_le_bytes(), &body].concat();
    let sessions = play(&[
        c(packet(0x0f, true, &language)),
        s(message(4, &[hex("e3 0a00 01 04 73686f70 03 6d7374"), hex("fd 0000 0200 00000000")])),
        c(packet(0x0f, true, &language)),
        s(message(4, &[extended, hex("fd 0200 0200 00000000")])),
        c(packet(0x0f, true, b"\xe6\x08\0\x05purge\0\0")),
        s(message(4, &[hex("79 00000000 fe 0000 0200 00000000")])),
        c(packet(0x0f, true, b"\x71\0")),
        s(message(4, &[hex("fd 0000 0200 00000000")])),
    ]);
    assert_eq!(
        lines(&sessions),
        [
            "tds Language||use shop|USE ok",
            "tds Language|shop|use shop|USE client_error 102 'syntax'",
            "tds RPC|shop|purge|purge ok",
            "tds Logout|shop|| ok",
        ]
    );
}
