//! Commands as rows see them.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::super::trace_context;
use super::encoding::{Format, Formats, Reader};
use crate::model::{RequestFields, Side, Status};

/// Kinds that answer.
pub(super) const RESPONSES: std::ops::RangeInclusive<u8> = 30..=34;
const EXCEPTION: u8 = 31;

/// Names of commands.
pub(super) fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "WireFormatInfo",
        2 => "BrokerInfo",
        3 => "ConnectionInfo",
        4 => "SessionInfo",
        5 => "ConsumerInfo",
        6 => "ProducerInfo",
        7 => "TransactionInfo",
        8 => "DestinationInfo",
        9 => "RemoveSubscriptionInfo",
        10 => "KeepAliveInfo",
        11 => "ShutdownInfo",
        12 => "RemoveInfo",
        14 => "ControlCommand",
        15 => "FlushCommand",
        16 => "ConnectionError",
        17 => "ConsumerControl",
        18 => "ConnectionControl",
        19 => "ProducerAck",
        20 => "MessagePull",
        21 => "MessageDispatch",
        22 => "MessageAck",
        23 => "ActiveMQMessage",
        24 => "ActiveMQBytesMessage",
        25 => "ActiveMQMapMessage",
        26 => "ActiveMQObjectMessage",
        27 => "ActiveMQStreamMessage",
        28 => "ActiveMQTextMessage",
        29 => "ActiveMQBlobMessage",
        30 => "Response",
        31 => "ExceptionResponse",
        32 => "DataResponse",
        33 => "DataArrayResponse",
        34 => "IntegerResponse",
        50 => "DiscoveryEvent",
        53 => "DurableSubscriptionInfo",
        54 => "PartialCommand",
        55 => "PartialLastCommand",
        65 => "ReplayCommand",
        _ => return None,
    })
}

/// What a command says.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) id: u32,
    pub(super) response_required: bool,
    /// Answers: to which command.
    pub(super) correlation: u32,
    destination: Box<str>,
    broker: Box<str>,
    /// Name of the client, or of what is removed.
    party: Box<str>,
    user: Box<str>,
    /// The application's own id of a conversation.
    conversation: Box<str>,
    exception: Box<str>,
}

impl Command {
    /// Reads as far as the bytes go.
    pub(super) fn read(kind: u8, body: &[u8], formats: &mut Formats, side: Side) -> Self {
        let mut command = Self::default();
        if let Some(mut reader) = formats.reader(side, body) {
            command.fill(kind, &mut reader);
        }
        command
    }

    fn fill(&mut self, kind: u8, reader: &mut Reader<'_>) -> Option<()> {
        self.id = reader.int()?;
        self.response_required = reader.boolean()?;
        match kind {
            2 => {
                reader.cached()?;
                self.broker = clean_to(reader.string()?, 256);
            }
            3 => {
                self.party = reader.cached()?;
                let client = clean_to(reader.string()?, 128);
                if !client.is_empty() {
                    self.party = client;
                }
                let _password = reader.string()?;
                self.user = clean_to(reader.string()?, 128);
            }
            4 | 9 | 12 => self.party = reader.cached()?,
            5 => {
                self.party = reader.cached()?;
                let _browser = reader.boolean()?;
                self.destination = reader.cached()?;
            }
            6 | 8 | 20 => {
                self.party = reader.cached()?;
                self.destination = reader.cached()?;
            }
            7 => {
                self.party = reader.cached()?;
                reader.cached()?;
            }
            16 => self.exception(reader)?,
            21 => {
                reader.cached()?;
                self.destination = reader.cached()?;
                let inner = reader.inner()?;
                if (23..=29).contains(&inner) && !reader.is_as_sent()? {
                    // Rows are numbered by the message, as dispatches themselves have no number.
                    let id = reader.int()?;
                    reader.boolean()?;
                    self.message(reader)?;
                    self.id = id;
                }
            }
            22 => {
                self.destination = reader.cached()?;
                reader.cached()?;
                self.party = reader.cached()?;
                let _kind = reader.byte()?;
                reader.object()?;
                reader.object()?;
            }
            23..=29 => self.message(reader)?,
            30..=34 => {
                self.correlation = reader.int()?;
                if kind == EXCEPTION {
                    self.exception(reader)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// From the producer on.
    fn message(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        reader.cached()?;
        self.destination = reader.cached()?;
        // Transaction, first destination, id, first transaction, group and place in it.
        reader.cached()?;
        reader.cached()?;
        reader.object()?;
        reader.cached()?;
        reader.string()?;
        reader.int()?;
        self.conversation = clean_to(reader.string()?, 128);
        Some(())
    }

    fn exception(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (class, text) = reader.exception()?;
        let (class, text) = (clean_to(class, 128), clean_to(text, 384));
        self.exception = if text.is_empty() { class } else { format!("{class}: {text}").into() };
        Some(())
    }
}

fn version(number: u32) -> &'static str {
    match number {
        1..=8 => "1-8",
        9 => "9",
        10 => "10",
        11 => "11",
        12 => "12",
        _ => "",
    }
}

/// As a row: what a side is able to.
pub(super) fn format(format: &Format) -> RequestFields {
    let mut fields = RequestFields {
        request_type: "WireFormatInfo".into(),
        version: version(format.version),
        status: Status::Ok,
        ..RequestFields::default()
    };
    fields.attributes.push(("tight_encoding", if format.tight { "yes" } else { "no" }.into()));
    fields.attributes.push(("cache", if format.cache { "yes" } else { "no" }.into()));
    if !format.provider.is_empty() {
        fields.attributes.push(("provider", format!("{} {}", format.provider, format.provider_version).trim().into()));
    }
    fields
}

/// As a row.
pub(super) fn fields(kind: u8, command: Command, number: u32, body: &[u8]) -> RequestFields {
    let name = kind_name(kind).unwrap_or_default();
    let failed = !command.exception.is_empty() || kind == EXCEPTION;
    if RESPONSES.contains(&kind) {
        return RequestFields {
            status: if failed { exception_status(&command.exception) } else { Status::Ok },
            exception: command.exception,
            ..RequestFields::default()
        };
    }
    let mut fields = RequestFields {
        request_type: name.into(),
        version: version(number),
        session_id: Some(u64::from(command.id)),
        request_domain: command.broker,
        endpoint: command.destination.clone(),
        request_resource: command.destination,
        x_request_id: command.conversation,
        ..RequestFields::default()
    };
    if failed {
        fields.status = exception_status(&command.exception);
        fields.exception = command.exception;
    } else if !command.response_required {
        fields.status = Status::Ok;
    }
    for (name, value) in [("party", command.party), ("user", command.user)] {
        if !value.is_empty() {
            fields.attributes.push((name, value));
        }
    }
    if matches!(kind, 21 | 23..=29) {
        properties(body, &mut fields);
    }
    fields
}

/// What clients may not do, or ask wrongly, is theirs.
fn exception_status(text: &str) -> Status {
    const CLIENT: [&str; 6] = [
        "Security",
        "InvalidDestination",
        "InvalidClientID",
        "InvalidSelector",
        "IllegalArgument",
        "DestinationDoesNotExist",
    ];
    if CLIENT.iter().any(|word| text.contains(word)) { Status::ClientError } else { Status::ServerError }
}

/// Trace context among a message's properties, which are looked for by name: what stands in front of them is not followed.
fn properties(body: &[u8], fields: &mut RequestFields) {
    const NAMES: [&[u8]; 7] =
        [b"traceparent", b"sw8", b"sw6", b"uber-trace-id", b"uber__dash__trace__dash__id", b"b3", b"x-request-id"];
    for name in NAMES {
        for at in memchr::memmem::find_iter(body, name).take(4) {
            let from = at.checked_sub(2).and_then(|before| body.get(before..)).unwrap_or_default();
            if let Some((found, value)) =
                super::encoding::property(&mut Cursor::new(from)).filter(|(found, _)| *found == name)
            {
                let found = if found.len() == 27 { b"uber-trace-id" } else { found };
                trace_context::header(found, value, fields);
                break;
            }
        }
    }
}
