//! Applications behind a gateway: nginx asks PHP-FPM and uWSGI through UNIX sockets.

use super::logs::{Compare, VIEWS, seen_by, text};
use super::servers::{here, recorded, whole_call};
use super::web::start_nginx;
use anyhow::{Context, Result, ensure};
use e2e::children::wait_until;
use e2e::lab::{Call, Lab};
use e2e::programs::table;
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SERVERS: &str = "upstream kept { server unix:DIR/php.sock; keepalive 1; }
  server { listen 127.0.0.1:8080;
    location /php/ { fastcgi_pass unix:DIR/php.sock; include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME DIR/app.php; }
    location /kept/ { fastcgi_pass kept; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params;
                      fastcgi_param SCRIPT_FILENAME DIR/app.php; }
    location /python/ { uwsgi_pass unix:DIR/uwsgi.sock; include /etc/nginx/uwsgi_params; }
  }";

const PHP: &str = "<?php
$path = $_SERVER['REQUEST_URI'];
http_response_code(str_contains($path, '/none') ? 404 : (str_contains($path, '/broken') ? 500 : 200));
echo str_repeat('x', str_contains($path, '/big') ? 300000 : 20);
";

const PYTHON: &str = "def application(environ, start):
    path = environ['REQUEST_URI']
    environ['wsgi.input'].read()
    status = '404 Not Found' if '/none' in path else '500 Internal Server Error' if '/broken' in path else '200 OK'
    start(status, [('Content-Type', 'text/plain')])
    return [b'x' * (300000 if '/big' in path else 20)]
";

/// The binary of Debian's php-fpm bears its version.
fn php_fpm() -> Result<PathBuf> {
    let programs = std::fs::read_dir("/usr/sbin")?.filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        programs.filter(|p| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"))).collect();
    found.sort();
    found.pop().context("no php-fpm in /usr/sbin")
}

fn start() -> Result<Lab> {
    let mut lab = Lab::new("gate")?;
    lab.write("app.php", PHP)?;
    let app = lab.write("app.py", PYTHON)?;
    let pool = "[global]\nerror_log = DIR/fpm.err\ndaemonize = no\n[app]\nuser = root\ngroup = root\nlisten = DIR/php.sock\n\
                pm = static\npm.max_children = 3\n";
    let pool = lab.write("fpm.conf", pool)?;
    lab.start("php-fpm", Command::new(php_fpm()?).args(["-R", "-F", "-n", "-y"]).arg(pool))?;
    let socket = lab.path("uwsgi.sock");
    let mut uwsgi = Command::new("uwsgi");
    uwsgi.args(["--plugin", "python3", "--socket", &socket, "--chmod-socket=666", "--die-on-term"]);
    lab.start("uwsgi", uwsgi.args(["--master", "--processes", "2", "--wsgi-file"]).arg(app))?;
    start_nginx(&mut lab, SERVERS)?;
    lab.ready("nginx", 8080)?;
    for socket in ["php.sock", "uwsgi.sock"] {
        let path = lab.folder().join(socket);
        wait_until(socket, Duration::from_secs(60), || UnixStream::connect(&path).is_ok())?;
    }
    // All have asked for their next connection before the recording begins, and do not do so again for the first that is seen.
    lab.client(&["gateways", "8080", "2"])?;
    Ok(lab)
}

pub(crate) fn fastcgi_and_uwsgi() -> Result<()> {
    let lab = start()?;
    let (all, log, bundle) = recorded(&lab, &[], |lab| lab.client(&["gateways", "8080", "12"]))?;
    let rows = here(&lab, all.clone())?;
    let row = |row: &Value| {
        let (kind, resource) = (text(row, "request_type"), text(row, "request_resource"));
        format!("{kind} {resource} {} {}", text(row, "response_status"), row["response_code"])
    };
    let compare = Compare { row: &row, call: &whole_call, times: 1, durations: true };
    for (group, protocol) in [("php", "fastcgi"), ("kept", "fastcgi"), ("python", "uwsgi")] {
        let log: Vec<&Call> = log.iter().filter(|call| call.group == group).collect();
        let path = format!("/{group}/");
        let unix: Vec<&Value> = rows
            .iter()
            .filter(|r| r["l7_protocol"] == protocol && text(r, "request_resource").starts_with(&path))
            .collect();
        for view in &VIEWS[..2] {
            compare.check(&format!("{protocol}, {group}, {view}"), &seen_by(view, &unix), &log)?;
        }
    }
    let nameless = rows.iter().find(|r| r["request_type"].is_null());
    ensure!(nameless.is_none(), "an answer without its question: {nameless:?}");
    traces(&lab, &all, &table("spans", &bundle)?, log.len())
}

/// Behind each request to nginx there is the one to the application, at both ends of the socket, and nothing else.
fn traces(lab: &Lab, requests: &[Value], spans: &[Value], wanted: usize) -> Result<()> {
    let netns = u64::from(lab.ns.inode()?);
    let of = |span: &Value| span["request_id"].as_u64().and_then(|id| requests.get(usize::try_from(id).ok()?));
    let only_child = |parent: &Value, side: &str| {
        let children: Vec<&Value> = spans.iter().filter(|s| s["parent_span_id"] == parent["span_id"]).collect();
        let [child] = children[..] else { anyhow::bail!("{} children of {parent}: {children:?}", children.len()) };
        let same = of(child).map(|r| &r["request_resource"]) == of(parent).map(|r| &r["request_resource"]);
        ensure!(same && child["tap_side"] == side, "{child} because of {parent}");
        Ok(child)
    };
    let mut seen = 0;
    for span in spans.iter().filter(|s| s["tap_side"] == "s-p" && s["process"] == "nginx") {
        if of(span).is_none_or(|r| r["netns"].as_u64() != Some(netns)) {
            continue;
        }
        only_child(only_child(span, "c-p")?, "s-p")?;
        seen += 1;
    }
    ensure!(seen == wanted, "{seen} requests at nginx, not {wanted}");
    Ok(())
}
