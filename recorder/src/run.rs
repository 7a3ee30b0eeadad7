//! The main loop: drain -> frames -> writer, with facts and symbols joining from their threads.

use crate::facts::clocks;
use crate::facts::counters::{self, Reading};
use crate::facts::gather::{self, Found, Gatherer};
use crate::facts::networks;
use crate::frames::{FRAME_LEN, Frames};
use crate::limits::OpenFiles;
use crate::opening;
use crate::priority::Priority;
use crate::progress::{Progress, count, counts, size};
use crate::settings::{Output, Settings};
use crate::sink::Sink;
use crate::source::{Drained, Source};
use crate::symbols::sample::Raw;
use crate::symbols::{self, Symbolizer};
use crate::writer::Writer;
use crate::{cost, signals};
use anyhow::{Context, Result};
use formats::block::{NO_CPU, kind as block_kind};
use formats::event::{self, ProcessExit, ProcessFork, Record, SocketState, state_event};
use formats::facts::{CounterReading, InterfaceCounters, Loss};
use formats::manifest::Summary;
use std::collections::{BTreeMap, HashSet};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Pauses between two passes over the rings, ns: short while they fill fast, long on an idle node.
const PAUSE: (u64, u64) = (2_000_000, 50_000_000);
/// Losses are looked at this often, ns: the resolution of their times.
const LOSSES_EVERY: u64 = 100_000_000;
/// Whether the processes of `--pid` still run is looked at this often, ns.
const PROCESSES_EVERY: u64 = 500_000_000;
/// What the kernel left out is asked for, program by program, this often, ns.
const MISSED_EVERY: u64 = 500_000_000;
/// Clocks and cost are written this often, ns.
const SNAPSHOT_EVERY: u64 = 10_000_000_000;
/// How long the end may wait for facts and symbols that are under way.
const FACTS_GRACE: Duration = Duration::from_secs(5);

/// Why recording stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Duration,
    Signal,
    MaxSize,
    CommandEnded,
    ProcessesEnded,
    WriteFailed,
}

impl Stop {
    /// As the summary says it; a failed write is named by the writer.
    fn reason(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Signal => "signal",
            Self::MaxSize => "max-size",
            Self::CommandEnded => "command-ended",
            Self::ProcessesEnded => "processes-ended",
            Self::WriteFailed => "write-error",
        }
    }
}

/// Records as the settings say. Returns the exit code.
pub fn record(settings: &Settings) -> Result<ExitCode> {
    signals::install();
    let files = OpenFiles::raise();
    let sink = Sink::open(&settings.output)?;
    let result = Recording::start(settings, sink).and_then(|recording| recording.run(settings, files));
    if result.is_err()
        && let Output::File(path) = &settings.output
        && path.metadata().is_ok_and(|m| m.len() == 0)
    {
        // Nothing was recorded: no empty file stays behind.
        let _ = std::fs::remove_file(path);
    }
    result
}

/// Of which interfaces, and which way, all packets are to be recorded: only there a counter can tell what is missing.
struct Whole {
    /// `None`: all that there are.
    wanted: Option<HashSet<(u32, u32)>>,
    received: bool,
    sent: bool,
}

impl Whole {
    fn new(settings: &Settings, source: &Source, wanted: Option<Vec<(u32, u32)>>) -> Self {
        let hooks = source.hooks();
        let attached = |name| settings.ports.is_empty() && hooks.iter().any(|h| h.program == name && h.attached);
        Self {
            wanted: wanted.map(|all| all.into_iter().collect()),
            received: attached("packet_in"),
            sent: attached("packet_out"),
        }
    }

    /// A reading as it stands in the bundle.
    fn reading(&self, reading: &Reading, frames: &Frames) -> CounterReading {
        let counters = reading.interfaces.iter().filter_map(|counted| {
            let key = (counted.netns, counted.ifindex);
            let wanted = self.wanted.as_ref().is_none_or(|all| all.contains(&key));
            let [received, sent] = counted.packets;
            Some(InterfaceCounters {
                id: frames.number(key)?,
                received: (wanted && self.received).then_some(received),
                sent: (wanted && self.sent).then_some(sent),
                merges: counted.merges,
                carrier_downs: counted.carrier_downs,
            })
        });
        CounterReading { read_ns: reading.read_ns, interfaces: counters.collect(), ..CounterReading::default() }
    }
}

/// A recording under way.
struct Recording {
    source: Source,
    frames: Frames,
    writer: Writer,
    gatherer: Gatherer,
    symbolizer: Symbolizer,
    found: [Receiver<Found>; 2],
    /// Interfaces that were there when recording began: (namespace, index).
    interfaces: HashSet<(u32, u32)>,
    /// What they had counted then.
    counted: Reading,
    /// Which packets are all recorded.
    whole: Whole,
    drops_seen: HashSet<u64>,
    /// Stack samples in the rings so far.
    samples: u64,
    /// Names given with `-i`.
    named: Vec<String>,
    masked: Arc<AtomicU64>,
    started: u64,
    cpu_before: u64,
    cpu_loading: u64,
    losses_at: u64,
    missed_at: u64,
    /// When the processes of `--pid` were looked at; `None` if their end is not the recording's.
    processes_at: Option<u64>,
    paused: bool,
    end: Option<u64>,
}

impl Recording {
    fn start(settings: &Settings, sink: Sink) -> Result<Self> {
        let (cpu_before, _) = cost::own_usage();
        let clocks = clocks::snapshot();
        let namespaces = networks::all();
        let mut interfaces = opening::all_interfaces(&namespaces);
        let (wanted, absent) = opening::wanted_interfaces(&settings.interfaces, &interfaces);
        let mut source = Source::start(settings, wanted.clone(), secret(), clocks::realtime_offset(&clocks))?;
        // Loading takes a while, and hooks come to life one after the other: recording begins now.
        source.drain(&mut |_, _| {})?;
        source.losses();
        source.missed();
        let whole = Whole::new(settings, &source, wanted);
        let (from_ns, counted) = counters::first(&namespaces);
        let now = clocks::snapshot();
        let cpu_loading = cost::own_usage().0.saturating_sub(cpu_before);
        let mut missing = source.missing();
        missing.extend(source.enable_stats());
        missing.extend(absent);
        missing.extend(opening::absent_processes(&settings.pids, &settings.comms));
        let manifest = opening::manifest(settings, &source, &clocks, &now, missing);

        let mut frames = Frames::new(&opening::section(), &clocks, settings.snaplen);
        frames.json(block_kind::MANIFEST, now.monotonic_ns, std::slice::from_ref(&manifest));
        for (interface, _) in &mut interfaces {
            frames.interface(interface);
        }
        let facts: Vec<_> = interfaces.iter().map(|(i, _)| i).collect();
        frames.json(block_kind::INTERFACES, now.monotonic_ns, &facts);
        frames.clocks(&now);
        let reading = CounterReading { from_ns, ..whole.reading(&counted, &frames) };
        frames.json(block_kind::COUNTERS, now.monotonic_ns, &[reading]);
        let writer = Writer::start(sink)?;
        writer.push(frames.take(clocks::monotonic()));

        let (gatherer, facts) =
            Gatherer::start(namespaces, &settings.interfaces).context("cannot start the thread for host facts")?;
        let (symbolizer, symbols) = Symbolizer::start().context("cannot start the thread for symbols")?;
        opening::announce(settings, &manifest);
        Ok(Self {
            source,
            frames,
            writer,
            masked: gatherer.masked(),
            gatherer,
            symbolizer,
            found: [facts, symbols],
            interfaces: interfaces.iter().map(|(i, _)| (i.netns, i.ifindex)).collect(),
            counted,
            whole,
            drops_seen: HashSet::new(),
            samples: 0,
            named: settings.interfaces.clone(),
            started: now.monotonic_ns,
            cpu_before,
            cpu_loading,
            losses_at: now.monotonic_ns,
            missed_at: now.monotonic_ns,
            processes_at: opening::ends_with_processes(settings).then_some(now.monotonic_ns),
            paused: false,
            end: None,
        })
    }

    fn run(mut self, settings: &Settings, files: OpenFiles) -> Result<ExitCode> {
        let mut command = start_command(settings, Priority::raise(), files)?;
        let mut progress = Progress::new();
        let mut pause = PAUSE.0;
        let mut snapshot_at = clocks::monotonic();
        let deadline = settings.duration.map(|d| clocks::monotonic() + u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let stop = loop {
            let drained = self.drain()?;
            let now = clocks::monotonic();
            self.losses(now, false);
            self.absorb_found(now);
            if now.saturating_sub(snapshot_at) >= SNAPSHOT_EVERY {
                snapshot_at = now;
                self.frames.clocks(&clocks::snapshot());
                self.cost();
            }
            if self.frames.is_due(now) {
                self.writer.push(self.frames.take(now));
            }
            if let Some(stop) = self.stop(settings, &mut command, deadline, now)? {
                break stop;
            }
            progress.show(now.saturating_sub(self.started), || {
                (self.frames.captured().values().sum(), self.writer.written(), self.frames.losses().values().sum())
            });
            pause = next_pause(pause, drained.fullest);
            let until_deadline = deadline.map_or(u64::MAX, |d| d.saturating_sub(now));
            sleep(pause.min(until_deadline));
        };
        progress.clear();
        self.finish(settings, stop, command)
    }

    /// One pass over the rings; none while too much waits to be written.
    fn drain(&mut self) -> Result<Drained> {
        if self.writer.over_budget() {
            self.paused = true;
            return Ok(Drained { records: 0, fullest: 1.0 });
        }
        self.drain_always()
    }

    fn drain_always(&mut self) -> Result<Drained> {
        let (frames, gatherer, symbolizer) = (&mut self.frames, &self.gatherer, &self.symbolizer);
        let (writer, drops_seen, samples) = (&self.writer, &mut self.drops_seen, &mut self.samples);
        self.source.drain(&mut |cpu, record| {
            let Some(hdr) = event::header(record) else { return };
            if hdr.kind == event::kind::STACK_SAMPLE {
                *samples += 1;
                if !symbolizer.sample(cpu, record)
                    && let Some(raw) = Raw::read(record)
                {
                    sample(frames, cpu, &raw.record());
                }
            } else if let Some((netns, ifindex)) = frames.record(cpu, &hdr, record) {
                gatherer.ask(gather::Request::Interface { netns, ifindex });
            }
            notify(hdr.kind, record, gatherer, symbolizer, drops_seen);
            // A pass over large rings is more than a frame.
            if frames.len() >= FRAME_LEN {
                writer.push(frames.take(clocks::monotonic()));
            }
        })
    }

    fn losses(&mut self, now: u64, always: bool) {
        let mut losses = Vec::new();
        if always || now.saturating_sub(self.losses_at) >= LOSSES_EVERY {
            let cause = if std::mem::take(&mut self.paused) { "budget" } else { "ring_full" };
            let first_ns = std::mem::replace(&mut self.losses_at, now);
            let lost = self.source.losses().into_iter();
            losses.extend(lost.map(|(cpu, kind, lost)| loss(kind, cpu, [first_ns, now], lost, cause)));
        }
        if always || now.saturating_sub(self.missed_at) >= MISSED_EVERY {
            let first_ns = std::mem::replace(&mut self.missed_at, now);
            let missed = self.source.missed().into_iter();
            losses.extend(missed.map(|(kind, lost)| loss(kind, NO_CPU, [first_ns, now], lost, "recursion")));
        }
        self.frames.lost(&losses, now);
    }

    fn absorb_found(&mut self, now: u64) {
        for receiver in &self.found {
            while let Ok(found) = receiver.try_recv() {
                if let Found::Interface { netns, ifindex, interface: Some(interface) } = &found
                    && self.named.contains(&interface.name)
                {
                    if self.interfaces.contains(&(*netns, *ifindex)) {
                        // It was there at the start.
                        continue;
                    }
                    // Too many of one name for the map: what it cannot take is not recorded.
                    let _ = self.source.add_interface(*netns, *ifindex);
                }
                absorb(&mut self.frames, found, now);
            }
        }
    }

    fn cost(&mut self) {
        let cost = cost::measure(&self.source, self.cpu_before, self.writer.written(), self.writer.content());
        self.frames.json(block_kind::COST, cost.at_ns, &[cost]);
    }

    fn stop(
        &mut self,
        settings: &Settings,
        command: &mut Option<Child>,
        deadline: Option<u64>,
        now: u64,
    ) -> Result<Option<Stop>> {
        if signals::stop_requested().is_some() {
            return Ok(Some(Stop::Signal));
        }
        if self.writer.failed() {
            return Ok(Some(Stop::WriteFailed));
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(Some(Stop::Duration));
        }
        if settings.max_size != 0 {
            // Room for the last facts, the index and the summary.
            let reserve = (settings.max_size / 50).clamp(64 << 10, 4 << 20);
            if self.writer.expected(self.frames.len() as u64) + reserve >= settings.max_size {
                return Ok(Some(Stop::MaxSize));
            }
        }
        if let Some(child) = command
            && let Some(status) = child.try_wait().context("cannot wait for the command")?
        {
            eprintln!("record: command ended: {status}");
            *command = None;
            return Ok(Some(Stop::CommandEnded));
        }
        if let Some(at) = &mut self.processes_at
            && now.saturating_sub(*at) >= PROCESSES_EVERY
        {
            *at = now;
            if self.source.selected_processes().is_some_and(|pids| opening::gone(&pids).len() == pids.len()) {
                eprintln!("record: the processes of --pid, and what they started, have ended");
                return Ok(Some(Stop::ProcessesEnded));
            }
        }
        Ok(None)
    }

    fn finish(mut self, settings: &Settings, stop: Stop, command: Option<Child>) -> Result<ExitCode> {
        // What happened before the stop and is still in the rings; at the size limit there is no room for it.
        let counted = counters::read(&networks::all());
        if !matches!(stop, Stop::MaxSize | Stop::WriteFailed) {
            let until_ns = counters::settle(|| self.drain_always().map(|_| ()))?.unwrap_or(0);
            let reading = CounterReading { until_ns, ..self.whole.reading(&counted, &self.frames) };
            self.frames.json(block_kind::COUNTERS, counted.read_ns[1], &[reading]);
            for _ in 0..20 {
                // Whatever waits to be written: this is the last chance, and the rings bound it.
                if self.drain_always()?.records < 1000 {
                    break;
                }
            }
        }
        let end = clocks::snapshot();
        self.end = Some(end.monotonic_ns);
        self.losses(end.monotonic_ns, true);
        self.cost();
        let costs = cost::measure(&self.source, self.cpu_before, self.writer.written(), self.writer.content());
        // The threads finish what they have.
        let Self { source, mut frames, writer, gatherer, symbolizer, found, .. } = self;
        end_command(command);
        drop((gatherer, symbolizer));
        collect(&mut frames, &writer, found);
        let kind = event::kind::STACK_SAMPLE;
        let walked = frames.captured_of(kind);
        if walked < self.samples {
            let times = [self.started, end.monotonic_ns];
            frames.lost(&[loss(kind, NO_CPU, times, self.samples - walked, "symbols")], end.monotonic_ns);
        }
        frames.clocks(&end);
        frames.end(end.realtime_ns);
        let mut masked = frames.masked_payload();
        masked.insert("command_line".to_owned(), self.masked.load(Ordering::Relaxed) + frames.masked());
        writer.push(frames.take(end.monotonic_ns));
        let summary = Summary {
            reason: stop.reason().to_owned(),
            end_realtime_ns: end.realtime_ns,
            end_monotonic_ns: end.monotonic_ns,
            captured: frames.captured(),
            lost: frames.losses(),
            content_bytes: 0,
            interface_packets: counted.since(&self.counted),
            privacy: privacy(&masked),
            masked,
        };
        let ended = writer.finish(summary, |unwritten| {
            frames.lost(unwritten, end.monotonic_ns);
            frames.take(end.monotonic_ns)
        });
        let summary = &ended.summary;
        // Detaching takes the kernel a while: the file comes first.
        drop(source);

        let seconds = Duration::from_nanos(end.monotonic_ns.saturating_sub(self.started)).as_secs_f64();
        eprintln!(
            "record: captured {} in {seconds:.1} s: {}",
            count(summary.captured.values().sum()),
            counts(&summary.captured)
        );
        let name = match &settings.output {
            Output::File(path) => path.display().to_string(),
            Output::Stdout => "standard output".to_owned(),
        };
        match &ended.finished {
            Some(f) => eprintln!(
                "record: written {name}: {} of {}, sha256 {}",
                size(f.bytes),
                size(ended.content_bytes),
                f.digest
            ),
            None => eprintln!("record: written {name}: without its end; what is there can be read"),
        }
        match summary.lost.values().sum() {
            0 => eprintln!("record: lost nothing"),
            lost => eprintln!("record: lost {}: {}", count(lost), counts(&summary.lost)),
        }
        let cpu = costs.cpu_ns.saturating_sub(self.cpu_loading);
        let share = cpu as f64 / (seconds.max(0.001) * 1e9) * 100.0;
        let loading = self.cpu_loading as f64 / 1e9;
        eprintln!(
            "record: cost {share:.1} % of a CPU after {loading:.1} s for loading, {} of memory",
            size(costs.max_rss_bytes + costs.map_bytes)
        );
        if stop == Stop::MaxSize {
            eprintln!("record: stopped by --max-size {}", settings.max_size);
        }
        if let Some(error) = ended.error {
            eprintln!(
                "record: writing stopped early: {error}; what was recorded until then is in {name} and can be read"
            );
            return Ok(ExitCode::from(2));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn loss(kind: u16, cpu: u32, [first_ns, last_ns]: [u64; 2], lost: u64, cause: &str) -> Loss {
    let kind = event::kind::NAMES.get(usize::from(kind)).copied().unwrap_or("unknown").to_owned();
    Loss { kind, cpu, first_ns, last_ns, lost, cause: cause.to_owned() }
}

/// What was masked, in words.
fn privacy(masked: &BTreeMap<String, u64>) -> Vec<String> {
    let words = |kind: &str, n: u64| match kind {
        "command_line" => format!("command lines: {n} words or lines masked"),
        _ => format!("payload: {n} masked as {kind}"),
    };
    masked.iter().map(|(kind, n)| words(kind, *n)).collect()
}

/// Tells the other threads what they have to look at.
fn notify(kind: u16, record: &[u8], gatherer: &Gatherer, symbolizer: &Symbolizer, drops_seen: &mut HashSet<u64>) {
    match kind {
        event::kind::PROCESS_FORK => {
            if let Some(fork) = ProcessFork::read(record)
                && fork.child_pid != fork.hdr.pid
            {
                gatherer.ask(gather::Request::Forked(fork.child_pid));
            }
        }
        event::kind::PROCESS_EXEC => {
            if let Some(hdr) = event::header(record) {
                gatherer.ask(gather::Request::Executed(hdr.pid));
                symbolizer.ask(symbols::Request::Executed(hdr.pid));
            }
        }
        event::kind::PROCESS_EXIT => {
            if let Some(exit) = ProcessExit::read(record)
                && exit.group_dead != 0
            {
                gatherer.ask(gather::Request::Ended(exit.hdr.pid));
                symbolizer.ask(symbols::Request::Ended(exit.hdr.pid));
            }
        }
        event::kind::SOCKET_STATE => {
            if let Some(state) = SocketState::read(record)
                && state.event == state_event::DROP
                && drops_seen.len() < 4096
                && drops_seen.insert(state.location)
            {
                symbolizer.ask(symbols::Request::Kernel(state.location));
            }
        }
        _ => {}
    }
}

/// Adds a stack sample that holds nothing but addresses.
fn sample(frames: &mut Frames, cpu: u32, record: &[u8]) {
    if let Some(hdr) = event::header(record) {
        // A sample asks for no interface.
        let _ = frames.record(cpu, &hdr, record);
    }
}

fn absorb(frames: &mut Frames, found: Found, now: u64) {
    match found {
        Found::Lines { kind, count, at, bytes } => frames.block(kind, count, at, &bytes),
        Found::Interface { netns, ifindex, interface } => frames.known((netns, ifindex), interface.map(|i| *i), now),
        Found::Samples(samples) => samples.iter().for_each(|(cpu, record)| sample(frames, *cpu, record)),
    }
}

/// Takes what the threads still find; whoever takes too long is left behind.
fn collect(frames: &mut Frames, writer: &Writer, found: [Receiver<Found>; 2]) {
    let patience = Instant::now() + FACTS_GRACE;
    for receiver in found {
        while let Ok(found) = receiver.recv_timeout(patience.saturating_duration_since(Instant::now())) {
            absorb(frames, found, clocks::monotonic());
            if frames.len() >= FRAME_LEN {
                writer.push(frames.take(clocks::monotonic()));
            }
        }
    }
}

/// The pause after a pass that found the fullest ring this full: aims at an eighth.
fn next_pause(pause: u64, fullest: f64) -> u64 {
    let next = match fullest {
        f if f > 0.25 => PAUSE.0,
        f if f > 0.125 => pause / 2,
        f if f < 0.05 => pause + pause / 4,
        _ => pause,
    };
    next.clamp(PAUSE.0, PAUSE.1)
}

/// Sleeps; a signal ends the sleep.
fn sleep(ns: u64) {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(ns / 1_000_000_000).unwrap_or(0),
        tv_nsec: libc::c_long::try_from(ns % 1_000_000_000).unwrap_or(0),
    };
    // SAFETY: `time` is a valid timespec; the rest of an interrupted sleep is not wanted.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

fn start_command(settings: &Settings, priority: Priority, files: OpenFiles) -> Result<Option<Child>> {
    let Some((program, arguments)) = settings.command.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(arguments);
    priority.restore_in(&mut command);
    files.restore_in(&mut command);
    let child = command.spawn().with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
    Ok(Some(child))
}

/// A command that outlives the recording is asked to end; it is ours.
fn end_command(command: Option<Child>) {
    let Some(mut child) = command else { return };
    if let Ok(pid) = libc::pid_t::try_from(child.id()) {
        // SAFETY: the child was not waited for, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    for _ in 0..50 {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) => return eprintln!("record: command ended: {status}"),
            Err(_) => return,
        }
    }
    eprintln!("record: command still runs as process {}", child.id());
}

/// A random number that hides kernel addresses.
fn secret() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is writable for its whole length.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 { u64::from_ne_bytes(bytes) } else { clocks::monotonic().wrapping_mul(0x9e37_79b9_7f4a_7c15) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_rings() {
        assert_eq!(next_pause(50_000_000, 0.9), 2_000_000);
        assert_eq!(next_pause(40_000_000, 0.2), 20_000_000);
        assert_eq!(next_pause(40_000_000, 0.1), 40_000_000);
        assert_eq!(next_pause(48_000_000, 0.0), 50_000_000);
        assert_eq!(next_pause(2_000_000, 0.2), 2_000_000);
    }
}
