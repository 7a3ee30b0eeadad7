//! Packets of every interface of every namespace, as libpcap would see them: received ones where
//! the stack takes them over, sent ones where the driver does. Nothing is attached to interfaces.

use crate::{
    filter,
    kernel::{Ptr, conf, load, offset, peek},
    layout::{MAX_TAIL, filter_bit},
    ring::{self, Slot, forget, masked},
    socket::at,
};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use formats::event::{Packet, direction, kind};

const IFF_LOOPBACK: u32 = 8;
/// `skb->mac_header` before it is set.
const NO_MAC_HEADER: u16 = 0xffff;
/// MAX_SKB_FRAGS as kernels are configured by default.
const MAX_FRAGS: u32 = 17;

/// A packet arrived at an interface.
#[btf_tracepoint(function = "netif_receive_skb")]
pub fn packet_in(ctx: BtfTracePointContext) -> i32 {
    let skb: Ptr = ctx.arg(0);
    let dev = load!(skb, skb_dev as Ptr);
    let _ = capture(skb, dev, direction::IN);
    0
}

/// A packet leaves by an interface. Those of the loopback device are recorded where they arrive, a moment later.
#[btf_tracepoint(function = "net_dev_start_xmit")]
pub fn packet_out(ctx: BtfTracePointContext) -> i32 {
    let skb: Ptr = ctx.arg(0);
    let dev: Ptr = ctx.arg(1);
    if load!(dev, dev_flags as u32) & IFF_LOOPBACK == 0 {
        let _ = capture(skb, dev, direction::OUT);
    }
    0
}

#[inline(always)]
fn capture(skb: Ptr, dev: Ptr, direction: u8) -> Option<()> {
    let ifindex = load!(dev, dev_ifindex as u32);
    let net = load!(dev, dev_net as Ptr);
    let netns = load!(net, net_inum as u32);
    if !filter::interface_wanted(netns, ifindex) {
        return None;
    }
    let head = load!(skb, skb_head as u64);
    let data = load!(skb, skb_data as u64);
    let len = load!(skb, skb_len as u32);
    let data_len = load!(skb, skb_data_len as u32);
    let ethertype = load!(skb, skb_protocol as u16).swap_bytes();
    let mac = load!(skb, skb_mac_header as u16);
    // Received: the link-layer header lies before `data`, if the device has one.
    let mut start = data;
    if direction == direction::IN && mac != NO_MAC_HEADER && load!(dev, dev_hard_header_len as u16) != 0 {
        let header = head + u64::from(mac);
        if header < data && data - header < 256 {
            start = header;
        }
    }
    let before = (data - start) as u32;
    let linear = u64::from(len - data_len + before);
    let wire_len = len + before;
    if conf!(filters) & filter_bit::PORTS != 0 && !ports_wanted(skb, head, data, ethertype, direction) {
        return None;
    }
    let mut want = u64::from(wire_len);
    let limit = u64::from(conf!(snaplen));
    if want > limit {
        want = limit;
    }
    let info = head + u64::from(load!(skb, skb_end as u32));
    let fixed = size_of::<Packet>() as u64;
    let slot = ring::reserve(kind::PACKET, fixed + want)?;
    let from_linear = if linear < want { linear } else { want };
    let (mut have, mut cut) = (from_linear, 0);
    // SAFETY: bounded by MAX_TAIL, which the slack has room for.
    unsafe {
        let to = slot.tail::<Packet>(0);
        if bpf_probe_read_kernel(to.cast(), masked(from_linear, MAX_TAIL) as u32, start as *const _) != 0 {
            (have, cut) = (0, 1);
        }
    }
    if have < want && cut == 0 {
        have = fragments(&slot, info, have, want);
        cut = u8::from(have < want);
    }
    let mut vlan_proto = load!(skb, skb_vlan_proto as u16).swap_bytes();
    let vlan_tci = load!(skb, skb_vlan_tci as u16);
    let present = conf!(vlan_present_mask);
    if present != 0 && peek::<u8>(skb as u64 + offset!(skb_vlan_present) as u64) & present as u8 == 0 {
        vlan_proto = 0;
    }
    let r = slot.fixed::<Packet>();
    // SAFETY: the record was reserved with room for the fixed part.
    unsafe {
        (*r).hdr.kind = kind::PACKET;
        (*r).hdr.fixed_len = fixed as u16;
        (*r).hdr.ts = bpf_ktime_get_ns();
        // Who happens to run says nothing of a packet, and asking costs a call.
        (*r).hdr.pid = 0;
        (*r).hdr.tid = 0;
        (*r).netns = netns;
        (*r).ifindex = ifindex;
        (*r).wire_len = wire_len;
        (*r).cap_len = have as u32;
        (*r).dev_type = load!(dev, dev_type as u16);
        (*r).vlan_tci = if vlan_proto == 0 { 0 } else { vlan_tci };
        (*r).vlan_proto = vlan_proto;
        (*r).direction = direction;
        (*r).nonlinear_cut = cut;
        (*r).ethertype = ethertype;
        (*r).reserved = [0; 6];
    }
    slot.commit();
    Some(())
}

/// Payload that lies in pages: their addresses follow from the address of their `struct page` and
/// one constant that the loader has found out. Stops at whatever is not a page.
#[inline(always)]
fn fragments(slot: &Slot, info: u64, start: u64, want: u64) -> u64 {
    let k = conf!(page_k);
    if k == 0 {
        return start;
    }
    // Number of fragments and the first one in one read, where they lie as they do in all kernels so far.
    let frags = info + offset!(shinfo_frags) as u64;
    let near = offset!(shinfo_frags) <= 48 && offset!(shinfo_nr_frags) < 64;
    let (count, first) = if near {
        let shared: [u64; 8] = peek(info);
        let count: u8 = at(&shared, offset!(shinfo_nr_frags));
        (u32::from(count), at(&shared, offset!(shinfo_frags)))
    } else {
        (u32::from(peek::<u8>(info + offset!(shinfo_nr_frags) as u64)), peek::<[u64; 2]>(frags))
    };
    let mut position = start;
    let mut i = 0;
    while i < MAX_FRAGS && i < count && position < want {
        let [page, len_offset] = if i == 0 { first } else { peek::<[u64; 2]>(frags + u64::from(i) * 16) };
        // The lowest bit marks memory that is no page (device memory).
        if page & 1 != 0 || page == 0 {
            break;
        }
        let len = len_offset & 0xffff_ffff;
        let rest = want - position;
        let take = forget(if len < rest { len } else { rest });
        let from = k.wrapping_add(page.wrapping_mul(64)) + (len_offset >> 32);
        let to = slot.tail::<Packet>(masked(position, MAX_TAIL));
        // SAFETY: position and length are bounded; the helper survives any address.
        if unsafe { bpf_probe_read_kernel(to.cast(), masked(take, MAX_TAIL) as u32, from as *const _) } != 0 {
            break;
        }
        position = forget(position + take);
        i += 1;
    }
    position
}

/// Looks at the transport header of an unfragmented, untunnelled packet. Others are turned away.
#[inline(always)]
fn ports_wanted(skb: Ptr, head: u64, data: u64, ethertype: u16, direction: u8) -> bool {
    let network =
        if direction == direction::IN { data } else { head + u64::from(load!(skb, skb_network_header as u16)) };
    let (at, protocol) = match ethertype {
        0x0800 => {
            let first: [u8; 12] = peek(network);
            (network + u64::from(first[0] & 15) * 4, first[9])
        }
        0x86dd => (network + 40, peek::<u8>(network + 6)),
        _ => return false,
    };
    // TCP, UDP, SCTP
    if protocol != 6 && protocol != 17 && protocol != 132 {
        return false;
    }
    let [source, destination] = peek::<[u16; 2]>(at);
    filter::ports_wanted(source.swap_bytes(), destination.swap_bytes())
}
