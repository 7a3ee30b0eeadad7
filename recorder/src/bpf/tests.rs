//! Type information: a hand-made piece of it.

use super::btf::Btf;

/// `struct s { int a; union { long b; struct { char pad; char c; }; }; unsigned d:3; }` and an enum, built by hand
/// after Documentation/bpf/btf.rst.
fn sample() -> Vec<u8> {
    let strings = b"\0int\0long\0char\0s\0a\0b\0pad\0c\0d\0e\0ONE\0TWO\0";
    let at = |name: &str| {
        let needle = format!("\0{name}\0");
        strings.windows(needle.len()).position(|w| w == needle.as_bytes()).map_or(0, |p| p as u32 + 1)
    };
    let mut types: Vec<u32> = Vec::new();
    let info = |kind: u32, count: u32, flag: u32| (flag << 31) | (kind << 24) | count;
    types.extend([at("int"), info(1, 0, 0), 4, 32]); // 1
    types.extend([at("long"), info(1, 0, 0), 8, 64]); // 2
    types.extend([at("char"), info(1, 0, 0), 1, 8]); // 3
    types.extend([0, info(4, 2, 0), 2, at("pad"), 3, 0, at("c"), 3, 8]); // 4
    types.extend([0, info(5, 2, 0), 8, at("b"), 2, 0, 0, 4, 0]); // 5
    types.extend([at("s"), info(4, 3, 1), 24, at("a"), 1, 0, 0, 5, 64, at("d"), 1, (3 << 24) | 129]); // 6
    types.extend([at("e"), info(6, 2, 0), 4, at("ONE"), 1, at("TWO"), 2]); // 7
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_le_bytes());
    bytes.extend([1, 0]);
    for word in [24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(types.iter().flat_map(|w| w.to_le_bytes()));
    bytes.extend(strings);
    bytes
}

#[test]
fn members_are_found_through_anonymous_structures() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.offset("s:a").unwrap(), 0);
    assert_eq!(btf.offset("s:b").unwrap(), 8);
    assert_eq!(btf.offset("s:c").unwrap(), 9);
    assert_eq!(btf.place("s:d").map(|p| p.bits), Some(129));
    assert!(btf.offset("s:d").is_err(), "a bit field has no byte offset");
    assert!(btf.offset("s:x").is_err());
    assert!(btf.offset("t:a").is_err());
}

#[test]
fn values_of_an_enum() {
    let values = Btf::parse(sample()).unwrap().values("e");
    assert_eq!(values.get(&1).map(String::as_str), Some("ONE"));
    assert_eq!(values.get(&2).map(String::as_str), Some("TWO"));
    assert_eq!(values.len(), 2);
}

#[test]
fn cut_type_information_is_an_error_and_never_a_panic() {
    let whole = sample();
    for len in 0..whole.len() {
        if let Ok(btf) = Btf::parse(whole[..len].to_vec()) {
            let _ = (btf.place("s:c"), btf.values("e"));
        }
    }
    for i in 0..whole.len() {
        let mut bent = whole.clone();
        bent[i] ^= 0xff;
        if let Ok(btf) = Btf::parse(bent) {
            let _ = (btf.place("s:c"), btf.values("e"), btf.tracepoint_arguments("x"));
        }
    }
}
