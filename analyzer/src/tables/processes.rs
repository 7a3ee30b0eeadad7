//! `processes`: the processes of the recording.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "processes",
    command: "processes",
    about: "Processes that were there or came up: names, command lines, containers, CPU samples, socket bytes",
    brief: &[
        "pid",
        "ppid",
        "name",
        "container",
        "start",
        "end",
        "exit_code",
        "cpu_samples",
        "socket_read_bytes",
        "socket_write_bytes",
        "command_line",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.processes, |c| {
        c.int("pid", |p| p.pid);
        c.nonzero("ppid", |p| p.ppid);
        c.text("name", |p| &p.name);
        c.text("command_line", |p| &p.command_line);
        c.text("exe", |p| &p.exe);
        c.text("build_id", |p| &p.build_id);
        c.text("cgroup", |p| &p.cgroup);
        c.text("container", |p| &p.container);
        c.text("node", |p| a.node_name(p.node));
        c.opt("uid", |p| p.uid);
        c.nonzero("netns", |p| p.netns);
        c.opt_time("start", |p| p.start);
        c.opt_time("end", |p| p.end);
        // As wait(2) gives it: the low seven bits are the signal, the next byte the status of exit(2).
        c.opt("exit_code", |p| p.exit_code.filter(|code| code & 0x7f == 0).map(|code| code >> 8 & 0xff));
        c.opt("exit_signal", |p| p.exit_code.map(|code| code & 0x7f).filter(|signal| *signal != 0));
        c.int("cpu_samples", |p| p.cpu_samples);
        c.int("socket_read_bytes", |p| p.socket_read_bytes);
        c.int("socket_write_bytes", |p| p.socket_write_bytes);
    }))
}
