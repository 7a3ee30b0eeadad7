//! gzip, member by member (RFC 1952, 2.2), as gzip(1) reads it.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// Content of all members. Zeros after a member are padding, as tapes and block-wise copies leave it; anything else there is an error.
#[derive(Debug)]
pub(super) struct Members<R> {
    /// `None` only within [`Self::next`], or behind the last member and behind an error.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Members<R> {
    pub(super) fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::new(input))) }
    }

    /// Behind a member: the next one, if there is one.
    fn next(mut input: BufReader<R>) -> io::Result<Option<GzDecoder<BufReader<R>>>> {
        loop {
            let bytes = match input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            let padding = bytes.iter().take_while(|b| **b == 0).count();
            if padding == bytes.len() && padding != 0 {
                input.consume(padding);
                continue;
            }
            let ends = bytes.is_empty();
            input.consume(padding);
            return Ok((!ends).then(|| GzDecoder::new(input)));
        }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            match member.read(out) {
                Ok(0) => {}
                Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                    self.member = None;
                    return Err(e);
                }
                read => return read,
            }
            let ended = self.member.take().map(GzDecoder::into_inner);
            self.member = ended.map(Self::next).transpose()?.flatten();
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(input: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let sound = Members::new(input).read_to_end(&mut out).is_ok();
        (out, sound)
    }

    #[test]
    fn members_and_padding() {
        let (one, two) = (member(b"one"), member(b"two"));
        let long = vec![0; 100_000];
        assert_eq!(read(&one), (b"one".to_vec(), true));
        assert_eq!(read(&[&one[..], &two].concat()), (b"onetwo".to_vec(), true));
        assert_eq!(read(&[&one[..], &member(b""), &two].concat()), (b"onetwo".to_vec(), true));
        assert_eq!(read(&[&one[..], &long].concat()), (b"one".to_vec(), true));
        assert_eq!(read(&[&one[..], &[0], &two, &[0, 0]].concat()), (b"onetwo".to_vec(), true));
    }

    #[test]
    fn what_is_no_member_is_an_error_behind_the_content() {
        let one = member(b"one");
        assert_eq!(read(&[&one[..], b"rubbish"].concat()), (b"one".to_vec(), false));
        assert_eq!(read(&[&one[..], &[0, 0], b"rubbish"].concat()), (b"one".to_vec(), false));
        assert_eq!(read(&[&one[..], &one[..7]].concat()), (b"one".to_vec(), false));
        assert!(!read(&one[..one.len() - 3]).1);
        let mut wrong = one.clone();
        wrong[one.len() - 6] ^= 1;
        assert!(!read(&wrong).1);
    }
}
