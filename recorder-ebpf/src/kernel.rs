//! Reading kernel structures: typed pointers by plain loads (the verifier knows their type), all
//! others by `bpf_probe_read_kernel`.

use crate::layout::{Config, Offsets};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user};
use core::ffi::c_void;

/// Set by the loader.
#[unsafe(no_mangle)]
pub static CONFIG: Config = {
    // SAFETY: integers only.
    unsafe { core::mem::zeroed() }
};
/// Set by the loader.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = {
    // SAFETY: integers only.
    unsafe { core::mem::zeroed() }
};

/// Reads a constant through memory, so that what the compiler saw (zero) does not count.
#[inline(always)]
pub fn constant<T: Copy>(at: &T) -> T {
    // SAFETY: a reference.
    unsafe { core::ptr::from_ref(at).read_volatile() }
}

/// A plain load through a pointer whose type the verifier knows: it checks that there is such a member.
#[inline(always)]
pub fn load_at<T: Copy>(at: Ptr, offset: usize) -> T {
    // SAFETY: the verifier refuses the program if this is no member; a bad address reads as zero.
    unsafe { at.add(offset).cast::<T>().read_volatile() }
}

/// A setting.
macro_rules! conf {
    ($field:ident) => {
        crate::kernel::constant(&crate::kernel::CONFIG.$field)
    };
}
/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        crate::kernel::constant(&crate::kernel::OFFSETS.$field) as usize
    };
}
/// A plain load of a member through a typed pointer.
macro_rules! load {
    ($ptr:expr, $field:ident as $t:ty) => {
        crate::kernel::load_at::<$t>($ptr, crate::kernel::offset!($field))
    };
}
pub(crate) use {conf, load, offset};

/// A pointer into the kernel.
pub type Ptr = *const u8;

/// The running task; typed.
#[inline(always)]
pub fn current() -> Ptr {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_task_btf() as *const u8 }
}

/// Reads a value at any kernel address; zero if there is none.
#[inline(always)]
pub fn peek<T: Copy>(at: u64) -> T {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills the value, with zeroes if it fails. Only integers and arrays of them are read so.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast::<c_void>(), size_of::<T>() as u32, at as *const c_void);
        value.assume_init()
    }
}

/// Reads a value at an address of the current process; `None` if it is not there.
#[inline(always)]
pub fn peek_user<T: Copy>(at: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: as above.
    unsafe {
        let e = bpf_probe_read_user(value.as_mut_ptr().cast::<c_void>(), size_of::<T>() as u32, at as *const c_void);
        let value = value.assume_init();
        if e == 0 { Some(value) } else { None }
    }
}

/// The file behind a descriptor of the current task; 0 if there is none.
#[inline(always)]
pub fn file_of(task: Ptr, fd: u32) -> u64 {
    let files = load!(task, task_files as Ptr);
    let fdt = load!(files, files_fdt as Ptr);
    let max = load!(fdt, fdt_max as u32);
    if fd >= max {
        return 0;
    }
    let table = load!(fdt, fdt_fd as u64);
    peek::<u64>(table + u64::from(fd) * 8)
}

/// The `struct socket` behind a file, 0 if it is none.
#[inline(always)]
pub fn socket_of(file: u64) -> u64 {
    if file == 0 || peek::<u64>(file + offset!(file_op) as u64) != conf!(socket_fops) {
        return 0;
    }
    peek::<u64>(file + offset!(file_private) as u64)
}

/// cgroup v2 id of a task.
#[inline(always)]
pub fn cgroup_of(task: Ptr) -> u64 {
    let set = load!(task, task_cgroups as Ptr);
    let cgroup = load!(set, css_set_dfl as Ptr);
    let node = load!(cgroup, cgroup_kn as Ptr);
    load!(node, kernfs_id as u64)
}

/// Name of a thread.
#[inline(always)]
pub fn comm_of(task: Ptr) -> [u8; 16] {
    let low = load!(task, task_comm as u64);
    let high: u64 = load_at(task, offset!(task_comm) + 8);
    // SAFETY: same size, any bytes are valid.
    unsafe { core::mem::transmute([low, high]) }
}
