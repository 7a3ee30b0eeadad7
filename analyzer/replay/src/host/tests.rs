use super::*;
use crate::model::Transport;
use formats::event::RecordHeader;

const OFFSET: i64 = 1_000_000;

fn host(facts: &str) -> Host {
    let mut host = Host::new();
    host.set_offset(OFFSET);
    assert_eq!(host.block(block::kind::PROCESSES, facts.as_bytes()), 0);
    host
}

fn comm(name: &str) -> [u8; 16] {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

fn hdr(kind: u16, fixed: usize, ts: u64, pid: u32) -> RecordHeader {
    let fixed = u16::try_from(fixed).unwrap();
    RecordHeader { len: u32::from(fixed), kind, fixed_len: fixed, ts, pid, tid: pid }
}

fn fork(ts: u64, parent: u32, child: u32, name: &str) -> Vec<u8> {
    let hdr = hdr(kind::PROCESS_FORK, size_of::<ProcessFork>(), ts, parent);
    ProcessFork { hdr, child_pid: child, child_tid: child, comm: comm(name), ..ProcessFork::default() }
        .as_bytes()
        .to_vec()
}

fn exec(ts: u64, pid: u32, path: &str, args: &[&str]) -> Vec<u8> {
    let hdr = hdr(kind::PROCESS_EXEC, size_of::<ProcessExec>(), ts, pid);
    let name = path.rsplit('/').next().unwrap();
    let args: Vec<u8> = args.iter().flat_map(|a| a.bytes().chain([0])).collect();
    let exec = ProcessExec {
        hdr,
        parent_pid: 1,
        uid: 33,
        filename_len: u16::try_from(path.len()).unwrap(),
        args_len: u16::try_from(args.len()).unwrap(),
        comm: comm(name),
        ..ProcessExec::default()
    };
    let mut bytes = exec.as_bytes().to_vec();
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(&args);
    bytes
}

fn exit(ts: u64, pid: u32, code: i32) -> Vec<u8> {
    let hdr = hdr(kind::PROCESS_EXIT, size_of::<ProcessExit>(), ts, pid);
    ProcessExit { hdr, exit_code: code, group_dead: 1, comm: comm("late") }.as_bytes().to_vec()
}

fn name_at(host: &Host, pid: u32, monotonic: i64) -> String {
    host.process_at(pid, OFFSET + monotonic).map(|p| p.name.to_string()).unwrap_or_default()
}

#[test]
fn one_id_is_different_processes_in_turn() {
    let mut host = host("{\"pid\":50,\"comm\":\"old\",\"start_ns\":5}\n");
    let mut records = vec![
        exit(100, 50, 256),
        fork(200, 1, 50, "sh"),
        exec(250, 50, "/usr/bin/curl", &["curl", "http://u:pw@h/", "--token", "abc"]),
        exit(300, 50, 9),
        fork(400, 1, 50, "new"),
    ];
    // Records of different CPUs come in any order.
    records.reverse();
    for record in &records {
        host.record(record);
    }
    for (ts, name) in [(50, "old"), (150, "old"), (220, "sh"), (260, "curl"), (399, "curl"), (401, "new")] {
        assert_eq!(name_at(&host, 50, ts), name, "at {ts}");
    }
    assert_eq!(host.process_at(51, 0), None);
    let processes = host.processes();
    let rows: Vec<_> = processes.iter().map(|p| (&*p.name, p.start, p.end, p.exit_code)).collect();
    let at = |ts: i64| Some(OFFSET + ts);
    assert_eq!(
        rows,
        [("old", at(5), at(100), Some(256)), ("curl", at(200), at(300), Some(9)), ("new", at(400), None, None)]
    );
    assert_eq!(processes[1].command_line, "curl http://u:***@h/ --token ***");
    assert_eq!((processes[1].exe.as_str(), processes[1].uid), ("/usr/bin/curl", Some(33)));
    assert_eq!(host.ended(50, OFFSET + 260), at(300));
    assert_eq!(host.ended(50, OFFSET + 500), None);
}

#[test]
fn threads_have_names_of_their_own() {
    let mut host =
        host("{\"pid\":7,\"comm\":\"java\",\"threads\":{\"8\":\"GC\"},\"container\":\"0123456789abcdef\"}\n");
    let mut thread = ProcessFork::read(&fork(10, 7, 7, "java")).unwrap();
    thread.child_tid = 9;
    host.record(thread.as_bytes());
    assert_eq!(host.thread_name(7, 8).as_deref(), Some("GC"));
    assert_eq!(host.thread_name(7, 9).as_deref(), Some("java"));
    assert_eq!(host.processes().len(), 1);
    assert_eq!(&*host.process_at(7, OFFSET).unwrap().container, "0123456789ab");
}

#[test]
fn bad_lines_are_counted_and_the_rest_is_kept() {
    let mut host = Host::new();
    let text = b"{\"pid\":1,\"comm\":\"init\"}\nnot json\n\n{\"pid\":2,\"comm\":\"x\",\"unknown\":[1]}";
    assert_eq!(host.block(block::kind::PROCESSES, text), 1);
    assert_eq!(host.processes().len(), 2);
    assert_eq!(host.block(block::kind::MANIFEST, b"{"), 0);
}

#[test]
fn sockets_are_found_by_address() {
    let mut host = Host::new();
    let lines = concat!(
        "{\"transport\":\"tcp\",\"local_addr\":\"0.0.0.0\",\"local_port\":80,\"remote_addr\":\"0.0.0.0\",",
        "\"state\":\"LISTEN\",\"netns\":7,\"owners\":[[12,3],[11,3]]}\n",
        "{\"transport\":\"tcp\",\"local_addr\":\"::ffff:10.0.0.1\",\"local_port\":80,\"remote_addr\":\"10.0.0.2\",",
        "\"remote_port\":4000,\"state\":\"ESTAB\",\"netns\":7,\"owners\":[[12,5]]}\n",
        "{\"transport\":\"unix\",\"local_addr\":\"/run/x\"}\n",
    );
    assert_eq!(host.block(block::kind::SOCKETS, lines.as_bytes()), 0);
    let sockets = host.sockets();
    assert_eq!(sockets.listener(7, Transport::Tcp, 80), Some(11));
    assert_eq!(sockets.listener(8, Transport::Tcp, 80), None);
    let (a, b) = (("10.0.0.1".parse().unwrap(), 80), ("10.0.0.2".parse().unwrap(), 4000));
    assert_eq!(sockets.holder(7, Transport::Tcp, a, b), Some(12));
    assert_eq!(sockets.holder(7, Transport::Tcp, b, a), None);
    assert_eq!(sockets.listening(), [(7, Transport::Tcp, 80)]);
}

#[test]
fn secrets_in_arguments_are_masked() {
    let arguments: Vec<String> = [
        "app",
        "--db-password=x",
        "--password",
        "hunter2",
        "API_KEY=k",
        "--token",
        "--verbose",
        "redis://:pw@h:1/0",
        "a=b",
        "https://h/p?x=1",
    ]
    .map(String::from)
    .to_vec();
    let expected = [
        "app",
        "--db-password=***",
        "--password",
        "***",
        "API_KEY=***",
        "--token",
        "--verbose",
        "redis://:***@h:1/0",
        "a=b",
        "https://h/p?x=1",
    ];
    assert_eq!(secrets::mask(&arguments), expected);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), kind in 0u16..9) {
        let mut host = Host::new();
        let mut bytes = bytes;
        if bytes.len() > 8 {
            bytes[4..6].copy_from_slice(&kind.to_le_bytes());
        }
        host.record(&bytes);
        for kind in 0x100..0x10c {
            host.block(kind, &bytes);
        }
        let _ = host.processes();
    }
}
