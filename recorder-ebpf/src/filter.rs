//! What is not wanted is turned away here, before anything is copied.

use crate::{
    kernel::{self, Ptr, conf, load},
    layout::filter_bit as bit,
};
use aya_ebpf::{macros::map, maps::HashMap};

/// Process ids to record; children are added when they are forked.
#[map]
pub static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Thread names.
#[map]
static COMMS: HashMap<[u8; 16], u8> = HashMap::with_max_entries(256, BPF_F_NO_PREALLOC);
/// cgroup v2 ids.
#[map]
static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
/// Ports, host byte order.
#[map]
static PORTS: HashMap<u16, u8> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
/// Interfaces: namespace inode << 32 | index.
#[map]
static INTERFACES: HashMap<u64, u8> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);

const BPF_F_NO_PREALLOC: u32 = 1;

/// Whether a task is to be recorded. The recorder itself never is.
#[inline(always)]
pub fn task_wanted(task: Ptr, tgid: u32) -> bool {
    if tgid == conf!(own_tgid) {
        return false;
    }
    let filters = conf!(filters);
    if filters & (bit::PIDS | bit::COMMS | bit::CGROUPS) == 0 {
        return true;
    }
    // SAFETY: values are never written to after the load but by key.
    unsafe {
        if filters & bit::PIDS != 0 && PIDS.get(tgid).is_some() {
            return true;
        }
        if filters & bit::COMMS != 0 {
            if COMMS.get(kernel::comm_of(task)).is_some() {
                return true;
            }
            let leader = load!(task, task_leader as Ptr);
            if COMMS.get(kernel::comm_of(leader)).is_some() {
                return true;
            }
        }
        filters & bit::CGROUPS != 0 && CGROUPS.get(kernel::cgroup_of(task)).is_some()
    }
}

/// Whether one of two ports is wanted.
#[inline(always)]
pub fn ports_wanted(a: u16, b: u16) -> bool {
    // SAFETY: as above.
    conf!(filters) & bit::PORTS == 0 || unsafe { PORTS.get(a).is_some() || PORTS.get(b).is_some() }
}

/// Whether packets of an interface are wanted.
#[inline(always)]
pub fn interface_wanted(netns: u32, ifindex: u32) -> bool {
    conf!(filters) & bit::INTERFACES == 0
        // SAFETY: as above.
        || unsafe { INTERFACES.get((u64::from(netns) << 32) | u64::from(ifindex)).is_some() }
}
