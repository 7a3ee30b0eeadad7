//! What a process does next, and when: learned from the whole recording.
//!
//! The life of a request inside a process is a row of events: it was read; a child was asked for; a child's response was
//! read; it was answered. After each event the process either does something for the request (asks a child of some kind,
//! answers) or waits for a response. How likely each is, and how long it takes by which order of calls, is counted per kind
//! of request and per kind of event.

use super::process::{Child, Moment, Parent, Process};
use crate::model::Nanos;

/// The last event of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was read.
    Start = 0,
    /// The last response that it waited for was read.
    All = 1,
    /// A response was read, others are to come.
    Some = 2,
    /// A child was asked for.
    Asked = 3,
}

const STATES: usize = 4;
/// Ways in which an action can follow an event, see [`mode`].
const MODES: usize = 9;
const BUCKETS: usize = 64;

/// How an action follows what it is thought to follow.
fn mode(from: &Moment, to: &Moment) -> usize {
    if from.tid != to.tid {
        // Another thread, which was idle till then, or was not.
        return 7 + usize::from(to.before > from.ts);
    }
    if from.batch != to.batch {
        // The thread has read and written other things meanwhile.
        return 6;
    }
    match (from.last, from.size) {
        // The last thing that it read, which was nothing else.
        (true, 0 | 1) => usize::from(to.place > 0),
        // The last thing that it read was several at once: the same place in both rows, or not.
        (true, _) => 2 + usize::from(from.nth == to.place),
        // It read other things then: the same place in the rows of reads and writes, or not.
        (false, _) => 4 + usize::from(from.place == to.place),
    }
}

/// An action that follows another: in one go, or not.
fn after_action(from: &Moment, to: &Moment) -> usize {
    match (from.tid == to.tid, from.batch == to.batch) {
        (true, true) => usize::from(to.place > from.place + 1),
        (true, false) => 6,
        (false, _) => 7 + usize::from(to.before > from.ts),
    }
}

/// Two buckets per octave of microseconds.
fn bucket(delay: Nanos) -> usize {
    let us = (delay.max(0) / 1000).cast_unsigned() + 1;
    let octave = us.ilog2();
    let half = (us >> octave.saturating_sub(1)) & u64::from(octave > 0);
    (2 * octave as usize + half as usize).min(BUCKETS - 1)
}

/// Nanoseconds that a bucket spans.
fn width(bucket: usize) -> f32 {
    let octave = (bucket / 2) as f32;
    1000.0 * if bucket < 2 { 1.0 } else { octave.exp2() / 2.0 }
}

/// How likely an order of calls is before anything is known.
const PRIOR_MODES: [f32; MODES] = [60.0, 2.0, 2.0, 8.0, 2.0, 4.0, 8.0, 1.0, 0.3];

/// Natural logarithms of probabilities (of densities per ns, for delays).
pub(super) struct Model {
    child_kinds: usize,
    /// By parent's kind, state, kind of the event's child, what comes: a child of a kind, the answer, waiting.
    next: Vec<f32>,
    /// By state, whether it is the answer, mode, bucket.
    delay: Vec<f32>,
    /// By kind: children that nothing causes.
    alone: Vec<f32>,
    /// A response that comes after the answer.
    late: f32,
}

/// Which children each parent has, sorted.
pub(super) type Families = Vec<Vec<u32>>;

/// What is learned from.
struct Counts {
    next: Vec<f32>,
    delay: Vec<f32>,
    late: (f32, f32),
}

/// Visits the events of a request.
trait Visit {
    fn next(&mut self, place: usize);
    fn delay(&mut self, place: usize);
    fn late(&mut self, late: bool);
}

impl Visit for Counts {
    fn next(&mut self, place: usize) {
        if let Some(count) = self.next.get_mut(place) {
            *count += 1.0;
        }
    }

    fn delay(&mut self, place: usize) {
        if let Some(count) = self.delay.get_mut(place) {
            *count += 1.0;
        }
    }

    fn late(&mut self, late: bool) {
        self.late.0 += f32::from(u8::from(late));
        self.late.1 += 1.0;
    }
}

struct Sum<'m> {
    model: &'m Model,
    sum: f64,
}

impl Visit for Sum<'_> {
    fn next(&mut self, place: usize) {
        self.sum += f64::from(self.model.next.get(place).copied().unwrap_or(-20.0));
    }

    fn delay(&mut self, place: usize) {
        self.sum += f64::from(self.model.delay.get(place).copied().unwrap_or(-30.0));
    }

    fn late(&mut self, late: bool) {
        if late {
            self.sum += f64::from(self.model.late);
        }
    }
}

/// (when, 0 = response, 1 = asked, child).
type Row = Vec<(Nanos, u8, u32)>;

fn walk(
    kinds: usize,
    process: &Process,
    parent: &Parent,
    children: impl Iterator<Item = u32>,
    row: &mut Row,
    visit: &mut impl Visit,
) {
    row.clear();
    for i in children {
        let Some(child) = process.children.get(i as usize) else { continue };
        row.push((child.asked.ts, 1, i));
        let late = child.done.ts > parent.end.ts && child.done.ts != Nanos::MAX;
        visit.late(late);
        if !late && child.done.ts != Nanos::MAX {
            row.push((child.done.ts, 0, i));
        }
    }
    row.sort_unstable();
    let (answer, wait) = (kinds, kinds + 1);
    let of = |state: State, of: u16, next: usize| {
        ((usize::from(parent.kind) * STATES + state as usize) * kinds.max(1) + usize::from(of)) * (kinds + 2) + next
    };
    let delay = |state: State, end: bool, from: &Moment, to: &Moment| {
        let mode = if state == State::Asked { after_action(from, to) } else { mode(from, to) };
        ((state as usize * 2 + usize::from(end)) * MODES + mode) * BUCKETS + bucket(to.ts - from.ts)
    };
    let (mut state, mut kind, mut from, mut waiting) = (State::Start, 0u16, &parent.start, 0usize);
    for &(_, what, i) in row.iter() {
        let Some(child) = process.children.get(i as usize) else { continue };
        let Child { asked, done, .. } = child;
        if what == 1 {
            visit.next(of(state, kind, usize::from(child.kind)));
            visit.delay(delay(state, false, from, asked));
            (state, kind, from) = (State::Asked, child.kind, asked);
            waiting += 1;
        } else {
            visit.next(of(state, kind, wait));
            waiting = waiting.saturating_sub(1);
            (state, kind, from) = (if waiting == 0 { State::All } else { State::Some }, child.kind, done);
        }
    }
    if parent.end.ts != Nanos::MAX {
        visit.next(of(state, kind, answer));
        visit.delay(delay(state, true, from, &parent.end));
    }
}

impl Model {
    /// Learns from families; from none, what is likely of any program.
    pub(super) fn learn(process: &Process, families: &Families, with: impl Fn(u32) -> bool) -> Self {
        let (parents, kinds) = (process.parent_kinds.max(1), process.child_kinds);
        let mut counts = Counts {
            next: vec![0.0; parents * STATES * kinds.max(1) * (kinds + 2)],
            delay: vec![0.0; STATES * 2 * MODES * BUCKETS],
            late: (0.0, 0.0),
        };
        let mut row = Row::new();
        for (i, (parent, family)) in (0u32..).zip(process.parents.iter().zip(families)) {
            if with(i) {
                walk(kinds, process, parent, family.iter().copied(), &mut row, &mut counts);
            }
        }
        // Rare, unless the kind is asked for while nothing is in work: what a program does of its own accord.
        let mut idle = vec![0.1f64; kinds.max(1)];
        for child in process.children.iter().filter(|c| c.candidates.is_empty()) {
            if let Some(n) = idle.get_mut(usize::from(child.kind)) {
                *n += 1.0;
            }
        }
        let alone = idle.iter().map(|n| (n / process.span).ln() as f32).collect();
        Self {
            child_kinds: kinds,
            next: next(&counts.next, parents, kinds),
            delay: delays(&counts.delay),
            alone,
            late: ((counts.late.0 + 0.02) / (counts.late.1 + 1.0)).ln(),
        }
    }

    /// How likely the life of a parent with these children is.
    pub(super) fn life(
        &self,
        process: &Process,
        parent: u32,
        children: impl Iterator<Item = u32>,
        row: &mut Vec<(Nanos, u8, u32)>,
    ) -> f64 {
        let Some(of) = process.parents.get(parent as usize) else { return 0.0 };
        let mut sum = Sum { model: self, sum: 0.0 };
        walk(self.child_kinds, process, of, children, row, &mut sum);
        sum.sum
    }

    /// How likely a child without a cause is.
    pub(super) fn alone(&self, child: &Child) -> f64 {
        f64::from(self.alone.get(usize::from(child.kind)).copied().unwrap_or(-25.0))
    }
}

/// Counts to logarithms: a kind of parent that was seen seldom does as all do.
fn next(counts: &[f32], parents: usize, kinds: usize) -> Vec<f32> {
    /// Weight of what others do, in observations.
    const OTHERS: f32 = 1.0;
    const ANYTHING: f32 = 0.5;
    let row = kinds + 2;
    let per_parent = STATES * kinds.max(1) * row;
    let mut total = vec![0.0f32; per_parent];
    for of_parent in counts.chunks(per_parent) {
        for (sum, n) in total.iter_mut().zip(of_parent) {
            *sum += n;
        }
    }
    let mut out = vec![0.0f32; parents * per_parent];
    for (of_parent, out) in counts.chunks(per_parent).zip(out.chunks_mut(per_parent)) {
        for ((n, of_all), out) in of_parent.chunks(row).zip(total.chunks(row)).zip(out.chunks_mut(row)) {
            let (sum, sum_all): (f32, f32) = (n.iter().sum(), of_all.iter().sum());
            for ((n, of_all), out) in n.iter().zip(of_all).zip(out) {
                let others = (of_all + ANYTHING / row as f32) / (sum_all + ANYTHING);
                *out = ((n + OTHERS * others) / (sum + OTHERS)).ln();
            }
        }
    }
    out
}

/// Counts to densities, smoothed over neighbouring delays.
fn delays(counts: &[f32]) -> Vec<f32> {
    /// Weight of what is likely of any program, in observations.
    const PRIOR: f32 = 8.0;
    /// What the delays in one life say together is less than each says alone: a moment in which the program is busy makes all of them long.
    const ALONE: f32 = 0.5;
    let modes: f32 = PRIOR_MODES.iter().sum();
    let mut out = vec![0.0f32; counts.len()];
    for (of_state, out) in counts.chunks(MODES * BUCKETS).zip(out.chunks_mut(MODES * BUCKETS)) {
        let sum: f32 = of_state.iter().sum();
        for ((of_mode, out), prior) in of_state.chunks(BUCKETS).zip(out.chunks_mut(BUCKETS)).zip(PRIOR_MODES) {
            for (i, out) in out.iter_mut().enumerate() {
                let at = |i: Option<usize>| i.and_then(|i| of_mode.get(i)).copied().unwrap_or(0.0);
                let smooth = 0.5 * at(Some(i)) + 0.25 * (at(i.checked_sub(1)) + at(i.checked_add(1)));
                // Short delays are likelier: each octave beyond a millisecond half of the one before.
                let shape = (-(i as f32 - 20.0).max(0.0) * 0.35).exp() / 25.0;
                *out = ALONE * ((smooth + PRIOR * prior / modes * shape) / (sum + PRIOR) / width(i)).ln();
            }
        }
    }
    out
}
