//! LDAP messages as rows see them: the few elements of BER that matter.

use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, number};
use super::filter;
use crate::model::{RequestFields, Status};

/// An element: its tag, its content as far as it is in view, and how many bytes it is on the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) total: u64,
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    /// `None`: the head is not in view or longer than LDAP's are.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (u32::from(*first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0_u32, |length, digit| length << 8 | u32::from(*digit)), rest)
            }
            _ => return None,
        };
        let head = bytes.len() - rest.len();
        let shown = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (content, rest) = rest.split_at_checked(shown)?;
        Some(Self { tag: *tag, content, total: head as u64 + u64::from(length), rest })
    }

    /// The elements that stand in these bytes, one behind the other.
    pub(super) fn each(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::successors(Self::parse(bytes), |element| Self::parse(element.rest))
    }

    fn number(&self) -> Option<u32> {
        let fits = matches!(self.tag, 2 | 10) && (1..=4).contains(&self.content.len());
        fits.then(|| self.content.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }
}

/// Longest message that is believed, bytes.
const SIZE_LIMIT: u64 = 64 << 20;
/// Bytes that tell whether this is a message at all.
pub(super) const HEAD: usize = 14;

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: u32,
    pub(super) total: u64,
    pub(super) operation: Operation,
    /// The operation's content, as far as it is in view.
    pub(super) content: &'a [u8],
}

/// Kind of operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) tag: u8,
    pub(super) name: &'static str,
    pub(super) is_response: bool,
}

pub(super) const BIND: u8 = 0x60;
pub(super) const UNBIND: u8 = 0x42;
pub(super) const SEARCH: u8 = 0x63;
pub(super) const ENTRY: u8 = 0x64;
pub(super) const REFERENCE: u8 = 0x73;
pub(super) const ABANDON: u8 = 0x50;
pub(super) const EXTENDED: u8 = 0x77;
pub(super) const INTERMEDIATE: u8 = 0x79;
/// What asks for TLS.
pub(super) const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

impl Operation {
    fn of(tag: u8) -> Option<Self> {
        const OPERATIONS: [(u8, &str, bool); 21] = [
            (BIND, "Bind", false),
            (0x61, "Bind", true),
            (UNBIND, "Unbind", false),
            (SEARCH, "Search", false),
            (ENTRY, "SearchEntry", true),
            (0x65, "Search", true),
            (REFERENCE, "SearchReference", true),
            (0x66, "Modify", false),
            (0x67, "Modify", true),
            (0x68, "Add", false),
            (0x69, "Add", true),
            (0x4a, "Delete", false),
            (0x6b, "Delete", true),
            (0x6c, "ModifyDN", false),
            (0x6d, "ModifyDN", true),
            (0x6e, "Compare", false),
            (0x6f, "Compare", true),
            (ABANDON, "Abandon", false),
            (EXTENDED, "Extended", false),
            (0x78, "Extended", true),
            (INTERMEDIATE, "Intermediate", true),
        ];
        let (tag, name, is_response) = *OPERATIONS.iter().find(|(other, ..)| *other == tag)?;
        Some(Self { tag, name, is_response })
    }
}

impl<'a> Envelope<'a> {
    /// `None`: not a message, or fewer bytes than its heads take.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let outer = Element::parse(bytes).filter(|outer| outer.tag == 0x30 && outer.total <= SIZE_LIMIT)?;
        let id = Element::parse(outer.content).filter(|id| id.tag == 2)?;
        let operation = Element::parse(id.rest)?;
        let kind = Operation::of(operation.tag)?;
        let inside = id.total + operation.total <= outer.total;
        Some(Self { id: id.number()?, total: outer.total, operation: kind, content: operation.content })
            .filter(|_| inside)
    }

    /// As a row.
    pub(super) fn request(&self, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields {
            l7_protocol: "ldap",
            request_type: self.operation.name.into(),
            endpoint: self.operation.name.into(),
            session_id: Some(u64::from(self.id)),
            ..RequestFields::default()
        };
        let name = match self.operation.tag {
            BIND => {
                Element::parse(self.content).and_then(|version| Element::parse(version.rest)).map(|name| name.content)
            }
            // The name is the operation itself.
            0x4a => Some(self.content),
            UNBIND | ABANDON => None,
            _ => Element::parse(self.content).map(|name| name.content),
        };
        fields.request_resource = clean_to(name.unwrap_or_default(), 512);
        match self.operation.tag {
            BIND => self.bind(&mut fields, mask),
            SEARCH => self.search(&mut fields, mask),
            _ => {}
        }
        fields
    }

    /// How a client says who it is; passwords and tokens are left out.
    fn bind(&self, fields: &mut RequestFields, mask: &mut Masker) {
        let mut parts = Element::each(self.content);
        fields.version = match parts.next().and_then(|version| version.number()) {
            Some(2) => "2",
            Some(3) => "3",
            _ => "",
        };
        let how = parts.nth(1);
        let mechanism = match how.map(|how| (how.tag, how.content)) {
            Some((0x80, password)) => {
                if !password.is_empty() && !mask.shows() {
                    mask.hid(Secret::Login, 1);
                }
                "simple".into()
            }
            Some((0xa3, inner)) => {
                let mut inner = Element::each(inner);
                let mechanism = inner.next().map_or_else(Box::default, |name| clean_to(name.content, 64));
                if inner.next().is_some() && !mask.shows() {
                    mask.hid(Secret::Login, 1);
                }
                mechanism
            }
            _ => return,
        };
        fields.attributes.push(("mechanism", mechanism));
    }

    /// What is looked for: name, scope, aliases, two limits, types only, the filter, names of attributes.
    fn search(&self, fields: &mut RequestFields, mask: &mut Masker) {
        let mut parts = Element::each(self.content).skip(1);
        let mut next = || parts.next().and_then(|part| part.number());
        let scope = match next() {
            Some(0) => "base",
            Some(1) => "one",
            Some(2) => "sub",
            Some(3) => "children",
            _ => "",
        };
        fields.endpoint = format!("{} {scope}", fields.request_type).trim_end().into();
        fields.attributes.push(("scope", scope.into()));
        let aliases = match next() {
            Some(0) => "never",
            Some(1) => "searching",
            Some(2) => "finding",
            Some(3) => "always",
            _ => "",
        };
        if !aliases.is_empty() {
            fields.attributes.push(("deref_aliases", aliases.into()));
        }
        for limit in ["size_limit", "time_limit"] {
            if let Some(n) = next().filter(|n| *n > 0) {
                fields.attributes.push((limit, number(n.into())));
            }
        }
        let Some(filter) = parts.nth(1) else {
            return;
        };
        fields.attributes.push(("filter", filter::text(&filter, mask)));
        let names = parts.next().map_or(&b""[..], |names| names.content);
        let names: Vec<Box<str>> = Element::each(names).take(64).map(|name| clean_to(name.content, 64)).collect();
        if !names.is_empty() {
            fields.attributes.push(("attributes", names.join(",").into()));
        }
    }

    /// Whether it asks for TLS.
    pub(super) fn is_start_tls(&self) -> bool {
        self.operation.tag == EXTENDED && Element::parse(self.content).is_some_and(|name| name.content == START_TLS)
    }

    /// As a row: the result code, and the text of what went wrong.
    pub(super) fn response(&self) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "ldap", ..RequestFields::default() };
        let Some(result) = Element::parse(self.content) else {
            return fields;
        };
        let Some(code) = result.number() else {
            return fields;
        };
        fields.code = i32::try_from(code).ok();
        fields.status = match code {
            // Compared false or true, a referral, authentication in progress.
            0 | 5 | 6 | 10 | 14 => Status::Ok,
            // Operations error, time and administrative limits, busy, unavailable, unwilling, loop, other.
            1 | 3 | 11 | 51..=54 | 80 => Status::ServerError,
            _ => Status::ClientError,
        };
        if fields.status != Status::Ok {
            let text = Element::parse(result.rest).and_then(|matched| Element::parse(matched.rest));
            fields.exception = text.map_or_else(Box::default, |text| clean_to(text.content, 512));
        }
        fields
    }
}
