//! docs/bundle-format.md says where every field of every record lies: it must say what the code does.

use formats::block;
use formats::event::{self, ProcessExec, ProcessExit, ProcessFork, SocketData, SocketState, StackSample};
use std::mem::{offset_of, size_of};

const DOC: &str = include_str!("../../../docs/bundle-format.md");

/// Fixed length and (offset, size, name) of the fields that the document gives for a record.
fn documented(heading: &str) -> (usize, Vec<(usize, usize, String)>) {
    let start = DOC.find(heading).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let section = DOC[start + heading.len()..].split("\n### ").next().unwrap();
    let fixed = section.split("Fixed length ").nth(1).unwrap();
    let fixed = fixed.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let fields = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (offset, size) = (cells.get(1)?.parse().ok()?, cells.get(2)?.parse().ok()?);
            let name = cells.get(3)?.split('`').nth(1).unwrap_or("").to_owned();
            (!name.is_empty()).then_some((offset, size, name))
        })
        .collect();
    (fixed, fields)
}

/// Size of a field, given how to get at it.
fn size<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! check {
    ($heading:literal, $record:ty: $($field:ident)*) => {
        let (fixed, fields) = documented($heading);
        assert_eq!(fixed, size_of::<$record>(), "{}", $heading);
        let expected = vec![$((offset_of!($record, $field), size(|r: &$record| &r.$field), stringify!($field).to_owned())),*];
        assert_eq!(fields, expected, "{}", $heading);
    };
}

#[test]
fn records() {
    check!("### 1 socket_data", SocketData: enter_ts sock peer ret tcp_seq fd netns flags data_len family protocol call
        local_port remote_port msg_index sock_type local_addr remote_addr more_len frame_at);
    check!("### 2 socket_state", SocketState: sock location netns reason seq len ifindex data_len event protocol old_state
        new_state family local_port remote_port ethertype local_addr remote_addr);
    check!("### 4 process_fork", ProcessFork: child_pid child_tid cgroup comm);
    check!("### 5 process_exec", ProcessExec: cgroup parent_pid uid filename_len args_len comm);
    check!("### 6 process_exit", ProcessExit: exit_code group_dead comm);
    check!("### 7 stack_sample", StackSample: period kernel_len user_len user_error comm);
}

#[test]
fn kinds_and_calls() {
    for kind in 0x100..=0x10cu16 {
        let row = format!("| 0x{kind:X} | {} |", block::kind_name(kind));
        assert!(DOC.contains(&row), "{row}");
    }
    for (number, name) in event::CALL_NAMES.iter().enumerate().skip(1) {
        assert!(DOC.contains(&format!("{number} {name}")), "{number} {name}");
    }
}
