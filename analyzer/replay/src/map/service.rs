//! What the ends of a flow are called: the process's name, else its address.

use crate::model::{Flow, Replayed, Request, Side};
use ahash::AHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// An end of some conversation: address, port and, for loopback, whose loopback it is.
type Place = (IpAddr, u16, u32);

/// Names of services, and a dense number for each.
///
/// A flow seen in packets alone knows addresses only. If some other observation of the recording (a process's
/// system calls) tells which process was at that address and port, its name is taken for all of them.
#[derive(Debug)]
pub struct Services {
    names: Vec<Arc<str>>,
    numbers: AHashMap<Arc<str>, u32>,
    /// Per flow: (client, server).
    flows: Vec<(u32, u32)>,
}

fn place(ip: Option<IpAddr>, port: u16, netns: u32) -> Option<Place> {
    let ip = ip?;
    Some((ip, port, if ip.is_loopback() { netns } else { 0 }))
}

fn is_named(name: &str) -> bool {
    !name.is_empty()
}

impl Services {
    /// Names both ends of all flows.
    #[must_use]
    pub fn new(replayed: &Replayed) -> Self {
        let mut at: AHashMap<Place, &Arc<str>> = AHashMap::new();
        for flow in &replayed.flows {
            let e = &flow.endpoints;
            // Listening ports only: a client's port belongs to another process a moment later.
            if let (Some(p), Some(place)) = (&flow.server_process, place(e.server_ip, e.server_port, flow.netns))
                && is_named(&p.name)
            {
                at.entry(place).or_insert(&p.name);
            }
        }
        // One conversation's client: the same five-tuple, so the same process wherever it was seen.
        let mut clients: AHashMap<_, &Arc<str>> = AHashMap::new();
        for flow in &replayed.flows {
            if let Some(p) = &flow.client_process
                && flow.endpoints.client_ip.is_some()
                && is_named(&p.name)
            {
                clients.entry((flow.endpoints, flow.transport)).or_insert(&p.name);
            }
        }
        let mut services = Self { names: Vec::new(), numbers: AHashMap::new(), flows: Vec::new() };
        services.flows.reserve(replayed.flows.len());
        for flow in &replayed.flows {
            let e = &flow.endpoints;
            let server = match &flow.server_process {
                Some(p) if is_named(&p.name) => services.number(&p.name),
                _ => match place(e.server_ip, e.server_port, flow.netns).and_then(|p| at.get(&p)) {
                    Some(name) => services.number(name),
                    None => services.number_of(server_address(flow)),
                },
            };
            let client = match &flow.client_process {
                Some(p) if is_named(&p.name) => services.number(&p.name),
                _ => match clients.get(&(*e, flow.transport)) {
                    Some(name) => services.number(name),
                    None => services.number_of(match e.client_ip {
                        Some(ip) => ip.to_string(),
                        None => flow.transport.name().into_owned(),
                    }),
                },
            };
            services.flows.push((client, server));
        }
        services
    }

    fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(&n) = self.numbers.get(name) {
            return n;
        }
        let n = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), n);
        n
    }

    fn number_of(&mut self, name: String) -> u32 {
        match self.numbers.get(name.as_str()) {
            Some(&n) => n,
            None => self.number(&name.into()),
        }
    }

    /// The name of service `number`.
    #[must_use]
    pub fn name(&self, number: u32) -> Arc<str> {
        self.names.get(number as usize).cloned().unwrap_or_default()
    }

    /// Numbers of the services at both ends of flow `flow_id`: (client, server).
    #[must_use]
    pub fn of_flow(&self, flow_id: u64) -> Option<(u32, u32)> {
        self.flows.get(usize::try_from(flow_id).ok()?).copied()
    }

    /// Number of the service that answers `request`: the observing process if that is the server.
    #[must_use]
    pub fn of_request(&self, request: &Request) -> Option<u32> {
        if request.side == Some(Side::Server)
            && let Some(p) = &request.process
            && let Some(&n) = self.numbers.get(&p.name)
        {
            return Some(n);
        }
        self.of_flow(request.flow_id).map(|(_, server)| server)
    }
}

/// `address:port` of the server as people write it; UNIX sockets: `unix`.
fn server_address(flow: &Flow) -> String {
    match flow.endpoints.server_ip {
        Some(ip) if flow.endpoints.server_port == 0 => ip.to_string(),
        Some(ip) => std::net::SocketAddr::new(ip, flow.endpoints.server_port).to_string(),
        None => flow.transport.name().into_owned(),
    }
}
