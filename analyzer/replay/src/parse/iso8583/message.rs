//! Messages as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, decimal, trim};
use super::element::{Form, take, unpacked};
use crate::model::{RequestFields, Side, Status};
use std::borrow::Cow;

/// Longest message, bytes.
pub(super) const LIMIT: usize = 8192;
/// UnionPay's head: its length, first.
const UNION_PAY: usize = 46;

/// Bytes of the whole message, and whether digits told it.
pub(super) fn sizes(bytes: &[u8]) -> Option<(usize, bool)> {
    if let Some(digits) = bytes.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_digit)) {
        let len = usize::try_from(decimal(digits)?).ok()?;
        return (len == 0 || (20..LIMIT - 4).contains(&len)).then_some((len + 4, true));
    }
    let [high, low] = *bytes.first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    (len == 0 || (20..LIMIT - 2).contains(&len)).then_some((len + 2, false))
}

/// What a message says.
#[derive(Clone, Debug, Default)]
pub(super) struct Body<'a> {
    kind: [u8; 4],
    elements: u32,
    head: &'static str,
    card: Cow<'a, [u8]>,
    processing: Cow<'a, [u8]>,
    trace: Cow<'a, [u8]>,
    reference: Cow<'a, [u8]>,
    code: Cow<'a, [u8]>,
    terminal: Cow<'a, [u8]>,
    acceptor: Cow<'a, [u8]>,
    acquirer: Cow<'a, [u8]>,
    network: Cow<'a, [u8]>,
}

/// Where the kind of message may stand, behind which head.
fn places(bytes: &[u8]) -> [(usize, &'static str); 4] {
    let Some((_, digits)) = sizes(bytes) else {
        return [(usize::MAX, ""); 4];
    };
    let start = if digits { 4 } else { 2 };
    let first = bytes.get(start).copied().unwrap_or_default();
    let none = (usize::MAX, "");
    match first {
        0x2e => [(start + UNION_PAY, "UnionPay"), none, none, none],
        0x60..=0x6f => [(start + 5, "TPDU"), (start + 11, "TPDU"), none, none],
        _ => [(start, ""), none, none, none],
    }
}

/// A kind of message: version, class, function, who started it.
fn kind_at(bytes: &[u8], at: usize) -> Option<([u8; 4], usize, bool)> {
    let sound = |kind: [u8; 4]| matches!(kind, [b'0'..=b'2', b'1'..=b'8', b'0'..=b'5', b'0'..=b'5']).then_some(kind);
    if let Some(kind) = bytes.get(at..)?.first_chunk::<4>().and_then(|kind| sound(*kind)) {
        return Some((kind, at + 4, false));
    }
    let packed = unpacked(bytes.get(at..at.checked_add(2)?)?);
    Some((sound(*packed.first_chunk::<4>()?)?, at + 2, true))
}

impl<'a> Body<'a> {
    /// Whether a message starts here, as far as bytes go.
    pub(super) fn starts(bytes: &[u8]) -> bool {
        places(bytes).iter().any(|(at, _)| *at < LIMIT && (kind_at(bytes, *at).is_some() || bytes.len() < at + 4))
    }

    /// Reads a whole message, its length in front.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        for (at, head) in places(bytes) {
            let Some((kind, at, packed)) = kind_at(bytes, at) else { continue };
            let forms: &[Form] = if packed { &[Form::Packed] } else { &[Form::Ascii, Form::Hexadecimal, Form::Packed] };
            for form in forms {
                let body = Self { kind, head, ..Self::default() };
                if let Some(body) = body.filled(bytes.get(at..)?, *form) {
                    return Some(body);
                }
            }
        }
        None
    }

    /// The elements, which fill `bytes`.
    fn filled(mut self, bytes: &'a [u8], form: Form) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let map = |cursor: &mut Cursor<'_>| {
            if form != Form::Hexadecimal {
                return cursor.u64();
            }
            let digits = std::str::from_utf8(cursor.take(16)?).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let first = map(&mut cursor)?;
        let second = if first >> 63 != 0 { map(&mut cursor)? } else { 0 };
        // The first bit of the first map says that there is a second one.
        let mut left = (u128::from(first) << 64 | u128::from(second)) & (u128::MAX >> 1);
        while left != 0 {
            let number = left.leading_zeros() as u8 + 1;
            left &= !(1 << (128 - number));
            let content = take(&mut cursor, number, form)?;
            self.elements += 1;
            let digits = || if form == Form::Packed { Cow::Owned(unpacked(content)) } else { Cow::Borrowed(content) };
            match number {
                2 => self.card = digits(),
                3 => self.processing = digits(),
                11 => self.trace = digits(),
                32 => self.acquirer = digits(),
                37 => self.reference = Cow::Borrowed(content),
                39 => self.code = Cow::Borrowed(content),
                41 => self.terminal = Cow::Borrowed(content),
                42 => self.acceptor = Cow::Borrowed(content),
                70 => self.network = digits(),
                _ => {}
            }
        }
        cursor.rest().is_empty().then_some(self)
    }

    pub(super) fn elements(&self) -> u32 {
        self.elements
    }

    /// The third digit tells: odd ones answer, 4 needs no answer.
    pub(super) fn is_response(&self) -> bool {
        matches!(self.kind[2], b'1' | b'3' | b'5')
    }

    pub(super) fn is_answered(&self) -> bool {
        self.kind[2] != b'4'
    }

    /// By the number that whoever asks counts, within a class.
    pub(super) fn key(&self, asker: Side) -> u64 {
        let trace = decimal(&self.trace).unwrap_or_default();
        trace << 8 | u64::from(self.kind[1] & 15) << 1 | asker.index() as u64
    }

    fn class(&self) -> &'static str {
        match self.kind[1] {
            b'1' => "Authorization",
            b'2' => "Financial",
            b'3' => "FileAction",
            b'4' => "Reversal",
            b'5' => "Reconciliation",
            b'6' => "Administrative",
            b'7' => "FeeCollection",
            _ => "NetworkManagement",
        }
    }

    /// As a row. Numbers of cards are never shown whole, unless secrets are.
    pub(super) fn request(&self, mask: &mut Masker) -> RequestFields {
        let text = |bytes: &[u8]| clean_to(trim(bytes), 64);
        let mut fields = RequestFields {
            request_type: text(&self.kind),
            request_domain: text(&self.acquirer),
            request_resource: if self.processing.is_empty() { text(&self.network) } else { text(&self.processing) },
            endpoint: self.class().into(),
            session_id: decimal(&self.trace),
            version: match self.kind[0] {
                b'0' => "1987",
                b'1' => "1993",
                _ => "2003",
            },
            ..RequestFields::default()
        };
        if !self.card.is_empty() {
            let card = text(&self.card);
            let shown = if mask.shows() {
                card
            } else {
                mask.hid(Secret::Value, 1);
                format!("***{}", card.get(card.len().saturating_sub(4)..).unwrap_or_default()).into()
            };
            fields.attributes.push(("card", shown));
        }
        for (name, bytes) in
            [("terminal", &self.terminal), ("acceptor", &self.acceptor), ("reference", &self.reference)]
        {
            if !bytes.is_empty() {
                fields.attributes.push((name, text(bytes)));
            }
        }
        if !self.head.is_empty() {
            fields.attributes.push(("head", self.head.into()));
        }
        fields
    }

    /// As a row, by element 39.
    pub(super) fn response(&self) -> RequestFields {
        let code = clean_to(trim(&self.code), 2);
        let (status, text) = match &*code {
            "" => (Status::Unknown, ""),
            "00" | "08" | "10" | "11" | "16" => (Status::Ok, ""),
            "01" | "02" => (Status::ClientError, "refer to card issuer"),
            "03" => (Status::ClientError, "invalid merchant"),
            "05" => (Status::ClientError, "do not honour"),
            "12" => (Status::ClientError, "invalid transaction"),
            "13" => (Status::ClientError, "invalid amount"),
            "14" => (Status::ClientError, "invalid card number"),
            "25" => (Status::ClientError, "record not found"),
            "30" => (Status::ClientError, "format error"),
            "51" => (Status::ClientError, "not sufficient funds"),
            "54" => (Status::ClientError, "expired card"),
            "55" => (Status::ClientError, "incorrect PIN"),
            "57" | "58" => (Status::ClientError, "transaction not permitted"),
            "61" => (Status::ClientError, "exceeds withdrawal limit"),
            "68" => (Status::ServerError, "response received too late"),
            "91" => (Status::ServerError, "issuer or switch inoperative"),
            "96" => (Status::ServerError, "system malfunction"),
            "90" | "92" | "94" | "97" | "98" | "99" => (Status::ServerError, "switch refuses"),
            _ => (Status::ClientError, "declined"),
        };
        let exception = if text.is_empty() { Box::default() } else { format!("{code}: {text}").into() };
        RequestFields { status, code: code.parse().ok(), exception, ..RequestFields::default() }
    }
}
