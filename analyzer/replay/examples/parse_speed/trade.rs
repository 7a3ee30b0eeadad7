//! Ordinary traffic of message queues, calls between services, and databases that are told by binary heads.

use super::{Script, client, server};
use replay::model::Transport;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PAYLOAD: [u8; 400] = [b'v'; 400];

fn size(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or_default().to_be_bytes()
}

fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or_default().to_be_bytes()
}

/// Bytes in a field of Protocol Buffers.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).unwrap_or_default();
    let len = if len < 128 { vec![len] } else { vec![len, 1] };
    [&[number << 3 | 2][..], &len, bytes].concat()
}

fn pair() -> Vec<u8> {
    [field(1, b"traceparent"), field(2, TRACE.as_bytes())].concat()
}

fn tds() -> Script {
    let packet =
        |kind: u8, last: u8, body: &[u8]| [&[kind, last][..], &short(body.len() + 8), &[0, 0, 1, 0], body].concat();
    let sql = "SELECT id, name, price FROM dbo.orders WHERE customer_id = @p1 AND state = @p2 ORDER BY id";
    let wide: Vec<u8> = sql.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut ask = vec![0x16, 0, 0, 0, 0x12, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    ask.extend(&wide);
    let mut rows = vec![0x81, 3, 0];
    for _ in 0..40 {
        rows.extend([&[0xd1][..], &PAYLOAD[..90]].concat());
    }
    let (first, second) = rows.split_at(2000);
    let end = [second, &[0xfd, 0x10, 0, 0xc1, 0, 40, 0, 0, 0, 0, 0, 0, 0]].concat();
    vec![client(packet(1, 1, &ask)), server([packet(4, 0, first), packet(4, 1, &end)].concat())]
}

fn pulsar() -> (Script, Script) {
    let command = |number: u8, body: &[u8], payload: &[u8]| {
        let command = [&[8, number][..], &field(number, body)].concat();
        [&size(4 + command.len() + payload.len())[..], &size(command.len()), &command, payload].concat()
    };
    let metadata = [field(1, b"standalone-0-6"), vec![0x10, 1, 0x18, 1], field(4, &pair())].concat();
    let payload = [&[0x0e, 1, 1, 2, 3, 4][..], &size(metadata.len()), &metadata, &PAYLOAD].concat();
    let open = [field(1, b"persistent://public/default/orders"), vec![0x10, 0, 0x18, 1]].concat();
    let start = vec![client(command(5, &open, &[])), server(command(13, &[8, 1], &[]))];
    let receipt = [vec![8, 0, 0x10, 7], field(3, &[8, 9, 0x10, 60])].concat();
    (start, vec![client(command(6, &[8, 0, 0x10, 7], &payload)), server(command(7, &receipt, &[]))])
}

fn rocketmq() -> Script {
    let command = |head: &str, body: &[u8]| {
        [&size(4 + head.len() + body.len())[..], &size(head.len()), head.as_bytes(), body].concat()
    };
    let ask = format!(
        r#"{{"code":310,"extFields":{{"a":"shop-producers","b":"orders","c":"TBW102","d":"4","e":"1","f":"0","g":"1741340898019","h":"0","i":"UNIQ_KEY\u00017F00000100017DA635C02100C2E3011C\u0002WAIT\u0001true\u0002TAGS\u0001new\u0002traceparent\u0001{TRACE}","j":"0","k":"false","m":"false"}},"flag":0,"language":"JAVA","opaque":688,"serializeTypeCurrentRPC":"JSON","version":399}}"#
    );
    let answer = r#"{"code":0,"extFields":{"queueId":"1","TRACE_ON":"true","MSG_REGION":"DefaultRegion","msgId":"0A6038D800002A9F0000000000201184","queueOffset":"1357"},"flag":1,"language":"JAVA","opaque":688,"serializeTypeCurrentRPC":"JSON","version":399}"#;
    vec![client(command(&ask, &PAYLOAD)), server(command(answer, &[]))]
}

fn zmtp() -> (Script, Script) {
    let mut greeting = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    greeting.resize(64, 0);
    let ready = |socket: &str| {
        let body = [b"\x05READY\x0bSocket-Type\0\0\0\x03", socket.as_bytes()].concat();
        [&[4, u8::try_from(body.len()).unwrap_or_default()][..], &body].concat()
    };
    let start = vec![client(&greeting), server(&greeting), client(ready("REQ")), server(ready("REP"))];
    let message = [&[1, 0, 2, 0, 0, 0, 0, 0, 0][..], &short(PAYLOAD.len()), &PAYLOAD].concat();
    (start, vec![client(&message), server(&message)])
}

fn zookeeper() -> (Script, Script) {
    let frame = |parts: &[&[u8]]| [&size(parts.iter().map(|part| part.len()).sum())[..], &parts.concat()].concat();
    let open = frame(&[&[0; 12], &[0, 0, 0x27, 0x10], &[0; 8], &size(16), &[0; 17]]);
    let opened = frame(&[&[0; 4], &[0, 0, 0x27, 0x10], &[1; 8], &size(16), &[1; 17]]);
    let path = b"/shop/stock/items/4711";
    let ask = frame(&[&size(7), &size(5), &size(path.len()), path, &size(PAYLOAD.len()), &PAYLOAD, &[0xff; 4]]);
    let answer = frame(&[&size(7), &[0; 12], &[0; 68]]);
    (vec![client(open), server(opened)], vec![client(ask), server(answer)])
}

fn brpc() -> Script {
    let message =
        |meta: &[u8]| [&b"PRPC"[..], &size(meta.len() + PAYLOAD.len()), &size(meta.len()), meta, &PAYLOAD].concat();
    let call = [field(1, b"example.EchoService"), field(2, b"Echo"), vec![0x18, 1]].concat();
    let ask = [field(1, &call), vec![0x20, 7], field(9, &pair())].concat();
    vec![client(message(&ask)), server(message(&[0x12, 2, 8, 0, 0x20, 7]))]
}

fn sofarpc() -> Script {
    let text = |text: &str| [&size(text.len())[..], text.as_bytes()].concat();
    let body = |class: &str, headers: &[u8]| {
        [&short(class.len())[..], &short(headers.len()), &size(400), class.as_bytes(), headers, &PAYLOAD].concat()
    };
    let headers = [
        text("sofa_head_target_service"),
        text("com.shop.StockService:1.0"),
        text("sofa_head_method_name"),
        text("reserve"),
        text("new_rpc_trace_context"),
        text("tcid=0a2200ce1670900283956100813525&spid=0&pspid=&sample=true&"),
    ]
    .concat();
    let ask = body("com.alipay.sofa.rpc.core.request.SofaRequest", &headers);
    let answer = body("com.alipay.sofa.rpc.core.response.SofaResponse", &[]);
    vec![
        client([&[1, 1, 0, 1, 1, 0, 0, 0, 7, 1, 0, 0, 11, 184][..], &ask].concat()),
        server([&[1, 0, 0, 2, 1, 0, 0, 0, 7, 1, 0, 0][..], &answer].concat()),
    ]
}

fn tars() -> Script {
    let packet = |body: Vec<u8>| [&size(body.len() + 4)[..], &body].concat();
    let bytes = |tag: u8| [&[tag << 4 | 13, 0, 1][..], &short(PAYLOAD.len()), &PAYLOAD].concat();
    let text =
        |tag: u8, text: &str| [&[tag << 4 | 6, u8::try_from(text.len()).unwrap_or_default()], text.as_bytes()].concat();
    let context = [vec![0x98, 0, 1], text(0, "traceparent"), text(1, TRACE)].concat();
    let ask = [
        vec![0x10, 1, 0x2c, 0x3c, 0x40, 7],
        text(5, "Shop.StockServer.StockObj"),
        text(6, "reserve"),
        bytes(7),
        vec![0x81, 0x0b, 0xb8],
        context,
        vec![0xa8, 0x0c],
    ];
    let answer = [vec![0x10, 1, 0x2c, 0x30, 7, 0x4c, 0x5c], bytes(6), vec![0x78, 0x0c]];
    vec![client(packet(ask.concat())), server(packet(answer.concat()))]
}

fn openwire() -> Script {
    let command = |kind: u8, body: &[u8]| [&size(body.len() + 1)[..], &[kind], body].concat();
    let utf = |text: &str| [&short(text.len())[..], text.as_bytes()].concat();
    let producer =
        [&[1, 0x7b, 1][..], &utf("ID:web1-43117-1706669422443-0:1"), &[0, 0, 0, 0, 0, 0, 0, 1].repeat(2)].concat();
    let properties = [&[0, 0, 0, 1][..], &utf("traceparent"), &[9], &utf(TRACE)].concat();
    let message = [
        &[0, 0, 0, 7, 1][..],
        &producer,
        &[1, 100, 1],
        &utf("orders"),
        &[0, 0, 1, 110, 0],
        &producer,
        &[0; 16],
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 8],
        &[4, 0],
        &[0; 8],
        &[0, 1],
        &size(PAYLOAD.len()),
        &PAYLOAD,
        &[1],
        &size(properties.len()),
        &properties,
    ]
    .concat();
    vec![client(command(28, &message)), server(command(30, &[0, 0, 0, 0, 0, 0, 0, 0, 7]))]
}

fn oracle() -> Script {
    let packet = |body: &[u8]| [&short(body.len() + 8)[..], &[0, 0, 6, 0, 0, 0], body].concat();
    let sql = "SELECT id, name, price FROM orders WHERE customer_id = :1 AND state = :2 ORDER BY id";
    let head = [0, 0, 3, 0x5e, 7, 2, 0x81, 0x21, 0, 1, 1, u8::try_from(sql.len()).unwrap_or_default()];
    let ask = [&head[..], sql.as_bytes(), &[1, 1, 0, 0, 0, 0, 0, 0]].concat();
    let rows = [&[0, 0, 0x10, 0x17][..], &PAYLOAD.repeat(4)].concat();
    let end = [&[0, 0, 4, 1, 5, 1, 3, 0, 1, 25][..], b"ORA-01403: no data found\n"].concat();
    vec![client(packet(&ask)), server([packet(&rows), packet(&end)].concat())]
}

fn trpc() -> Script {
    let frame = |meta: &[u8]| {
        let total = size(16 + meta.len() + PAYLOAD.len());
        [&[9, 0x30, 0, 0][..], &total, &short(meta.len()), &[0; 6], meta, &PAYLOAD].concat()
    };
    let names = [field(5, b"trpc.web.front"), field(6, b"trpc.shop.stock"), field(7, b"/trpc.shop.Stock/Reserve")];
    let ask = [vec![0x18, 7, 0x20, 0xe8, 7], names.concat(), field(9, &pair())].concat();
    vec![client(frame(&ask)), server(frame(&[0x18, 7]))]
}

fn some_ip() -> Script {
    let message =
        |kind: u8| [&[0, 41, 0x50, 4][..], &size(PAYLOAD.len() + 8), &[0, 1, 0, 7, 1, 1, kind, 0], &PAYLOAD].concat();
    vec![client(message(0)), server(message(0x80))]
}

fn websphere_mq() -> Script {
    let segment = |kind: u8| {
        let total = size(36 + 16 + PAYLOAD.len());
        [&b"TSHM"[..], &total, &[0, 0, 0, 1, 0, 0, 0, 3, 1, kind, 0x30, 0], &[0; 16], &[0; 16], &PAYLOAD].concat()
    };
    vec![client(segment(0x86)), server(segment(0x96))]
}

/// The X protocol of MySQL: a statement, and twenty rows of one column.
fn mysqlx() -> Script {
    let little = |len: usize| u32::try_from(len).unwrap_or_default().to_le_bytes();
    let frame = |kind: u8, body: &[u8]| [&little(body.len() + 1)[..], &[kind], body].concat();
    let field =
        |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat();
    let sql = b"SELECT id, name, price FROM orders WHERE customer_id = 4711 AND state = 'open' ORDER BY id";
    let mut answer = frame(12, &[8, 7]);
    for _ in 0..20 {
        answer.extend(frame(13, &field(1, &[b'r'; 100])));
    }
    answer.extend([frame(14, &[]), frame(17, &[])].concat());
    vec![client(frame(12, &[field(3, b"sql"), field(1, sql)].concat())), server(answer)]
}

/// Dameng: a statement that is run at once, and an answer of 2,000 bytes.
fn dameng() -> Script {
    let message = |statement: u32, command: u16, body: &[u8]| {
        let size = u32::try_from(body.len()).unwrap_or_default().to_le_bytes();
        let mut bytes = [&statement.to_le_bytes()[..], &command.to_le_bytes(), &size, &[0; 4]].concat();
        bytes.resize(64, 0);
        bytes.extend(body);
        bytes
    };
    let sql = b"SELECT id, name, price FROM orders WHERE customer_id = 4711 AND state = 'open' ORDER BY id\0";
    vec![client(message(7, 91, sql)), server(message(7, 160, &[b'r'; 2000]))]
}

/// AMQP 1.0: a message of 400 bytes with an id and trace context, and its settlement.
fn amqp1() -> (Script, Script) {
    let byte = |len: usize| u8::try_from(len).unwrap_or_default();
    let described = |kind: u8, items: &[Vec<u8>]| {
        let inner = items.concat();
        [&[0, 0x53, kind, 0xc0][..], &[byte(inner.len() + 1), byte(items.len())], &inner].concat()
    };
    let frame = |kind: u8, items: &[Vec<u8>], payload: &[u8]| {
        let body = [&described(kind, items)[..], payload].concat();
        [&size(body.len() + 8)[..], &[2, 0, 0, 0], &body].concat()
    };
    let text = |text: &str| [&[0xa1, byte(text.len())], text.as_bytes()].concat();
    let (null, uint, yes, no) = (vec![0x40], |n: u8| vec![0x52, n], vec![0x41], vec![0x42]);
    let attach = |receives: &[u8]| {
        let ends = [described(0x28, &[text("")]), described(0x29, &[text("orders")])];
        frame(0x12, &[text("l1"), uint(0), receives.to_vec(), null.clone(), null.clone(), ends.concat()], &[])
    };
    let header = b"AMQP\0\x01\0\0".to_vec();
    let begin = |remote: &[u8]| frame(0x11, &[remote.to_vec(), uint(0), uint(255), uint(255)], &[]);
    let start = vec![
        client([header.clone(), frame(0x10, &[text("app"), text("broker")], &[]), begin(&null), attach(&no)].concat()),
        server([header, frame(0x10, &[text("srv")], &[]), begin(&[0x60, 0, 0]), attach(&yes)].concat()),
    ];
    let pairs = [text("traceparent"), text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")].concat();
    let content = [
        described(0x73, &[text("m-4711"), null.clone(), null.clone(), null.clone(), null.clone(), text("c-4711")]),
        [&[0, 0x53, 0x74, 0xc1, byte(pairs.len() + 1), 2][..], &pairs].concat(),
        [&[0, 0x53, 0x75, 0xb0][..], &size(400), &[b'v'; 400]].concat(),
    ]
    .concat();
    let items = [uint(0), uint(1), vec![0xa0, 1, 1], uint(0), no.clone(), no];
    let settled = frame(0x15, &[yes.clone(), uint(1), null, yes, described(0x24, &[])], &[]);
    (start, vec![client(frame(0x14, &items, &content)), server(settled)])
}

/// (name, transport, port, once at the start, again and again)
pub(crate) fn traffic() -> Vec<(&'static str, Transport, u16, Script, Script)> {
    let tcp = Transport::Tcp;
    let ((pulsar_start, pulsar), (zmtp_start, zmtp), (amqp1_start, amqp1)) = (pulsar(), zmtp(), amqp1());
    let (zookeeper_start, zookeeper) = zookeeper();
    vec![
        ("mysqlx", tcp, 33060, vec![], mysqlx()),
        ("dameng", tcp, 5236, vec![], dameng()),
        ("amqp 1.0", tcp, 5672, amqp1_start, amqp1),
        ("tds", tcp, 1433, vec![], tds()),
        ("oracle", tcp, 1521, vec![], oracle()),
        ("pulsar", tcp, 6650, pulsar_start, pulsar),
        ("rocketmq", tcp, 10911, vec![], rocketmq()),
        ("openwire", tcp, 61616, vec![], openwire()),
        ("zmtp", tcp, 5555, zmtp_start, zmtp),
        ("websphere_mq", tcp, 1414, vec![], websphere_mq()),
        ("zookeeper", tcp, 2181, zookeeper_start, zookeeper),
        ("brpc", tcp, 8000, vec![], brpc()),
        ("sofarpc", tcp, 12200, vec![], sofarpc()),
        ("tars", tcp, 18000, vec![], tars()),
        ("trpc", tcp, 8001, vec![], trpc()),
        ("some_ip (UDP)", Transport::Udp, 30501, vec![], some_ip()),
    ]
}
