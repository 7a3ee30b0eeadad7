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
        self.replayed.health.iter().filter(|h| h.kind == DAMAGE)
    }
}

/// Kind of `health` rows that mean a damaged or cut input.
pub(crate) const DAMAGE: &str = "frame";

/// Name of a process, empty if it is unknown.
#[must_use]
pub fn name_of(process: Option<&ProcessRef>) -> &str {
    process.map_or("", |p| &p.name)
}
