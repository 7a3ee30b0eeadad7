//! A replayed recording together with what is added up from it, each computed once and when first asked for.

use crate::findings::{self, Finding};
use crate::report::{flows, series};
use replay::engine::ReplayError;
use replay::filter::Filter;
use replay::map::{Edge, Services};
use replay::model::{Flow, Health, Interface, ObservedAt, ProcessRef, Replayed, Transport};
use replay::red::Red;
use replay::tcp_packets::TcpPackets;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// What tables, plots, summary and report are made from.
#[derive(Debug)]
pub struct Analysis {
    /// The rows.
    pub replayed: Replayed,
    /// What the user called the input, for titles: file names joined by `, `.
    pub title: String,
    services: OnceLock<Services>,
    red: OnceLock<Red>,
    edges: OnceLock<Vec<Edge>>,
    best_edges: OnceLock<Vec<usize>>,
    counted: OnceLock<Vec<(usize, u32)>>,
    ranked: OnceLock<Vec<usize>>,
    series: OnceLock<Vec<series::Service>>,
    findings: OnceLock<Vec<Finding>>,
    source: Option<Source>,
    packets: OnceLock<Result<TcpPackets, ReplayError>>,
}

/// Where packets can be read again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The inputs.
    pub inputs: Vec<PathBuf>,
    /// The filter of the replay.
    pub filter: Option<Arc<Filter>>,
    /// Whether the replay left out packets with wrong checksums.
    pub checksums: bool,
    /// Of which flows [`Analysis::tcp_packets`] are wanted.
    pub chosen: Chosen,
}

/// A choice of flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those that are worth looking at: see [`Analysis::remarkable_flows`].
    Remarkable,
    /// All.
    All,
    /// These.
    Flows(BTreeSet<u64>),
}

/// Flows whose packets are read for the folder of an analysis, at most.
const MOST_REMARKABLE: usize = 12;
/// Packets of these, at most: a flow that alone has more is left out.
const MOST_PACKETS: u64 = 100_000;
/// Beyond this many packets in the input, they are not read again unless asked for.
const MOST_TO_REREAD: u64 = 8_000_000;

impl Analysis {
    /// Wraps a replayed recording.
    #[must_use]
    pub fn new(replayed: Replayed, title: String) -> Self {
        Self {
            replayed,
            title,
            services: OnceLock::new(),
            red: OnceLock::new(),
            edges: OnceLock::new(),
            best_edges: OnceLock::new(),
            counted: OnceLock::new(),
            ranked: OnceLock::new(),
            series: OnceLock::new(),
            findings: OnceLock::new(),
            source: None,
            packets: OnceLock::new(),
        }
    }

    /// The same, knowing where packets can be read again.
    #[must_use]
    pub fn with_source(self, source: Source) -> Self {
        Self { source: Some(source), ..self }
    }

    /// TCP flows whose packets tell most: those with trouble first, then the largest; each conversation at one place.
    #[must_use]
    pub fn remarkable_flows(&self) -> Vec<u64> {
        let mut left = MOST_PACKETS;
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for f in flows::ranked(self) {
            let packets = f.client.packets + f.server.packets;
            let has_packets = f.transport == Transport::Tcp && matches!(f.observed_at, ObservedAt::Interface(_));
            if !has_packets || packets < 4 || packets > left || !seen.insert(&f.community_id) {
                continue;
            }
            left -= packets;
            out.push(f.flow_id);
            if out.len() == MOST_REMARKABLE {
                break;
            }
        }
        out
    }

    /// The packets of the chosen TCP flows; none where the input cannot be read again and nothing in particular was asked for.
    ///
    /// # Errors
    /// If the input cannot be read again.
    pub fn tcp_packets(&self) -> Result<&TcpPackets, &ReplayError> {
        let read = || {
            let Some(Source { inputs, filter, checksums, chosen }) = &self.source else {
                return Ok(TcpPackets::default());
            };
            let ids = match chosen {
                Chosen::Remarkable if self.replayed.packets > MOST_TO_REREAD || is_stdin(inputs) => {
                    return Ok(TcpPackets::default());
                }
                Chosen::Remarkable => Some(self.remarkable_flows().into_iter().collect()),
                Chosen::All => None,
                Chosen::Flows(ids) => Some(ids.clone()),
            };
            let choose = |f: &Flow| ids.as_ref().is_none_or(|ids| ids.contains(&f.flow_id));
            let most = replay::tcp_packets::MOST_PACKETS;
            replay::tcp_packets::tcp_packets(inputs, filter.as_deref(), *checksums, &self.replayed.flows, choose, most)
        };
        self.packets.get_or_init(read).as_ref()
    }

    /// Where packets can be read again, if they can.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Names of the services.
    pub fn services(&self) -> &Services {
        self.services.get_or_init(|| Services::new(&self.replayed))
    }

    /// Rate, errors and duration of requests.
    pub fn red(&self) -> &Red {
        self.red.get_or_init(|| replay::red::red_of(&self.replayed, self.services(), self.counted()))
    }

    /// Requests that count once each, with their services' numbers: see [`replay::red::counted`].
    pub fn counted(&self) -> &[(usize, u32)] {
        self.counted.get_or_init(|| replay::red::counted(&self.replayed, self.services()))
    }

    /// Places of the flows, those with trouble first, then the largest.
    pub(crate) fn ranked(&self) -> &[usize] {
        self.ranked.get_or_init(|| flows::rank(&self.replayed.flows))
    }

    /// The services with most requests over time.
    pub(crate) fn series(&self) -> &[series::Service] {
        self.series.get_or_init(|| series::services(self, series::Buckets::new(self)))
    }

    /// What stands out, what weighs most first.
    pub fn findings(&self) -> &[Finding] {
        self.findings.get_or_init(|| findings::all(self))
    }

    /// The service map.
    pub fn edges(&self) -> &[Edge] {
        self.edges.get_or_init(|| replay::map::edges(&self.replayed, self.services()))
    }

    /// The edges of the map, each once: see [`crate::plots::map::best_of`].
    pub(crate) fn best_edges(&self) -> Vec<&Edge> {
        let edges = self.edges();
        let best = self.best_edges.get_or_init(|| crate::plots::map::best_of(edges));
        best.iter().filter_map(|place| edges.get(*place)).collect()
    }

    /// Host name of the node, empty for plain captures.
    #[must_use]
    pub fn node(&self) -> &str {
        self.replayed.manifest.as_ref().map_or("", |m| &m.hostname)
    }

    /// Host name of the node where there is one only: what is added up over several has none.
    #[must_use]
    pub fn only_node(&self) -> &str {
        let several = self.replayed.nodes.iter().any(|n| n.name != self.node());
        if several { "" } else { self.node() }
    }

    /// Host name of one of the nodes, empty for captures.
    #[must_use]
    pub fn node_name(&self, node: u32) -> &str {
        self.replayed.nodes.get(node as usize).map_or("", |n| &n.name)
    }

    /// Host name of the node that a flow was seen on, empty for captures.
    #[must_use]
    pub fn node_of_flow(&self, flow_id: u64) -> &str {
        let flow = usize::try_from(flow_id).ok().and_then(|i| self.replayed.flows.get(i));
        flow.map_or("", |f| self.node_name(f.node))
    }

    /// Whether there is nothing in it, and so no time either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replayed.packets == 0 && self.replayed.events.is_empty()
    }

    /// Length of the recording, ns.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        u64::try_from(self.replayed.end.saturating_sub(self.replayed.start)).unwrap_or(0)
    }

    /// The interface at which something was observed, if it was one.
    #[must_use]
    pub fn interface(&self, observed_at: &ObservedAt) -> Option<&Interface> {
        match observed_at {
            ObservedAt::Interface(i) => self.replayed.interfaces.get(*i as usize),
            ObservedAt::Process(_) => None,
        }
    }

    /// `interface eth0`, `process 123` as in the column `observed_at`.
    pub fn write_place(&self, observed_at: &ObservedAt, out: &mut String) {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = match observed_at {
            ObservedAt::Interface(i) => match self.interface(observed_at) {
                Some(interface) => write!(out, "interface {}", interface.name),
                None => write!(out, "interface {i}"),
            },
            ObservedAt::Process(pid) => write!(out, "process {pid}"),
        };
    }

    /// Secrets that were masked, none without a count; those masked when it was recorded come first.
    #[must_use]
    pub fn masked(&self) -> Vec<Masked<'_>> {
        let r = &self.replayed;
        let recorded = r.summary.iter().flat_map(|s| &s.masked);
        let recorded = recorded.map(|(secret, times)| Masked { by: MaskedBy::Record, secret, times: *times });
        let here = r.masked.iter().map(|(secret, times)| Masked { by: MaskedBy::Analyze, secret, times });
        recorded.chain(here).filter(|m| m.times > 0).collect()
    }

    /// What is damaged or cut in the input, as opposed to lost while it was recorded: then results are partial.
    pub fn damages(&self) -> impl Iterator<Item = &Health> {
        damages(&self.replayed.health)
    }
}

/// Those rows that mean a damaged or cut input.
pub(crate) fn damages(health: &[Health]) -> impl Iterator<Item = &Health> {
    health.iter().filter(|h| h.kind == DAMAGE)
}

fn is_stdin(inputs: &[PathBuf]) -> bool {
    inputs.iter().any(|p| p.as_os_str() == "-")
}

/// Kind of `health` rows that mean a damaged or cut input.
pub(crate) const DAMAGE: &str = "frame";
/// Kind of `health` rows about packets that an interface counted and the kernel ran no program for: the recorder lost none.
pub(crate) const NOT_RUN: &str = "not_run";

/// One kind of secret that is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masked<'a> {
    /// Who masked it.
    pub by: MaskedBy,
    /// What it was, as docs/privacy.md names it.
    pub secret: &'a str,
    /// How many times; by `analyze`, at every place that saw it.
    pub times: u64,
}

/// Who masked a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskedBy {
    /// `record`: it is not in the bundle.
    Record,
    /// `analyze`: `--show-secrets` shows it.
    Analyze,
}

impl MaskedBy {
    /// The program's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Analyze => "analyze",
        }
    }
}

/// Name of a process, empty if it is unknown.
#[must_use]
pub fn name_of(process: Option<&ProcessRef>) -> &str {
    process.map_or("", |p| &p.name)
}
