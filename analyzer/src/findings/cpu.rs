//! Whether the CPUs had time to spare, and who took it.

use super::{Finding, Severity, short};
use crate::analysis::Analysis;
use crate::human;

/// Share of all CPUs from which on they count as busy.
const BUSY: f64 = 0.8;
/// Fewer samples say little.
const FEWEST: f64 = 100.0;

pub(super) fn findings(a: &Analysis) -> Option<Finding> {
    let r = &a.replayed;
    let m = r.manifest.as_ref().filter(|m| r.nodes.len() <= 1 && m.settings.sample_hz > 0)?;
    let hot = crate::summary::hot(&r.stacks);
    let samples: u64 = hot.iter().map(|h| h.samples).sum();
    let all = f64::from(m.settings.sample_hz) * f64::from(m.cpus) * a.length_ns() as f64 / 1e9;
    if all < FEWEST || (samples as f64) < BUSY * all {
        return None;
    }
    // Samples come a little faster or slower than asked for: shares are of those that came where they are more.
    let all = all.max(samples as f64);
    let share = |n: u64| human::percent(n as f64 / all);
    let who: Vec<String> = hot
        .iter()
        .take(3)
        .filter(|h| h.samples as f64 >= 0.01 * all)
        .map(|h| {
            let hottest = h.functions.first().filter(|f| f.1 * 5 >= h.samples && !f.0.is_empty());
            let hottest = hottest.map(|f| format!(" (mostly {})", short(f.0))).unwrap_or_default();
            format!("{} {}{hottest}", h.process, share(h.samples))
        })
        .collect();
    Some(Finding {
        severity: Severity::Low,
        kind: "cpu",
        subject: "node".into(),
        statement: format!("The CPUs were busy {} of the time: {}", share(samples), who.join(", ")),
        evidence: Vec::new(),
        next_step: "the flame graphs of these processes: report section CPU",
        section: "cpu",
        impact: samples,
    })
}
