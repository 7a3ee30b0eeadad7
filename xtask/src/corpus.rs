//! `cargo xtask corpus`: records the bundle that ships in corpus/, and takes out of it what is not the workload's.
//!
//! A recording holds everything that the node did. The one that ships must hold nothing of the machine that
//! happened to make it: only the workload's namespace, its processes and its own load generator are kept.

use crate::{cargo, packages};
use anyhow::{Context, Result, bail};
use e2e::programs::Recording;
use e2e::shop::{Shop, Upstream};
use formats::block::{BlockHeader, kind};
use formats::event::{self, ProcessExec, ProcessFork, Record, Records, SocketData, SocketState};
use formats::facts::{CounterReading, Interface, Mapping, NetNamespace, Process, Socket};
use formats::manifest::Summary;
use formats::pcapng::SectionInfo;
use formats::read::{Batch, Reader};
use formats::write::{BundleFile, FrameBuilder};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// Requests in the shipped bundle: every kind of the mix several times over, in a few hundred KB.
const REQUESTS: u32 = 160;

pub(crate) fn run() -> Result<()> {
    packages::ensure(packages::DEMO)?;
    cargo::build_programs(false)?;
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw.zst");
    let shop = Shop::start(Upstream::Fresh)?;
    e2e::load::run(&shop.ns, 6, 60, 1_000_000)?; // warm: code imported, pools connected
    let recording = Recording::start(&raw, &[])?;
    for first in (0..REQUESTS).step_by(16) {
        e2e::load::run(&shop.ns, 4, 16, first)?;
        std::thread::sleep(Duration::from_millis(350));
    }
    recording.stop()?;
    let netns = shop.ns.inode()?;
    let servers = shop.folder().display().to_string();
    drop(shop);
    let target = cargo::root().join("corpus").join("shop.zst");
    fs::create_dir_all(target.parent().context("corpus/ has a parent")?)?;
    Scrub::new(netns, servers).bundle(&raw, &target)?;
    println!("{}: {} bytes", target.display(), fs::metadata(&target)?.len());
    Ok(())
}

/// What is kept, and what is written in place of this machine's own names.
struct Scrub {
    netns: u32,
    pids: HashSet<u32>,
    /// Build ids and paths of the files that the workload's processes have mapped.
    objects: HashSet<String>,
    captured: BTreeMap<String, u64>,
    replace: Vec<(String, &'static str)>,
}

impl Scrub {
    fn new(netns: u32, servers: String) -> Self {
        let replace = vec![(servers, "/srv/shop"), (cargo::root().display().to_string(), "")];
        Self {
            netns,
            pids: HashSet::from([std::process::id()]),
            objects: HashSet::new(),
            captured: BTreeMap::new(),
            replace,
        }
    }

    fn bundle(&mut self, from: &Path, to: &Path) -> Result<()> {
        let mut reader = Reader::open(from)?;
        let batches: Vec<Batch> = std::iter::from_fn(|| reader.next_batch()).collect();
        if !reader.damages().is_empty() {
            bail!("the recording is damaged: {:?}", reader.damages());
        }
        for batch in &batches {
            self.learn(batch);
        }
        for (batch, block) in batches.iter().flat_map(|batch| batch.blocks.iter().map(move |block| (batch, block))) {
            if block.header.kind == kind::MAPPINGS {
                for mapping in lines::<Mapping>(batch.payload(block)) {
                    if self.pids.contains(&mapping.pid) {
                        self.objects.extend([mapping.build_id, mapping.path]);
                    }
                }
            }
        }
        let mut manifest = reader.manifest().context("no manifest")?.clone();
        "shop".clone_into(&mut manifest.hostname);
        manifest.node_id.clear();
        manifest.command_line = vec!["record".to_owned()];
        let section = SectionInfo {
            hardware: manifest.machine.clone(),
            os: format!("Linux {}", manifest.kernel_release),
            application: manifest.recorder.clone(),
        };
        let mut frames = FrameBuilder::new(&section, manifest.realtime_offset_ns);
        let mut file = BundleFile::new(File::create(to)?)?;
        frames.json(kind::MANIFEST, manifest.start_monotonic_ns, std::slice::from_ref(&manifest));
        let mut numbers = HashMap::new();
        for (old, interface) in reader.interfaces().iter().enumerate() {
            if interface.netns == self.netns {
                numbers.insert(u32::try_from(old)?, frames.interface(interface));
            }
        }
        for batch in &batches {
            for packet in &batch.packets {
                if let Some(number) = numbers.get(&packet.interface) {
                    let ts = u64::try_from(packet.ts)?;
                    frames.packet(*number, ts, packet.direction, packet.wire_len, &[batch.data(packet)]);
                    *self.captured.entry("packet".to_owned()).or_default() += 1;
                }
            }
            for block in &batch.blocks {
                self.block(&block.header, batch.payload(block), &numbers, &mut frames)?;
            }
            file.append(&frames.take())?;
        }
        let mut summary: Summary = reader.summary().context("no summary")?.clone();
        summary.captured = std::mem::take(&mut self.captured);
        let ours = format!("{}/", self.netns);
        summary.interface_packets.retain(|name, _| name.starts_with(&ours));
        file.finish(&summary)?;
        Ok(())
    }

    /// Which processes are the workload's: those in its namespace, and what they forked.
    fn learn(&mut self, batch: &Batch) {
        for block in &batch.blocks {
            let payload = batch.payload(block);
            if block.header.kind == kind::PROCESSES {
                let inside = lines::<Process>(payload).into_iter().filter(|p| p.netns == self.netns);
                self.pids.extend(inside.map(|p| p.pid));
            } else if block.header.kind == event::kind::SOCKET_DATA {
                let inside = Records::new(payload).filter_map(|(_, bytes)| SocketData::read(bytes));
                self.pids.extend(inside.filter(|r| r.netns == self.netns).map(|r| r.hdr.pid));
            } else if block.header.kind == event::kind::PROCESS_FORK {
                for fork in Records::new(payload).filter_map(|(_, bytes)| ProcessFork::read(bytes)) {
                    if self.pids.contains(&fork.hdr.pid) && fork.hdr.pid != std::process::id() {
                        self.pids.insert(fork.child_pid);
                    }
                }
            }
        }
    }

    fn block(
        &mut self,
        header: &BlockHeader,
        payload: &[u8],
        numbers: &HashMap<u32, u32>,
        frames: &mut FrameBuilder,
    ) -> Result<()> {
        let netns = self.netns;
        match header.kind {
            kind::MANIFEST | kind::INDEX | kind::SUMMARY => {}
            kind::PROCESSES => {
                let mut kept = lines::<Process>(payload);
                kept.retain(|p| self.pids.contains(&p.pid));
                for process in &mut kept {
                    self.rename(&mut process.exe);
                    process.command_line.iter_mut().for_each(|word| self.rename(word));
                    "/".clone_into(&mut process.cgroup);
                }
                write(frames, header, &kept);
            }
            kind::SOCKETS => {
                let mut kept = lines::<Socket>(payload);
                kept.retain(|s| s.netns == netns);
                kept.iter_mut().for_each(|s| self.rename(&mut s.local_addr));
                write(frames, header, &kept);
            }
            kind::INTERFACES => {
                let mut kept = lines::<Interface>(payload);
                kept.retain(|i| i.netns == netns);
                kept.iter_mut().for_each(|i| i.id = numbers.get(&i.id).copied().unwrap_or(i.id));
                write(frames, header, &kept);
            }
            kind::COUNTERS => {
                let mut kept = lines::<CounterReading>(payload);
                for reading in &mut kept {
                    reading.interfaces.retain_mut(|i| {
                        numbers.get(&i.id).is_some_and(|new| {
                            i.id = *new;
                            true
                        })
                    });
                }
                write(frames, header, &kept);
            }
            kind::NETWORKS => {
                let mut kept = lines::<NetNamespace>(payload);
                kept.retain(|n| n.netns == netns);
                write(frames, header, &kept);
            }
            kind::MAPPINGS => {
                let mut kept = lines::<Mapping>(payload);
                kept.retain(|m| self.pids.contains(&m.pid));
                kept.iter_mut().for_each(|m| self.rename(&mut m.path));
                write(frames, header, &kept);
            }
            kind::SYMBOLS => {
                let mut kept = lines::<formats::facts::Symbol>(payload);
                kept.retain(|s| s.space == "kernel" || self.objects.contains(&s.object));
                for symbol in &mut kept {
                    self.rename(&mut symbol.module);
                    self.rename(&mut symbol.object);
                }
                write(frames, header, &kept);
            }
            k if usize::from(k) < event::kind::COUNT => self.records(header, payload, frames),
            _ => frames.block(header, &[payload]),
        }
        Ok(())
    }

    fn records(&mut self, header: &BlockHeader, payload: &[u8], frames: &mut FrameBuilder) {
        let mut kept = Vec::new();
        let mut count = 0;
        for (hdr, bytes) in Records::new(payload) {
            let keep = match hdr.kind {
                event::kind::SOCKET_DATA => SocketData::read(bytes).is_some_and(|r| r.netns == self.netns),
                event::kind::SOCKET_STATE => SocketState::read(bytes).is_some_and(|r| r.netns == self.netns),
                event::kind::PROCESS_EXEC => ProcessExec::read(bytes).is_some_and(|r| self.pids.contains(&r.hdr.pid)),
                _ => self.pids.contains(&hdr.pid),
            };
            if keep {
                kept.extend_from_slice(bytes);
                count += 1;
            }
        }
        if count > 0 {
            frames.block(&BlockHeader { count, ..*header }, &[&kept]);
            let name = event::kind::NAMES[usize::from(header.kind)];
            *self.captured.entry(name.to_owned()).or_default() += u64::from(count);
        }
    }

    fn rename(&self, text: &mut String) {
        for (ours, theirs) in &self.replace {
            if text.contains(ours.as_str()) {
                *text = text.replace(ours.as_str(), theirs);
            }
        }
    }
}

fn lines<T: DeserializeOwned>(payload: &[u8]) -> Vec<T> {
    payload.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn write<T: Serialize>(frames: &mut FrameBuilder, header: &BlockHeader, kept: &[T]) {
    if !kept.is_empty() {
        frames.json(header.kind, header.first_ts, kept);
    }
}
