use super::super::script::{c, lines, play, s};
use crate::model::Side;

fn text(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(u32::try_from(value.len() + 1).unwrap().to_le_bytes());
    bytes.extend(value.as_bytes());
    bytes.push(0);
    bytes
}

fn double(name: &str, value: f64) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(value.to_le_bytes());
    bytes
}

fn document(parts: &[Vec<u8>]) -> Vec<u8> {
    let inner = parts.concat();
    let mut bytes = u32::try_from(inner.len() + 5).unwrap().to_le_bytes().to_vec();
    bytes.extend(inner);
    bytes.push(0);
    bytes
}

fn message(id: u32, to: u32, document: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(document.len() + 21).unwrap().to_le_bytes().to_vec();
    for number in [id, to, 2013, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(document);
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let mut filter = vec![3];
    filter.extend(b"filter\0");
    filter.extend(document(&[text("name", "alice")]));
    let find = document(&[text("find", "users"), filter, text("$db", "shop")]);
    let bad = document(&[text("frob", "users"), text("$db", "shop")]);
    let error = document(&[double("ok", 0.0), text("errmsg", "no such command: 'frob'"), double("code", 59.0)]);
    vec![
        c([message(1, 0, &find), message(2, 0, &bad)].concat()),
        s([message(9, 2, &error), message(10, 1, &document(&[double("ok", 1.0)]))].concat()),
    ]
}

#[test]
fn commands_by_id() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "mongodb frob|shop|{\"frob\": \"users\", \"$db\": \"shop\"}|users server_error 59 'no such command: 'frob''",
            "mongodb find|shop|{\"find\": \"users\", \"filter\": {\"name\": ?}, \"$db\": \"shop\"}|users ok",
        ]
    );
}
