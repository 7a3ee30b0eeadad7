//! Traffic of real message queues, recorded with the workloads in corpus/ (`zmq.py`, `Mq.java`), against what these have done.

use replay::engine::{Options, replay};
use replay::model::{Request, Status};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn requests(name: &str) -> Vec<Request> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../corpus").join(name);
    replay(&[path], &Options::default()).unwrap().requests
}

/// How many rows there are of each key.
fn count<K: Ord>(rows: &[Request], key: impl Fn(&Request) -> Option<K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in rows.iter().filter_map(key) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[test]
fn libzmq_asks_publishes_and_pushes() {
    let rows = requests("zmq.pcap.zst");
    assert!(rows.iter().all(|row| row.fields.l7_protocol == "zmtp" && row.completeness.0 == 0));
    let messages = count(&rows, |row| {
        (&*row.fields.request_type == "Message")
            .then(|| (row.endpoints.server_port, row.fields.endpoint.to_string(), row.duration_ns().is_some()))
    });
    let expected = [
        // REQ and REP, in turn.
        ((6001, String::new(), true), 50),
        // What was subscribed to; what was not did not travel.
        ((6002, "news.0".to_owned(), false), 10),
        ((6002, "news.1".to_owned(), false), 10),
        ((6003, String::new(), false), 5),
        // DEALER and ROUTER: five there, five back.
        ((6004, String::new(), false), 10),
        // The right password.
        ((6005, String::new(), true), 1),
        // Three there, three back, of two frames each.
        ((6006, "MESSAGE".to_owned(), false), 12),
    ];
    assert_eq!(messages.into_iter().collect::<Vec<_>>(), expected);
    // The wrong one.
    let errors: Vec<&str> =
        rows.iter().filter(|row| row.fields.status == Status::ServerError).map(|row| &*row.fields.exception).collect();
    assert_eq!(errors, ["400"]);
    let shown = format!("{rows:?}");
    assert!(!shown.contains("secret") && !shown.contains("wrong"));
}

#[test]
fn activemq_in_both_encodings_with_and_without_cache() {
    let rows = requests("activemq.pcap.zst");
    assert!(rows.iter().all(|row| row.fields.l7_protocol == "openwire" && row.completeness.0 == 0));
    for queue in ["orders", "loose", "nocache", "plain"] {
        let of = |kind: &str| -> Vec<&Request> {
            let is = |row: &&Request| &*row.fields.request_type == kind && &*row.fields.request_resource == queue;
            rows.iter().filter(is).collect()
        };
        // Sent and answered, and what comes back is the same.
        let (sent, got) = (of("ActiveMQTextMessage"), of("MessageDispatch"));
        assert_eq!((sent.len(), got.len(), of("MessageAck").len()), (6, 8, 8), "{queue}");
        assert_eq!((of("ActiveMQBytesMessage").len(), of("ActiveMQMapMessage").len()), (1, 1), "{queue}");
        for (n, (sent, got)) in sent.iter().zip(&got).enumerate() {
            assert!(sent.duration_ns().is_some() && sent.fields.status == Status::Ok);
            assert_eq!(&*sent.fields.x_request_id, format!("corr-{n}"));
            assert_eq!(&*sent.fields.span_id, format!("b7ad6b71692033{n:02}"));
            assert_eq!(sent.fields.span_id, got.fields.span_id);
            assert_eq!(sent.fields.x_request_id, got.fields.x_request_id);
        }
    }
    // Three committed, one rolled back, on each connection.
    let prices =
        |row: &Request| (&*row.fields.request_resource == "prices").then(|| row.fields.request_type.to_string());
    let expected = [("ActiveMQTextMessage".to_owned(), 16), ("ProducerInfo".to_owned(), 4)];
    assert_eq!(count(&rows, prices).into_iter().collect::<Vec<_>>(), expected);
    let failed = |row: &Request| row.fields.status.is_error().then(|| row.fields.request_type.to_string());
    assert_eq!(count(&rows, failed), BTreeMap::from([("RemoveSubscriptionInfo".to_owned(), 4)]));
    assert!(!format!("{rows:?}").contains("secret"));
}
