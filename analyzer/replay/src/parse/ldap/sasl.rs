//! The security layer of SASL around messages of LDAP: a length of four bytes and a token of the mechanism
//! (RFC 4422 section 3.7), which leaves the messages readable if the layer gives integrity only.
//!
//! Read are Kerberos of RFC 4121 (section 4.2.6.2) and of RFC 1964 and 4757, and NTLM's signature (\[MS-NLMP\] 2.2.2.9).

/// Bytes of a buffer that hold all heads that are read.
pub(super) const HEAD: usize = 72;

/// Head of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    /// Bytes on the stream, its length included.
    pub(super) total: u64,
    /// Bytes in front of what it protects.
    pub(super) head: usize,
    /// Bytes that it protects; 0: they are encrypted, or in an order that is not read.
    pub(super) plain: u64,
    /// Whether the token says that the server sends it, where it says so.
    pub(super) from_server: Option<bool>,
}

/// Object identifier of Kerberos, with tag and length (RFC 1964 section 1).
const KERBEROS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";

impl Buffer {
    /// `None`: not such a buffer, or its head is not in view.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, token) = bytes.split_first_chunk::<4>()?;
        // At most 2^24 - 1 (RFC 4752 section 3.1), so that no message of LDAP (0x30) begins like this.
        let length = u32::from_be_bytes(*length);
        if !(16..1 << 24).contains(&length) {
            return None;
        }
        let (head, tail, from_server) = match token {
            [5, 4, flags, 0xff, extra @ ..] if flags & 0xf8 == 0 => {
                let (extra, rest) = extra.split_first_chunk::<2>()?;
                let (rotated, _) = rest.split_first_chunk::<2>()?;
                let (extra, rotated) = (u16::from_be_bytes(*extra), u16::from_be_bytes(*rotated));
                let from_server = Some(flags & 1 != 0);
                match (flags & 2 != 0, rotated) {
                    // The checksum stands behind the data, or was rotated as a whole to its front.
                    (false, 0) => (16, u64::from(extra), from_server),
                    (false, _) if rotated == extra => (16 + usize::from(extra), 0, from_server),
                    _ => (0, 0, from_server),
                }
            }
            [1, 0, 0, 0, ..] => (16, 0, None),
            [0x60, rest @ ..] => Self::old(rest)?,
            _ => return None,
        };
        let total = 4 + u64::from(length);
        let head = if head == 0 { 0 } else { 4 + head };
        let plain = if head == 0 { 0 } else { total.checked_sub(head as u64 + tail)? };
        Some(Self { total, head, plain, from_server })
    }

    /// A token of the older kind, behind its first byte: bytes in front of the data, counted from that byte. Behind the data stand
    /// up to eight bytes of padding.
    fn old(rest: &[u8]) -> Option<(usize, u64, Option<bool>)> {
        let (first, after) = rest.split_first()?;
        let digits = usize::from(first.checked_sub(0x80).unwrap_or(0));
        let kind = after.get(digits..)?.strip_prefix(KERBEROS)?;
        let sealed = match kind {
            [2, 1, _, _, 0xff, 0xff, ..] => false,
            [2, 1, ..] => true,
            _ => return None,
        };
        // Kind, algorithms, filler; sequence, checksum, confounder.
        let head = 2 + digits + KERBEROS.len() + 8 + 24;
        Some((if sealed { 0 } else { head }, 0, None))
    }
}
