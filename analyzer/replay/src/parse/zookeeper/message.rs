//! Frames of ZooKeeper: heads, operations, paths, errors.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, endpoint};
use crate::model::{RequestFields, Side, Status};

/// Longest frame: servers take 1 MiB unless `jute.maxbuffer` says otherwise.
const LONGEST: u32 = 1 << 26;
/// Length of a session's password.
const PASSWORD: u32 = 16;

/// Number of an event of a watch.
const EVENT: i32 = -1;

/// Operations (`ZooDefs.OpCode`), with whether a path follows the head.
const OPERATIONS: [(i32, &str, bool); 29] = [
    (1, "create", true),
    (2, "delete", true),
    (3, "exists", true),
    (4, "getData", true),
    (5, "setData", true),
    (6, "getACL", true),
    (7, "setACL", true),
    (8, "getChildren", true),
    (9, "sync", true),
    (11, "ping", false),
    (12, "getChildren2", true),
    (13, "check", true),
    (14, "multi", false),
    (15, "create2", true),
    (16, "reconfig", false),
    (17, "checkWatches", true),
    (18, "removeWatches", true),
    (19, "createContainer", true),
    (20, "deleteContainer", true),
    (21, "createTTL", true),
    (22, "multiRead", false),
    (100, "auth", false),
    (101, "setWatches", false),
    (102, "sasl", false),
    (103, "getEphemerals", true),
    (104, "getAllChildrenNumber", true),
    (105, "setWatches2", false),
    (106, "addWatch", true),
    (107, "whoAmI", false),
];
/// The one that ends the session.
const CLOSE: i32 = -11;

/// Bytes of the frame on the stream.
pub(super) fn total(bytes: &[u8]) -> Option<u64> {
    let length = Cursor::new(bytes).u32()?;
    (8..=LONGEST).contains(&length).then(|| u64::from(length) + 4)
}

/// Who opens a session so: `ConnectRequest` (version 0, zxid, time-out, session, password), `ConnectResponse` (version 0, time-out, session,
/// password); whether it may be read-only is a byte that older ones lack.
pub(super) fn opens(bytes: &[u8]) -> Option<Side> {
    let mut cursor = Cursor::new(bytes);
    let (length, version) = (cursor.u32()?, cursor.u32()?);
    let (side, before) = match length {
        44 | 45 => (Side::Client, 20),
        36 | 37 => (Side::Server, 12),
        _ => return None,
    };
    cursor.take(before)?;
    (version == 0 && cursor.u32()? == PASSWORD).then_some(side)
}

/// Whether a session may be opened by what begins so.
pub(super) fn may_open(bytes: &[u8]) -> bool {
    bytes.len() < 32
        && (!bytes.is_empty())
        && bytes.iter().take(8).enumerate().all(|(at, byte)| match at {
            3 => matches!(byte, 36 | 37 | 44 | 45),
            _ => *byte == 0,
        })
}

/// The request that opens a session.
pub(super) fn connect() -> RequestFields {
    RequestFields { request_type: "connect".into(), endpoint: "connect".into(), ..RequestFields::default() }
}

/// Its answer: a time-out of 0 says that the session has expired.
pub(super) fn connected(bytes: &[u8]) -> RequestFields {
    let mut cursor = Cursor::new(bytes.get(8..).unwrap_or_default());
    let mut fields = RequestFields { status: Status::Ok, ..RequestFields::default() };
    if cursor.u32().is_some_and(|timeout| timeout.cast_signed() <= 0) {
        (fields.status, fields.code) = (Status::ClientError, Some(-112));
        fields.exception = "SessionExpired".into();
    }
    fields
}

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    xid: i32,
    operation: i32,
    name: &'static str,
    /// Behind the head.
    body: &'a [u8],
    has_path: bool,
}

impl<'a> Request<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let total = total(bytes)?;
        let mut cursor = Cursor::new(bytes);
        cursor.u32()?;
        let (xid, operation) = (cursor.u32()?.cast_signed(), cursor.u32()?.cast_signed());
        // Pings, logins and watches set again have numbers of their own.
        let fits = xid > 0 || matches!((xid, operation), (-2, 11) | (-4, 100) | (-8, 101 | 105) | (0, CLOSE | 102));
        let (name, has_path) = match OPERATIONS.iter().find(|(code, ..)| *code == operation) {
            Some((_, name, has_path)) => (*name, *has_path),
            None if operation == CLOSE && total == 12 => ("closeSession", false),
            None => return None,
        };
        let request = Self { xid, operation, name, body: cursor.rest(), has_path };
        (fits && (!has_path || request.body.is_empty() || request.path().is_some())).then_some(request)
    }

    /// How sure the bytes are such a request and nothing else: by its path, or as a ping.
    pub(super) fn sureness(&self, bytes: &[u8]) -> u8 {
        match (self.path(), self.xid) {
            (Some(path), _) if path.len() > 1 => 85,
            (_, -2) if bytes.len() == 12 && total(bytes) == Some(12) => 90,
            _ => 40,
        }
    }

    /// Of the first operation, where it holds several.
    fn path(&self) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(self.body);
        match self.operation {
            // Kind, whether it is the last one, an error; then an operation.
            14 | 22 => {
                cursor.take(9)?;
            }
            _ if self.has_path => {}
            _ => return None,
        }
        let length = cursor.u32().filter(|length| (1..=LONGEST).contains(length))?;
        let path = cursor.up_to(usize::try_from(length).ok()?);
        (path.first() == Some(&b'/') && !path.contains(&0)).then_some(path)
    }

    pub(super) fn key(&self) -> u64 {
        u64::from(self.xid.cast_unsigned())
    }

    /// As a row; what `auth` gives is a secret, but for its scheme.
    pub(super) fn fields(&self, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields { request_type: self.name.into(), ..RequestFields::default() };
        if self.xid > 0 {
            fields.session_id = Some(self.key());
        }
        if let Some(path) = self.path() {
            fields.request_resource = clean_to(path, 512);
        } else if self.operation == 100 {
            let mut cursor = Cursor::new(self.body.get(4..).unwrap_or_default());
            let length = cursor.u32().unwrap_or_default().min(64) as usize;
            fields.request_resource = clean_to(cursor.up_to(length), 64);
            if !mask.shows() {
                mask.hid(Secret::Login, 1);
            }
        }
        fields.endpoint = match endpoint(&fields.request_resource) {
            "" => self.name.into(),
            path => format!("{} {path}", self.name).into(),
        };
        if self.operation == CLOSE {
            // Who says goodbye need not wait for the answer.
            fields.status = Status::Ok;
        }
        fields
    }
}

/// What the server says.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    xid: i32,
    error: i32,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        total(bytes).filter(|total| *total >= 20)?;
        let mut cursor = Cursor::new(bytes);
        cursor.u32()?;
        let xid = cursor.u32()?.cast_signed();
        cursor.u64()?;
        let error = cursor.u32()?.cast_signed();
        let fits = xid >= 0 || matches!(xid, EVENT | -2 | -4 | -8);
        (fits && (-200..=0).contains(&error)).then(|| Self { xid, error, body: cursor.rest() })
    }

    pub(super) fn key(&self) -> u64 {
        u64::from(self.xid.cast_unsigned())
    }

    /// What a watch tells: its kind and path.
    pub(super) fn event(&self) -> Option<RequestFields> {
        if self.xid != EVENT {
            return None;
        }
        let mut cursor = Cursor::new(self.body);
        let (kind, _state) = (cursor.u32(), cursor.u32());
        let name = match kind.map(u32::cast_signed) {
            Some(1) => "NodeCreated",
            Some(2) => "NodeDeleted",
            Some(3) => "NodeDataChanged",
            Some(4) => "NodeChildrenChanged",
            _ => "Event",
        };
        let length = cursor.u32().unwrap_or_default().min(512) as usize;
        Some(RequestFields {
            request_type: name.into(),
            request_resource: clean_to(cursor.up_to(length), 512),
            endpoint: name.into(),
            status: Status::Ok,
            ..RequestFields::default()
        })
    }

    /// As a row (`KeeperException.Code`): from -100 on it is what was asked for that fails, but for a time-out.
    pub(super) fn fields(&self) -> RequestFields {
        let mut fields = RequestFields { code: Some(self.error), ..RequestFields::default() };
        let (name, status) = match self.error {
            0 => ("", Status::Ok),
            -1 => ("SystemError", Status::ServerError),
            -2 => ("RuntimeInconsistency", Status::ServerError),
            -3 => ("DataInconsistency", Status::ServerError),
            -4 => ("ConnectionLoss", Status::ServerError),
            -5 => ("MarshallingError", Status::ServerError),
            -6 => ("Unimplemented", Status::ClientError),
            -7 => ("OperationTimeout", Status::ServerError),
            -8 => ("BadArguments", Status::ClientError),
            -13 => ("NewConfigNoQuorum", Status::ServerError),
            -14 => ("ReconfigInProgress", Status::ServerError),
            -101 => ("NoNode", Status::ClientError),
            -102 => ("NoAuth", Status::ClientError),
            -103 => ("BadVersion", Status::ClientError),
            -108 => ("NoChildrenForEphemerals", Status::ClientError),
            -110 => ("NodeExists", Status::ClientError),
            -111 => ("NotEmpty", Status::ClientError),
            -112 => ("SessionExpired", Status::ClientError),
            -113 => ("InvalidCallback", Status::ClientError),
            -114 => ("InvalidACL", Status::ClientError),
            -115 => ("AuthFailed", Status::ClientError),
            -118 => ("SessionMoved", Status::ClientError),
            -119 => ("NotReadOnly", Status::ClientError),
            -120 => ("EphemeralOnLocalSession", Status::ClientError),
            -121 => ("NoWatcher", Status::ClientError),
            -122 => ("RequestTimeout", Status::ServerError),
            -123 => ("ReconfigDisabled", Status::ClientError),
            -124 => ("SessionClosedRequireSaslAuth", Status::ClientError),
            -125 => ("QuotaExceeded", Status::ClientError),
            -127 => ("Throttled", Status::ServerError),
            ..=-100 => ("error", Status::ClientError),
            _ => ("error", Status::ServerError),
        };
        fields.status = status;
        fields.exception = name.into();
        fields
    }
}
