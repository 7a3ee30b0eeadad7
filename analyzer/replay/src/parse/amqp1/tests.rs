use super::super::Conversation;
use super::super::script::{c, end, hex, lines, play, play_prefix, s, say};
use crate::model::{Side, Transport};

/// A frame of type 0, its performative a list of these items, then a payload.
fn frame(channel: u16, kind: u8, items: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
    typed(0, channel, kind, items, payload)
}

fn typed(sasl: u8, channel: u16, kind: u8, items: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
    let body = [described(kind, items), payload.to_vec()].concat();
    let size = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&size[..], &[2, sasl], &channel.to_be_bytes(), &body].concat()
}

/// A described list in its long form.
fn described(kind: u8, items: &[Vec<u8>]) -> Vec<u8> {
    let inner = items.concat();
    let size = u32::try_from(inner.len() + 4).unwrap().to_be_bytes();
    let count = u32::try_from(items.len()).unwrap().to_be_bytes();
    [&[0, 0x53, kind, 0xd0][..], &size, &count, &inner].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[0xa1, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn symbol(name: &str) -> Vec<u8> {
    [&[0xa3, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

fn null() -> Vec<u8> {
    vec![0x40]
}

fn uint(number: u8) -> Vec<u8> {
    vec![0x52, number]
}

fn yes() -> Vec<u8> {
    vec![0x41]
}

fn no() -> Vec<u8> {
    vec![0x42]
}

fn attach(name: &str, handle: u8, receives: bool, source: &str, target: &str) -> Vec<u8> {
    let role = if receives { yes() } else { no() };
    let ends = [described(0x28, &[text(source)]), described(0x29, &[text(target)])];
    let items = [text(name), uint(handle), role, null(), null(), ends[0].clone(), ends[1].clone()];
    frame(0, 0x12, &items, &[])
}

/// Settled or not, in one frame or more of them.
fn transfer(handle: u8, delivery: u8, settled: bool, more: bool, payload: &[u8]) -> Vec<u8> {
    let flag = |flag: bool| if flag { yes() } else { no() };
    let items = [uint(handle), uint(delivery), vec![0xa0, 1, delivery], uint(0), flag(settled), flag(more)];
    frame(0, 0x14, &items, payload)
}

/// Properties with a message id and a correlation id, application properties, a body.
fn content(id: &str, correlation: &str) -> Vec<u8> {
    let properties = described(0x73, &[text(id), null(), null(), null(), null(), text(correlation)]);
    let pairs = [text("traceparent"), text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")].concat();
    let map = [&[0, 0x53, 0x74, 0xc1, u8::try_from(pairs.len() + 1).unwrap(), 2][..], &pairs].concat();
    [properties, map, hex("00 53 75 a0 02 6869")].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let sasl = b"AMQP\x03\x01\0\0".to_vec();
    let header = b"AMQP\0\x01\0\0".to_vec();
    let open = |name: &str, host: Vec<u8>| frame(0, 0x10, &[text(name), host], &[]);
    let begin = |remote: Vec<u8>| frame(0, 0x11, &[remote, uint(0), uint(255), uint(255)], &[]);
    let error = described(0x1d, &[symbol("amqp:not-found"), text("no node 'gone'")]);
    let rejected = described(0x25, &[described(0x1d, &[symbol("amqp:precondition-failed"), text("too old")])]);
    vec![
        c(&sasl),
        s([sasl, typed(1, 0, 0x40, &[symbol("PLAIN")], &[])].concat()),
        c(typed(1, 0, 0x41, &[symbol("PLAIN"), hex("a0 06 00 67 00 73 73 73")], &[])),
        s(typed(1, 0, 0x44, &[vec![0x50, 0]], &[])),
        c([header.clone(), open("app", text("broker")), begin(null()), attach("l1", 0, false, "", "orders")].concat()),
        s([header, open("srv", null()), begin(hex("60 0000")), attach("l1", 0, true, "", "orders")].concat()),
        c(hex("00000008 02 00 0000")),
        // Three messages: one settled, two that are not, the last of them in two frames.
        c([
            transfer(0, 0, true, false, &content("m-0", "")),
            transfer(0, 1, false, false, &content("m-1", "")),
            transfer(0, 2, false, true, &content("m-2", "c-2")),
            transfer(0, 2, false, false, &[b'x'; 100]),
        ]
        .concat()),
        s([
            frame(0, 0x15, &[yes(), uint(1), null(), yes(), described(0x24, &[])], &[]),
            frame(0, 0x15, &[yes(), uint(2), uint(2), yes(), rejected], &[]),
        ]
        .concat()),
        // A link that the server refuses.
        c(attach("l2", 1, true, "gone", "")),
        s([attach("l2", 1, false, "", ""), frame(0, 0x16, &[uint(1), yes(), error], &[])].concat()),
        c([frame(0, 0x16, &[uint(1), yes()], &[]), frame(0, 0x18, &[], &[])].concat()),
        s(frame(0, 0x18, &[], &[])),
    ]
}

#[test]
fn links_and_messages() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "amqp SaslInit||PLAIN| ok 0",
            "amqp Open|broker|| ok",
            "amqp Begin|broker|| ok",
            "amqp Attach|broker|orders|orders ok",
            "amqp Transfer|broker|orders|orders unknown async",
            "amqp Transfer|broker|orders|orders ok 'accepted'",
            "amqp Transfer|broker|orders|orders client_error 'amqp:precondition-failed: too old' 'rejected'",
            "amqp Attach|broker|gone|gone ok",
            "amqp Detach|broker|gone|gone client_error 'amqp:not-found: no node 'gone''",
            "amqp Close|broker|| ok",
        ]
    );
    let ids: Vec<&str> = sessions[4..7].iter().map(|session| &*session.fields.x_request_id).collect();
    // A message that answers has the id of what it answers.
    assert_eq!(ids, ["m-0", "m-1", "c-2"]);
    assert_eq!(&*sessions[6].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    let two_frames =
        transfer(0, 2, false, true, &content("m-2", "c-2")).len() + transfer(0, 2, false, false, &[0; 100]).len();
    assert_eq!(sessions[6].request_bytes, two_frames as u64);
}

/// Joined where messages flow already; cut to 64 bytes a call.
#[test]
fn joined_and_cut() {
    let kinds = |sessions: &[crate::model::Session]| -> Vec<String> {
        sessions.iter().map(|session| session.fields.request_type.to_string()).collect()
    };
    assert_eq!(kinds(&play(&sample()[7..9])), ["Transfer"; 3]);
    let cut = play_prefix(5672, 64, &sample());
    assert!(kinds(&cut).starts_with(&["SaslInit".into(), "Open".into()]), "{:?}", kinds(&cut));
}

/// The answer is behind what was kept of a call: it is not the client's fault, which then closes, that it was not seen.
#[test]
fn an_answer_that_was_not_kept() {
    let mut script = sample();
    script.truncate(6);
    script.push(c(transfer(0, 1, false, false, &content("m-1", ""))));
    let accepted = frame(0, 0x15, &[yes(), uint(1), null(), yes(), described(0x24, &[])], &[]);
    script.push(s([transfer(0, 7, true, false, &[b'x'; 600]), accepted].concat()));
    let mut conversation = Conversation::new(Transport::Tcp, 40000, 5672);
    for (turn, (from, data)) in script.iter().enumerate() {
        let kept = &data[..data.len().min(512)];
        say(&mut conversation, *from, kept, data.len() - kept.len(), turn);
    }
    conversation.leaves(Side::Client);
    conversation.close(8_000_000);
    let lines = lines(&end(conversation, 8));
    let sent: Vec<&String> = lines.iter().filter(|line| line.starts_with("amqp Transfer|broker|orders")).collect();
    // The server's own message, of which not all was kept either, and the client's.
    let expected = [
        "amqp Transfer|broker|orders|orders unknown async [truncated_payload]",
        "amqp Transfer|broker|orders|orders unknown [gap]",
    ];
    assert_eq!(sent, expected, "{lines:?}");
}

/// Lists and strings of 4 GB, and a range of all deliveries.
#[test]
fn hostile_lengths() {
    let mut script = sample();
    script.truncate(6);
    let wide = frame(0, 0x15, &[yes(), hex("70 00000000"), hex("70 ffffffff"), yes(), described(0x24, &[])], &[]);
    let long = hex("00000014 02 00 0000 00 53 14 d0 ffffffff ffffffff");
    script.push(c([long, transfer(0, 1, false, false, &content("m", ""))].concat()));
    script.push(s(wide));
    assert_eq!(lines(&play(&script))[4..], ["amqp Transfer|broker|orders|orders ok 'accepted'"]);
}
