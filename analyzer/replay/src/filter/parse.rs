//! From text to a condition, by the grammar of pcap-filter(7).

mod comparison;

use super::FilterError;
use super::expr::{Join, Node, Over, Relation, Test, Value, Way};
use super::names;
use crate::decode::TunnelKind;
use crate::order::{MAPPED, ip_number};
use std::net::{IpAddr, Ipv4Addr};

/// Parentheses and negations in one another at most.
const DEEPEST: usize = 64;
/// Whose words pcap-filter has and this has not.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("gateway", "write `ether host MAC and not host IP`"),
    ("protochain", "write `ip6 proto N`: extension headers are passed over anyway"),
    ("type", "802.11 frame types cannot be filtered"),
    ("subtype", "802.11 frame types cannot be filtered"),
    ("wlan", "write `ether host MAC`"),
    ("ifname", "filter the table's column `interface` instead"),
    ("rnr", "it is about firewall logs"),
    ("iso", "it is no IP"),
];

/// What a primitive is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Ether,
    Over(Over),
    Protocol(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    Range,
    Proto,
}

/// The keywords before a name or number; the next one without keywords takes them over.
#[derive(Clone, Copy, Debug, Default)]
struct Qualifiers {
    about: Option<About>,
    way: Option<Way>,
    kind: Option<Kind>,
}

pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
    let mut p = Parser { text, at: 0, deep: 0, last: None };
    p.blanks();
    if p.rest().is_empty() {
        return Ok(Node::All);
    }
    let node = p.chain()?;
    if p.rest().starts_with(')') {
        return Err(p.wrong(p.at, "there is no `(` that belongs to this `)`".into()));
    }
    if !p.rest().is_empty() {
        let what = format!("expected `and`, `or` or the end, not `{}`", p.token());
        return Err(p.wrong(p.at, what));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes.
    at: usize,
    deep: usize,
    last: Option<Qualifiers>,
}

type Parsed<T> = Result<T, FilterError>;

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '/' | '\\' | '%')
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn wrong(&self, at: usize, what: String) -> FilterError {
        let at = self.text.get(..at).map_or(0, |before| before.chars().count());
        FilterError { text: self.text.to_owned(), at, what }
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// What stands here, for messages.
    fn token(&self) -> &'a str {
        let rest = self.rest();
        let word = self.word();
        if word.is_empty() { rest.chars().next().map_or("", |c| rest.get(..c.len_utf8()).unwrap_or("")) } else { word }
    }

    /// The word that stands here.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        rest.get(..rest.find(|c| !is_word(c)).unwrap_or(rest.len())).unwrap_or("")
    }

    fn is(&self, word: &str) -> bool {
        self.word().eq_ignore_ascii_case(word)
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.blanks();
    }

    /// Takes a word if it stands here.
    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.skip(word.len());
        }
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.skip(symbol.len());
        }
        found
    }

    fn join(&mut self) -> Option<Join> {
        if self.take_symbol("&&") || self.take("and") {
            Some(Join::And)
        } else if self.take_symbol("||") || self.take("or") {
            Some(Join::Or)
        } else {
            None
        }
    }

    fn chain(&mut self) -> Parsed<Node> {
        let first = self.factor()?;
        let mut rest = Vec::new();
        while let Some(join) = self.join() {
            rest.push((join, self.factor()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) })
    }

    fn factor(&mut self) -> Parsed<Node> {
        self.deep += 1;
        if self.deep > DEEPEST {
            return Err(self.wrong(self.at, format!("more than {DEEPEST} parentheses and negations in one another")));
        }
        let node = if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.skip(1);
            Node::Not(Box::new(self.factor()?))
        } else if self.take("not") {
            Node::Not(Box::new(self.factor()?))
        } else if self.is_comparison() {
            self.comparison()?
        } else if self.rest().starts_with('(') {
            let open = self.at;
            self.skip(1);
            let node = self.chain()?;
            if !self.take_symbol(")") {
                return Err(self.wrong(open, "this `(` is not closed: add `)`".into()));
            }
            node
        } else {
            Node::Test(self.primitive()?)
        };
        self.deep -= 1;
        Ok(node)
    }

    fn primitive(&mut self) -> Parsed<Test> {
        let from = self.at;
        let word = self.word().to_ascii_lowercase();
        if word.is_empty() {
            let found = self.token();
            let what = if found.is_empty() {
                "something is missing at the end: `host ADDRESS`, `port NUMBER`, `tcp`, ...".into()
            } else {
                format!("expected `host ADDRESS`, `port NUMBER`, `tcp`, ..., not `{found}`")
            };
            return Err(self.wrong(from, what));
        }
        if matches!(word.as_str(), "and" | "or") {
            return Err(self.wrong(from, format!("there is nothing before this `{word}` that it could join")));
        }
        if let Some((_, instead)) = UNSUPPORTED.iter().find(|(w, _)| *w == word) {
            return Err(self.wrong(from, format!("`{word}` is not supported: {instead}")));
        }
        if let Some(test) = self.alone(&word)? {
            self.last = None;
            return Ok(test);
        }
        let mut q = Qualifiers::default();
        let named = self.about(&word);
        if let Some(about) = named {
            q.about = Some(about);
            self.skip(word.len());
            if self.is("multicast") || self.is("broadcast") {
                return self.group(q.about);
            }
        }
        self.way(&mut q)?;
        let kind = match self.word().to_ascii_lowercase().as_str() {
            "host" => Some(Kind::Host),
            "net" => Some(Kind::Net),
            "port" => Some(Kind::Port),
            "portrange" => Some(Kind::Range),
            "proto" => Some(Kind::Proto),
            _ => None,
        };
        if kind.is_some() {
            self.skip(self.word().len());
            q.kind = kind;
        } else if let Some((_, instead)) = UNSUPPORTED.iter().find(|(w, _)| self.is(w)) {
            return Err(self.wrong(self.at, format!("`{}` is not supported: {instead}", self.word())));
        }
        if q.kind.is_none() && q.way.is_none() {
            if let Some(about) = named {
                self.last = None;
                return match about {
                    About::Over(over) => Ok(Test::Network(over)),
                    About::Protocol(p) => Ok(Test::Protocol { over: Over::Any, protocol: p }),
                    About::Ether => Err(self
                        .wrong(self.at, "`ether` needs `host MAC`, `proto TYPE`, `multicast` or `broadcast`".into())),
                };
            }
            // A name or number alone: the keywords before it are meant again.
            q = self.last.unwrap_or_default();
        }
        self.last = Some(q);
        self.named(q)
    }

    /// Primitives of one word, with a number behind it at most.
    fn alone(&mut self, word: &str) -> Parsed<Option<Test>> {
        let from = self.at;
        let test = match word {
            "less" | "greater" => {
                self.skip(word.len());
                let n = self.number("a length in bytes", u32::MAX)?;
                let relation = if word == "less" { Relation::LessOrEqual } else { Relation::GreaterOrEqual };
                Test::Compare(Value::Length, relation, Value::Number(n))
            }
            "vlan" => {
                self.skip(word.len());
                Test::Vlan(self.optional_number(4095)?.map(|n| n as u16))
            }
            "mpls" => {
                self.skip(word.len());
                Test::Mpls(self.optional_number(0xf_ffff)?)
            }
            "pppoes" => {
                self.skip(word.len());
                Test::Pppoe(self.optional_number(0xffff)?.map(|n| n as u16))
            }
            "vxlan" => {
                self.skip(word.len());
                let id = self.optional_number(0xff_ffff)?.map(u64::from);
                Test::Tunnel { kinds: &[TunnelKind::Vxlan, TunnelKind::VxlanGpe], id }
            }
            "geneve" => {
                self.skip(word.len());
                Test::Tunnel { kinds: &[TunnelKind::Geneve], id: self.optional_number(0xff_ffff)?.map(u64::from) }
            }
            "pppoed" => self.word_test(word, Test::PppoeDiscovery),
            "multicast" | "broadcast" => self.group(Some(About::Ether))?,
            "inbound" => self.word_test(word, Test::Direction(1)),
            "outbound" => self.word_test(word, Test::Direction(2)),
            "len" => {
                let what = "`len` is compared: `len <= 100`, or `less 100`".to_owned();
                return Err(self.wrong(from, what));
            }
            _ => return Ok(None),
        };
        Ok(Some(test))
    }

    fn word_test(&mut self, word: &str, test: Test) -> Test {
        self.skip(word.len());
        test
    }

    fn about(&self, word: &str) -> Option<About> {
        Some(match word {
            "ether" | "link" | "fddi" | "tr" => About::Ether,
            "ip" => About::Over(Over::Ip),
            "ip6" => About::Over(Over::Ip6),
            "arp" => About::Over(Over::Arp),
            "rarp" => About::Over(Over::Rarp),
            "tcp" | "udp" | "sctp" | "icmp" | "icmp6" | "igmp" | "esp" | "ah" | "pim" | "vrrp" | "gre" => {
                About::Protocol(names::protocol(word)?)
            }
            _ => return None,
        })
    }

    fn group(&mut self, about: Option<About>) -> Parsed<Test> {
        let (from, broadcast) = (self.at, self.is("broadcast"));
        self.skip(self.word().len());
        match (about, broadcast) {
            (Some(About::Ether), false) => Ok(Test::EtherMulticast),
            (Some(About::Ether), true) => Ok(Test::EtherBroadcast),
            (Some(About::Over(over @ (Over::Ip | Over::Ip6))), false) => Ok(Test::Multicast(over)),
            (_, true) => Err(self.wrong(
                from,
                "a broadcast address needs the net's mask: write `ether broadcast`, or `dst host ADDRESS`".into(),
            )),
            _ => Err(self.wrong(from, "`multicast` goes with `ether`, `ip` or `ip6`".into())),
        }
    }

    /// `src`, `dst`, `src or dst`, `src and dst`.
    fn way(&mut self, q: &mut Qualifiers) -> Parsed<()> {
        let first = if self.take("src") {
            Way::Source
        } else if self.take("dst") {
            Way::Destination
        } else {
            return Ok(());
        };
        q.way = Some(first);
        let other = if first == Way::Source { "dst" } else { "src" };
        if self.is("or") || self.is("and") {
            let joined = if self.is("or") { Way::Either } else { Way::Both };
            let at = self.at;
            self.skip(self.word().len());
            if !self.take(other) {
                return Err(self.wrong(at, format!("expected an address or port, or `{other}` behind it")));
            }
            q.way = Some(joined);
        }
        Ok(())
    }

    /// The name or number, and with it the primitive.
    fn named(&mut self, q: Qualifiers) -> Parsed<Test> {
        let at = self.at;
        let way = q.way.unwrap_or_default();
        let kind = q.kind.unwrap_or(Kind::Host);
        let word = self.word();
        if word.is_empty() || matches!(word, "and" | "or" | "not") {
            let example = match kind {
                Kind::Host => "an address: `host 10.0.0.1`",
                Kind::Net => "a network: `net 10.0.0.0/8`",
                Kind::Port => "a port: `port 443`",
                Kind::Range => "two ports: `portrange 8000-8099`",
                Kind::Proto => "a protocol: `proto 47`",
            };
            return Err(self.wrong(at, format!("expected {example}")));
        }
        match (kind, q.about) {
            (Kind::Port | Kind::Range, None | Some(About::Protocol(6 | 17 | 132))) => {
                let protocol = match q.about {
                    Some(About::Protocol(p)) => Some(p),
                    _ => None,
                };
                let (from, to) = if kind == Kind::Port { self.port(word).map(|p| (p, p))? } else { self.range(word)? };
                self.skip(word.len());
                Ok(Test::Port { protocol, way, from, to })
            }
            (Kind::Port | Kind::Range, Some(_)) => {
                Err(self.wrong(at, "ports are those of `tcp`, `udp` or `sctp`: write `ip and port 80`".into()))
            }
            (Kind::Host | Kind::Net, Some(About::Protocol(_))) => {
                let what = if q.kind.is_none() {
                    format!("write `port {word}`")
                } else {
                    "join them: `tcp and host 10.0.0.1`".into()
                };
                Err(self.wrong(at, format!("a protocol above IP has no addresses: {what}")))
            }
            (Kind::Host, Some(About::Ether)) => {
                let mac = self.mac(word)?;
                self.skip(word.len());
                Ok(Test::Mac { way, mac })
            }
            (Kind::Net, Some(About::Ether)) => {
                Err(self.wrong(at, "`ether net` is not a thing: write `ether host MAC`".into()))
            }
            (Kind::Host | Kind::Net, about) => {
                let over = if let Some(About::Over(over)) = about { over } else { Over::Any };
                let (net, mask) = if kind == Kind::Host { self.host(word)? } else { self.net(word)? };
                Ok(Test::Net { over, way, net, mask })
            }
            (Kind::Proto, about) => {
                let name = word.strip_prefix('\\').unwrap_or(word);
                let number = number(name);
                let test = match about {
                    Some(About::Ether) => {
                        let e = names::ethertype(name).or_else(|| u16::try_from(number?).ok());
                        e.map(Test::Ethertype)
                    }
                    None | Some(About::Over(Over::Ip | Over::Ip6)) => {
                        let over = if let Some(About::Over(over)) = about { over } else { Over::Any };
                        let p = names::protocol(name).or_else(|| u8::try_from(number?).ok());
                        p.map(|protocol| Test::Protocol { over, protocol })
                    }
                    Some(_) => return Err(self.wrong(at, "`proto` goes with `ip`, `ip6` or `ether`".into())),
                };
                self.skip(word.len());
                test.ok_or_else(|| self.wrong(at, format!("`{word}` is no protocol known by name: give its number")))
            }
        }
    }

    fn port(&self, word: &str) -> Parsed<u16> {
        names::port(word).or_else(|| u16::try_from(number(word)?).ok()).ok_or_else(|| {
            let what = if number(word).is_some() {
                format!("`{word}` is no port: they end at 65535")
            } else if word.contains('-') {
                format!("`{word}` is no port: write `portrange {word}`")
            } else {
                format!("`{word}` is no port known by name: give its number")
            };
            self.wrong(self.at, what)
        })
    }

    fn range(&self, word: &str) -> Parsed<(u16, u16)> {
        let split = word.split_once('-').or_else(|| word.split_once(':')).unwrap_or((word, word));
        let (a, b) = (self.port(split.0)?, self.port(split.1)?);
        Ok((a.min(b), a.max(b)))
    }

    fn mac(&self, word: &str) -> Parsed<[u8; 6]> {
        let mut mac = [0; 6];
        let mut parts = word.split([':', '-', '.']);
        let mut ok = true;
        for byte in &mut mac {
            let part = parts.next().filter(|p| (1..=2).contains(&p.len()));
            match part.and_then(|p| u8::from_str_radix(p, 16).ok()) {
                Some(b) => *byte = b,
                None => ok = false,
            }
        }
        if ok && parts.next().is_none() {
            return Ok(mac);
        }
        Err(self.wrong(self.at, format!("`{word}` is no hardware address: write it as `02:00:5e:10:00:01`")))
    }

    /// An address; a part of an IPv4 address stands for the network that begins so.
    fn host(&mut self, word: &str) -> Parsed<(u128, u128)> {
        if word.contains('/') {
            return Err(self.wrong(self.at, format!("`{word}` is a network: write `net {word}`")));
        }
        let address = self.address(word)?;
        self.skip(word.len());
        Ok(address)
    }

    /// Address and mask of an address that may be shortened: `10.1` is `10.1.0.0/16`.
    fn address(&self, word: &str) -> Parsed<(u128, u128)> {
        if let Ok(ip) = word.parse::<IpAddr>() {
            return Ok((ip_number(ip), u128::MAX));
        }
        let parts: Option<Vec<u8>> = word.split('.').map(|p| p.parse().ok()).collect();
        let what = match parts {
            Some(parts) if (2..4).contains(&parts.len()) || parts.len() == 1 && self.is_net() => {
                let mut octets = [0; 4];
                octets.iter_mut().zip(&parts).for_each(|(to, from)| *to = *from);
                return Ok((ip_number(Ipv4Addr::from(octets).into()), prefix_mask(96 + 8 * parts.len() as u32)));
            }
            Some(_) => format!("`{word}` is no address: write `port {word}` or `proto {word}`"),
            None if word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':') => {
                format!("`{word}` is no address")
            }
            None if self.last.is_some_and(|l| l.kind.is_some()) => {
                format!("names are not looked up: give the address of `{word}`")
            }
            None => format!(
                "`{word}` is not known: use host, net, port, portrange, src, dst, proto, tcp, udp, icmp, icmp6, sctp, ip, ip6, arp, \
                 ether, vlan, less, greater, and, or, not"
            ),
        };
        Err(self.wrong(self.at, what))
    }

    fn is_net(&self) -> bool {
        self.last.is_some_and(|l| l.kind == Some(Kind::Net))
    }

    fn net(&mut self, word: &str) -> Parsed<(u128, u128)> {
        let at = self.at;
        let (address, len) = word.split_once('/').map_or((word, None), |(a, l)| (a, Some(l)));
        let (net, mut mask) = self.address(address)?;
        let is_v4 = net >> 32 == MAPPED >> 32;
        if let Some(len) = len {
            let most: u32 = if is_v4 { 32 } else { 128 };
            let bits = len.parse::<u32>().ok().filter(|n| *n <= most);
            let Some(bits) = bits else {
                return Err(self.wrong(at + address.len() + 1, format!("a prefix length is a number from 0 to {most}")));
            };
            mask = prefix_mask(bits + 128 - most);
        }
        self.skip(word.len());
        if len.is_none() && self.take("mask") {
            let word = self.word();
            match word.parse::<Ipv4Addr>() {
                Ok(m) if is_v4 => mask = u128::MAX << 32 | u128::from(u32::from(m)),
                _ => {
                    return Err(
                        self.wrong(self.at, "a mask looks like `255.255.0.0`; of IPv6 give a prefix length".into())
                    );
                }
            }
            self.skip(word.len());
        }
        if net & !mask != 0 {
            let right = crate::order::ip_from_number(net & mask);
            return Err(self.wrong(
                at,
                format!("bits are set behind the network's part: write `net {right}...`, or `host {address}`"),
            ));
        }
        Ok((net, mask))
    }

    fn number(&mut self, what: &str, most: u32) -> Parsed<u32> {
        let word = self.word();
        let n = number(word).filter(|n| *n <= most);
        let n = n.ok_or_else(|| self.wrong(self.at, format!("expected {what}, not `{}`", self.token())))?;
        self.skip(word.len());
        Ok(n)
    }

    fn optional_number(&mut self, most: u32) -> Parsed<Option<u32>> {
        if !self.word().starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(None);
        }
        self.number(&format!("a number up to {most}"), most).map(Some)
    }
}

/// The first `bits` of 128.
fn prefix_mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)
}

/// Decimal, or hexadecimal behind `0x`.
fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if word.bytes().all(|b| b.is_ascii_digit()) => word.parse().ok(),
        None => None,
    }
}
