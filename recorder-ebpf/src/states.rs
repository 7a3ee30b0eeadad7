//! What happens to sockets inside the kernel: TCP states, retransmissions, resets, dropped packets.

use crate::{
    filter,
    kernel::{Ptr, conf, load, offset, peek},
    layout::filter_bit,
    ring,
    socket::kept_port,
};
use aya_ebpf::{
    helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_kernel},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use formats::event::{SocketState, kind, state_event};

/// Bytes kept of a dropped packet, from its network header on.
const DROP_BYTES: u64 = 64;
const TCP_CLOSE: u8 = 7;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// What the programs fill in beside the socket.
#[derive(Default)]
struct Event {
    event: u8,
    location: u64,
    reason: u32,
    seq: u32,
    len: u32,
    ifindex: u32,
    netns: u32,
    ethertype: u16,
    old_state: u8,
    /// `Some` if it is not the socket's present one.
    new_state: Option<u8>,
    /// Bytes to copy, and from where.
    bytes: u64,
    from: u64,
}

#[inline(always)]
fn emit(sk: Ptr, e: &Event) -> Option<()> {
    let (mut family, mut protocol, mut state, mut netns) = (0, 0, 0, e.netns);
    let (mut local_port, mut remote_port) = (0, 0);
    let (mut local, mut remote) = ([0u64; 2], [0u64; 2]);
    if !sk.is_null() {
        family = load!(sk, sk_family as u16);
        protocol = peek::<u16>(sk as u64 + offset!(sk_protocol) as u64) as u8;
        state = load!(sk, sk_state as u8);
        let net = load!(sk, sk_net as Ptr);
        netns = load!(net, net_inum as u32);
        if family == AF_INET || family == AF_INET6 {
            local_port = load!(sk, sk_num as u16);
            // Only whole sockets can be closed: those of handshakes and of TIME_WAIT have no such member.
            if local_port == 0 && state == TCP_CLOSE {
                local_port = kept_port(sk as u64);
            }
            remote_port = load!(sk, sk_dport as u16).swap_bytes();
        }
        if family == AF_INET {
            local[0] = u64::from(load!(sk, sk_rcv_saddr as u32));
            remote[0] = u64::from(load!(sk, sk_daddr as u32));
        } else if family == AF_INET6 {
            local = peek(sk as u64 + offset!(sk_v6_rcv_saddr) as u64);
            remote = peek(sk as u64 + offset!(sk_v6_daddr) as u64);
        }
    }
    if conf!(filters) & filter_bit::PORTS != 0 && !filter::ports_wanted(local_port, remote_port) {
        return None;
    }
    let fixed = size_of::<SocketState>() as u64;
    let slot = ring::reserve(kind::SOCKET_STATE, fixed + e.bytes)?;
    let mut bytes = e.bytes;
    // SAFETY: at most DROP_BYTES; the record was reserved with room for it.
    unsafe {
        if bytes != 0 {
            let size = ring::masked(bytes, 127) as u32;
            if bpf_probe_read_kernel(slot.tail::<SocketState>(0).cast(), size, e.from as *const _) != 0 {
                bytes = 0;
            }
        }
        let r = slot.fixed::<SocketState>();
        let who = bpf_get_current_pid_tgid();
        (*r).hdr.kind = kind::SOCKET_STATE;
        (*r).hdr.fixed_len = fixed as u16;
        (*r).hdr.ts = bpf_ktime_get_ns();
        (*r).hdr.pid = (who >> 32) as u32;
        (*r).hdr.tid = who as u32;
        // The verifier lets no pointer be mixed, but a stored one read back is a number.
        (&raw mut (*r).sock).write_volatile(sk as u64);
        let plain = (&raw const (*r).sock).read_volatile();
        (*r).sock = if plain == 0 { 0 } else { plain ^ conf!(secret) };
        (*r).location = e.location;
        (*r).netns = netns;
        (*r).reason = e.reason;
        (*r).seq = e.seq;
        (*r).len = e.len;
        (*r).ifindex = e.ifindex;
        (*r).data_len = bytes as u32;
        (*r).event = e.event;
        (*r).protocol = protocol;
        (*r).old_state = e.old_state;
        (*r).new_state = e.new_state.unwrap_or(state);
        (*r).family = family;
        (*r).local_port = local_port;
        (*r).remote_port = remote_port;
        (*r).ethertype = e.ethertype;
        (*r).reserved = 0;
        (&raw mut (*r).local_addr).cast::<[u64; 2]>().write(local);
        (&raw mut (*r).remote_addr).cast::<[u64; 2]>().write(remote);
    }
    slot.commit();
    Some(())
}

/// A TCP connection changes state.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state_change(ctx: BtfTracePointContext) -> i32 {
    let (old, new): (u64, u64) = (ctx.arg(1), ctx.arg(2));
    let e = Event { event: state_event::STATE, old_state: old as u8, new_state: Some(new as u8), ..Default::default() };
    let _ = emit(ctx.arg(0), &e);
    0
}

/// A segment is sent again.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let skb: Ptr = ctx.arg(1);
    if skb.is_null() {
        return 0;
    }
    let e = Event {
        event: state_event::RETRANSMIT,
        seq: peek(skb as u64 + offset!(skb_cb) as u64),
        len: load!(skb, skb_len as u32),
        ..Default::default()
    };
    let _ = emit(ctx.arg(0), &e);
    0
}

/// A reset is sent. Without a socket (closed port) the packet that caused it tells to whom.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    let skb: Ptr = ctx.arg(1);
    let mut e = Event { event: state_event::RESET_SENT, ..Default::default() };
    if conf!(reset_has_reason) != 0 {
        e.reason = ctx.arg::<u64>(2) as u32;
    }
    if !skb.is_null() {
        e.ethertype = load!(skb, skb_protocol as u16).swap_bytes();
        e.ifindex = load!(skb, skb_iif as u32);
        e.bytes = DROP_BYTES;
        e.from = load!(skb, skb_head as u64) + u64::from(load!(skb, skb_network_header as u16));
    }
    let _ = emit(ctx.arg(0), &e);
    0
}

/// A reset arrives.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn reset_received(ctx: BtfTracePointContext) -> i32 {
    let e = Event { event: state_event::RESET_RECEIVED, ..Default::default() };
    let _ = emit(ctx.arg(0), &e);
    0
}

/// The kernel drops a packet.
#[btf_tracepoint(function = "kfree_skb")]
pub fn drop_packet(ctx: BtfTracePointContext) -> i32 {
    let _ = dropped(&ctx);
    0
}

#[inline(always)]
fn dropped(ctx: &BtfTracePointContext) -> Option<()> {
    let skb: Ptr = ctx.arg(0);
    let reason = ctx.arg::<u64>(2) as u32;
    // 0 is SKB_NOT_DROPPED_YET: whoever says so drops nothing.
    if skb.is_null() || reason == 0 || reason == conf!(reason_consumed) {
        return None;
    }
    let ethertype = load!(skb, skb_protocol as u16).swap_bytes();
    if ethertype != 0x0800 && ethertype != 0x86dd && ethertype != 0x0806 {
        return None;
    }
    let mut e = Event {
        event: state_event::DROP,
        location: ctx.arg(1),
        reason,
        len: load!(skb, skb_len as u32),
        ifindex: load!(skb, skb_iif as u32),
        ethertype,
        ..Default::default()
    };
    let head = load!(skb, skb_head as u64);
    let network = u64::from(load!(skb, skb_network_header as u16));
    // Whatever of it lies before the end of the buffer.
    let end = u64::from(load!(skb, skb_end as u32));
    if network < end {
        e.bytes = if end - network < DROP_BYTES { end - network } else { DROP_BYTES };
        e.from = head + network;
    }
    let own = load!(skb, skb_sk as Ptr);
    if !own.is_null() {
        return emit_checked(own, &e);
    }
    if conf!(drop_has_sock) != 0 {
        let receiver: Ptr = ctx.arg(3);
        if !receiver.is_null() {
            return emit_checked(receiver, &e);
        }
    }
    let dev = load!(skb, skb_dev as Ptr);
    // `dev` shares its place with other things while a packet waits in a socket: believe kernel addresses only.
    if (dev as i64) < 0 {
        let net = load!(dev, dev_net as Ptr);
        e.netns = load!(net, net_inum as u32);
        if e.ifindex == 0 {
            e.ifindex = load!(dev, dev_ifindex as u32);
        }
    }
    emit(core::ptr::null(), &e)
}

#[inline(always)]
fn emit_checked(sk: Ptr, e: &Event) -> Option<()> {
    emit(sk, e)
}
