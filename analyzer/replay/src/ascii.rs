//! Printable ASCII, which nearly all texts of rows are.

/// The bytes as they are, if they are printable ASCII, as nearly all are: rows have many short texts, and the standard library's
/// look at each takes as long as everything else that is done with it.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> Option<&str> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The high bit of some byte is set if any of the eight is less than a space, or DEL, or no ASCII.
    let odd = |eight: [u8; 8]| {
        let n = u64::from_ne_bytes(eight);
        (n.wrapping_sub(EACH * 0x20) & !n | n.wrapping_add(EACH) | n) & (EACH << 7)
    };
    let found = match bytes.last_chunk() {
        // The last eight overlap those before.
        Some(last) => bytes.as_chunks().0.iter().fold(odd(*last), |found, eight| found | odd(*eight)) != 0,
        None => !bytes.iter().all(|byte| (0x20..0x7f).contains(byte)),
    };
    if found {
        return None;
    }
    // SAFETY: no byte has its high bit set, so every one is a character of UTF-8.
    Some(unsafe { std::str::from_utf8_unchecked(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_text_is_printable_ascii(mut bytes in prop::collection::vec(0x20_u8..0x7f, 0..40), at: prop::sample::Index, byte: u8) {
            prop_assert_eq!(plain(&bytes).map(str::as_bytes), Some(&bytes[..]));
            bytes.push(b' ');
            let at = at.index(bytes.len());
            bytes[at] = byte;
            prop_assert_eq!(plain(&bytes).is_some(), (0x20..0x7f).contains(&byte));
        }
    }
}
