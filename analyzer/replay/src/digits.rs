//! Ids as hex digits, without a piece of memory of their own for each.

/// Up to `N` hex digits; read as text. Empty means that there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digits<const N: usize> {
    digits: [u8; N],
    len: u8,
}

/// Id of a trace: 32 digits.
pub type TraceId = Digits<32>;
/// Id of a span: 16 digits.
pub type SpanId = Digits<16>;

const HEX: &[u8; 16] = b"0123456789abcdef";

impl<const N: usize> Digits<N> {
    /// The digits of a number, with leading zeros.
    #[must_use]
    pub fn of(value: u128) -> Self {
        let mut digits = [0; N];
        let mut rest = value;
        for digit in digits.iter_mut().rev() {
            *digit = HEX[(rest & 15) as usize];
            rest >>= 4;
        }
        Self { digits, len: N as u8 }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.digits.get(..usize::from(self.len)).and_then(crate::ascii::plain).unwrap_or("")
    }
}

impl<const N: usize> Default for Digits<N> {
    fn default() -> Self {
        Self { digits: [0; N], len: 0 }
    }
}

impl<const N: usize> std::ops::Deref for Digits<N> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> std::fmt::Display for Digits<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> std::fmt::Debug for Digits<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_leading_zeros() {
        assert_eq!(SpanId::of(0xab).as_str(), "00000000000000ab");
        assert_eq!(TraceId::of(u128::MAX >> 4).as_str(), "0fffffffffffffffffffffffffffffff");
        assert_eq!(SpanId::default().as_str(), "");
        assert!(SpanId::of(9) < SpanId::of(10) && SpanId::default() < SpanId::of(0));
    }
}
