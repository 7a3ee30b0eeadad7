//! Secrets that go over the wire in clear are nowhere in the bundle; what surrounds them is.

use super::logs::{VIEWS, seen_by, text};
use super::servers::{here, recorded_with, start_mariadb};
use anyhow::{Context, Result, bail, ensure};
use e2e::children::{Guard, wait_until};
use e2e::lab::Lab;
use e2e::netns::NetNs;
use e2e::programs::{Recording, info};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const WEB: u16 = 8090;
const REDIS: u16 = 6390;
const POSTGRES: u16 = 5490;
/// Every secret holds this.
const MARK: &str = "hs3cr3t";

pub(crate) fn are_not_in_the_bundle() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hs-secrets-").tempdir()?;
    let dir = folder.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let ns = NetNs::new("secrets")?;
    let servers = [nginx(&ns, dir)?, redis(&ns, dir)?, postgres(&ns, dir)?];
    let bundle = dir.join("secrets.zst");
    let recording = Recording::start(&bundle, &["--no-stacks"])?;
    ns.run(web)??;
    run(&ns, "redis-cli", &["-p", &REDIS.to_string(), "set", "visible-key", "v"], ("REDISCLI_AUTH", "hs3cr3t-redis"))?;
    let acl = ["-p", &REDIS.to_string(), "acl", "setuser", "joe", "on", ">hs3cr3t-acl"];
    run(&ns, "redis-cli", &acl, ("REDISCLI_AUTH", "hs3cr3t-redis"))?;
    for user in ["scram", "clear"] {
        let url = format!("postgresql://{user}@127.0.0.1:{POSTGRES}/postgres?sslmode=disable");
        run(&ns, "psql", &[&url, "-c", "select 'visible-sql'"], ("PGPASSWORD", "hs3cr3t-pg"))?;
    }
    ns.wait_until_idle()?;
    recording.stop()?;
    drop(servers);

    let raw = contents(&bundle)?;
    nothing_secret(&raw)?;
    // Each at client and server, and in packets.
    for visible in ["/visible-path", "visible-key", "visible-sql", "SCRAM-SHA-256", "X-Request-Id: visible-id"] {
        ensure!(count(&raw, visible) >= 3, "{visible} is there {} times", count(&raw, visible));
    }
    let masked = &info(&bundle)?["summary"]["masked"];
    for (kind, least) in [
        ("http_header", 9),
        ("http_query", 3),
        ("http_body", 3),
        ("redis_auth", 6),
        ("postgres_login", 6),
        ("command_line", 1),
    ] {
        ensure!(masked[kind].as_u64().is_some_and(|n| n >= least), "{kind} of {masked}");
    }
    Ok(())
}

/// Passwords in statements, and the proofs of passwords at log-in.
pub(crate) fn of_mariadb() -> Result<()> {
    let mut lab = Lab::new("secrets")?;
    start_mariadb(&mut lab)?;
    let (rows, _, bundle) = recorded_with(&lab, "secrets", &["--no-stacks"], |lab| lab.client(&["secrets", "3306"]))?;
    let raw = contents(&bundle)?;
    nothing_secret(&raw)?;
    for visible in ["visible-sql", "create user", "mysql_native_password"] {
        ensure!(count(&raw, visible) >= 3, "{visible} is there {} times", count(&raw, visible));
    }
    let masked = &info(&bundle)?["summary"]["masked"];
    // Two log-ins with a password and three statements, each at client and server, and in packets.
    for (kind, least) in [("mysql_login", 6), ("sql_password", 9)] {
        ensure!(masked[kind].as_u64().is_some_and(|n| n >= least), "{kind} of {masked}");
    }
    // What was masked is a request like any other.
    let rows = here(&lab, rows)?;
    for view in VIEWS {
        let rows: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == 3306).collect();
        let statements = seen_by(view, &rows).into_iter().filter(|r| r["request_type"] == "COM_QUERY");
        let of_passwords = statements.filter(|r| {
            let sql = text(r, "request_resource").to_lowercase();
            (sql.contains(" user ") || sql.starts_with("set password")) && r["response_status"] == "ok"
        });
        let of_passwords = of_passwords.count();
        ensure!(of_passwords == 3, "{view}: {of_passwords} statements with passwords, not 3");
    }
    Ok(())
}

/// All that is in a bundle.
fn contents(bundle: &Path) -> Result<Vec<u8>> {
    let raw = Command::new("zstd").args(["-dc"]).arg(bundle).output().context("zstd (package zstd)")?;
    ensure!(raw.status.success(), "zstd: {}", String::from_utf8_lossy(&raw.stderr));
    Ok(raw.stdout)
}

fn count(raw: &[u8], what: &str) -> usize {
    raw.windows(what.len()).filter(|w| *w == what.as_bytes()).count()
}

fn nothing_secret(raw: &[u8]) -> Result<()> {
    for (place, window) in raw.windows(MARK.len()).enumerate() {
        if window == MARK.as_bytes() {
            let around = raw.get(place.saturating_sub(80)..(place + 40).min(raw.len())).unwrap_or(&[]);
            bail!("a secret is in the bundle: {:?}", String::from_utf8_lossy(around));
        }
    }
    Ok(())
}

/// Requests with secrets in all places, one of them cut in the middle of a cookie.
fn web() -> Result<()> {
    let requests: [&[&str]; 3] = [
        &["GET /visible-path?page=1&access_token=hs3cr3t-query HTTP/1.1\r\nHost: h\r\nX-Request-Id: visible-id\r\n\
           Authorization: Bearer hs3cr3t-bearer\r\nX-Api-Key: hs3cr3t-key\r\n\r\n"],
        &[
            "POST /visible-path HTTP/1.1\r\nHost: h\r\nContent-Length: 34\r\n\r\n",
            "user=joe&password=hs3cr3t-form&x=yy",
        ],
        &["GET /visible-path HTTP/1.1\r\nHost: h\r\nCookie: a=b; session=hs3c", "r3t-cookie; hs3cr3t-rest\r\n\r\n"],
    ];
    for parts in requests {
        let mut stream = TcpStream::connect(("127.0.0.1", WEB))?;
        stream.set_nodelay(true)?;
        for part in parts {
            stream.write_all(part.as_bytes())?;
            std::thread::sleep(Duration::from_millis(50));
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("hs3cr3t-set"), "{answer}");
    }
    Ok(())
}

fn run(ns: &NetNs, program: &str, words: &[&str], (name, value): (&str, &str)) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).env(name, value).stdin(Stdio::null());
    let output = ns.enter(&mut command).output().with_context(|| format!("running {program}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && !said.contains("ERR"), "{program}: {said}");
    Ok(())
}

fn serve(ns: &NetNs, dir: &Path, name: &str, port: u16, command: &mut Command) -> Result<Guard> {
    let log = dir.join(format!("{name}.log"));
    let guard = Guard::start(name, ns.enter(command), Some(fs::File::create(&log)?))?;
    ns.run(|| wait_until(name, Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).is_ok()))?
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    Ok(guard)
}

fn nginx(ns: &NetNs, dir: &Path) -> Result<Guard> {
    let config = dir.join("nginx.conf");
    fs::write(
        &config,
        format!(
            "daemon off; pid {0}/pid; user root; error_log stderr; events {{ }}
http {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u;
  scgi_temp_path {0}/s;
  server {{ listen 127.0.0.1:{WEB}; location / {{ add_header Set-Cookie \"id=hs3cr3t-set; Path=/\"; return 200 \"fine\\n\"; }} }} }}
",
            dir.display()
        ),
    )?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(config).arg("-p").arg(dir).args(["-e", "stderr"]);
    serve(ns, dir, "nginx", WEB, &mut command)
}

fn redis(ns: &NetNs, dir: &Path) -> Result<Guard> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &REDIS.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--requirepass", "hs3cr3t-redis", "--dir"]).arg(dir);
    serve(ns, dir, "redis", REDIS, &mut command)
}

/// Two users: one proves that it knows the password, the other tells it.
fn postgres(ns: &NetNs, dir: &Path) -> Result<Guard> {
    let bin = newest_postgres()?;
    let (data, password) = (dir.join("pg"), dir.join("password"));
    fs::create_dir(&data)?;
    fs::write(&password, "hs3cr3t-pg\n")?;
    let owner = Command::new("id").args(["-u", "postgres"]).output()?;
    let uid: u32 = String::from_utf8_lossy(&owner.stdout).trim().parse().context("no user postgres")?;
    for path in [&data, &password] {
        std::os::unix::fs::chown(path, Some(uid), None)?;
    }
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(&data).args(["-A", "scram-sha-256", "-U", "scram", "--no-sync", "--locale=C"]);
    initdb.arg(format!("--pwfile={}", password.display())).uid(uid).gid(fs::metadata(&data)?.gid());
    let output = initdb.current_dir(&data).stdin(Stdio::null()).output().context("initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let rules = "local all all trust\nhost all clear 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), rules)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    command.arg(bin.join("postgres")).arg("-D").arg(&data).args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
    ]);
    command.args(["-c", &format!("port={POSTGRES}"), "-c", &format!("unix_socket_directories={}", data.display())]);
    command.current_dir(&data);
    let guard = serve(ns, dir, "postgres", POSTGRES, &mut command)?;
    let create = "create role clear login superuser password 'hs3cr3t-pg'";
    wait_until("a second user", Duration::from_secs(30), || {
        let mut psql = Command::new(bin.join("psql"));
        psql.arg("-h").arg(&data).args(["-p", &POSTGRES.to_string(), "-U", "scram", "-c", create, "postgres"]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    })?;
    Ok(guard)
}

fn newest_postgres() -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed (package postgresql)")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    versions.pop().context("PostgreSQL's server programs are not installed (package postgresql)")
}
