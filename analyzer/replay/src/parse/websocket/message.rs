//! WebSocket messages as rows see them. What they carry is data and stays out.

use super::super::text::{clean_to, number};
use crate::model::{RequestFields, Side, Status};

fn direction(side: Side) -> (&'static str, Box<str>) {
    let from = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    ("from", from.into())
}

/// A text or binary message of `body` bytes.
pub(super) fn data(opcode: u8, side: Side, body: u64) -> RequestFields {
    let mut fields = RequestFields {
        l7_protocol: "websocket",
        version: "13",
        request_type: if opcode == 1 { "text" } else { "binary" }.into(),
        status: Status::Ok,
        ..RequestFields::default()
    };
    fields.attributes.push(direction(side));
    fields.attributes.push(("body_bytes", number(body)));
    fields
}

/// Close, ping or pong; `key` masks the body.
pub(super) fn control(opcode: u8, side: Side, body: &[u8], key: &[u8]) -> RequestFields {
    let plain: Vec<u8> =
        body.iter().enumerate().map(|(at, byte)| byte ^ key.get(at % 4).copied().unwrap_or_default()).collect();
    let mut fields = RequestFields {
        l7_protocol: "websocket",
        version: "13",
        request_type: match opcode {
            8 => "close",
            9 => "ping",
            _ => "pong",
        }
        .into(),
        status: Status::Ok,
        ..RequestFields::default()
    };
    fields.attributes.push(direction(side));
    if let (8, [high, low, reason @ ..]) = (opcode, plain.as_slice()) {
        let code = u16::from_be_bytes([*high, *low]);
        fields.code = Some(i32::from(code));
        fields.status = match code {
            // Normal, going away, nothing said.
            1000 | 1001 | 1005 => Status::Ok,
            1011..=1014 => Status::ServerError,
            _ if side == Side::Client => Status::ServerError,
            _ => Status::ClientError,
        };
        fields.exception = clean_to(reason, 125);
    }
    fields
}
