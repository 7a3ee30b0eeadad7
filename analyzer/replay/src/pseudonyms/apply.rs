//! Where names and addresses stand in the rows.

use super::{Kind, Pseudonyms};
use crate::flow::community_id;
use crate::model::{Endpoints, Replayed, RequestFields, SharedFields};
use ahash::AHashMap;
use std::net::IpAddr;

/// Attributes that hold a user's name, and such that hold a host's.
const USERS: [&str; 3] = ["user", "identity", "client_id"];
const HOSTS: [&str; 1] = ["server_name"];

/// Rows that share what they say stand near each other: so many different ones are remembered.
const SHARED: usize = 4096;

impl Pseudonyms {
    /// Replaces everything in the rows.
    pub fn apply(&mut self, r: &mut Replayed) {
        self.learn(r);
        self.nodes(r);
        for f in &mut r.flows {
            self.endpoints(&mut f.endpoints);
            f.client_mac = f.client_mac.map(|m| self.mac(m));
            f.server_mac = f.server_mac.map(|m| self.mac(m));
            f.carriers.iter_mut().for_each(|c| self.endpoints(c));
            f.tunnel_outer = f.tunnel_outer.map(|(a, b)| (self.address(a), self.address(b)));
            if !f.community_id.is_empty() {
                f.community_id = community_id(f.transport, &f.endpoints);
            }
        }
        // What rows said alike they still do: looked at once, and shared as before.
        let mut known: AHashMap<usize, [SharedFields; 2]> = AHashMap::new();
        for q in &mut r.requests {
            self.endpoints(&mut q.endpoints);
            if known.len() == SHARED {
                known.clear();
            }
            let fields = &mut q.session.fields;
            let [_, replaced] = known.entry(fields.place()).or_insert_with(|| {
                let mut replaced = fields.clone();
                self.fields(&mut replaced);
                [fields.clone(), replaced]
            });
            fields.clone_from(replaced);
        }
        for s in &mut r.spans {
            s.service = self.text(&s.service).into();
            s.name = self.text(&s.name).into();
        }
        for t in &mut r.traces {
            t.service = self.text(&t.service).into();
            t.root = self.text(&t.root).into();
        }
        for h in &mut r.hops {
            self.endpoints(&mut h.from.endpoints);
            self.endpoints(&mut h.to.endpoints);
            h.evidence = self.text(&h.evidence);
            h.statement = self.text(&h.statement);
        }
        for c in &mut r.clocks {
            c.name = self.text(&c.name);
            c.reference = self.text(&c.reference);
        }
        for s in &mut r.stacks {
            if !s.endpoint.is_empty() {
                s.endpoint = self.text(&s.endpoint).into();
            }
        }
        for p in &mut r.processes {
            p.exe = self.program(&p.exe);
            p.cgroup = self.path(&p.cgroup);
            let (program, arguments) = p.command_line.split_once(' ').unwrap_or((&p.command_line, ""));
            let (program, arguments) = (self.program(program), self.text(arguments));
            p.command_line = if arguments.is_empty() { program } else { format!("{program} {arguments}") };
        }
        for i in &mut r.interfaces {
            i.mac = match mac_of(&i.mac) {
                Some(mac) => self.mac(mac).map(|b| format!("{b:02x}")).join(":"),
                None => std::mem::take(&mut i.mac),
            };
            i.addresses.iter_mut().for_each(|a| {
                *a = match a.split_once('/') {
                    Some((ip, bits)) => format!("{}/{bits}", self.text(ip)),
                    None => self.text(a),
                }
            });
        }
        for e in &mut r.socket_events {
            e.local_ip = e.local_ip.map(|ip| self.address(ip));
            e.remote_ip = e.remote_ip.map(|ip| self.address(ip));
        }
        r.health.iter_mut().for_each(|h| h.cause = self.text(&h.cause));
        r.disguised = Some(self.counts());
    }

    /// Names that other texts may hold are known before these are looked at.
    fn learn(&mut self, r: &Replayed) {
        for q in &r.requests {
            let f = &q.session.fields;
            if is_host(f) {
                self.know_host(&f.request_domain);
            }
            if f.l7_protocol == "dns" {
                self.know_host(&f.request_resource);
                f.result.split("; ").filter_map(|record| record.split_once('=')).for_each(|(kind, data)| {
                    if matches!(kind, "CNAME" | "NS" | "PTR" | "MX" | "SRV") {
                        data.split(' ').next().into_iter().for_each(|name| self.know_host(name));
                    }
                });
            }
            for (name, value) in &f.attributes {
                if USERS.contains(name) {
                    self.know_user(value);
                }
                if HOSTS.contains(name) {
                    self.know_host(value);
                }
            }
        }
        for node in &r.nodes {
            self.know_host(&node.name);
        }
        for p in &r.processes {
            // Below /home every folder is a person's.
            p.exe.split("/home/").skip(1).chain(p.command_line.split("/home/").skip(1)).for_each(|rest| {
                let name = rest.split(['/', ' ']).next().unwrap_or_default();
                self.know_user(name);
            });
        }
    }

    fn nodes(&mut self, r: &mut Replayed) {
        for n in &mut r.nodes {
            n.name = if n.name.is_empty() { String::new() } else { self.host(&n.name) };
            n.node_id.clear();
            n.input = self.text(&n.input);
        }
        if let Some(m) = &mut r.manifest {
            m.hostname = if m.hostname.is_empty() { String::new() } else { self.host(&m.hostname) };
            m.node_id.clear();
            m.command_line.iter_mut().for_each(|word| *word = self.text(word));
            m.privacy.iter_mut().chain(&mut m.missing).for_each(|line| *line = self.text(line));
        }
    }

    fn endpoints(&mut self, e: &mut Endpoints) {
        e.client_ip = e.client_ip.map(|ip: IpAddr| self.address(ip));
        e.server_ip = e.server_ip.map(|ip: IpAddr| self.address(ip));
    }

    fn fields(&mut self, f: &mut RequestFields) {
        let domain = is_host(f);
        let (protocol, endpoint_is_host) = (f.l7_protocol, matches!(f.l7_protocol, "dns" | "nbns"));
        if !f.request_domain.is_empty() {
            f.request_domain = if domain { self.host(&f.request_domain).into() } else { f.request_domain.clone() };
        }
        // Keys of caches name whose data they hold; topics and subjects may.
        let keyed = matches!(protocol, "redis" | "memcached");
        let topics = matches!(
            protocol,
            "mqtt" | "nats" | "kafka" | "amqp" | "pulsar" | "rocketmq" | "openwire" | "zmtp" | "websphere_mq"
        );
        let mut one = |text: &mut Box<str>| {
            if !text.is_empty() {
                *text = match (endpoint_is_host, keyed || topics) {
                    (true, _) => self.host(text).into(),
                    (false, true) => self.key(text, keyed).into(),
                    (false, false) => self.text(text).into(),
                };
            }
        };
        one(&mut f.request_resource);
        one(&mut f.endpoint);
        for text in [&mut f.exception, &mut f.result, &mut f.user_agent] {
            if !text.is_empty() {
                *text = if protocol == "dns" { self.answers(text).into() } else { self.text(text).into() };
            }
        }
        for (name, value) in &mut f.attributes {
            *value = match *name {
                name if USERS.contains(&name) => self.user(value),
                name if HOSTS.contains(&name) => self.host(value).into(),
                _ => self.text(value).into(),
            };
        }
    }

    /// DNS answers: `TYPE=data TTL=n; ...`, whose data are names and addresses.
    fn answers(&mut self, text: &str) -> String {
        let records: Vec<String> = text
            .split("; ")
            .map(|record| match record.split_once('=') {
                Some((kind @ ("CNAME" | "NS" | "PTR" | "MX" | "SRV"), data)) => {
                    let words: Vec<String> = data
                        .split(' ')
                        .map(|w| {
                            if w.contains('=') || w.bytes().all(|b| b.is_ascii_digit()) {
                                w.to_owned()
                            } else {
                                self.host(w)
                            }
                        })
                        .collect();
                    format!("{kind}={}", words.join(" "))
                }
                Some((kind @ ("TXT" | "SOA"), _)) => format!("{kind}={}", self.name(Kind::Value, record)),
                Some((kind, data)) => format!("{kind}={}", self.text(data)),
                None => self.text(record),
            })
            .collect();
        records.join("; ")
    }
}

/// Whether `request_domain` is the name of a host rather than of a database or a virtual host of a broker.
fn is_host(f: &RequestFields) -> bool {
    matches!(
        f.l7_protocol,
        "http"
            | "http2"
            | "grpc"
            | "websocket"
            | "tls"
            | "dtls"
            | "quic"
            | "fastcgi"
            | "uwsgi"
            | "dns"
            | "nbns"
            | "smtp"
    )
}

fn mac_of(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
