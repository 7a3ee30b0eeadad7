//! `interfaces`: where packets were captured.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "interfaces",
    command: "interfaces",
    about: "Interfaces of the capture: kind, network namespace, addresses, packets, what could not be decoded",
    brief: &[
        "interface_id",
        "name",
        "kind",
        "netns",
        "mtu_bytes",
        "addresses",
        "packets",
        "bytes",
        "undecoded_packets",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.interfaces, |c| {
        c.int("interface_id", |i| i.id);
        c.text("name", |i| &i.name);
        c.text("kind", |i| &i.kind);
        c.text("node", |i| a.node_name(i.node));
        c.nonzero("netns", |i| i.netns);
        c.nonzero("ifindex", |i| i.ifindex);
        c.text("mac", |i| &i.mac);
        c.nonzero("mtu_bytes", |i| i.mtu);
        c.written("addresses", |i, out| out.push_str(&i.addresses.join(",")));
        c.int("link_type", |i| i.link_type);
        c.int("packets", |i| i.packets);
        c.int("bytes", |i| i.bytes);
        c.int("undecoded_packets", |i| i.undecoded.values().sum::<u64>());
        c.written("undecoded", |i, out| {
            let counts: Vec<(&str, String)> = i.undecoded.iter().map(|(why, n)| (*why, n.to_string())).collect();
            for (place, (why, n)) in counts.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                out.push_str(why);
                out.push_str(": ");
                out.push_str(n);
            }
        });
    }))
}
