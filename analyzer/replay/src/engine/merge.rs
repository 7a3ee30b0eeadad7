//! What the shards found, put together: sorted, with dense ids.

use super::batch::lock;
use super::Engine;
use crate::flow::Finished;
use crate::model::{Flow, Health, Nanos, ObservedAt, Replayed, Request};
use rayon::prelude::*;

impl Engine {
    /// The end of all inputs.
    pub(super) fn finish(mut self) -> Replayed {
        self.end_of_fragments();
        let end = self.out.end;
        let settings = &self.settings;
        let finished: Vec<Finished> = self
            .shards
            .par_iter()
            .map(|shard| {
                let mut shard = lock(shard);
                shard.flows.finish(end, settings);
                std::mem::take(&mut shard.flows.finished)
            })
            .collect();
        let mut out = self.out;
        if out.start > out.end {
            (out.start, out.end) = (0, 0);
        }
        out.interfaces = self.interfaces.rows;
        merge(&mut out, finished);
        out
    }
}

/// What flows are sorted by.
fn flow_order(f: &Flow) -> impl Ord + '_ {
    (f.start, f.transport, f.endpoints, &f.observed_at, f.end, &f.tunnel, f.tunnel_id)
}

fn merge(out: &mut Replayed, finished: Vec<Finished>) {
    let mut evicted = (0, None::<(Nanos, Nanos)>);
    // (shard, place) of every flow, in the order of the table.
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(finished.iter().map(|f| f.flows.len()).sum());
    for (s, f) in finished.iter().enumerate() {
        places.extend((0..f.flows.len() as u32).map(|n| (s as u32, n)));
        evicted.0 += f.evicted.0;
        if let Some((a, b)) = f.evicted.1 {
            evicted.1 = Some(evicted.1.map_or((a, b), |(x, y)| (a.min(x), b.max(y))));
        }
    }
    let flow_at = |&(s, n): &(u32, u32)| finished.get(s as usize).and_then(|f| f.flows.get(n as usize));
    places.par_sort_by(|a, b| flow_at(a).map(flow_order).cmp(&flow_at(b).map(flow_order)));
    let mut flow_ids: Vec<Vec<u64>> = finished.iter().map(|f| vec![0; f.flows.len()]).collect();
    for (id, &(s, n)) in places.iter().enumerate() {
        if let Some(slot) = flow_ids.get_mut(s as usize).and_then(|ids| ids.get_mut(n as usize)) {
            *slot = id as u64;
        }
    }
    let (mut flows, mut requests, mut profile) = (Vec::with_capacity(places.len()), Vec::new(), Vec::new());
    let mut request_base = Vec::with_capacity(finished.len());
    for (f, ids) in finished.into_iter().zip(&flow_ids) {
        let new_id = |old: u64| ids.get(old as usize).copied().unwrap_or(0);
        let base = requests.len() as u64;
        request_base.push(base);
        flows.extend(f.flows.into_iter().map(|mut flow| {
            flow.flow_id = new_id(flow.flow_id);
            flow
        }));
        requests.extend(f.requests.into_iter().map(|mut r| {
            r.flow_id = new_id(r.flow_id);
            r
        }));
        profile.extend(f.profile.into_iter().map(|mut p| {
            p.flow_id = new_id(p.flow_id);
            p.request_id = p.request_id.map(|id| id + base);
            p
        }));
    }
    flows.par_sort_unstable_by_key(|f: &Flow| f.flow_id);
    // Stable: requests of one flow are in their order, and no flow's requests are in two shards.
    let mut order: Vec<u32> = (0..requests.len() as u32).collect();
    let key = |&n: &u32| requests.get(n as usize).map(|r: &Request| (r.request_ts.or(r.response_ts), r.flow_id));
    order.par_sort_by_key(key);
    let mut request_ids = vec![0u64; requests.len()];
    for (id, &old) in order.iter().enumerate() {
        if let Some(slot) = request_ids.get_mut(old as usize) {
            *slot = id as u64;
        }
    }
    for (r, &id) in requests.iter_mut().zip(&request_ids) {
        r.request_id = id;
    }
    requests.par_sort_unstable_by_key(|r| r.request_id);
    for p in &mut profile {
        p.request_id = p.request_id.and_then(|old| request_ids.get(old as usize).copied());
    }
    profile.par_sort_by_key(|p| p.flow_id);
    let netns = |at: &ObservedAt| match at {
        ObservedAt::Interface(id) => out.interfaces.get(*id as usize).map(|i| i.netns),
        ObservedAt::Process(_) => None,
    };
    for f in &mut flows {
        if let Some(ns) = netns(&f.observed_at) {
            f.netns = ns;
        }
    }
    for r in &mut requests {
        if let Some(ns) = netns(&r.observed_at) {
            r.netns = ns;
        }
    }
    if let (n @ 1.., Some((first, last))) = evicted {
        out.health.push(Health {
            kind: "flow".into(),
            cpu: None,
            first: Some(first),
            last: Some(last),
            lost: n,
            cause: "too many flows open at once: those silent for longest were finished early (completeness ended_after)".into(),
        });
    }
    out.flows = flows;
    out.requests = requests;
    out.profile = profile;
}
