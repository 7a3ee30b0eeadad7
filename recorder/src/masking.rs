//! Secrets in command lines, masked before they reach the bundle.
//!
//! What is masked, each occurrence by `***`:
//! - values of options and variables whose name speaks of a secret: `--password=x`, `--token x`, `PGPASSWORD=x`,
//!   `-DapiKey=x`, `"password":"x"`;
//! - `-pSECRET` of the MySQL and MariaDB clients, `-a SECRET` of redis-cli, `-u user:SECRET` of curl and others, `-w SECRET` of
//!   LDAP tools, `-p SECRET` of sshpass, docker, mongosh, cqlsh, `-P SECRET` of sqlcmd, mosquitto_pub, zip, `-U user%SECRET` of Samba's
//!   clients, `-u user,SECRET` of lftp and the like; `auth SECRET` and `>SECRET` given to redis-cli;
//! - the same in the words of a script that is one argument (`sh -c 'mysql -pSECRET shop'`);
//! - passwords in SQL: `PASSWORD 'x'`, `IDENTIFIED BY 'x'`;
//! - `scheme://user:SECRET@host`;
//! - the credentials after `Authorization:`, `Cookie:`, `X-Api-Key:` and after the word `Bearer`.

use crate::secrets::{is_secret, passwords};

/// Put in place of a secret.
const MASK: &str = "***";

/// Header names whose value is a secret.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];

/// Masks secrets in the words of a command line, in place. Returns how many words were changed.
pub fn mask_arguments(words: &mut [String]) -> u64 {
    let mut program = words.first().map(|w| w.rsplit('/').next().unwrap_or(w).to_ascii_lowercase()).unwrap_or_default();
    let mut changed = 0;
    let mut next_is_secret = None;
    for word in words.iter_mut().skip(1) {
        subcommand(&mut program, word);
        let masked = match next_is_secret.take() {
            Some(Next::Whole) if !word.starts_with("--") => Some(MASK.to_owned()),
            Some(Next::After(mark)) => word.split_once(mark).map(|(user, _)| format!("{user}{mark}{MASK}")),
            _ => attached(&program, word).or_else(|| {
                next_is_secret = expects(&program, word);
                let script = mask_script(word);
                script
                    .as_deref()
                    .map_or_else(|| mask_text(word), |script| mask_text(script).or_else(|| script.to_owned().into()))
            }),
        };
        if let Some(masked) = masked
            && masked != *word
        {
            *word = masked;
            changed += 1;
        }
    }
    // The first word too: programs overwrite their command line with one title.
    if let Some(first) = words.first_mut()
        && let Some(masked) = mask_text(first)
    {
        *first = masked;
        changed += 1;
    }
    changed
}

/// Words of a shell after which a command follows.
const BEFORE_COMMANDS: [&str; 15] =
    ["", "!", "{", "do", "if", "then", "else", "elif", "while", "until", "exec", "env", "sudo", "time", "nohup"];

/// Options of the commands of a script that is one argument; `None` if there is nothing to mask, or one word only.
fn mask_script(text: &str) -> Option<String> {
    if !text.contains(char::is_whitespace) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut program = String::new();
    let mut next_is_secret = None;
    for piece in text.split_inclusive(char::is_whitespace) {
        let spaced = piece.trim_end();
        let word = spaced.trim_end_matches([';', '&', '|', ')']);
        let bare = word.trim_matches(['"', '\'', '(']);
        let masked = match next_is_secret.take() {
            Some(Next::Whole) if !bare.is_empty() && !bare.starts_with("--") => Some(MASK.to_owned()),
            Some(Next::After(mark)) => bare.split_once(mark).map(|(user, _)| format!("{user}{mark}{MASK}")),
            _ => attached(&program, bare),
        };
        subcommand(&mut program, bare);
        if program.is_empty() && !bare.contains('=') && !BEFORE_COMMANDS.contains(&bare) {
            program = bare.rsplit('/').next().unwrap_or(bare).to_ascii_lowercase();
        } else if masked.is_none() {
            next_is_secret = expects(&program, bare);
        }
        out.push_str(masked.as_deref().unwrap_or(word));
        out.push_str(piece.get(word.len()..).unwrap_or(""));
        if word.len() < spaced.len() || piece.ends_with('\n') {
            // The command ends here.
            program.clear();
            next_is_secret = None;
        }
    }
    (out != text).then_some(out)
}

/// Programs of which one command alone takes a password under `-p`; with others it is a port.
fn subcommand(program: &mut String, word: &str) {
    if word == "login" && matches!(program.as_str(), "docker" | "podman" | "helm") {
        program.push_str(" login");
    }
}

enum Next {
    Whole,
    /// What comes behind the first of these.
    After(char),
}

/// Whether the word after this option is a secret.
fn expects(program: &str, word: &str) -> Option<Next> {
    match (program, word) {
        ("redis-cli", "-a" | "auth" | "AUTH" | "requirepass" | "masterauth")
        | ("redis-benchmark", "-a")
        | (
            "sshpass" | "docker login" | "podman login" | "helm login" | "mongo" | "mongosh" | "mongodump"
            | "mongorestore" | "cqlsh" | "mydumper",
            "-p",
        )
        | ("rabbitmqadmin" | "7z" | "ipmitool" | "influx", "-p")
        | (
            "sqlcmd" | "bcp" | "isql" | "tsql" | "mosquitto_pub" | "mosquitto_sub" | "mosquitto_rr" | "zip" | "unzip"
            | "ipmitool",
            "-P",
        )
        | (
            "ldapsearch" | "ldapmodify" | "ldapadd" | "ldapdelete" | "ldappasswd" | "ldapwhoami" | "ldapcompare"
            | "ldapmodrdn",
            "-w",
        )
        | ("ldappasswd", "-s" | "-a") => Some(Next::Whole),
        ("curl", "-u" | "--user" | "-U" | "--proxy-user")
        | ("http" | "https", "-a" | "--auth")
        | ("ab", "-A" | "-P") => Some(Next::After(':')),
        ("smbclient" | "rpcclient" | "net" | "smbget" | "wmic", "-U" | "--user") => Some(Next::After('%')),
        ("lftp", "-u" | "--user") => Some(Next::After(',')),
        ("curl", "-b" | "--cookie") | ("ab", "-C") => Some(Next::After('=')),
        _ => (word.starts_with('-') && !word.contains('=') && is_secret_name(word)).then_some(Next::Whole),
    }
}

/// Secrets glued to a one-letter option.
fn attached(program: &str, word: &str) -> Option<String> {
    let (option, secret) = match program {
        "mysql" | "mysqldump" | "mysqladmin" | "mysqlimport" | "mysqlshow" | "mysqlbinlog" | "mariadb"
        | "mariadb-dump" | "mariadb-admin" | "sshpass" | "7z" | "7za" | "mongo" | "mongosh" | "cqlsh" | "mydumper" => {
            ("-p", word.strip_prefix("-p")?)
        }
        "sqlcmd" | "bcp" | "zip" | "unzip" => ("-P", word.strip_prefix("-P")?),
        "xfreerdp" | "rdesktop" => ("/p:", word.strip_prefix("/p:")?),
        "redis-cli" if word.starts_with('>') => (">", word.strip_prefix('>')?),
        "redis-cli" => ("-a", word.strip_prefix("-a")?),
        "curl" => {
            let (user, _) = word.strip_prefix("-u")?.split_once(':')?;
            return Some(format!("-u{user}:{MASK}"));
        }
        "smbclient" | "rpcclient" | "net" => {
            let (user, _) = word.strip_prefix("-U")?.split_once('%')?;
            return Some(format!("-U{user}%{MASK}"));
        }
        _ => return None,
    };
    (!secret.is_empty()).then(|| format!("{option}{MASK}"))
}

/// Whether the value under this name is a secret.
fn is_secret_name(name: &str) -> bool {
    is_secret(name.as_bytes())
}

/// Masks secrets that show by themselves anywhere in a text; `None` if there are none.
#[must_use]
pub fn mask_text(text: &str) -> Option<String> {
    let mut out = text.to_owned();
    mask_urls(&mut out);
    mask_headers(&mut out);
    mask_assignments(&mut out);
    for place in passwords(out.clone().as_bytes()).into_iter().rev() {
        // Quotes are ASCII, so the text between two of them is whole.
        out.replace_range(place, MASK);
    }
    (out != text).then_some(out)
}

/// `scheme://user:SECRET@host`.
fn mask_urls(text: &mut String) {
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|t| t.find("://")) {
        let start = from + found + 3;
        let authority_len = text[start..]
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .unwrap_or(text.len() - start);
        let authority = &text[start..start + authority_len];
        from = start;
        if let Some((user_info, _)) = authority.rsplit_once('@')
            && let Some((user, secret)) = user_info.split_once(':')
            && !secret.is_empty()
        {
            let range = start + user.len() + 1..start + user_info.len();
            text.replace_range(range, MASK);
        }
    }
}

/// `Authorization: SECRET` to the end of the line, and `Bearer SECRET`.
fn mask_headers(text: &mut String) {
    for header in SECRET_HEADERS {
        let mut from = 0;
        // ASCII case folding keeps all offsets.
        while let Some(found) = text.to_ascii_lowercase().get(from..).and_then(|t| t.find(&format!("{header}:"))) {
            let name = from + found;
            let start = name + header.len() + 1;
            from = start;
            let end = text[start..].find(['\n', '\r', '"', '\'']).map_or(text.len(), |len| start + len);
            let part_of_a_name = text[..name].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            let value = text[start..end].trim();
            if !part_of_a_name && !value.is_empty() && value != MASK {
                text.replace_range(start..end, &format!(" {MASK}"));
            }
        }
    }
    if let Some(found) = text.to_ascii_lowercase().find("bearer ") {
        let start = found + "bearer ".len();
        let end = text[start..]
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
            .map_or(text.len(), |len| start + len);
        if end > start {
            text.replace_range(start..end, MASK);
        }
    }
}

/// `name=SECRET` and `name:SECRET` where the name speaks of a secret.
fn mask_assignments(text: &mut String) {
    let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|t| t.find(['=', ':'])) {
        let at = from + found;
        from = at + 1;
        if text[from..].starts_with("//") {
            continue;
        }
        let before = text[..at].trim_end_matches(['"', '\'']);
        let name = &before
            [before.rfind(|c| !name_char(c)).map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8))..];
        if !is_secret_name(name) {
            continue;
        }
        let value = text[from..].trim_start_matches([' ', '"', '\'']);
        let start = text.len() - value.len();
        let end = value
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ';' | ',' | '}'))
            .map_or(text.len(), |len| start + len);
        if end > start && &text[start..end] != MASK {
            text.replace_range(start..end, MASK);
            from = start + MASK.len();
        }
    }
}

#[cfg(test)]
mod tests;
