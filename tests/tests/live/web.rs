//! HTTP in its kinds: sizes beyond what is captured, TLS handshakes.

use super::logs::{Compare, VIEWS, seen_by, text};
use super::servers::{here, with_every_packet};
use anyhow::{Result, ensure};
use e2e::lab::{Call, Lab};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

pub(crate) fn start_nginx(lab: &mut Lab, servers: &str) -> Result<()> {
    let config = format!(
        "daemon off; pid DIR/nginx.pid; user root; worker_processes 2; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000;
  client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  {servers}
}}
"
    );
    let config = lab.write("nginx.conf", &config)?;
    let folder = lab.path("");
    lab.start("nginx", Command::new("/usr/sbin/nginx").arg("-c").arg(config).args(["-p", &folder, "-e", "stderr"]))?;
    Ok(())
}

fn row(row: &Value) -> String {
    let code = row["response_code"].as_i64().unwrap_or(-1);
    format!("{} {} {} {code}", text(row, "request_type"), text(row, "request_resource"), text(row, "response_status"))
}

fn call(call: &Call) -> String {
    format!("{} {} {} {}", call.kind, call.resource, call.status, call.code.unwrap_or(-1))
}

pub(crate) fn sizes() -> Result<()> {
    let mut lab = Lab::new("web")?;
    fs::create_dir(lab.folder().join("files"))?;
    for size in [0usize, 1, 511, 512, 513, 65536, 1_000_000, 20_000_000] {
        fs::write(
            lab.folder().join(format!("files/f{size}")),
            b"0123456789abcdef\n".repeat(size / 17 + 1)[..size].as_ref(),
        )?;
    }
    let script = lab.write("upstream.py", include_str!("../../app/upstream.py"))?;
    let socket = lab.path("up.sock");
    lab.start("upstream", Command::new("/usr/bin/python3").arg("-B").arg(script).arg(&socket))?;
    start_nginx(
        &mut lab,
        "server { listen 127.0.0.1:8080; listen [::1]:8080; sendfile on; tcp_nopush on; root DIR/files;
           location /up { client_max_body_size 10m; proxy_pass http://unix:DIR/up.sock; } }
         server { listen 127.0.0.1:8081; sendfile off; root DIR/files; }",
    )?;
    lab.ready("nginx", 8081)?;
    let (rows, log, bundle) = with_every_packet(&lab, &[], |lab| lab.client(&["web", "8080", "8081"]))?;
    let rows = here(&lab, rows)?;
    let compare = Compare { row: &row, call: &call, times: 1, durations: true };
    for group in ["127.0.0.1 8080", "::1 8080", "127.0.0.1 8081"] {
        let mine: Vec<&Value> = rows
            .iter()
            .filter(|r| r["transport"] == "tcp" && format!("{} {}", text(r, "server_ip"), r["server_port"]) == group)
            .collect();
        for view in VIEWS {
            // Of several pipelined requests in one packet only its captured beginning is seen.
            let wanted = |path: &str| view != "packets" || !path.contains("?p");
            let rows: Vec<&Value> =
                seen_by(view, &mine).into_iter().filter(|r| wanted(text(r, "request_resource"))).collect();
            let log: Vec<&Call> = log.iter().filter(|c| c.group == group && wanted(&c.resource)).collect();
            let whose = format!("{group}, {view}");
            compare.check(&whose, &rows, &log)?;
            let size: BTreeMap<String, u64> = log.iter().map(|c| (call(c), c.size.unwrap_or(0))).collect();
            for r in rows.iter().filter(|r| size.contains_key(&row(r))) {
                // A head of nginx or http.server is longer than 60 bytes and shorter than 400.
                let head = r["response_bytes"].as_u64().unwrap_or(0).checked_sub(size[&row(r)]);
                ensure!(
                    head.is_some_and(|h| (60..400).contains(&h)),
                    "{whose}: a body of {} bytes: {r}",
                    size[&row(r)]
                );
            }
        }
    }
    // The same through the UNIX socket behind nginx, at both ends, and all bytes of it.
    for view in &VIEWS[..2] {
        let unix: Vec<&Value> = rows
            .iter()
            .filter(|r| r["transport"] == "unix" && text(r, "request_resource").starts_with("/up?n="))
            .collect();
        let unix = seen_by(view, &unix);
        ensure!(unix.len() == 6, "{} requests through the UNIX socket at the {view}, not 6", unix.len());
        for r in unix {
            let n: u64 = text(r, "request_resource")[6..].trim_end_matches("&m").parse()?;
            let (asked, came) = (r["request_bytes"].as_u64().unwrap_or(0), r["response_bytes"].as_u64().unwrap_or(0));
            let posted = if r["request_type"] == "POST" { n * 5 } else { 0 };
            ensure!((n + 60..n + 400).contains(&came), "{view}: {came} bytes of response: {r}");
            ensure!((posted + 40..posted + 400).contains(&asked), "{view}: {asked} bytes of request: {r}");
        }
    }
    // Both processes and the packets agree on every byte.
    let flows = here(&lab, e2e::programs::table("flows", &bundle)?)?;
    let mut bytes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for flow in flows
        .iter()
        .filter(|f| f["transport"] == "tcp" && [8080, 8081].contains(&f["server_port"].as_i64().unwrap_or(0)))
    {
        let place = if flow["observed_at"] == "interface" {
            "packets"
        } else if flow["observer_pid"] == flow["client_pid"] {
            "client"
        } else {
            "server"
        };
        let count = |column: &str| flow[column].as_u64().unwrap_or(0);
        ensure!(count("client_missed_bytes") + count("server_missed_bytes") == 0, "bytes were missed: {flow}");
        let sum = bytes.entry(place).or_default();
        sum.0 += count("client_payload_bytes");
        sum.1 += count("server_payload_bytes");
    }
    ensure!(bytes.len() == 3 && bytes["client"] == bytes["server"], "payload, client and server: {bytes:?}");
    // Segments that the kernel sent again count again in packets.
    let (all, once) = (bytes["packets"], bytes["client"]);
    ensure!(all.0 >= once.0 && all.1 >= once.1 && all.1 < once.1 + once.1 / 20, "payload: {bytes:?}");
    Ok(())
}

pub(crate) fn apache() -> Result<()> {
    let mut lab = Lab::new("apache")?;
    fs::create_dir_all(lab.folder().join("files/private"))?;
    lab.write("files/page.txt", "a page of Apache's\n")?;
    fs::write(lab.folder().join("files/big.bin"), b"0123456789abcdef".repeat(250_000))?;
    let config = lab.write("httpd.conf", APACHE)?;
    lab.start("apache", Command::new("/usr/sbin/apache2").args(["-D", "FOREGROUND", "-f"]).arg(config))?;
    lab.ready("apache", 8086)?;
    lab.ready("apache", 8085)?;
    let (rows, log, _) = with_every_packet(&lab, &[], |lab| lab.client(&["apache", "8085"]))?;
    let rows = here(&lab, rows)?;
    ensure!(log.len() == 20 * 9 + 2 + 60, "{} requests", log.len());
    let compare = Compare { row: &row, call: &call, times: 1, durations: true };
    // What the proxy asks has a path of its own, and lies within the client's time too.
    let passed_on = |call: &Call| {
        let path = call.resource.strip_prefix("/app/")?;
        Some(Call { resource: format!("/in/{path}"), ..call.clone() })
    };
    let inner: Vec<Call> = log.iter().filter_map(passed_on).collect();
    for (port, log) in [(8085, &log), (8086, &inner)] {
        let mine: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == port).collect();
        for view in VIEWS {
            let seen = seen_by(view, &mine);
            let whose = format!("Apache on {port}, {view}");
            ensure!(seen.len() == log.len(), "{whose}: {} rows for {} requests", seen.len(), log.len());
            compare.check(&whose, &seen, &log.iter().collect::<Vec<_>>())?;
            let wrong = seen.iter().find(|r| view == "server" && r["process"] != "apache2");
            ensure!(wrong.is_none(), "{whose}: {wrong:?}");
        }
    }
    Ok(())
}

const APACHE: &str = r#"ServerRoot "DIR"
DefaultRuntimeDir "DIR"
PidFile "DIR/httpd.pid"
Mutex posixsem
ErrorLog "DIR/error.log"
ServerName lab.example
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
StartServers 1
ServerLimit 2
ThreadsPerChild 8
MaxRequestWorkers 16
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
DocumentRoot "DIR/files"
Listen 127.0.0.1:8085
Listen 127.0.0.1:8086
<Location "/private">
  Require all denied
</Location>
<VirtualHost 127.0.0.1:8085>
  Redirect 500 /broken
  Redirect 302 /old http://127.0.0.1:8085/new
  ProxyPass "/app/" "http://127.0.0.1:8086/in/"
  # Nothing listens there.
  ProxyPass "/gone/" "http://127.0.0.1:8087/" retry=0
</VirtualHost>
<VirtualHost 127.0.0.1:8086>
  Alias "/in/" "DIR/files/"
</VirtualHost>
"#;

pub(crate) fn tls() -> Result<()> {
    let mut lab = Lab::new("tls")?;
    fs::create_dir(lab.folder().join("files"))?;
    fs::write(lab.folder().join("files/f"), "a file".repeat(500))?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=lab.example", "-days", "2"]);
    openssl.args(["-addext", "subjectAltName=DNS:*.lab.example", "-keyout", "key.pem", "-out", "cert.pem"]);
    lab.run(&mut openssl)?;
    start_nginx(
        &mut lab,
        "ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem;
         server { listen 127.0.0.1:8443 ssl; ssl_protocols TLSv1.2 TLSv1.3; root DIR/files; }",
    )?;
    lab.ready("nginx", 8443)?;
    let script = lab.write("client.js", NODE_CLIENT)?;
    let (rows, (), _) = with_every_packet(&lab, &[], |lab| {
        for (version, name) in [("-tls1_2", "two"), ("-tls1_3", "three")] {
            for i in 0..3 {
                let mut client = Command::new("openssl");
                client.args(["s_client", "-connect", "127.0.0.1:8443", version]);
                lab.run(client.args(["-servername", &format!("{name}{i}.lab.example")]))?;
            }
        }
        lab.run(Command::new("node").arg(&script))?;
        Ok(())
    })?;
    let rows = here(&lab, rows)?;
    let rows: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == 8443).collect();
    for view in &VIEWS[..2] {
        let mut seen: Vec<String> = seen_by(view, &rows)
            .iter()
            .map(|r| {
                let kind = (text(r, "l7_protocol"), text(r, "request_type"), text(r, "response_status"));
                format!("{kind:?} {} {}", text(r, "version"), text(r, "request_domain"))
            })
            .collect();
        seen.sort();
        let mut wanted: Vec<String> = ["1.2 two", "1.3 three", "1.3 node"]
            .iter()
            .flat_map(|name| (0..3).map(move |i| format!("{:?} {name}{i}.lab.example", ("tls", "Handshake", "ok"))))
            .collect();
        wanted.sort();
        ensure!(seen == wanted, "handshakes at the {view}: {seen:#?}, not {wanted:#?}");
    }
    let in_packets = seen_by("packets", &rows).iter().filter(|r| r["l7_protocol"] == "tls").count();
    ensure!(in_packets == 9, "{in_packets} handshakes in packets, not 9");
    Ok(())
}

const NODE_CLIENT: &str = "
const https = require('https');
const one = (i) => new Promise((done, failed) => https.get({ host: '127.0.0.1', port: 8443, path: '/f', agent: false,
  servername: `node${i}.lab.example`, rejectUnauthorized: false }, (r) => { r.resume(); r.on('end', done); }).on('error', failed));
(async () => { for (let i = 0; i < 3; i++) await one(i); })();
";
