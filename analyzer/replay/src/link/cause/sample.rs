//! Whose child is whose: families are tried out, the likelier the more often.
//!
//! Gibbs sampling: again and again, each child chooses among its candidates with the odds that the model gives to the lives of
//! all parents concerned, given all other children; and pairs of parents exchange children, or all that came after some
//! moment. How often a child was with a parent is how sure their link is. The model is learned anew between the first rounds.

use super::model::{Families, Model};
use super::process::{NONE, Process};
use crate::model::Nanos;
use rayon::prelude::*;
use std::sync::Arc;

/// Rounds in which the model is learned, at heats that fall from [`LEARN_HEAT`] to 1.
const LEARN: u32 = 40;
const LEARN_HEAT: f64 = 2.0;
/// Chains: each begins hot, so that one way into a corner does not decide.
const CHAINS: u32 = 12;
/// Fewer would say too little, however much there is to do.
const FEWEST: u32 = 6;
const CHAIN_HEAT: f64 = 4.0;
/// Rounds of a chain: falling in heat, at heat 1 before counting, and counted.
const COOL: u32 = 12;
const WARM: u32 = 2;
const COUNT: u32 = 4;
/// Choices of one process beyond which rounds and chains become fewer, down to these shares of them.
const BUDGET: u64 = 12_000_000;
/// A parent that was less likely than the best by this factor (natural logarithm) is not tried any more.
const FAR: f64 = 15.0;
const LEAST: f64 = 0.15;
/// Children of one parent beyond which it takes no part in trying out: its life is too long to be weighed again and again.
const MAX_FAMILY: usize = 256;

/// Any number but 0.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// xorshift64*: the same in every run.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

/// By child: (parent or [`NONE`], share of the time), the likeliest first.
pub(super) type Shares = Vec<Vec<(u32, f32)>>;

/// A parent that a child may choose.
#[derive(Clone, Copy, Debug)]
struct Choice {
    parent: u32,
    contents: f32,
    /// It was among the likely ones.
    near: bool,
}

#[derive(Clone)]
struct State<'p> {
    process: &'p Process,
    model: Arc<Model>,
    /// By child: parent, what contents say, whether it was ever near the best.
    lists: Arc<Vec<Vec<Choice>>>,
    /// By child.
    of: Vec<u32>,
    families: Families,
    /// By parent: how likely its life is.
    lives: Vec<f64>,
    random: Random,
    row: Vec<(Nanos, u8, u32)>,
    odds: Vec<(u32, f64)>,
    /// Whether likely parents are noted.
    marking: bool,
}

/// Tries out.
pub(super) fn sample(process: &Process) -> Shares {
    let families: Families = vec![Vec::new(); process.parents.len()];
    let mut state = State {
        process,
        model: Arc::new(Model::learn(process, &families, |_| false)),
        lists: Arc::new(process.children.iter().map(|c| choices(&c.candidates)).collect()),
        of: vec![NONE; process.children.len()],
        families,
        lives: Vec::new(),
        random: Random(SEED),
        row: Vec::new(),
        odds: Vec::new(),
        marking: true,
    };
    state.begin();
    let choices: u64 =
        process.children.iter().filter(|c| c.fixed.is_none()).map(|c| c.candidates.len() as u64 + 2).sum();
    let rounds = u64::from(LEARN + CHAINS * (COOL + WARM + COUNT));
    let share = (BUDGET as f64 / (choices * rounds).max(1) as f64).clamp(LEAST, 1.0);
    let some = |n: u32| (f64::from(n) * share).ceil() as u32;
    let (learn, chains, cool) = (some(LEARN), some(CHAINS).max(FEWEST), some(COOL));
    for round in 0..learn {
        state.round(falling(LEARN_HEAT, round, learn));
        state.relearn();
        if round == learn / 2 {
            state.prune();
        }
    }
    let counted: Vec<Shares> = (0..u64::from(chains))
        .into_par_iter()
        .map(|chain| {
            let mut state =
                State { random: Random(SEED ^ (chain + 1).wrapping_mul(0xd134_2543_de82_ef95)), ..state.clone() };
            let mut counts: Shares = vec![Vec::new(); process.children.len()];
            for round in 0..cool {
                state.round(falling(CHAIN_HEAT, round, cool));
            }
            for _ in 0..WARM {
                state.round(1.0);
            }
            for _ in 0..COUNT {
                state.round(1.0);
                state.count(&mut counts);
            }
            counts
        })
        .collect();
    let mut counts: Shares = vec![Vec::new(); process.children.len()];
    for chain in counted {
        for (sum, of_chain) in counts.iter_mut().zip(chain) {
            for (parent, n) in of_chain {
                match sum.iter_mut().find(|c| c.0 == parent) {
                    Some((_, all)) => *all += n,
                    None => sum.push((parent, n)),
                }
            }
        }
    }
    // A few chains may agree by chance.
    let all = f64::from(chains * COUNT) + f64::from(COUNT) / 2.0;
    for of_child in &mut counts {
        for (_, share) in of_child.iter_mut() {
            *share /= all as f32;
        }
        of_child.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    counts
}

fn choices(candidates: &[(u32, f32)]) -> Vec<Choice> {
    candidates.iter().map(|&(parent, contents)| Choice { parent, contents, near: false }).collect()
}

/// From `heat` towards 1.
fn falling(heat: f64, round: u32, rounds: u32) -> f64 {
    1.0 + (heat - 1.0) * f64::from(rounds - round) / f64::from(rounds)
}

impl State<'_> {
    /// Children whose cause is known or clear first; from their parents the first model is learned. Then all others, by time.
    fn begin(&mut self) {
        let mut unclear = vec![false; self.process.parents.len()];
        for (i, child) in (0u32..).zip(&self.process.children) {
            match child.candidates[..] {
                [(parent, _)] => self.put(i, parent),
                _ => {
                    for (p, _) in &child.candidates {
                        if let Some(slot) = unclear.get_mut(*p as usize) {
                            *slot = true;
                        }
                    }
                }
            }
        }
        let clear = |p: u32| unclear.get(p as usize).is_some_and(|u| !u);
        self.model = Arc::new(Model::learn(self.process, &self.families, clear));
        self.weigh();
        for i in 0..self.process.children.len() {
            self.choose(u32::try_from(i).unwrap_or(NONE), 0.0);
        }
        self.relearn();
    }

    fn put(&mut self, child: u32, parent: u32) {
        if let Some(of) = self.of.get_mut(child as usize) {
            *of = parent;
        }
        if let Some(family) = self.families.get_mut(parent as usize) {
            let at = family.partition_point(|&c| c < child);
            family.insert(at, child);
        }
    }

    fn take(&mut self, child: u32, parent: u32) {
        if let Some(family) = self.families.get_mut(parent as usize)
            && let Ok(at) = family.binary_search(&child)
        {
            family.remove(at);
        }
        if let Some(of) = self.of.get_mut(child as usize) {
            *of = NONE;
        }
    }

    fn relearn(&mut self) {
        self.model = Arc::new(Model::learn(self.process, &self.families, |_| true));
        self.weigh();
    }

    fn weigh(&mut self) {
        let Self { process, model, families, row, .. } = self;
        let lives = (0u32..).zip(families.iter());
        self.lives = lives.map(|(p, family)| model.life(process, p, family.iter().copied(), row)).collect();
    }

    fn family(&self, parent: u32) -> &[u32] {
        self.families.get(parent as usize).map_or(&[], Vec::as_slice)
    }

    fn life(&self, parent: u32) -> f64 {
        self.lives.get(parent as usize).copied().unwrap_or(0.0)
    }

    /// How likely the life of `parent` is without one child and with another.
    fn life_with(&mut self, parent: u32, without: u32, with: u32) -> f64 {
        let family = self.families.get(parent as usize).map_or(&[][..], Vec::as_slice);
        let children = family.iter().copied().filter(|&c| c != without).chain((with != NONE).then_some(with));
        self.model.life(self.process, parent, children, &mut self.row)
    }

    fn round(&mut self, heat: f64) {
        for i in 0..self.process.children.len() {
            let child = u32::try_from(i).unwrap_or(NONE);
            self.choose(child, heat);
            self.exchange(child, heat, false);
            self.exchange(child, heat, true);
        }
    }

    /// A child chooses its parent; at heat 0 the likeliest.
    fn choose(&mut self, i: u32, heat: f64) {
        let process = self.process;
        let Some(child) = process.children.get(i as usize) else { return };
        if child.fixed.is_some() || child.candidates.is_empty() {
            return;
        }
        let now = self.of.get(i as usize).copied().unwrap_or(NONE);
        if self.family(now).len() > MAX_FAMILY {
            return;
        }
        let mut odds = std::mem::take(&mut self.odds);
        odds.clear();
        odds.push((NONE, self.model.alone(child)));
        let lists = Arc::clone(&self.lists);
        for &Choice { parent: p, contents, .. } in lists.get(i as usize).into_iter().flatten() {
            if self.family(p).len() > MAX_FAMILY {
                continue;
            }
            let gain = if p == now {
                self.life(p) - self.life_with(p, i, NONE)
            } else {
                self.life_with(p, NONE, i) - self.life(p)
            };
            odds.push((p, gain + f64::from(contents)));
        }
        drop(lists);
        let best = odds.iter().map(|o| o.1).fold(f64::MIN, f64::max);
        if self.marking {
            self.mark(i, &odds, best - FAR);
        }
        let chosen = if heat == 0.0 {
            odds.iter().find(|o| o.1 == best).map(|o| o.0)
        } else {
            for (_, odd) in &mut odds {
                *odd = ((*odd - best) / heat).exp();
            }
            let mut left = self.random.unit() * odds.iter().map(|o| o.1).sum::<f64>();
            odds.iter()
                .find(|o| {
                    left -= o.1;
                    left <= 0.0
                })
                .map(|o| o.0)
        };
        self.odds = odds;
        let chosen = chosen.unwrap_or(now);
        if chosen != now {
            self.take(i, now);
            if chosen != NONE {
                self.put(i, chosen);
            }
            for p in [now, chosen] {
                self.weigh_one(p);
            }
        }
    }

    /// Notes which parents are likely.
    fn mark(&mut self, child: u32, odds: &[(u32, f64)], least: f64) {
        // The chains share the lists; they do not come here.
        let Some(list) = Arc::get_mut(&mut self.lists).and_then(|l| l.get_mut(child as usize)) else { return };
        for choice in list.iter_mut().filter(|c| !c.near) {
            choice.near = odds.iter().any(|o| o.0 == choice.parent && o.1 >= least);
        }
    }

    /// Parents that were never likely are not tried any more.
    fn prune(&mut self) {
        self.marking = false;
        let Some(lists) = Arc::get_mut(&mut self.lists) else { return };
        for list in lists.iter_mut() {
            list.retain(|choice| choice.near);
        }
    }

    fn weigh_one(&mut self, parent: u32) {
        if parent == NONE {
            return;
        }
        let life = self.life_with(parent, NONE, NONE);
        if let Some(slot) = self.lives.get_mut(parent as usize) {
            *slot = life;
        }
    }

    /// What the contents say for a pair; `None` if they cannot be one.
    fn contents(&self, child: u32, parent: u32) -> Option<f64> {
        if self.process.children.get(child as usize)?.fixed.is_some_and(|f| f != parent) {
            return None;
        }
        let list = self.lists.get(child as usize)?;
        let at = list.binary_search_by_key(&parent, |c| c.parent).ok()?;
        list.get(at).map(|c| f64::from(c.contents))
    }

    /// The parent of a child and another one exchange children: this one for one that was asked for about then, or all that
    /// were asked for from then on.
    fn exchange(&mut self, child: u32, heat: f64, all: bool) {
        let process = self.process;
        let Some(of) = process.children.get(child as usize) else { return };
        let a = self.of.get(child as usize).copied().unwrap_or(NONE);
        let choices = self.lists.get(child as usize).map_or(0, Vec::len);
        if a == NONE || choices < 2 || of.fixed.is_some() {
            return;
        }
        let other = self.random.below(choices);
        let Some(b) = self.lists.get(child as usize).and_then(|l| l.get(other)).map(|c| c.parent) else { return };
        let members = self.family(b).len();
        let other = self.random.below(members);
        let (of_a, of_b) = (self.family(a), self.family(b));
        if a == b || of_a.len().max(of_b.len()) > MAX_FAMILY {
            return;
        }
        let (from_a, from_b): (Vec<u32>, Vec<u32>) = if all {
            (
                of_a.iter().copied().filter(|&c| c >= child).collect(),
                of_b.iter().copied().filter(|&c| c >= child).collect(),
            )
        } else {
            if of_b.is_empty() {
                return;
            }
            (vec![child], of_b.get(other).copied().into_iter().collect())
        };
        let mut gain = 0.0;
        for (list, from, to) in [(&from_a, a, b), (&from_b, b, a)] {
            for &c in list {
                let (Some(then), Some(now)) = (self.contents(c, to), self.contents(c, from)) else { return };
                gain += then - now;
            }
        }
        let changed = |of: &[u32], less: &[u32], more: &[u32]| -> Vec<u32> {
            let mut list: Vec<u32> =
                of.iter().copied().filter(|c| !less.contains(c)).chain(more.iter().copied()).collect();
            list.sort_unstable();
            list
        };
        let new_a = changed(of_a, &from_a, &from_b);
        let new_b = changed(of_b, &from_b, &from_a);
        let life_a = self.model.life(process, a, new_a.iter().copied(), &mut self.row);
        let life_b = self.model.life(process, b, new_b.iter().copied(), &mut self.row);
        gain += life_a + life_b - self.life(a) - self.life(b);
        if gain >= 0.0 || self.random.unit() < (gain / heat).exp() {
            for &c in &from_a {
                if let Some(of) = self.of.get_mut(c as usize) {
                    *of = b;
                }
            }
            for &c in &from_b {
                if let Some(of) = self.of.get_mut(c as usize) {
                    *of = a;
                }
            }
            for (p, family, life) in [(a, new_a, life_a), (b, new_b, life_b)] {
                if let (Some(old), Some(slot)) = (self.families.get_mut(p as usize), self.lives.get_mut(p as usize)) {
                    *old = family;
                    *slot = life;
                }
            }
        }
    }

    fn count(&self, counts: &mut Shares) {
        for (of_child, &parent) in counts.iter_mut().zip(&self.of) {
            match of_child.iter_mut().find(|c| c.0 == parent) {
                Some((_, n)) => *n += 1.0,
                None => of_child.push((parent, 1.0)),
            }
        }
    }
}
