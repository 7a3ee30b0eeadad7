//! The hottest functions of each process.

use replay::model::Stack;
use std::collections::HashMap;

/// What one process (all of that name) spent its CPU time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hot<'a> {
    /// Process name.
    pub process: &'a str,
    /// Samples on CPU.
    pub samples: u64,
    /// Functions by their own samples (callees excluded), most first.
    pub functions: Vec<(&'a str, u64)>,
}

/// Processes by samples on CPU, most first; ties by name.
#[must_use]
pub fn hot(stacks: &[Stack]) -> Vec<Hot<'_>> {
    let mut processes: HashMap<&str, HashMap<&str, u64>> = HashMap::new();
    for stack in stacks.iter().filter(|s| s.kind == "on_cpu") {
        let leaf = stack.frames.rsplit(';').next().unwrap_or_default();
        *processes.entry(&stack.process).or_default().entry(leaf).or_default() += stack.samples;
    }
    let mut out: Vec<Hot<'_>> = processes
        .into_iter()
        .map(|(process, functions)| {
            let mut functions: Vec<(&str, u64)> = functions.into_iter().collect();
            functions.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            Hot { process, samples: functions.iter().map(|f| f.1).sum(), functions }
        })
        .collect();
    out.sort_by(|a, b| b.samples.cmp(&a.samples).then(a.process.cmp(b.process)));
    out
}
