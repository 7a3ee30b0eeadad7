//! Processes that crashed, that ended again and again, or that were started in great number.

use super::{Finding, ROWS, Severity, short};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use replay::model::Process;
use std::collections::BTreeMap;

/// Ends with an error of the same command line, from which on it looks like a restart loop.
const AGAIN: usize = 5;
/// Processes started per second, from which on starting them is work of its own.
const STARTS_PER_SECOND: f64 = 50.0;

/// Signals that a process gets for its own fault, by number and name (signal(7), x86 and arm).
const FAULTS: [(i32, &str); 7] =
    [(3, "SIGQUIT"), (4, "SIGILL"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (11, "SIGSEGV"), (31, "SIGSYS")];

/// The signal that ended a process, if one did.
pub(super) fn signal(p: &Process) -> Option<i32> {
    p.exit_code.map(|code| code & 0x7f).filter(|signal| *signal != 0)
}

/// `SIGABRT`, `signal 40`.
pub(super) fn signal_name(signal: i32) -> String {
    let others = [(1, "SIGHUP"), (2, "SIGINT"), (9, "SIGKILL"), (13, "SIGPIPE"), (14, "SIGALRM"), (15, "SIGTERM")];
    let known = FAULTS.iter().chain(&others).find(|(n, _)| *n == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

fn has_served(p: &Process) -> bool {
    p.socket_read_bytes + p.socket_write_bytes > 0
}

pub(super) fn findings(a: &Analysis) -> Vec<Finding> {
    let r = &a.replayed;
    let mut signals: BTreeMap<(&str, i32), Vec<&Process>> = BTreeMap::new();
    let mut failures: BTreeMap<(&str, &str, u32), Vec<&Process>> = BTreeMap::new();
    let (mut started, mut names): (u64, BTreeMap<&str, u64>) = (0, BTreeMap::new());
    for p in &r.processes {
        if p.start.is_some_and(|at| at >= r.start) {
            started += 1;
            *names.entry(&p.name).or_default() += 1;
        }
        match (signal(p), p.exit_code) {
            // What others end from outside is mostly meant; one that was serving is worth a line.
            (Some(n), _) if FAULTS.iter().any(|f| f.0 == n) || (n == 9 && has_served(p)) => {
                signals.entry((&p.name, n)).or_default().push(p);
            }
            (None, Some(code)) if code != 0 && !p.command_line.is_empty() => {
                failures.entry((&p.name, &p.command_line, p.ppid)).or_default().push(p);
            }
            _ => {}
        }
    }
    let rows = |of: &[&Process]| vec![("processes", of.iter().take(ROWS).map(|p| u64::from(p.pid)).collect())];
    let place = |p: &Process| match (p.container.is_empty(), p.cgroup.as_str()) {
        (false, _) => format!(" in container {}", p.container),
        (true, "" | "/") => String::new(),
        (true, cgroup) => format!(" in cgroup {}", short(cgroup)),
    };
    let mut out = Vec::new();
    for ((name, n), of) in signals {
        let pids: Vec<String> = of.iter().take(3).map(|p| p.pid.to_string()).collect();
        let place = of.first().map(|p| place(p)).unwrap_or_default();
        let (times, signal) = (plural(of.len() as u64, "process").replace("processs", "processes"), signal_name(n));
        out.push(Finding {
            severity: Severity::High,
            kind: "killed",
            subject: name.to_owned(),
            statement: format!("{name}{place}: {times} ended by {signal} (pid {})", pids.join(", ")),
            evidence: rows(&of),
            next_step: "the process' log and core dump, the kernel's log (out of memory, segfault)",
            section: "processes",
            impact: of.len() as u64,
        });
    }
    for ((name, command, parent), of) in failures.into_iter().filter(|(_, of)| of.len() >= AGAIN) {
        let ended =
            (r.processes.iter()).filter(|p| p.command_line == command && p.ppid == parent && p.end.is_some()).count();
        if ended > of.len() {
            continue;
        }
        let status = of.first().and_then(|p| p.exit_code).map_or(0, |code| code >> 8 & 0xff);
        let place = of.first().map(|p| place(p)).unwrap_or_default();
        out.push(Finding {
            severity: Severity::Medium,
            kind: "exits",
            subject: name.to_owned(),
            statement: format!(
                "{name}{place} ended {} times, each time with an error (status {status}): {}",
                human::count(of.len() as u64),
                short(command)
            ),
            evidence: rows(&of),
            next_step: "a restart loop? Its log says why it ends: `analyze processes`",
            section: "processes",
            impact: of.len() as u64,
        });
    }
    let per_second = started as f64 * 1e9 / a.length_ns().max(1) as f64;
    if started >= 100 && per_second >= STARTS_PER_SECOND {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let names: Vec<String> = names.iter().take(3).map(|(name, n)| format!("{name} {}", human::count(*n))).collect();
        out.push(Finding {
            severity: Severity::Low,
            kind: "starts",
            subject: "node".into(),
            statement: format!(
                "{} processes were started, {} per second: {}",
                human::count(started),
                human::rate(per_second),
                names.join(", ")
            ),
            evidence: Vec::new(),
            next_step: "who starts them: `analyze processes`, columns ppid and command_line",
            section: "processes",
            impact: started,
        });
    }
    out.sort_by_key(|f| std::cmp::Reverse((f.severity, f.impact)));
    out
}
