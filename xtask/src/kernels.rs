//! `cargo xtask kernels [VERSION]...`: boots Debian's stock kernels under QEMU in software emulation, records a small
//! workload there, and looks whether everything is in the bundle.
//!
//! Kernels are unpacked from Debian's packages, never installed. The machine has no disk and no network: its file system
//! is an initramfs of busybox and a statically linked `record`, its bundle comes out through the second serial port.

use crate::cargo::{root, run as run_command};
use crate::packages;
use anyhow::{Context, Result, anyhow, bail, ensure};
use formats::block::kind as block_kind;
use formats::event::{self, Record, SocketData, StackSample};
use formats::read::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Series of kernels: what to call it, and the packages of it, `*` standing for digits and dots.
const SERIES: [(&str, &str); 2] =
    [("6.1", "linux-image-6.1.0-*-cloud-amd64"), ("6.12", "linux-image-6.12.*+deb12-cloud-amd64")];
/// A boot with its recording takes a minute; on a busy machine several.
const BOOT_LIMIT: Duration = Duration::from_secs(900);
/// Commands of busybox that the machine needs.
const APPLETS: [&str; 17] = [
    "sh", "mount", "ip", "httpd", "wget", "uname", "sleep", "grep", "cat", "stty", "base64", "poweroff", "kill",
    "sync", "echo", "ls", "dmesg",
];
/// Requests that the workload makes.
const REQUESTS: usize = 10;

/// Boots the kernels of the series named in `args`, or all of them.
pub(crate) fn run(args: &[String]) -> Result<()> {
    for arg in args {
        ensure!(SERIES.iter().any(|(name, _)| name == arg), "no kernel series `{arg}`; there are 6.1 and 6.12");
    }
    packages::ensure(packages::KERNELS)?;
    let folder = target_folder().join("kernels");
    fs::create_dir_all(&folder)?;
    let record = build_static()?;
    let initramfs = initramfs(&folder, &record)?;
    let mut failed = Vec::new();
    for (name, pattern) in SERIES {
        if !args.is_empty() && !args.iter().any(|a| a == name) {
            continue;
        }
        let started = Instant::now();
        match kernel(&folder, pattern).and_then(|image| boot(&folder, name, &image, &initramfs)) {
            Ok(report) => println!("{name}: {report} ({} s)", started.elapsed().as_secs()),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    ensure!(failed.is_empty(), "recording failed under {}", failed.join(" and "));
    Ok(())
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds `record` without any shared library, in a folder of its own so that other builds stay as they are.
fn build_static() -> Result<PathBuf> {
    let target = target_folder().join("static");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "recorder", "--bin", "record", "--target", TRIPLE]);
    command.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "-C target-feature=+crt-static");
    run_command(&mut command)?;
    Ok(target.join(TRIPLE).join("debug/record"))
}

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The machine's file system, packed.
fn initramfs(folder: &Path, record: &Path) -> Result<PathBuf> {
    let tree = folder.join("root");
    // What an earlier run left is of an earlier build.
    let _ = fs::remove_dir_all(&tree);
    for name in ["bin", "proc", "sys", "dev", "tmp", "www", "root"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("/bin/busybox (package busybox-static)")?;
    for applet in APPLETS {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    fs::copy(record, tree.join("bin/record")).with_context(|| record.display().to_string())?;
    let init = tree.join("init");
    fs::write(&init, include_str!("kernels/init.sh"))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let packed = folder.join("initramfs.cpio");
    let list = Command::new("find").arg(".").current_dir(&tree).output().context("find")?.stdout;
    let names = folder.join("names");
    fs::write(&names, list)?;
    let mut cpio = Command::new("cpio");
    cpio.args(["-o", "-H", "newc", "--quiet"]).current_dir(&tree);
    cpio.stdin(File::open(&names)?).stdout(File::create(&packed)?);
    let status = cpio.status().context("cpio")?;
    ensure!(status.success(), "cpio: {status}");
    Ok(packed)
}

/// Newest kernel image of a series, downloaded and unpacked.
fn kernel(folder: &Path, pattern: &str) -> Result<PathBuf> {
    let (head, tail) = pattern.split_once('*').context("pattern without *")?;
    let output = Command::new("apt-cache").args(["pkgnames", head]).output().context("apt-cache")?;
    let names = String::from_utf8_lossy(&output.stdout);
    let package = names
        .lines()
        .filter_map(|name| {
            let version = name.strip_prefix(head)?.strip_suffix(tail)?;
            let numbers: Option<Vec<u32>> = version.split('.').map(|n| n.parse().ok()).collect();
            Some((numbers?, name))
        })
        .max()
        .map(|(_, name)| name)
        .with_context(|| format!("apt knows no package {pattern}: run apt-get update on a Debian 12"))?;
    let version = package.strip_prefix("linux-image-").unwrap_or(package);
    let unpacked = folder.join(package);
    let image = unpacked.join("boot").join(format!("vmlinuz-{version}"));
    if !image.exists() {
        let status = Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root", "download", "-qq", package])
            .current_dir(folder)
            .status()
            .context("apt-get download")?;
        ensure!(status.success(), "apt-get download {package}: {status}");
        let file = fs::read_dir(folder)?
            .flatten()
            .map(|e| e.path())
            .find(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&format!("{package}_"))))
            .with_context(|| format!("apt-get download left no file of {package}"))?;
        let status = Command::new("dpkg-deb").arg("-x").arg(&file).arg(&unpacked).status().context("dpkg-deb")?;
        ensure!(status.success(), "dpkg-deb -x {}: {status}", file.display());
        fs::remove_file(file)?;
    }
    Ok(image)
}

/// A virtual machine that does not outlive this value, nor this process.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots, waits for the end, and checks the bundle. Returns what it holds, in one line.
fn boot(folder: &Path, name: &str, image: &Path, initramfs: &Path) -> Result<String> {
    let console = folder.join(format!("console-{name}.txt"));
    let serial = folder.join(format!("bundle-{name}.b64"));
    for file in [&console, &serial] {
        let _ = fs::remove_file(file);
    }
    let mut command = Command::new("qemu-system-x86_64");
    // One thread emulates both CPUs: with a thread each, QEMU 7.2 (Debian 12) at times translates a page that the other CPU is
    // patching, and the guest then dies of an int3 that its kernel had already taken back ("Oops: int3").
    command.args(["-accel", "tcg,thread=single", "-m", "1024", "-smp", "2", "-nodefaults", "-display", "none"]);
    command.arg("-no-reboot");
    command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.arg("-serial").arg(format!("file:{}", serial.display()));
    command.stdin(Stdio::null());
    // SAFETY: runs between fork and exec; prctl is a bare system call.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let mut machine = Machine(command.spawn().context("qemu-system-x86_64")?);
    let said = || fs::read(&console).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let deadline = Instant::now() + BOOT_LIMIT;
    while machine.0.try_wait()?.is_none() {
        if Instant::now() > deadline {
            bail!("no end after {} s; the console said:\n{}", BOOT_LIMIT.as_secs(), said());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let text = said();
    ensure!(text.contains("GUEST: done"), "the machine did not come to its end; the console said:\n{text}");
    let encoded = fs::read(&serial).with_context(|| serial.display().to_string())?;
    let bundle =
        decode_base64(&encoded).ok_or_else(|| anyhow!("the serial port gave no bundle; the console said:\n{text}"))?;
    let path = folder.join(format!("bundle-{name}.zst"));
    fs::write(&path, bundle)?;
    check(&path).with_context(|| format!("{}; the console said:\n{text}", path.display()))
}

/// Whether the bundle holds what the workload did.
fn check(path: &Path) -> Result<String> {
    let mut reader = Reader::open(path)?;
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    let mut requests = BTreeSet::new();
    let (mut packets, mut request_packets, mut user_samples) = (0u64, 0u64, 0u64);
    while let Some(batch) = reader.next_batch() {
        packets += batch.packets.len() as u64;
        let asks = |p: &&formats::read::PacketRef| contains(batch.data(p), b"GET /index.html?request=");
        request_packets += batch.packets.iter().filter(asks).count() as u64;
        for block in &batch.blocks {
            *counts.entry(block.header.kind).or_default() += u64::from(block.header.count);
            for (hdr, record) in event::Records::new(batch.payload(block)) {
                if usize::from(block.header.kind) >= event::kind::COUNT {
                    break;
                }
                if let Some(data) = SocketData::read(record)
                    && data.remote_port == 8080
                    && let Some(number) = request_number(event::tail(record))
                {
                    requests.insert(number);
                }
                user_samples += u64::from(StackSample::read(record).is_some_and(|s| s.user_len > 0 && hdr.pid != 0));
            }
        }
    }
    let manifest = reader.manifest().context("no manifest")?;
    let attached = manifest.hooks.iter().filter(|h| h.attached).count();
    let count = |kind: u16| counts.get(&kind).copied().unwrap_or(0);
    let line = format!(
        "{}: {attached} of {} hooks, socket_data {}, socket_state {}, packets {packets}, fork {}, exec {}, exit {}, stack samples {} \
         ({user_samples} in user space), symbols {}",
        manifest.kernel_release,
        manifest.hooks.len(),
        count(event::kind::SOCKET_DATA),
        count(event::kind::SOCKET_STATE),
        count(event::kind::PROCESS_FORK),
        count(event::kind::PROCESS_EXEC),
        count(event::kind::PROCESS_EXIT),
        count(event::kind::STACK_SAMPLE),
        count(block_kind::SYMBOLS),
    );
    ensure!(reader.damages().is_empty(), "{line}; damaged: {:?}", reader.damages());
    ensure!(reader.summary().is_some(), "{line}; the recording was not finished");
    ensure!(requests.len() == REQUESTS, "{line}; client calls hold the requests {requests:?}, not all {REQUESTS}");
    ensure!(request_packets == REQUESTS as u64, "{line}; {request_packets} packets with a request, not {REQUESTS}");
    for kind in
        [event::kind::SOCKET_STATE, event::kind::PROCESS_FORK, event::kind::PROCESS_EXEC, event::kind::PROCESS_EXIT]
    {
        ensure!(count(kind) >= REQUESTS as u64, "{line}; too few of {}", formats::block::kind_name(kind));
    }
    ensure!(user_samples > 0, "{line}; no stack sample in user space");
    ensure!(count(block_kind::PROCESSES) > 0 && count(block_kind::SYMBOLS) > 0, "{line}; host facts are missing");
    Ok(line)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|w| w == what)
}

/// The number in `...?request=N`.
fn request_number(bytes: &[u8]) -> Option<u8> {
    const MARK: &[u8] = b"?request=";
    let at = bytes.windows(MARK.len()).position(|w| w == MARK)?;
    bytes.get(at + MARK.len()).copied().filter(u8::is_ascii_digit)
}

/// Decodes what `base64` wrote, up to the line `end`. `None` if that is missing or something else is in between.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.windows(3).rposition(|w| w == b"end")?;
    let mut out = Vec::with_capacity(end / 4 * 3);
    let (mut bits, mut have) = (0u32, 0);
    for byte in text.get(..end)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' | b'\n' | b'\r' => continue,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        // `printf 'hindsight\0\xff' | base64`
        assert_eq!(decode_base64(b"aGluZHNpZ2h0AP8=\nend\n").unwrap(), b"hindsight\0\xff");
        assert!(decode_base64(b"aGluZHNpZ2h0AP8=\n").is_none());
        assert!(decode_base64(b"a*b\nend").is_none());
        assert!(decode_base64(b"end").is_none());
    }

    #[test]
    fn request_numbers() {
        assert_eq!(request_number(b"GET /index.html?request=7 HTTP/1.1"), Some(b'7'));
        assert_eq!(request_number(b"GET /?request="), None);
    }
}
