//! Interfaces of all inputs, each once.

use crate::model::{Interface, Nanos};
use formats::manifest::Manifest;
use formats::pcapng::InterfaceDesc;
use std::sync::Arc;

/// What tells interfaces apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    node: String,
    name: String,
    netns: u32,
    ifindex: u32,
    link_type: u16,
}

/// Interfaces of the replay, and those of the present input.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    pub(crate) rows: Vec<Interface>,
    identities: Vec<Identity>,
    /// Of the present input: place in the file -> place in `rows`.
    map: Vec<u32>,
    /// The present input begins where all before it had ended: it may be their next part.
    continues: bool,
}

impl Interfaces {
    /// Another input, whose first packet is at `first`; everything before ended at `clock`.
    pub(crate) fn new_input(&mut self, first: Option<Nanos>, clock: Nanos) {
        self.map.clear();
        self.continues = first.is_some_and(|first| first >= clock);
    }

    /// Takes in what the present input says of its interfaces by now.
    pub(crate) fn learn(&mut self, descs: &[InterfaceDesc], manifest: Option<&Manifest>) {
        let node = manifest.map(|m| if m.node_id.is_empty() { &m.hostname } else { &m.node_id });
        for desc in descs.iter().skip(self.map.len()) {
            let identity = Identity {
                node: node.cloned().unwrap_or_default(),
                name: desc.name.clone(),
                netns: desc.netns,
                ifindex: desc.ifindex,
                link_type: desc.link_type,
            };
            let anonymous = desc.name.is_empty() && desc.ifindex == 0;
            // Interfaces of one file are told apart by their places; those of several files by what they are called, and
            // nameless ones are the same only if one file continues the other.
            let known = self.identities.iter().enumerate().find(|(place, known)| {
                **known == identity && (!anonymous || self.continues) && !self.map.contains(&(*place as u32))
            });
            let place = match known {
                Some((place, _)) => place as u32,
                None => {
                    let id = self.rows.len() as u32;
                    let name = if desc.name.is_empty() { format!("if{id}") } else { desc.name.clone() };
                    self.rows.push(Interface {
                        id,
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
    }

    /// Place in the replay and link type of an interface of the present input.
    #[inline]
    pub(crate) fn get(&self, in_file: u32) -> Option<(u32, u16)> {
        let place = *self.map.get(in_file as usize)?;
        Some((place, self.rows.get(place as usize)?.link_type))
    }

    /// Which of them carry Ethernet frames.
    pub(crate) fn ethernet(&self) -> Vec<bool> {
        self.rows.iter().map(|i| i.link_type == 1).collect()
    }
}
