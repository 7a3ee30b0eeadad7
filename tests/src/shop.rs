//! The three-tier workload: nginx -> gunicorn/Flask -> Redis and PostgreSQL, all Debian's packages,
//! in one network namespace with nothing else in it.

use crate::children::{Guard, wait_until};
use crate::netns::NetNs;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Debian packages that this workload is made of.
pub const PACKAGES: [&str; 8] = [
    "nginx-light",
    "redis-server",
    "postgresql",
    "gunicorn",
    "python3-flask",
    "python3-redis",
    "python3-psycopg2",
    "iproute2",
];

/// Port of nginx inside the namespace.
pub const WEB_PORT: u16 = 8080;
/// Port of the application.
pub const APP_PORT: u16 = 8000;
/// Port of Redis.
pub const REDIS_PORT: u16 = 6379;
/// Port of PostgreSQL.
pub const PG_PORT: u16 = 5432;

/// Whether nginx keeps its connections to the application open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// A new connection per request (nginx's default).
    Fresh,
    /// `keepalive 8`.
    KeepAlive,
}

/// The running servers. Dropping it stops them and removes their files.
#[derive(Debug)]
pub struct Shop {
    // Order matters: servers end before the namespace and the folder go.
    servers: Vec<Guard>,
    /// The namespace that all of it runs in.
    pub ns: NetNs,
    folder: tempfile::TempDir,
}

impl Shop {
    /// Starts all servers and waits until each answers.
    pub fn start(upstream: Upstream) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hs-shop-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let ns = NetNs::new("shop")?;
        let mut shop = Self { servers: Vec::new(), ns, folder };
        shop.start_redis()?;
        shop.start_postgres()?;
        shop.start_app(upstream)?;
        shop.start_nginx(upstream)?;
        Ok(shop)
    }

    /// Folder of logs and data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self, name: &str) -> Result<File> {
        Ok(File::options().append(true).create(true).open(self.folder.path().join(name))?)
    }

    fn start_server(&mut self, name: &str, port: u16, command: &mut Command) -> Result<()> {
        let log = self.log(&format!("{name}.log"))?;
        self.ns.enter(command);
        self.servers.push(Guard::start(name, command, Some(log))?);
        let folder = self.folder.path().to_owned();
        self.ns
            .run(|| wait_until(name, Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).is_ok()))?
            .with_context(|| {
                let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
                format!("its log: {log}")
            })
    }

    fn start_redis(&mut self) -> Result<()> {
        let dir = self.folder.path().to_owned();
        let mut command = Command::new("redis-server");
        command.args(["--port", &REDIS_PORT.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(dir);
        self.start_server("redis", REDIS_PORT, &mut command)
    }

    fn start_postgres(&mut self) -> Result<()> {
        let bin = postgres_bin()?;
        let (uid, gid) = user("postgres")?;
        let data = self.folder.path().join("pg");
        fs::create_dir(&data)?;
        chown(&data, Some(uid), Some(gid))?;
        let status = Command::new(bin.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"])
            .uid(uid)
            .gid(gid)
            .current_dir(&data)
            .stdin(Stdio::null())
            .stdout(self.log("initdb.log")?)
            .stderr(self.log("initdb.log")?)
            .status()
            .context("running initdb")?;
        if !status.success() {
            bail!("initdb: {status}");
        }
        // The namespace is entered before exec, which needs root: setpriv gives root up afterwards.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        command.arg(bin.join("postgres")).arg("-D").arg(&data);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=off", "-c", "fsync=off"]);
        command.arg("-c").arg(format!("port={PG_PORT}"));
        command.arg("-c").arg(format!("unix_socket_directories={}", data.display()));
        command.current_dir(&data);
        self.start_server("postgres", PG_PORT, &mut command)?;
        let sql = "CREATE TABLE orders (id int PRIMARY KEY, item text, price numeric); \
                   INSERT INTO orders SELECT i, 'item ' || i, i * 1.5 FROM generate_series(1, 100) i; \
                   CREATE TABLE cart (id serial PRIMARY KEY, item text);";
        let mut psql = Command::new(bin.join("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &PG_PORT.to_string(), "-U", "postgres", "-q", "-c", sql]);
        self.ns.enter(&mut psql);
        let folder = self.folder.path().to_owned();
        wait_until("psql", Duration::from_secs(30), || {
            psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        })
        .with_context(|| fs::read_to_string(folder.join("postgres.log")).unwrap_or_default())
    }

    fn start_app(&mut self, upstream: Upstream) -> Result<()> {
        let source = self.folder.path().join("shop.py");
        fs::write(&source, include_str!("../app/shop.py"))?;
        let mut command = Command::new("/usr/bin/gunicorn");
        command.args(["--workers", "2", "--bind", &format!("127.0.0.1:{APP_PORT}")]);
        if upstream == Upstream::KeepAlive {
            // Only threaded workers of gunicorn keep connections open.
            command.args(["--worker-class", "gthread", "--threads", "2", "--keep-alive", "30"]);
        }
        command.arg("shop:app").current_dir(self.folder.path());
        command.env("REDIS_PORT", REDIS_PORT.to_string()).env("PG_PORT", PG_PORT.to_string());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        self.start_server("gunicorn", APP_PORT, &mut command)
    }

    fn start_nginx(&mut self, upstream: Upstream) -> Result<()> {
        let dir = self.folder.path().display().to_string();
        let (keep, version) = match upstream {
            Upstream::Fresh => ("", ""),
            Upstream::KeepAlive => ("keepalive 8;", "proxy_http_version 1.1; proxy_set_header Connection \"\";"),
        };
        let config = format!(
            "daemon off; pid {dir}/nginx.pid; user root; worker_processes 2; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log {dir}/access.log;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream app {{ server 127.0.0.1:{APP_PORT}; {keep} }}
  server {{
    listen 127.0.0.1:{WEB_PORT};
    location /api/ {{ proxy_pass http://app; {version} }}
    location = /health {{ return 200 \"fine\\n\"; }}
    location / {{ root {dir}/static; }}
  }}
}}
"
        );
        fs::create_dir_all(self.folder.path().join("static"))?;
        fs::write(self.folder.path().join("static/logo.svg"), "<svg>".repeat(20_000))?;
        let file = self.folder.path().join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(file).arg("-p").arg(self.folder.path()).args(["-e", "stderr"]);
        self.start_server("nginx", WEB_PORT, &mut command)
    }
}

impl Drop for Shop {
    /// The last one started ends first: no server loses its backend while it still works.
    fn drop(&mut self) {
        while self.servers.pop().is_some() {}
    }
}

/// Folder of PostgreSQL's server programs, the newest version installed.
fn postgres_bin() -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed (package postgresql)")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    versions.pop().context("PostgreSQL's server programs are not installed (package postgresql)")
}

fn user(name: &str) -> Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let line =
        passwd.lines().find(|l| l.starts_with(&format!("{name}:"))).with_context(|| format!("no user {name}"))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || fields.next().and_then(|f| f.parse().ok()).context("malformed /etc/passwd");
    Ok((id()?, id()?))
}
