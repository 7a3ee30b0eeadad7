//! What recording adds to a system call, in nanoseconds: each workload bare and recorded, in many short
//! batches of which the 10th percentile counts, so that other load on the machine matters little.
//! `cargo run --release -p recorder --example hook_cost [-- NAME...]` as root.

use recorder::bpf::{HookConfig, Session};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Batches per workload and their length.
const BATCHES: usize = 300;
const BATCH: Duration = Duration::from_micros(1500);

struct Workload {
    name: &'static str,
    /// Calls of one round that are recorded.
    captured: f64,
    step: Box<dyn FnMut()>,
}

fn workloads() -> std::io::Result<Vec<Workload>> {
    let mut list: Vec<Workload> = Vec::new();
    let mut add = |name, captured, step: Box<dyn FnMut()>| list.push(Workload { name, captured, step });
    let data = [7u8; 256];
    // SAFETY: no arguments.
    add("getppid", 1.0, Box::new(|| unsafe { _ = libc::syscall(libc::SYS_getppid) }));
    let mut null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    add("write 256 B to /dev/null", 1.0, Box::new(move || _ = null.write(&data)));

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut full = TcpStream::connect(listener.local_addr()?)?;
    let _keep = Box::leak(Box::new(listener.accept()?));
    full.set_nonblocking(true)?;
    while full.write(&[0; 65536]).is_ok() {}
    add("send 256 B, TCP buffer full", 1.0, Box::new(move || _ = full.write(&data)));

    let (mut a, mut b) = UnixStream::pair()?;
    let mut buffer = [0u8; 256];
    add(
        "UNIX write + read 256 B",
        2.0,
        Box::new(move || {
            _ = a.write(&data);
            _ = b.read(&mut buffer);
        }),
    );

    let (x, y) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let to = y.local_addr()?;
    let mut buffer = [0u8; 256];
    add(
        "UDP sendto + recvfrom 256 B",
        2.0,
        Box::new(move || {
            _ = x.send_to(&data, to);
            _ = y.recv_from(&mut buffer);
        }),
    );

    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut buffer = [0u8; 256];
    add(
        "TCP write + read 256 B, loopback",
        2.0,
        Box::new(move || {
            _ = client.write(&data);
            _ = server.read(&mut buffer);
        }),
    );
    let _ = data.as_ptr() as usize + listener.as_raw_fd() as usize;
    Ok(list)
}

/// Time of a round in a good batch, ns.
fn measure(w: &mut Workload) -> f64 {
    let mut rounds = 1u32;
    let batch = |w: &mut Workload, rounds: u32| {
        let start = Instant::now();
        for _ in 0..rounds {
            (w.step)();
        }
        start.elapsed()
    };
    while batch(w, rounds) < BATCH {
        rounds *= 2;
    }
    let mut times: Vec<f64> = (0..BATCHES).map(|_| batch(w, rounds).as_nanos() as f64 / f64::from(rounds)).collect();
    times.sort_by(f64::total_cmp);
    times.get(BATCHES / 10).copied().unwrap_or(0.0)
}

/// The workloads run in a child: the recorder never records itself.
fn child(names: &[String]) -> std::io::Result<()> {
    for w in &mut workloads()? {
        if names.is_empty() || names.iter().any(|n| w.name.contains(n.as_str())) {
            let ns = measure(w);
            println!("{}\t{}\t{ns}", w.name, w.captured);
        }
    }
    Ok(())
}

type Line = (String, f64, f64);

fn run_child(names: &[String]) -> anyhow::Result<Vec<Line>> {
    let out = std::process::Command::new(std::env::current_exe()?).arg("--child").args(names).output()?;
    let text = String::from_utf8(out.stdout)?;
    let parse = |line: &str| {
        let mut f = line.split('\t');
        Some((f.next()?.to_owned(), f.next()?.parse().ok()?, f.next()?.parse().ok()?))
    };
    Ok(text.lines().filter_map(parse).collect())
}

fn recorded(config: &HookConfig, names: &[String], stats: bool) -> anyhow::Result<Vec<Line>> {
    let mut session = Session::start(config)?;
    if stats {
        session.enable_stats()?;
    }
    for hook in session.hooks().iter().filter(|h| !h.attached) {
        println!("not attached: {} {}: {}", hook.program, hook.target, hook.error);
    }
    let stop = AtomicBool::new(false);
    let lines = std::thread::scope(|scope| {
        let drain = scope.spawn(|| {
            let (mut records, mut bytes, mut fullest) = (0, 0, 0f64);
            while !stop.load(Ordering::Relaxed) {
                let s = session.drain(&mut |_, _| {});
                records += s.records;
                bytes += s.bytes;
                fullest = fullest.max(s.fullest);
                std::thread::sleep(Duration::from_millis(2));
            }
            let lost: u64 = session.losses().iter().map(|l| l.2).sum();
            println!("  {records} records, {bytes} bytes, fullest ring {:.0} %, lost {lost}", fullest * 100.0);
            if stats {
                for c in session.program_costs() {
                    println!("  {:>20} {:>9} runs {:>6.0} ns", c.name, c.runs, c.run_ns as f64 / c.runs as f64);
                }
            }
        });
        let lines = run_child(names);
        stop.store(true, Ordering::Relaxed);
        _ = drain.join();
        lines
    })?;
    Ok(lines)
}

fn main() -> anyhow::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.first().is_some_and(|n| n == "--child") {
        return Ok(child(&names[1..])?);
    }
    let stats = names.iter().any(|n| n == "--stats");
    names.retain(|n| n != "--stats");
    let calls =
        HookConfig { packets: false, socket_state: false, stacks: false, process: false, ..HookConfig::default() };
    let bare = run_child(&names)?;
    println!("system calls only:");
    let only_calls = recorded(&calls, &names, stats)?;
    println!("everything:");
    let all = recorded(&HookConfig::default(), &names, stats)?;
    println!(
        "\nns per call {:<26} {:>8} {:>12} {:>10} {:>12} {:>10}",
        "", "bare", "system calls", "added", "everything", "added"
    );
    for ((b, c), a) in bare.iter().zip(&only_calls).zip(&all) {
        let n = b.1;
        println!(
            "{:<38} {:>8.0} {:>12.0} {:>10.0} {:>12.0} {:>10.0}",
            b.0,
            b.2 / n,
            c.2 / n,
            (c.2 - b.2) / n,
            a.2 / n,
            (a.2 - b.2) / n
        );
    }
    Ok(())
}
