//! Processes to flows that were seen on interfaces, socket events to flows, counts to flows and processes.

use super::LinkInput;
use crate::host::Host;
use crate::model::{Completeness, Endpoints, Flow, Nanos, ObservedAt, ProcessRef, Replayed, Side, Transport};
use crate::socket::{LateClose, closed};
use ahash::{AHashMap, AHashSet};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Calls and packets of one connection may lie this far apart.
const SLACK_NS: Nanos = 1_000_000_000;
/// Flows of one address pair that are looked at.
const TRIES: usize = 64;

type End = (Option<IpAddr>, u16);
type Key = (Transport, End, End);

fn client(e: &Endpoints) -> End {
    (e.client_ip, e.client_port)
}

fn server(e: &Endpoints) -> End {
    (e.server_ip, e.server_port)
}

fn key(transport: Transport, a: End, b: End) -> Key {
    (transport, a.min(b), a.max(b))
}

/// The process at one end of a conversation, as its own system calls showed it.
struct Seen {
    flow: usize,
    node: u32,
    netns: u32,
    local: End,
    start: Nanos,
    end: Nanos,
    process: Option<ProcessRef>,
}

/// Flows by the addresses at both ends.
struct Index {
    /// Seen at processes. Datagram sockets that are not bound to an address are listed without it.
    processes: AHashMap<Key, Vec<Seen>>,
    /// By socket: its lives, by start.
    unix: AHashMap<u64, Vec<Seen>>,
}

/// Ties processes, events and counts to flows.
pub(super) fn attach(replayed: &mut Replayed, input: &LinkInput<'_>) {
    let index = Index::new(replayed, input);
    close_late(replayed, input);
    attach_flows(replayed, &index, input);
    name_requests(replayed);
    attach_events(replayed);
    count(replayed, input);
}

impl Index {
    fn new(replayed: &Replayed, input: &LinkInput<'_>) -> Self {
        let mut processes: AHashMap<Key, Vec<Seen>> = AHashMap::new();
        let mut unix: AHashMap<u64, Vec<Seen>> = AHashMap::new();
        for end in input.logs.iter().flat_map(|l| &l.ends) {
            let Some(flow) = replayed.flows.get(end.flow as usize) else { continue };
            let (local, remote, process) = match end.side {
                Side::Client => (client(&flow.endpoints), server(&flow.endpoints), &flow.client_process),
                Side::Server => (server(&flow.endpoints), client(&flow.endpoints), &flow.server_process),
            };
            let seen = Seen {
                flow: end.flow as usize,
                node: flow.node,
                netns: flow.netns,
                local,
                start: flow.start,
                end: flow.end,
                process: process.clone(),
            };
            if flow.transport == Transport::Unix {
                unix.entry(end.sock).or_default().push(seen);
                continue;
            }
            let bound = match local.0 {
                Some(ip) if !ip.is_unspecified() => local,
                _ => (None, local.1),
            };
            let list = processes.entry(key(flow.transport, bound, remote)).or_default();
            if list.len() < TRIES {
                list.push(Seen { local: bound, ..seen });
            }
        }
        for lives in unix.values_mut() {
            lives.sort_by_key(|s| s.start);
        }
        Self { processes, unix }
    }

    /// The process that holds the end `local` of a conversation that was seen as a flow.
    fn holder(&self, seen: &Flow, local: End, remote: End, not: usize) -> Option<&ProcessRef> {
        let (transport, netns, time) = (seen.transport, seen.netns, (seen.start, seen.end));
        // Loopback addresses mean something only within their namespace; others are the same conversation anywhere.
        let confined = local.0.is_some_and(|ip| ip.is_loopback());
        let unbound = (None, local.1);
        [local, unbound]
            .into_iter()
            .filter_map(|at| Some((at, self.processes.get(&key(transport, at, remote))?)))
            .flat_map(|(at, list)| list.iter().filter(move |s| s.local == at))
            .filter(|s| s.flow != not && (!confined || s.node == seen.node))
            .filter(|s| !confined || s.netns == netns || netns == 0 || s.netns == 0)
            .filter(|s| s.start - SLACK_NS <= time.1 && time.0 <= s.end.saturating_add(SLACK_NS))
            .min_by_key(|s| ((s.node, s.netns) != (seen.node, netns), (s.start - time.0).abs()))
            .and_then(|s| s.process.as_ref())
    }
}

/// Flows whose close was recorded when the socket had lost its port: they did not go on after the recording.
fn close_late(replayed: &mut Replayed, input: &LinkInput<'_>) {
    let mut closes: Vec<LateClose> = input.logs.iter().flat_map(|l| &l.closes).copied().collect();
    if closes.is_empty() {
        return;
    }
    closes.sort_unstable();
    // By socket and start: a close concerns the life before it, if no later one began in between.
    let mut lives: Vec<(u64, Nanos, u32)> = input
        .logs
        .iter()
        .flat_map(|l| &l.ends)
        .filter_map(|e| Some((e.sock, replayed.flows.get(e.flow as usize)?.start, e.flow)))
        .collect();
    lives.sort_unstable();
    for close in closes {
        let after = lives.partition_point(|l| (l.0, l.1) <= (close.sock, close.ts));
        let Some(&(sock, _, flow)) = after.checked_sub(1).and_then(|i| lives.get(i)) else { continue };
        let Some(flow) = replayed.flows.get_mut(flow as usize) else { continue };
        let holder = flow.observed_at == ObservedAt::Process(close.pid);
        if sock == close.sock && holder && flow.completeness.has(Completeness::ENDED_AFTER) {
            flow.end = flow.end.max(close.ts);
            closed(flow);
        }
    }
}

fn attach_flows(replayed: &mut Replayed, index: &Index, input: &LinkInput<'_>) {
    let found: Vec<(Option<ProcessRef>, Option<ProcessRef>)> = replayed
        .flows
        .iter()
        .enumerate()
        .map(|(i, flow)| {
            let host = input.hosts.get(flow.node as usize);
            (process_of(i, flow, Side::Client, index, host), process_of(i, flow, Side::Server, index, host))
        })
        .collect();
    for (flow, (client, server)) in replayed.flows.iter_mut().zip(found) {
        flow.client_process = flow.client_process.take().or(client);
        flow.server_process = flow.server_process.take().or(server);
    }
    // UNIX sockets know their peers.
    for end in input.logs.iter().flat_map(|l| &l.ends) {
        if end.peer == 0 {
            continue;
        }
        let Some(flow) = replayed.flows.get_mut(end.flow as usize) else { continue };
        let Some(lives) = index.unix.get(&end.peer) else { continue };
        // The kernel gives the memory of a closed socket, its identity, to the next one.
        let started = lives.partition_point(|s| s.start <= flow.end);
        let before = lives.get(started.saturating_sub(TRIES)..started).unwrap_or(&[]);
        let other = before.iter().rev().find(|s| flow.start <= s.end).and_then(|s| s.process.clone());
        let Some(other) = other else { continue };
        let slot = match end.side {
            Side::Client => &mut flow.server_process,
            Side::Server => &mut flow.client_process,
        };
        slot.get_or_insert(other);
    }
}

/// Processes known at one place of a conversation are known at all of them.
pub(super) fn share(replayed: &mut Replayed, conversations: &[(u64, bool)]) {
    let mut known: AHashMap<u64, [Option<ProcessRef>; 2]> = AHashMap::new();
    let several: AHashSet<u64> =
        (0u64..).zip(conversations).filter(|(flow, c)| c.0 != *flow).map(|(_, c)| c.0).collect();
    for (flow, (first, turned)) in replayed.flows.iter().zip(conversations) {
        if several.contains(first) {
            let [mut client, mut server] = [&flow.client_process, &flow.server_process];
            if *turned {
                std::mem::swap(&mut client, &mut server);
            }
            let of = known.entry(*first).or_default();
            for (slot, process) in of.iter_mut().zip([client, server]) {
                if slot.is_none() {
                    slot.clone_from(process);
                }
            }
        }
    }
    for (flow, (first, turned)) in replayed.flows.iter_mut().zip(conversations) {
        let Some([client, server]) = known.get(first) else { continue };
        let (client, server) = if *turned { (server, client) } else { (client, server) };
        for (slot, process) in [(&mut flow.client_process, client), (&mut flow.server_process, server)] {
            if slot.is_none() {
                slot.clone_from(process);
            }
        }
    }
    name_requests(replayed);
}

/// Requests seen in packets are told by the processes at the ends of their flows.
fn name_requests(replayed: &mut Replayed) {
    for request in replayed.requests.iter_mut().filter(|r| r.process.is_none()) {
        if let ObservedAt::Interface(_) = request.observed_at
            && let Some(flow) = usize::try_from(request.flow_id).ok().and_then(|i| replayed.flows.get(i))
        {
            request.process = flow.server_process.clone().or_else(|| flow.client_process.clone());
        }
    }
}

/// The process on one side of a flow: by its own calls, else by the sockets that were there at the start.
fn process_of(i: usize, flow: &Flow, side: Side, index: &Index, host: Option<&Host>) -> Option<ProcessRef> {
    let e = &flow.endpoints;
    let (known, local, remote) = match side {
        Side::Client => (&flow.client_process, client(e), server(e)),
        Side::Server => (&flow.server_process, server(e), client(e)),
    };
    if known.is_some() || !matches!(flow.transport, Transport::Tcp | Transport::Udp) {
        return None;
    }
    if let Some(process) = index.holder(flow, local, remote, i) {
        return Some(process.clone());
    }
    let host = host.filter(|_| flow.netns != 0)?;
    let (local_ip, remote_ip) = (local.0?, remote.0?);
    let sockets = host.sockets();
    let pid =
        sockets.holder(flow.netns, flow.transport, (local_ip, local.1), (remote_ip, remote.1)).or_else(
            || match side {
                Side::Server => sockets.listener(flow.netns, flow.transport, local.1).filter(|&pid| pid != 0),
                Side::Client => None,
            },
        )?;
    // The listener's namespace must be the server's own: a packet on its way through another namespace is not for a
    // socket there.
    host.process_at(pid, flow.start)
}

fn attach_events(replayed: &mut Replayed) {
    if replayed.socket_events.is_empty() {
        return;
    }
    let mut flows: AHashMap<Key, Vec<usize>> = AHashMap::new();
    for (i, flow) in replayed.flows.iter().enumerate() {
        flows.entry(key(flow.transport, client(&flow.endpoints), server(&flow.endpoints))).or_default().push(i);
    }
    for event in &mut replayed.socket_events {
        let at = key(event.transport, (event.local_ip, event.local_port), (event.remote_ip, event.remote_port));
        let Some(list) = flows.get(&at) else { continue };
        // Sorted by start, as flows are.
        let until = list.partition_point(|&i| replayed.flows.get(i).is_some_and(|f| f.start - SLACK_NS <= event.ts));
        event.flow_id = list
            .get(until.saturating_sub(TRIES)..until)
            .unwrap_or(&[])
            .iter()
            .filter_map(|&i| replayed.flows.get(i).map(|f| (i, f)))
            .filter(|(_, f)| event.ts <= f.end.saturating_add(SLACK_NS))
            .min_by_key(|(i, f)| {
                let outside = f.start > event.ts || f.end < event.ts;
                let elsewhere = f.node != event.node || f.netns != event.netns && event.netns != 0;
                let interface = matches!(f.observed_at, ObservedAt::Interface(_));
                (elsewhere, outside, interface, *i)
            })
            .map(|(i, _)| i as u64);
    }
}

fn count(replayed: &mut Replayed, input: &LinkInput<'_>) {
    let mut counts: Vec<(u32, u32)> = vec![(0, 0); replayed.flows.len()];
    for request in &replayed.requests {
        if let Some(count) = usize::try_from(request.flow_id).ok().and_then(|i| counts.get_mut(i)) {
            count.0 += 1;
            count.1 += u32::from(request.fields.status.is_error());
        }
    }
    // Flows know their own counts where their requests were not kept.
    if !replayed.requests.is_empty() {
        for (flow, (requests, errors)) in replayed.flows.iter_mut().zip(counts) {
            flow.requests = requests;
            flow.request_errors = errors;
        }
    }
    let mut bytes: BTreeMap<(u32, u32), (u64, u64)> = BTreeMap::new();
    let of_nodes = input.logs.iter().flat_map(|l| l.bytes.iter().map(|b| (l.node, b)));
    for (node, &(pid, read, written)) in of_nodes {
        let sum = bytes.entry((node, pid)).or_default();
        sum.0 += read;
        sum.1 += written;
    }
    // Several processes may have had one id in turn: the last one is the likeliest to have done most of it.
    let mut last: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (i, process) in replayed.processes.iter().enumerate() {
        last.insert((process.node, process.pid), i);
    }
    for (pid, i) in last {
        let Some(process) = replayed.processes.get_mut(i) else { continue };
        process.cpu_samples = input.samples.get(&pid).copied().unwrap_or(0);
        let (read, written) = bytes.get(&pid).copied().unwrap_or((0, 0));
        process.socket_read_bytes = read;
        process.socket_write_bytes = written;
    }
}
