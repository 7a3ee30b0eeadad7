//! QUIC handshakes as rows see them.

use super::super::text::{clean_to, hex};
use super::super::tls::message::{Hello, ServerHello, Summary, alert_name};
use super::keys::Version;
use super::packet::Close;
use crate::model::{RequestFields, Side, Status};
use std::fmt::Write as _;

/// Tells the ids.
pub(super) fn add_ids(fields: &mut RequestFields, ids: Option<&[Vec<u8>; 2]>) {
    for (name, id) in ["dcid", "scid"].into_iter().zip(ids.into_iter().flatten()).filter(|(_, id)| !id.is_empty()) {
        fields.attributes.push((name, hex(id).into()));
    }
}

/// As a request: what the ClientHello says; `ids`: where its first packet goes to and comes from.
pub(super) fn request(version: Version, hello: &Hello, ids: Option<&[Vec<u8>; 2]>) -> RequestFields {
    let mut fields = hello.fields(b'q');
    fields.l7_protocol = "quic";
    fields.version = version.name;
    fields.request_type = "Initial".into();
    add_ids(&mut fields, ids);
    fields
}

/// As a response: what the ServerHello says; `id`: the server's; `retried`: the one that it gave before, to be said hello to again.
pub(super) fn response(
    client: Option<&Hello>,
    server: &ServerHello,
    id: &[u8],
    retried: Option<&[u8]>,
) -> RequestFields {
    let mut fields = Summary::default().fields(client, Some(server));
    fields.l7_protocol = "quic";
    fields.version = "";
    if !id.is_empty() {
        fields.attributes.push(("server_scid", hex(id).into()));
    }
    if let Some(retried) = retried {
        fields.attributes.push(("retry", "1".into()));
        fields.attributes.push(("retry_scid", hex(retried).into()));
    }
    fields
}

/// The connection is closed with an error before it began. 0x100 and above are alerts of TLS (RFC 9001 section 4.8).
pub(super) fn closed(side: Side, close: &Close) -> RequestFields {
    let name = match close.code {
        0 => "NO_ERROR",
        1 => "INTERNAL_ERROR",
        2 => "CONNECTION_REFUSED",
        3 => "FLOW_CONTROL_ERROR",
        8 => "TRANSPORT_PARAMETER_ERROR",
        0xa => "PROTOCOL_VIOLATION",
        0xb => "INVALID_TOKEN",
        0xd => "CRYPTO_BUFFER_EXCEEDED",
        0x100..=0x1ff => alert_name(close.code.to_be_bytes()[7]),
        _ => "error",
    };
    let mut text = format!("{name} (0x{:x})", close.code);
    if !close.reason.is_empty() {
        let _ = write!(text, ": {}", clean_to(&close.reason, 256));
    }
    RequestFields {
        l7_protocol: "quic",
        code: i32::try_from(close.code).ok(),
        status: match (close.code, side) {
            (0, _) => Status::Ok,
            (_, Side::Client) => Status::ClientError,
            (_, Side::Server) => Status::ServerError,
        },
        exception: text.into(),
        ..RequestFields::default()
    }
}

/// The server does not speak the client's version.
pub(super) fn negotiation(offered: &[u8]) -> RequestFields {
    let names: Vec<String> = offered
        .chunks_exact(4)
        .take(16)
        .map(|four| {
            let number = four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            Version::of(number).map_or_else(|| format!("0x{number:08x}"), |version| version.name.to_owned())
        })
        .collect();
    RequestFields {
        l7_protocol: "quic",
        status: Status::ClientError,
        exception: "version not supported".into(),
        result: format!("offered {}", names.join(",")).into(),
        ..RequestFields::default()
    }
}
