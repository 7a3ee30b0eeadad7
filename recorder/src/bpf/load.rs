//! Loading and attaching: every program by itself, so that what one kernel lacks costs only that.

use super::{
    HookConfig, Link, Session,
    btf::Btf,
    hooks::{HOOKS, HookSpec, Target},
    layout::{Config, MAX_STACK, MAX_TAIL, Offsets, filter_bit},
    learn, object,
    read_stamps::ReadStamps,
    rings,
};
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray},
    programs::{
        BtfTracePoint, PerfEvent, Program, TracePoint,
        perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
};
use formats::manifest::Hook;
use std::{borrow::Borrow, collections::HashMap as Table, os::fd::AsFd as _};

// SAFETY: repr(C), integers only, no padding (checked below).
unsafe impl Pod for Config {}
// SAFETY: as above.
unsafe impl Pod for Offsets {}
const _: () = assert!(size_of::<Config>() == 5 * 8 + 12 * 4);

/// The verifier's account of a refusal is long; its end says why.
const ERROR_CHARS: usize = 400;

/// Loads and attaches everything that `config` asks for.
pub(super) fn start(config: &HookConfig, tracefs: std::io::Result<()>) -> Result<Session> {
    let btf = Btf::of_kernel()?;
    let offsets = offsets(&btf)?;
    let learnt = learn::learn(&offsets, memory_bytes())?;
    let mut notes = Vec::new();
    if learnt.page_k == 0 && config.packets {
        notes.push("packets: payload outside of the linear part cannot be read on this kernel".to_owned());
    }
    if let Err(e) = &tracefs {
        notes.push(format!("tracefs is not mounted and cannot be mounted privately: {e}"));
    }
    let ring_bytes = config.ring_bytes.clamp(rings::MIN_RING, 1 << 30).next_power_of_two();
    let cpus = aya::util::nr_cpus().map_err(|(what, e)| anyhow!("{what}: {e}"))?;
    let settings = settings(config, &btf, &learnt, ring_bytes);
    let (mut ebpf, ring_bytes) = load_object(&settings, &offsets, cpus, ring_bytes)?;
    select(&mut ebpf, config)?;
    let ring_map = match ebpf.map("RINGS") {
        Some(aya::maps::Map::Array(data)) => data,
        _ => return Err(anyhow!("the eBPF object has no array RINGS")),
    };
    let rings = rings::Rings::map(ring_map.fd().as_fd(), cpus, ring_bytes)?;
    let kernel_types = aya::Btf::from_sys_fs().context("cannot read the kernel's type information")?;
    let (mut links, mut read_stamps) = (Vec::new(), ReadStamps::default());
    let lengths = sees_lengths(&btf);
    let mut hooks = Vec::new();
    let mut loaded: Table<&'static str, std::result::Result<(), String>> = Table::new();
    for hook in HOOKS.iter().filter(|h| h.wanted(config, lengths)) {
        let result = attach(&mut ebpf, hook, config, &kernel_types, &mut loaded, &mut links, &mut read_stamps);
        hooks.push(Hook {
            program: hook.program.to_owned(),
            target: hook.target_name(),
            attached: result.is_ok(),
            error: result.err().unwrap_or_default(),
        });
    }
    ensure!(
        hooks.is_empty() || hooks.iter().any(|h| h.attached),
        "no hook could be attached; the first one: {}",
        hooks.first().map_or("", |h| h.error.as_str())
    );
    if let (Some(count), Some(words)) = (ebpf.take_map("READS"), ebpf.take_map("COUNTS")) {
        read_stamps.connect(PerCpuArray::try_from(count)?, Array::try_from(words)?);
    }
    Ok(Session {
        rings,
        ebpf,
        links,
        read_stamps,
        hooks,
        notes,
        drop_reasons: btf.values("skb_drop_reason"),
        reset_reasons: btf.values("sk_rst_reason"),
        stats: None,
        missed: Table::new(),
    })
}

/// Older kernels allow no array value above 4 MiB: then the rings are halved until they fit.
fn load_object(settings: &Config, offsets: &Offsets, cpus: usize, ring_bytes: u64) -> Result<(Ebpf, u64)> {
    let mut ring_bytes = ring_bytes;
    loop {
        let bytes = object::with_ring_value(rings::value_size(ring_bytes))?;
        let settings = Config { ring_mask: ring_bytes - 1, stack_bytes: stack_bytes(ring_bytes), ..*settings };
        let loaded = EbpfLoader::new()
            .override_global("CONFIG", &settings, true)
            .override_global("OFFSETS", offsets, true)
            .map_max_entries("RINGS", u32::try_from(cpus)?)
            .load(&bytes);
        match loaded {
            Ok(ebpf) => return Ok((ebpf, ring_bytes)),
            Err(_) if ring_bytes > rings::MIN_RING => ring_bytes /= 2,
            Err(e) => return Err(e).context("cannot create the maps of the eBPF programs"),
        }
    }
}

/// Whether the tracepoints of lengths exist and see `sendfile` too (since 6.5, which has `splice_to_socket`), on a
/// machine whose saved registers the programs know.
fn sees_lengths(btf: &Btf) -> bool {
    cfg!(target_arch = "x86_64")
        && btf.tracepoint_arguments("sock_send_length").is_some()
        && btf.tracepoint_arguments("sock_recv_length").is_some()
        && btf.has_function("splice_to_socket")
}

fn offsets(btf: &Btf) -> Result<Offsets> {
    let mut values = [0u64; size_of::<Offsets>() / 8];
    ensure!(values.len() == Offsets::PATHS.len(), "the list of offsets does not fit its structure");
    for (value, path) in values.iter_mut().zip(Offsets::PATHS) {
        // Programs read registers on x86_64 only; elsewhere they have other names.
        if !path.is_empty() && (cfg!(target_arch = "x86_64") || !path.starts_with("pt_regs:")) {
            *value = btf.offset(path)?;
        }
    }
    // SAFETY: same size, integers only.
    let mut offsets: Offsets = unsafe { std::mem::transmute(values) };
    offsets.skb_vlan_present = btf.place("sk_buff:vlan_present").map_or(0, |p| p.bits / 8);
    Ok(offsets)
}

fn settings(config: &HookConfig, btf: &Btf, learnt: &learn::Learnt, ring_bytes: u64) -> Config {
    let mut filters = 0;
    for (on, bit) in [
        (!config.pids.is_empty(), filter_bit::PIDS),
        (!config.comms.is_empty(), filter_bit::COMMS),
        (!config.cgroup_ids.is_empty(), filter_bit::CGROUPS),
        (!config.ports.is_empty(), filter_bit::PORTS),
        (config.interfaces.is_some(), filter_bit::INTERFACES),
    ] {
        filters |= if on { bit } else { 0 };
    }
    let reasons = btf.values("skb_drop_reason");
    Config {
        ring_mask: ring_bytes - 1,
        secret: config.secret,
        page_k: learnt.page_k,
        sample_period: 1_000_000_000 / u64::from(config.sample_hz.max(1)),
        socket_fops: learnt.socket_fops,
        own_tgid: learnt.own_tgid,
        payload_bytes: config.payload_bytes.min(MAX_TAIL as u32),
        snaplen: config.snaplen.min(MAX_TAIL as u32),
        filters,
        weak_order: u32::from(!cfg!(target_arch = "x86_64")),
        reset_has_reason: u32::from(btf.tracepoint_arguments("tcp_send_reset") >= Some(3)),
        drop_has_sock: u32::from(btf.tracepoint_arguments("kfree_skb") >= Some(4)),
        reason_consumed: reasons.iter().find(|(_, n)| *n == "SKB_CONSUMED").map_or(0, |(v, _)| *v),
        vlan_present_mask: btf.place("sk_buff:vlan_present").map_or(0, |p| 1 << (p.bits % 8)),
        lengths: u32::from(sees_lengths(btf)),
        stack_bytes: stack_bytes(ring_bytes),
        unused: 0,
    }
}

/// User stack that comes with a sample: little of a small ring, and none where the recorder cannot walk it.
fn stack_bytes(ring_bytes: u64) -> u32 {
    let fits = (ring_bytes / 8).min(MAX_STACK);
    if cfg!(target_arch = "x86_64") { fits as u32 } else { 0 }
}

fn fill<K: Pod>(ebpf: &mut Ebpf, name: &str, keys: impl IntoIterator<Item = K>) -> Result<()> {
    let map = ebpf.map_mut(name).with_context(|| format!("the eBPF object has no map {name}"))?;
    let mut map: HashMap<&mut MapData, K, u8> = HashMap::try_from(map)?;
    for key in keys {
        map.insert(key.borrow(), 1, 0).with_context(|| format!("too many entries for the filter {name}"))?;
    }
    Ok(())
}

fn select(ebpf: &mut Ebpf, config: &HookConfig) -> Result<()> {
    fill(ebpf, "PIDS", config.pids.iter().copied())?;
    fill(ebpf, "CGROUPS", config.cgroup_ids.iter().copied())?;
    fill(ebpf, "PORTS", config.ports.iter().copied())?;
    fill(ebpf, "INTERFACES", config.interfaces.iter().flatten().map(|&(n, i)| (u64::from(n) << 32) | u64::from(i)))?;
    // The kernel keeps 15 bytes of a name and a zero.
    fill(
        ebpf,
        "COMMS",
        config.comms.iter().map(|name| {
            let mut comm = [0u8; 16];
            for (to, from) in comm.iter_mut().take(15).zip(name.bytes()) {
                *to = from;
            }
            comm
        }),
    )
}

fn attach(
    ebpf: &mut Ebpf,
    hook: &HookSpec,
    config: &HookConfig,
    types: &aya::Btf,
    loaded: &mut Table<&'static str, std::result::Result<(), String>>,
    links: &mut Vec<Link>,
    read_stamps: &mut ReadStamps,
) -> std::result::Result<(), String> {
    let program = ebpf.program_mut(hook.program).ok_or("not in the eBPF object")?;
    let load = loaded.entry(hook.program).or_insert_with(|| load(program, hook, types).map_err(explain));
    load.clone()?;
    run(program, hook, config, links, read_stamps).map_err(explain)
}

fn load(program: &mut Program, hook: &HookSpec, types: &aya::Btf) -> Result<()> {
    match (program, hook.target) {
        (Program::TracePoint(p), Target::Syscall(_) | Target::Read(_)) => p.load()?,
        (Program::BtfTracePoint(p), Target::Typed(name) | Target::Wait(name)) => p.load(name, types)?,
        (Program::PerfEvent(p), Target::CpuClock) => p.load()?,
        _ => return Err(anyhow!("another type of program in the eBPF object")),
    }
    Ok(())
}

fn run(
    program: &mut Program,
    hook: &HookSpec,
    config: &HookConfig,
    links: &mut Vec<Link>,
    read_stamps: &mut ReadStamps,
) -> Result<()> {
    match hook.target {
        Target::Read(name) => {
            let p: &mut TracePoint = program.try_into()?;
            read_stamps.attach(p.fd()?.as_fd(), name)?;
        }
        Target::Wait(_) => {
            let p: &mut BtfTracePoint = program.try_into()?;
            read_stamps.instead(p.fd()?.as_fd())?;
        }
        Target::Syscall(name) => {
            let p: &mut TracePoint = program.try_into()?;
            let id = p.attach("syscalls", name)?;
            links.push(Box::new(p.take_link(id)?));
        }
        Target::Typed(_) => {
            let p: &mut BtfTracePoint = program.try_into()?;
            let id = p.attach()?;
            links.push(Box::new(p.take_link(id)?));
        }
        Target::CpuClock => {
            let p: &mut PerfEvent = program.try_into()?;
            for cpu in aya::util::online_cpus().map_err(|(what, e)| anyhow!("{what}: {e}"))? {
                let id = p.attach(
                    PerfEventConfig::Software(SoftwareEvent::CpuClock),
                    PerfEventScope::AllProcessesOneCpu { cpu },
                    SamplePolicy::Frequency(u64::from(config.sample_hz)),
                    false,
                )?;
                links.push(Box::new(p.take_link(id)?));
            }
        }
    }
    Ok(())
}

/// The whole chain of causes on one line; of long ones only the ends.
#[expect(clippy::needless_pass_by_value, reason = "used as a function of the error")]
fn explain(e: anyhow::Error) -> String {
    // The verifier's account comes with every error, and says nothing of this one.
    let errors = e.chain().filter_map(|e| e.downcast_ref::<std::io::Error>()?.raw_os_error());
    if errors.into_iter().any(|errno| matches!(errno, libc::EMFILE | libc::ENFILE)) {
        return "too many open files: raise the limit (ulimit -Hn)".to_owned();
    }
    let text = format!("{e:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= ERROR_CHARS {
        return text;
    }
    let (first, last) = (&chars[..ERROR_CHARS / 4], &chars[chars.len() - ERROR_CHARS * 3 / 4..]);
    first.iter().chain(" ... ".chars().collect::<Vec<_>>().iter()).chain(last).collect()
}

/// MemTotal of /proc/meminfo in bytes, rounded up generously if unknown.
fn memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.lines().next()?.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(64 << 30, |kib| kib * 1024)
}
