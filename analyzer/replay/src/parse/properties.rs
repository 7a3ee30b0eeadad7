//! What must hold for every protocol: any chopping of a conversation gives the same sessions, any prefix gives a prefix
//! of them, and neither garbage nor gaps make a parser panic or loop.

use super::script::{end, line, say};
use super::{Conversation, Session};
use crate::model::{Completeness, Side, Transport};
use proptest::prelude::*;

type Script = Vec<(Side, Vec<u8>)>;

fn samples() -> Vec<(&'static str, u16, Script)> {
    vec![
        ("http", 80, super::http1::tests::sample()),
        ("redis", 6379, super::redis::tests::sample()),
        ("postgresql", 5432, super::postgresql::tests::sample()),
        ("mysql", 3306, super::mysql::tests::sample()),
        ("mysql", 3306, super::mysql::tests::compressed_sample()),
        ("http2", 50051, super::http2::tests::sample()),
        ("tls", 443, super::tls::tests::sample()),
        ("mongodb", 27017, super::mongodb::tests::sample()),
        ("memcached", 11211, super::memcached::tests::sample()),
        ("mqtt", 1883, super::mqtt::tests::sample()),
        ("nats", 4222, super::nats::tests::sample()),
        ("amqp", 5672, super::amqp::tests::sample()),
        ("amqp", 5672, super::amqp1::tests::sample()),
        ("kafka", 9092, super::kafka::tests::sample()),
        ("fastcgi", 9000, super::fastcgi::tests::sample()),
        ("dubbo", 20880, super::dubbo::tests::sample()),
        ("thrift", 9090, super::thrift::tests::sample()),
        ("cassandra", 9042, super::cassandra::tests::sample()),
        ("cassandra", 9042, super::cassandra::tests::segmented_sample()),
        ("smtp", 25, super::smtp::tests::sample()),
        ("ldap", 389, super::ldap::tests::sample()),
        ("pop3", 110, super::pop3::tests::sample()),
        ("imap", 143, super::imap::tests::sample()),
        ("dns", 53, super::dns::tests::sample()),
        ("brpc", 8000, super::brpc::tests::sample()),
        ("zookeeper", 2181, super::zookeeper::tests::sample()),
        ("pulsar", 6650, super::pulsar::tests::sample()),
        ("rocketmq", 10911, super::rocketmq::tests::sample()),
        ("tars", 18000, super::tars::tests::sample()),
        ("tds", 1433, super::tds::tests::sample()),
        ("openwire", 61616, super::openwire::tests::sample()),
        ("sofarpc", 12200, super::sofarpc::tests::sample()),
        ("trpc", 8001, super::trpc::tests::sample()),
        ("oracle", 1521, super::oracle::tests::sample()),
        ("websphere_mq", 1414, super::websphere_mq::tests::sample()),
        ("dameng", 5236, super::dameng::tests::sample()),
        ("iso8583", 5000, super::iso8583::tests::sample()),
        ("zmtp", 5555, super::zmtp::tests::sample()),
        ("some_ip", 30501, super::some_ip::tests::sample()),
        ("websocket", 80, super::websocket::tests::sample()),
        ("websocket", 80, super::websocket::tests::mqtt_sample()),
        ("openvpn", 1194, super::openvpn::tests::sample()),
        ("syslog", 514, super::syslog::tests::stream_sample()),
        ("mysqlx", 33060, super::mysqlx::tests::sample()),
        ("proxy", 8080, super::proxy::tests::sample()),
        ("sip", 5060, super::sip::tests::sample()),
        ("rtsp", 554, super::sip::tests::rtsp_sample()),
        ("smb", 445, super::smb::tests::sample()),
        ("uwsgi", 3031, super::uwsgi::tests::sample()),
    ]
}

/// Protocols of datagrams, one a turn.
fn datagrams() -> Vec<(&'static str, Transport, u16, Script)> {
    let dns = super::dns::tests::sample();
    // Over TCP each message has its length in front.
    let bare = dns.into_iter().flat_map(|(side, data)| {
        let mut rest = data.as_slice();
        let mut messages = Vec::new();
        while let Some((length, more)) = rest.split_first_chunk::<2>() {
            let (message, tail) = more.split_at(usize::from(u16::from_be_bytes(*length)).min(more.len()));
            messages.push((side, message.to_vec()));
            rest = tail;
        }
        messages
    });
    vec![
        ("dns", Transport::Udp, 53, bare.collect()),
        ("nbns", Transport::Udp, 137, super::dns::tests::netbios_sample()),
        ("ssdp", Transport::Udp, 1900, super::sip::tests::ssdp_sample()),
        ("dhcp", Transport::Udp, 67, super::dhcp::tests::sample()),
        ("snmp", Transport::Udp, 161, super::snmp::tests::sample()),
        ("syslog", Transport::Udp, 514, super::syslog::tests::sample()),
        ("radius", Transport::Udp, 1812, super::radius::tests::sample()),
        ("ntp", Transport::Udp, 123, super::ntp::tests::sample()),
        ("quic", Transport::Udp, 443, super::quic::tests::sample()),
        ("quic", Transport::Udp, 443, super::quic::tests::google_sample()),
        ("dtls", Transport::Udp, 443, super::dtls::tests::sample()),
        ("openvpn", Transport::Udp, 1194, super::openvpn::tests::datagrams()),
        ("icmp", Transport::Icmp, 0, super::icmp::tests::sample()),
    ]
}

/// Bytes of every turn that are kept: a snaplen of 192, 96 or 64 less 54 bytes of headers.
const SNAPLENS: [usize; 3] = [138, 42, 10];

/// Cuts every turn at the given places (each modulo its length).
fn chopped(script: &Script, port: u16, cuts: &[usize]) -> Vec<Session> {
    let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
    let mut cut = cuts.iter().cycle();
    for (turn, (from, data)) in script.iter().enumerate() {
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let len = cut.next().map_or(rest.len(), |cut| cut % rest.len() + 1);
            let (piece, tail) = rest.split_at(len);
            say(&mut conversation, *from, piece, 0, turn);
            rest = tail;
        }
    }
    end(conversation, script.len())
}

/// What a session says, with sizes.
fn full(session: &Session) -> String {
    format!("{} {} {}", line(session), session.request_bytes, session.response_bytes)
}

/// A protocol without a sample would be held to none of what follows.
#[test]
fn every_protocol_has_a_sample() {
    let known: Vec<&str> =
        samples().iter().map(|(name, ..)| *name).chain(datagrams().iter().map(|(name, ..)| *name)).collect();
    for protocol in super::registry::ALL {
        assert!(known.contains(&protocol.name), "{} has no sample in parse/properties.rs", protocol.name);
    }
    assert!(super::registry::ALL.len() < 64, "a bit each in a word");
}

/// Each protocol's sample is among the inputs that fuzzing starts from, as `fuzz/targets.rs` reads them: two bytes of port, a byte that is
/// odd for UDP, and of each turn two bytes (side and length) and its data. `BLESS=1` writes what is missing.
#[test]
fn every_protocol_has_a_seed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/protocols");
    let streams = samples().into_iter().map(|(name, port, script)| (name, port, 0_u8, script));
    let packets = datagrams()
        .into_iter()
        .filter(|(_, transport, ..)| *transport == Transport::Udp)
        .map(|(name, _, port, script)| (name, port, 1_u8, script));
    let mut of_name = std::collections::HashMap::new();
    for (name, port, udp, script) in streams.chain(packets) {
        let nth = of_name.entry((name, udp)).and_modify(|nth| *nth += 1).or_insert(1);
        let more = if *nth > 1 { format!("-{nth}") } else { String::new() };
        let mut seed = port.to_be_bytes().to_vec();
        seed.push(udp);
        for (from, data) in script {
            for piece in data.chunks(0x3fff) {
                let [high, low] = u16::try_from(piece.len()).unwrap().to_be_bytes();
                seed.extend([if from == Side::Server { high | 0x80 } else { high }, low]);
                seed.extend(piece);
            }
        }
        let path = folder.join(format!("seed-{name}{}{more}", if udp == 1 { "-udp" } else { "" }));
        if !path.exists() && std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &seed).unwrap();
        }
        assert!(path.exists(), "{} is missing: BLESS=1 cargo test -p replay every_protocol_has_a_seed", path.display());
    }
}

#[test]
fn byte_by_byte() {
    for (name, port, script) in samples() {
        let whole: Vec<String> = chopped(&script, port, &[]).iter().map(full).collect();
        assert!(!whole.is_empty(), "{name}");
        // These carry others, or are carried.
        let prefix = if matches!(name, "http2" | "websocket" | "proxy" | "openvpn") { "" } else { name };
        assert!(whole.iter().all(|line| line.starts_with(prefix)), "{whole:#?}");
        let single: Vec<String> = chopped(&script, port, &[0]).iter().map(full).collect();
        assert_eq!(whole, single, "{name}");
    }
}

#[test]
fn datagrams_cut_anywhere() {
    for (name, transport, port, script) in datagrams() {
        let inner = if name == "openvpn" { "tls" } else { name };
        for keep in (0..200).chain([1 << 16]) {
            let mut conversation = Conversation::new(transport, 40000, port);
            for (turn, (from, data)) in script.iter().enumerate() {
                let kept = keep.min(data.len());
                say(&mut conversation, *from, &data[..kept], data.len() - kept, turn);
            }
            let sessions = end(conversation, script.len());
            assert!(
                sessions.iter().all(|session| [name, inner].contains(&session.fields.l7_protocol)),
                "{name} at {keep}"
            );
            assert!(keep < 200 || !sessions.is_empty(), "{name}");
        }
    }
}

/// Cut to a snaplen, a conversation has no more messages than it has whole (they may no longer find each other: ids are cut away
/// too), and none is larger than what went over the wire.
#[test]
fn snaplens() {
    for (name, port, script) in samples() {
        let count = |sessions: &[Session]| {
            let requests = sessions.iter().filter(|session| session.request_ts.is_some()).count();
            requests + sessions.iter().filter(|session| session.first_byte_ts.is_some()).count()
        };
        let whole = count(&chopped(&script, port, &[]));
        let total: usize = script.iter().map(|(_, data)| data.len()).sum();
        for keep in SNAPLENS {
            let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
            for (turn, (from, data)) in script.iter().enumerate() {
                let kept = keep.min(data.len());
                say(&mut conversation, *from, &data[..kept], data.len() - kept, turn);
            }
            let cut = end(conversation, script.len());
            assert!(count(&cut) <= whole, "{name} at {keep}: {} of {whole}", count(&cut));
            for session in &cut {
                let largest = session.request_bytes.max(session.response_bytes);
                assert!(largest <= total as u64, "{name} at {keep}: {}", full(session));
            }
        }
    }
}

/// What a connection keeps does not grow with what goes over it: requests that nobody answers, and bytes that nobody understands.
#[test]
fn memory_is_bounded() {
    for (name, port, script) in samples() {
        let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
        let client: Vec<u8> =
            script.iter().filter(|(from, _)| *from == Side::Client).flat_map(|(_, data)| data.clone()).collect();
        let mut sessions = Vec::new();
        let mut largest = 0;
        for turn in 0..400 {
            say(&mut conversation, Side::Client, &client, 0, turn);
            say(&mut conversation, Side::Server, &[0xa5; 3000], 0, turn);
            largest = largest.max(conversation.waiting());
            conversation.sessions(&mut sessions);
            sessions.clear();
        }
        assert!(largest <= 2 * super::half::BUFFER_LIMIT + client.len() + 3000, "{name} keeps {largest} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chopping_gives_the_same(cuts in prop::collection::vec(0_usize..400, 1..40)) {
        for (name, port, script) in samples() {
            let whole: Vec<String> = script_lines(&script, port);
            let pieces: Vec<String> = chopped(&script, port, &cuts).iter().map(full).collect();
            prop_assert_eq!(&whole, &pieces, "{}", name);
        }
    }

    #[test]
    fn a_prefix_gives_a_prefix(keep in 0_usize..100, part in 0_usize..2000) {
        for (name, port, script) in samples() {
            let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
            for (turn, (from, data)) in script.iter().enumerate() {
                if turn < keep {
                    say(&mut conversation, *from, data, 0, turn);
                } else if turn == keep {
                    say(&mut conversation, *from, &data[..part.min(data.len())], 0, turn);
                }
            }
            // Not finished: only what is complete comes out.
            let mut sessions = Vec::new();
            conversation.sessions(&mut sessions);
            let some: Vec<String> = sessions.iter().map(full).collect();
            let mut all = Conversation::new(Transport::Tcp, 40000, port);
            for (turn, (from, data)) in script.iter().enumerate() {
                say(&mut all, *from, data, 0, turn);
            }
            let mut sessions = Vec::new();
            all.sessions(&mut sessions);
            let all: Vec<String> = sessions.iter().map(full).collect();
            prop_assert!(all.starts_with(&some), "{}: {:#?} is no prefix of {:#?}", name, some, all);
        }
    }

    #[test]
    fn garbage_is_survived(
        port in prop::sample::select(
            super::registry::ALL.iter().flat_map(|protocol| protocol.ports).copied().collect::<Vec<u16>>()
        ),
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), 0_u32..5000), 0..20),
        datagrams in any::<bool>(),
    ) {
        let transport = if datagrams { Transport::Udp } else { Transport::Tcp };
        let mut conversation = Conversation::new(transport, 40000, port);
        for (turn, (client, data, missing)) in pieces.iter().enumerate() {
            let from = if *client { Side::Client } else { Side::Server };
            say(&mut conversation, from, data, *missing as usize % 3 * 100, turn);
            if missing % 7 == 0 {
                conversation.gap(from, u64::from(*missing), 0, Completeness::GAP);
            }
        }
        end(conversation, pieces.len());
    }

    /// Wherever lengths are, they say something else: 4 GB, 2 GB, a negative number, nothing. Memory stays bounded whatever they promise,
    /// and nothing is larger than what went over the wire.
    #[test]
    fn hostile_lengths_are_survived(
        at in 0_usize..100_000, width in 1_usize..9, byte in prop::sample::select(vec![0xff_u8, 0x7f, 0x80, 0x00]), rest in any::<u8>(),
    ) {
        for (name, port, script) in samples() {
            let (turn, place) = {
                let total: usize = script.iter().map(|(_, data)| data.len()).sum();
                let mut place = at % total;
                let turn = script.iter().position(|(_, data)| {
                    let here = place < data.len();
                    place -= if here { 0 } else { data.len() };
                    here
                });
                (turn.unwrap_or_default(), place)
            };
            let mut script = script;
            if let Some(field) = script.get_mut(turn).and_then(|(_, data)| data.get_mut(place..)) {
                for (n, target) in field.iter_mut().take(width).enumerate() {
                    *target = if n == 0 { byte } else { rest };
                }
            }
            let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
            let mut largest = 0;
            for round in 0..3 {
                for (from, data) in &script {
                    say(&mut conversation, *from, data, 0, round);
                    largest = largest.max(conversation.waiting());
                }
            }
            let longest = script.iter().map(|(_, data)| data.len()).max().unwrap_or_default();
            prop_assert!(largest <= 2 * (super::half::BUFFER_LIMIT + longest), "{} keeps {} bytes", name, largest);
            end(conversation, 3);
        }
    }

    #[test]
    fn damage_is_survived(
        at in 0_usize..100_000, byte in any::<u8>(), drop in 0_usize..100_000, gap in 0_usize..3000, prefix in 1_usize..600,
    ) {
        for (_, port, script) in samples() {
            let total: usize = script.iter().map(|(_, data)| data.len()).sum();
            let mut conversation = Conversation::new(Transport::Tcp, 40000, port);
            let mut place = 0;
            for (turn, (from, data)) in script.iter().enumerate() {
                let mut data = data.clone();
                let hit = at % total;
                if (place..place + data.len()).contains(&hit) {
                    data[hit - place] = byte;
                }
                place += data.len();
                if turn == drop % script.len() {
                    conversation.gap(*from, data.len() as u64, 0, Completeness::GAP);
                    continue;
                }
                let kept = prefix.min(data.len());
                let missing = data.len() - kept;
                say(&mut conversation, *from, &data[..kept], missing, turn);
                if gap % (turn + 2) == 0 {
                    conversation.gap(*from, gap as u64 + 1, 0, Completeness::GAP);
                }
            }
            end(conversation, script.len());
        }
    }
}

fn script_lines(script: &Script, port: u16) -> Vec<String> {
    chopped(script, port, &[]).iter().map(full).collect()
}
