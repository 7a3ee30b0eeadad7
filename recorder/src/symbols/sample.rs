//! A stack sample as the program hands it over: with a piece of the user stack, which ends here.

use crate::bpf::layout::USER_STACK_WORDS;
use formats::event::{self, Record, StackSample};

/// What a stack sample holds before the user stack was walked.
#[derive(Debug)]
pub struct Raw<'a> {
    /// The fixed part.
    pub sample: StackSample,
    /// Kernel addresses, innermost first.
    pub kernel: Vec<u64>,
    /// User addresses as the kernel found them, by frame pointers; innermost first.
    pub user: Vec<u64>,
    /// The stack to walk, if it came along.
    pub stack: Option<UserStack<'a>>,
}

/// Registers and the top of a user stack.
#[derive(Clone, Copy, Debug)]
pub struct UserStack<'a> {
    /// Program counter.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer, or whatever the program keeps in that register.
    pub bp: u64,
    /// Memory from `sp` upwards.
    pub memory: &'a [u8],
}

impl UserStack<'_> {
    /// The word at an address, if it was copied.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.sp)?).ok()?;
        let bytes = self.memory.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

impl<'a> Raw<'a> {
    /// Takes the record of a ring apart. `None` if it is no stack sample.
    #[must_use]
    pub fn read(record: &'a [u8]) -> Option<Self> {
        let sample = StackSample::read(record)?;
        let tail = event::tail(record);
        let (kernel, rest) = tail.split_at(usize::from(sample.kernel_len).min(tail.len()));
        let (user, rest) = rest.split_at(usize::from(sample.user_len).min(rest.len()));
        Some(Self { sample, kernel: words(kernel), user: words(user), stack: user_stack(rest) })
    }

    /// The record as a bundle has it: addresses only.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let fixed = size_of::<StackSample>();
        let bytes = |of: &[u64]| u16::try_from(of.len() * 8).unwrap_or(0);
        let mut sample = self.sample;
        (sample.kernel_len, sample.user_len) = (bytes(&self.kernel), bytes(&self.user));
        let len = fixed + usize::from(sample.kernel_len) + usize::from(sample.user_len);
        (sample.hdr.fixed_len, sample.hdr.len) = (fixed as u16, len as u32);
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(sample.as_bytes());
        let stacks = [(&self.kernel, sample.kernel_len), (&self.user, sample.user_len)];
        for address in stacks.iter().filter(|(_, len)| *len > 0).flat_map(|(addresses, _)| *addresses) {
            out.extend_from_slice(&address.to_ne_bytes());
        }
        out
    }
}

fn user_stack(bytes: &[u8]) -> Option<UserStack<'_>> {
    let (head, memory) = bytes.split_at_checked(USER_STACK_WORDS as usize * 8)?;
    let &[ip, sp, bp, len] = words(head).as_slice() else { return None };
    let memory = memory.get(..usize::try_from(len).ok()?)?;
    (!memory.is_empty()).then_some(UserStack { ip, sp, bp, memory })
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).filter_map(|b| Some(u64::from_ne_bytes(b.try_into().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{RecordHeader, kind};

    fn ring_record(kernel: &[u64], user: &[u64], stack: &[u64], memory: &[u8], padding: usize) -> Vec<u8> {
        let tail: Vec<u8> =
            [kernel, user, stack].concat().iter().flat_map(|w| w.to_ne_bytes()).chain(memory.iter().copied()).collect();
        let fixed = size_of::<StackSample>();
        let sample = StackSample {
            hdr: RecordHeader {
                len: (fixed + tail.len() + padding).next_multiple_of(8) as u32,
                kind: kind::STACK_SAMPLE,
                fixed_len: fixed as u16,
                ts: 5,
                pid: 7,
                tid: 8,
            },
            period: 9,
            kernel_len: kernel.len() as u16 * 8,
            user_len: user.len() as u16 * 8,
            user_error: 0,
            comm: *b"worker\0\0\0\0\0\0\0\0\0\0",
        };
        let mut record = [sample.as_bytes(), &tail].concat();
        record.resize(sample.hdr.len as usize, 0);
        record
    }

    #[test]
    fn the_stack_ends_here() {
        let record = ring_record(&[1, 2], &[3], &[3, 0x1000, 0x2000, 9], b"secret!!!", 5000);
        let mut raw = Raw::read(&record).unwrap();
        assert_eq!((raw.kernel.as_slice(), raw.user.as_slice()), (&[1, 2][..], &[3][..]));
        let stack = raw.stack.unwrap();
        assert_eq!((stack.ip, stack.sp, stack.bp, stack.memory), (3, 0x1000, 0x2000, &b"secret!!!"[..]));
        assert_eq!(stack.word(0x1001), Some(u64::from_ne_bytes(*b"ecret!!!")));
        assert_eq!((stack.word(0x1002), stack.word(0xfff), stack.word(u64::MAX)), (None, None, None));
        raw.user = vec![3, 4, 5];
        let written = raw.record();
        assert_eq!(written, ring_record(&[1, 2], &[3, 4, 5], &[], b"", 0));
        assert!(!written.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn whatever_the_bytes() {
        let whole = ring_record(&[1], &[2], &[2, 3, 4, 16], &[7; 16], 0);
        for end in 0..whole.len() {
            // A cut record has no stack, or a shorter list of addresses.
            let raw = Raw::read(&whole[..end]);
            assert!(raw.is_none_or(|r| r.stack.is_none()), "{end}");
        }
        assert!(Raw::read(&ring_record(&[], &[2], &[2, 3, 4, u64::MAX], &[7; 16], 0)).unwrap().stack.is_none());
        assert!(Raw::read(&ring_record(&[], &[2], &[0, 0, 0, 0], &[], 0)).unwrap().stack.is_none());
    }
}
