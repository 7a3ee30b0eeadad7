use super::super::script::{c, lines, play, play_on, s};
use crate::model::{Side, Transport};

fn invite(method: &str, sequence: u32) -> String {
    format!(
        "{method} sip:bob@biloxi.example SIP/2.0\r\nVia: SIP/2.0/UDP pc33\r\nCall-ID: a84b4c76e66710\r\nCSeq: {sequence} {}\r\n\
         User-Agent: Phone/1\r\nContent-Length: 4\r\n\r\nv=0\n",
        if method == "ACK" { "ACK" } else { method }
    )
}

fn answer(line: &str, sequence: &str) -> String {
    format!("SIP/2.0 {line}\r\nCall-ID: a84b4c76e66710\r\nCSeq: {sequence}\r\nContent-Length: 0\r\n\r\n")
}

/// A call of RFC 3261 section 24.2, shortened: the callee hangs up.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(invite("INVITE", 1)),
        s([answer("180 Ringing", "1 INVITE"), answer("200 OK", "1 INVITE")].concat()),
        c(invite("ACK", 1)),
        s(invite("BYE", 231)),
        c(answer("481 Call Does Not Exist", "231 BYE")),
    ]
}

pub(in crate::parse) fn rtsp_sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(
            "OPTIONS rtsp://cam.example/live RTSP/1.0\r\nCSeq: 1\r\n\r\nPLAY rtsp://cam.example/live RTSP/1.0\r\nCSeq: 2\r\n\r\n",
        ),
        s(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n$\0\0\x03abcRTSP/1.0 454 Session Not Found\r\nCSeq: 2\r\n\r\n"),
    ]
}

pub(in crate::parse) fn ssdp_sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(
            "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nST: ssdp:all\r\nMX: 2\r\n\r\n",
        ),
        s("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://10.0.0.1/d.xml\r\nSERVER: box\r\n\r\n"),
    ]
}

#[test]
fn a_call() {
    let expected = [
        "sip INVITE|biloxi.example|sip:bob@biloxi.example|INVITE ok 200",
        "sip ACK|biloxi.example|sip:bob@biloxi.example|ACK unknown async",
        "sip BYE|biloxi.example|sip:bob@biloxi.example|BYE client_error 481 'Call Does Not Exist'",
    ];
    let sessions = play(&sample());
    assert_eq!(lines(&sessions), expected);
    assert_eq!((&*sessions[0].fields.x_request_id, &*sessions[0].fields.user_agent), ("a84b4c76e66710", "Phone/1"));
    assert_eq!(sessions[0].fields.attributes, [("interim", "180".into())]);
    // A datagram each.
    let split = [c(invite("INVITE", 1)), s(answer("180 Ringing", "1 INVITE")), s(answer("200 OK", "1 INVITE"))];
    assert_eq!(lines(&play_on(Transport::Udp, 40000, 40001, &split)), expected[..1]);
}

#[test]
fn streaming_with_media_between() {
    assert_eq!(
        lines(&play(&rtsp_sample())),
        [
            "rtsp OPTIONS|cam.example|rtsp://cam.example/live|OPTIONS ok 200",
            "rtsp PLAY|cam.example|rtsp://cam.example/live|PLAY client_error 454 'Session Not Found'",
        ]
    );
}

#[test]
fn discovery() {
    assert_eq!(
        lines(&play_on(Transport::Udp, 40000, 1900, &ssdp_sample())),
        ["ssdp M-SEARCH||ssdp:all|M-SEARCH unknown async", "ssdp RESPONSE||upnp:rootdevice| ok 200 async"]
    );
}

/// Over UDP everything is sent again until it is answered: RFC 3261 section 17.1.1.2 for the request, 13.3.1.4 for the answer.
#[test]
fn what_is_sent_again_is_one() {
    let udp = |script: &[(Side, Vec<u8>)]| play_on(Transport::Udp, 40000, 5060, script);
    let (ask, ring, ok) =
        (c(invite("INVITE", 1)), s(answer("180 Ringing", "1 INVITE")), s(answer("200 OK", "1 INVITE")));
    let ack = c(invite("ACK", 1));
    let all = [&ask, &ask, &ring, &ring, &ask, &ok, &ok, &ack, &ack, &ask].map(Clone::clone);
    let sessions = udp(&all);
    assert_eq!(
        lines(&sessions),
        [
            "sip INVITE|biloxi.example|sip:bob@biloxi.example|INVITE ok 200",
            "sip ACK|biloxi.example|sip:bob@biloxi.example|ACK unknown async",
        ]
    );
    assert_eq!(sessions[0].fields.attributes, [("interim", "180".into()), ("retransmissions", "2".into())]);
    // From the first copy on.
    assert_eq!((sessions[0].request_ts, sessions[0].response_ts), (Some(0), Some(5_000_000)));
    // The same number in another call, or with another branch, is another request.
    let other = (Side::Client, String::from_utf8(ask.1.clone()).unwrap().replace("pc33", "pc34").into_bytes());
    assert_eq!(udp(&[ask.clone(), other]).len(), 2);
}

#[test]
fn interim_answers_without_an_end() {
    let udp = |script: &[(Side, Vec<u8>)]| play_on(Transport::Udp, 40000, 5060, script);
    let (ask, ring) = (c(invite("INVITE", 1)), s(answer("180 Ringing", "1 INVITE")));
    let sessions = udp(&[ask.clone(), s(answer("100 Trying", "1 INVITE")), ring.clone()]);
    assert_eq!(lines(&sessions), ["sip INVITE|biloxi.example|sip:bob@biloxi.example|INVITE unknown [ended_after]"]);
    assert_eq!(sessions[0].fields.attributes, [("interim", "100,180".into())]);
    // Nor a beginning.
    assert_eq!(lines(&udp(&[ring])), ["sip ||| unknown 180 [started_before]"]);
    // After the answer there is nothing to add.
    assert_eq!(udp(&[ask, s(answer("200 OK", "1 INVITE")), s(answer("100 Trying", "1 INVITE"))]).len(), 1);
}
