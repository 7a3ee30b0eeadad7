use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let tag = u32::from(number) << 3 | 2;
    let tag = if tag < 0x80 { vec![tag as u8] } else { vec![(tag & 0x7f | 0x80) as u8, (tag >> 7) as u8] };
    assert!(bytes.len() < 128);
    [tag, vec![bytes.len() as u8], bytes.to_vec()].concat()
}

fn command(number: u8, body: &[u8], payload: &[u8]) -> Vec<u8> {
    let command = [vec![8, number], field(number, body)].concat();
    let size = |len: usize| (len as u32).to_be_bytes();
    [&size(4 + command.len() + payload.len())[..], &size(command.len()), &command, payload].concat()
}

/// A message's metadata (with a checksum that nobody looks at) and its payload.
fn payload(metadata: &[u8]) -> Vec<u8> {
    [&hex("0e 01 de ad be ef")[..], &(metadata.len() as u32).to_be_bytes(), metadata, b"hello"].concat()
}

const TOPIC: &[u8] = b"persistent://shop/eu/orders";

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let trace =
        [field(1, b"traceparent"), field(2, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")].concat();
    let producer = field(1, b"p-1");
    let metadata = [producer, hex("10 00 18 01"), field(4, &trace)].concat();
    vec![
        c(command(
            2,
            &[field(1, b"Pulsar-Java-v3.1.0"), hex("20 13"), field(5, b"token"), field(6, b"b:6650")].concat(),
            &[],
        )),
        s(command(3, &[field(1, b"Pulsar Server3.2.0"), hex("10 13")].concat(), &[])),
        c([
            command(21, &[field(1, TOPIC), hex("10 01")].concat(), &[]),
            command(23, &[field(1, TOPIC), hex("10 02")].concat(), &[]),
        ]
        .concat()),
        // Answered the other way round.
        s(command(24, &[field(1, b"pulsar://b:6650"), hex("18 01 20 02")].concat(), &[])),
        s(command(22, &hex("08 03 10 01 18 00"), &[])),
        c(command(5, &[field(1, TOPIC), hex("10 00 18 03")].concat(), &[])),
        s(command(17, &[hex("08 03"), field(2, b"p-1")].concat(), &[])),
        c([command(6, &hex("08 00 10 00"), &payload(&metadata)), command(6, &hex("08 00 10 01"), &payload(&metadata))]
            .concat()),
        s([
            command(7, &[hex("08 00 10 00"), field(3, &hex("08 09 10 3c"))].concat(), &[]),
            // Of 4 bytes: the producer is fenced or the disk is full, 2 is PersistenceError.
            command(8, &[hex("08 00 10 01 18 02"), field(4, b"no space")].concat(), &[]),
        ]
        .concat()),
        c(command(4, &[field(1, TOPIC), field(2, b"sub"), hex("18 00 20 07 28 04")].concat(), &[])),
        s(command(14, &[hex("08 04 10 04"), field(3, b"not authorized")].concat(), &[])),
        s(command(18, &[], &[])),
        c(command(19, &[], &[])),
        c(command(11, &hex("08 07 10 e8 07"), &[])),
        s(command(
            9,
            &[hex("08 07"), field(2, &hex("08 09 10 3c 18 ff ff ff ff ff ff ff ff ff 01"))].concat(),
            &payload(&metadata),
        )),
    ]
}

#[test]
fn commands() {
    let sessions = play(&sample());
    let topic = "persistent://shop/eu/orders|orders";
    assert_eq!(
        lines(&sessions),
        [
            "pulsar connect|b:6650|| ok".to_owned(),
            format!("pulsar lookup_topic|b:6650|{topic} ok 'pulsar://b:6650'"),
            format!("pulsar partition_metadata|b:6650|{topic} ok '3 partitions'"),
            format!("pulsar producer|b:6650|{topic} ok"),
            format!("pulsar send|b:6650|{topic} ok"),
            format!("pulsar send|b:6650|{topic} server_error 2 'no space'"),
            format!("pulsar subscribe|b:6650|{topic} client_error 4 'not authorized'"),
            "pulsar ping|b:6650|| ok".to_owned(),
            format!("pulsar flow|b:6650|{topic} unknown async"),
            format!("pulsar message|b:6650|{topic} unknown async"),
        ]
    );
    let (sent, received) = (&sessions[4].fields, &sessions[9].fields);
    assert_eq!((&*sent.trace_id, &*sent.x_request_id), ("0af7651916cd43dd8448eb211c80319c", "9:60:-1:-1"));
    assert_eq!((&sent.trace_id, &sent.x_request_id), (&received.trace_id, &received.x_request_id));
    assert_eq!(&*sessions[0].fields.user_agent, "Pulsar-Java-v3.1.0");
}

#[test]
fn joined_in_the_middle() {
    // A frame that starts like others' length-prefixed messages, but whose command does not fill its size.
    assert!(play(&[c(hex("00 00 00 10 00 00 00 08 08 15 aa 01 20 0a 24 70 65 72 73 69"))]).is_empty());
    assert_eq!(lines(&play(&sample()[8..9])).len(), 2);
}

/// A batch whose first message has `traceparent` among its properties, compressed by lz4.block, zlib, the `zstd` program and python-snappy.
#[test]
fn compressed_batches() {
    let packed = [
        (
            1,
            "f0410000004a0a460a0b7472616365706172656e74123730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d303118026869",
        ),
        (
            2,
            "789c05c1310e80200c0040e2889b939f206929b6f001077f012d46176388ff8f77ceb9c3ef7efe46d5fed6d19f6f118000f514deb020ab2532cb29e5de22a266202c1a9a54e326c825021161005ca7ebfe0137fe141c",
        ),
        (
            3,
            "28b52ffd04588102000000004a0a460a0b7472616365706172656e74123730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d303118026869cf404355",
        ),
        (
            4,
            "50f04f0000004a0a460a0b7472616365706172656e74123730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d303118026869",
        ),
    ];
    for (packing, batch) in packed {
        // Producer, sequence, time; compression; two messages in the batch.
        let metadata = [field(1, b"p-1"), hex("10 00 18 01"), vec![8 << 3, packing], hex("58 02")].concat();
        let whole =
            [&hex("0e 01 de ad be ef")[..], &(metadata.len() as u32).to_be_bytes(), &metadata, &hex(batch)].concat();
        let mut script = sample()[..7].to_vec();
        script.push(c(command(6, &hex("08 00 10 00 18 02"), &whole)));
        let sessions = play(&script);
        let sent = sessions.iter().find(|session| &*session.fields.request_type == "send").unwrap();
        assert_eq!(&*sent.fields.trace_id, "0af7651916cd43dd8448eb211c80319c", "{packing}");
    }
}
