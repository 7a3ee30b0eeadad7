//! What the made-up recording says of its node: processes, interfaces, kernel events, hooks, cost.

use super::{HOSTILE, MS, NGINX, POSTGRES, PYTHON, REDIS, SECOND, START, ip};
use formats::facts::{ProgramCost, RecorderCost};
use formats::manifest::{Hook, Manifest, Settings};
use replay::model::*;

pub(super) fn facts(r: &mut Replayed) {
    let tiers = [NGINX, PYTHON, REDIS, POSTGRES];
    r.processes = tiers
        .iter()
        .map(|t| Process {
            pid: t.pid,
            ppid: 1,
            name: t.name.into(),
            command_line: format!("/usr/bin/{} --config /etc/{}.conf {HOSTILE}", t.name, t.name),
            exe: format!("/usr/bin/{}", t.name),
            cgroup: format!("/system.slice/{}.service", t.name),
            uid: Some(33),
            netns: 4_026_531_840,
            start: Some(START - 3_600 * SECOND),
            cpu_samples: r.stacks.iter().filter(|s| s.pid == t.pid).map(|s| s.samples).sum(),
            socket_read_bytes: 12_345_678,
            socket_write_bytes: 98_765_432,
            ..Default::default()
        })
        .collect();
    r.interfaces = vec![Interface {
        id: 0,
        node: 0,
        name: "eth0".into(),
        kind: "veth".into(),
        netns: 4_026_531_840,
        ifindex: 2,
        mac: "02:42:0a:00:00:02".into(),
        mtu: 1_500,
        addresses: vec!["10.0.0.2/24".into(), "fe80::42:aff:fe00:2/64".into()],
        link_type: 1,
        packets: 60_120,
        bytes: 34_000_000,
        undecoded: [("truncated", 3)].into(),
    }];
    let events = ["retransmit", "reset_received", "drop", "retransmit", "reset_sent"];
    for (n, event) in events.iter().cycle().take(40).enumerate() {
        let flow = r.flows.get(1 + n % 3 * 3);
        r.socket_events.push(SocketEvent {
            node: 0,
            ts: START + n as i64 * 1_400 * MS,
            event,
            transport: Transport::Tcp,
            local_ip: ip(233),
            local_port: 80,
            remote_ip: ip(132),
            remote_port: 40_000 + n as u16,
            old_state: "ESTABLISHED",
            new_state: "ESTABLISHED",
            reason: match *event {
                "drop" => ["TCP_INVALID_SEQUENCE", "NO_SOCKET"][n % 2].into(),
                _ => "".into(),
            },
            location: if *event == "drop" { "tcp_v4_rcv".into() } else { "".into() },
            len: 1_448,
            seq: None,
            outbound: false,
            pid: 1_001,
            netns: 4_026_531_840,
            flow_id: flow.map(|f| f.flow_id),
        });
    }
    r.health = vec![Health {
        kind: "socket_data".into(),
        cpu: Some(1),
        first: Some(START + 33 * SECOND),
        last: Some(START + 33 * SECOND + 400 * MS),
        lost: 1_234,
        cause: "ring_full".into(),
    }];
}

pub(super) fn manifest() -> Manifest {
    let hook = |program: &str, target: &str, error: &str| Hook {
        program: program.into(),
        target: target.into(),
        attached: error.is_empty(),
        error: error.into(),
    };
    Manifest {
        format_version: 1,
        recorder: "hindsight-record 0.1.0".into(),
        command_line: ["record", "--duration", "60s"].map(Into::into).into(),
        hostname: "web-1".into(),
        kernel_release: "6.18.5".into(),
        machine: "x86_64".into(),
        os: "Debian GNU/Linux 12 (bookworm)".into(),
        cpus: 2,
        memory_bytes: 25_769_803_776,
        start_realtime_ns: START as u64,
        settings: Settings {
            payload_bytes: 512,
            snaplen: 192,
            sample_hz: 99,
            packets: true,
            syscalls: true,
            stacks: true,
            duration_ns: 60_000_000_000,
            ..Default::default()
        },
        hooks: vec![
            hook("enter_write", "tracepoint:syscalls:sys_enter_write", ""),
            hook("sample", "perf:cpu-clock", ""),
            hook("drop", "tp_btf:kfree_skb", "this kernel has no BTF for it (EINVAL)"),
        ],
        missing: vec!["Drop reasons: the kernel's tracepoint kfree_skb could not be attached.".into()],
        privacy: vec![
            "Payload: the first 512 bytes of every read and write on sockets.".into(),
            "Command lines: arguments that look like secrets are masked.".into(),
        ],
        ..Default::default()
    }
}

pub(super) fn cost() -> RecorderCost {
    RecorderCost {
        cpu_ns: 1_240_000_000,
        max_rss_bytes: 48_000_000,
        map_bytes: 33_554_432,
        written_bytes: 9_400_000,
        content_bytes: 41_000_000,
        programs: ["enter_write", "exit_write", "sample"]
            .iter()
            .enumerate()
            .map(|(i, name)| ProgramCost {
                name: (*name).into(),
                runs: 91_000 * (i as u64 + 1),
                run_ns: 33_000_000 * (i as u64 + 1),
                misses: 0,
            })
            .collect(),
        ..Default::default()
    }
}
