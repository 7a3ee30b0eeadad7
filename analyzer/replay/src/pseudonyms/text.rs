//! What stands in texts: addresses, known names and paths, wherever they are.

use super::{Kind, Pseudonyms};
use std::net::IpAddr;

/// Segments of paths that are the same everywhere and name nobody.
const COMMON: [&str; 44] = [
    "api",
    "bin",
    "boot",
    "cgroup",
    "conf",
    "dev",
    "etc",
    "favicon.ico",
    "fs",
    "graphql",
    "health",
    "healthz",
    "home",
    "index.html",
    "init.scope",
    "lib",
    "lib32",
    "lib64",
    "libexec",
    "live",
    "local",
    "log",
    "metrics",
    "mnt",
    "opt",
    "ping",
    "proc",
    "ready",
    "root",
    "run",
    "sbin",
    "share",
    "site-packages",
    "srv",
    "status",
    "sys",
    "system.slice",
    "tmp",
    "user.slice",
    "usr",
    "v1",
    "v2",
    "var",
    "www",
];

/// Bytes that names and addresses are made of.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')
}

impl Pseudonyms {
    /// A host name, an address, or one of them with a port.
    pub(super) fn host(&mut self, name: &str) -> String {
        if let Some(address) = self.address_text(name) {
            return address;
        }
        let (name, port) = match name.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
            _ => (name, None),
        };
        if name.eq_ignore_ascii_case("localhost") {
            return port.map_or_else(|| name.to_owned(), |p| format!("{name}:{p}"));
        }
        let labels: Vec<Box<str>> = name
            .split('.')
            .map(|label| match label {
                "" | "*" => label.into(),
                label => self.name(Kind::Host, &label.to_ascii_lowercase()),
            })
            .collect();
        let out = labels.join(".");
        port.map_or_else(|| out.clone(), |p| format!("{out}:{p}"))
    }

    /// A host name that other texts may hold.
    pub(super) fn know_host(&mut self, name: &str) {
        let name =
            name.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())).map_or(name, |(n, _)| n);
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        // A word of one label is known as a host only if it is no usual word.
        if name.len() > 2 && name != "localhost" && name.parse::<IpAddr>().is_err() {
            self.hosts.insert(name.into());
        }
    }

    pub(super) fn know_user(&mut self, name: &str) {
        if name.len() > 1 {
            self.users.insert(name.into());
        }
    }

    /// An address, with a port or a prefix length behind it, or in brackets.
    fn address_text(&mut self, word: &str) -> Option<String> {
        if !word.contains(['.', ':']) {
            return None;
        }
        if let Ok(ip) = word.parse::<IpAddr>() {
            return Some(self.address(ip).to_string());
        }
        if let Ok(at) = word.parse::<std::net::SocketAddr>() {
            return Some(std::net::SocketAddr::new(self.address(at.ip()), at.port()).to_string());
        }
        let (ip, rest) = word.split_once('/')?;
        let ip = ip.parse::<IpAddr>().ok()?;
        Some(format!("{}/{rest}", self.address(ip)))
    }

    /// A path, with what follows behind `?`: every segment and every value, those that name nobody left as they are.
    pub(super) fn path(&mut self, path: &str) -> String {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let segments: Vec<Box<str>> = path
            .split('/')
            .map(|s| match s {
                "" | "." | ".." | "*" | "***" | "{id}" | ":id" => s.into(),
                s if COMMON.binary_search(&s).is_ok() => s.into(),
                s => self.name(Kind::Path, s),
            })
            .collect();
        let mut out = segments.join("/");
        if let Some(query) = query {
            for (place, pair) in query.split('&').enumerate() {
                out.push(if place == 0 { '?' } else { '&' });
                match pair.split_once('=') {
                    Some((name, value)) if !value.is_empty() && value != "***" => {
                        out.push_str(name);
                        out.push('=');
                        out += &self.name(Kind::Value, value);
                    }
                    _ => out.push_str(pair),
                }
            }
        }
        out
    }

    /// A path whose last segment stays: of a program that is shown by its name anyway.
    pub(super) fn program(&mut self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some((folder, name)) => format!("{}/{name}", self.path(folder)),
            None => path.to_owned(),
        }
    }

    /// Any text: addresses, known hosts and users, and what begins with a slash.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let scheme = before == ':' && rest.starts_with("//");
            if scheme {
                out.push_str("//");
                rest = rest.get(2..).unwrap_or("");
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let (host, after) = rest.split_at(end);
                out += &self.host(host);
                (rest, before) = (after, 'x');
            } else if c == '/' && (before == 'x' || !is_word(before)) {
                let end = rest
                    .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ')' | ',' | ';' | '|'));
                let (path, after) = rest.split_at(end.unwrap_or(rest.len()));
                out += &self.path(path);
                (rest, before) = (after, ' ');
            } else if let Some((local, host, after)) = email(rest) {
                // What stands before a colon is no part of it: `mailto:`.
                let (scheme, local) = local.rsplit_once(':').map_or(("", local), |(s, l)| (&rest[..=s.len()], l));
                out.push_str(scheme);
                out += &self.name(Kind::User, local);
                out.push('@');
                out += &self.host(host);
                (rest, before) = (after, 'w');
            } else if is_word(c) || c == '[' {
                let bracketed = c == '[' && rest.contains(']');
                let end = if bracketed {
                    let close = rest.find(']').map_or(rest.len(), |at| at + 1);
                    let behind = rest.get(close..).unwrap_or("");
                    close + behind.find(|c: char| c != ':' && !c.is_ascii_digit()).unwrap_or(behind.len())
                } else {
                    rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()).max(c.len_utf8())
                };
                let (word, after) = rest.split_at(end);
                let kept = word.trim_end_matches([':', '.', '-']);
                let tail = word.get(kept.len()..).unwrap_or("");
                match self.word(kept) {
                    Some(new) => out += &new,
                    None if bracketed => {
                        // Not an address in brackets: the bracket alone.
                        out.push('[');
                        (rest, before) = (rest.get(1..).unwrap_or(""), '[');
                        continue;
                    }
                    None => out.push_str(kept),
                }
                out.push_str(tail);
                before = word.chars().next_back().filter(|c| *c == ':').unwrap_or('w');
                rest = after;
            } else {
                out.push(c);
                (rest, before) = (rest.get(c.len_utf8()..).unwrap_or(""), c);
            }
        }
        out
    }

    /// A key of a cache, a topic or a subject, word for word: its parts behind the first one, and every part that may name someone.
    /// `keyed`: the second word on is keys and values, the first a command.
    pub(super) fn key(&mut self, text: &str, keyed: bool) -> String {
        let mut out = String::with_capacity(text.len());
        for (place, word) in text.split(' ').enumerate() {
            if place > 0 {
                out.push(' ');
            }
            let is_option = word.bytes().all(|b| b.is_ascii_uppercase())
                || word.len() < 7 && word.bytes().all(|b| b.is_ascii_digit());
            if word.is_empty() || keyed && place == 0 || is_option || word.contains("***") {
                out.push_str(word);
                continue;
            }
            if email(word).is_some() || self.address_text(word).is_some() {
                out += &self.text(word);
                continue;
            }
            let mut first = true;
            for part in word.split_inclusive(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_'))) {
                let name = part.trim_end_matches(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_')));
                let mark = part.get(name.len()..).unwrap_or("");
                let known = name.is_empty() || COMMON.binary_search(&name).is_ok();
                if known || !(names_someone(name) || keyed && !first) {
                    out.push_str(name);
                } else {
                    out += &self.name(Kind::Value, name);
                }
                out.push_str(mark);
                first = false;
            }
        }
        out
    }

    fn word(&mut self, word: &str) -> Option<String> {
        if let Some(address) = self.address_text(word) {
            return Some(address);
        }
        let name = word.rsplit_once(':').map_or(word, |(name, _)| name);
        if self.hosts.contains(name.to_ascii_lowercase().as_str())
            || self.hosts.contains(word.to_ascii_lowercase().as_str())
        {
            return Some(self.host(word));
        }
        self.users.contains(word).then(|| self.name(Kind::User, word).into())
    }
}

/// Whether a part of a key may be the name of one rather than of a kind: it has digits, or is long. Versions and small numbers are not.
fn names_someone(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let version = part.strip_prefix('v').is_some_and(|rest| rest.len() < 3 && rest.bytes().all(|b| b.is_ascii_digit()));
    let small = part.len() < 4 && digits == part.len();
    !version && !small && (digits > 0 || part.len() > 24)
}

/// An address of mail at the start of `text`: what is before and behind the `@`, and the rest.
fn email(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(|c: char| !(is_word(c) || matches!(c, '+' | '%' | '=')))?;
    let (local, rest) = text.split_at_checked(end).filter(|(local, _)| !local.is_empty())?;
    let rest = rest.strip_prefix('@')?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(rest.len());
    let (host, after) = rest.split_at_checked(end)?;
    let whole = host.len();
    let host = host.trim_end_matches(['.', '-']);
    let inner = host.get(1..host.len().saturating_sub(1)).unwrap_or("");
    (inner.contains('.'))
        .then(|| (local, host, text.get(text.len() - after.len() - (whole - host.len())..).unwrap_or("")))
}
