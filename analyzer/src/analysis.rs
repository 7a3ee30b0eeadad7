//! A replayed recording together with what is added up from it, each computed once and when first asked for.

use replay::map::{Edge, Services};
use replay::model::{Health, Interface, ObservedAt, ProcessRef, Replayed};
use replay::red::Red;
use std::sync::OnceLock;

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
    counted: OnceLock<Vec<(usize, u32)>>,
}

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
            counted: OnceLock::new(),
        }
    }

    /// Names of the services.
    pub fn services(&self) -> &Services {
        self.services.get_or_init(|| Services::new(&self.replayed))
    }

    /// Rate, errors and duration of requests.
    pub fn red(&self) -> &Red {
        self.red.get_or_init(|| replay::red::red(&self.replayed, self.services()))
    }

    /// Requests that count once each, with their services' numbers: see [`replay::red::counted`].
    pub fn counted(&self) -> &[(usize, u32)] {
        self.counted.get_or_init(|| replay::red::counted(&self.replayed, self.services()))
    }

    /// The service map.
    pub fn edges(&self) -> &[Edge] {
        self.edges.get_or_init(|| replay::map::edges(&self.replayed, self.services()))
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

    /// What is damaged or cut in the input, as opposed to lost while it was recorded: then results are partial.
    pub fn damages(&self) -> impl Iterator<Item = &Health> {
        damages(&self.replayed.health)
    }
}

/// Those rows that mean a damaged or cut input.
pub(crate) fn damages(health: &[Health]) -> impl Iterator<Item = &Health> {
    health.iter().filter(|h| h.kind == DAMAGE)
}

/// Kind of `health` rows that mean a damaged or cut input.
pub(crate) const DAMAGE: &str = "frame";

/// Name of a process, empty if it is unknown.
#[must_use]
pub fn name_of(process: Option<&ProcessRef>) -> &str {
    process.map_or("", |p| &p.name)
}
