//! One process id through time: the processes that had it, and the names they had.

use formats::facts;
use std::sync::Arc;

/// Moments kept per process id: enough for any real process; a fork loop that reuses one id wins nothing.
const MAX_MOMENTS: usize = 4096;

/// Something that was learnt of a process id.
#[derive(Debug)]
pub(super) enum Moment {
    /// It was created.
    Fork { parent: u32, name: Arc<str> },
    /// It executed a program.
    Exec(Box<Exec>),
    /// It was seen in /proc.
    Fact(Box<facts::Process>),
    /// It ended.
    Exit { code: i32, name: Arc<str> },
}

/// A program started.
#[derive(Debug)]
pub(super) struct Exec {
    pub(super) name: Arc<str>,
    pub(super) exe: String,
    pub(super) arguments: Vec<String>,
    pub(super) parent: u32,
    pub(super) uid: u32,
}

/// One process: from its creation to its end. Times are monotonic ns.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
    pub(super) ppid: u32,
    /// (since, name), by time.
    pub(super) names: Vec<(u64, Arc<str>)>,
    pub(super) exe: String,
    pub(super) arguments: Vec<String>,
    pub(super) build_id: String,
    pub(super) cgroup: String,
    pub(super) container: Arc<str>,
    pub(super) netns: u32,
    pub(super) uid: Option<u32>,
    pub(super) exit_code: Option<i32>,
}

/// Docker's and Kubernetes's short form: what people compare.
const CONTAINER_DIGITS: usize = 12;

impl Life {
    /// Name at a time: the last one taken before, else the first.
    pub(super) fn name_at(&self, ts: u64) -> Arc<str> {
        let after = self.names.partition_point(|n| n.0 <= ts);
        self.names.get(after.saturating_sub(1)).map(|n| n.1.clone()).unwrap_or_default()
    }

    /// The name it was known by in the end.
    pub(super) fn last_name(&self) -> Arc<str> {
        self.names.last().map(|n| n.1.clone()).unwrap_or_default()
    }

    fn take_name(&mut self, ts: u64, name: &str) {
        if !name.is_empty() && self.names.last().is_none_or(|n| &*n.1 != name) {
            self.names.push((ts, name.into()));
        }
    }

    fn take_fact(&mut self, ts: u64, fact: &facts::Process) {
        if self.start.is_none() && fact.start_ns != 0 {
            self.start = Some(fact.start_ns);
        }
        self.take_name(ts, &fact.comm);
        if fact.ppid != 0 {
            self.ppid = fact.ppid;
        }
        if !fact.command_line.is_empty() {
            self.arguments.clone_from(&fact.command_line);
        }
        for (mine, theirs) in
            [(&mut self.exe, &fact.exe), (&mut self.build_id, &fact.build_id), (&mut self.cgroup, &fact.cgroup)]
        {
            if !theirs.is_empty() {
                mine.clone_from(theirs);
            }
        }
        if !fact.container.is_empty() {
            self.container = fact.container.chars().take(CONTAINER_DIGITS).collect::<String>().into();
        }
        if fact.netns != 0 {
            self.netns = fact.netns;
        }
        self.uid = Some(fact.uid);
    }
}

/// All processes that had one id.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    moments: Vec<(u64, Moment)>,
    lives: std::sync::OnceLock<Vec<Life>>,
}

impl Timeline {
    /// Adds what was learnt at `ts`; moments may come in any order. `false` if there are too many.
    pub(super) fn insert(&mut self, ts: u64, moment: Moment) -> bool {
        if self.moments.len() >= MAX_MOMENTS {
            return false;
        }
        self.lives.take();
        let place = self.moments.partition_point(|m| m.0 <= ts);
        self.moments.insert(place, (ts, moment));
        true
    }

    /// The processes, by time.
    pub(super) fn lives(&self) -> &[Life] {
        self.lives.get_or_init(|| build(&self.moments))
    }

    /// The process that had the id at `ts`, else the last one before, else the first one.
    pub(super) fn life_at(&self, ts: u64) -> Option<&Life> {
        let lives = self.lives();
        let after = lives.partition_point(|l| l.start.unwrap_or(0) <= ts);
        lives.get(after.saturating_sub(1))
    }
}

fn build(moments: &[(u64, Moment)]) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (ts, moment) in moments {
        let alive = lives.last().is_some_and(|l| l.end.is_none());
        match moment {
            Moment::Fork { parent, name } => {
                if alive && let Some(life) = lives.last_mut() {
                    // Its exit was lost: the id cannot be given out again before.
                    life.end = Some(*ts);
                }
                let inherited = Life { start: Some(*ts), ppid: *parent, ..Life::default() };
                lives.push(inherited);
                if let Some(life) = lives.last_mut() {
                    life.take_name(*ts, name);
                }
                continue;
            }
            // An id that shows up again after its end, without a fork seen, is a new process too; but what is read
            // from /proc may be about a process that was just ending.
            _ if !alive && (lives.is_empty() || !matches!(moment, Moment::Fact(_))) => {
                let start = if lives.is_empty() { None } else { Some(*ts) };
                lives.push(Life { start, ..Life::default() });
            }
            _ => {}
        }
        let Some(life) = lives.last_mut() else { continue };
        match moment {
            Moment::Fork { .. } => {}
            Moment::Exec(exec) => {
                life.take_name(*ts, &exec.name);
                life.exe.clone_from(&exec.exe);
                if !exec.arguments.is_empty() {
                    life.arguments.clone_from(&exec.arguments);
                }
                life.build_id.clear();
                if exec.parent != 0 {
                    life.ppid = exec.parent;
                }
                life.uid = Some(exec.uid);
            }
            Moment::Fact(fact) => life.take_fact(*ts, fact),
            Moment::Exit { code, name } => {
                if life.names.is_empty() {
                    life.take_name(*ts, name);
                }
                life.end = Some(*ts);
                life.exit_code = Some(*code);
            }
        }
    }
    lives
}
