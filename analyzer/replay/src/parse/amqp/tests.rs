use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn frame(kind: u8, channel: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, channel];
    bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes.push(0xce);
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let publish = [hex("003c 0028 0000 03"), b"exc\x03key\0".to_vec()].concat();
    let header = hex("003c 0000 0000000000000005 0000");
    let declare = [hex("0032 000a 0000 01"), b"q".to_vec(), hex("00 00000000")].concat();
    let close = [hex("0014 0028 0194 09"), b"NOT_FOUND".to_vec(), hex("0032 000a")].concat();
    vec![
        c(b"AMQP\0\0\x09\x01"),
        s(frame(1, 0, &hex("000a 000a 0009 00000000 00000000 00000000"))),
        c(frame(1, 0, &hex("000a 000b 00000000 00 00000000 00"))),
        c(frame(1, 0, &[hex("000a 0028 01"), b"/\0\0".to_vec()].concat())),
        s(frame(1, 0, &hex("000a 0029 00"))),
        c([frame(1, 1, &publish), frame(2, 1, &header), frame(3, 1, b"hello")].concat()),
        c(frame(1, 1, &declare)),
        s(frame(1, 1, &close)),
        c(frame(1, 1, &hex("0014 0029"))),
    ]
}

#[test]
fn methods_and_content() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "amqp Connection.Start||| ok 'Connection.StartOk'",
            "amqp Connection.Open|/|| ok 'Connection.OpenOk'",
            "amqp Basic.Publish|/|exc.key|exc.key unknown async",
            "amqp Queue.Declare|/|q|q client_error 404 'NOT_FOUND'",
            "amqp Channel.Close|/|| client_error 404 'NOT_FOUND' 'Channel.CloseOk'",
        ]
    );
    // Three frames: 15, 14 and 5 bytes of content, 8 each for the frames.
    assert_eq!(sessions[2].request_bytes, 15 + 14 + 5 + 24);
}

#[test]
fn headers_carry_trace_context() {
    let mut script = sample();
    let mut table = b"\x01nS".to_vec();
    table.extend(hex("00000001"));
    table.extend(b"x\x0btraceparentS\0\0\0\x37");
    table.extend(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let mut header = hex("003c 0000 0000000000000005 2000");
    header.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
    header.extend(table);
    let publish = [hex("003c 0028 0000 03"), b"exc\x03key\0".to_vec()].concat();
    script[5] = c([frame(1, 1, &publish), frame(2, 1, &header), frame(3, 1, b"hello")].concat());
    let sessions = play(&script);
    assert_eq!(&*sessions[2].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*sessions[2].fields.span_id, "b7ad6b7169203331");
}

/// What is declared with `no-wait` is not answered; the next answer is that of the next question.
#[test]
fn no_wait() {
    let declare = |bits: u8| [hex("0032 000a 0000 01"), b"q".to_vec(), vec![bits], hex("00000000")].concat();
    let consume = [hex("003c 0014 0000 01"), b"q\x01t".to_vec(), hex("08 00000000")].concat();
    let mut script = sample();
    script.truncate(5);
    script.push(c([frame(1, 1, &declare(0x10)), frame(1, 1, &consume), frame(1, 1, &declare(2))].concat()));
    script.push(s(frame(1, 1, &[hex("0032 000b 01"), b"q".to_vec(), hex("00000000 00000000")].concat())));
    script.push(c(frame(1, 0, &[hex("000a 0046 00000003"), b"new\0".to_vec()].concat())));
    script.push(s(frame(1, 0, &hex("000a 0047"))));
    assert_eq!(
        lines(&play(&script))[2..],
        [
            "amqp Queue.Declare|/|q|q unknown async",
            "amqp Basic.Consume|/|q|q unknown async",
            "amqp Queue.Declare|/|q|q ok 'Queue.DeclareOk'",
            "amqp Connection.UpdateSecret|/|| ok 'Connection.UpdateSecretOk'",
        ]
    );
}

/// A message in three frames of which the second was not captured is still told.
#[test]
fn content_with_a_gap() {
    let publish = [hex("003c 0028 0000 03"), b"exc\x03key\0".to_vec()].concat();
    let header = hex("003c 0000 0000000000001770 0000");
    let first = [frame(1, 1, &publish), frame(2, 1, &header), frame(3, 1, &[b'a'; 2000])].concat();
    let declare = [hex("0032 000a 0000 01"), b"q".to_vec(), hex("00 00000000")].concat();
    let mut script = sample();
    script.truncate(5);
    let mut conversation = crate::parse::Conversation::new(crate::model::Transport::Tcp, 40000, 5672);
    for (turn, (from, data)) in script.iter().enumerate() {
        super::super::script::say(&mut conversation, *from, data, 0, turn);
    }
    super::super::script::say(&mut conversation, Side::Client, &first, 4016, 5);
    super::super::script::say(&mut conversation, Side::Client, &frame(1, 1, &declare), 0, 6);
    assert_eq!(
        lines(&super::super::script::end(conversation, 7))[2..],
        [
            "amqp Basic.Publish|/|exc.key|exc.key unknown async [truncated_payload]",
            "amqp Queue.Declare|/|q|q unknown [ended_after]",
        ]
    );
}
