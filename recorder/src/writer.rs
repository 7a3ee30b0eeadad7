//! The thread that compresses frames and appends them to the file.
//!
//! Bounded: when more than [`BUDGET`] bytes wait, the main loop stops draining the rings, and what the kernel then
//! cannot store is counted as lost by the budget.

use crate::sink::Sink;
use anyhow::{Context, Result};
use formats::block::NO_CPU;
use formats::facts::Loss;
use formats::manifest::Summary;
use formats::write::{BundleFile, Finished, FrameContent};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// Bytes of content that may wait to be compressed.
pub const BUDGET: u64 = 64 << 20;

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
    /// The summary as it was written: what was not is lost.
    pub summary: Summary,
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
    /// finished properly if the room suffices: what was captured and is not in the file counts as lost, which `losses`
    /// makes a frame of.
    pub fn finish(mut self, mut summary: Summary, losses: impl FnOnce(&[Loss]) -> FrameContent) -> Ended {
        self.frames = None;
        let Ok(mut bundle) = self.thread.join() else {
            let error = Some(io::Error::other("the writing thread panicked"));
            return Ended { finished: None, content_bytes: 0, error, summary };
        };
        let content_bytes = bundle.content_bytes();
        let error = self.shared.error.lock().ok().and_then(|mut e| e.take());
        if let Some(error) = &error {
            summary.reason = reason(error).to_owned();
            let lost = unwritten(&mut summary, &bundle);
            // Where a large frame found no room, this small one may.
            let whole = bundle.bytes();
            bundle.get_mut().ends();
            if !lost.is_empty() && bundle.append(&losses(&lost)).is_err() {
                let _ = bundle.get_mut().cut(whole);
            }
        }
        bundle.get_mut().ends();
        let whole = bundle.bytes();
        let mut again = bundle.get_mut().again();
        let finished = bundle.finish(&summary);
        // What was held and is not needed goes back, and so does half an end.
        if let Some(sink) = &mut again {
            let _ = sink.cut(finished.as_ref().map_or(whole, |(finished, _)| finished.bytes));
        }
        match finished {
            Ok((finished, _)) => Ended { finished: Some(finished), content_bytes, error, summary },
            Err(late) => Ended { finished: None, content_bytes, error: error.or(Some(late)), summary },
        }
    }
}

/// What was captured and is not in the file: it was not captured then, but lost.
fn unwritten(summary: &mut Summary, bundle: &BundleFile<Sink>) -> Vec<Loss> {
    let (written, last_ns) = bundle.records();
    let mut losses = Vec::new();
    for (kind, captured) in &mut summary.captured {
        let lost = captured.saturating_sub(written.get(kind).copied().unwrap_or(0));
        if lost > 0 {
            *captured -= lost;
            *summary.lost.entry(kind.clone()).or_default() += lost;
            let (first_ns, last_ns) = (last_ns, summary.end_monotonic_ns.max(last_ns));
            let cause = summary.reason.replace('-', "_");
            losses.push(Loss { kind: kind.clone(), cpu: NO_CPU, first_ns, last_ns, lost, cause });
        }
    }
    losses
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
    use crate::settings::Output;
    use formats::pcapng::{InterfaceDesc, SectionInfo};
    use formats::write::FrameBuilder;
    use std::fs::OpenOptions;

    #[test]
    fn the_busier_the_cheaper() {
        assert_eq!([level(1e5, 0), level(5e6, 0), level(1e8, 0), level(1e8, BUDGET / 2)], [3, 1, -1, -4]);
    }

    #[test]
    fn what_was_not_written_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut bundle = BundleFile::new(Sink::open(&Output::File(dir.path().join("a.zst"))).unwrap()).unwrap();
        let mut frames = FrameBuilder::new(&SectionInfo::default(), 0);
        frames.interface(&InterfaceDesc::default());
        frames.packet(0, 1_000, 0, 3, &[b"abc"]);
        frames.packet(0, 2_000, 0, 3, &[b"abc"]);
        bundle.append(&frames.take()).unwrap();
        let of = |kind: &str, n: u64| (kind.to_owned(), n);
        let mut summary = Summary {
            reason: "disk-full".to_owned(),
            end_monotonic_ns: 9_000,
            captured: [of("packet", 5), of("socket_data", 0), of("process_exec", 7)].into(),
            lost: [of("packet", 10)].into(),
            ..Summary::default()
        };
        let losses = unwritten(&mut summary, &bundle);
        assert_eq!(summary.captured, [of("packet", 2), of("socket_data", 0), of("process_exec", 0)].into());
        assert_eq!(summary.lost, [of("packet", 13), of("process_exec", 7)].into());
        let told: Vec<_> = losses.iter().map(|l| (&*l.kind, l.lost, l.first_ns, l.last_ns, &*l.cause)).collect();
        assert_eq!(told, [("packet", 3, 2_000, 9_000, "disk_full"), ("process_exec", 7, 2_000, 9_000, "disk_full")]);
    }

    #[test]
    fn a_full_disk_is_said_and_stops_nothing_else() {
        let sink = Sink::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let writer = Writer::start(sink).unwrap();
        let mut frames = FrameBuilder::new(&SectionInfo::default(), 0);
        writer.push(frames.take());
        while !writer.failed() {
            std::thread::yield_now();
        }
        writer.push(frames.take());
        let ended = writer.finish(Summary::default(), |_| frames.take());
        assert!(ended.finished.is_none());
        assert_eq!(reason(&ended.error.unwrap()), "disk-full");
    }
}
