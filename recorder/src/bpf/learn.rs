//! What type information does not tell and the kernel does not export, found out by running one small
//! program in our own context (BPF_PROG_TEST_RUN): who we are in the initial pid namespace, where
//! `socket_file_ops` lies, and how the address of a page follows from its `struct page`.

use super::layout::{Offsets, Probed};
use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::RawTracePoint,
};
use std::{
    fs::File,
    io::Write as _,
    net::UdpSocket,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

const GIB: u64 = 1 << 30;

/// What was learnt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Learnt {
    /// Our process id in the initial pid namespace.
    pub(crate) own_tgid: u32,
    /// Address of `socket_file_ops`.
    pub(crate) socket_fops: u64,
    /// `virt(page) = page_k + 64 * page`; 0 if it could not be found out.
    pub(crate) page_k: u64,
}

struct Probe {
    ebpf: Ebpf,
    results: Array<MapData, Probed>,
}

// SAFETY: integers only.
unsafe impl aya::Pod for Probed {}

impl Probe {
    fn load(offsets: &Offsets) -> Result<Self> {
        let object = super::object::with_ring_value(super::rings::value_size(super::rings::MIN_RING))?;
        let mut ebpf = EbpfLoader::new().override_global("OFFSETS", offsets, true).load(&object)?;
        let program: &mut RawTracePoint = ebpf.program_mut("probe").context("no program probe")?.try_into()?;
        program.load().context("the kernel does not accept the program that reads its structures")?;
        let results = Array::try_from(ebpf.take_map("PROBED").context("no map PROBED")?)?;
        Ok(Self { ebpf, results })
    }

    fn run(&mut self, fd: i32, is_pipe: bool, address: u64) -> Result<Probed> {
        /// The part of `union bpf_attr` that BPF_PROG_TEST_RUN reads.
        #[repr(C)]
        #[derive(Default)]
        struct TestRun {
            prog_fd: u32,
            retval: u32,
            data_size: [u32; 2],
            data: [u64; 2],
            repeat: u32,
            duration: u32,
            ctx_size_in: u32,
            ctx_size_out: u32,
            ctx_in: u64,
            ctx_out: u64,
            flags: u32,
            cpu: u32,
            batch_size: u32,
            pad: u32,
        }
        const BPF_PROG_TEST_RUN: i32 = 10;
        let args = [fd as u64, u64::from(is_pipe), address];
        let program: &RawTracePoint = self.ebpf.program("probe").context("no program probe")?.try_into()?;
        let mut attr = TestRun {
            prog_fd: program.fd()?.as_fd().as_raw_fd() as u32,
            ctx_size_in: size_of_val(&args) as u32,
            ctx_in: args.as_ptr() as u64,
            ..TestRun::default()
        };
        // SAFETY: attr and the arguments it points to live through the call.
        let r = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attr, size_of::<TestRun>()) };
        ensure!(r == 0, "BPF_PROG_TEST_RUN: {}", std::io::Error::last_os_error());
        Ok(self.results.get(&0, 0)?)
    }
}

/// Finds out what the programs need to know.
pub(crate) fn learn(offsets: &Offsets, memory_bytes: u64) -> Result<Learnt> {
    let mut probe = Probe::load(offsets)?;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).context("cannot open a socket of our own")?;
    let seen = probe.run(socket.as_raw_fd(), false, 0)?;
    ensure!(seen.file_op != 0, "walking from the task to its files does not work on this kernel");
    let page_k = if cfg!(target_arch = "x86_64") { page_constant(&mut probe, memory_bytes).unwrap_or(0) } else { 0 };
    Ok(Learnt { own_tgid: seen.tgid as u32, socket_fops: seen.file_op, page_k })
}

/// A page with known content, whose `struct page` we can see: the first buffer of a pipe of ours. Both
/// the direct mapping and the array of page structures start at multiples of 1 GiB, so few
/// combinations are possible; the right one shows the content.
fn page_constant(probe: &mut Probe, memory_bytes: u64) -> Result<u64> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for two descriptors, which are ours from then on.
    let (_reader, writer) = unsafe {
        ensure!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) == 0, "pipe: {}", std::io::Error::last_os_error());
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    let mut magic = [0u8; 4096];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut magic)?;
    let mut writer = File::from(writer);
    writer.write_all(&magic)?;
    let seen = probe.run(writer.as_raw_fd(), true, 0)?;
    ensure!(seen.page != 0 && seen.bufs != 0, "the pipe shows no page");
    // 64 GiB of memory have 1 GiB of page structures. Memory has holes: allow for some.
    for j in 0..memory_bytes / (64 * GIB) + 3 {
        let vmemmap = (seen.page & !(GIB - 1)).wrapping_sub(j * GIB);
        for k in 0..memory_bytes / GIB + 8 {
            let direct = (seen.bufs & !(GIB - 1)).wrapping_sub(k * GIB);
            let constant = direct.wrapping_sub(vmemmap.wrapping_mul(64));
            let at = constant.wrapping_add(seen.page.wrapping_mul(64));
            let tried = probe.run(writer.as_raw_fd(), true, at)?;
            if tried.readable == 1 && tried.bytes == magic[..32] {
                return Ok(constant);
            }
        }
    }
    anyhow::bail!("no combination shows the page's content")
}
