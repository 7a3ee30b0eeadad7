//! Interfaces of all inputs, each once.

use crate::model::{Interface, Nanos, Node};
use formats::manifest::Manifest;
use formats::pcapng::InterfaceDesc;
use std::sync::Arc;

/// What tells interfaces of one node or capture apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    name: String,
    netns: u32,
    ifindex: u32,
    link_type: u16,
}

impl Identity {
    fn of(desc: &InterfaceDesc) -> Self {
        Self { name: desc.name.clone(), netns: desc.netns, ifindex: desc.ifindex, link_type: desc.link_type }
    }
}

/// Interfaces of the replay, and those of the present input.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    pub(crate) rows: Vec<Interface>,
    identities: Vec<Identity>,
    /// Nodes and captures.
    pub(crate) nodes: Vec<Node>,
    /// What is added to the monotonic times of each node, for UTC: another one after it was booted again.
    offsets: Vec<i64>,
    /// Of the present input: place in the file -> place in `rows`.
    map: Vec<u32>,
    /// The present input begins where all before it had ended: it may be their next part.
    continues: bool,
    /// Time of the first packet of all.
    start: Option<Nanos>,
    /// File name of the present input.
    input: String,
    /// Its node, once that is known.
    node: Option<u32>,
}

/// What decoding has to know of the interfaces of an input.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// By place in the file: place in the replay and link type.
    of: Vec<Option<(u32, u16)>>,
    /// Interfaces of the replay.
    pub(crate) interfaces: usize,
}

impl Links {
    /// Place in the replay and link type of an interface of the input.
    #[inline]
    pub(crate) fn get(&self, in_file: u32) -> Option<(u32, u16)> {
        self.of.get(in_file as usize).copied().flatten()
    }
}

/// Parts of a rotated capture overlap by no more: packets that several queues of a card handed over are written in about their order.
const MAX_OVERLAP: Nanos = 10_000_000;
/// Nor by more than this part of all that the parts before cover.
const OVERLAPPING_PART: Nanos = 100;
/// Clocks are set by less while a node is up.
const SAME_BOOT_NS: u64 = 60_000_000_000;

impl Interfaces {
    /// Another input, whose first packet is at `first`; everything before ended at `clock`.
    pub(crate) fn new_input(&mut self, name: &str, first: Option<Nanos>, clock: Nanos) {
        self.map.clear();
        self.node = None;
        self.input = name.to_owned();
        let covered = clock.saturating_sub(self.start.unwrap_or(clock));
        let overlap = MAX_OVERLAP.min(covered / OVERLAPPING_PART);
        self.continues = first.is_some_and(|first| first >= clock.saturating_sub(overlap));
        self.start = self.start.into_iter().chain(first).min();
    }

    /// The node that a bundle is from, or the capture that a file is (part of): each has a clock of its own.
    fn node(&mut self, descs: &[InterfaceDesc], manifest: Option<&Manifest>, offset: i64) -> u32 {
        let known = match manifest {
            // Two bundles of one node are of the same processes, unless it was booted in between.
            Some(m) => self.nodes.iter().zip(&self.offsets).position(|(node, &o)| {
                (&node.name, &node.node_id) == (&m.hostname, &m.node_id)
                    && (!m.hostname.is_empty() || !m.node_id.is_empty())
                    && o.abs_diff(offset) <= SAME_BOOT_NS
            }),
            // Parts of a rotated capture follow each other and have the same interfaces.
            None => descs
                .first()
                .filter(|_| self.continues)
                .and_then(|first| self.identities.iter().position(|known| *known == Identity::of(first)))
                .and_then(|place| self.rows.get(place))
                .map(|row| row.node as usize)
                .filter(|&node| self.nodes.get(node).is_some_and(|n| n.name.is_empty() && n.node_id.is_empty())),
        };
        known.unwrap_or_else(|| {
            self.nodes.push(Node {
                name: manifest.map_or_else(String::new, |m| m.hostname.clone()),
                node_id: manifest.map_or_else(String::new, |m| m.node_id.clone()),
                input: self.input.clone(),
            });
            self.offsets.push(offset);
            self.nodes.len() - 1
        }) as u32
    }

    /// Takes in what the present input says of its interfaces by now; yields its node.
    pub(crate) fn learn(&mut self, descs: &[InterfaceDesc], manifest: Option<&Manifest>, offset: i64) -> u32 {
        let node = match self.node {
            Some(node) => node,
            None => self.node(descs, manifest, offset),
        };
        self.node = Some(node);
        for desc in descs.iter().skip(self.map.len()) {
            let identity = Identity::of(desc);
            let anonymous = desc.name.is_empty() && desc.ifindex == 0;
            // Interfaces of one file are told apart by their places; those of several files by their node and what they are called, and
            // nameless ones are the same only if one file continues the other.
            let known = self.identities.iter().zip(&self.rows).position(|(known, row)| {
                *known == identity && row.node == node && (!anonymous || self.continues) && !self.map.contains(&row.id)
            });
            let place = match known {
                Some(place) => place as u32,
                None => {
                    let id = self.rows.len() as u32;
                    let name = if desc.name.is_empty() { format!("if{id}") } else { desc.name.clone() };
                    self.rows.push(Interface {
                        id,
                        node,
                        name: Arc::from(name),
                        kind: desc.kind.clone(),
                        netns: desc.netns,
                        ifindex: desc.ifindex,
                        link_type: desc.link_type,
                        ..Interface::default()
                    });
                    self.identities.push(identity);
                    id
                }
            };
            self.map.push(place);
        }
        node
    }

    /// All of the present input, for decoding it.
    pub(crate) fn links(&self) -> Links {
        Links { of: (0..self.map.len() as u32).map(|in_file| self.get(in_file)).collect(), interfaces: self.rows.len() }
    }

    /// Place in the replay and link type of an interface of the present input.
    #[inline]
    pub(crate) fn get(&self, in_file: u32) -> Option<(u32, u16)> {
        let place = *self.map.get(in_file as usize)?;
        Some((place, self.rows.get(place as usize)?.link_type))
    }

    /// How many the present input has so far.
    pub(crate) fn in_file(&self) -> usize {
        self.map.len()
    }

    /// Counts packets of an interface of the replay that are in no conversation.
    pub(crate) fn undecoded(&mut self, interface: u32, reason: &'static str, packets: u64) {
        if let Some(row) = self.rows.get_mut(interface as usize) {
            *row.undecoded.entry(reason).or_default() += packets;
        }
    }

    /// Which of them carry Ethernet frames.
    pub(crate) fn ethernet(&self) -> Vec<bool> {
        self.rows.iter().map(|i| i.link_type == 1).collect()
    }
}

#[cfg(test)]
mod tests;
