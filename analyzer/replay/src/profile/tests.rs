use super::demangle::demangle;
use super::*;
use formats::block::kind as block_kind;
use formats::event::{RecordHeader, kind};

fn sample(pid: u32, tid: u32, comm: &str, kernel: &[u64], user: &[u64]) -> Vec<u8> {
    let fixed = size_of::<StackSample>();
    let len = fixed + (kernel.len() + user.len()) * 8;
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm.as_bytes());
    let sample = StackSample {
        hdr: RecordHeader {
            len: u32::try_from(len).unwrap(),
            kind: kind::STACK_SAMPLE,
            fixed_len: u16::try_from(fixed).unwrap(),
            ts: 1000,
            pid,
            tid,
        },
        period: 10_000_000,
        kernel_len: u16::try_from(kernel.len() * 8).unwrap(),
        user_len: u16::try_from(user.len() * 8).unwrap(),
        user_error: 0,
        comm: name,
    };
    let mut bytes = sample.as_bytes().to_vec();
    for address in kernel.iter().chain(user) {
        bytes.extend_from_slice(&address.to_le_bytes());
    }
    bytes
}

fn host() -> Host {
    let mut host = Host::new();
    host.block(block_kind::PROCESSES, b"{\"pid\":5,\"comm\":\"app\"}\n{\"pid\":6,\"comm\":\"node\"}\n");
    let mappings = concat!(
        "{\"pid\":5,\"start\":4096,\"end\":8192,\"file_offset\":100,\"path\":\"/usr/bin/app\",\"build_id\":\"ab\"}\n",
        "{\"pid\":5,\"start\":20480,\"end\":24576,\"path\":\"/opt/lib;x.so\"}\n",
        "{\"pid\":5,\"start\":32768,\"end\":36864,\"path\":\"[vdso]\"}\n",
        "{\"pid\":6,\"start\":4096,\"end\":8192}\n",
    );
    assert_eq!(host.block(block_kind::MAPPINGS, mappings.as_bytes()), 0);
    let symbols = concat!(
        "{\"space\":\"kernel\",\"offset\":18446744071562067968,\"name\":\"do_syscall_64\"}\n",
        "{\"space\":\"file\",\"object\":\"ab\",\"offset\":100,\"name\":\"_ZN3app4main17h0123456789abcdefE\"}\n",
        "{\"space\":\"file\",\"object\":\"ab\",\"offset\":200,\"name\":\"_ZN3foo3barEi\"}\n",
        "{\"space\":\"file\",\"object\":\"ab\",\"offset\":201,\"name\":\"_ZN3foo3barEi\"}\n",
        "{\"space\":\"perf_map\",\"object\":\"6\",\"offset\":5000,\"name\":\"LazyCompile:~f a;b\"}\n",
    );
    assert_eq!(host.block(block_kind::SYMBOLS, symbols.as_bytes()), 0);
    host
}

#[test]
fn equal_stacks_are_one_row_root_first() {
    let mut stacks = Stacks::new();
    let kernel = [0xffff_ffff_8000_0000_u64, 0xffff_ffff_8000_1000];
    stacks.record(&sample(5, 5, "app", &kernel, &[4196, 4096]));
    // Another address of the same function.
    stacks.record(&sample(5, 5, "app", &kernel, &[4197, 4096]));
    stacks.record(&sample(5, 8, "worker", &[], &[20500, 32770, 9]));
    stacks.record(&sample(6, 6, "node", &[], &[5000, 5001]));
    assert_eq!(stacks.samples_by_pid(), BTreeMap::from([(5, 3), (6, 1)]));
    let rows = stacks.finish(&host(), &Served::default());
    let rows: Vec<_> =
        rows.iter().map(|s| (&*s.process, s.tid, &*s.thread, &*s.frames, s.samples, s.value_ns)).collect();
    assert_eq!(
        rows,
        [
            ("app", 5, "app", "app::main;foo::bar;[unknown]_[k];do_syscall_64_[k]", 2, 20_000_000),
            ("app", 8, "worker", "[unknown];[vdso+0x2];[lib?x.so+0x14]", 1, 10_000_000),
            ("node", 6, "node", "[unknown];LazyCompile:~f a,b", 1, 10_000_000),
        ]
    );
}

#[test]
fn memory_is_bounded_and_no_sample_is_lost() {
    let mut stacks = Stacks { limit: 2000, ..Stacks::default() };
    for i in 0..1000u64 {
        stacks.record(&sample(5, 5, "app", &[], &[1 << 40 | i, 4096]));
    }
    assert!(stacks.sums.len() < 20);
    let rows = stacks.finish(&host(), &Served::default());
    assert_eq!(rows.iter().map(|r| r.samples).sum::<u64>(), 1000);
    assert!(rows.iter().any(|r| &*r.frames == NOT_KEPT && r.samples > 900));
}

/// A thread that serves one request after the other, and one that serves two at once.
#[test]
fn samples_belong_to_the_request_that_their_thread_serves() {
    use crate::link::LinkOptions;
    use crate::socket::build::{Node, get, host as processes, ok, replay_with};
    let mut script = Node::new();
    let (one, client) = ((5, 5), (9, 9));
    let (mut up, mut down) = script.tcp("10.0.0.9:40000", "10.0.0.5:80");
    let mut times = Vec::new();
    for path in ["/a/1", "/b/2"] {
        script.send(client, &mut up, one, &mut down, &get(path));
        times.push(script.now);
        script.wait(1_000_000);
        script.send(one, &mut down, client, &mut up, &ok("x"));
        script.wait(1_000_000);
    }
    let records = script.sorted();
    let replayed = replay_with(&records, &processes(&[(5, "app"), (9, "curl")]), LinkOptions::default());
    let served = Served::new(&replayed, 0);
    let host = processes(&[(5, "app")]);
    let at = |ts: u64| served.at(5, 5, host.utc(ts));
    assert_eq!((at(times[0] + 500_000).endpoint, at(times[1] + 500_000).endpoint), ("/a/1", "/b/2"));
    // Between the answer and the next request, and on another thread.
    assert_eq!(at(times[1] - 800_000).endpoint, "");
    assert_eq!(served.at(5, 6, host.utc(times[0] + 500_000)).endpoint, "");

    let mut stacks = Stacks::new();
    for (ts, n) in [(times[0] + 500_000, 2), (times[1] + 500_000, 3), (times[1] - 800_000, 1)] {
        for _ in 0..n {
            let mut record = sample(5, 5, "app", &[], &[4096]);
            record[8..16].copy_from_slice(&ts.to_le_bytes());
            stacks.record(&record);
        }
    }
    let rows = stacks.finish(&host, &served);
    let rows: Vec<_> = rows.iter().map(|r| (&*r.endpoint, r.request_id.is_some(), r.samples, r.value_ns)).collect();
    assert_eq!(rows, [("", false, 1, 10_000_000), ("/a/1", true, 2, 20_000_000), ("/b/2", true, 3, 30_000_000)]);
}

#[test]
fn names_are_demangled() {
    for (mangled, name) in [
        ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"),
        ("_ZN3foo3barEv.cold", "foo::bar.cold"),
        ("_ZNK5boost4asio6detailE", "boost::asio::detail"),
        ("main", "main"),
        ("_Zgarbage", "_Zgarbage"),
        ("", ""),
        ("a;b\nc", "a,b?c"),
    ] {
        assert_eq!(demangle(mangled), name);
    }
}

/// Substitutions that refer to each other double the text with every few bytes.
#[test]
fn a_name_that_explodes_is_cut() {
    let mut bomb = "_Z1fSt4pairIiiE".to_owned();
    for i in 0..25 {
        let id = char::from_digit(i, 36).unwrap().to_ascii_uppercase();
        bomb.push_str(&format!("St4pairIS{id}_S{id}_E"));
    }
    assert!(demangle(&bomb).len() <= 1024 + 16);
}

proptest::proptest! {
    #[test]
    fn any_name_and_any_record_is_taken(name in "(_Z|_R|_ZN)?[A-Za-z0-9_.$]{0,60}", bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        proptest::prop_assert!(demangle(&name).len() <= 4 * 1024);
        let mut stacks = Stacks::new();
        let mut bytes = bytes;
        if bytes.len() > 8 {
            bytes[4..6].copy_from_slice(&kind::STACK_SAMPLE.to_le_bytes());
        }
        stacks.record(&bytes);
        let rows = stacks.finish(&host(), &Served::default());
        proptest::prop_assert!(rows.len() <= 1);
    }
}
