//! The place a bundle is written to: a file, or standard output.
//!
//! Of a file's disk, room for the end of the bundle (what was lost, summary, index, seek table) is always held beyond what is written, so that a
//! recording which a full disk stops is whole all the same.

use crate::settings::Output;
use anyhow::{Result, anyhow};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Stdout, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Room for the end of a short recording, bytes. Of longer ones it is a 256th of what is written: a frame of some 60 kB takes 140 bytes of the
/// index, which zstd makes smaller, and 12 of the seek table.
const END: u64 = 256 << 10;
/// Held at a time, bytes: so many need no call.
const STEP: u64 = 1 << 20;

/// The place a bundle is written to.
#[derive(Debug)]
pub enum Sink {
    /// A file, made anew.
    File(Held),
    /// Standard output.
    Stdout(Stdout),
}

/// A file with room behind what is written.
#[derive(Debug)]
pub struct Held {
    file: File,
    at: u64,
    /// The disk has room for the file up to here.
    until: u64,
    /// Room is held: not by file systems that cannot, and not for the end itself.
    holds: bool,
}

impl From<File> for Sink {
    fn from(file: File) -> Self {
        Self::File(Held { file, at: 0, until: 0, holds: true })
    }
}

impl Sink {
    /// Makes the file (mode 0600, never one that exists) or takes standard output.
    pub fn open(output: &Output) -> Result<Self> {
        match output {
            Output::File(path) => Ok(create(path)?.into()),
            Output::Stdout => Ok(Self::Stdout(io::stdout())),
        }
    }

    /// Cuts off what a failed write left behind, and the room beyond it.
    pub fn cut(&mut self, len: u64) -> io::Result<()> {
        match self {
            Self::File(held) => held.cut(len),
            Self::Stdout(_) => Err(io::Error::from(io::ErrorKind::NotSeekable)),
        }
    }

    /// What comes now is the end, for which the room was held.
    pub fn ends(&mut self) {
        if let Self::File(held) = self {
            held.holds = false;
        }
    }

    /// The same file, if it is one that can be cut.
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::File(held) => held.file.try_clone().ok().map(Self::from),
            Self::Stdout(_) => None,
        }
    }
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow!("{} exists already; recordings never overwrite: give another name with -o", path.display())
        }
        _ => anyhow!("cannot create {}: {error}", path.display()),
    })
}

impl Held {
    /// Takes what is about to be written off the free room, if the end still has its own then.
    fn hold(&mut self, len: u64) -> io::Result<()> {
        let needed = self.at + len + END + self.at / 256;
        if !self.holds || needed <= self.until {
            return Ok(());
        }
        for until in [needed + STEP, needed] {
            match allocate(&self.file, self.at, until - self.at) {
                Ok(()) => {
                    self.until = until;
                    return Ok(());
                }
                Err(error) if is_full(&error) => {}
                Err(_) => {
                    // No regular file, or a file system without it (NFS, FAT): a full disk shows when it is.
                    self.holds = false;
                    return Ok(());
                }
            }
        }
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        (self.at, self.until) = (len, len);
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Has the disk's room for a stretch of a file, whose length stays as it is (fallocate(2)).
fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    };
    // SAFETY: plain numbers; the descriptor is open as long as `file` is.
    match unsafe { libc::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, offset, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(held) => {
                held.hold(bytes.len() as u64)?;
                let written = held.file.write(bytes)?;
                held.at += written as u64;
                Ok(written)
            }
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(held) => held.file.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::File(dir.path().join("a.zst"));
        let Output::File(path) = &output else { unreachable!() };
        let _sink = Sink::open(&output).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(format!("{:#}", Sink::open(&output).unwrap_err()).contains("never overwrite"));
    }

    #[test]
    fn room_for_the_end_is_held_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::File(dir.path().join("a.zst"));
        let Output::File(path) = &output else { unreachable!() };
        let mut sink = Sink::open(&output).unwrap();
        sink.write_all(&[7; 100_000]).unwrap();
        let Sink::File(Held { holds, .. }) = sink else { unreachable!() };
        // The length is what was written; blocks are of 512 bytes.
        let file = path.metadata().unwrap();
        assert_eq!(file.len(), 100_000);
        assert!(!holds || file.blocks() * 512 >= 100_000 + END, "{}", file.blocks());
        sink.cut(100_000).unwrap();
        let file = path.metadata().unwrap();
        assert!(file.len() == 100_000 && file.blocks() * 512 < END, "{}", file.blocks());
        sink.write_all(b"8").unwrap();
        assert_eq!(std::fs::read(path).unwrap()[99_999..], [7, b'8']);
    }
}
