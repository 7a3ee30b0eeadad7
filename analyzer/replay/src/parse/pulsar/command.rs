//! Commands: which there are, and where each keeps its ids and names.

use super::super::cursor::Cursor;
use super::super::protobuf::varint;
use crate::model::Side;

/// Largest frame that is believed, bytes: brokers take 5 MiB unless told otherwise.
const LIMIT: u32 = 256 << 20;

/// Role of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Answered.
    Request,
    /// Answers.
    Response,
    /// Neither.
    OneWay,
}

/// A kind of command. Numbers are those of Protocol Buffers' fields, 0 where there is none.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// Who sends it, if only one side does.
    pub(super) from: Option<Side>,
    /// The request's id.
    pub(super) id: u32,
    /// Topic, or namespace.
    pub(super) topic: u32,
    /// Code and text of an error.
    pub(super) error: [u32; 2],
    /// Producer or consumer.
    pub(super) party: u32,
}

const fn command(
    number: u32,
    name: &'static str,
    role: Role,
    id: u32,
    topic: u32,
    error: [u32; 2],
    party: u32,
) -> Command {
    let from = match role {
        Role::Request => Some(Side::Client),
        Role::Response => Some(Side::Server),
        Role::OneWay => None,
    };
    Command { number, name, role, from, id, topic, error, party }
}

const fn either(mut command: Command) -> Command {
    command.from = None;
    command
}

const fn by(side: Side, mut command: Command) -> Command {
    command.from = Some(side);
    command
}

use Role::{OneWay, Request, Response};
const C: Side = Side::Client;
const S: Side = Side::Server;
const NO: [u32; 2] = [0, 0];

/// All commands, by number.
static COMMANDS: &[Command] = &[
    command(2, "connect", Request, 0, 0, NO, 0),
    command(3, "connected", Response, 0, 0, NO, 0),
    command(4, "subscribe", Request, 5, 1, NO, 4),
    command(5, "producer", Request, 3, 1, NO, 2),
    command(6, "send", Request, 2, 0, NO, 1),
    command(7, "send_receipt", Response, 2, 0, NO, 1),
    command(8, "send_error", Response, 2, 0, [3, 4], 1),
    by(S, command(9, "message", OneWay, 0, 0, NO, 1)),
    by(C, command(10, "ack", OneWay, 0, 0, NO, 1)),
    by(C, command(11, "flow", OneWay, 0, 0, NO, 1)),
    command(12, "unsubscribe", Request, 2, 0, NO, 1),
    command(13, "success", Response, 1, 0, NO, 0),
    command(14, "error", Response, 1, 0, [2, 3], 0),
    either(command(15, "close_producer", Request, 2, 0, NO, 1)),
    either(command(16, "close_consumer", Request, 2, 0, NO, 1)),
    command(17, "producer_success", Response, 1, 0, NO, 0),
    either(command(18, "ping", Request, 0, 0, NO, 0)),
    either(command(19, "pong", Response, 0, 0, NO, 0)),
    by(C, command(20, "redeliver_unacknowledged_messages", OneWay, 0, 0, NO, 1)),
    command(21, "partition_metadata", Request, 2, 1, NO, 0),
    command(22, "partition_metadata_response", Response, 2, 0, [4, 5], 0),
    command(23, "lookup_topic", Request, 2, 1, NO, 0),
    command(24, "lookup_topic_response", Response, 4, 0, [6, 7], 0),
    command(25, "consumer_stats", Request, 1, 0, NO, 0),
    command(26, "consumer_stats_response", Response, 1, 0, [2, 3], 0),
    by(S, command(27, "reached_end_of_topic", OneWay, 0, 0, NO, 1)),
    command(28, "seek", Request, 2, 0, NO, 1),
    command(29, "get_last_message_id", Request, 2, 0, NO, 1),
    command(30, "get_last_message_id_response", Response, 2, 0, NO, 0),
    by(S, command(31, "active_consumer_change", OneWay, 0, 0, NO, 1)),
    command(32, "get_topics_of_namespace", Request, 1, 2, NO, 0),
    command(33, "get_topics_of_namespace_response", Response, 1, 0, NO, 0),
    command(34, "get_schema", Request, 1, 2, NO, 0),
    command(35, "get_schema_response", Response, 1, 0, [2, 3], 0),
    by(S, command(36, "auth_challenge", OneWay, 0, 0, NO, 0)),
    by(C, command(37, "auth_response", OneWay, 0, 0, NO, 0)),
    command(38, "ack_response", Response, 6, 0, [4, 5], 0),
    command(39, "get_or_create_schema", Request, 1, 2, NO, 0),
    command(40, "get_or_create_schema_response", Response, 1, 0, [2, 3], 0),
    command(50, "new_txn", Request, 1, 0, NO, 0),
    command(51, "new_txn_response", Response, 1, 0, [4, 5], 0),
    command(52, "add_partition_to_txn", Request, 1, 4, NO, 0),
    command(53, "add_partition_to_txn_response", Response, 1, 0, [4, 5], 0),
    command(54, "add_subscription_to_txn", Request, 1, 0, NO, 0),
    command(55, "add_subscription_to_txn_response", Response, 1, 0, [4, 5], 0),
    command(56, "end_txn", Request, 1, 0, NO, 0),
    command(57, "end_txn_response", Response, 1, 0, [4, 5], 0),
    command(58, "end_txn_on_partition", Request, 1, 4, NO, 0),
    command(59, "end_txn_on_partition_response", Response, 1, 0, [4, 5], 0),
    command(60, "end_txn_on_subscription", Request, 1, 0, NO, 0),
    command(61, "end_txn_on_subscription_response", Response, 1, 0, [4, 5], 0),
    command(62, "tc_client_connect_request", Request, 1, 0, NO, 0),
    command(63, "tc_client_connect_response", Response, 1, 0, [2, 3], 0),
    command(64, "watch_topic_list", Request, 1, 3, NO, 0),
    command(65, "watch_topic_list_success", Response, 1, 0, NO, 0),
    by(S, command(66, "watch_topic_update", OneWay, 0, 0, NO, 0)),
    command(67, "watch_topic_list_close", Request, 1, 0, NO, 0),
    by(S, command(68, "topic_migrated", OneWay, 0, 0, NO, 0)),
];

/// A frame's head: the command's kind and where its fields stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    total: u32,
    pub(super) kind: &'static Command,
    /// Where the command's fields start, counted from the frame's first byte.
    pub(super) fields_at: usize,
    /// Where they end.
    pub(super) end: usize,
}

impl Frame {
    /// `Err(true)`: too few bytes, so far it fits; `Err(false)`: not a frame.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, bool> {
        let mut cursor = Cursor::new(bytes);
        let total = cursor.u32().ok_or_else(|| bytes.first().is_none_or(|first| *first < 0x10))?;
        if !(6..=LIMIT).contains(&total) {
            return Err(false);
        }
        let size = cursor.u32().ok_or(true)?;
        if size < 2 || size > total - 4 {
            return Err(false);
        }
        // Field 1, the kind, then the field of the same number; nothing else.
        if cursor.u8().ok_or(true)? != 8 {
            return Err(false);
        }
        let number = cursor.u8().ok_or(true)?;
        let kind = COMMANDS
            .binary_search_by_key(&u32::from(number), |command| command.number)
            .ok()
            .and_then(|at| COMMANDS.get(at))
            .ok_or(false)?;
        let part = |cursor: &mut Cursor<'_>| varint(cursor).ok_or(cursor.rest().len() < 5);
        if part(&mut cursor)? != u64::from(kind.number << 3 | 2) {
            return Err(false);
        }
        let len = part(&mut cursor)?;
        let (fields_at, end) = (cursor.position(), 8 + size as usize);
        if fields_at as u64 + len != end as u64 {
            return Err(false);
        }
        Ok(Self { total, kind, fields_at, end })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        4 + u64::from(self.total)
    }
}
