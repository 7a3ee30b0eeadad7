//! What a filter is made of, and whether it holds.

use super::Truth;
use super::layers::{Facts, Layer, Network, Ports};
use crate::decode::TunnelKind;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Lets everything through.
    All,
    Test(Test),
    Not(Box<Node>),
    /// From left to right, `and` and `or` alike.
    Chain(Box<Node>, Vec<(Join, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
}

/// Which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    Source,
    Destination,
    #[default]
    Either,
    Both,
}

impl Way {
    fn holds(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source || destination,
            Self::Both => source && destination,
        }
    }
}

/// Which network layers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Any,
    Ip,
    Ip6,
    Arp,
    Rarp,
}

impl Over {
    fn includes(self, network: Network) -> bool {
        match self {
            Self::Any => true,
            Self::Ip => network == Network::V4,
            Self::Ip6 => network == Network::V6,
            Self::Arp => network == Network::Arp,
            Self::Rarp => network == Network::Rarp,
        }
    }
}

/// A primitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// An address, after a mask; both as [`crate::order::ip_number`] has them.
    Net {
        over: Over,
        way: Way,
        net: u128,
        mask: u128,
    },
    /// A port in a range, of one protocol or of any that has ports.
    Port {
        protocol: Option<u8>,
        way: Way,
        from: u16,
        to: u16,
    },
    /// An IP protocol.
    Protocol {
        over: Over,
        protocol: u8,
    },
    Network(Over),
    Ethertype(u16),
    Mac {
        way: Way,
        mac: [u8; 6],
    },
    /// The link layer's destination is a group.
    EtherMulticast,
    EtherBroadcast,
    Multicast(Over),
    Vlan(Option<u16>),
    Mpls(Option<u32>),
    Pppoe(Option<u16>),
    PppoeDiscovery,
    Tunnel {
        kinds: &'static [TunnelKind],
        id: Option<u64>,
    },
    Direction(u8),
    Compare(Value, Relation, Value),
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Header that bytes are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Link,
    Network(Over),
    Transport(u8),
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    Left,
    Right,
}

/// A number, as 32 bits without sign, which is how BPF counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u32),
    Length,
    Bytes { base: Base, at: Box<Value>, len: u8 },
    Compute(Box<Value>, Operation, Box<Value>),
}

impl Node {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Truth {
        match self {
            Self::All => Truth::Yes,
            Self::Test(test) => test.holds(facts),
            Self::Not(node) => !node.holds(facts),
            Self::Chain(first, rest) => rest.iter().fold(first.holds(facts), |left, (join, node)| match (join, left) {
                (Join::And, Truth::No) | (Join::Or, Truth::Yes) => left,
                (Join::And, Truth::Yes) | (Join::Or, Truth::No) => node.holds(facts),
                (Join::And, Truth::Unknown) => match node.holds(facts) {
                    Truth::No => Truth::No,
                    _ => Truth::Unknown,
                },
                (Join::Or, Truth::Unknown) => match node.holds(facts) {
                    Truth::Yes => Truth::Yes,
                    _ => Truth::Unknown,
                },
            }),
        }
    }
}

impl Test {
    fn holds(&self, facts: &Facts<'_>) -> Truth {
        // What a cut frame does not show may have been anything; what an event has no place for is not there.
        let unless_cut = |yes: bool| match (yes, facts.is_cut) {
            (true, _) => Truth::Yes,
            (false, true) => Truth::Unknown,
            (false, false) => Truth::No,
        };
        match self {
            &Self::Net { over, way, net, mask } => unless_cut(
                facts.layers().any(|l| over.includes(l.network) && way.holds(l.src & mask == net, l.dst & mask == net)),
            ),
            &Self::Port { protocol, way, from, to } => self.port(facts, protocol, way, from, to),
            &Self::Protocol { over, protocol } => {
                unless_cut(facts.layers().any(|l| over.includes(l.network) && l.protocol == Some(protocol)))
            }
            &Self::Network(over) => {
                unless_cut(
                    over == Over::Any || facts.layers().any(|l| over.includes(l.network)) || {
                        // ARP of other hardware, and IP headers that were cut.
                        let ethertype = match over {
                            Over::Ip => 0x0800,
                            Over::Ip6 => 0x86dd,
                            Over::Arp => 0x0806,
                            _ => 0x8035,
                        };
                        facts.ethertype == ethertype
                    },
                )
            }
            &Self::Ethertype(e) => unless_cut(facts.ethertype == e || facts.first_ethertype == e),
            &Self::Mac { way, mac } => {
                let is = |end: Option<[u8; 6]>| end == Some(mac);
                Truth::of(way.holds(is(facts.mac_src), is(facts.mac_dst)))
            }
            Self::EtherMulticast => Truth::of(facts.mac_dst.is_some_and(|m| m[0] & 1 == 1)),
            Self::EtherBroadcast => Truth::of(facts.mac_dst == Some([0xff; 6])),
            &Self::Multicast(over) => unless_cut(facts.layers().any(|l| over.includes(l.network) && is_multicast(&l))),
            &Self::Vlan(id) => Truth::of(is_among(facts.vlans.get(..facts.vlan_count), id)),
            &Self::Mpls(label) => Truth::of(is_among(facts.labels.get(..facts.label_count), label)),
            &Self::Pppoe(id) => Truth::of(facts.pppoe.is_some() && (id.is_none() || facts.pppoe == id)),
            Self::PppoeDiscovery => Truth::of(facts.ethertype == 0x8863),
            &Self::Tunnel { kinds, id } => unless_cut(facts.is_in(kinds, id)),
            &Self::Direction(d) => Truth::of(facts.direction == d),
            Self::Compare(left, relation, right) => match (left.of(facts), right.of(facts)) {
                (Some(a), Some(b)) => Truth::of(match relation {
                    Relation::Less => a < b,
                    Relation::LessOrEqual => a <= b,
                    Relation::Equal => a == b,
                    Relation::NotEqual => a != b,
                    Relation::GreaterOrEqual => a >= b,
                    Relation::Greater => a > b,
                }),
                // BPF gives a packet up where a byte is not there, and asks for the header's protocol before.
                _ if self.asks_for_absent(facts) => Truth::No,
                _ => Truth::Unknown,
            },
        }
    }

    fn port(&self, facts: &Facts<'_>, protocol: Option<u8>, way: Way, from: u16, to: u16) -> Truth {
        let mut elsewhere = facts.is_cut;
        for layer in facts.layers() {
            if protocol.is_some() && layer.protocol != protocol {
                continue;
            }
            match layer.ports {
                Ports::Known(src, dst) => {
                    if way.holds((from..=to).contains(&src), (from..=to).contains(&dst)) {
                        return Truth::Yes;
                    }
                }
                Ports::Elsewhere => elsewhere = true,
                Ports::None => {}
            }
        }
        if elsewhere { Truth::Unknown } else { Truth::No }
    }

    /// A comparison asks for bytes of a header that the packet does not have.
    fn asks_for_absent(&self, facts: &Facts<'_>) -> bool {
        let Self::Compare(left, _, right) = self else { return false };
        !facts.is_cut && (left.is_absent(facts) || right.is_absent(facts))
    }
}

fn is_among<T: PartialEq>(there: Option<&[T]>, wanted: Option<T>) -> bool {
    let there = there.unwrap_or(&[]);
    wanted.map_or(!there.is_empty(), |wanted| there.contains(&wanted))
}

fn is_multicast(layer: &Layer) -> bool {
    match layer.network {
        // As libpcap has it, which takes the broadcast address in.
        Network::V4 => (layer.dst >> 24) & 0xff >= 224,
        Network::V6 => layer.dst >> 120 == 0xff,
        Network::Arp | Network::Rarp => false,
    }
}

impl Base {
    fn at(self, facts: &Facts<'_>) -> Option<usize> {
        let outermost = facts.outermost;
        match self {
            Self::Link => (!facts.bytes.is_empty()).then_some(0),
            Self::Network(over) => outermost.filter(|l| over.includes(l.network)).and(facts.network_at),
            Self::Transport(protocol) => outermost.filter(|l| l.protocol == Some(protocol)).and(facts.transport_at),
        }
    }
}

impl Value {
    fn of(&self, facts: &Facts<'_>) -> Option<u32> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Length => facts.wire_len,
            Self::Bytes { base, at, len } => {
                let at = base.at(facts)?.checked_add(at.of(facts)? as usize)?;
                let bytes = facts.bytes.get(at..at.checked_add(usize::from(*len))?)?;
                Some(bytes.iter().fold(0, |n, &b| n << 8 | u32::from(b)))
            }
            Self::Compute(a, operation, b) => {
                let (a, b) = (a.of(facts)?, b.of(facts)?);
                match operation {
                    Operation::Add => Some(a.wrapping_add(b)),
                    Operation::Subtract => Some(a.wrapping_sub(b)),
                    Operation::Multiply => Some(a.wrapping_mul(b)),
                    Operation::Divide => a.checked_div(b),
                    Operation::Remainder => a.checked_rem(b),
                    Operation::And => Some(a & b),
                    Operation::Or => Some(a | b),
                    Operation::Xor => Some(a ^ b),
                    Operation::Left => Some(a.checked_shl(b).unwrap_or(0)),
                    Operation::Right => Some(a.checked_shr(b).unwrap_or(0)),
                }
            }
        }
    }

    fn is_absent(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Number(_) | Self::Length => false,
            Self::Bytes { base, at, .. } => base.at(facts).is_none() || at.is_absent(facts),
            Self::Compute(a, _, b) => a.is_absent(facts) || b.is_absent(facts),
        }
    }
}
