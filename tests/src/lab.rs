//! Servers and clients of one test, in a network namespace with nothing else in it.

use crate::children::{Guard, wait_until};
use crate::netns::NetNs;
use crate::venv;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Debian packages of the servers that the live tests put under load, beyond those of the shop.
pub const PACKAGES: [&str; 17] = [
    "apache2-bin",
    "bind9-dnsutils",
    "dnsmasq-base",
    "haproxy",
    "mariadb-server",
    "memcached",
    "mosquitto",
    "nats-server",
    "nghttp2-client",
    "nodejs",
    "openssl",
    "php-fpm",
    "python3-venv",
    "rabbitmq-server",
    "unbound",
    "uwsgi-core",
    "uwsgi-plugin-python3",
];

/// A call as its client logged it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method, command, query type.
    pub kind: String,
    /// Path, statement, key, name.
    pub resource: String,
    /// As in the tables.
    pub status: String,
    /// The protocol's own code.
    pub code: Option<i64>,
    /// Which of the client's ways it took.
    pub group: String,
    /// Bytes of the body that came back.
    pub size: Option<u64>,
    /// UTC, ns, just before the call.
    pub start: i128,
    /// UTC, ns, just after it.
    pub end: i128,
}

/// A namespace, a folder, and servers that end with it.
#[derive(Debug)]
pub struct Lab {
    // Order matters: servers end before the namespace and the folder go.
    servers: Vec<Guard>,
    /// Where all of it runs.
    pub ns: NetNs,
    folder: tempfile::TempDir,
}

impl Lab {
    /// Nothing runs yet.
    pub fn new(label: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("hs-{label}-")).tempdir()?;
        // Some servers give root up.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        Ok(Self { servers: Vec::new(), ns: NetNs::new(label)?, folder })
    }

    /// Folder of configurations, data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder, as text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Writes a file into the folder; `DIR` in it becomes the folder's path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.path().join(name);
        fs::write(&file, text.replace("DIR", &self.folder.path().display().to_string()))?;
        Ok(file)
    }

    /// Starts a server.
    pub fn start(&mut self, name: &str, command: &mut Command) -> Result<u32> {
        let log = File::options().append(true).create(true).open(self.folder.path().join(format!("{name}.log")))?;
        command.current_dir(self.folder.path());
        self.ns.enter(command);
        let guard = Guard::start(name, command, Some(log))?;
        let pid = guard.pid();
        self.servers.push(guard);
        Ok(pid)
    }

    /// Waits until something listens on that port.
    pub fn ready(&self, name: &str, port: u16) -> Result<()> {
        let limit = Duration::from_secs(60);
        self.ns
            .run(|| wait_until(name, limit, || TcpStream::connect(("127.0.0.1", port)).is_ok()))?
            .with_context(|| fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default())
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &mut Command) -> Result<Output> {
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        let output = self.ns.enter(command).output().with_context(|| format!("{command:?}"))?;
        if !output.status.success() {
            bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }

    /// Runs a client of `app/load.py`; returns its log in the order of time.
    pub fn client(&self, words: &[&str]) -> Result<Vec<Call>> {
        self.client_of("load.py", include_str!("../app/load.py"), words)
    }

    /// The same of another script, which may import `load`.
    pub fn client_of(&self, name: &str, source: &str, words: &[&str]) -> Result<Vec<Call>> {
        let script = self.folder.path().join(name);
        fs::write(self.folder.path().join("load.py"), include_str!("../app/load.py"))?;
        fs::write(&script, source)?;
        let output = self.run(Command::new(venv::python()?).arg("-B").arg(script).args(words))?;
        let mut log = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let time = |name: &str| line[name].as_i64().map(i128::from).context("no time");
            log.push(Call {
                kind: text("kind"),
                resource: text("resource"),
                status: text("status"),
                code: line["code"].as_i64(),
                group: text("group"),
                size: line["size"].as_u64(),
                start: time("start")?,
                end: time("end")?,
            });
        }
        log.sort_by_key(|call| call.start);
        Ok(log)
    }
}

impl Drop for Lab {
    /// The last one started ends first.
    fn drop(&mut self) {
        while self.servers.pop().is_some() {}
    }
}
