use super::*;
use crate::model::{Endpoints, ObservedAt, Replayed};
use proptest::prelude::*;

fn v4(a: u32) -> IpAddr {
    IpAddr::V4(a.into())
}

fn number(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(_) => unreachable!(),
    }
}

proptest! {
    /// Common prefixes stay as long as they were, and no two addresses become one.
    #[test]
    fn prefixes_are_kept(a: u32, b: u32, key: [u8; 8]) {
        let mut p = Pseudonyms::new(&key);
        let (x, y) = (p.permuted(v4(a)), p.permuted(v4(b)));
        prop_assert_eq!((a ^ b).leading_zeros(), (number(x) ^ number(y)).leading_zeros());
        let (x, y) = (p.address(v4(a)), p.address(v4(b)));
        prop_assert_eq!(a == b, x == y);
        prop_assert_eq!(names_nobody(v4(a)), names_nobody(x));
    }

    #[test]
    fn any_text_is_taken(text in "\\PC{0,80}|[a-z0-9./:\\[\\]?&= -]{0,80}") {
        let mut p = Pseudonyms::new(b"key");
        p.know_host("shop.example");
        let _ = p.text(&text);
        let _ = p.path(&text);
        let _ = p.host(&text);
        let _ = p.key(&text, true);
    }
}

#[test]
fn ipv6_keeps_its_prefixes_too() {
    let p = Pseudonyms::new(b"key");
    let image = |text: &str| match p.permuted(text.parse().unwrap()) {
        IpAddr::V6(v6) => u128::from(v6),
        IpAddr::V4(_) => unreachable!(),
    };
    let (a, b, c) = (image("2001:db8:1::1"), image("2001:db8:1::2"), image("2001:db9::1"));
    assert_eq!((a ^ b).leading_zeros(), 126);
    assert_eq!((a ^ c).leading_zeros(), 31);
}

#[test]
fn the_key_decides_and_nothing_else() {
    let of = |key: &[u8]| {
        let mut p = Pseudonyms::new(key);
        (p.address("10.1.2.3".parse().unwrap()), p.host("db.shop.example"), p.path("/orders/17"), p.user("anna"))
    };
    assert_eq!(of(b"one"), of(b"one"));
    let (one, two) = (of(b"one"), of(b"two"));
    assert!(one.0 != two.0 && one.1 != two.1 && one.2 != two.2 && one.3 != two.3);
    assert_ne!(one.0, "10.1.2.3".parse::<IpAddr>().unwrap());
}

#[test]
fn the_same_name_is_the_same_wherever_it_stands() {
    let mut p = Pseudonyms::new(b"key");
    p.know_host("shop.example:8080");
    p.know_user("anna");
    let host = p.host("shop.example");
    let ip = p.address("10.1.2.3".parse().unwrap()).to_string();
    let path = p.path("/orders/17");
    let user = p.user("anna");
    assert_eq!(p.text("GET /orders/17"), format!("GET {path}"));
    assert_eq!(p.text("http://shop.example/orders/17"), format!("http://{host}{path}"));
    assert_eq!(p.text("no route to 10.1.2.3:443, Shop.Example."), format!("no route to {ip}:443, {host}."));
    assert_eq!(p.text("role \"anna\" does not exist"), format!("role \"{user}\" does not exist"));
    assert_eq!(p.host("shop.example:8080"), format!("{host}:8080"));
    // Subdomains and longer paths begin or end alike.
    assert!(p.host("db.shop.example").ends_with(&format!(".{host}")));
    assert!(p.path("/orders/18").starts_with(path.rsplit_once('/').unwrap().0));
    // What names nobody stays.
    for text in [
        "127.0.0.1",
        "localhost",
        "/usr/lib",
        "SELECT * FROM orders WHERE id = ?",
        "1.1",
        "/api/v1",
        "12:30:45",
        "[0]",
        "",
    ] {
        assert_eq!(p.text(text), text, "{text}");
    }
    let v6 = p.address("2001:db8::7".parse().unwrap()).to_string();
    assert_eq!(p.text("[2001:db8::7]:80 2001:db8::7"), format!("[{v6}]:80 {v6}"));
    assert_eq!(
        p.path("/orders?id=17&token=***"),
        format!("{}?id={}&token=***", p.path("/orders"), p.name(Kind::Value, "17"))
    );
}

#[test]
fn rows_lose_their_addresses_and_keep_their_order() {
    let mut f = crate::red::tests::flow(0, ObservedAt::Interface(0));
    f.community_id = "1:x".into();
    f.client_mac = Some([0, 1, 2, 3, 4, 5]);
    let before = f.endpoints;
    let mut q = crate::red::tests::request(&f, None, "/orders/17", 5, Some(3), crate::model::Status::Ok);
    q.session.fields.request_domain = "shop.example".into();
    q.session.fields.result = "see http://shop.example/help".into();
    let mut r = Replayed { flows: vec![f], requests: vec![q], ..Replayed::default() };
    Pseudonyms::new(b"key").apply(&mut r);
    let Endpoints { client_ip, server_ip, client_port, .. } = r.flows[0].endpoints;
    assert!(client_ip != before.client_ip && server_ip != before.server_ip && client_port == before.client_port);
    assert_eq!(r.requests[0].endpoints, r.flows[0].endpoints);
    assert_eq!(r.flows[0].community_id, crate::flow::community_id(r.flows[0].transport, &r.flows[0].endpoints));
    let fields = &r.requests[0].session.fields;
    assert!(fields.result.contains(&*fields.request_domain), "{fields:?}");
    assert!(!format!("{:?}{:?}", r.flows, r.requests).contains("10.0.0."), "an address is left");
    let d = r.disguised.unwrap();
    // `orders` and `17` where the endpoint has them too, and `help`.
    assert_eq!((d.addresses, d.macs, d.hosts), (2, 1, 2));
    assert!(d.paths >= 2);
}

#[test]
fn mail_addresses_have_a_user_and_a_host() {
    let mut p = Pseudonyms::new(b"key");
    let (user, host) = (p.user("anna.b+news"), p.host("example.com"));
    assert_eq!(p.text("MAIL FROM:<anna.b+news@example.com>, bye"), format!("MAIL FROM:<{user}@{host}>, bye"));
    assert_eq!(p.text("mailto:anna.b+news@example.com."), format!("mailto:{user}@{host}."));
    // Not one: no host behind it.
    assert_eq!(p.text("a @ b, a@b"), "a @ b, a@b");
}

#[test]
fn keys_and_topics_name_nobody() {
    let mut p = Pseudonyms::new(b"key");
    let mut v = |text: &str| p.name(Kind::Value, text).to_string();
    let (anna, n, phone) = (v("anna"), v("4711"), v("4915112345678"));
    assert_eq!(p.key("SET user:anna:4711 EX 3600", true), format!("SET user:{anna}:{n} EX 3600"));
    assert_eq!(p.key("get 4915112345678", true), format!("get {phone}"));
    assert_eq!(p.key("devices/4711/v1/temp", false), format!("devices/{n}/v1/temp"));
    assert_eq!(p.key("orders.created", false), "orders.created");
    let mail = p.text("anna@example.com");
    assert_eq!(p.key("GET anna@example.com", true), format!("GET {mail}"));
}
