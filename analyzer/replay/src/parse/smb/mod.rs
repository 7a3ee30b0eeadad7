//! SMB over TCP: versions 2 and 3 (MS-SMB2) and 1 (MS-CIFS): commands by message id, with their status; of versions 2 and 3 the names of
//! shares and files that are opened. What is in them is not read; encrypted messages of version 3 are passed over.

mod names;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "smb", ports: &[445, 139], timeout: 120_000_000_000, detect, start: |_| Box::new(Smb) };

/// Bytes of a frame looked at: heads of what is asked together.
const WINDOW: usize = 4096;
/// Commands asked in one frame.
const COMPOUND: usize = 16;
/// Bytes of a head of versions 2 and 3.
const HEAD: usize = 64;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
/// The operation goes on, and another answer follows.
const PENDING: u32 = 0x0000_0103;
/// A log-in goes on.
const MORE_PROCESSING: u32 = 0xc000_0016;

const COMMANDS: [&str; 19] = [
    "Negotiate",
    "SessionSetup",
    "Logoff",
    "TreeConnect",
    "TreeDisconnect",
    "Create",
    "Close",
    "Flush",
    "Read",
    "Write",
    "Lock",
    "Ioctl",
    "Cancel",
    "Echo",
    "QueryDirectory",
    "ChangeNotify",
    "QueryInfo",
    "SetInfo",
    "OplockBreak",
];

fn detect(first: First<'_>) -> Detection {
    if first.transport != Transport::Tcp {
        return Detection::No;
    }
    match first.bytes {
        [0, _, _, _, 0xfe | 0xff, b'S', b'M', b'B', rest @ ..] => {
            let head = Head::parse(first.bytes.get(4..).unwrap_or_default());
            match head {
                Some(head) => {
                    let from = if head.answers { Side::Server } else { Side::Client };
                    Detection::Yes { confidence: 97, from: Some(from) }
                }
                None if !first.whole && rest.len() < 64 => Detection::More,
                None => Detection::No,
            }
        }
        [0, _, _, _, 0xfd, b'S', b'M', b'B', ..] => Detection::Yes { confidence: 90, from: None },
        [0, 0 | 1, _, _, mark @ ..] if !mark.is_empty() && mark.len() < 4 && !first.whole => {
            let may = |start: &[u8]| start.starts_with(mark);
            if may(b"\xfeSMB") || may(b"\xffSMB") { Detection::More } else { Detection::No }
        }
        [0] | [0, 0 | 1] | [0, 0 | 1, _] | [0, 0 | 1, _, _] if !first.whole => Detection::More,
        _ => Detection::No,
    }
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
struct Head {
    second: bool,
    answers: bool,
    command: u16,
    status: u32,
    id: u64,
    /// Where the next one of the frame stands, 0: nowhere.
    next: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let mark = cursor.u32()?;
        match mark {
            0xfe53_4d42 => {
                cursor.u16_le().filter(|size| *size == 64)?;
                cursor.u16_le()?;
                let (status, command) = (cursor.u32_le()?, cursor.u16_le()?);
                cursor.u16_le()?;
                let (flags, next, id) = (cursor.u32_le()?, cursor.u32_le()?, cursor.u64_le()?);
                let next = usize::try_from(next).ok()?;
                Some(Self { second: true, answers: flags & 1 != 0, command, status, id, next })
            }
            0xff53_4d42 => {
                let (command, status, flags) = (cursor.u8()?, cursor.u32_le()?, cursor.u8()?);
                cursor.take(20)?;
                let id = u64::from(cursor.u16_le()?);
                Some(Self { second: false, answers: flags & 0x80 != 0, command: command.into(), status, id, next: 0 })
            }
            _ => None,
        }
    }

    /// Of versions 2 and 3: the share or file that is opened. `bytes`: the message from its head on.
    fn opens(&self, bytes: &[u8]) -> Option<Box<str>> {
        // Where offset and length of the name stand (MS-SMB2 sections 2.2.9 and 2.2.13).
        let at = match self.command {
            TREE_CONNECT => HEAD + 4,
            CREATE => HEAD + 44,
            _ => return None,
        };
        let mut cursor = Cursor::new(bytes.get(at..)?);
        let (start, length) = (usize::from(cursor.u16_le()?), usize::from(cursor.u16_le()?));
        let name = bytes.get(start..)?;
        (self.second && !self.answers).then(|| names::text(name.get(..length).unwrap_or(name)))
    }

    fn row(&self) -> RequestFields {
        let version = if self.second { "2" } else { "1" };
        let mut fields =
            RequestFields { l7_protocol: "smb", version, session_id: Some(self.id), ..RequestFields::default() };
        if self.answers {
            fields.status = Status::Ok;
            // The top two bits: 3 is an error (MS-ERREF section 2.3).
            if self.status >> 30 == 3 && self.status != MORE_PROCESSING {
                fields.exception = names::status(self.status);
                // What fails for want of memory, disk or time is the server's.
                let server = matches!(self.status, 0xc000_009a | 0xc000_007f | 0xc000_00b5 | 0xc000_0001 | 0xc000_00e5);
                fields.status = if server { Status::ServerError } else { Status::ClientError };
            } else if self.status != 0 {
                // More of it follows, or there is no more.
                fields.result = names::status(self.status);
            }
            return fields;
        }
        let name: Box<str> = match COMMANDS.get(usize::from(self.command)).filter(|_| self.second) {
            Some(name) => (*name).into(),
            None => match (self.second, self.command) {
                (false, 0x72) => "Negotiate".into(),
                (false, 0x73) => "SessionSetup".into(),
                (false, 0x71) => "TreeDisconnect".into(),
                (false, 0x74) => "Logoff".into(),
                (false, 0x75) => "TreeConnect".into(),
                (false, 0x2e) => "Read".into(),
                (false, 0x2f) => "Write".into(),
                (false, 0x32) => "Transaction2".into(),
                (false, 0x25) => "Transaction".into(),
                (false, 0xa2) => "Create".into(),
                (false, 0x04) => "Close".into(),
                (_, command) => format!("0x{command:02x}").into(),
            },
        };
        fields.endpoint = name.clone();
        fields.request_type = name;
        fields
    }
}

#[derive(Debug)]
struct Smb;

impl Parser for Smb {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut cursor = Cursor::new(input.bytes);
        let (Some(kind), Some(length)) = (cursor.u8(), cursor.u24()) else { return Step::More(4) };
        let total = u64::from(length) + 4;
        match kind {
            0 => {}
            // Set-up and keep-alive of NetBIOS sessions (RFC 1002 section 4.3).
            0x81..=0x85 => return Step::Consume(total),
            _ => return Step::Reject("not a session message"),
        }
        let view = match view(input, total, WINDOW) {
            Ok(view) => view,
            Err(step) => return step,
        };
        let mut at = 4;
        for place in 0..COMPOUND {
            let Some(head) = view.bytes.get(at..).and_then(Head::parse) else {
                let encrypted =
                    view.bytes.get(at..).is_some_and(|rest| matches!(rest, [0xfc | 0xfd, b'S', b'M', b'B', ..]));
                if place == 0 && !encrypted && !view.cut {
                    return Step::Reject("not a message of SMB");
                }
                break;
            };
            let notice = head.answers && head.id == u64::MAX;
            if !(head.answers && head.second && head.status == PENDING) {
                let kind = match (head.answers, notice || head.second && head.command == 12) {
                    (_, true) => Kind::OneWay,
                    (true, false) => Kind::Response,
                    (false, false) => Kind::Request,
                };
                let mut fields = head.row();
                fields.request_resource = view.bytes.get(at..).and_then(|rest| head.opens(rest)).unwrap_or_default();
                if notice {
                    fields.request_type = "OplockBreak".into();
                }
                let mut message = Message::new(kind, fields).truncated(view.cut && view.bytes.len() < 68);
                message.key = (kind != Kind::OneWay).then_some(head.id);
                out.emit(message);
            }
            if head.next < 64 {
                break;
            }
            at += head.next;
        }
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        matches!(bytes, [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..])
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
