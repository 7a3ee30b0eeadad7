//! Databases, caches, queues and resolvers: every request of the client's log is in the table once per place.

use super::logs::{Compare, VIEWS, seen_by, text};
use anyhow::{Context, Result, bail, ensure};
use e2e::lab::{Call, Lab};
use e2e::netns::NetNs;
use e2e::programs::{Recording, table};
use serde_json::Value;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of the test's own namespace: a recording without `--port`, which UNIX sockets need, has those of the whole node.
pub(crate) fn here(lab: &Lab, rows: Vec<Value>) -> Result<Vec<Value>> {
    let netns = lab.ns.inode()?;
    Ok(rows.into_iter().filter(|r| r["netns"].as_u64() == Some(u64::from(netns))).collect())
}

/// Records while `work` runs, sockets of these ports only, or everything; returns the rows of the table of requests, and what `work` returned.
pub(crate) fn recorded<T>(
    lab: &Lab,
    ports: &[u16],
    work: impl FnOnce(&Lab) -> Result<T>,
) -> Result<(Vec<Value>, T, PathBuf)> {
    let ports: Vec<String> = ports.iter().flat_map(|port| ["--port".to_owned(), port.to_string()]).collect();
    recorded_with(lab, "bundle", &ports.iter().map(String::as_str).collect::<Vec<_>>(), work)
}

/// The same with any words for `record`; the bundle has this name in the lab's folder.
pub(crate) fn recorded_with<T>(
    lab: &Lab,
    name: &str,
    words: &[&str],
    work: impl FnOnce(&Lab) -> Result<T>,
) -> Result<(Vec<Value>, T, PathBuf)> {
    let bundle = lab.folder().join(format!("{name}.zst"));
    let recording = Recording::start(&bundle, words)?;
    let done = work(lab)?;
    lab.ns.wait_until_idle()?;
    let said = recording.stop()?;
    ensure!(said.contains("lost nothing"), "events were lost: {said}");
    Ok((table("requests", &bundle)?, done, bundle))
}

/// Records until the programs have seen every packet that the loopback's own counter has: what is checked in packets needs
/// them all. A kernel like 6.18 with the addition of docs/limitations.md runs no program for what a timer sends while process 1
/// runs, as it does what Nagle's algorithm held until a delayed acknowledgement.
pub(crate) fn with_every_packet<T>(
    lab: &Lab,
    words: &[&str],
    work: impl Fn(&Lab) -> Result<T>,
) -> Result<(Vec<Value>, T, PathBuf)> {
    let mut short = Vec::new();
    for name in ["first", "second", "third", "fourth", "fifth"] {
        // Of an earlier call.
        fs::remove_file(lab.folder().join(format!("{name}.zst"))).ok();
        // Read when the recording has begun: what servers still sent before is none of its packets.
        let before = Cell::new(0);
        let recorded = recorded_with(lab, name, words, |lab| {
            before.set(lab.ns.loopback_received()?.0);
            work(lab)
        })?;
        let counted = lab.ns.loopback_received()?.0 - before.get();
        let seen: u64 = here(lab, table("interfaces", &recorded.2)?)?
            .iter()
            .filter(|row| row["name"] == "lo")
            .filter_map(|row| row["packets"].as_u64())
            .sum();
        if seen >= counted && !lacks_packets(&recorded.2, &[&lab.ns])? {
            return Ok(recorded);
        }
        fs::remove_file(&recorded.2)?;
        short.push(format!("{seen} of {counted}"));
    }
    bail!("no recording with every packet of the loopback: {short:?}")
}

/// Whether a recording says of itself that an interface of these namespaces had packets which no program ran for.
pub(crate) fn lacks_packets(bundle: &Path, spaces: &[&NetNs]) -> Result<bool> {
    let of =
        spaces.iter().map(|ns| Ok(format!("in network namespace {} ", ns.inode()?))).collect::<Result<Vec<_>>>()?;
    let health = table("health", bundle)?;
    let mut unseen = health.iter().filter(|row| row["kind"] == "not_run");
    Ok(unseen.any(|row| of.iter().any(|of| text(row, "cause").contains(of))))
}

/// Type, resource, status and code.
fn whole_row(row: &Value) -> String {
    let code = row["response_code"].as_i64().map_or(String::new(), |code| code.to_string());
    format!("{} {} {} {code}", text(row, "request_type"), text(row, "request_resource"), text(row, "response_status"))
}

pub(crate) fn whole_call(call: &Call) -> String {
    let code = call.code.map_or(String::new(), |code| code.to_string());
    format!("{} {} {} {code}", call.kind, call.resource, call.status)
}

const WHOLE: Compare<'static> = Compare { row: &whole_row, call: &whole_call, times: 1, durations: true };

fn of_protocol<'r>(rows: &'r [Value], protocol: &str, fits: impl Fn(&Value) -> bool) -> Vec<&'r Value> {
    rows.iter().filter(|r| r["l7_protocol"] == protocol && fits(r)).collect()
}

fn group<'c>(log: &'c [Call], name: &str) -> Vec<&'c Call> {
    log.iter().filter(|call| call.group == name).collect()
}

/// Makes a data folder and starts MariaDB on port 3306 and on `m.sock`.
pub(crate) fn start_mariadb(lab: &mut Lab) -> Result<()> {
    let data = format!("--datadir={}", lab.path("data"));
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--user=mysql",
    ]);
    lab.run(&mut install)?;
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", &data, "--user=mysql", "--bind-address=127.0.0.1", "--port=3306"]);
    server.args([format!("--socket={}", lab.path("m.sock")), format!("--pid-file={}", lab.path("m.pid"))]);
    server.args(["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]);
    lab.start("mariadbd", &mut server)?;
    lab.ready("mariadbd", 3306)?;
    let sql = "create database shop; use shop; create user 'app'@'%' identified by 'geheim77'; \
               grant all on *.* to 'app'@'%'; create user 'app'@'localhost' identified by 'geheim77'; \
               grant all on *.* to 'app'@'localhost'; \
               create table t (id int primary key auto_increment, name varchar(100), v double); \
               insert into t (name, v) select concat('name', seq), seq from seq_1_to_1500";
    lab.run(Command::new("mariadb").args(["--no-defaults", "-h127.0.0.1", "-P3306", "-uroot", "-e", sql]))?;
    Ok(())
}

pub(crate) fn mariadb() -> Result<()> {
    let mut lab = Lab::new("maria")?;
    start_mariadb(&mut lab)?;
    let socket = lab.path("m.sock");
    let (rows, log, _) = with_every_packet(&lab, &[], |lab| lab.client(&["mariadb", "3306", &socket]))?;
    let rows = here(&lab, rows)?;
    for (name, views) in [("tcp", &VIEWS[..]), ("unix", &VIEWS[..2])] {
        let rows = of_protocol(&rows, "mysql", |r| r["transport"] == name && r["request_type"] == "COM_QUERY");
        for view in views {
            WHOLE.check(&format!("mysql over {name}, {view}"), &seen_by(view, &rows), &group(&log, name))?;
        }
        let cut = rows.iter().filter(|r| text(r, "request_resource") == "SELECT * FROM t");
        ensure!(cut.clone().all(|r| r["affected_rows"].is_null()), "a count of rows that nobody saw");
    }
    let secrets = rows.iter().filter(|r| r.to_string().contains("geheim")).count();
    ensure!(secrets == 0, "{secrets} rows tell a password or a value");
    Ok(())
}

pub(crate) fn caches() -> Result<()> {
    let mut lab = Lab::new("caches")?;
    lab.start(
        "memcached",
        Command::new("memcached").args(["-l", "127.0.0.1", "-p", "11211", "-u", "root", "-t", "4"]),
    )?;
    let socket = lab.path("redis.sock");
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "6379", "--bind", "127.0.0.1", "::1", "--save", "", "--unixsocket", &socket]);
    lab.start("redis", &mut redis)?;
    lab.ready("memcached", 11211)?;
    lab.ready("redis", 6379)?;
    let (rows, (memcached, redis), _) = with_every_packet(&lab, &[], |lab| {
        Ok((lab.client(&["memcached", "11211"])?, lab.client(&["redis", "6379", &socket])?))
    })?;
    let rows = here(&lab, rows)?;
    let of_memcached = of_protocol(&rows, "memcached", |r| r["server_port"] == 11211);
    for view in VIEWS {
        let log: Vec<&Call> = memcached.iter().collect();
        WHOLE.check(&format!("memcached, {view}"), &seen_by(view, &of_memcached), &log)?;
    }
    for (name, views) in [("4", &VIEWS[..]), ("6", &VIEWS[..]), ("unix", &VIEWS[..2])] {
        let address = match name {
            "4" => "127.0.0.1",
            "6" => "::1",
            _ => "",
        };
        let unix = |r: &Value| r["transport"] == "unix" && seen_by("packets", &[r]).is_empty();
        let rows = of_protocol(&rows, "redis", |r| {
            if address.is_empty() { unix(r) } else { r["server_port"] == 6379 && text(r, "server_ip") == address }
        });
        for view in views {
            WHOLE.check(&format!("redis over {name}, {view}"), &seen_by(view, &rows), &group(&redis, name))?;
        }
    }
    Ok(())
}

pub(crate) fn names() -> Result<()> {
    let mut lab = Lab::new("names")?;
    let hosts: String = (1..60).map(|i| format!("10.1.0.{i} h{i}.lab.example\n")).collect();
    let hosts = lab.write("hosts", &hosts)?.display().to_string();
    let config = lab.write("unbound.conf", UNBOUND)?;
    let mut dnsmasq = Command::new("dnsmasq");
    dnsmasq.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "-p",
        "5353",
        "--no-resolv",
        "--no-hosts",
        "-u",
        "root",
    ]);
    dnsmasq.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/lab.example/", "--pid-file="]);
    lab.start("dnsmasq", dnsmasq.arg(format!("--addn-hosts={hosts}")))?;
    lab.start("unbound", Command::new("unbound").args(["-d", "-c"]).arg(config))?;
    lab.ready("dnsmasq", 5353)?;
    lab.ready("unbound", 5355)?;
    let (all, log, bundle) = with_every_packet(&lab, &[], |lab| lab.client(&["dns", "5353", "5355"]))?;
    let rows = here(&lab, all.clone())?;
    let name = |row: &Value| {
        let status = match row["response_code"].as_i64() {
            None | Some(0) if row["response_ts"].is_null() => "no answer",
            None | Some(0) => "NOERROR",
            Some(2) => "SERVFAIL",
            Some(3) => "NXDOMAIN",
            Some(5) => "REFUSED",
            Some(_) => "another",
        };
        format!("{} {} {status}", text(row, "request_type"), text(row, "request_resource"))
    };
    let compare = Compare {
        row: &name,
        call: &|call| format!("{} {} {}", call.kind, call.resource, call.status),
        times: 1,
        durations: true,
    };
    for port in ["5353", "5355"] {
        // What the resolver asks is not in dig's log, and is checked below.
        let rows = of_protocol(&rows, "dns", |r| {
            r["server_port"].as_u64() == port.parse().ok() && (port == "5355" || r["client_process"] != "unbound")
        });
        for view in VIEWS {
            compare.check(&format!("dns on {port}, {view}"), &seen_by(view, &rows), &group(&log, port))?;
        }
    }
    // What the resolver asks for the client is in the client's trace.
    let spans = table("spans", &bundle)?;
    let request = |span: &Value| span["request_id"].as_u64().and_then(|id| all.get(usize::try_from(id).ok()?));
    let mut forwarded = 0;
    let netns = u64::from(lab.ns.inode()?);
    for span in spans.iter().filter(|s| s["process"] == "unbound" && s["tap_side"] == "c-p") {
        let asked = request(span).context("a span without its request")?;
        if asked["netns"].as_u64() != Some(netns) {
            continue;
        }
        let parent = spans.iter().find(|s| s["span_id"] == span["parent_span_id"]).and_then(request);
        let parent = parent.with_context(|| format!("unbound asks of its own accord: {asked}"))?;
        ensure!(parent["request_resource"] == asked["request_resource"], "{asked} because of {parent}");
        forwarded += 1;
    }
    // Nothing is kept: what was asked before is asked again.
    ensure!(forwarded == 8, "{forwarded} questions passed on, not 8");
    Ok(())
}

const UNBOUND: &str = r#"server:
 interface: 127.0.0.1@5355
 interface: ::1@5355
 num-threads: 1
 do-daemonize: no
 chroot: ""
 username: ""
 pidfile: ""
 directory: "DIR"
 use-syslog: no
 access-control: 127.0.0.0/8 allow
 access-control: ::1 allow
 do-not-query-localhost: no
 module-config: "iterator"
 cache-max-ttl: 0
 cache-max-negative-ttl: 0
 local-zone: "static.example." static
 local-data: "a.static.example. 60 IN A 1.2.3.4"
 local-data: "t.static.example. 60 IN TXT \"some text here\""
forward-zone:
 name: "lab.example."
 forward-addr: 127.0.0.1@5353
remote-control:
 control-enable: no
"#;

pub(crate) fn queues() -> Result<()> {
    let mut lab = Lab::new("queues")?;
    // RabbitMQ takes ten seconds to start: the others meanwhile.
    let mut rabbit = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    let (dir, plugins) = (lab.path(""), lab.write("plugins", "[].")?);
    rabbit.env("RABBITMQ_NODENAME", "rabbit@localhost").env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
    rabbit.env("RABBITMQ_MNESIA_BASE", format!("{dir}mnesia")).env("RABBITMQ_LOG_BASE", format!("{dir}log"));
    rabbit.env("RABBITMQ_PID_FILE", format!("{dir}pid")).env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins);
    rabbit.env("RABBITMQ_CONFIG_FILE", format!("{dir}none")).env("HOME", &dir).env("RABBITMQ_NODE_PORT", "5672");
    // Its port mapper in the foreground, or it would outlive the test.
    lab.start("epmd", Command::new("epmd").env("ERL_EPMD_ADDRESS", "127.0.0.1"))?;
    lab.start("rabbitmq", &mut rabbit)?;
    let config = lab.write("mosquitto.conf", "listener 1883 127.0.0.1\nallow_anonymous true\n")?;
    lab.start("mosquitto", Command::new("mosquitto").arg("-c").arg(config))?;
    lab.start("nats", Command::new("nats-server").args(["-a", "127.0.0.1", "-p", "4222"]))?;
    for (name, port) in [("mosquitto", 1883), ("nats", 4222), ("rabbitmq", 5672)] {
        lab.ready(name, port)?;
    }
    let (rows, (mqtt, nats, amqp), _) = with_every_packet(&lab, &[], |lab| {
        Ok((lab.client(&["mqtt", "1883"])?, lab.client(&["nats", "4222"])?, lab.client(&["amqp", "5672"])?))
    })?;
    let rows = here(&lab, rows)?;
    let all = |log: &'_ [Call]| -> Vec<Call> { log.to_vec() };
    // Each message goes to the broker and on to the subscriber; the latter's acknowledgement is not waited for.
    let twice = Compare { times: 2, durations: false, ..WHOLE };
    let published = of_protocol(&rows, "mqtt", |r| r["request_type"] == "PUBLISH");
    for view in VIEWS {
        twice.check(&format!("mqtt, {view}"), &seen_by(view, &published), &all(&mqtt).iter().collect::<Vec<_>>())?;
        let published = of_protocol(&rows, "nats", |r| text(r, "request_type").ends_with("PUB"));
        WHOLE.check(&format!("nats, {view}"), &seen_by(view, &published), &all(&nats).iter().collect::<Vec<_>>())?;
    }
    let compare = Compare {
        row: &|row| format!("{} {}", text(row, "request_type"), text(row, "response_status")),
        call: &|call| format!("{} {}", call.kind, call.status),
        ..WHOLE
    };
    let rows = of_protocol(&rows, "amqp", |r| r["server_port"] == 5672);
    for view in &VIEWS[..2] {
        compare.check(&format!("amqp, {view}"), &seen_by(view, &rows), &amqp.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}
