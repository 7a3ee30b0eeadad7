//! The thread that compresses frames and appends them to the file.
//!
//! Bounded: when more than [`BUDGET`] bytes wait, the main loop stops draining the rings, and what the kernel then
//! cannot store is counted as lost by the budget.

use crate::settings::Output;
use anyhow::{Context, Result, anyhow};
use formats::manifest::Summary;
use formats::write::{BundleFile, Finished, FrameContent};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// Bytes of content that may wait to be compressed.
pub const BUDGET: u64 = 64 << 20;

/// The place a bundle is written to.
#[derive(Debug)]
pub enum Sink {
    /// A file, made anew.
    File(File),
    /// Standard output.
    Stdout(Stdout),
}

impl Sink {
    /// Makes the file (mode 0600, never one that exists) or takes standard output.
    pub fn open(output: &Output) -> Result<Self> {
        match output {
            Output::File(path) => Ok(Self::File(create(path)?)),
            Output::Stdout => Ok(Self::Stdout(io::stdout())),
        }
    }

    /// Cuts off what a failed write left behind.
    fn cut(&mut self, len: u64) -> io::Result<()> {
        match self {
            Self::File(file) => {
                file.set_len(len)?;
                file.seek(SeekFrom::Start(len)).map(drop)
            }
            Self::Stdout(_) => Err(io::Error::from(io::ErrorKind::NotSeekable)),
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

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}

/// What both threads see.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes of content waiting.
    queued: AtomicU64,
    /// Bytes in the file.
    written: AtomicU64,
    /// Bytes of content in the file.
    content: AtomicU64,
    /// A write failed; nothing more is written.
    failed: AtomicBool,
    error: Mutex<Option<io::Error>>,
}

/// How writing ended.
#[derive(Debug)]
pub struct Ended {
    /// Length and digest of the file, if its end could be written.
    pub finished: Option<Finished>,
    /// Bytes of content written before the end.
    pub content_bytes: u64,
    /// The first failed write, if there was one.
    pub error: Option<io::Error>,
}

/// The main loop's end of the writing thread.
pub struct Writer {
    frames: Option<Sender<FrameContent>>,
    thread: JoinHandle<BundleFile<Sink>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(sink: Sink) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (frames, waiting) = channel();
        let bundle = BundleFile::new(sink).context("cannot set up compression")?;
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("record-writer".into())
            .spawn(move || write_all(bundle, &waiting, &theirs))
            .context("cannot start the writing thread")?;
        Ok(Self { frames: Some(frames), thread, shared })
    }

    /// Queues a frame.
    pub fn push(&self, frame: FrameContent) {
        self.shared.queued.fetch_add(frame.bytes.len() as u64, Ordering::Relaxed);
        if let Some(frames) = &self.frames {
            // The thread ends only after this sender is gone.
            let _ = frames.send(frame);
        }
    }

    /// Whether so much waits that draining has to pause.
    #[must_use]
    pub fn over_budget(&self) -> bool {
        self.shared.queued.load(Ordering::Relaxed) > BUDGET
    }

    /// Whether a write failed: time to stop.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Bytes of the file so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Bytes of content in the file so far.
    #[must_use]
    pub fn content(&self) -> u64 {
        self.shared.content.load(Ordering::Relaxed)
    }

    /// How long the file will be once what waits and `more` bytes of content are in it, as far as one can tell.
    #[must_use]
    pub fn expected(&self, more: u64) -> u64 {
        let (written, content) = (self.written(), self.content());
        let waiting = u128::from(self.shared.queued.load(Ordering::Relaxed) + more);
        // Before anything was compressed, nothing is taken to shrink.
        let waiting = if content == 0 { waiting } else { waiting * u128::from(written) / u128::from(content) };
        written.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    /// Writes what waits, then the end of the bundle. After a failed write, what was written before it stays, and is
    /// finished properly if the room suffices.
    pub fn finish(mut self, summary: &Summary) -> Ended {
        self.frames = None;
        let Ok(bundle) = self.thread.join() else {
            let error = Some(io::Error::other("the writing thread panicked"));
            return Ended { finished: None, content_bytes: 0, error };
        };
        let content_bytes = bundle.content_bytes();
        let error = self.shared.error.lock().ok().and_then(|mut e| e.take());
        let mut summary = summary.clone();
        if let Some(error) = &error {
            summary.reason = reason(error).to_owned();
        }
        match bundle.finish(&summary) {
            Ok((finished, _)) => Ended { finished: Some(finished), content_bytes, error },
            Err(late) => Ended { finished: None, content_bytes, error: error.or(Some(late)) },
        }
    }
}

/// How a recording that ended by a failed write is called in its summary.
fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => "disk-full",
        io::ErrorKind::BrokenPipe => "broken-pipe",
        _ => "write-error",
    }
}

/// Compression level for content that comes in at `rate` bytes per second while `queued` bytes wait: what is seldom may
/// cost more; 3 % more bytes are well worth a third of the time where there is much; and who falls behind must hurry.
fn level(rate: f64, queued: u64) -> i32 {
    match (rate, queued) {
        (_, q) if q > BUDGET / 4 => -4,
        (r, _) if r > 20e6 => -1,
        (r, _) if r > 1e6 => 1,
        _ => 3,
    }
}

fn write_all(mut bundle: BundleFile<Sink>, waiting: &Receiver<FrameContent>, shared: &Shared) -> BundleFile<Sink> {
    let mut before = Instant::now();
    for frame in waiting {
        let now = Instant::now();
        let seconds = now.saturating_duration_since(std::mem::replace(&mut before, now)).as_secs_f64();
        let rate = frame.bytes.len() as f64 / seconds.max(1e-6);
        // Levels within zstd's range are always taken.
        let _ = bundle.set_level(level(rate, shared.queued.load(Ordering::Relaxed)));
        if !shared.failed.load(Ordering::Relaxed)
            && let Err(error) = bundle.append(&frame)
        {
            shared.failed.store(true, Ordering::Relaxed);
            let whole = bundle.bytes();
            // Best effort: what is behind the last whole frame is damage to a reader, not more.
            let _ = bundle.get_mut().cut(whole);
            if let Ok(mut slot) = shared.error.lock() {
                *slot = Some(error);
            }
        }
        shared.queued.fetch_sub(frame.bytes.len() as u64, Ordering::Relaxed);
        shared.written.store(bundle.bytes(), Ordering::Relaxed);
        shared.content.store(bundle.content_bytes(), Ordering::Relaxed);
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::pcapng::SectionInfo;
    use formats::write::FrameBuilder;
    use std::os::unix::fs::PermissionsExt;

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
    fn the_busier_the_cheaper() {
        assert_eq!([level(1e5, 0), level(5e6, 0), level(1e8, 0), level(1e8, BUDGET / 2)], [3, 1, -1, -4]);
    }

    #[test]
    fn a_full_disk_is_said_and_stops_nothing_else() {
        let sink = Sink::File(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let writer = Writer::start(sink).unwrap();
        let mut frames = FrameBuilder::new(&SectionInfo::default(), 0);
        writer.push(frames.take());
        while !writer.failed() {
            std::thread::yield_now();
        }
        writer.push(frames.take());
        let ended = writer.finish(&Summary::default());
        assert!(ended.finished.is_none());
        assert_eq!(reason(&ended.error.unwrap()), "disk-full");
    }
}
