//! The open flows of one shard: found by key, ended when silent, bounded in number.

use super::known::Known;
use super::row::Why;
use super::track::{Key, Track};
use crate::decode::{Decoded, Tunnel, checksum};
use crate::hops::{PlaceLog, Room};
use crate::model::Session;
use crate::model::{Endpoints, Flow, Nanos, Request, RequestFields};
use crate::netprofile::Profile;
use crate::parse::ParseOptions;
use hashbrown::HashTable;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is made beside flows. What nobody asks for costs its parsing only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Rows of requests; without, they are counted for their flows.
    pub requests: bool,
    /// Segments of network profiles.
    pub profile: bool,
    /// Round trips over time.
    pub round_trips: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self { requests: true, profile: true, round_trips: true }
    }
}

/// How flows are made.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// TCP metrics by DeepFlow's exact rules.
    pub deepflow: bool,
    /// Whether packets with wrong checksums are left out of the analysis.
    pub checksums: bool,
    /// Whether payloads go to the protocol parsers.
    pub parse: bool,
    /// How they parse.
    pub parse_options: ParseOptions,
    /// Open flows in one shard at most.
    pub max_flows: usize,
    /// Bytes that the flows of one shard hold back until gaps before them are filled; beyond, gaps are given up at once.
    pub max_held: usize,
    /// There are several interfaces or inputs, so that one conversation may be seen several times.
    pub several_places: bool,
    /// Which interfaces (by id) carry Ethernet frames, as far as known.
    pub ethernet: Vec<bool>,
    /// What is made.
    pub keep: Keep,
}

impl Settings {
    /// Whether an interface carries Ethernet frames.
    #[must_use]
    pub fn is_ethernet(&self, interface: u32) -> bool {
        self.ethernet.get(interface as usize).copied().unwrap_or(false)
    }
}

/// How many there were, and when the first and the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub u64, pub Option<(Nanos, Nanos)>);

impl Tally {
    /// One more.
    pub(crate) fn add(&mut self, ts: Nanos) {
        self.join(Self(1, Some((ts, ts))));
    }

    /// Those of `other`, too.
    pub(crate) fn join(&mut self, other: Self) {
        self.0 += other.0;
        self.1 = match (self.1, other.1) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
    }
}

/// Rows of finished flows. Flows are numbered as they are opened and requests as they are finished, which may be long before their
/// flow is; both numbers go on when the rows have been taken out.
#[derive(Debug, Default)]
pub struct Finished {
    /// Flows; `flow_id` is the number.
    pub flows: Vec<Flow>,
    /// Requests, those of a flow in order; `flow_id` is the flow's number, the ends are what was known of them by then.
    pub requests: Vec<Request<Box<RequestFields>>>,
    /// How many requests there have been.
    pub requested: u32,
    /// The flows' segments, one for each flow.
    pub profile: Vec<Profile>,
    /// Flows some of whose requests had been handed on when their sides were found to be the other way round: their number, and the ends.
    pub turned: Vec<(u32, Endpoints)>,
    /// What flows saw, for comparing them with others: their number, and the log.
    pub logs: Vec<(u32, Box<PlaceLog>)>,
    /// Flows that were ended early because there were too many, and when the first and last of them.
    pub evicted: Tally,
    /// Packets with a wrong checksum.
    pub damaged: Tally,
    /// Secrets that were left out of the requests.
    pub masked: crate::parse::mask::Masked,
    pub(super) sessions: Vec<Session>,
    pub(super) names: Names,
}

/// Each text once.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<Arc<str>>);

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// Where a key's flow is. The key itself stands in the flow: with a million of them open, it would take as much memory again here.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: u32,
    hash: u32,
}

impl Place {
    #[inline]
    fn of(key: &Key, slot: u32) -> Self {
        let hash = key.hash();
        Self { slot, hash: (hash ^ hash >> 32) as u32 }
    }

    /// All bits of it count, the shard's having been chosen by some of them.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

const NONE: u32 = u32::MAX;
/// Queues of open flows.
const CLASSES: usize = 3;
/// Flows of a shard that are over and wait for stragglers, at most.
const MAX_OVER: usize = 512;
/// From so many open flows of a shard on, what they do not use is given back.
const MANY: usize = 1024;

#[derive(Debug)]
struct Slot {
    track: Option<Box<Track>>,
    /// Neighbours in the order of the last packet: less recent, more recent.
    older: u32,
    newer: u32,
    class: u8,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
}

/// The open flows of a shard.
#[derive(Debug)]
pub struct FlowTable {
    index: HashTable<Place>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slot whose flow gives back memory next.
    hand: usize,
    /// Bytes that all flows hold back until gaps before them are filled.
    held: usize,
    /// Flows that are over and wait for stragglers; those that are given up soon (datagrams, SYNs); connections.
    queues: [Queue; CLASSES],
    /// How many are over.
    over: usize,
    clock: Nanos,
    /// Flows opened so far.
    opened: u32,
    /// For logs of packets.
    pub room: Room,
    /// What system calls showed of the streams.
    known: Known,
    /// What is finished.
    pub finished: Finished,
}

impl Default for FlowTable {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            held: 0,
            queues: [Queue { oldest: NONE, newest: NONE }; CLASSES],
            over: 0,
            clock: Nanos::MIN,
            opened: 0,
            room: Room::default(),
            known: Known::default(),
            finished: Finished::default(),
        }
    }
}

impl FlowTable {
    /// A socket data record of a connection whose packets may come; `ts`: its time, UTC.
    pub fn record(&mut self, record: &[u8], ts: Nanos) {
        self.known.add(record, ts);
    }

    /// What the records showed.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// All packets up to a time have been here.
    pub fn passed(&mut self, until: Nanos) {
        self.known.passed(until);
    }

    /// A packet; `frame` are its bytes.
    #[inline]
    pub fn packet(&mut self, d: &Decoded, frame: &[u8], tunnels: &[Tunnel], settings: &Settings) {
        let key = Key::of(d);
        if d.notice != 0 {
            return self.notice(&key, d, frame);
        }
        let is_damaged = settings.checksums && checksum::is_wrong(d, frame);
        let place = match self.find(&key) {
            Some(place) => match self.ends_before(place, d, is_damaged, settings) {
                None => place,
                Some(why) => {
                    self.end(place, why, settings);
                    self.open(key, d, tunnels, settings)
                }
            },
            None => self.open(key, d, tunnels, settings),
        };
        let Some(slot) = self.slots.get_mut(place as usize) else { return };
        let Some(track) = slot.track.as_deref_mut() else { return };
        if let Some(tunnel) = d.tunnel.checked_sub(1).and_then(|t| tunnels.get(t as usize)) {
            track.through(tunnel);
        }
        if is_damaged {
            track.damaged(d);
            self.finished.damaged.add(d.ts);
            let class = track.class();
            self.touch(place, class);
            return;
        }
        let held = track.held();
        let full = self.held > settings.max_held;
        track.packet(d, frame, settings, full, &self.known);
        self.held = (self.held + track.held()).saturating_sub(held);
        if track.has_sessions() {
            track.hand_on(settings, &mut self.finished);
        }
        self.room.log(&mut track.log, d, frame, settings.several_places);
        let class = track.class();
        if class < slot.class {
            track.shrink();
        }
        self.touch(place, class);
        if d.ts > self.clock {
            self.clock = d.ts;
            self.sweep(settings);
        }
    }

    /// An ICMP error about a packet of an open flow.
    #[cold]
    fn notice(&mut self, key: &Key, d: &Decoded, frame: &[u8]) {
        let slot = self.find(key).and_then(|place| self.slots.get_mut(place as usize));
        if let Some(track) = slot.and_then(|s| s.track.as_deref_mut()) {
            track.notice(d, frame);
        }
    }

    /// Whether a packet belongs to the next flow of the same ends.
    #[inline]
    fn ends_before(&self, place: u32, d: &Decoded, is_damaged: bool, settings: &Settings) -> Option<Why> {
        let track = self.slots.get(place as usize)?.track.as_deref()?;
        if d.ts - track.last > track.timeout(settings) {
            return Some(Why::TimedOut);
        }
        (!is_damaged && track.is_reused_by(d)).then_some(Why::Reused)
    }

    #[inline]
    fn find(&self, key: &Key) -> Option<u32> {
        let wanted = Place::of(key, NONE);
        let same = |p: &Place| {
            p.hash == wanted.hash
                && self.slots.get(p.slot as usize).and_then(|s| s.track.as_deref()).is_some_and(|t| t.key == *key)
        };
        self.index.find(wanted.spread(), same).map(|p| p.slot)
    }

    fn open(&mut self, key: Key, d: &Decoded, tunnels: &[Tunnel], settings: &Settings) -> u32 {
        if self.index.len() >= settings.max_flows {
            self.evict(settings);
        }
        if self.index.len() > MANY {
            self.give_back();
        }
        let track = Some(Box::new(Track::new(self.opened, key, d, tunnels, settings)));
        self.opened = self.opened.wrapping_add(1);
        let slot = Slot { track, older: NONE, newer: NONE, class: 1 };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(s) = self.slots.get_mut(place as usize) {
                    *s = slot;
                }
                place
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let entry = Place::of(&key, place);
        self.index.insert_unique(entry.spread(), entry, |p| p.spread());
        self.link(place, 1);
        place
    }

    /// The next flow, round and round, gives back memory that it has for more than it holds. One for each that is opened: so those
    /// that wait in great numbers take little, and none is looked at often.
    fn give_back(&mut self) {
        self.hand = (self.hand + 1) % self.slots.len().max(1);
        if let Some(track) = self.slots.get_mut(self.hand).and_then(|s| s.track.as_deref_mut()) {
            track.shrink();
        }
    }

    fn end(&mut self, place: u32, why: Why, settings: &Settings) {
        self.unlink(place);
        let Some(track) = self.slots.get_mut(place as usize).and_then(|s| s.track.take()) else { return };
        let entry = Place::of(&track.key, place);
        if let Ok(found) = self.index.find_entry(entry.spread(), |p| p.slot == place) {
            found.remove();
        }
        self.free.push(place);
        self.held = self.held.saturating_sub(track.held());
        track.finish(why, settings, &mut self.finished);
    }

    /// Ends the flow that has been silent for longest: of those that are over if there are any.
    fn evict(&mut self, settings: &Settings) {
        let over = self.queues[0].oldest;
        if over != NONE {
            self.end(over, Why::TimedOut, settings);
            return;
        }
        let last = |place: u32| self.slots.get(place as usize).and_then(|s| s.track.as_ref()).map(|t| t.last);
        let heads = [self.queues[1].oldest, self.queues[2].oldest];
        let oldest = heads.into_iter().filter(|&place| place != NONE).min_by_key(|&place| last(place)).unwrap_or(NONE);
        if let Some(last) = self.slots.get(oldest as usize).and_then(|s| s.track.as_ref()).map(|t| t.last) {
            self.finished.evicted.add(last);
        }
        self.end(oldest, Why::Evicted, settings);
    }

    /// Ends what has been silent for too long. It makes room only: a later packet would find the same. Of those that are over only so
    /// many are kept for their stragglers.
    #[inline]
    fn sweep(&mut self, settings: &Settings) {
        while self.over > MAX_OVER {
            self.end(self.queues[0].oldest, Why::TimedOut, settings);
        }
        for class in 0..CLASSES {
            // A few at a time, so that no packet waits for all of them.
            for _ in 0..4 {
                let oldest = self.queues[class].oldest;
                let Some(track) = self.slots.get(oldest as usize).and_then(|s| s.track.as_deref()) else { break };
                if self.clock - track.last <= track.timeout(settings) {
                    break;
                }
                self.end(oldest, Why::TimedOut, settings);
            }
        }
    }

    /// The capture ended at `end`: all flows are finished, in the order of their last packets.
    pub fn finish(&mut self, end: Nanos, settings: &Settings) {
        while self.finish_some(end, settings, usize::MAX) {}
    }

    /// The same for up to `most` of them; whether there are more.
    pub fn finish_some(&mut self, end: Nanos, settings: &Settings, most: usize) -> bool {
        for _ in 0..most {
            let Some(oldest) = self.queues.iter().map(|q| q.oldest).find(|o| *o != NONE) else {
                self.clock = Nanos::MIN;
                return false;
            };
            self.end(oldest, Why::CaptureEnd(end), settings);
        }
        true
    }

    #[inline]
    fn touch(&mut self, place: u32, class: u8) {
        let Some(slot) = self.slots.get(place as usize) else { return };
        if slot.class == class && self.queues[usize::from(class).min(CLASSES - 1)].newest == place {
            return;
        }
        self.unlink(place);
        self.link(place, class);
    }

    fn link(&mut self, place: u32, class: u8) {
        self.over += usize::from(class == 0);
        let queue = &mut self.queues[usize::from(class).min(CLASSES - 1)];
        let newest = std::mem::replace(&mut queue.newest, place);
        if newest == NONE {
            queue.oldest = place;
        }
        if let Some(s) = self.slots.get_mut(newest as usize) {
            s.newer = place;
        }
        if let Some(s) = self.slots.get_mut(place as usize) {
            s.older = newest;
            s.newer = NONE;
            s.class = class;
        }
    }

    fn unlink(&mut self, place: u32) {
        let Some((older, newer, class)) = self.slots.get(place as usize).map(|s| (s.older, s.newer, s.class)) else {
            return;
        };
        self.over -= usize::from(class == 0).min(self.over);
        match self.slots.get_mut(older as usize) {
            Some(s) => s.newer = newer,
            None => self.queues[usize::from(class).min(CLASSES - 1)].oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(s) => s.older = older,
            None => self.queues[usize::from(class).min(CLASSES - 1)].newest = older,
        }
    }
}
