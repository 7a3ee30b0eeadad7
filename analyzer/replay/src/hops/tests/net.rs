//! A network on paper: what each place of a chain sees of packets that pass it.

use crate::engine::{Options, replay};
use crate::model::Replayed;
use formats::pcapng::{InterfaceDesc, SectionInfo, Writer};
use std::path::{Path, PathBuf};

pub(super) const US: i64 = 1_000;
pub(super) const MS: i64 = 1_000_000;
/// When everything begins.
pub(super) const START: i64 = 1_700_000_000_000_000_000;

pub(super) type Address = ([u8; 4], u16);

/// A packet as its sender made it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) at: i64,
    pub(super) from_client: bool,
    /// 6 or 17.
    pub(super) protocol: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) ip_id: u16,
    /// TCP timestamps.
    pub(super) stamps: Option<(u32, u32)>,
    pub(super) payload: Vec<u8>,
}

/// One place.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) name: &'static str,
    /// What packets take from the place before it, on the way to the server and back.
    pub(super) delay: [i64; 2],
    pub(super) client: Address,
    pub(super) server: Address,
    /// VXLAN network around it.
    pub(super) vni: Option<u32>,
    /// Last bytes of the link-layer addresses.
    pub(super) macs: [u8; 2],
    pub(super) vlan: Option<u16>,
}

pub(super) fn point(name: &'static str, delay: [i64; 2], client: Address, server: Address) -> Point {
    Point { name, delay, client, server, vni: None, macs: [1, 2], vlan: None }
}

fn ipv4(protocol: u8, id: u16, from: [u8; 4], to: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0];
    p.extend((20 + body.len() as u16).to_be_bytes());
    p.extend(id.to_be_bytes());
    p.extend([0x40, 0, 64, protocol, 0, 0]);
    p.extend(from);
    p.extend(to);
    p.extend(body);
    p
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut p = Vec::new();
    p.extend(from.to_be_bytes());
    p.extend(to.to_be_bytes());
    p.extend((8 + payload.len() as u16).to_be_bytes());
    p.extend([0, 0]);
    p.extend(payload);
    p
}

impl Packet {
    pub(super) fn frame(&self, at: &Point) -> Vec<u8> {
        let (from, to) = if self.from_client { (at.client, at.server) } else { (at.server, at.client) };
        let body = if self.protocol == 17 {
            udp(from.1, to.1, &self.payload)
        } else {
            let options = match self.stamps {
                None => vec![],
                Some((value, echo)) => {
                    [vec![1, 1, 8, 10], value.to_be_bytes().to_vec(), echo.to_be_bytes().to_vec()].concat()
                }
            };
            let mut p = Vec::new();
            p.extend(from.1.to_be_bytes());
            p.extend(to.1.to_be_bytes());
            p.extend(self.seq.to_be_bytes());
            p.extend(self.ack.to_be_bytes());
            p.extend([(5 + options.len() as u8 / 4) << 4, self.flags, 1, 0, 0, 0, 0, 0]);
            p.extend(options);
            p.extend(&self.payload);
            p
        };
        let mut ip = ipv4(self.protocol, self.ip_id, from.0, to.0, &body);
        let ethernet = |ip: Vec<u8>, vlan: Option<u16>| {
            let macs = if self.from_client { at.macs } else { [at.macs[1], at.macs[0]] };
            let mut f = vec![2, 0, 0, 0, 0, macs[1], 2, 0, 0, 0, 0, macs[0]];
            if let Some(vlan) = vlan {
                f.extend([0x81, 0]);
                f.extend(vlan.to_be_bytes());
            }
            f.extend([8, 0]);
            f.extend(ip);
            f
        };
        if let Some(vni) = at.vni {
            let mut inside = vec![8, 0, 0, 0];
            inside.extend((vni << 8).to_be_bytes());
            inside.extend(ethernet(ip, None));
            let (a, b) = ([172, 16, 0, 1], [172, 16, 0, 2]);
            let (a, b) = if self.from_client { (a, b) } else { (b, a) };
            ip = ipv4(17, self.ip_id ^ 0x5555, a, b, &udp(50_000, 4789, &inside));
        }
        ethernet(ip, at.vlan)
    }
}

/// (point, time, frame) of everything that is seen; `lost` says which packet does not get to which point.
pub(super) fn carry(
    points: &[Point],
    packets: &[Packet],
    lost: impl Fn(usize, &Packet) -> bool,
) -> Vec<(usize, i64, Vec<u8>)> {
    let mut all = Vec::new();
    for packet in packets {
        let mut at = packet.at;
        let order: Vec<usize> =
            if packet.from_client { (0..points.len()).collect() } else { (0..points.len()).rev().collect() };
        for (n, &i) in order.iter().enumerate() {
            if n > 0 {
                at += if packet.from_client { points[i].delay[0] } else { points[i + 1].delay[1] };
                if lost(i, packet) {
                    break;
                }
            }
            all.push((i, at, packet.frame(&points[i])));
        }
    }
    all.sort();
    all.sort_by_key(|one| one.1);
    all
}

/// Writes what some of the points saw as one file, whose clock is ahead by `ahead`.
pub(super) fn capture(
    folder: &Path,
    name: &str,
    points: &[Point],
    seen: &[(usize, i64, Vec<u8>)],
    of: &[usize],
    ahead: impl Fn(i64) -> i64,
) -> PathBuf {
    let path = folder.join(name);
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap(), &SectionInfo::default()).unwrap();
    // Points of one name are one interface.
    let mut interfaces: Vec<&str> = Vec::new();
    for &i in of {
        if !interfaces.contains(&points[i].name) {
            interfaces.push(points[i].name);
            let desc = InterfaceDesc { name: points[i].name.into(), ..InterfaceDesc::default() };
            writer.interface(&desc).unwrap();
        }
    }
    for (i, at, frame) in seen.iter().filter(|s| of.contains(&s.0)) {
        let interface = interfaces.iter().position(|n| *n == points[*i].name).unwrap();
        let ts = (START + at + ahead(*at)) as u64;
        writer.packet(interface as u32, ts, 0, frame.len() as u32, &[frame], "").unwrap();
    }
    writer.finish().unwrap();
    path
}

pub(super) fn run(inputs: &[PathBuf]) -> Replayed {
    let with = |threads| replay(inputs, &Options { threads, ..Options::default() }).unwrap();
    let (one, two) = (with(1), with(3));
    let text = |r: &Replayed| format!("{:?}{:?}{:?}{:?}", r.hops, r.clocks, r.conversations, r.exchanges);
    assert_eq!(text(&one), text(&two), "rows must not depend on the number of threads");
    one
}

/// All points in one file.
pub(super) fn replayed(points: &[Point], seen: &[(usize, i64, Vec<u8>)]) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<usize> = (0..points.len()).collect();
    run(&[capture(folder.path(), "one.pcapng", points, seen, &all, |_| 0)])
}

/// Makes the packets of one TCP connection.
#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) at: i64,
    pub(super) packets: Vec<Packet>,
    next: [u32; 2],
    ip_id: [u16; 2],
    stamps: bool,
    ids: bool,
}

impl Tcp {
    pub(super) fn new(at: i64, isn: [u32; 2], stamps: bool, ids: bool) -> Self {
        Self { at, packets: Vec::new(), next: isn, ip_id: [isn[0] as u16 | 1, isn[1] as u16 | 1], stamps, ids }
    }

    /// A segment that goes `after` ns after the last one; returns its place.
    pub(super) fn send(&mut self, after: i64, from_client: bool, flags: u8, payload: &[u8]) -> usize {
        self.at += after;
        let (mine, theirs) = (usize::from(!from_client), usize::from(from_client));
        self.ip_id[mine] = self.ip_id[mine].wrapping_add(1);
        let stamp = 0x5000_0000 + (self.at / MS) as u32;
        let packet = Packet {
            at: self.at,
            from_client,
            protocol: 6,
            seq: self.next[mine],
            ack: if flags & 0x10 != 0 { self.next[theirs] } else { 0 },
            flags,
            ip_id: if self.ids { self.ip_id[mine] } else { 0 },
            stamps: self.stamps.then_some((stamp, stamp - 7)),
            payload: payload.to_vec(),
        };
        self.next[mine] = self.next[mine]
            .wrapping_add(payload.len() as u32)
            .wrapping_add(u32::from(flags & 1 != 0) + u32::from(flags & 2 != 0));
        self.packets.push(packet);
        self.packets.len() - 1
    }

    /// The same segment again.
    pub(super) fn resend(&mut self, after: i64, which: usize) {
        self.at += after;
        let mut again = self.packets[which].clone();
        let mine = usize::from(!again.from_client);
        self.ip_id[mine] = self.ip_id[mine].wrapping_add(1);
        again.at = self.at;
        if self.ids {
            again.ip_id = self.ip_id[mine];
        }
        if self.stamps {
            let stamp = 0x5000_0000 + (self.at / MS) as u32;
            again.stamps = Some((stamp, stamp - 7));
        }
        self.packets.push(again);
    }

    pub(super) fn open(&mut self) {
        self.send(0, true, 0x02, b"");
        self.send(20 * MS, false, 0x12, b"");
        self.send(20 * MS, true, 0x10, b"");
    }

    pub(super) fn close(&mut self) {
        self.send(5 * MS, true, 0x11, b"");
        self.send(20 * MS, false, 0x11, b"");
        self.send(20 * MS, true, 0x10, b"");
    }
}
