//! Stacks as call trees, one per process name, for the page's flame graph.

use super::columns::Strings;
use replay::model::Stack;
use serde::Serialize;
use std::collections::BTreeMap;

/// Processes that get a flame graph.
const MOST_PROCESSES: usize = 24;
/// Nodes of one tree.
const MOST_NODES: usize = 4_000;
/// Deeper frames are left out.
const DEEPEST: usize = 200;

/// Call tree of one process name: nodes in preorder, columns of equal length.
#[derive(Debug, Serialize)]
pub(super) struct Flame {
    process: i64,
    pids: Vec<u32>,
    samples: u64,
    value_ns: u64,
    /// Depth of each node; the first, the process itself, has 0.
    depth: Vec<u32>,
    /// Place of its name in the strings.
    name: Vec<i64>,
    /// Samples in it and all below.
    total: Vec<u64>,
    /// Nodes too small to be shown.
    hidden: usize,
}

#[derive(Default)]
struct Node<'a> {
    total: u64,
    children: BTreeMap<&'a str, usize>,
}

struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    fn add(&mut self, frames: &'a str, samples: u64) {
        let mut at = 0;
        self.count(at, samples);
        for frame in shown(frames).take(DEEPEST) {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = *node.children.entry(frame).or_insert(next);
            if at == next {
                self.nodes.push(Node::default());
            }
            self.count(at, samples);
        }
    }

    fn count(&mut self, at: usize, samples: u64) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.total = node.total.saturating_add(samples);
        }
    }

    /// The smallest total that lets no more than [`MOST_NODES`] nodes through.
    fn least(&self) -> u64 {
        if self.nodes.len() <= MOST_NODES {
            return 0;
        }
        let mut totals: Vec<u64> = self.nodes.iter().map(|n| n.total).collect();
        let (_, least, _) = totals.select_nth_unstable_by(MOST_NODES, |a, b| b.cmp(a));
        *least + 1
    }
}

/// The frames of a stack; those without a name that follow each other as one, for they say nothing one by one.
pub(crate) fn shown(frames: &str) -> impl Iterator<Item = &str> {
    const UNKNOWN: &str = "[unknown]";
    let mut before = "";
    frames.split(';').filter(move |frame| {
        let is_again = *frame == UNKNOWN && before == UNKNOWN;
        before = frame;
        !is_again
    })
}

/// The call trees, most samples first.
pub(super) fn flames(stacks: &[Stack], strings: &mut Strings) -> Vec<Flame> {
    let mut by_process: BTreeMap<&str, Vec<&Stack>> = BTreeMap::new();
    for stack in stacks {
        by_process.entry(&stack.process).or_default().push(stack);
    }
    let samples = |stacks: &[&Stack]| stacks.iter().map(|s| s.samples).sum::<u64>();
    let mut groups: Vec<_> = by_process.into_iter().map(|(name, s)| (samples(&s), name, s)).collect();
    groups.sort_by_key(|(samples, _, _)| std::cmp::Reverse(*samples));
    groups.truncate(MOST_PROCESSES);
    groups.into_iter().map(|(samples, name, stacks)| flame(name, samples, &stacks, strings)).collect()
}

fn flame(process: &str, samples: u64, stacks: &[&Stack], strings: &mut Strings) -> Flame {
    let mut tree = Tree { nodes: vec![Node::default()] };
    for stack in stacks {
        tree.add(&stack.frames, stack.samples);
    }
    let least = tree.least();
    let mut pids: Vec<u32> = stacks.iter().map(|s| s.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let mut out = Flame {
        process: strings.place(process),
        pids,
        samples,
        value_ns: stacks.iter().fold(0, |sum, s| sum.saturating_add(s.value_ns)),
        depth: Vec::new(),
        name: Vec::new(),
        total: Vec::new(),
        hidden: 0,
    };
    // By hand instead of by recursion: the depth is what the traced program made of it.
    let mut left = vec![(0u32, process, 0usize)];
    while let Some((depth, name, at)) = left.pop() {
        let Some(node) = tree.nodes.get(at) else { continue };
        if node.total < least {
            out.hidden += 1;
            continue;
        }
        out.depth.push(depth);
        out.name.push(strings.place(name));
        out.total.push(node.total);
        // Last pushed is visited first: children come out by name.
        left.extend(node.children.iter().rev().map(|(name, child)| (depth + 1, *name, *child)));
    }
    out
}
