//! What recording costs: per hooked call (see recorder/examples/hook_cost.rs) and of nginx's throughput, next to
//! tcpdump, perf and strace on the same load in the same run.

use super::median;
use crate::cargo;
use anyhow::{Context, Result, bail};
use e2e::children::{Guard, wait_until};
use e2e::netns::NetNs;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ROUNDS: usize = 3;
const PORT: u16 = 8080;

pub(crate) fn run() -> Result<()> {
    let programs = cargo::build_programs(true)?;
    cargo::cargo(&["run", "--quiet", "--release", "-p", "recorder", "--example", "hook_cost"])?;
    nginx(&programs)
}

/// nginx under wrk, both on these cores, with each recorder in turn; rounds interleaved, so that drift hits all alike.
fn nginx(programs: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hs-bench-").tempdir()?;
    let dir = folder.path();
    let ns = NetNs::new("bench")?;
    let config = dir.join("nginx.conf");
    fs::write(
        &config,
        format!(
            "daemon off; pid {0}/pid; user root; worker_processes 1; error_log stderr;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
  scgi_temp_path {0}/s; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{PORT}; location / {{ return 200 \"{1}\"; }} }} }}
",
            dir.display(),
            "x".repeat(600)
        ),
    )?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(&config).arg("-p").arg(dir).args(["-e", "stderr"]);
    ns.enter(&mut command);
    let nginx = Guard::start("nginx", &mut command, None)?;
    ns.run(|| wait_until("nginx", Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", PORT)).is_ok()))??;

    let file = |name: &str| dir.join(name).display().to_string();
    let record = programs.join("record").display().to_string();
    let contenders: Vec<(&str, Vec<String>)> = vec![
        ("nothing", vec![]),
        ("record (defaults)", vec![record.clone(), "-o".into(), file("b.zst")]),
        ("record --no-packets", vec![record, "--no-packets".into(), "-o".into(), file("n.zst")]),
        (
            "tcpdump -i lo -s 192 -w",
            ["tcpdump", "-i", "lo", "-s", "192", "-w"].map(String::from).into_iter().chain([file("t.pcap")]).collect(),
        ),
        (
            "perf record -F 99 -g -a",
            ["perf", "record", "-F", "99", "-g", "-a", "-o"]
                .map(String::from)
                .into_iter()
                .chain([file("perf.data")])
                .collect(),
        ),
        ("strace -f (nginx's network calls)", vec![]),
    ];
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((name, words), rates) in contenders.iter().zip(&mut rates) {
            let words = if name.starts_with("strace") { strace(&file("s.txt"), &nginx)? } else { words.clone() };
            rates.push(round(&ns, name, &words)?);
            for left in ["b.zst", "n.zst", "t.pcap", "perf.data", "s.txt"] {
                let _ = fs::remove_file(dir.join(left));
            }
        }
    }
    println!(
        "\nnginx (1 worker, 600-byte answers) under `wrk -t1 -c16 -d4s`, both on this machine; median of {ROUNDS} interleaved rounds\n"
    );
    println!("{:<36} {:>12} {:>10}", "recorded by", "requests/s", "ratio");
    let bare = median(rates[0].clone());
    for ((name, _), rates) in contenders.iter().zip(rates) {
        let rate = median(rates);
        println!("{name:<36} {rate:>12.0} {:>9.1}%", 100.0 * rate / bare);
    }
    Ok(())
}

fn strace(log: &str, nginx: &Guard) -> Result<Vec<String>> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.pid()))?;
    let worker = children.split_whitespace().next().context("nginx has no worker")?;
    Ok(["strace", "-f", "-e", "trace=network,read,readv,write,writev", "-o", log, "-p", worker]
        .map(String::from)
        .to_vec())
}

/// One load of wrk while `words` runs; requests per second.
fn round(ns: &NetNs, name: &str, words: &[String]) -> Result<f64> {
    let mut recorder = match words.split_first() {
        None => None,
        Some((program, rest)) => {
            let mut command = Command::new(program);
            command.args(rest);
            ns.enter(&mut command);
            let guard = Guard::start(name, &mut command, None)?;
            std::thread::sleep(Duration::from_millis(1500)); // attached by then
            Some(guard)
        }
    };
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d4s", &format!("http://127.0.0.1:{PORT}/")]);
    let out = ns.enter(&mut wrk).output().context("running wrk")?;
    if let Some(recorder) = &mut recorder {
        if !recorder.alive() {
            bail!("{name} ended before its load did");
        }
        recorder.signal(libc::SIGINT);
        let _ = recorder.wait(Duration::from_secs(20));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let rate = text.lines().find_map(|l| l.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.with_context(|| format!("wrk said: {text} {}", String::from_utf8_lossy(&out.stderr)))
}
