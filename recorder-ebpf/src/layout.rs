//! What the programs and their loader agree on: configuration, structure offsets and the control
//! page of a ring. The recorder includes this very file as a module.

/// First page of every ring: who wrote how far. Each field that one side writes often has a cache
/// line of its own.
pub mod control {
    /// u64: bytes ever reserved by programs of this CPU.
    pub const HEAD: usize = 0;
    /// u64: bytes ever consumed by user space.
    pub const TAIL: usize = 128;
    /// [u64; 8]: records that found no room, per kind.
    pub const LOST: usize = 256;
    /// Where the data area starts.
    pub const DATA: usize = 4096;
}

/// Longest tail of a record in bytes; limits of payload and snaplen are cut to it.
pub const MAX_TAIL: u64 = 0xffff;
/// Room behind the data area, so that a record that crosses its end stays in one piece: the verifier
/// must be able to see that position in the tail plus length of one piece cannot leave the ring.
pub const SLACK: usize = 136 * 1024;
/// What follows the addresses of a stack sample in the ring, and never leaves the recorder: words with the user-space ip,
/// sp and bp and the number of bytes that follow, which are the user stack from sp upwards. All 0 where there is none.
pub const USER_STACK_WORDS: u64 = 4;
/// Most bytes of a user stack. The deepest stacks of Debian's servers take some 10 KiB.
pub const MAX_STACK: u64 = 16 * 1024;

/// Slots of the table of calls under way; a power of two.
pub const INFLIGHT_SLOTS: u32 = 65_536;

/// Slots of the table of entry times; a power of two.
pub const STAMP_SLOTS: u32 = 32_768;

/// Index in the map `COUNTS`: entry times of reads older than the time found there are not used, since the programs that
/// note them were not attached all the time. `u64::MAX` while they are detached.
pub const READS_FROM: u32 = 2;

/// Bits of [`Config::filters`].
pub mod filter_bit {
    /// Only processes in the map `PIDS`.
    pub const PIDS: u32 = 1;
    /// Only threads whose name, or whose process' name, is in `COMMS`.
    pub const COMMS: u32 = 2;
    /// Only tasks of cgroups in `CGROUPS`.
    pub const CGROUPS: u32 = 4;
    /// Only sockets and packets with a port in `PORTS`.
    pub const PORTS: u32 = 8;
    /// Only packets of interfaces in `INTERFACES`.
    pub const INTERFACES: u32 = 16;
}

/// Settings, constant while a recording lasts.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Config {
    /// Size of a ring's data area minus 1; the size is a power of two.
    pub ring_mask: u64,
    /// Mixed into socket identities, so that a bundle does not show kernel addresses.
    pub secret: u64,
    /// `virt(page) = page_k + page * 64`; 0 if unknown.
    pub page_k: u64,
    /// Time a stack sample stands for, ns.
    pub sample_period: u64,
    /// Address of the kernel's `socket_file_ops`.
    pub socket_fops: u64,
    /// Thread group of the recorder, initial pid namespace.
    pub own_tgid: u32,
    /// Payload prefix per call, bytes, at most [`MAX_TAIL`].
    pub payload_bytes: u32,
    /// Packet bytes kept, at most [`MAX_TAIL`].
    pub snaplen: u32,
    /// [`filter_bit`].
    pub filters: u32,
    /// 1 if the CPU may reorder stores: the commit then needs a barrier.
    pub weak_order: u32,
    /// 1 if `tcp_send_reset` has a third argument, the reason.
    pub reset_has_reason: u32,
    /// 1 if `kfree_skb` has a fourth argument, the receiving socket.
    pub drop_has_sock: u32,
    /// Value of SKB_CONSUMED, or 0.
    pub reason_consumed: u32,
    /// Mask of the bit `vlan_present` in the byte at its offset; 0 where the kernel has none.
    pub vlan_present_mask: u32,
    /// 1 if `sock_send_length` and `sock_recv_length` are hooked.
    pub lengths: u32,
    /// User stack copied with a stack sample, bytes, at most [`MAX_STACK`]; 0 for none.
    pub stack_bytes: u32,
    /// Always 0: the structure has no padding.
    pub unused: u32,
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $path:literal),* $(,)?) => {
        /// Byte offsets of structure members in the running kernel, from its BTF.
        #[repr(C)]
        #[derive(Clone, Copy, Default)]
        pub struct Offsets { $($(#[$doc])* pub $field: u64,)* }
        impl Offsets {
            /// Field index and `struct:member.member` path of every field, in order.
            pub const PATHS: &'static [&'static str] = &[$($path),*];
        }
    };
}

offsets! {
    /// Thread id.
    task_pid = "task_struct:pid",
    /// Process id.
    task_tgid = "task_struct:tgid",
    /// How often the thread has given up its CPU to wait.
    task_nvcsw = "task_struct:nvcsw",
    /// Thread name.
    task_comm = "task_struct:comm",
    /// Main thread.
    task_leader = "task_struct:group_leader",
    /// Parent.
    task_parent = "task_struct:real_parent",
    /// Open files.
    task_files = "task_struct:files",
    /// Credentials.
    task_cred = "task_struct:cred",
    /// Address space.
    task_mm = "task_struct:mm",
    /// Shared by the threads of a process.
    task_signal = "task_struct:signal",
    /// As `wait(2)` gives it.
    task_exit_code = "task_struct:exit_code",
    /// cgroups of the task.
    task_cgroups = "task_struct:cgroups",
    /// cgroup v2.
    css_set_dfl = "css_set:dfl_cgrp",
    /// Node in kernfs.
    cgroup_kn = "cgroup:kn",
    /// Inode number: the cgroup id.
    kernfs_id = "kernfs_node:id",
    /// Threads that still live.
    signal_live = "signal_struct:live.counter",
    /// User id.
    cred_uid = "cred:uid.val",
    /// First argument.
    mm_arg_start = "mm_struct:arg_start",
    /// End of arguments.
    mm_arg_end = "mm_struct:arg_end",
    /// Path of the program.
    bprm_filename = "linux_binprm:filename",
    /// Table of descriptors.
    files_fdt = "files_struct:fdt",
    /// Size of the table.
    fdt_max = "fdtable:max_fds",
    /// Array of files.
    fdt_fd = "fdtable:fd",
    /// Operations: tells sockets.
    file_op = "file:f_op",
    /// Sockets: `struct socket`. Pipes: `struct pipe_inode_info`.
    file_private = "file:private_data",
    /// SOCK_STREAM...
    socket_type = "socket:type",
    /// The network part of a socket.
    socket_sk = "socket:sk",
    /// Remote IPv4 address.
    sk_daddr = "sock:__sk_common.skc_daddr",
    /// Local IPv4 address.
    sk_rcv_saddr = "sock:__sk_common.skc_rcv_saddr",
    /// Remote port, network byte order.
    sk_dport = "sock:__sk_common.skc_dport",
    /// Local port; 0 once a TCP socket is closed.
    sk_num = "sock:__sk_common.skc_num",
    /// Local port, network byte order; stays.
    inet_sport = "inet_sock:inet_sport",
    /// `enum sock_flags`, a bit each.
    sk_flags = "sock:__sk_common.skc_flags",
    /// Address family.
    sk_family = "sock:__sk_common.skc_family",
    /// TCP state.
    sk_state = "sock:__sk_common.skc_state",
    /// Network namespace.
    sk_net = "sock:__sk_common.skc_net.net",
    /// Remote IPv6 address.
    sk_v6_daddr = "sock:__sk_common.skc_v6_daddr",
    /// Local IPv6 address.
    sk_v6_rcv_saddr = "sock:__sk_common.skc_v6_rcv_saddr",
    /// IPPROTO_*.
    sk_protocol = "sock:sk_protocol",
    /// SOCK_STREAM...
    sk_type = "sock:sk_type",
    /// Inode number of a network namespace.
    net_inum = "net:ns.inum",
    /// Next sequence number to write.
    tcp_write_seq = "tcp_sock:write_seq",
    /// Next sequence number to read.
    tcp_copied_seq = "tcp_sock:copied_seq",
    /// Next sequence number to receive.
    tcp_rcv_nxt = "tcp_sock:rcv_nxt",
    /// The other end of a UNIX socket.
    unix_peer = "unix_sock:peer",
    /// Socket behind a `struct sock`.
    sk_socket = "sock:sk_socket",
    /// Its file: the kernel's own sockets have none.
    socket_file = "socket:file",
    /// Number of the system call under way (x86_64).
    regs_nr = "pt_regs:orig_ax",
    /// Arguments of the system call, in order.
    regs_0 = "pt_regs:di",
    /// Second.
    regs_1 = "pt_regs:si",
    /// Third.
    regs_2 = "pt_regs:dx",
    /// Fifth.
    regs_4 = "pt_regs:r8",
    /// Program counter.
    regs_ip = "pt_regs:ip",
    /// Stack pointer.
    regs_sp = "pt_regs:sp",
    /// Frame pointer, where the program keeps one.
    regs_bp = "pt_regs:bp",
    /// Device.
    skb_dev = "sk_buff:dev",
    /// Socket.
    skb_sk = "sk_buff:sk",
    /// Control block: TCP keeps the sequence number in its first word.
    skb_cb = "sk_buff:cb",
    /// Length.
    skb_len = "sk_buff:len",
    /// Of it in fragments.
    skb_data_len = "sk_buff:data_len",
    /// VLAN protocol.
    skb_vlan_proto = "sk_buff:vlan_proto",
    /// VLAN tag.
    skb_vlan_tci = "sk_buff:vlan_tci",
    /// Interface it came in by.
    skb_iif = "sk_buff:skb_iif",
    /// Ethertype.
    skb_protocol = "sk_buff:protocol",
    /// Offset of the network header from `head`.
    skb_network_header = "sk_buff:network_header",
    /// Offset of the link-layer header from `head`.
    skb_mac_header = "sk_buff:mac_header",
    /// Offset of the shared info from `head`.
    skb_end = "sk_buff:end",
    /// Start of the buffer.
    skb_head = "sk_buff:head",
    /// Start of the data.
    skb_data = "sk_buff:data",
    /// Number of fragments.
    shinfo_nr_frags = "skb_shared_info:nr_frags",
    /// Chain of further buffers.
    shinfo_frag_list = "skb_shared_info:frag_list",
    /// Fragments.
    shinfo_frags = "skb_shared_info:frags",
    /// Interface index.
    dev_ifindex = "net_device:ifindex",
    /// ARPHRD_*.
    dev_type = "net_device:type",
    /// IFF_*.
    dev_flags = "net_device:flags",
    /// Length of the link-layer header.
    dev_hard_header_len = "net_device:hard_header_len",
    /// Namespace.
    dev_net = "net_device:nd_net.net",
    /// Ring of a pipe.
    pipe_bufs = "pipe_inode_info:bufs",
    /// Filled by the loader: byte of `sk_buff` that holds the bit `vlan_present`, if there is one.
    skb_vlan_present = "",
}

/// Result of the program `probe`, see `probe.rs`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Probed {
    /// Thread group of the caller, initial pid namespace.
    pub tgid: u64,
    /// `f_op` of the descriptor that was asked about.
    pub file_op: u64,
    /// Pipe: address of its array of buffers.
    pub bufs: u64,
    /// Pipe: `struct page` of the first buffer.
    pub page: u64,
    /// The 32 bytes at the address that was asked about.
    pub bytes: [u8; 32],
    /// 1 if they could be read.
    pub readable: u64,
}
