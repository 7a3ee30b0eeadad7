//! The engine: reads captures batch by batch, decodes in parallel, hands every packet and record to its shard, and puts together
//! what the shards found.
//!
//! While one batch is worked on, the next is read (`ordered` tells by whom). A batch is dropped when no shard needs it any more, so memory does not grow
//! with the capture but with what is open in it and with the rows that come out. Shards are fixed in number and get their packets in one order,
//! whatever the number of threads: the result is the same to the byte.

mod batch;
mod counters;
mod events;
mod extent;
mod interfaces;
mod merge;
mod ordered;
mod part;
mod start;
mod stored;

use crate::filter::Filter;
use crate::flow::{FlowTable, Settings};
use crate::link::LinkOptions;
use crate::model::{Filtered, Health, Nanos, Replayed};
use crate::order::SHARDS;
use crate::parse::ParseOptions;
use crate::socket::SocketEngine;
use crate::store::Spill;
use batch::{Decoding, Work};
use events::Events;
use formats::read::{FormatKind, ReadError, Reader};
pub(crate) use interfaces::Interfaces;
use part::Part;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use crate::flow::Keep;
pub use start::start;
pub use stored::Stored;

/// Bytes of TCP streams that are held back until gaps before them are filled, of all open flows together.
const MAX_HELD: usize = 1 << 30;

/// Which rules TCP metrics follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpMetrics {
    /// Ours: every acknowledgement matched, kinds of retransmission, percentiles.
    #[default]
    Best,
    /// DeepFlow's exact rules, for comparison.
    DeepFlow,
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads; 0 = one per CPU. Does not change the result.
    pub threads: usize,
    /// Rules of TCP metrics.
    pub tcp_metrics: TcpMetrics,
    /// Whether packets whose checksum is wrong are left out of the analysis of their flows.
    pub checksums: bool,
    /// Whether payloads are parsed at all.
    pub parse: bool,
    /// How they are parsed.
    pub parse_options: ParseOptions,
    /// How requests are linked.
    pub link: LinkOptions,
    /// What is replayed at all; `None`: everything.
    pub filter: Option<Arc<Filter>>,
    /// Flows open at once at most; beyond, those that are silent for longest are finished and marked `ended_after`.
    pub max_open_flows: usize,
    /// What is made beside flows. Bundles are always replayed whole, since their rows explain each other.
    pub keep: Keep,
    /// Whether requests are linked to spans and traces.
    pub spans: bool,
    /// Bytes of packed rows that stay in memory; what is beyond waits in a temporary file.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 0,
            tcp_metrics: TcpMetrics::default(),
            checksums: false,
            parse: true,
            parse_options: ParseOptions::default(),
            link: LinkOptions::default(),
            filter: None,
            max_open_flows: 1 << 20,
            keep: Keep::default(),
            spans: true,
            memory: 256 << 20,
        }
    }
}

/// Why nothing could be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// No input was given.
    #[error("no input: name at least one bundle or capture")]
    NoInput,
    /// An input cannot be opened or is no capture.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Standard input was asked for twice.
    #[error("standard input cannot be read twice: save it to a file first")]
    NotAgain,
    /// The operating system gave no threads.
    #[error("cannot start worker threads: {0}; try --threads 1")]
    Threads(String),
}

/// State of one shard.
#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) flows: FlowTable,
    /// Sockets of the present input.
    pub(crate) sockets: Option<SocketEngine>,
    /// Sockets of the inputs before, with their nodes.
    pub(crate) ended: Vec<(u32, SocketEngine)>,
    pub(crate) pending: Vec<batch::Pending>,
    /// What its packets have given.
    part: Part,
}

impl Shard {
    /// Packs what is finished.
    fn pack(&mut self, spill: &Spill) {
        self.part.take(&mut self.flows.finished, spill);
    }
}

/// Replays captures as one.
///
/// # Errors
/// If there is no input, or one of them cannot be opened or is no capture. Damage within a capture is no error: it becomes a row of
/// [`Replayed::health`].
pub fn replay(inputs: &[PathBuf], options: &Options) -> Result<Replayed, ReplayError> {
    store(inputs, options).map(Stored::into_replayed)
}

/// The same, with the rows left packed: those of captures can be had piece by piece, however many there are.
///
/// # Errors
/// As [`replay`].
pub fn store(inputs: &[PathBuf], options: &Options) -> Result<Stored, ReplayError> {
    if inputs.is_empty() {
        return Err(ReplayError::NoInput);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|e| ReplayError::Threads(e.to_string()))?;
    let engine = pool.install(|| {
        let mut engine = Engine::new(options);
        let (inputs, with_bundle) = in_order(inputs)?;
        if with_bundle {
            engine.keep_all();
        }
        engine.settings.several_places = inputs.len() > 1;
        for input in inputs {
            engine.input(Reader::open(&input)?);
        }
        Ok::<_, ReplayError>(engine)
    })?;
    Ok(engine.finish(pool))
}

/// Inputs by the time of their first packet, so that parts of a rotated capture follow each other whatever order they are named in;
/// and whether there is a bundle among several.
pub(crate) fn in_order(inputs: &[PathBuf]) -> Result<(Vec<PathBuf>, bool), ReplayError> {
    if inputs.len() < 2 {
        return Ok((inputs.to_vec(), false));
    }
    if inputs.iter().any(|p| p.as_os_str() == "-") {
        // What standard input holds is known when it is read.
        return Ok((inputs.to_vec(), true));
    }
    let mut timed = inputs
        .par_iter()
        .map(|path| {
            let mut reader = Reader::open(path)?;
            let first = reader.next_batch().and_then(|b| b.packets.first().map(|p| p.ts));
            Ok((first.unwrap_or(Nanos::MAX), path.clone(), reader.format().kind == FormatKind::Bundle))
        })
        .collect::<Result<Vec<_>, ReadError>>()?;
    timed.sort_by_key(|(first, ..)| *first);
    let with_bundle = timed.iter().any(|(.., bundle)| *bundle);
    Ok((timed.into_iter().map(|(_, path, _)| path).collect(), with_bundle))
}

pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) shards: Vec<Mutex<Shard>>,
    pub(crate) interfaces: Interfaces,
    pub(crate) decoding: Decoding,
    pub(crate) events: Events,
    link: LinkOptions,
    spans: bool,
    spill: Arc<Spill>,
    /// No bundle was among the inputs.
    is_plain: bool,
    pub(crate) filter: Option<Arc<Filter>>,
    pub(crate) out: Replayed,
    /// Latest time seen.
    pub(crate) clock: Nanos,
    /// Latest time in the blocks of the present bundle, monotonic ns.
    written: u64,
}

impl Engine {
    fn new(options: &Options) -> Self {
        let settings = Settings {
            deepflow: options.tcp_metrics == TcpMetrics::DeepFlow,
            checksums: options.checksums,
            parse: options.parse,
            parse_options: ParseOptions { brief: !options.keep.requests, ..options.parse_options },
            max_flows: (options.max_open_flows / SHARDS).max(1),
            max_held: MAX_HELD / SHARDS,
            several_places: false,
            ethernet: Vec::new(),
            keep: options.keep,
        };
        let filtered = options.filter.as_ref().map(|f| {
            let (from, to) = f.stretch();
            Filtered { expression: f.text().to_owned(), from, to, ..Filtered::default() }
        });
        Self {
            settings,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            interfaces: Interfaces::default(),
            decoding: Decoding::default(),
            events: Events::default(),
            link: options.link,
            spans: options.spans,
            spill: Arc::new(Spill::new(options.memory)),
            is_plain: true,
            filter: options.filter.clone(),
            out: Replayed { start: Nanos::MAX, end: Nanos::MIN, filtered, ..Replayed::default() },
            clock: Nanos::MIN,
            written: 0,
        }
    }

    /// Bundles are replayed whole.
    fn keep_all(&mut self) {
        self.settings.keep = Keep::default();
        self.settings.parse_options.brief = false;
    }

    /// Takes in what the present input says of itself by now; `offset` makes UTC of monotonic times.
    fn turn_to(&mut self, reader: &Reader, offset: i64) {
        let node = self.interfaces.learn(reader.interfaces(), reader.manifest(), offset);
        self.events.turn_to(node, reader.manifest());
        self.settings.several_places |= self.interfaces.rows.len() > 1;
        self.settings.ethernet = self.interfaces.ethernet();
    }

    /// One capture, to its end.
    fn input(&mut self, mut reader: Reader) {
        let ordered = reader.format().kind != FormatKind::Bundle;
        let mut next = reader.next_batch();
        let first = next.as_ref().and_then(|b| b.packets.first()).map(|p| p.ts);
        let name = reader.name().rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        self.interfaces.new_input(&name, first, self.clock);
        if ordered {
            self.in_file_order(&mut reader, next);
        } else {
            self.is_plain = false;
            self.keep_all();
            let mut work = Work::default();
            while let Some(batch) = next {
                let offset = reader.realtime_offset_ns().unwrap_or(0);
                self.turn_to(&reader, offset);
                (_, next) = rayon::join(|| self.batch(&mut work, batch, offset), || reader.next_batch());
            }
            self.release(&mut work, Nanos::MAX);
            self.recorded(&reader);
        }
        self.end_sockets();
        if self.out.manifest.is_none() {
            self.out.manifest = reader.manifest().cloned();
            self.out.summary = reader.summary().cloned();
        }
        let counters = std::mem::take(&mut self.events.counters);
        if reader.damages().is_empty() {
            let offset = reader.realtime_offset_ns().unwrap_or(0);
            self.out.health.extend(counters.finish(reader.interfaces(), offset));
        }
        for damage in reader.damages() {
            self.out.health.push(Health {
                kind: "frame".into(),
                lost: damage.lost_packets.unwrap_or(0) + damage.lost_records.unwrap_or(0),
                cause: format!("{name}: {damage}"),
                ..Health::default()
            });
        }
    }
}
