//! MySQL packets as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::text::clean_to;
use super::super::unpack::Packing;
use crate::model::{RequestFields, Status};

const CLIENT_CONNECT_WITH_DB: u32 = 0x8;
const CLIENT_COMPRESS: u32 = 0x20;
const CLIENT_PROTOCOL_41: u32 = 0x200;
const CLIENT_SSL: u32 = 0x800;
const CLIENT_SECURE_CONNECTION: u32 = 0x8000;
const CLIENT_PLUGIN_AUTH_LENENC: u32 = 0x20_0000;
const CLIENT_ZSTD_COMPRESSION: u32 = 0x400_0000;
const SERVER_MORE_RESULTS: u16 = 0x8;
const SERVER_CURSOR_EXISTS: u16 = 0x40;

macro_rules! commands {
    ($($byte:literal $variant:ident $name:literal),* $(,)?) => {
        /// A command, by its first byte.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Command {
            /// The login packet, which has no command byte.
            Login,
            $(#[doc = $name] $variant,)*
        }
        impl Command {
            /// The command of that byte.
            pub(super) fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }
            /// As in the manual.
            pub(super) fn name(self) -> &'static str {
                match self {
                    Self::Login => "Login",
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

commands! {
    0x01 Quit "COM_QUIT",
    0x02 InitDb "COM_INIT_DB",
    0x03 Query "COM_QUERY",
    0x04 FieldList "COM_FIELD_LIST",
    0x05 CreateDb "COM_CREATE_DB",
    0x06 DropDb "COM_DROP_DB",
    0x07 Refresh "COM_REFRESH",
    0x08 Shutdown "COM_SHUTDOWN",
    0x09 Statistics "COM_STATISTICS",
    0x0a ProcessInfo "COM_PROCESS_INFO",
    0x0c ProcessKill "COM_PROCESS_KILL",
    0x0d Debug "COM_DEBUG",
    0x0e Ping "COM_PING",
    0x11 ChangeUser "COM_CHANGE_USER",
    0x12 BinlogDump "COM_BINLOG_DUMP",
    0x13 TableDump "COM_TABLE_DUMP",
    0x15 RegisterSlave "COM_REGISTER_SLAVE",
    0x16 StmtPrepare "COM_STMT_PREPARE",
    0x17 StmtExecute "COM_STMT_EXECUTE",
    0x18 StmtSendLongData "COM_STMT_SEND_LONG_DATA",
    0x19 StmtClose "COM_STMT_CLOSE",
    0x1a StmtReset "COM_STMT_RESET",
    0x1b SetOption "COM_SET_OPTION",
    0x1c StmtFetch "COM_STMT_FETCH",
    0x1e BinlogDumpGtid "COM_BINLOG_DUMP_GTID",
    0x1f ResetConnection "COM_RESET_CONNECTION",
    0xfa StmtBulkExecute "COM_STMT_BULK_EXECUTE",
}

impl Command {
    /// The server does not answer.
    pub(super) fn is_one_way(self) -> bool {
        matches!(self, Self::Quit | Self::StmtClose | Self::StmtSendLongData)
    }
}

/// Whether a command of this length may start so.
pub(super) fn plausible_command(byte: u8, length: u32, text: &[u8]) -> bool {
    let printable = |text: &[u8]| {
        let text = text.get(..64).unwrap_or(text);
        !text.is_empty() && text.iter().all(|byte| *byte >= 0x20 || byte.is_ascii_whitespace())
    };
    match Command::from_byte(byte) {
        Some(Command::Query | Command::StmtPrepare) => printable(skip_attributes(text)) || text.is_empty(),
        Some(Command::InitDb | Command::CreateDb | Command::DropDb) => length < 256 && printable(text),
        Some(Command::Quit | Command::Statistics | Command::Ping | Command::Debug | Command::ResetConnection) => {
            length == 1
        }
        Some(Command::StmtClose | Command::StmtReset) => length == 5,
        Some(Command::StmtFetch) => length == 9,
        Some(Command::StmtExecute) => length >= 10 && matches!(text.get(5..9), Some([1, 0, 0, 0]) | None),
        Some(Command::StmtBulkExecute) => length >= 7 && matches!(text.get(4..6), Some([64 | 128 | 192, 0]) | None),
        Some(Command::SetOption) => length == 3,
        Some(_) => length < 1024,
        None => false,
    }
}

/// A command inside a packet of the compressed protocol that was not worth compressing.
pub(super) fn is_compressed(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let (Some(outer), Some(0), Some(0), Some(inner), Some(0), Some(command)) =
        (cursor.u24_le(), cursor.u8(), cursor.u24_le(), cursor.u24_le(), cursor.u8(), cursor.u8())
    else {
        return false;
    };
    inner > 0 && outer == inner.saturating_add(4) && plausible_command(command, inner, cursor.rest())
}

/// Statements that start so need no port to be believed.
pub(super) fn starts_like_sql(text: &[u8]) -> bool {
    const VERBS: [&str; 22] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "SET", "SHOW", "CREATE", "DROP", "ALTER", "BEGIN", "COMMIT",
        "ROLLBACK", "START", "CALL", "USE", "WITH", "EXPLAIN", "TRUNCATE", "DESC", "LOCK", "/*",
    ];
    let text = skip_attributes(text).trim_ascii_start();
    VERBS.iter().any(|verb| text.get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb.as_bytes())))
}

/// Query attributes (MySQL 8) may stand before the text: no parameters is `00 01`.
pub(super) fn skip_attributes(text: &[u8]) -> &[u8] {
    match text {
        // A statement starts with neither of these.
        [0..=64, 1, ..] => super::values::behind_attributes(text).unwrap_or(text),
        _ => text,
    }
}

/// Whether an EOF behind definitions says that rows are to be fetched.
pub(super) fn opens_cursor(body: &[u8]) -> bool {
    matches!(body, [_, _, _, low, high] if u16::from_le_bytes([*low, *high]) & SERVER_CURSOR_EXISTS != 0)
}

/// A length-encoded integer.
pub(super) fn length_encoded(cursor: &mut Cursor<'_>) -> Option<u64> {
    match cursor.u8()? {
        0xfb | 0xff => None,
        0xfc => cursor.u16_le().map(u64::from),
        0xfd => cursor.u24_le().map(u64::from),
        0xfe => cursor.u64_le(),
        small => Some(u64::from(small)),
    }
}

/// The server's version in its greeting.
pub(super) fn greeting(body: &[u8]) -> Box<str> {
    let mut cursor = Cursor::new(body);
    cursor.u8().and_then(|_| cursor.c_string()).map(|version| clean_to(version, 64)).unwrap_or_default()
}

/// Statement id, columns and parameters of a prepared statement.
pub(super) fn prepared(body: &[u8]) -> Option<(u32, u16, u16)> {
    let mut cursor = Cursor::new(body);
    cursor.u8()?;
    Some((cursor.u32_le()?, cursor.u16_le()?, cursor.u16_le()?))
}

/// A login packet.
#[derive(Debug, Default)]
pub(super) struct Login {
    pub(super) tls: bool,
    pub(super) compress: Option<Packing>,
    user: Box<str>,
    pub(super) database: Box<str>,
}

impl Login {
    /// `None` if it is not one.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let low = u32::from(cursor.u16_le()?);
        if low & CLIENT_PROTOCOL_41 == 0 {
            cursor.u24_le()?;
            let user = clean_to(cursor.c_string()?, 128);
            return Some(Self { user, ..Self::default() });
        }
        let flags = low | u32::from(cursor.u16_le()?) << 16;
        cursor.take(4 + 1 + 23)?;
        let mut login = Self { tls: flags & CLIENT_SSL != 0, ..Self::default() };
        login.compress = match (flags & CLIENT_COMPRESS != 0, flags & CLIENT_ZSTD_COMPRESSION != 0) {
            (true, _) => Some(Packing::Zlib),
            (false, true) => Some(Packing::Zstd),
            (false, false) => None,
        };
        let Some(user) = cursor.c_string() else {
            return Some(login);
        };
        login.user = clean_to(user, 128);
        let skipped = if flags & CLIENT_PLUGIN_AUTH_LENENC != 0 {
            length_encoded(&mut cursor)
        } else if flags & CLIENT_SECURE_CONNECTION != 0 {
            cursor.u8().map(u64::from)
        } else {
            cursor.c_string().map(|_| 0)
        };
        let skipped = skipped.and_then(|len| usize::try_from(len).ok()).and_then(|len| cursor.take(len));
        if skipped.is_some() && flags & CLIENT_CONNECT_WITH_DB != 0 {
            login.database = cursor.c_string().map(|database| clean_to(database, 128)).unwrap_or_default();
        }
        Some(login)
    }

    /// Puts it into a row.
    pub(super) fn fill(&self, fields: &mut RequestFields) {
        let mut text = format!("Login username: {}", self.user);
        if !self.database.is_empty() {
            text.push_str(" db: ");
            text.push_str(&self.database);
        }
        fields.request_resource = text.into_boxed_str();
        fields.endpoint = "Login".into();
        fields.attributes.push(("user", self.user.clone()));
    }
}

/// What the server's packets said so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    status: Status,
    rows: Option<u64>,
    code: Option<u16>,
    state: Box<str>,
    text: Box<str>,
    /// Id of the prepared statement.
    pub(super) statement: Option<u32>,
}

impl Outcome {
    /// It went well.
    pub(super) fn ok(&mut self) {
        self.status = Status::Ok;
    }

    /// Rows follow.
    pub(super) fn rows(&mut self) {
        self.ok();
        self.rows.get_or_insert(0);
    }

    /// A row.
    pub(super) fn row(&mut self) {
        *self.rows.get_or_insert(0) += 1;
    }

    /// How many rows there were is not known: not all of them were seen.
    pub(super) fn count_is_lost(&mut self) {
        self.rows = None;
    }

    /// An EOF packet; whether more results follow.
    pub(super) fn eof(&mut self, body: &[u8]) -> bool {
        self.ok();
        matches!(body, [_, _, _, low, high] if u16::from_le_bytes([*low, *high]) & SERVER_MORE_RESULTS != 0)
    }

    /// An OK packet; whether more results follow.
    pub(super) fn done(&mut self, body: &[u8], counts: bool) -> bool {
        self.ok();
        let mut cursor = Cursor::new(body);
        let mut read = || {
            cursor.u8()?;
            let rows = length_encoded(&mut cursor)?;
            length_encoded(&mut cursor)?;
            Some((rows, cursor.u16_le()?))
        };
        let Some((rows, status)) = read() else {
            return false;
        };
        if counts {
            self.rows = Some(self.rows.unwrap_or_default() + rows);
        }
        status & SERVER_MORE_RESULTS != 0
    }

    /// An ERR packet.
    pub(super) fn error(&mut self, body: &[u8]) {
        let mut cursor = Cursor::new(body);
        cursor.u8();
        let code = cursor.u16_le().unwrap_or_default();
        let rest = cursor.rest();
        let rest = match rest.strip_prefix(b"#") {
            Some(rest) => {
                self.state = clean_to(rest.get(..5).unwrap_or_default(), 5);
                rest.get(5..).unwrap_or_default()
            }
            None => rest,
        };
        self.code = Some(code);
        self.text = clean_to(rest, 512);
        self.status = if (2000..3000).contains(&code) { Status::ClientError } else { Status::ServerError };
    }

    /// What it adds to a row.
    pub(super) fn fields(self, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields {
            l7_protocol: "mysql",
            status: self.status,
            affected_rows: self.rows,
            code: self.code.map(i32::from),
            session_id: self.statement.map(u64::from),
            ..RequestFields::default()
        };
        if self.code.is_some() {
            // Values are quoted in messages on duplicate keys, wrong values and syntax.
            let quotes_values = matches!(self.code, Some(1062 | 1064 | 1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1586));
            fields.exception = if quotes_values { mask.quoted(self.text, '\'') } else { self.text };
        }
        if !self.state.is_empty() {
            fields.attributes.push(("sqlstate", self.state));
        }
        fields
    }
}
